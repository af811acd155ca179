// SPDX-License-Identifier: Apache-2.0
//! The access log's writer: whole lines in, large writes out. A thread of its own opens and writes the file, so that a
//! slow disk, a FIFO that nobody reads or a file system that does not answer holds up nobody.
//!
//! What waits is bounded in bytes. Above the bound, and where a write fails, whole buffers are dropped and their lines
//! counted; a failure is reported when it begins and when it ends, not for each write.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;

use crate::config::plan::LogTarget;

/// Bytes that wait for the writer at most; above it buffers are dropped and their lines counted.
pub(crate) const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Buffers that wait for the writer at most; above it buffers are dropped and their lines counted.
const WAITING_MAX: usize = 8_192;
/// Buffers that go into one write; more of them go into the next.
const BATCH_MAX: usize = 64;

/// Files that are being opened at once; above it the next one is refused. A file system that does not answer keeps a
/// thread for each attempt until it does.
const OPENING_MAX: usize = 8;

/// A running log writer. Dropping it does not wait: its thread writes what it has and ends. `close` waits for that.
#[derive(Debug)]
pub(crate) struct Log {
    orders: Sender<Order>,
    shared: Arc<Shared>,
    target: LogTarget,
}

impl Log {
    /// Starts the writer and waits until it has opened the target, but no longer than `wait`.
    pub(crate) async fn open(target: LogTarget, wait: Duration) -> io::Result<Log> {
        Log::open_by(open, target, wait).await
    }

    async fn open_by(
        open: impl FnOnce(&LogTarget) -> io::Result<File> + Send + 'static,
        target: LogTarget,
        wait: Duration,
    ) -> io::Result<Log> {
        let (report, opened) = oneshot::channel();
        let log = Log::start(open, target, report)?;
        match tokio::time::timeout(wait, opened).await {
            Ok(Ok(Ok(()))) => Ok(log),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) => Err(io::Error::other("its thread ended")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, log.too_late(wait))),
        }
    }

    /// Starts the thread, which opens the target, reports the outcome and, where somebody still waits for it, writes.
    fn start(
        open: impl FnOnce(&LogTarget) -> io::Result<File> + Send + 'static,
        target: LogTarget,
        report: oneshot::Sender<io::Result<()>>,
    ) -> io::Result<Log> {
        let turn = Opening::begin().ok_or_else(|| io::Error::other("earlier attempts to open a log still hang"))?;
        let (orders, inbox) = bounded(WAITING_MAX);
        let shared = Arc::new(Shared::default());
        let log = Log { orders, shared: Arc::clone(&shared), target: target.clone() };
        std::thread::Builder::new().name("log".into()).spawn(move || {
            let opened = open(&target);
            drop(turn);
            let (outcome, file) = opened.map_or_else(|error| (Err(error), None), |file| (Ok(()), Some(file)));
            let awaited = report.send(outcome).is_ok();
            if let Some(file) = file.filter(|_| awaited) {
                Writer { file, target, shared, health: Health::Good }.run(&inbox);
            }
        })?;
        Ok(log)
    }

    fn too_late(&self, wait: Duration) -> String {
        let what = match &self.target {
            LogTarget::Stdout => "standard output".to_owned(),
            LogTarget::File(path) => path.display().to_string(),
        };
        format!("{what}: not open after {} seconds", wait.as_secs())
    }

    /// Where it writes to.
    pub(crate) fn target(&self) -> &LogTarget {
        &self.target
    }

    /// Gives whole lines to the writer without waiting. Lines that do not fit are dropped and counted.
    pub(crate) fn write(&self, lines: Vec<u8>) {
        let bytes = lines.len();
        let waiting = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let order = Order::Lines(lines);
        let fits = waiting <= WAITING_BYTES_MAX;
        let refused = if fits { self.orders.try_send(order).err().map(|full| full.into_inner()) } else { Some(order) };
        if let Some(Order::Lines(lines)) = refused {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.drop_lines(&lines);
        }
    }

    /// Opens the file anew, after what was handed over so far (log rotation). A failure keeps the old file and is
    /// reported. False where the writer is too far behind to take the order.
    #[must_use]
    pub(crate) fn reopen(&self) -> bool {
        self.orders.try_send(Order::Reopen).is_ok()
    }

    /// Lines that were dropped so far: no room, or the write failed.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends the writer, but waits no longer than `wait` for it.
    pub(crate) fn close(self, wait: Duration) {
        let until = Instant::now() + wait;
        let (done, ended) = bounded(1);
        // A full queue means that the writer is stuck; then it gets no more than the wait below.
        let _ = self.orders.send_deadline(Order::End(done), until);
        if ended.recv_deadline(until).is_err() {
            tracing::warn!("access log: not all lines could be written in time");
        }
    }
}

/// One of `OPENING_MAX` files that are being opened.
struct Opening;

static OPENING: AtomicUsize = AtomicUsize::new(0);

impl Opening {
    fn begin() -> Option<Opening> {
        let one_more = |count| (count < OPENING_MAX).then_some(count + 1);
        OPENING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Opening)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        OPENING.fetch_sub(1, Ordering::Relaxed);
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

/// The outcome of the last write.
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

fn open_file(path: &Path) -> io::Result<File> {
    append(path).map_err(|error| {
        let unread = error.raw_os_error() == Some(libc::ENXIO);
        let what = if unread { "nobody reads this FIFO".to_owned() } else { error.to_string() };
        io::Error::new(error.kind(), format!("{}: {what}", path.display()))
    })
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o644);
    // Without this flag, opening a FIFO waits until somebody reads it.
    let opened = options.custom_flags(libc::O_NONBLOCK).open(path)?;
    if opened.metadata()?.is_file() {
        return Ok(opened);
    }
    // The flag stays with what was opened; writes to pipes and devices are to wait, here on the writer's thread.
    options.custom_flags(0).open(path)
}

#[cfg(test)]
mod tests;
