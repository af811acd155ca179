// SPDX-License-Identifier: Apache-2.0
//! Hostile HTTP/2 clients: floods of frames, and requests that hold resources and never go on. The frames are written
//! by hand.
//!
//! They run beside honest clients, for whom all rules still hold. A flood must end with ENHANCE_YOUR_CALM; a client
//! that only waits must be timed out.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Buf, Rng, Tick};
use crate::net::sim::Latch;
use crate::net::sim::{Sim, SimStream};
use crate::net::{Net, Stream};
use crate::sim::common::Common;
use crate::sim::h2::message::{self, Request};
use crate::sim::ledger::{Outcome, PlannedRequest};
use crate::sim::message_io::Framing;
use crate::sim::mood::FaultLevel;
use crate::sim::spoken::HttpVersion;
use crate::wire::h2::frame::{self, ErrorCode, Kind, PREFACE};
use crate::wire::h2::hpack::Encoder;
use crate::wire::h2::settings;

/// What a hostile client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// Opens streams and resets them at once (CVE-2023-44487).
    RapidReset,
    /// Sends SETTINGS again and again (CVE-2019-9515).
    Settings,
    /// Sends PING again and again (CVE-2019-9512).
    Ping,
    /// Sends empty DATA frames without END_STREAM (CVE-2019-9518).
    EmptyData,
    /// Changes priorities again and again (CVE-2019-9513).
    Priority,
    /// Opens the connection's window a few bytes at a time.
    WindowUpdate,
    /// Sends CONTINUATION frames without END_HEADERS (RUSTSEC-2024-0332).
    Continuation,
    /// Begins a field block and then sends nothing.
    PartialBlock,
    /// Sends requests and never opens a window for the responses.
    ZeroWindow,
    /// Begins requests and then sends nothing.
    HalfOpen,
}

/// Longest flood in a calm world, where every timeout is an hour.
const FLOOD_MAX: Duration = Duration::from_secs(600);
/// A client whose frames take longer than this sends less than twice the rate that the gateway accepts indefinitely.
const RATE_TIME: Duration = Duration::from_secs(45);
/// Streams of a client that only waits.
const STREAMS_HELD: u64 = 8;

impl Attack {
    const ALL: [Attack; 10] = [
        Attack::RapidReset,
        Attack::Settings,
        Attack::Ping,
        Attack::EmptyData,
        Attack::Priority,
        Attack::WindowUpdate,
        Attack::Continuation,
        Attack::PartialBlock,
        Attack::ZeroWindow,
        Attack::HalfOpen,
    ];

    fn draw(common: &Common, rng: &mut Rng) -> Attack {
        let scenario = &common.scenario;
        // Where few requests may run at once and nothing times out, held requests would starve the honest clients.
        let scarce = scenario.requests_max > 0 && scenario.mood != FaultLevel::Wild;
        match Attack::ALL[rng.below(Attack::ALL.len() as u64) as usize] {
            Attack::RapidReset | Attack::ZeroWindow | Attack::HalfOpen | Attack::EmptyData if scarce => Attack::Ping,
            harm => harm,
        }
    }

    /// The name in totals.
    const fn name(self) -> &'static str {
        match self {
            Attack::RapidReset => "rapid reset",
            Attack::Settings => "settings",
            Attack::Ping => "ping",
            Attack::EmptyData => "empty data",
            Attack::Priority => "priority",
            Attack::WindowUpdate => "window update",
            Attack::Continuation => "continuation",
            Attack::PartialBlock => "partial block",
            Attack::ZeroWindow => "zero window",
            Attack::HalfOpen => "half open",
        }
    }

    /// Most frames of the flood, far above the gateway's cap; zero for those that wait.
    const fn frames(self) -> u64 {
        match self {
            Attack::WindowUpdate => 20_000,
            Attack::RapidReset
            | Attack::Settings
            | Attack::Ping
            | Attack::EmptyData
            | Attack::Priority
            | Attack::Continuation => 2_000,
            Attack::PartialBlock | Attack::ZeroWindow | Attack::HalfOpen => 0,
        }
    }

    /// Must the gateway end it with ENHANCE_YOUR_CALM?
    const fn is_flood(self) -> bool {
        match self {
            Attack::RapidReset
            | Attack::Settings
            | Attack::Ping
            | Attack::EmptyData
            | Attack::Priority
            | Attack::WindowUpdate
            | Attack::Continuation
            | Attack::PartialBlock => true,
            Attack::ZeroWindow | Attack::HalfOpen => false,
        }
    }
}

/// One hostile connection.
struct Hostile {
    began: Tick,
    /// How long the flood has taken so far.
    wrote: Cell<Duration>,
    common: Rc<Common>,
    sim: Sim,
    stream: Rc<SimStream>,
    harm: Attack,
    latch: Latch,
    /// SETTINGS of the gateway that are not yet acknowledged.
    owed: Cell<u32>,
    goaway: Cell<Option<u32>>,
    /// A field block has begun: no other frame may be sent.
    in_block: Cell<bool>,
    /// Exchanges that were begun and that no rule covers any more.
    begun: RefCell<Vec<u64>>,
    over: Cell<bool>,
    writing: Cell<bool>,
}

/// Runs one hostile client to its end.
pub(super) async fn run(common: Rc<Common>, sim: Sim, mut rng: Rng) {
    sim.sleep_until(sim.now().after_ms(rng.below(3_000))).await;
    let until = sim.now().after(common.scenario.patience());
    let Ok(stream) = sim.connect(&common.gateway_two, until).await else { return };
    let hostile = Rc::new(Hostile {
        began: sim.now(),
        wrote: Cell::new(Duration::ZERO),
        harm: Attack::draw(&common, &mut rng),
        common: common.clone(),
        sim: sim.clone(),
        stream: Rc::new(stream),
        latch: Latch::default(),
        owed: Cell::new(0),
        goaway: Cell::new(None),
        in_block: Cell::new(false),
        begun: RefCell::default(),
        over: Cell::new(false),
        writing: Cell::new(true),
    });
    sim.note(format!("means harm: {:?}", hostile.harm));
    sim.spawn(hostile.clone().write_all(Rng::new(rng.next_u64())));
    hostile.read_all().await;
    hostile.over.set(true);
    hostile.latch.notify();
    hostile.latch.wait(|| (!hostile.writing.get()).then_some(())).await;
    hostile.judge();
}

impl Hostile {
    fn judge(&self) {
        let calm = self.common.demands.all_answered && !self.common.drains();
        let flooded = self.goaway.get() == Some(ErrorCode::EnhanceYourCalm.number());
        let took = self.sim.now().since(self.began);
        // A client that sends nothing more is timed out; all others end before that.
        let late = self.harm.frames() > 0 && took > FLOOD_MAX;
        // On a slow network it is not a flood.
        let slow = self.wrote.get() > RATE_TIME;
        if calm && self.harm.is_flood() && !slow && (!flooded || late) {
            let told = self.goaway.get();
            self.sim.fail(format!("a client that means harm ({:?}) saw GOAWAY {told:?} after {took:?}", self.harm));
        }
        for id in self.begun.take() {
            if let Err(broken) = self.common.ledger.borrow_mut().end(id, Outcome::GivenUp) {
                self.sim.fail(broken);
            }
        }
        *self.common.harms.borrow_mut().entry(self.harm.name()).or_default() += 1;
    }

    /// Reads until the gateway ends the connection.
    async fn read_all(&self) {
        let mut bytes = Vec::new();
        loop {
            let until = self.sim.now().after(self.common.scenario.patience());
            let (read, buf) = self.stream.read(Buf::with_capacity(4_096), until).await;
            match read {
                Ok(0) => return,
                Ok(_) => bytes.extend_from_slice(buf.filled()),
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    return self.sim.fail(format!("a client that means harm ({:?}) was left alone", self.harm));
                }
                Err(_) => return,
            }
            while let Some(len) = frame_len(&bytes) {
                self.take(&bytes[..len]);
                bytes.drain(..len);
            }
        }
    }

    fn take(&self, frame: &[u8]) {
        let (kind, flags) = (frame[3], frame[4]);
        if kind == SETTINGS && flags & ACK == 0 {
            self.owed.set(self.owed.get() + 1);
            self.latch.notify();
        }
        if let (GOAWAY, Some(code)) = (kind, frame.get(13..17)) {
            let code = code.iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
            self.sim.note(format!("GOAWAY {code}"));
            // The last word counts.
            self.goaway.set(Some(code));
        }
    }

    async fn write_all(self: Rc<Self>, mut rng: Rng) {
        let mut encoder = Encoder::new();
        let mut out = PREFACE.to_vec();
        let window = if self.harm == Attack::ZeroWindow { 0 } else { 65_535 };
        settings::write(&mut out, &[(settings::INITIAL_WINDOW_SIZE, window)]);
        let mut stream = 1;
        if matches!(self.harm, Attack::Continuation | Attack::PartialBlock) {
            // Missing acknowledgements would end the connection, and none can be sent within a field block.
            self.put(&mut out).await;
            self.latch.wait(|| (self.over.get() || self.owed.get() > 0).then_some(())).await;
            self.put(&mut out).await;
            self.in_block.set(true);
        }
        self.prelude(&mut out, &mut encoder, &mut stream, &mut rng);
        for number in 0..self.harm.frames() {
            self.frame(&mut out, &mut encoder, &mut stream, number, &mut rng);
            if out.len() < 1_000 && !rng.chance(50) {
                continue;
            }
            if !self.put(&mut out).await {
                break;
            }
            self.wrote.set(self.sim.now().since(self.began));
        }
        while self.put(&mut out).await {
            self.latch.wait(|| (self.over.get() || self.owed.get() > 0).then_some(())).await;
        }
        self.writing.set(false);
        self.latch.notify();
    }

    /// Writes the gathered frames and the acknowledgements that are due. False where the peer no longer reads.
    async fn put(&self, out: &mut Vec<u8>) -> bool {
        while !self.in_block.get() && self.owed.get() > 0 {
            self.owed.set(self.owed.get() - 1);
            frame::settings_ack(out);
        }
        if self.over.get() {
            return false;
        }
        if out.is_empty() {
            self.owed.set(0);
            return true;
        }
        let until = self.sim.now().after(self.common.scenario.patience());
        let (written, _) = self.stream.write(Buf::copied(out), until).await;
        out.clear();
        written.is_ok()
    }

    /// The frames before a flood, or of a client that only waits.
    fn prelude(&self, out: &mut Vec<u8>, encoder: &mut Encoder, stream: &mut u32, rng: &mut Rng) {
        match self.harm {
            Attack::EmptyData => self.open(out, encoder, stream, Method::Post, rng),
            Attack::Continuation | Attack::PartialBlock => frame::header(out, 1, Kind::Headers, 0, 1),
            Attack::ZeroWindow => {
                (0..STREAMS_HELD).for_each(|_| self.open(out, encoder, stream, Method::Get, rng));
            }
            Attack::HalfOpen => (0..STREAMS_HELD).for_each(|_| self.open(out, encoder, stream, Method::Post, rng)),
            Attack::RapidReset | Attack::Settings | Attack::Ping | Attack::Priority | Attack::WindowUpdate => {}
        }
        if matches!(self.harm, Attack::Continuation | Attack::PartialBlock) {
            // The method of a request that is never completed.
            out.push(0x82);
        }
    }

    fn frame(&self, out: &mut Vec<u8>, encoder: &mut Encoder, stream: &mut u32, number: u64, rng: &mut Rng) {
        match self.harm {
            Attack::RapidReset => {
                let opened = *stream;
                self.open(out, encoder, stream, Method::Get, rng);
                frame::rst_stream(out, opened, ErrorCode::Cancel);
            }
            Attack::Settings => settings::write(out, &[(settings::HEADER_TABLE_SIZE, number as u32 % 4_096)]),
            Attack::Ping => frame::ping(out, 0, number.to_be_bytes()),
            Attack::EmptyData => frame::header(out, 0, Kind::Data, 0, 1),
            Attack::Priority => {
                frame::header(out, 4 + 3, Kind::PriorityUpdate, 0, 0);
                out.extend_from_slice(&[0, 0, 0, 1]);
                out.extend_from_slice(b"u=2");
            }
            Attack::WindowUpdate => frame::window_update(out, 0, 1),
            Attack::Continuation => frame::header(out, 0, Kind::Continuation, 0, 1),
            Attack::PartialBlock | Attack::ZeroWindow | Attack::HalfOpen => {}
        }
    }

    /// A request that an origin recognises and for which no rule expects a response.
    fn open(&self, out: &mut Vec<u8>, encoder: &mut Encoder, stream: &mut u32, method: Method, rng: &mut Rng) {
        let (method, length, framing, flags) = match method {
            Method::Get => ("GET", 0, Framing::Empty, END_HEADERS | END_STREAM),
            Method::Post => ("POST", 1_000, Framing::Chunked, END_HEADERS),
        };
        let ask = PlannedRequest {
            by: HttpVersion::Two,
            to: HttpVersion::ALL[rng.below(2) as usize],
            method,
            length,
            framing,
            old: false,
            expects: false,
            upgrades: false,
            last: false,
            trailers: false,
            accepts_gzip: true,
            entitled: false,
        };
        let mut ledger = self.common.ledger.borrow_mut();
        let id = ledger.begin(ask.clone());
        ledger.give_up(id);
        self.begun.borrow_mut().push(id);
        let fields = message::request_fields(id, &ask, rng);
        let mut block = Vec::new();
        let path = ask.to.path(id);
        Request { method, path: &path, fields: &fields }.write(&mut block, encoder);
        frame::header(out, block.len(), Kind::Headers, flags, *stream);
        out.extend_from_slice(&block);
        *stream += 2;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Get,
    Post,
}

/// The length of the frame at the front, where it is complete.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let len = bytes.get(..3)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)) + frame::HEADER_BYTES;
    (bytes.len() >= len).then_some(len)
}

const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
