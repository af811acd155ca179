//! The access log's writer: whole lines in, large writes out, on a thread of its own, so that a slow or full disk
//! holds up nobody.
//!
//! What waits is bounded in bytes. Above the bound, and where a write fails, whole buffers are dropped and their lines
//! counted; a failure is reported when it begins and when it ends, not for each write.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::config::plan::LogTarget;

/// Bytes that wait for the writer at most; above it buffers are dropped and their lines counted.
pub const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Buffers that wait for the writer at most; above it buffers are dropped and their lines counted.
const WAITING_MAX: usize = 8_192;
/// Buffers that go into one write; more of them go into the next.
const BATCH_MAX: usize = 64;

/// A running log writer. Dropping it writes what waits, however long that takes; `close` bounds the wait.
#[derive(Debug)]
pub struct Log {
    orders: Option<Sender<Order>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    target: LogTarget,
}

impl Log {
    /// Opens the target and starts the writer. Fails where the target cannot be opened.
    pub fn open(target: &LogTarget) -> io::Result<Log> {
        Log::onto(open(target)?, target.clone())
    }

    fn onto(file: File, target: LogTarget) -> io::Result<Log> {
        let (orders, inbox) = bounded(WAITING_MAX);
        let shared = Arc::new(Shared::default());
        let writer = Writer { file, target: target.clone(), shared: Arc::clone(&shared), health: Health::Good };
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&inbox))?;
        Ok(Log { orders: Some(orders), shared, thread: Some(thread), target })
    }

    /// Where it writes to.
    pub fn target(&self) -> &LogTarget {
        &self.target
    }

    /// Hands whole lines to the writer. Never waits: what does not fit is dropped and counted.
    pub fn write(&self, lines: Vec<u8>) {
        let bytes = lines.len();
        let waiting = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let order = Order::Lines(lines);
        let refused = match &self.orders {
            Some(orders) if waiting <= WAITING_BYTES_MAX => orders.try_send(order).err().map(|full| full.into_inner()),
            Some(_) | None => Some(order),
        };
        if let Some(Order::Lines(lines)) = refused {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.drop_lines(&lines);
        }
    }

    /// Opens the file anew, after what was handed over so far (log rotation). A failure keeps the old file and is
    /// reported. False where the writer is too far behind to take the order.
    #[must_use]
    pub fn reopen(&self) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.try_send(Order::Reopen).is_ok())
    }

    /// Lines that were dropped so far: no room, or the write failed.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends the writer, but waits no longer than `wait` for it.
    pub fn close(mut self, wait: Duration) {
        let (done, ended) = bounded(1);
        if let Some(orders) = self.orders.take() {
            // A full queue means that the writer is stuck; then the wait below is all that it gets.
            let _ = orders.send_timeout(Order::End(done), wait);
        }
        if ended.recv_timeout(wait).is_err() {
            tracing::warn!("the access log could not be written to its end in time");
            self.thread = None;
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
enum Order {
    Lines(Vec<u8>),
    Reopen,
    End(Sender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Shared {
    fn drop_lines(&self, lines: &[u8]) {
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

/// What the last write said.
enum Health {
    Good,
    /// Writes fail since this many dropped lines.
    Failing {
        dropped_before: u64,
        /// The last write that succeeded in part ended within a line.
        torn: bool,
    },
}

struct Writer {
    file: File,
    target: LogTarget,
    shared: Arc<Shared>,
    health: Health,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Order>) {
        let mut batch: Vec<Vec<u8>> = Vec::with_capacity(BATCH_MAX);
        while let Ok(first) = inbox.recv() {
            let mut next = Some(first);
            while let Some(order) = next.take() {
                match order {
                    Order::Lines(lines) => batch.push(lines),
                    Order::Reopen => {
                        self.write(&mut batch);
                        self.reopen();
                    }
                    Order::End(done) => {
                        self.write(&mut batch);
                        let _ = done.send(());
                        return;
                    }
                }
                if batch.len() < BATCH_MAX {
                    next = inbox.try_recv().ok();
                }
            }
            self.write(&mut batch);
        }
    }

    /// Writes the batch and empties it.
    fn write(&mut self, batch: &mut Vec<Vec<u8>>) {
        if batch.is_empty() {
            return;
        }
        let bytes: usize = batch.iter().map(Vec::len).sum();
        let mut written = 0;
        let outcome = self.mend().and_then(|()| write_all(&mut self.file, batch, &mut written));
        self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
        match outcome {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(&error, batch, written),
        }
        batch.clear();
    }

    /// Ends a line that a failed write tore, so that the next one starts on its own.
    fn mend(&mut self) -> io::Result<()> {
        if let Health::Failing { torn: torn @ true, .. } = &mut self.health {
            self.file.write_all(b"\n")?;
            *torn = false;
        }
        Ok(())
    }

    fn succeeded(&mut self) {
        if let Health::Failing { dropped_before, .. } = self.health {
            let lost = self.shared.dropped.load(Ordering::Relaxed) - dropped_before;
            tracing::info!(lost, "the access log can be written again");
            self.health = Health::Good;
        }
    }

    fn failed(&mut self, error: &io::Error, batch: &[Vec<u8>], written: usize) {
        let dropped_before = self.shared.dropped.load(Ordering::Relaxed);
        let mut skip = written;
        let mut last = b'\n';
        for lines in batch {
            let done = skip.min(lines.len());
            skip -= done;
            last = if done > 0 { lines[done - 1] } else { last };
            self.shared.drop_lines(&lines[done..]);
        }
        let torn_now = last != b'\n';
        match &mut self.health {
            Health::Good => {
                tracing::error!(%error, "the access log cannot be written; lines are dropped and counted");
                self.health = Health::Failing { dropped_before, torn: torn_now };
            }
            Health::Failing { torn, .. } => *torn |= torn_now,
        }
    }

    fn reopen(&mut self) {
        match open(&self.target) {
            Ok(file) => {
                self.file = file;
                if let Health::Failing { torn, .. } = &mut self.health {
                    *torn = false;
                }
            }
            Err(error) => tracing::error!(%error, "the access log cannot be reopened; the old file stays"),
        }
    }
}

/// Writes all buffers in as few calls as the system allows, counting in `written` what it took.
fn write_all(file: &mut File, batch: &[Vec<u8>], written: &mut usize) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|lines| IoSlice::new(lines)).collect();
    let mut rest = &mut slices[..];
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                *written += count;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn open(target: &LogTarget) -> io::Result<File> {
    match target {
        LogTarget::Stdout => stdout(),
        LogTarget::File(path) => open_file(path),
    }
}

/// A descriptor of its own for standard output, so that nothing is held back in the standard library's buffer.
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

fn open_file(path: &PathBuf) -> io::Result<File> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
    opened.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn file_log(path: &std::path::Path) -> Log {
        Log::open(&LogTarget::File(path.into())).expect("a fresh folder")
    }

    #[test]
    fn lines_reach_the_file_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let log = file_log(&path);
        let mut expected = Vec::new();
        for number in 0..500 {
            let lines = format!("line {number}\nsecond {number}\n").into_bytes();
            expected.extend_from_slice(&lines);
            log.write(lines);
        }
        log.write(Vec::new());
        drop(log);
        assert_eq!(std::fs::read(&path).expect("written"), expected);
    }

    #[test]
    fn reopen_starts_a_new_file_after_what_was_handed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = file_log(&path);
        log.write(b"before\n".to_vec());
        std::fs::rename(&path, &moved).expect("renamed");
        assert!(log.reopen());
        log.write(b"after\n".to_vec());
        log.close(Duration::from_secs(10));
        assert_eq!(std::fs::read(&moved).expect("old file"), b"before\n");
        assert_eq!(std::fs::read(&path).expect("new file"), b"after\n");
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let log = Log::open(&LogTarget::File("/dev/full".into())).expect("opens");
        log.write(b"one\ntwo\n".to_vec());
        log.write(b"three\n".to_vec());
        let shared = Arc::clone(&log.shared);
        log.close(Duration::from_secs(10));
        assert_eq!(shared.dropped.load(Ordering::Relaxed), 3);
        assert_eq!(shared.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_stuck_reader_never_blocks_the_caller() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let log = Log::onto(file, LogTarget::Stdout).expect("started");
        let mut lines = vec![b'x'; 1024 * 1024];
        *lines.last_mut().expect("not empty") = b'\n';
        let count = 2 * WAITING_BYTES_MAX / lines.len();
        for _ in 0..count {
            log.write(lines.clone());
        }
        let dropped = log.dropped();
        assert!(dropped as usize >= count / 2 - 1, "{dropped} of {count}");
        let drain = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        log.close(Duration::from_secs(30));
        let read = drain.join().expect("reader").expect("read");
        assert_eq!(read / lines.len() + dropped as usize, count);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = Log::open(&LogTarget::File("/nonexistent/access.log".into())).expect_err("no such folder");
        assert!(error.to_string().contains("/nonexistent/access.log"));
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let target = LogTarget::File(path.clone());
        let shared = Arc::new(Shared::default());
        let file = open(&target).expect("opens");
        let mut writer = Writer { file, target, shared, health: Health::Good };
        writer.failed(&io::ErrorKind::StorageFull.into(), &[b"abc\ndef\nghi\n".to_vec()], 6);
        assert_eq!(writer.shared.dropped.load(Ordering::Relaxed), 2);
        writer.write(&mut vec![b"next\n".to_vec()]);
        assert_eq!(std::fs::read(&path).expect("written"), b"\nnext\n");
    }
}
