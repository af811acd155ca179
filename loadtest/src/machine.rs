// SPDX-License-Identifier: Apache-2.0
//! The machine under the test: cores, limits, clock, and the facts a raw figure must carry to be read later.
//!
//! The proxy has core 0 for itself; origin and client share core 1.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::failure::{Context, Failure};

/// The core of the proxy.
pub const PROXY_CORE: usize = 0;

/// The core of the origin and of the client.
pub const CLIENT_CORE: usize = 1;

/// Descriptors that ten thousand connections through a proxy need in one process, with room.
const DESCRIPTORS_WANTED: u64 = 65_536;

/// What the machine was when a run was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Short name used in the folder of the run, such as `2cpu-amd-epyc`.
    pub class: String,
    /// Model name of the processor.
    pub processor: String,
    /// Cores the kernel sees.
    pub cores: usize,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Kernel release.
    pub kernel: String,
    /// Congestion control of TCP.
    pub congestion_control: String,
    /// Name of the distribution.
    pub system: String,
}

impl Machine {
    /// Reads the facts from `/proc`.
    pub fn read() -> Machine {
        let processor = proc_field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
        let cores = proc_lines("/proc/cpuinfo", "processor").max(1);
        let memory = proc_field("/proc/meminfo", "MemTotal").unwrap_or_default();
        Machine {
            class: format!("{cores}cpu-{}", slug(&processor)),
            processor,
            cores,
            memory_kib: memory.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0),
            kernel: read_trimmed("/proc/sys/kernel/osrelease"),
            congestion_control: read_trimmed("/proc/sys/net/ipv4/tcp_congestion_control"),
            system: os_name(),
        }
    }
}

/// Pins the calling thread, and whatever it starts afterwards, to `core`.
pub fn pin(core: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).context(format_args!("pinning a thread to core {core}"))
}

/// Lets the calling thread run on every core of the two that a test uses.
pub fn unpin() -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(PROXY_CORE);
    set.set(CLIENT_CORE);
    sched_setaffinity(None, &set).context("letting a thread run on both cores")
}

/// Asks the kernel to wake this thread's timers without its usual 50 µs of grace.
pub fn wake_sharply() {
    // A refusal costs precision of the open-loop schedule, which the figures show themselves; it is no reason to stop.
    let _ = set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// Raises the limit of open descriptors as far as the kernel allows, and says what it is now.
pub fn raise_descriptors() -> u64 {
    let wanted = Rlimit { current: Some(DESCRIPTORS_WANTED), maximum: Some(DESCRIPTORS_WANTED) };
    let now = getrlimit(Resource::Nofile);
    if now.maximum.is_some_and(|maximum| maximum < DESCRIPTORS_WANTED) && setrlimit(Resource::Nofile, wanted).is_ok() {
        return DESCRIPTORS_WANTED;
    }
    let full = Rlimit { current: now.maximum, maximum: now.maximum };
    // Where even this fails the old limit stays, and is what we return.
    let _ = setrlimit(Resource::Nofile, full);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Nanoseconds of the monotonic clock, the same for all processes of the machine.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Busy time of one core in milliseconds, of all processes, from `/proc/stat`; its grain is 10 ms.
pub fn core_busy_ms(core: usize) -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let prefix = format!("cpu{core} ");
    let Some(line) = text.lines().find(|line| line.starts_with(&prefix)) else { return 0 };
    let ticks: Vec<u64> = line.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal: everything but idle and iowait.
    let busy: u64 =
        ticks.iter().take(8).enumerate().filter(|(at, _)| *at != 3 && *at != 4).map(|(_, value)| value).sum();
    busy * 10
}

/// The date in UTC as `YYYY-MM-DD`.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The commit of the working tree, with `+` where it has uncommitted changes.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|lines| !lines.is_empty());
    if changed { format!("{hash}+") } else { hash }
}

/// True once the person asked to stop with ctrl-c or a TERM signal; the first call starts to listen for it.
pub fn interrupted() -> bool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let flag = FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            // Without a handler the signal ends the process at once, which leaves only temporary files behind.
            let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
        }
        flag
    });
    flag.load(Ordering::Relaxed)
}

/// A [`Failure`] where the person asked to stop.
pub fn check_interrupt() -> Result<(), Failure> {
    if interrupted() { Err(Failure::new("interrupted")) } else { Ok(()) }
}

/// Days since 1970-01-01 as year, month, day of the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that the leap day is the last of its year; 719 468 days lie between 0000-03-01
    // and 1970-01-01, and 146 097 days make an era of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn slug(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            out.push(character);
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
        if out.len() >= 24 {
            break;
        }
    }
    out.trim_end_matches('-').to_owned()
}

fn read_trimmed(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

fn proc_field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn proc_lines(path: &str, name: &str) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.split(':').next().is_some_and(|key| key.trim() == name)).count()
}

fn os_name() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or_else(|| "unknown".into(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::{civil, slug};

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_777), (2026, 11, 20));
        assert_eq!(civil(20_818), (2026, 12, 31));
    }

    #[test]
    fn a_processor_name_becomes_a_folder_name() {
        assert_eq!(slug("AMD EPYC"), "amd-epyc");
        assert_eq!(slug("Intel(R) Xeon(R) @ 2.2GHz, a very long name"), "intel-r-xeon-r-2-2ghz-a");
    }
}
