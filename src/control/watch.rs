// SPDX-License-Identifier: Apache-2.0
//! Notices when a file of the configuration changes: the files themselves, what they include, certificates, secrets.
//!
//! Folders are watched rather than files, because editors and orchestrators put a new file (or link) in place of the
//! old one. A change is reported where a file's size, time or identity differ from what was read, and only when no
//! file has changed between two looks `SETTLE` apart: whoever writes a file, or a certificate and then its key, may not
//! be done.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_blocking, spawn_local};

use crate::config::Files;

/// A change is reported when nothing has changed further for this long.
const SETTLE: Duration = Duration::from_millis(500);
/// Most looks in a row that find a further change. After them only files that hold still are reported, and those that
/// keep changing are left for later.
const SETTLE_LOOKS_MAX: usize = 60;
/// Most times that a configuration is read again because files changed while it was read.
const READS_MAX: usize = 4;
/// Without a working watcher, the files are looked at this often.
const POLL: Duration = Duration::from_secs(5);
/// File systems stamp changes with a clock that moves with the kernel's tick, 10 ms at the slowest: a stamp may be
/// that much older than the change.
const STAMP_LAG: Duration = Duration::from_millis(10);

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Only what the configuration names: certificates, secrets.
    Materials,
    /// The configuration's own files, perhaps beside others.
    Everything,
}

/// A watch over some files, in a task of its own; dropping it ends it.
#[derive(Debug)]
pub(super) struct Watch {
    files: Files,
    changes: mpsc::Receiver<Scope>,
    task: AbortHandle,
}

impl Watch {
    /// Watches these files and folders. Where the system refuses, polls them instead.
    ///
    /// Files that changed after `since` count as changed already: whoever read them then may have seen the old state.
    pub(super) fn over(files: Files, since: Option<SystemTime>) -> Watch {
        let (reports, changes) = mpsc::channel(1);
        let task = spawn_local(follow(files.clone(), since, reports));
        Watch { files, changes, task: task.abort_handle() }
    }

    /// Waits for a change. Cancel-safe.
    pub(super) async fn changed(&mut self) -> Scope {
        match self.changes.recv().await {
            Some(scope) => scope,
            None => std::future::pending().await,
        }
    }

    /// What is watched.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task. Every look at files is on another thread, because a file system may not answer.
async fn follow(files: Files, since: Option<SystemTime>, reports: mpsc::Sender<Scope>) {
    if files.all().next().is_none() {
        return;
    }
    if let Ok(look) = spawn_blocking(move || Look::begin(files, since)).await {
        look.run(reports).await;
    }
}

/// Reads a configuration by `read` because files changed, and again where files changed while it was read. Blocks.
pub(super) fn read_settled<T>(mut read: impl FnMut() -> T, files: impl Fn(&T) -> Vec<PathBuf>) -> T {
    for _ in 1..READS_MAX {
        let since = SystemTime::now();
        let made = read();
        if !files(&made).iter().any(|file| changed_since(file, since)) {
            return made;
        }
        std::thread::sleep(SETTLE);
    }
    read()
}

struct Look {
    /// The configuration's own files, then all others.
    files: Arc<[PathBuf]>,
    /// How many are the configuration's own.
    texts: usize,
    seen: Vec<Option<Fingerprint>>,
    events: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
}

/// What distinguishes one state of a file from another: device, number, size, time of change with its nanoseconds.
type Fingerprint = (u64, u64, u64, i64, i64);

impl Look {
    fn begin(files: Files, since: Option<SystemTime>) -> Look {
        let texts = files.texts.len();
        let files: Vec<PathBuf> = files.texts.into_iter().chain(files.materials).collect();
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
        Look { seen: seen(&files, since), files: files.into(), texts, events, watcher: watcher.ok() }
    }

    async fn run(mut self, reports: mpsc::Sender<Scope>) {
        loop {
            let now = self.prints().await;
            if now == self.seen {
                self.event().await;
            } else if let Some(scope) = self.settle(now).await
                && reports.send(scope).await.is_err()
            {
                return;
            }
        }
    }

    /// Waits until files hold still and takes note of those that do. What has changed; `None` where nothing has, as
    /// with a file that is back as it was.
    async fn settle(&mut self, mut last: Vec<Option<Fingerprint>>) -> Option<Scope> {
        let mut looks = 0;
        loop {
            tokio::time::sleep(SETTLE).await;
            let now = self.prints().await;
            looks += 1;
            if now == last || looks == SETTLE_LOOKS_MAX {
                return self.note(last, now);
            }
            last = now;
        }
    }

    /// Takes note of what is the same in two looks and differs from before.
    fn note(&mut self, last: Vec<Option<Fingerprint>>, now: Vec<Option<Fingerprint>>) -> Option<Scope> {
        let mut scope = None;
        for (file, ((seen, last), now)) in self.seen.iter_mut().zip(last).zip(now).enumerate() {
            if last == now && *seen != now {
                *seen = now;
                scope = scope.max(Some(if file < self.texts { Scope::Everything } else { Scope::Materials }));
            }
        }
        scope
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
    let fresh = |file: &PathBuf| since.is_some_and(|since| changed_since(file, since));
    for (_, seen) in files.iter().zip(&mut seen).filter(|(file, _)| fresh(file)) {
        *seen = None;
    }
    seen
}

/// Does a file's time say that it changed after `since`? A time in the future does not, because the file would count as
/// changed for ever.
fn changed_since(file: &Path, since: SystemTime) -> bool {
    let changed = std::fs::metadata(file).and_then(|found| found.modified());
    changed.is_ok_and(|changed| changed + STAMP_LAG > since && changed <= SystemTime::now())
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
    use tokio::time::timeout;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let bounded = async { timeout(Duration::from_secs(30), test).await.expect("in time") };
        tokio::task::LocalSet::new().block_on(&runtime, bounded);
    }

    /// A watch that has read the files' states once and reports later changes.
    fn begun(files: Files, since: Option<SystemTime>) -> Watch {
        let (reports, changes) = mpsc::channel(1);
        let look = Look::begin(files.clone(), since);
        Watch { files, changes, task: spawn_local(look.run(reports)).abort_handle() }
    }

    fn texts(paths: &[&PathBuf]) -> Files {
        Files { texts: paths.iter().map(|path| (*path).clone()).collect(), materials: Vec::new() }
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
            let mut watch = begun(Files { texts: vec![place("conf")], materials: vec![place("key")] }, None);
            write(&place("conf.new"), "b");
            std::fs::rename(place("conf.new"), place("conf")).expect("moved");
            assert_eq!(watch.changed().await, Scope::Everything);
            std::os::unix::fs::symlink("two", place("next")).expect("linked");
            std::fs::rename(place("next"), place("now")).expect("moved");
            assert_eq!(watch.changed().await, Scope::Materials);
        });
    }

    #[test]
    fn a_neighbour_is_no_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf");
        write(&path, "a");
        run(async {
            let mut watch = begun(texts(&[&path]), None);
            write(&folder.path().join("other"), "b");
            assert!(timeout(SETTLE * 3, watch.changed()).await.is_err());
            write(&path, "bb");
            watch.changed().await;
        });
    }

    #[test]
    fn a_file_that_comes_later_is_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf");
        run(async {
            let mut watch = begun(texts(&[&path]), None);
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
        run(async {
            Watch::over(texts(&[&path]), Some(before)).changed().await;
        });
    }

    #[test]
    fn a_stamp_may_be_older_than_the_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf");
        write(&path, "a");
        let stamp = std::fs::metadata(&path).and_then(|found| found.modified()).expect("a stamp");
        run(async {
            Watch::over(texts(&[&path]), Some(stamp + STAMP_LAG / 2)).changed().await;
            let mut later = Watch::over(texts(&[&path]), Some(stamp + 2 * STAMP_LAG));
            assert!(timeout(SETTLE * 3, later.changed()).await.is_err());
        });
    }

    #[test]
    fn a_file_that_is_being_written_is_not_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("conf"), folder.path().join("key"));
        write(&path, "");
        write(&other, "");
        run(async {
            let mut watch = begun(Files { texts: vec![path.clone()], materials: vec![other.clone()] }, None);
            write(&other, "k");
            for length in 1..10 {
                write(&path, &"a".repeat(length));
                assert!(timeout(SETTLE / 2, watch.changed()).await.is_err(), "at {length} bytes");
            }
            assert_eq!(watch.changed().await, Scope::Everything);
            assert!(timeout(SETTLE * 3, watch.changed()).await.is_err(), "both were one change");
        });
    }

    #[test]
    fn what_changes_while_it_is_read_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf");
        write(&path, "half");
        let old = SystemTime::now() - Duration::from_secs(5);
        std::fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(old)).expect("stamped");
        let mut reads = 0;
        let read = || {
            reads += 1;
            let text = std::fs::read_to_string(&path).expect("read");
            if reads == 1 {
                write(&path, "whole");
            }
            text
        };
        assert_eq!(read_settled(read, |_| vec![path.clone()]), "whole");
        assert_eq!(reads, 2);
    }

    #[test]
    fn nothing_to_watch_waits_for_ever() {
        run(async {
            let mut watch = Watch::over(Files::default(), None);
            assert!(timeout(SETTLE, watch.changed()).await.is_err());
        });
    }
}
