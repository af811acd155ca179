// SPDX-License-Identifier: Apache-2.0
//! Clients and origins that are slow: who moves is left alone however long it takes, who drips is cut off, and nobody
//! is judged while nothing is to be sent.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Address, Buf, Tick};
use crate::link::Counter;
use crate::net::sim::{Sim, SimSocket, SimStream};
use crate::net::{Listener, Net, Stream};
use crate::sim::gateway::Gateway;
use crate::sim::heads::one_listener;
use crate::sim::limit::{LimitWorld, in_world};
use crate::sim::mesh::Delays;
use crate::wire::h2::frame::{self, ErrorCode};
use crate::wire::h2::settings;

const DELAYS: Delays = Delays { micros: (20, 400), stall_ms_max: 0 };
const ORIGIN: ([u8; 4], u16) = ([10, 0, 3, 1], 9000);

/// What the origin does with a request.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// Answers with so many bytes as fast as it can.
    Sends(usize),
    /// Answers with an event, is quiet for so many seconds, and sends another.
    Quiet(u64),
    /// Reads so many bytes of a body, so many a second, and answers with 200.
    Reads(usize, usize),
}

fn toml(listen: &Address, more: &str) -> String {
    let origin = Address::Inet(ORIGIN.into());
    let head = one_listener(1, listen);
    format!(
        r#"
        {head}
        http2 = {{ cleartext = true }}
        [[route]]
        path = "/echo"
        echo = true
        limits = {{ body = "off" }}
        [upstream.o]
        endpoints = "{origin}"
        [[route]]
        path_prefix = "/"
        to = "o"
        limits = {{ body = "off" }}
        {more}
        "#
    )
}

/// Serves one connection after another.
async fn serve(sim: Sim, origin: Origin) {
    let address = Address::Inet(ORIGIN.into());
    let listener = sim.listener(SimSocket { address, backlog: 16 }).expect("a listener");
    while let Ok(stream) = listener.accept().await {
        let mut head = Vec::new();
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            let (read, buf) = stream.read(Buf::with_capacity(1_000), Tick::NEVER).await;
            if !matches!(read, Ok(1..)) {
                return;
            }
            head.extend_from_slice(buf.filled());
        }
        match origin {
            Origin::Sends(bytes) => {
                let start = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n");
                let mut answer = start.into_bytes();
                answer.resize(answer.len() + bytes, b'x');
                for piece in answer.chunks(65_536) {
                    if stream.write(Buf::copied(piece), Tick::NEVER).await.0.is_err() {
                        return;
                    }
                }
            }
            Origin::Quiet(seconds) => {
                let start = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n0123456789";
                let _ = stream.write(Buf::copied(start.as_bytes()), Tick::NEVER).await;
                sim.sleep_until(sim.now().after_ms(seconds * 1_000)).await;
                let _ = stream.write(Buf::copied(b"0123456789"), Tick::NEVER).await;
            }
            Origin::Reads(bytes, a_second) => {
                let end = head.windows(4).position(|window| window == b"\r\n\r\n").expect("it was found");
                let mut seen = head.len() - end - 4;
                while seen < bytes {
                    sim.sleep_until(sim.now().after_ms(1_000)).await;
                    let (read, _) = stream.read(Buf::with_capacity(a_second), Tick::NEVER).await;
                    match read {
                        Ok(count @ 1..) => seen += count,
                        Ok(_) | Err(_) => return,
                    }
                }
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write(Buf::copied(answer.as_bytes()), Tick::NEVER).await;
            }
        }
        stream.finish();
        let _ = stream.read(Buf::with_capacity(100), sim.now().after_ms(1_000)).await;
    }
}

/// What a client came to.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// All bytes it read, cut to the first hundred.
    first: Vec<u8>,
    /// How many there were.
    bytes: usize,
    /// The connection ended in order.
    whole: bool,
    /// The code of GOAWAY.
    goaway: Option<u32>,
    /// How long it took.
    took: Duration,
    /// When the gateway counted a slow client, in seconds.
    cut_after: Option<u64>,
    /// What the gateway counted.
    slow_uploads: u64,
    slow_downloads: u64,
    late_heads: u64,
}

impl Seen {
    fn status(&self) -> String {
        String::from_utf8_lossy(&self.first).chars().skip(9).take(3).collect()
    }

    fn counted(&self) -> (u64, u64) {
        (self.slow_uploads, self.slow_downloads)
    }
}

/// Runs one client against one origin.
fn client<F: Future<Output = Seen> + 'static>(
    origin: Origin,
    more: &'static str,
    act: impl FnOnce(Sim, SimStream) -> F + 'static,
) -> Seen {
    let outcome: Rc<Cell<Option<Seen>>> = Rc::default();
    let told = outcome.clone();
    let configuration = move |_, listen: &Address| toml(listen, more);
    let ran = in_world((7, 1, DELAYS), configuration, async move |world: LimitWorld| {
        let LimitWorld { gateway, common, clients: sim, .. } = world;
        sim.spawn(serve(sim.clone(), origin));
        let stream = sim.connect(&common.gateway, Tick::NEVER).await.expect("a connection");
        let from = sim.now();
        let cut_after = Rc::new(Cell::new(None));
        sim.spawn(watch(sim.clone(), gateway.clone(), cut_after.clone()));
        let mut seen = act(sim.clone(), stream).await;
        seen.took = sim.now().since(from);
        // The gateway may count a moment later than the client sees.
        sim.sleep_until(sim.now().after_ms(1_000)).await;
        count(&gateway, &mut seen);
        seen.cut_after = cut_after.get();
        told.set(Some(seen));
        sim.kill();
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
    outcome.take().expect("the client came to its end")
}

/// Notes when the gateway first counts a slow client.
async fn watch(sim: Sim, gateway: Rc<Gateway>, cut_after: Rc<Cell<Option<u64>>>) {
    let from = sim.now();
    let mut seen = Seen::default();
    while seen.counted() == (0, 0) {
        sim.sleep_until(sim.now().after_ms(1_000)).await;
        count(&gateway, &mut seen);
    }
    cut_after.set(Some(sim.now().since(from).as_secs()));
}

fn count(gateway: &Gateway, seen: &mut Seen) {
    seen.slow_uploads = gateway.counted(Counter::SlowUploads);
    seen.slow_downloads = gateway.counted(Counter::SlowDownloads);
    seen.late_heads = gateway.counted(Counter::TimedOutHeads);
}

/// Reads so many bytes in so many milliseconds, again and again, until the end.
async fn read_all(sim: &Sim, stream: &SimStream, bytes: usize, every_ms: u64) -> Seen {
    let mut seen = Seen::default();
    loop {
        let (read, buf) = stream.read(Buf::with_capacity(bytes), Tick::NEVER).await;
        match read {
            Ok(0) => {
                seen.whole = true;
                return seen;
            }
            Ok(count) => {
                seen.bytes += count;
                let room = 100_usize.saturating_sub(seen.first.len()).min(count);
                seen.first.extend_from_slice(&buf.filled()[..room]);
            }
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::TimedOut);
                return seen;
            }
        }
        sim.sleep_until(sim.now().after_ms(every_ms)).await;
    }
}

async fn say(stream: &SimStream, bytes: &[u8]) -> bool {
    stream.write(Buf::copied(bytes), Tick::NEVER).await.0.is_ok()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: slow.test\r\nConnection: close\r\n\r\n";

#[test]
fn a_steady_reader_is_never_cut_off() {
    // One buffer of the gateway takes a minute, twice the time that may pass without progress.
    let seen = client(Origin::Sends(2_400_000), "", async |sim, stream| {
        say(&stream, GET).await;
        read_all(&sim, &stream, 4_000, 1_000).await
    });
    assert!(seen.whole && seen.bytes > 2_400_000 && seen.took > Duration::from_secs(590), "{seen:?}");
    assert_eq!(seen.counted(), (0, 0));
}

#[test]
fn a_reader_that_drips_and_one_that_stands_still_are_cut_off() {
    let drips = client(Origin::Sends(2_400_000), "", async |sim, stream| {
        say(&stream, GET).await;
        read_all(&sim, &stream, 100, 1_000).await
    });
    // It falls behind by 0.58 s each second.
    assert!(!drips.whole && drips.cut_after.is_some_and(|after| (45..75).contains(&after)), "{drips:?}");
    assert_eq!(drips.counted(), (0, 1));
    let stands = client(Origin::Sends(2_400_000), "", async |sim, stream| {
        say(&stream, GET).await;
        sim.sleep_until(sim.now().after_ms(50_000)).await;
        read_all(&sim, &stream, 100_000, 0).await
    });
    assert!(stands.cut_after.is_some_and(|after| (29..45).contains(&after)), "{stands:?}");
    assert_eq!(stands.counted(), (0, 1));
}

#[test]
fn who_waits_for_a_quiet_origin_is_not_slow() {
    let more = "timeouts = { idle = \"1h\" }";
    let seen = client(Origin::Quiet(1_200), more, async |sim, stream| {
        say(&stream, GET).await;
        read_all(&sim, &stream, 1_000, 0).await
    });
    assert!(seen.whole && seen.bytes == 115 && seen.took > Duration::from_secs(1_199), "{seen:?}");
    assert_eq!(seen.counted(), (0, 0));
}

/// Uploads so many bytes to a path, a piece each second, and reads the response.
async fn upload(sim: Sim, stream: SimStream, path: &str, bytes: usize, a_second: usize) -> Seen {
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: slow.test\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n");
    say(&stream, head.as_bytes()).await;
    let mut sent = 0;
    while sent < bytes {
        let count = a_second.min(bytes - sent);
        if !say(&stream, &vec![b'x'; count]).await {
            break;
        }
        sent += count;
        let (read, buf) = stream.read_idle(Buf::with_capacity(1_000), sim.now().after_ms(1_000)).await;
        if let Ok(count) = read {
            let mut seen = read_all(&sim, &stream, 1_000, 0).await;
            seen.first.splice(0..0, buf.filled().iter().copied());
            seen.bytes += count;
            return seen;
        }
    }
    read_all(&sim, &stream, 1_000, 0).await
}

#[test]
fn an_upload_at_the_least_rate_is_taken_and_one_that_drips_gets_408() {
    for path in ["/", "/echo"] {
        let steady = client(Origin::Reads(180_000, 65_536), "", async move |sim, stream| {
            upload(sim, stream, path, 180_000, 300).await
        });
        assert_eq!((&*steady.status(), steady.counted()), ("200", (0, 0)), "{path}: {steady:?}");
        assert!(steady.took > Duration::from_secs(590), "{path}: {steady:?}");
        let drips = client(Origin::Reads(180_000, 65_536), "", async move |sim, stream| {
            upload(sim, stream, path, 180_000, 100).await
        });
        assert_eq!((&*drips.status(), drips.counted()), ("408", (1, 0)), "{path}: {drips:?}");
        assert!((45..75).contains(&drips.took.as_secs()), "{path}: {drips:?}");
    }
}

#[test]
fn an_upload_that_the_origin_holds_up_is_not_slow() {
    // The origin takes less than the least rate that clients must keep, and in the end the kernel has the rest.
    let seen =
        client(Origin::Reads(150_000, 200), "", async |sim, stream| upload(sim, stream, "/", 150_000, 150_000).await);
    assert_eq!((&*seen.status(), seen.counted()), ("200", (0, 0)), "{seen:?}");
    assert!(seen.took > Duration::from_secs(700), "{seen:?}");
}

#[test]
fn an_upload_that_is_not_there_at_the_deadline_is_the_clients_fault() {
    let more = "timeouts = { total = \"20s\" }";
    let seen =
        client(Origin::Reads(180_000, 65_536), more, async |sim, stream| upload(sim, stream, "/", 180_000, 300).await);
    assert_eq!(&*seen.status(), "408", "{seen:?}");
    // Where the origin holds it up, it is not.
    let seen = client(Origin::Reads(1_000_000, 200), more, async |sim, stream| {
        upload(sim, stream, "/", 1_000_000, 1_000_000).await
    });
    assert_ne!(&*seen.status(), "408", "{seen:?}");
}

/// The type, the flags and the payload of the first frame, taken out of `bytes` where it is complete.
fn next_frame(bytes: &mut Vec<u8>) -> Option<(u8, u8, Vec<u8>)> {
    let &[a, b, c, kind, flags, ..] = bytes.get(..9)? else { return None };
    let end = 9 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
    let payload = bytes.get(9..end)?.to_vec();
    bytes.drain(..end);
    Some((kind, flags, payload))
}

const SETTINGS_ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];

/// A client of HTTP/2 that opens a stream's window by so many bytes, so often, and reads all that comes.
async fn h2_reader(sim: Sim, stream: SimStream, window: u32, every_ms: u64) -> Seen {
    let mut out = frame::PREFACE.to_vec();
    settings::write(&mut out, &[(settings::INITIAL_WINDOW_SIZE, window)]);
    frame::window_update(&mut out, 0, 100_000_000);
    // `GET`, `http`, `/`, and a literal `:authority`.
    let block = [&[0x82, 0x86, 0x84, 0x01, 9][..], b"slow.test"].concat();
    // HEADERS with END_HEADERS and END_STREAM on stream 1.
    out.extend_from_slice(&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1]);
    out.extend_from_slice(&block);
    say(&stream, &out).await;
    let (mut seen, mut bytes) = (Seen::default(), Vec::new());
    let mut open_at = sim.now().after_ms(every_ms);
    loop {
        let (read, buf) = stream.read_idle(Buf::with_capacity(65_536), open_at).await;
        match read {
            Ok(0) => return seen,
            Ok(_) => bytes.extend_from_slice(buf.filled()),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                let mut more = Vec::new();
                frame::window_update(&mut more, 1, window);
                say(&stream, &more).await;
                open_at = sim.now().after_ms(every_ms);
            }
            Err(_) => return seen,
        }
        while let Some((kind, flags, payload)) = next_frame(&mut bytes) {
            match kind {
                0 => {
                    seen.bytes += payload.len();
                    seen.whole |= flags & 1 != 0;
                }
                // RST_STREAM.
                3 => return seen,
                4 if flags & 1 == 0 => {
                    say(&stream, SETTINGS_ACK).await;
                }
                _ => {}
            }
            if seen.whole {
                return seen;
            }
        }
    }
}

#[test]
fn a_stream_whose_window_opens_a_bit_lives_and_one_that_drips_is_reset() {
    let steady = client(Origin::Sends(2_400_000), "", async |sim, stream| h2_reader(sim, stream, 4_000, 1_000).await);
    assert!(steady.whole && steady.bytes == 2_400_000 && steady.took > Duration::from_secs(590), "{steady:?}");
    assert_eq!(steady.counted(), (0, 0));
    let drips = client(Origin::Sends(2_400_000), "", async |sim, stream| h2_reader(sim, stream, 300, 3_000).await);
    assert!(!drips.whole && (45..80).contains(&drips.took.as_secs()), "{drips:?}");
    assert_eq!(drips.counted(), (0, 1));
    let shut = client(Origin::Sends(2_400_000), "", async |sim, stream| h2_reader(sim, stream, 300, 10_000_000).await);
    assert!(!shut.whole && (29..45).contains(&shut.took.as_secs()), "{shut:?}");
    assert_eq!(shut.counted(), (0, 1));
}

/// What a client of HTTP/2 does about the gateway's SETTINGS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    Acknowledged,
    Ignored,
}

/// A client of HTTP/2 that says something each 300 ms, which is more often than clocks are looked at, until it reads
/// the end of the connection.
async fn h2_dripper(sim: Sim, stream: SimStream, owed: Owed, said: impl Fn(usize) -> Vec<u8>) -> Seen {
    let mut hello = frame::PREFACE.to_vec();
    settings::write(&mut hello, &[]);
    say(&stream, &hello).await;
    let (mut seen, mut bytes) = (Seen::default(), Vec::new());
    let (mut count, mut settled) = (0, false);
    let mut say_at = sim.now().after_ms(300);
    loop {
        let (read, buf) = stream.read_idle(Buf::with_capacity(4_096), say_at).await;
        match read {
            Ok(0) => {
                seen.whole = true;
                return seen;
            }
            Ok(_) => bytes.extend_from_slice(buf.filled()),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                // Nothing may stand between the frames of a block, so the acknowledgement goes first.
                if settled || owed == Owed::Ignored {
                    say(&stream, &said(count)).await;
                    count += 1;
                }
                say_at = sim.now().after_ms(300);
            }
            Err(_) => return seen,
        }
        while let Some((kind, flags, payload)) = next_frame(&mut bytes) {
            match kind {
                4 if flags & 1 == 0 && owed == Owed::Acknowledged => settled = say(&stream, SETTINGS_ACK).await,
                7 => seen.goaway = payload[4..].first_chunk().map(|code| u32::from_be_bytes(*code)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_head_of_http2_that_drips_is_ended_by_its_timeout() {
    // HEADERS without END_HEADERS, the header of a CONTINUATION with 16 000 bytes, and these one by one.
    let bytes = |count| match count {
        0 => [&[0, 0, 3, 1, 1, 0, 0, 0, 1, 0x82, 0x86, 0x84][..], &[0, 0x3E, 0x80, 9, 4, 0, 0, 0, 1]].concat(),
        _ => b"x".to_vec(),
    };
    // CONTINUATION frames of one byte each, fewer in ten seconds than would be a flood.
    let frames = |count| match count {
        0 => vec![0, 0, 3, 1, 1, 0, 0, 0, 1, 0x82, 0x86, 0x84],
        count if count % 4 == 0 => vec![0, 0, 1, 9, 0, 0, 0, 0, 1, 0],
        _ => Vec::new(),
    };
    // A request on a stream of its own, and a frame's header that is never complete.
    let header = |count| match count {
        0 => [&[0, 0, 14, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x01, 9][..], b"slow.test", &[0]].concat(),
        count if count % 8 == 0 && count < 64 => vec![0],
        _ => Vec::new(),
    };
    let drips: [fn(usize) -> Vec<u8>; 3] = [bytes, frames, header];
    for (which, drip) in drips.into_iter().enumerate() {
        let seen = client(Origin::Sends(1), "", async move |sim, stream| {
            h2_dripper(sim, stream, Owed::Acknowledged, drip).await
        });
        assert_eq!((seen.goaway, seen.late_heads), (Some(ErrorCode::EnhanceYourCalm.number()), 1), "{which}: {seen:?}");
        assert!((9..14).contains(&seen.took.as_secs()), "{which}: {seen:?}");
    }
}

#[test]
fn settings_that_are_never_acknowledged_end_a_busy_connection() {
    // PING each second or so, which the gateway answers.
    let ping = |count| match count % 4 {
        0 => vec![0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        _ => Vec::new(),
    };
    for (owed, goaway) in [(Owed::Ignored, Some(ErrorCode::SettingsTimeout.number())), (Owed::Acknowledged, Some(0))] {
        let seen = client(Origin::Sends(1), "", async move |sim, stream| h2_dripper(sim, stream, owed, ping).await);
        assert_eq!((seen.goaway, seen.late_heads), (goaway, 0), "{owed:?}: {seen:?}");
        assert_eq!((9..14).contains(&seen.took.as_secs()), owed == Owed::Ignored, "{owed:?}: {seen:?}");
    }
}
