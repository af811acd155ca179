// SPDX-License-Identifier: Apache-2.0
//! Logs onto files, full devices, pipes and FIFOs, each against the real system.

use std::io::Read;

use super::*;

/// Longest wait for anything in these tests.
const PATIENCE: Duration = Duration::from_secs(30);

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn opened(path: &Path) -> io::Result<Log> {
    wait(Log::open(LogTarget::File(path.into()), PATIENCE))
}

fn file_log(path: &Path) -> Log {
    opened(path).expect("a fresh folder")
}

fn fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("coreutils").success());
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
    log.close(PATIENCE);
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
    log.close(PATIENCE);
    assert_eq!(std::fs::read(&moved).expect("old file"), b"before\n");
    assert_eq!(std::fs::read(&path).expect("new file"), b"after\n");
}

#[test]
fn a_full_disk_drops_and_counts() {
    let log = file_log(Path::new("/dev/full"));
    log.write(b"one\ntwo\n".to_vec());
    log.write(b"three\n".to_vec());
    let shared = Arc::clone(&log.shared);
    log.close(PATIENCE);
    assert_eq!(shared.dropped.load(Ordering::Relaxed), 3);
    assert_eq!(shared.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn a_stuck_reader_never_blocks_the_caller() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let file = File::from(std::os::fd::OwnedFd::from(writer));
    let log = wait(Log::open_by(|_| Ok(file), LogTarget::Stdout, PATIENCE)).expect("started");
    let mut lines = vec![b'x'; 1024 * 1024];
    *lines.last_mut().expect("not empty") = b'\n';
    let count = 2 * WAITING_BYTES_MAX / lines.len();
    for _ in 0..count {
        log.write(lines.clone());
    }
    let dropped = log.dropped();
    assert!(dropped as usize >= count / 2 - 1, "{dropped} of {count}");
    let drain = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    log.close(PATIENCE);
    let read = drain.join().expect("reader").expect("read");
    assert_eq!(read / lines.len() + dropped as usize, count);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let error = opened(Path::new("/nonexistent/access.log")).expect_err("no such folder");
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

#[test]
fn a_fifo_that_nobody_reads_is_refused_at_once_and_one_that_is_read_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fifo");
    fifo(&path);
    let began = Instant::now();
    let error = opened(&path).expect_err("nobody reads it");
    assert!(began.elapsed() < PATIENCE / 2);
    assert_eq!(error.to_string(), format!("{}: nobody reads this FIFO", path.display()));
    let reader = std::thread::spawn({
        let path = path.clone();
        move || std::fs::read(path).expect("read")
    });
    let log = loop {
        match opened(&path) {
            Ok(log) => break log,
            Err(_) => std::thread::yield_now(),
        }
    };
    log.write(b"through\n".to_vec());
    log.close(PATIENCE);
    assert_eq!(reader.join().expect("read"), b"through\n");
}

#[test]
fn a_file_system_that_does_not_answer_is_given_up_and_attempts_are_capped() {
    let mut hanging = Vec::new();
    for _ in 0..OPENING_MAX {
        let (answer, question) = bounded::<()>(0);
        let hang = move |target: &LogTarget| {
            let _ = question.recv();
            open(target)
        };
        let target = LogTarget::File("/dev/null".into());
        let error = wait(Log::open_by(hang, target, Duration::from_millis(1))).expect_err("it hangs");
        assert_eq!(error.to_string(), "/dev/null: not open after 0 seconds");
        hanging.push(answer);
    }
    let error = opened(Path::new("/dev/null")).expect_err("too many");
    assert_eq!(error.to_string(), "earlier attempts to open a log still hang");
    drop(hanging);
    let until = Instant::now() + PATIENCE;
    while opened(Path::new("/dev/null")).is_err() {
        assert!(Instant::now() < until, "attempts that ended still count");
        std::thread::yield_now();
    }
}
