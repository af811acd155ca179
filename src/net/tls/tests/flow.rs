// SPDX-License-Identifier: Apache-2.0
//! Bytes through TLS: both ways at once, in pieces, to their ends.

use super::chopped::Chopped;
use super::*;

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| ((at * 31) >> 3) as u8).collect()
}

#[test]
fn large_bodies_go_both_ways_at_once() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let bytes = pattern(3_000_000);
        for step in [1_000, 16 * 1024, 64 * 1024, 256 * 1024] {
            let (client, server) = configs.pair(&net, &listener).await;
            let forth = both(send(&net, &client, &bytes), receive_in(&net, &server, bytes.len(), step));
            let back = both(send(&net, &server, &bytes), receive_in(&net, &client, bytes.len(), step));
            let ((_, there), (_, here)) = both(forth, back).await;
            assert!(there == bytes && here == bytes, "with reads of {step}");
        }
    });
}

#[test]
fn any_split_of_the_ciphertext_gives_the_same_bytes() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let bytes = pattern(70_000);
        for step in [1, 2, 5, 21, 22, 333, 4_099, 20_000, 100_000] {
            let (near, far) = pair(&net, &listener).await;
            let chopped = |inner| Chopped { inner, step, room: 1_000 };
            let (client, server) = configs.over(&net, "localhost", (chopped(near), chopped(far))).await;
            let (client, server) = (client.unwrap(), server.unwrap());
            let take = if step < 5 { 3_000 } else { bytes.len() };
            // Reads smaller than a record, into a buffer that holds something before.
            for read in [7, 100, 30_000, 200_000] {
                let sending = send(&net, &client, &bytes[..take]);
                let ((), got) = both(sending, receive_in(&net, &server, take.min(read * 500), read)).await;
                assert!(got.len() == take || read * 500 < take);
                assert!(got == bytes[..got.len()], "pieces of {step}, reads of {read}");
                if got.len() < take {
                    receive(&net, &server, take - got.len()).await;
                }
            }
        }
    });
}

#[test]
fn what_a_buffer_held_before_stays() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let (client, server) = configs.pair(&net, &listen(&net)).await;
        send(&net, &client, b"second").await;
        let mut buf = Buf::with_capacity(4096);
        buf.reset(100);
        assert!(buf.append(b"first "));
        let (result, buf) = server.read(buf, soon(&net)).await;
        assert_eq!((result.unwrap(), buf.filled(), buf.headroom()), (6, &b"first second"[..], 100));
    });
}

#[test]
fn new_keys_do_not_disturb_either_side() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (client, server) = configs.pair(&net, &listener).await;
        let bytes = pattern(60_000);
        let (client, server) = (&client, &server);
        let sending = async |tls: &Tls<UringStream>| {
            for _ in 0..40 {
                tls.connection.borrow_mut().refresh_traffic_keys().unwrap();
                send(&net, tls, &bytes).await;
            }
        };
        let receiving = async |tls: &Tls<UringStream>| {
            let all = receive_in(&net, tls, 40 * bytes.len(), bytes.len()).await;
            assert!(all == bytes.repeat(40));
        };
        both(both(sending(client), receiving(server)), both(sending(server), receiving(client))).await;
    });
}

#[test]
fn an_end_is_clean_only_with_close_notify() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        // With it: the rest arrives, then zero, again and again; the other direction still works.
        let (client, server) = configs.pair(&net, &listener).await;
        send(&net, &server, b"whole").await;
        server.finish();
        assert_eq!(receive(&net, &client, 5).await, b"whole");
        assert_eq!(read_once(&net, &client).await.unwrap(), 0);
        assert_eq!(read_once(&net, &client).await.unwrap(), 0);
        send(&net, &client, b"still").await;
        assert_eq!(receive(&net, &server, 5).await, b"still");
        // Without it: FIN only.
        let (client, server) = configs.pair(&net, &listener).await;
        send(&net, &server, b"part").await;
        server.inner.finish();
        assert_eq!(receive(&net, &client, 4).await, b"part");
        assert_eq!(kind(&read_once(&net, &client).await), Some(io::ErrorKind::UnexpectedEof));
        assert_eq!(kind(&read_once(&net, &client).await), Some(io::ErrorKind::UnexpectedEof));
        // Aborted.
        let (client, server) = configs.pair(&net, &listener).await;
        server.abort();
        assert_eq!(kind(&read_once(&net, &client).await), Some(io::ErrorKind::ConnectionReset));
        // Stopped by ourselves: that is no truncation.
        let (client, _server) = configs.pair(&net, &listener).await;
        client.stop_reading();
        assert_eq!(read_once(&net, &client).await.unwrap(), 0);
    });
}

#[test]
fn last_words_that_do_not_fit_go_with_the_next_read() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        for room in [0, 1, 10, 1_000] {
            let (near, far) = pair(&net, &listener).await;
            let ends =
                (Chopped { inner: near, step: 100_000, room: 1_000 }, Chopped { inner: far, step: 100_000, room });
            let (client, server) = configs.over(&net, "localhost", ends).await;
            let (client, server) = (client.unwrap(), server.unwrap());
            send(&net, &server, b"body").await;
            server.finish();
            let lingering = read_once(&net, &server);
            let reading = async {
                assert_eq!(receive(&net, &client, 4).await, b"body");
                assert_eq!(read_once(&net, &client).await.unwrap(), 0);
                client.finish();
            };
            let (lingered, ()) = both(lingering, reading).await;
            assert_eq!(lingered.unwrap(), 0);
        }
    });
}

#[test]
fn finishing_while_a_write_is_in_flight_comes_after_it() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let (client, server) = configs.pair(&net, &listen(&net)).await;
        let bytes = pattern(2_000_000);
        let finishing = async {
            net.sleep_until(within(&net, 5)).await;
            server.finish();
        };
        let reading = async {
            net.sleep_until(within(&net, 10)).await;
            assert!(receive(&net, &client, bytes.len()).await == bytes);
            assert_eq!(read_once(&net, &client).await.unwrap(), 0);
        };
        both(both(send(&net, &server, &bytes), finishing), reading).await;
    });
}

#[test]
fn idle_reads_wait_and_are_interrupted() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let (client, server) = configs.pair(&net, &listen(&net)).await;
        let (client, server) = (Rc::new(client), Rc::new(server));
        for round in 0..50_u8 {
            let (result, buf) = server.read_idle(Buf::with_capacity(512), within(&net, 1)).await;
            assert_eq!(kind(&result), Some(io::ErrorKind::TimedOut));
            server.interrupt();
            let (result, buf) = server.read_idle(buf, soon(&net)).await;
            assert_eq!(kind(&result), Some(io::ErrorKind::Interrupted));
            assert_eq!((server.peek(), buf.len()), (Peek::Quiet, 0));
            send(&net, &*client, &[round; 100]).await;
            server.readable(soon(&net)).await.unwrap();
            assert_eq!(server.peek(), Peek::Readable);
            let (result, small) = server.read(Buf::with_capacity(60), soon(&net)).await;
            // The small buffer takes part of the record's ciphertext at a time.
            assert_eq!((result.unwrap(), small.filled()), (60, &[round; 60][..]));
            assert_eq!(server.peek(), Peek::Readable);
            server.readable(soon(&net)).await.unwrap();
            assert_eq!(receive(&net, &*server, 40).await, [round; 40]);
        }
        assert!(unless(server.readable(soon(&net)), async {}).await.is_none());
    });
}

#[test]
fn a_late_write_ends_the_writing_side() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let (client, server) = configs.pair(&net, &listen(&net)).await;
        let bytes = pattern(8_000_000);
        let (result, rest) = server.write(Buf::copied(&bytes), within(&net, 20)).await;
        assert_eq!(kind(&result), Some(io::ErrorKind::TimedOut));
        assert!(!rest.is_empty() && bytes.ends_with(rest.filled()));
        send(&net, &client, b"heard").await;
        assert_eq!(receive(&net, &server, 5).await, b"heard");
        // What was sent is a part, and looks like one.
        let end = loop {
            match read_once(&net, &client).await {
                Ok(0) => panic!("a part looked complete"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn transport_is_either() {
    let configs = Configs::plain();
    on_each(async |net: Uring| {
        let listener = listen(&net);
        let (client, server) = configs.pair(&net, &listener).await;
        let (near, far) = pair(&net, &listener).await;
        let pairs = [
            (Transport::Tls(Box::new(client)), Transport::Tls(Box::new(server))),
            (Transport::Plain(near), Transport::Plain(far)),
        ];
        for (near, far) in pairs {
            send(&net, &near, b"through").await;
            assert_eq!(receive(&net, &far, 7).await, b"through");
            assert_eq!(near.local(), far.peer());
            assert_eq!(far.session().is_some(), matches!(far, Transport::Tls(_)));
            far.finish();
            assert_eq!(read_once(&net, &near).await.unwrap(), 0);
        }
    });
}
