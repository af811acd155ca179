// SPDX-License-Identifier: Apache-2.0
//! The seam's rules, and that the simulator finds what it is there to find.

use std::time::Duration;

use super::*;
use crate::base::{Buf, Rng};
use crate::net::{Listener, Peek, Stream};

const SOON: Duration = Duration::from_secs(5);

fn calm(seed: u64) -> (Simulation, Sim, Sim, Address) {
    let simulation = Simulation::new(Settings::new(seed));
    let server = simulation.host("server", [10, 0, 0, 1]);
    let client = simulation.host("client", [10, 0, 0, 2]);
    let address = server.address(80);
    (simulation, server, client, address)
}

/// Runs `pair` with both ends of one connection, then checks that nothing is left.
fn with_pair<F>(pair: impl FnOnce(Sim, SimStream, SimStream) -> F + 'static) -> Result<(), Failure>
where
    F: Future<Output = ()> + 'static,
{
    let (simulation, server, client, address) = calm(1);
    simulation.run(async move {
        let listener = server.listen(&address);
        let opened = client.connect(&address, client.now().after(SOON)).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        assert_eq!((opened.peer(), opened.local()), (accepted.local(), accepted.peer()));
        pair(client, opened, accepted).await;
    })?;
    simulation.check_nothing_left()
}

async fn read_all(sim: &Sim, stream: &SimStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let (count, buf) = stream.read(Buf::with_capacity(1_000), sim.now().after(SOON)).await;
        if count? == 0 {
            return Ok(all);
        }
        all.extend_from_slice(buf.filled());
    }
}

#[test]
fn bytes_come_in_order_through_every_fault_that_does_not_end_a_connection() {
    for seed in 0..60 {
        let mut settings = Settings::new(seed);
        settings.faults = Faults::rough(&mut Rng::new(seed));
        settings.late_ms_max = 20;
        let simulation = Simulation::new(settings);
        let server = simulation.host("server", [10, 0, 0, 1]);
        let client = simulation.host("client", [10, 0, 0, 2]);
        let address = server.address(80);
        let main = async move {
            let far = client.now().after(Duration::from_secs(10_000));
            let listener = server.listen(&address);
            let opened = client.connect(&address, far).await.unwrap();
            let accepted = listener.accept().await.unwrap();
            let words: Vec<u8> = (0..5_000_u32).map(|place| (place * 31) as u8).collect();
            let sent = words.clone();
            client.spawn(async move {
                let (result, buf) = opened.write(Buf::copied(&sent), far).await;
                assert!(result.is_ok() && buf.is_empty());
                opened.finish();
                assert_eq!(opened.read(Buf::with_capacity(1), far).await.0.unwrap(), 0);
            });
            let mut got = Vec::new();
            loop {
                let (count, buf) = accepted.read(Buf::with_capacity(700), far).await;
                if count.unwrap() == 0 {
                    break;
                }
                got.extend_from_slice(buf.filled());
            }
            assert!(got == words);
            drop(accepted);
            // The client's task ends one latency later.
            server.sleep_until(server.now().after(Duration::from_secs(1))).await;
        };
        let done = simulation.run(main).and_then(|()| simulation.check_nothing_left());
        done.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    let digest = |seed| {
        let mut settings = Settings::new(seed);
        settings.faults = Faults::drawn(&mut Rng::new(seed));
        let simulation = Simulation::new(settings);
        let server = simulation.host("server", [10, 0, 0, 1]);
        let address = server.address(80);
        let main = async move {
            let listener = server.listen(&address);
            for _ in 0..20 {
                let until = server.now().after(SOON);
                if let Ok(stream) = server.connect(&address, until).await {
                    let _ = stream.write(Buf::copied(&[7; 3_000]), until).await;
                    drop(stream);
                    if let Ok(stream) = listener.accept().await {
                        let _ = read_all(&server, &stream).await;
                    }
                }
            }
        };
        simulation.run(main).unwrap_or_else(|failure| panic!("{failure}"));
        simulation.digest()
    };
    for seed in 0..10 {
        assert_eq!(digest(seed), digest(seed));
    }
    assert_ne!(digest(1), digest(2));
}

#[test]
fn a_full_window_holds_the_writer_back() {
    let done = with_pair(|sim, opened, accepted| async move {
        let (result, rest) = opened.write(Buf::copied(&[1; 100_000]), sim.now().after_ms(100)).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(rest.len(), 100_000 - 65_536);
        let (result, _) = opened.write(Buf::copied(b"more"), sim.now().after_ms(100)).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(opened);
        assert_eq!(read_all(&sim, &accepted).await.unwrap().len(), 65_536);
    });
    done.unwrap();
}

#[test]
fn a_read_that_timed_out_ends_reading_and_an_idle_one_loses_nothing() {
    let done = with_pair(|sim, opened, accepted| async move {
        let wait = |sim: &Sim| sim.now().after_ms(10);
        let (result, buf) = accepted.read_idle(Buf::with_capacity(8), wait(&sim)).await;
        assert_eq!((result.unwrap_err().kind(), buf.capacity()), (io::ErrorKind::TimedOut, 8));
        assert_eq!(accepted.readable(wait(&sim)).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(accepted.peek(), Peek::Quiet);
        opened.write(Buf::copied(b"here"), wait(&sim)).await.0.unwrap();
        accepted.readable(wait(&sim)).await.unwrap();
        assert_eq!(accepted.peek(), Peek::Readable);
        let (result, buf) = accepted.read_idle(buf, wait(&sim)).await;
        assert_eq!((result.unwrap(), buf.filled()), (4, &b"here"[..]));

        let (result, _) = accepted.read(Buf::with_capacity(8), wait(&sim)).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        opened.write(Buf::copied(b"late"), wait(&sim)).await.0.unwrap();
        assert!(accepted.read(Buf::with_capacity(8), wait(&sim)).await.0.is_err());
        accepted.write(Buf::copied(b"bye"), wait(&sim)).await.0.unwrap();
        assert_eq!(opened.read(Buf::with_capacity(8), wait(&sim)).await.0.unwrap(), 3);
    });
    done.unwrap();
}

#[test]
fn interrupt_reaches_a_pending_or_the_next_idle_read_and_loses_nothing() {
    let done = with_pair(|sim, opened, accepted| async move {
        let far = sim.now().after(SOON);
        accepted.interrupt();
        assert_eq!(accepted.readable(far).await.unwrap_err().kind(), io::ErrorKind::Interrupted);
        let accepted = Rc::new(accepted);
        let (pending, waker) = (accepted.clone(), sim.clone());
        sim.spawn(async move {
            waker.sleep_until(waker.now().after_ms(1)).await;
            pending.interrupt();
        });
        let (result, buf) = accepted.read_idle(Buf::with_capacity(8), far).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Interrupted);
        opened.write(Buf::copied(b"here"), far).await.0.unwrap();
        assert_eq!(accepted.read_idle(buf, far).await.0.unwrap(), 4);
    });
    done.unwrap();
}

#[test]
fn stop_reading_ends_reads_and_leaves_writes() {
    let done = with_pair(|sim, opened, accepted| async move {
        let far = sim.now().after(SOON);
        accepted.stop_reading();
        assert_eq!(accepted.read(Buf::with_capacity(8), far).await.0.unwrap(), 0);
        accepted.write(Buf::copied(b"still"), far).await.0.unwrap();
        assert_eq!(opened.read(Buf::with_capacity(8), far).await.0.unwrap(), 5);
    });
    done.unwrap();
}

#[test]
fn half_close_and_close_are_told_apart_from_a_reset() {
    let done = with_pair(|sim, opened, accepted| async move {
        let far = sim.now().after(SOON);
        opened.write(Buf::copied(b"ask"), far).await.0.unwrap();
        opened.finish();
        assert_eq!(read_all(&sim, &accepted).await.unwrap(), b"ask");
        assert_eq!(accepted.peek(), Peek::Closed);
        accepted.write(Buf::copied(b"answer"), far).await.0.unwrap();
        assert_eq!(opened.read(Buf::with_capacity(8), far).await.0.unwrap(), 6);
        accepted.abort();
        let (result, _) = accepted.write(Buf::copied(b"x"), far).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        let (result, _) = opened.read(Buf::with_capacity(8), far).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(opened.peek(), Peek::Closed);
    });
    done.unwrap();
}

#[test]
fn closing_over_unread_bytes_resets_and_writing_to_a_closed_peer_breaks() {
    let done = with_pair(|sim, opened, accepted| async move {
        let far = sim.now().after(SOON);
        opened.write(Buf::copied(b"ask"), far).await.0.unwrap();
        accepted.readable(far).await.unwrap();
        drop(accepted);
        let (result, _) = opened.read(Buf::with_capacity(8), far).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
    done.unwrap();
    let done = with_pair(|sim, opened, accepted| async move {
        let far = sim.now().after(SOON);
        drop(accepted);
        assert_eq!(opened.read(Buf::with_capacity(8), far).await.0.unwrap(), 0);
        opened.write(Buf::copied(b"too late"), far).await.0.unwrap();
        sim.sleep_until(sim.now().after_ms(10)).await;
        assert!(opened.write(Buf::copied(b"again"), far).await.0.is_err());
    });
    done.unwrap();
}

#[test]
fn misuse_fails_the_run() {
    let two_reads = with_pair(|sim, opened, accepted| async move {
        let far = sim.now().after(SOON);
        let accepted = Rc::new(accepted);
        let other = accepted.clone();
        sim.spawn(async move {
            let _ = other.read(Buf::with_capacity(8), far).await;
        });
        sim.sleep_until(sim.now().after_ms(1)).await;
        let _ = accepted.readable(far).await;
        drop(opened);
    });
    assert!(two_reads.unwrap_err().reasons[0].contains("two reads at once"));

    let dropped = with_pair(|sim, opened, accepted| async move {
        let far = sim.now().after(SOON);
        {
            let mut read = std::pin::pin!(accepted.read(Buf::with_capacity(8), far));
            poll_fn(|context| {
                assert!(read.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        opened.write(Buf::copied(b"lost"), far).await.0.unwrap();
        let _ = accepted.read(Buf::with_capacity(8), far).await;
    });
    assert!(dropped.unwrap_err().reasons[0].contains("dropped half-way"));
}

#[test]
fn connects_are_refused_or_time_out_as_drawn() {
    let (simulation, server, client, address) = calm(3);
    let done = simulation.run(async move {
        let refused = client.connect(&address, client.now().after(SOON)).await.err();
        assert_eq!(refused.unwrap().kind(), io::ErrorKind::ConnectionRefused);
        let _listener = server.listen(&address);
        let mut faults = Faults::none();
        faults.unanswered = 1_000;
        client.set_faults(&address, faults);
        let silent = client.connect(&address, client.now().after(SOON)).await.err();
        assert_eq!(silent.unwrap().kind(), io::ErrorKind::TimedOut);
        assert!(client.now() >= Tick::ZERO.after(SOON));
    });
    done.unwrap();
    simulation.check_nothing_left().unwrap();
}

#[test]
fn a_full_backlog_keeps_the_caller_waiting() {
    let (simulation, server, client, address) = calm(3);
    let done = simulation.run(async move {
        let listener = server.listener(SimSocket { address: address.clone(), backlog: 1 }).unwrap();
        let first = client.connect(&address, client.now().after(SOON)).await.unwrap();
        let accepting = server.clone();
        server.spawn(async move {
            accepting.sleep_until(accepting.now().after_ms(500)).await;
            for _ in 0..2 {
                let stream = listener.accept().await.unwrap();
                let _ = read_all(&accepting, &stream).await;
            }
        });
        drop(first);
        client.connect(&address, client.now().after(SOON)).await.unwrap();
        assert!(client.now() >= Tick::ZERO.after_ms(1_000), "the second SYN went through at once");
        client.sleep_until(client.now().after_ms(100)).await;
    });
    done.unwrap();
    simulation.check_nothing_left().unwrap();
}

#[test]
fn a_deadlock_a_spin_a_panic_and_a_leak_are_found() {
    let (simulation, ..) = calm(1);
    let stuck = simulation.run(std::future::pending::<()>());
    assert!(stuck.unwrap_err().reasons[0].starts_with("deadlock"));

    let (simulation, ..) = calm(1);
    let spinning = simulation.run(poll_fn(|context| {
        context.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    assert!(spinning.unwrap_err().reasons[0].contains("keeps itself ready"));

    let (simulation, server, ..) = calm(1);
    let endless = simulation.run(async move {
        let end = server.now().after_ms(1);
        while server.now() < end {}
    });
    assert!(endless.unwrap_err().reasons[0].contains("never lets go"));

    let (simulation, server, ..) = calm(1);
    server.spawn(async { panic!("ouch") });
    let failed = simulation.run(std::future::pending::<()>()).unwrap_err();
    assert_eq!(failed.reasons, ["a task of server panicked: ouch"]);

    let (simulation, server, _, address) = calm(1);
    let listener = simulation.run(async move { server.listen(&address) }).unwrap();
    let left = simulation.check_nothing_left().unwrap_err();
    assert!(left.reasons[0].contains("server: listener 10.0.0.1:80"));
    drop(listener);
}

#[test]
fn panics_are_counted_where_they_may_happen() {
    let mut settings = Settings::new(1);
    settings.panics = PanicRule::Count;
    let simulation = Simulation::new(settings);
    let host = simulation.host("host", [10, 0, 0, 1]);
    host.spawn(async { panic!("ouch") });
    simulation.run_until(Tick::ZERO.after_ms(10)).unwrap();
    assert_eq!(host.panics(), 1);
    simulation.check_nothing_left().unwrap();
}

#[test]
fn a_killed_host_closes_its_connections() {
    let (simulation, server, client, address) = calm(1);
    let doomed = server.clone();
    let listening = address.clone();
    server.spawn(async move {
        let listener = doomed.listen(&listening);
        let stream = listener.accept().await.unwrap();
        let _ = read_all(&doomed, &stream).await;
    });
    let done = simulation.run(async move {
        client.sleep_until(client.now().after_ms(1)).await;
        let stream = client.connect(&address, client.now().after(SOON)).await.unwrap();
        client.sleep_until(client.now().after_ms(1)).await;
        server.kill();
        assert_eq!(stream.read(Buf::with_capacity(8), client.now().after(SOON)).await.0.unwrap(), 0);
        assert!(client.connect(&address, client.now().after(SOON)).await.is_err());
    });
    done.unwrap();
    simulation.check_nothing_left().unwrap();
}

#[test]
fn a_bell_wakes_its_hearer() {
    let (simulation, server, ..) = calm(1);
    let bell = Bell::silent();
    let ear = server.bell_waiter(&bell).unwrap();
    let ringing = server.clone();
    server.spawn(async move {
        ringing.sleep_until(ringing.now().after_ms(3)).await;
        bell.ring();
    });
    simulation.run(async move { ear.rung().await }).unwrap();
    simulation.check_nothing_left().unwrap();
}
