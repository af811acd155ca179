// SPDX-License-Identifier: Apache-2.0
//! Processor time and memory of a process with all its children and threads, from `/proc`.
//!
//! Time is taken from each thread's `schedstat`, which counts nanoseconds of user and system time together, also
//! those of io_uring's kernel workers.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::failure::{Context, Failure};

/// A process and its descendants.
#[derive(Debug, Clone, Copy)]
pub struct Tree {
    root: u32,
}

/// Resident memory of a tree in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Sum of the resident sets: pages shared by several processes count in each.
    pub rss_kib: u64,
    /// Sum of the proportional sets: a shared page counts once.
    pub pss_kib: u64,
}

impl Tree {
    /// The tree under `root`.
    pub fn of(root: u32) -> Tree {
        Tree { root }
    }

    /// The process at the top and all below it that live now.
    pub fn processes(&self) -> Vec<u32> {
        let parents = all_parents();
        let mut tree = vec![self.root];
        let mut at = 0;
        while let Some(&parent) = tree.get(at) {
            tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
            at += 1;
        }
        tree
    }

    /// User and system time spent so far, in nanoseconds, by all threads that still live.
    pub fn cpu_ns(&self) -> Result<u64, Failure> {
        self.processes().into_iter().map(threads_cpu_ns).sum()
    }

    /// The same of the process at the top alone.
    pub fn cpu_ns_of_root(&self) -> Result<u64, Failure> {
        threads_cpu_ns(self.root)
    }

    /// Resident memory now.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for process in self.processes() {
            let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
            memory.rss_kib += kib_of(&text, "Rss:");
            memory.pss_kib += kib_of(&text, "Pss:");
        }
        memory
    }

    /// The processes of the tree of which some thread may run elsewhere than on `core`, each with its list of cores.
    pub fn strays(&self, core: usize) -> Vec<String> {
        let mut strays = Vec::new();
        for process in self.processes() {
            let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
            for task in tasks.flatten() {
                let text = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                let cores = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map(str::trim);
                if let Some(cores) = cores
                    && cores != core.to_string()
                {
                    strays.push(format!("{} on {cores}", task.file_name().to_string_lossy()));
                }
            }
        }
        strays
    }
}

fn threads_cpu_ns(process: u32) -> Result<u64, Failure> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .context(format_args!("reading the threads of process {process}"))?;
    let mut total = 0;
    for task in tasks.flatten() {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        total += first_number(&text).context("schedstat does not start with a number")?;
    }
    Ok(total)
}

/// Every process with its parent.
fn all_parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes
        .filter_map(|process| Some((process, parent_of(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)?)))
        .collect()
}

/// The parent in a line of `/proc/PID/stat`; the name before it stands in parentheses and may hold anything.
fn parent_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn kib_of(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)).and_then(first_number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Tree, kib_of, parent_of};

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_of("812 (nginx: worker) S 811 811 0"), Some(811));
        assert_eq!(parent_of("7 (a) b) R) S 3 1"), Some(3));
        assert_eq!(parent_of("nonsense"), None);
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(kib_of("Rss:      1234 kB\nPss:  99 kB\n", "Pss:"), 99);
        assert_eq!(kib_of("", "Pss:"), 0);
    }

    #[test]
    fn this_process_has_time_and_memory() {
        let tree = Tree::of(std::process::id());
        assert!(tree.cpu_ns().unwrap() > 0);
        let memory = tree.memory();
        assert!(memory.rss_kib > 0 && memory.pss_kib <= memory.rss_kib);
    }
}
