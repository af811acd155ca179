// SPDX-License-Identifier: Apache-2.0
//! What each call promises.

use super::*;

#[test]
fn bytes_go_both_ways_and_addresses_are_known() {
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (near, far) = pair(&net, &listener).await;
        send(&net, &near, b"question").await;
        assert_eq!(receive(&net, &far, 8).await, b"question");
        send(&net, &far, b"answer").await;
        assert_eq!(receive(&net, &near, 6).await, b"answer");
        assert_eq!(far.local(), listener.local());
        assert_eq!(near.peer(), listener.local());
        assert_eq!(near.local(), far.peer());
        for stream in [&near, &far] {
            assert!(stream.flow.socket().tcp_nodelay().unwrap());
            let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd(stream))).unwrap();
            assert!(flags.contains("flags:\t02"), "not close-on-exec: {flags}");
        }
        let (result, buf) = near.read(Buf::empty(), soon(&net)).await;
        assert_eq!((result.unwrap(), buf.capacity()), (0, 0));
    });
}

fn fd(stream: &UringStream) -> i32 {
    use std::os::fd::AsRawFd;
    stream.flow.socket().as_raw_fd()
}

#[test]
fn large_writes_are_sent_whole_while_reading() {
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (near, far) = pair(&net, &listener).await;
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| ((at * 31) >> 3) as u8).collect();
        let forth = both(send(&net, &near, &bytes), receive(&net, &far, bytes.len()));
        let back = both(send(&net, &far, &bytes), receive(&net, &near, bytes.len()));
        let ((_, there), (_, here)) = both(forth, back).await;
        assert!(there == bytes && here == bytes);
    });
}

#[test]
fn unix_sockets_work_alike() {
    on_each(async |net: Uring| {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Unix(folder.path().join("listen").into());
        let none = net.connect(&address, soon(&net)).await;
        assert_eq!(kind(&none), Some(ErrorKind::NotFound));
        let socket = sockets::listen(&address, &ListenOptions::default()).unwrap();
        let listener = net.listener(socket).unwrap();
        let (near, far) = pair(&net, &listener).await;
        send(&net, &near, b"over a path").await;
        assert_eq!(receive(&net, &far, 11).await, b"over a path");
        assert_eq!((near.peer(), far.local()), (&address, &address));
        assert_eq!(far.peer(), &Address::Unix(std::path::Path::new("").into()));
        let (read, ()) = both(far.read(Buf::with_capacity(10), soon(&net)), async { far.abort() }).await;
        assert_ne!(kind(&read.0), Some(ErrorKind::TimedOut));
        let (result, _) = near.write(Buf::copied(b"x"), soon(&net)).await;
        assert!(result.is_err());
    });
}

#[test]
fn a_full_unix_socket_is_tried_until_the_deadline() {
    on_each(async |net: Uring| {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Unix(folder.path().join("listen").into());
        let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
        let listener = net.listener(sockets::listen(&address, &options).unwrap()).unwrap();
        let mut waiting = Vec::new();
        let late = loop {
            match net.connect(&address, within(&net, 30)).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 100);
        };
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let room = async {
            net.sleep_until(within(&net, 20)).await;
            listener.accept().await.unwrap()
        };
        let (connected, _accepted) = both(net.connect(&address, soon(&net)), room).await;
        connected.unwrap();
    });
}

#[test]
fn ends_are_told_apart() {
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (near, far) = pair(&net, &listener).await;
        assert_eq!(far.peek(), Peek::Quiet);
        send(&net, &near, b"last words").await;
        near.finish();
        far.readable(soon(&net)).await.unwrap();
        assert_eq!(far.peek(), Peek::Readable);
        assert_eq!(receive(&net, &far, 10).await, b"last words");
        let (end, _) = far.read(Buf::with_capacity(8), soon(&net)).await;
        assert_eq!(end.unwrap(), 0);
        assert_eq!(far.peek(), Peek::Closed);
        // The other direction still works.
        send(&net, &far, b"still here").await;
        assert_eq!(receive(&net, &near, 10).await, b"still here");
    });
}

#[test]
fn only_a_read_that_left_room_has_drained_the_socket() {
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (near, far) = pair(&net, &listener).await;
        send(&net, &near, b"answerevil").await;
        far.readable(soon(&net)).await.unwrap();
        let (first, _) = far.read(Buf::with_capacity(6), soon(&net)).await;
        assert_eq!((first.unwrap(), far.drained()), (6, false));
        let (second, _) = far.read_idle(Buf::with_capacity(6), soon(&net)).await;
        assert_eq!((second.unwrap(), far.drained()), (4, true));
        send(&net, &near, b"whole").await;
        let (third, _) = far.read_idle(Buf::with_capacity(5), soon(&net)).await;
        assert_eq!((third.unwrap(), far.drained()), (5, false));
        send(&net, &near, b"whole").await;
        let (fourth, _) = far.read(Buf::with_capacity(6), soon(&net)).await;
        assert_eq!((fourth.unwrap(), far.drained()), (5, true));
    });
}

#[test]
fn abort_resets_and_ends_what_is_pending() {
    on_each(async |net: Uring| {
        let listener = listen(&net);
        for _ in 0..200 {
            let (near, far) = pair(&net, &listener).await;
            // The peer does not read, so that the write waits for room.
            let mut stuck = Buf::with_capacity(16 << 20);
            stuck.fill(16 << 20);
            let reading = near.read(Buf::with_capacity(100), soon(&net));
            let writing = near.write(stuck, soon(&net));
            let aborting = async {
                net.sleep_until(within(&net, 1)).await;
                near.abort();
            };
            let (((read, _), (written, _)), ()) = both(both(reading, writing), aborting).await;
            assert!(read.is_err() && written.is_err(), "{read:?} {written:?}");
            assert!(near.local() == far.peer());
            drop(near);
            let mut buf = Buf::with_capacity(256 << 10);
            let error = loop {
                let (result, back) = far.read(buf, soon(&net)).await;
                buf = back;
                buf.reset(0);
                match result {
                    Ok(count) => assert_ne!(count, 0, "an abort looked like a clean end"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            let (result, _) = far.write(Buf::copied(b"x"), soon(&net)).await;
            assert!(result.is_err());
        }
    });
}

#[test]
fn stop_reading_ends_reads_and_leaves_writes() {
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (near, far) = pair(&net, &listener).await;
        let stopping = async {
            net.sleep_until(within(&net, 2)).await;
            near.stop_reading();
        };
        let ((result, _), ()) = both(near.read(Buf::with_capacity(10), soon(&net)), stopping).await;
        assert_eq!(result.unwrap(), 0);
        let (again, _) = near.read(Buf::with_capacity(10), soon(&net)).await;
        assert_eq!(again.unwrap(), 0);
        send(&net, &near, b"written").await;
        assert_eq!(receive(&net, &far, 7).await, b"written");
    });
}

#[test]
fn last_words_do_not_wait() {
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (near, far) = pair(&net, &listener).await;
        assert_eq!(near.write_now(b"now"), 3);
        assert_eq!(receive(&net, &far, 3).await, b"now");
        let much = vec![7; 1 << 20];
        let mut sent = 0;
        while let count @ 1.. = near.write_now(&much) {
            sent += count;
        }
        assert!(sent > 0);
        far.abort();
        assert_eq!(far.write_now(b"x"), 0);
    });
}

#[test]
fn interruption_reaches_the_pending_wait_or_the_next() {
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (near, far) = pair(&net, &listener).await;
        near.interrupt();
        let (first, buf) = near.read_idle(Buf::with_capacity(10), soon(&net)).await;
        assert_eq!(kind(&first), Some(ErrorKind::Interrupted));
        near.interrupt();
        assert_eq!(kind(&near.readable(soon(&net)).await), Some(ErrorKind::Interrupted));
        let later = async {
            net.sleep_until(within(&net, 2)).await;
            near.interrupt();
        };
        let (waited, ()) = both(near.readable(soon(&net)), later).await;
        assert_eq!(kind(&waited), Some(ErrorKind::Interrupted));
        send(&net, &far, b"kept").await;
        let (read, buf) = near.read_idle(buf, soon(&net)).await;
        assert_eq!((read.unwrap(), buf.filled()), (4, &b"kept"[..]));
    });
}

#[test]
fn a_panic_ends_one_task() {
    on_each(async |net: Uring| {
        struct PanicsOnDrop;
        impl Drop for PanicsOnDrop {
            fn drop(&mut self) {
                panic!("while dropped");
            }
        }
        net.spawn(async { panic!("at once") });
        let (inner, value) = (net.clone(), PanicsOnDrop);
        net.spawn(async move {
            inner.sleep_until(within(&inner, 1)).await;
            drop(value);
        });
        let until = soon(&net);
        while net.panics() < 2 {
            assert!(net.now() < until);
            net.sleep_until(within(&net, 1)).await;
        }
        let done = Rc::new(Cell::new(false));
        let inner = done.clone();
        net.spawn(async move { inner.set(true) });
        net.sleep_until(within(&net, 1)).await;
        assert!(done.get());
    });
}

#[test]
fn bells_are_heard_from_other_threads() {
    on_each(async |net: Uring| {
        const RINGS: u64 = 20_000;
        let bell = sockets::bell().unwrap();
        let ear = net.bell_waiter(&bell).unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        let ringer = std::thread::spawn(move || {
            for _ in 0..RINGS {
                counter.fetch_add(1, Ordering::Release);
                bell.ring();
            }
        });
        let (mut heard, mut hearings) = (0, 0);
        while heard < RINGS {
            assert!(unless(ear.rung(), net.sleep_until(soon(&net))).await.is_some(), "a ring was lost");
            // Dropped waits must not lose a ring, either.
            let _ = unless(ear.rung(), async {}).await;
            heard = sent.load(Ordering::Acquire);
            hearings += 1;
        }
        ringer.join().unwrap();
        assert!(hearings <= RINGS);
    });
}

#[test]
fn sleeps_end_in_time() {
    on_each(async |net: Uring| {
        net.sleep_until(Tick::ZERO).await;
        let start = net.now();
        net.sleep_until(start.after_ms(20)).await;
        let slept = net.now().since(start);
        assert!(slept >= Duration::from_millis(20) && slept < Duration::from_secs(3), "{slept:?}");
        let never = unless(net.sleep_until(Tick::NEVER), net.sleep_until(within(&net, 5))).await;
        assert!(never.is_none());
    });
}

#[test]
fn an_idle_shard_sleeps() {
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (near, far) = pair(&net, &listener).await;
        let waiting = async {
            let (result, _) = near.read_idle(Buf::with_capacity(64), within(&net, 60_000)).await;
            assert_eq!(result.unwrap(), 1);
        };
        let watching = async {
            // The deadlines of the connection attempt were armed; from here on only the idle one counts.
            let before = switches();
            net.sleep_until(within(&net, 400)).await;
            let woken = switches() - before;
            assert!(woken < 15, "woke {woken} times in 400 ms");
            send(&net, &far, b"x").await;
        };
        both(waiting, watching).await;
    });
}

/// How often this thread went to sleep by itself.
fn switches() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn a_shard_may_stay_on_a_core() {
    let core = crate::net::machine::cores()[0];
    let options = RunOptions { core: Some(core), ..RunOptions::default() };
    std::thread::spawn(move || {
        run(&options, async |_| assert_eq!(crate::net::machine::cores(), [core])).unwrap();
    })
    .join()
    .unwrap();
}
