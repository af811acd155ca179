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
pub mod reader;
pub mod recording;
pub mod strict;
pub mod tool;

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
