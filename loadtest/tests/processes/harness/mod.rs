// SPDX-License-Identifier: Apache-2.0
//! What the tests stand on: the gateway as a process, clients and origins on plain sockets, and the tools of others.
//!
//! Everything lives on 127.0.0.1, in a folder that is removed again, and under deadlines: nothing here waits for ever.

pub mod certificates;
pub mod client;
pub mod gateway;
pub mod http2;
pub mod load;
pub mod message;
pub mod origin;
pub mod postgres;
pub mod reader;
pub mod recording;
pub mod strict;
pub mod tool;

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub use client::Client;
pub use gateway::{Gateway, Setup};
pub use message::{End, Response};
pub use origin::{Origin, Peer};
pub use tool::{curl, run};

/// Longest wait for anything that a machine under load still does.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `question` again and again until it has an answer. Panics with `what` where none comes in time.
pub fn wait_for<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < until, "waited too long for {what}");
        sleep(Duration::from_millis(15));
    }
}

/// Waits until all threads of these processes, and those of this one that are called `origin`, have nothing to do: seen
/// a few times in a row, they sleep and have not run in between. However busy the machine is, a thread that has
/// something to do is ready to run.
pub fn wait_still(processes: &[u32], origin: &str) {
    let mut before = None;
    let mut equal = 0;
    wait_for("processes to have nothing to do", || {
        let now = at_rest(processes, origin);
        equal = if now.is_some() && now == before { equal + 1 } else { 0 };
        before = now;
        (equal >= LOOKS).then_some(())
    });
}

/// How often the threads have run; `None` where one of them is not asleep.
fn at_rest(processes: &[u32], origin: &str) -> Option<Vec<(String, String)>> {
    let own = std::process::id();
    let mut threads = Vec::new();
    for process in processes.iter().chain([&own]) {
        for task in fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten() {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
            if *process == own && value("Name:") != origin {
                continue;
            }
            if !value("State:").starts_with('S') {
                return None;
            }
            let runs = format!("{} {}", value("voluntary_ctxt_switches:"), value("nonvoluntary_ctxt_switches:"));
            threads.push((task.path().display().to_string(), runs));
        }
    }
    threads.sort_unstable();
    Some(threads)
}

/// Looks in a row, 15 ms apart, that see no thread run.
const LOOKS: u32 = 4;

/// So many bytes that repeat late and compress badly.
pub fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}
