// SPDX-License-Identifier: Apache-2.0
//! Bodies that a policy slows down: they pass whole, at the rate, and nobody is cut off for it.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::gateway::WEB;
use crate::harness::origin::ok;
use crate::harness::{Client, Gateway, Origin, Setup, curl};

const BYTES: usize = 300 * 1024;

fn gateway(origin: &Origin, policy: &str) -> Gateway {
    Setup::new(format!(
        "{WEB}\nlimits = {{ min_download_rate = \"10MiB\", min_upload_rate = \"10MiB\" }}\n\
         timeouts = {{ rate_grace = \"300ms\" }}\n\
         [policy.slow]\nbandwidth = {{ {policy} }}\n\
         [[route]]\nto = \"http://{}\"\npolicies = [\"slow\"]\n",
        origin.address
    ))
    .shards(1)
    .log("")
    .start()
}

fn took(question: impl FnOnce()) -> Duration {
    let start = Instant::now();
    question();
    start.elapsed()
}

#[test]
fn a_download_passes_at_the_rate_and_its_beginning_at_once() {
    let origin = Origin::answering(|_| ok(vec![b'x'; BYTES]));
    for (policy, least_ms) in
        [("download = \"600KiB\"", 400), ("download = \"300KiB\", download_after = \"150KiB\"", 400)]
    {
        let gateway = gateway(&origin, policy);
        let time = took(|| assert_eq!(Client::to(gateway.here()).get("/").body.len(), BYTES));
        assert!(time >= Duration::from_millis(least_ms), "{policy}: {time:?}");
    }
}

#[test]
fn an_upload_passes_at_the_rate() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, "upload = \"600KiB\"");
    let mut request = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {BYTES}\r\n\r\n").into_bytes();
    request.resize(request.len() + BYTES, b'x');
    let mut client = Client::to(gateway.here());
    let time = took(|| {
        let answer = client.ask(&request);
        assert_eq!((answer.status, answer.body.len()), (200, BYTES));
    });
    assert!(time >= Duration::from_millis(350), "{time:?}");
}

const RATE: usize = 1024 * 1024;
/// What each thread may let pass beyond that, as the policy's page says.
const SLACK: usize = 16 * 1024;

/// A gateway with two threads on which requests of a key share a rate in each direction.
fn shared(origin: &Origin) -> Gateway {
    Setup::new(format!(
        "{WEB}\nhttp2 = {{ cleartext = true }}\n[policy.shared]\nbandwidth = {{ download = \"1MiB\", \
         upload = \"1MiB\", key = \"header:X-Key\" }}\n[[route]]\nto = \"http://{}\"\npolicies = [\"shared\"]\n",
        origin.address
    ))
    .shards(2)
    .log("")
    .start()
}

/// So many bytes passed in so long: at the rate, but for what may pass at once in the beginning, and almost all of it.
fn assert_at_rate(what: &str, bytes: usize, time: Duration) {
    let behind = (bytes - RATE / 4 - 2 * SLACK) as f64 / RATE as f64;
    let share = behind / time.as_secs_f64();
    println!("{what}: {bytes} bytes in {time:?}, {:.0} % of the rate", share * 100.0);
    assert!(share <= 1.03, "{what}: {bytes} bytes in {time:?}");
    assert!(share >= 0.75, "{what}: {bytes} bytes in {time:?}");
}

/// Runs so many at once, each with its number; how long all of them took.
fn at_once(count: usize, work: impl Fn(usize) + Sync) -> Duration {
    took(|| {
        thread::scope(|scope| {
            for number in 0..count {
                let work = &work;
                scope.spawn(move || work(number));
            }
        });
    })
}

fn download(gateway: &Gateway, key: &str) {
    let request = format!("GET / HTTP/1.1\r\nHost: test\r\nX-Key: {key}\r\n\r\n");
    assert_eq!(Client::to(gateway.here()).ask(request).body.len(), BYTES);
}

#[test]
fn downloads_of_a_key_share_the_rate_on_all_threads_and_other_keys_do_not() {
    let origin = Origin::answering(|_| ok(vec![b'x'; BYTES]));
    let gateway = shared(&origin);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            let time = took(|| download(&gateway, "other"));
            assert!(time < Duration::from_millis(700), "another key took {time:?}");
        });
        let time = at_once(8, |_| download(&gateway, "a"));
        assert_at_rate("HTTP/1.1", 8 * BYTES, time);
    });
    let url = gateway.url("/");
    let time = at_once(4, |_| {
        let form =
            ["--http2-prior-knowledge", "-H", "X-Key: b", "-o", "/dev/null", "-w", "%{size_download} %{http_version}"];
        assert_eq!(curl(&[&form[..], &[&url]].concat()).text(), format!("{BYTES} 2"));
    });
    assert_at_rate("HTTP/2", 4 * BYTES, time);
}

#[test]
fn uploads_of_a_key_share_the_rate() {
    let origin = Origin::answering(|request| ok(request.body.len().to_string()));
    let gateway = shared(&origin);
    let time = at_once(4, |number| {
        // Some are chunked, and one comes with its head.
        let mut request = b"POST / HTTP/1.1\r\nHost: test\r\nX-Key: a\r\n".to_vec();
        match number % 2 {
            0 => request.extend_from_slice(format!("Content-Length: {BYTES}\r\n\r\n").as_bytes()),
            _ => request.extend_from_slice(format!("Transfer-Encoding: chunked\r\n\r\n{BYTES:x}\r\n").as_bytes()),
        }
        request.resize(request.len() + BYTES, b'x');
        if number % 2 == 1 {
            request.extend_from_slice(b"\r\n0\r\n\r\n");
        }
        let answer = Client::to(gateway.here()).ask(&request);
        assert_eq!((answer.status, answer.text()), (200, BYTES.to_string()));
    });
    assert_at_rate("uploads", 4 * BYTES, time);
}

#[test]
fn small_responses_of_a_key_share_the_rate_too() {
    let origin = Origin::answering(|_| ok(vec![b'x'; 3_000]));
    let gateway = shared(&origin);
    let time = at_once(4, |_| {
        let mut client = Client::to(gateway.here());
        for _ in 0..100 {
            let answer = client.ask("GET / HTTP/1.1\r\nHost: test\r\nX-Key: a\r\n\r\n");
            assert_eq!(answer.body.len(), 3_000);
        }
    });
    assert_at_rate("small responses", 4 * 100 * 3_000, time);
}

#[test]
fn tunnels_of_a_key_share_the_rate_in_each_direction() {
    const FRAME: usize = 4_096;
    for protocol in ["tunnel", "websocket"] {
        let origin = Origin::with(|peer| {
            let request = peer.head()?;
            let protocol = request.field("upgrade").to_owned();
            let accept = "Sec-WebSocket-Accept: s3pPLBMiTxaQ9kYGzzhZRbK+xOo=\r\n";
            peer.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{accept}\r\n"
            ));
            // A message of this length, as a server sends it; to a tunnel it is bytes.
            let mut frame = vec![0x82, 126, (FRAME >> 8) as u8, (FRAME & 255) as u8];
            frame.resize(4 + FRAME, b'x');
            for _ in 0..BYTES / FRAME {
                peer.send(&frame);
            }
            peer.read_to_end();
            Ok(())
        });
        let gateway = shared(&origin);
        let bytes = BYTES / FRAME * (FRAME + 4);
        let time = at_once(4, |_| {
            let mut client = Client::to(gateway.here());
            client.send(format!(
                "GET /t HTTP/1.1\r\nHost: test\r\nX-Key: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ));
            assert_eq!(client.head().status, 101, "{protocol}");
            assert_eq!(client.exactly(bytes).len(), bytes);
        });
        assert_at_rate(protocol, 4 * bytes, time);
    }
}
