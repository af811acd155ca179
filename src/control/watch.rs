// SPDX-License-Identifier: Apache-2.0
//! Notices when a file of the configuration changes: the files themselves, what they include, certificates, secrets.
//!
//! Folders are watched rather than files, because editors and orchestrators put a new file (or link) in place of the
//! old one. A burst of events is one change, and only where a file's size, time or identity really differ.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_blocking, spawn_local};
use tokio::time::timeout;

/// A change is reported after this long without a further event.
const QUIET: Duration = Duration::from_millis(200);
/// Or when events kept coming for so many times `QUIET`.
const QUIET_TRIES: usize = 10;
/// Without a working watcher, the files are looked at this often.
const POLL: Duration = Duration::from_secs(5);
/// File systems stamp changes with a clock that moves with the kernel's tick, 10 ms at the slowest: a stamp may be
/// that much older than the change.
const STAMP_LAG: Duration = Duration::from_millis(10);

/// A watch over some files, in a task of its own; dropping it ends it.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    changes: mpsc::Receiver<()>,
    task: AbortHandle,
}

impl Watch {
    /// Watches these files and folders. Where the system refuses, polls them instead.
    ///
    /// Files that changed after `since` count as changed already: whoever read them then may have seen the old state.
    pub(super) fn over(files: Vec<PathBuf>, since: Option<SystemTime>) -> Watch {
        let (reports, changes) = mpsc::channel(1);
        let task = spawn_local(follow(files.clone(), since, reports));
        Watch { files, changes, task: task.abort_handle() }
    }

    /// Waits for a change. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// What is watched.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task. Every look at files is on another thread, because a file system may not answer.
async fn follow(files: Vec<PathBuf>, since: Option<SystemTime>, reports: mpsc::Sender<()>) {
    if files.is_empty() {
        return;
    }
    if let Ok(look) = spawn_blocking(move || Look::begin(files, since)).await {
        look.run(reports).await;
    }
}

struct Look {
    files: Arc<[PathBuf]>,
    seen: Vec<Option<Fingerprint>>,
    events: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
}

/// What distinguishes one state of a file from another: device, number, size, time of change with its nanoseconds.
type Fingerprint = (u64, u64, u64, i64, i64);

impl Look {
    fn begin(files: Vec<PathBuf>, since: Option<SystemTime>) -> Look {
        let (sender, events) = mpsc::channel(1);
        let on_event = move |_| {
            // One pending event is enough, because all mean the same.
            let _ = sender.try_send(());
        };
        let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
            for folder in folders(&files) {
                watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "inotify is not available; files are checked every few seconds");
        }
        Look { seen: seen(&files, since), files: files.into(), events, watcher: watcher.ok() }
    }

    async fn run(mut self, reports: mpsc::Sender<()>) {
        if self.prints().await != self.seen {
            // Whoever changed a file while it was read may not be done with it.
            tokio::time::sleep(QUIET).await;
        }
        loop {
            let now = self.prints().await;
            if now != self.seen {
                self.seen = now;
                if reports.send(()).await.is_err() {
                    return;
                }
            }
            self.event().await;
            for _ in 0..QUIET_TRIES {
                if timeout(QUIET, self.event()).await.is_err() {
                    break;
                }
            }
        }
    }

    /// The files' states by now; those that were seen last where the system has no thread left to look.
    async fn prints(&self) -> Vec<Option<Fingerprint>> {
        let files = Arc::clone(&self.files);
        spawn_blocking(move || fingerprints(&files)).await.unwrap_or_else(|_| self.seen.clone())
    }

    async fn event(&mut self) {
        let notified = self.watcher.is_some() && self.events.recv().await.is_some();
        if !notified {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The files' states, those that changed after `since` left out.
fn seen(files: &[PathBuf], since: Option<SystemTime>) -> Vec<Option<Fingerprint>> {
    let mut seen = fingerprints(files);
    // A time in the future is ignored, because the file would count as changed forever.
    let fresh = |file: &PathBuf| {
        let changed = std::fs::metadata(file).and_then(|found| found.modified()).ok();
        changed.zip(since).is_some_and(|(changed, since)| changed + STAMP_LAG > since && changed <= SystemTime::now())
    };
    for (_, seen) in files.iter().zip(&mut seen).filter(|(file, _)| fresh(file)) {
        *seen = None;
    }
    seen
}

/// The folders in which a change of these files shows: their own, and those that links lead to.
fn folders(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for file in files {
        for place in [Some(file.clone()), std::fs::canonicalize(file).ok()].into_iter().flatten() {
            let folder = if place.is_dir() { Some(place.as_path()) } else { place.parent() };
            let folder = folder.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
            folders.extend(folder.filter(|folder| folder.is_dir()).map(Path::to_owned));
        }
    }
    folders
}

fn fingerprints(files: &[PathBuf]) -> Vec<Option<Fingerprint>> {
    let print = |file: &PathBuf| {
        let found = std::fs::metadata(file).ok()?;
        Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    };
    files.iter().map(print).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let bounded = async { timeout(Duration::from_secs(30), test).await.expect("in time") };
        tokio::task::LocalSet::new().block_on(&runtime, bounded);
    }

    /// A watch that has read the files' states once and reports later changes.
    fn begun(files: Vec<PathBuf>, since: Option<SystemTime>) -> Watch {
        let (reports, changes) = mpsc::channel(1);
        let look = Look::begin(files.clone(), since);
        Watch { files, changes, task: spawn_local(look.run(reports)).abort_handle() }
    }

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn a_replaced_file_and_a_moved_link_are_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        std::fs::create_dir(place("one")).expect("made");
        std::fs::create_dir(place("two")).expect("made");
        write(&place("one/key"), "1");
        write(&place("two/key"), "22");
        std::os::unix::fs::symlink("one", place("now")).expect("linked");
        std::os::unix::fs::symlink("now/key", place("key")).expect("linked");
        write(&place("conf"), "a");
        run(async {
            let mut watch = begun(vec![place("conf"), place("key")], None);
            write(&place("conf.new"), "b");
            std::fs::rename(place("conf.new"), place("conf")).expect("moved");
            watch.changed().await;
            std::os::unix::fs::symlink("two", place("next")).expect("linked");
            std::fs::rename(place("next"), place("now")).expect("moved");
            watch.changed().await;
        });
    }

    #[test]
    fn a_neighbour_is_no_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf");
        write(&path, "a");
        run(async {
            let mut watch = begun(vec![path.clone()], None);
            write(&folder.path().join("other"), "b");
            assert!(timeout(QUIET * 3, watch.changed()).await.is_err());
            write(&path, "bb");
            watch.changed().await;
        });
    }

    #[test]
    fn a_file_that_comes_later_is_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf");
        run(async {
            let mut watch = begun(vec![path.clone()], None);
            write(&path, "a");
            watch.changed().await;
        });
    }

    #[test]
    fn a_file_that_changed_while_it_was_read_is_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf");
        let before = SystemTime::now() - Duration::from_secs(5);
        write(&path, "a");
        run(async { Watch::over(vec![path.clone()], Some(before)).changed().await });
    }

    #[test]
    fn a_stamp_may_be_older_than_the_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf");
        write(&path, "a");
        let stamp = std::fs::metadata(&path).and_then(|found| found.modified()).expect("a stamp");
        run(async {
            Watch::over(vec![path.clone()], Some(stamp + STAMP_LAG / 2)).changed().await;
            let mut later = Watch::over(vec![path.clone()], Some(stamp + 2 * STAMP_LAG));
            assert!(timeout(QUIET * 3, later.changed()).await.is_err());
        });
    }

    #[test]
    fn nothing_to_watch_waits_for_ever() {
        run(async {
            let mut watch = Watch::over(Vec::new(), None);
            assert!(timeout(QUIET, watch.changed()).await.is_err());
        });
    }
}
