// SPDX-License-Identifier: Apache-2.0
//! Standard error, written by a thread of its own, so that no other thread waits for the reader of a pipe.
//!
//! What waits is bounded; above the bound, and where a write fails, messages are dropped and their lines counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing_subscriber::fmt::MakeWriter;

/// Messages that wait for the writer at most; above it the newest is dropped and its lines counted.
const WAITING_MAX: usize = 1_024;
/// Bytes that wait for the writer at most; above it the newest message is dropped and its lines counted.
const WAITING_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// Longest message; the rest of it is cut off and counted as one line.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Longest wait for the last lines to be written when the process ends.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// Where messages go; clones go to the same writer.
#[derive(Clone, Debug)]
pub(super) struct Stderr {
    orders: Sender<Order>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Lines.
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Order {
    Write(Vec<u8>),
    Report(Sender<()>),
}

impl Stderr {
    /// Starts the writer.
    pub(super) fn start() -> io::Result<Stderr> {
        Stderr::onto(io::stderr())
    }

    fn onto(out: impl Write + Send + 'static) -> io::Result<Stderr> {
        let (orders, inbox) = bounded(WAITING_MAX);
        let shared = Arc::new(Shared::default());
        let counted = Arc::clone(&shared);
        std::thread::Builder::new().name("stderr".into()).spawn(move || write(out, &inbox, &counted))?;
        Ok(Stderr { orders, shared })
    }

    /// Writes a text of one or more lines, sooner or later.
    pub(super) fn write(&self, text: impl Into<Vec<u8>>) {
        let mut text: Vec<u8> = text.into();
        if text.len() > MESSAGE_BYTES_MAX {
            text.truncate(MESSAGE_BYTES_MAX);
            text.push(b'\n');
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        let (bytes, lines) = (text.len(), lines(&text));
        let fits = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= WAITING_BYTES_MAX;
        if !fits || self.orders.try_send(Order::Write(text)).is_err() {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Lines that were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, but not for a reader that takes nothing.
    pub(super) fn flush(&self) {
        let until = Instant::now() + CLOSE_MAX;
        let (done, written) = bounded(1);
        if self.orders.send_deadline(Order::Report(done), until).is_ok() {
            let _ = written.recv_deadline(until);
        }
    }
}

fn write(mut out: impl Write, inbox: &Receiver<Order>, shared: &Shared) {
    while let Ok(order) = inbox.recv() {
        match order {
            Order::Write(text) => {
                if out.write_all(&text).is_err() {
                    shared.dropped.fetch_add(lines(&text), Ordering::Relaxed);
                }
                shared.waiting.fetch_sub(text.len(), Ordering::Relaxed);
            }
            Order::Report(done) => {
                // Whoever waits may have given up.
                let _ = done.send(());
            }
        }
    }
}

fn lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count().max(1) as u64
}

/// One message of `tracing`: handed to the writer as a whole when it is dropped.
#[derive(Debug)]
pub(super) struct Message {
    text: Vec<u8>,
    to: Stderr,
}

impl Write for Message {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.to.write(std::mem::take(&mut self.text));
        }
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Message;

    fn make_writer(&'a self) -> Message {
        Message { text: Vec::new(), to: self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let stderr = Stderr::onto(writer).expect("a thread");
        for number in 0..100 {
            let mut message = stderr.make_writer();
            write!(message, "number ").expect("kept");
            writeln!(message, "{number}").expect("kept");
        }
        stderr.flush();
        drop(stderr);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert!(text.lines().eq((0..100).map(|number| format!("number {number}"))));
    }

    #[test]
    fn a_reader_that_takes_nothing_holds_up_nobody_and_what_is_lost_is_counted() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let stderr = Stderr::onto(writer).expect("a thread");
        let text = vec![b'\n'; WAITING_BYTES_MAX / 8];
        (0..16).for_each(|_| stderr.write(text.clone()));
        let began = Instant::now();
        stderr.flush();
        assert!(began.elapsed() < 10 * CLOSE_MAX);
        // What the pipe takes of the first message still counts as waiting.
        assert_eq!(stderr.dropped(), 8 * text.len() as u64);
        drop(reader);
        let until = Instant::now() + Duration::from_secs(30);
        while stderr.dropped() < 16 * text.len() as u64 {
            assert!(Instant::now() < until, "writes into a broken pipe are not counted");
            std::thread::yield_now();
        }
        assert_eq!(stderr.dropped(), 16 * text.len() as u64);
    }

    #[test]
    fn a_message_without_end_is_cut_and_counted() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let stderr = Stderr::onto(writer).expect("a thread");
        let read = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        stderr.write(vec![b'x'; 2 * MESSAGE_BYTES_MAX]);
        stderr.flush();
        assert_eq!(stderr.dropped(), 1);
        drop(stderr);
        assert_eq!(read.join().expect("read").expect("read").len(), MESSAGE_BYTES_MAX + 1);
    }
}
