// SPDX-License-Identifier: Apache-2.0
//! Cancel safety: deadlines, interruptions and dropped futures while buffers are in the kernel's hands, thousands of
//! times.

use socket2::{Domain, Socket, Type};

use super::*;
use crate::base::Rng;

/// Connections that wait at the same time.
const WIDE: usize = 250;
const ROUNDS: usize = 8;
/// How much later than asked a deadline may be acted upon on a busy test machine. The design is 20 ms.
const SLACK: Duration = Duration::from_secs(3);

/// Runs `task` for many connections at once, each with its number.
async fn many<F>(net: &Uring, task: impl Fn(usize, UringStream, UringStream) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let listener = listen(net);
    let done = Rc::new(Cell::new(0));
    for index in 0..WIDE {
        let (near, far) = pair(net, &listener).await;
        let (task, done) = (task(index, near, far), done.clone());
        net.spawn(async move {
            task.await;
            done.set(done.get() + 1);
        });
    }
    all(net, &done, WIDE).await;
}

#[test]
fn late_reads_finish_one_side() {
    on_each(async |net: Uring| {
        many(&net.clone(), move |index, near, far| {
            let net = net.clone();
            async move {
                let until = within(&net, 5 + index as u64 % 20);
                let (result, buf) = near.read(Buf::with_capacity(4096), until).await;
                assert_eq!(kind(&result), Some(ErrorKind::TimedOut));
                assert!(buf.is_empty() && buf.capacity() == 4096);
                let late = net.now().since(until);
                assert!(net.now() >= until && late < SLACK, "{late:?} late");
                let (again, _) = near.read(buf, soon(&net)).await;
                assert_eq!(kind(&again), Some(ErrorKind::TimedOut));
                send(&net, &near, b"408").await;
                assert_eq!(receive(&net, &far, 3).await, b"408");
            }
        })
        .await;
    });
}

#[test]
fn late_idle_reads_lose_nothing() {
    on_each(async |net: Uring| {
        many(&net.clone(), move |index, near, far| {
            let net = net.clone();
            async move {
                let mut buf = Buf::with_capacity(256);
                for round in 0..ROUNDS {
                    let until = within(&net, 1 + (index + round) as u64 % 12);
                    let (result, back) = near.read_idle(buf, until).await;
                    assert_eq!(kind(&result), Some(ErrorKind::TimedOut));
                    assert!(back.is_empty() && net.now() >= until && net.now().since(until) < SLACK);
                    send(&net, &far, &[round as u8; 3]).await;
                    let (result, back) = near.read_idle(back, soon(&net)).await;
                    assert_eq!((result.unwrap(), back.filled()), (3, &[round as u8; 3][..]));
                    buf = back;
                    buf.reset(0);
                }
            }
        })
        .await;
    });
}

/// What a reader under fire does with its stream.
#[derive(Clone, Copy)]
enum ReaderAction {
    Idle,
    ReadableThenRead,
    Mixed,
}

/// One side writes a known sequence at random moments; the other reads it while deadlines and interruptions end its
/// waits at random moments, too.
async fn under_fire(net: Uring, seed: u64, near: UringStream, far: UringStream, way: ReaderAction) {
    const BYTES: usize = 3_000;
    let chance = RefCell::new(Rng::new(seed));
    let draw = |bound: u64| chance.borrow_mut().below(bound);
    let ended = Cell::new(false);
    let writing = async {
        let mut at = 0;
        while at < BYTES {
            let count = (1 + draw(40) as usize).min(BYTES - at);
            let bytes: Vec<u8> = (at..at + count).map(|place| place as u8).collect();
            send(&net, &far, &bytes).await;
            at += count;
            if draw(3) == 0 {
                net.sleep_until(within(&net, draw(2))).await;
            }
        }
        far.finish();
    };
    let interrupting = async {
        while !ended.get() {
            near.interrupt();
            net.sleep_until(within(&net, draw(2))).await;
        }
    };
    let reading = async {
        let (mut buf, mut got, mut over) = (Buf::with_capacity(64), 0, 0);
        loop {
            let until = net.now().after(Duration::from_micros(draw(4_000)));
            let waits_first =
                matches!(way, ReaderAction::ReadableThenRead) || matches!(way, ReaderAction::Mixed) && draw(2) == 0;
            if waits_first && let Err(error) = near.readable(until).await {
                assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted), "{error}");
                over += 1;
                continue;
            }
            let (result, back) = match way {
                ReaderAction::ReadableThenRead => near.read(buf, soon(&net)).await,
                ReaderAction::Idle | ReaderAction::Mixed => near.read_idle(buf, until).await,
            };
            buf = back;
            match result {
                Ok(0) => break,
                Ok(_) => {
                    for byte in buf.filled() {
                        assert_eq!(*byte, got as u8, "byte {got} was lost or came twice");
                        got += 1;
                    }
                    buf.reset(0);
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted), "{error}");
                    assert!(buf.is_empty());
                    over += 1;
                }
            }
        }
        ended.set(true);
        assert_eq!(got, BYTES);
        assert!(over > 0, "nothing was ever cancelled");
    };
    both(both(writing, interrupting), reading).await;
}

#[test]
fn cancelled_waits_lose_and_double_no_byte() {
    on_each(async |net: Uring| {
        let seed = net.random();
        println!("seed {seed}");
        many(&net.clone(), move |index, near, far| {
            let way = [ReaderAction::Idle, ReaderAction::ReadableThenRead, ReaderAction::Mixed][index % 3];
            under_fire(net.clone(), seed.wrapping_add(index as u64), near, far, way)
        })
        .await;
    });
}

#[test]
fn late_writes_keep_what_was_not_sent() {
    on_each(async |net: Uring| {
        let bytes: Rc<Vec<u8>> = Rc::new((0..16_000_000_u32).map(|at| (at / 7) as u8).collect());
        let listener = listen(&net);
        for _ in 0..6 {
            let (near, far) = pair(&net, &listener).await;
            let (result, rest) = near.write(Buf::copied(&bytes), within(&net, 15)).await;
            assert_eq!(kind(&result), Some(ErrorKind::TimedOut));
            assert!(!rest.is_empty() && bytes.ends_with(rest.filled()));
            let (again, _) = near.write(Buf::copied(b"x"), soon(&net)).await;
            assert_eq!(kind(&again), Some(ErrorKind::TimedOut));
            send(&net, &far, b"reading still works").await;
            assert_eq!(receive(&net, &near, 19).await, b"reading still works");
            let sent = bytes.len() - rest.len();
            assert!(receive(&net, &far, sent).await == bytes[..sent]);
            let (end, _) = far.read(Buf::with_capacity(10), soon(&net)).await;
            assert_eq!(end.unwrap(), 0, "more was sent than the window says");
        }
    });
}

#[test]
fn dropped_operations_end_the_stream_and_keep_memory() {
    on_each(async |net: Uring| {
        many(&net.clone(), move |index, near, far| {
            let net = net.clone();
            async move {
                let moment = net.now().after(Duration::from_micros(200 * (index as u64 % 10)));
                let dropped =
                    unless(near.read(Buf::with_capacity(16 << 10), soon(&net)), net.sleep_until(moment)).await;
                assert!(dropped.is_none());
                let (result, _) = near.read(Buf::with_capacity(8), soon(&net)).await;
                assert_eq!(kind(&result), Some(ErrorKind::ConnectionAborted));
                let (result, _) = near.write(Buf::copied(b"x"), soon(&net)).await;
                assert_eq!(kind(&result), Some(ErrorKind::ConnectionAborted));
                // The peer writes into a connection that nobody reads: it gets an end, not a wait.
                let (end, _) = far.read(Buf::with_capacity(8), soon(&net)).await;
                assert!(matches!(end, Ok(0) | Err(_)));
            }
        })
        .await;
    });
}

#[test]
fn dropped_waits_can_be_repeated() {
    on_each(async |net: Uring| {
        many(&net.clone(), move |index, near, far| {
            let net = net.clone();
            async move {
                for round in 0..ROUNDS as u64 {
                    let moment = net.now().after(Duration::from_micros(137 * ((index as u64 + round) % 16)));
                    assert!(unless(near.readable(soon(&net)), net.sleep_until(moment)).await.is_none());
                }
                send(&net, &far, b"after all").await;
                near.readable(soon(&net)).await.unwrap();
                assert_eq!(receive(&net, &near, 9).await, b"after all");
            }
        })
        .await;
    });
}

#[test]
fn dropped_accepts_lose_no_connection() {
    on_each(async |net: Uring| {
        const CLIENTS: usize = 2_000;
        let listener = listen(&net);
        let address = listener.local().clone();
        let clients = net.clone();
        net.spawn(async move {
            for number in 0..CLIENTS as u32 {
                let stream = clients.connect(&address, soon(&clients)).await.unwrap();
                send(&clients, &stream, &number.to_le_bytes()).await;
                if number % 8 == 0 {
                    clients.sleep_until(within(&clients, 1)).await;
                }
                clients.spawn(async move {
                    // Stays until it is answered: none may be closed unseen.
                    let end = stream.read(Buf::with_capacity(4), Tick::NEVER).await;
                    assert_eq!(end.0.unwrap(), 1);
                });
            }
        });
        let (mut seen, mut dropped, mut chance) = (vec![false; CLIENTS], 0, Rng::new(7));
        while seen.iter().any(|seen| !seen) {
            let moment = net.now().after(Duration::from_micros(chance.below(1_500)));
            let at_once = chance.below(2) == 0;
            let giving_up = async {
                if !at_once {
                    net.sleep_until(moment).await;
                }
            };
            match unless(listener.accept(), giving_up).await {
                None => dropped += 1,
                Some(stream) => {
                    let stream = stream.unwrap();
                    let number = receive(&net, &stream, 4).await;
                    let number = u32::from_le_bytes(number.try_into().unwrap());
                    assert!(!std::mem::replace(&mut seen[number as usize], true));
                    send(&net, &stream, b"k").await;
                }
            }
        }
        assert!(dropped > 10, "only {dropped} accepts were dropped");
        assert_eq!(net.panics(), 0);
    });
}

#[test]
fn late_and_dropped_connects_close_their_sockets() {
    on_each(async |net: Uring| {
        // A queue that is full answers no handshake.
        let address = Address::Inet(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
        let options = ListenOptions { backlog: 0, reuse_port: false, ..ListenOptions::default() };
        let full = sockets::listen(&address, &options).unwrap();
        let _first = net.connect(&full.address, soon(&net)).await.unwrap();
        let _second = unless(net.connect(&full.address, soon(&net)), net.sleep_until(within(&net, 20))).await;
        let done = Rc::new(Cell::new(0));
        for index in 0..WIDE {
            let (net, address, done) = (net.clone(), full.address.clone(), done.clone());
            net.clone().spawn(async move {
                let until = within(&net, 5 + index as u64 % 15);
                if index % 2 == 0 {
                    let late = net.connect(&address, until).await;
                    assert_eq!(kind(&late), Some(ErrorKind::TimedOut));
                    assert!(net.now() >= until && net.now().since(until) < SLACK);
                } else {
                    assert!(unless(net.connect(&address, soon(&net)), net.sleep_until(until)).await.is_none());
                }
                done.set(done.get() + 1);
            });
        }
        all(&net, &done, WIDE).await;
        let port = SockRef::from(&full.fd).local_addr().unwrap().as_socket().unwrap().port();
        let until = soon(&net);
        while half_open(port) > 2 {
            assert!(net.now() < until, "{} sockets still try to connect", half_open(port));
            net.sleep_until(within(&net, 1)).await;
        }
        // Bound and not listening, so that no other test listens there.
        let unused = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        unused.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = Address::Inet(unused.local_addr().unwrap().as_socket().unwrap());
        let refused = net.connect(&address, soon(&net)).await;
        assert_eq!(kind(&refused), Some(ErrorKind::ConnectionRefused));
    });
}

/// Sockets of this machine that send handshakes to `port`.
fn half_open(port: u16) -> usize {
    const SYN_SENT: &str = "02";
    let remote = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[2].ends_with(&remote) && fields[3] == SYN_SENT).count()
}

#[test]
fn connections_come_and_go_under_load() {
    on_each(async |net: Uring| {
        let listener = Rc::new(listen(&net));
        let done = Rc::new(Cell::new(0));
        let (server, accepting) = (net.clone(), listener.clone());
        net.spawn(async move {
            loop {
                let stream = accepting.accept().await.unwrap();
                server.spawn(echo(server.clone(), stream));
            }
        });
        for index in 0..WIDE as u64 {
            let (inner, address, done) = (net.clone(), listener.local().clone(), done.clone());
            net.spawn(async move {
                for round in 0..ROUNDS as u64 {
                    let stream = inner.connect(&address, soon(&inner)).await.unwrap();
                    send(&inner, &stream, b"echo this").await;
                    assert_eq!(receive(&inner, &stream, 9).await, b"echo this");
                    match (index + round) % 4 {
                        0 => stream.abort(),
                        1 => drop(unless(stream.read(Buf::with_capacity(64), soon(&inner)), async {}).await),
                        2 => stream.finish(),
                        _ => {}
                    }
                }
                done.set(done.get() + 1);
            });
        }
        all(&net, &done, WIDE).await;
    });
}

/// Sends back what comes, looking at the clock again and again, until the connection ends in whichever way.
async fn echo(net: Uring, stream: UringStream) {
    let mut buf = Buf::with_capacity(512);
    loop {
        let (result, back) = stream.read_idle(buf, within(&net, 2)).await;
        buf = back;
        match result {
            Err(error) if error.kind() == ErrorKind::TimedOut => continue,
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let (result, back) = stream.write(buf, soon(&net)).await;
        buf = back;
        buf.reset(0);
        if result.is_err() {
            return;
        }
    }
}
