// SPDX-License-Identifier: Apache-2.0
//! What the kernel says of this process: memory, CPU time, descriptors. Read from `/proc` at each scrape.

use std::time::Duration;

use crate::control::exposition::{Exposition, Kind};

/// One reading. A value that could not be read is `None` and is left out of the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Process {
    /// User and system time of all threads.
    pub cpu: Option<Duration>,
    /// Resident memory, bytes.
    pub resident: Option<u64>,
    /// Address space, bytes.
    pub address_space: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Descriptors that may be open at most.
    pub descriptors_max: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Process {
    /// Reads the machine.
    pub(crate) fn read() -> Process {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let listed = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
        let mut process =
            Process::parse(&text("/proc/self/stat"), &text("/proc/self/statm"), &text("/proc/self/limits"));
        // One of the listed descriptors is the listing's own.
        process.descriptors = listed.ok().map(|count| count.saturating_sub(1) as u64);
        process
    }

    /// Reads the texts of `/proc/self/stat`, `statm` and `limits`.
    fn parse(stat: &str, statm: &str, limits: &str) -> Process {
        // The second field is the command in parentheses and may hold anything; the third comes after the last one.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let number = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
        let ticks = number(11).zip(number(12)).map(|(user, system)| user + system);
        let mut pages = statm.split_whitespace().map(|field| field.parse::<u64>().ok());
        let address_space = pages.next().flatten().map(|count| count * PAGE_BYTES);
        let resident = pages.next().flatten().map(|count| count * PAGE_BYTES);
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        Process {
            cpu: ticks.map(|count| Duration::from_millis(count * 1_000 / TICKS_PER_SECOND)),
            resident,
            address_space,
            descriptors: None,
            descriptors_max: files.and_then(|rest| rest.split_whitespace().next()?.parse().ok()),
            threads: number(17),
        }
    }

    /// Writes it under the names that Prometheus' own client libraries use.
    pub(crate) fn expose(&self, out: &mut Exposition) {
        let cpu = self.cpu.map(|time| time.as_secs_f64());
        let rows = [
            ("process_cpu_seconds_total", "User and system CPU time spent.", cpu),
            ("process_resident_memory_bytes", "Resident memory.", self.resident.map(|count| count as f64)),
            ("process_virtual_memory_bytes", "Address space.", self.address_space.map(|count| count as f64)),
            ("process_open_fds", "Open file descriptors.", self.descriptors.map(|count| count as f64)),
            ("process_max_fds", "File descriptors that may be open.", self.descriptors_max.map(|count| count as f64)),
            ("process_threads", "Threads.", self.threads.map(|count| count as f64)),
        ];
        for (name, help, value) in rows {
            if let Some(value) = value {
                out.single(name, Kind::of_name(name), help, value);
            }
        }
    }
}

/// The unit of CPU time in `/proc` on every architecture that Linux has (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;
/// The unit of `statm`; kernels with larger pages report too little here, never too much.
const PAGE_BYTES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::exposition::strict;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 7 0 100 1000 200";
        let limits =
            "Limit Soft Hard Units\nMax open files            1024                 4096                 files\n";
        let process = Process::parse(stat, "100 20 5 1 0 10 0", limits);
        assert_eq!(process.cpu, Some(Duration::from_secs(2)));
        assert_eq!((process.address_space, process.resident), (Some(409_600), Some(81_920)));
        assert_eq!((process.descriptors_max, process.threads), (Some(1024), Some(7)));
    }

    #[test]
    fn this_process_is_there() {
        let process = Process::read();
        assert!(process.resident.expect("resident") > 0);
        assert!(process.descriptors.expect("descriptors") > 2);
        let mut out = Exposition::new();
        process.expose(&mut out);
        let parsed = strict::parse(&out.finish()).expect("well formed");
        assert_eq!(parsed.families["process_cpu_seconds_total"], "counter");
    }

    #[test]
    fn garbage_is_nothing() {
        assert_eq!(Process::parse("", "", ""), Process::default());
        assert_eq!(Process::parse(") x y", "a b", "Max open files unlimited"), Process::default());
    }
}
