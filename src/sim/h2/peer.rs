// SPDX-License-Identifier: Apache-2.0
//! One end of an HTTP/2 connection. One task reads into the state machine and sorts events by stream, one writes what
//! the state machine has queued, and clients and origins wait for events.
//!
//! Received content goes back to the sender's window when it is taken, and DATA is queued only while the queue is
//! short, so that backpressure works as on a real peer.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::base::Buf;
use crate::net::sim::Latch;
use crate::net::sim::{Sim, SimStream};
use crate::net::{Net, Stream};
use crate::sim::h2::message;
use crate::sim::message_io::{ConversationError, Head, Pace};
use crate::wire::h2::connection::{Connection, Ending, Event, Input, ResetBy, Role};
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::hpack::Encoder;
use crate::wire::h2::stream::Key;

/// DATA is queued while less than this waits to be written.
const QUEUE_MAX: usize = 16 * 1024;
/// The payload of our PING.
const PING: u64 = 7;

/// What came on a stream.
#[derive(Clone, Debug)]
pub(crate) enum StreamEvent {
    /// An informational head.
    Interim(Head),
    /// The head, and what the stream does with it.
    Head(Head, Ending),
    /// Content; to be given back with `release`.
    Data(Vec<u8>),
    /// The end of the stream, with the trailers if there are any.
    End(Vec<(String, String)>),
    /// The stream was reset, by either side.
    Reset(ErrorCode),
    /// The connection is over.
    Lost,
}

#[derive(Default)]
struct Inbox {
    news: VecDeque<StreamEvent>,
    /// Reset or lost: nothing can be sent.
    over: bool,
}

/// How a connection's end behaves.
pub(crate) struct EndProfile {
    /// How it reads.
    pub reads: Pace,
    /// How it writes.
    pub writes: Pace,
    /// How long it waits for anything.
    pub patience: Duration,
    /// In this world the other end must not give up.
    pub calm: bool,
}

/// One end of a connection.
pub(crate) struct Peer {
    sim: Sim,
    /// The bytes.
    pub stream: Rc<SimStream>,
    /// Wakes everybody who waits for this connection.
    pub latch: Latch,
    machine: RefCell<Connection>,
    /// Whole frames that the machine would not write.
    raw: RefCell<Vec<u8>>,
    streams: RefCell<BTreeMap<u32, Inbox>>,
    arrivals: RefCell<VecDeque<Key>>,
    patience: Duration,
    calm: bool,
    forgives: Cell<bool>,
    /// The first byte that came.
    first: Cell<Option<u8>>,
    settled: Cell<bool>,
    pings_answered: Cell<u32>,
    /// Nothing more can be read or written.
    ended: Cell<bool>,
    /// Set: the queue is written out and then our side is shut down.
    finishing: Cell<bool>,
    tasks: Cell<usize>,
}

impl Peer {
    /// Runs `machine` over `stream`.
    pub(crate) fn start(sim: &Sim, stream: Rc<SimStream>, machine: Connection, manner: EndProfile) -> Rc<Peer> {
        let EndProfile { reads, writes, patience, calm } = manner;
        let peer = Rc::new(Peer {
            sim: sim.clone(),
            stream,
            latch: Latch::default(),
            machine: RefCell::new(machine),
            raw: RefCell::default(),
            streams: RefCell::default(),
            arrivals: RefCell::default(),
            patience,
            calm,
            forgives: Cell::new(false),
            first: Cell::new(None),
            settled: Cell::new(false),
            pings_answered: Cell::new(0),
            ended: Cell::new(false),
            finishing: Cell::new(false),
            tasks: Cell::new(2),
        });
        sim.spawn(peer.clone().read_all(reads));
        sim.spawn(peer.clone().write_all(writes));
        peer
    }

    /// Changes the state machine and wakes everybody who waits.
    pub(crate) fn act<T>(&self, change: impl FnOnce(&mut Connection) -> T) -> T {
        let result = change(&mut self.machine.borrow_mut());
        self.latch.notify();
        result
    }

    /// Asks the machine something.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Connection) -> T) -> T {
        question(&self.machine.borrow())
    }

    /// Appends frames that the machine would not write.
    pub(crate) fn say_raw(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.raw.borrow_mut());
        self.latch.notify();
    }

    /// May a stream be opened now?
    pub(crate) fn may_open(&self) -> bool {
        !self.ended.get() && !self.finishing.get() && self.ask(|machine| machine.openable() > 0 && !machine.is_going())
    }

    /// Opens a stream with a head. Only where `may_open`.
    pub(crate) fn open(&self, ending: Ending, write: impl FnOnce(&mut Vec<u8>, &mut Encoder)) -> Option<Key> {
        let key = self.act(|machine| machine.open(ending, write)).ok()?;
        self.sim.note(format!("connection {}: opens {}", self.stream.connection(), key.id()));
        self.streams.borrow_mut().insert(key.id(), Inbox::default());
        Some(key)
    }

    /// The next stream that the other end opened; `None` after the end of the connection.
    pub(crate) async fn arrival(&self) -> Option<Key> {
        let next = || {
            let arrived = self.arrivals.borrow_mut().pop_front();
            if arrived.is_some() || self.ended.get() { Some(arrived) } else { None }
        };
        self.latch.wait(next).await
    }

    /// The next event on a stream. `Late` where none came within the patience.
    pub(crate) async fn hear(&self, key: Key) -> Result<StreamEvent, ConversationError> {
        let next = || {
            let mut streams = self.streams.borrow_mut();
            let Some(inbox) = streams.get_mut(&key.id()) else { return Some(StreamEvent::Lost) };
            match inbox.news.pop_front() {
                None if self.ended.get() => Some(StreamEvent::Lost),
                news => news,
            }
        };
        let until = self.sim.now().after(self.patience);
        self.latch.wait_until(&self.sim, until, next).await.ok_or(ConversationError::Late)
    }

    /// Sends content as windows allow.
    pub(crate) async fn send(&self, key: Key, bytes: &[u8], ending: Ending) -> Result<(), ConversationError> {
        let mut at = 0;
        loop {
            let room = || {
                if self.is_over(key) {
                    return Some(false);
                }
                let machine = self.machine.borrow();
                let sendable = bytes.is_empty() || machine.data_room(key) > 0;
                (sendable && machine.output_len() < QUEUE_MAX).then_some(true)
            };
            let until = self.sim.now().after(self.patience);
            let room = self.latch.wait_until(&self.sim, until, room).await.ok_or(ConversationError::Late)?;
            if !room {
                return Err(ConversationError::Reset);
            }
            let now = self.sim.now();
            let sent = self.act(|machine| machine.send_data(key, &bytes[at..], ending, now));
            at += sent.map_err(|_| ConversationError::Reset)?;
            if at == bytes.len() {
                return Ok(());
            }
        }
    }

    /// From here on protocol errors of ours are expected.
    pub(crate) fn forgive(&self) {
        self.forgives.set(true);
    }

    /// Was the stream reset or lost?
    pub(crate) fn is_over(&self, key: Key) -> bool {
        self.ended.get() || self.streams.borrow().get(&key.id()).is_none_or(|inbox| inbox.over)
    }

    /// Resets a stream, if it still is one.
    pub(crate) fn reset(&self, key: Key, code: ErrorCode) {
        let now = self.sim.now();
        self.act(|machine| machine.reset(key, code, now));
        self.sim.note(format!("connection {}: resets {} with {}", self.stream.connection(), key.id(), code.name()));
        self.cut(key, StreamEvent::Reset(code));
    }

    /// The exchange of a stream is over.
    pub(crate) fn forget(&self, key: Key) {
        self.streams.borrow_mut().remove(&key.id());
        let now = self.sim.now();
        self.act(|machine| machine.forget(key, now));
    }

    /// Gives content back.
    pub(crate) fn release(&self, key: Key, count: usize) {
        self.act(|machine| machine.release(key, count));
    }

    /// Waits until the other end's settings are known.
    pub(crate) async fn settle(&self) {
        self.latch.wait(|| (self.settled.get() || self.ended.get()).then_some(())).await;
    }

    /// The other end's settings are known.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.get()
    }

    /// Nothing more can be read or written.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.get()
    }

    /// Sends a PING and waits for its response.
    pub(crate) async fn round_trip(&self) {
        let before = self.pings_answered.get();
        self.act(|machine| machine.ping(PING));
        self.latch.wait(|| (self.pings_answered.get() > before || self.ended.get()).then_some(())).await;
    }

    /// Writes what is queued, then ends our side.
    pub(crate) fn finish(&self) {
        self.finishing.set(true);
        self.latch.notify();
    }

    /// Breaks the connection.
    pub(crate) fn abort(&self) {
        self.stream.abort();
        self.end();
    }

    /// Waits for the end of the connection and of its tasks.
    pub(crate) async fn over(&self) {
        self.latch.wait(|| (self.ended.get() && self.tasks.get() == 0).then_some(())).await;
    }

    fn end(&self) {
        self.ended.set(true);
        self.latch.notify();
    }

    fn cut(&self, key: Key, news: StreamEvent) {
        if let Some(inbox) = self.streams.borrow_mut().get_mut(&key.id())
            && !inbox.over
        {
            inbox.over = true;
            inbox.news.push_back(news);
        }
        self.latch.notify();
    }

    fn tell(&self, key: Key, news: StreamEvent) {
        if let Some(inbox) = self.streams.borrow_mut().get_mut(&key.id()) {
            inbox.news.push_back(news);
        }
    }

    async fn read_all(self: Rc<Peer>, mut pace: Pace) {
        while !self.ended.get() {
            pace.rest(&self.sim).await;
            let until = self.sim.now().after(self.patience);
            let (result, buf) = self.stream.read(Buf::with_capacity(pace.piece()), until).await;
            match result {
                Ok(0) => break,
                Ok(_) => self.feed(buf.filled()),
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    self.sim.fail("a connection of HTTP/2 was left waiting for ever");
                    break;
                }
                Err(_) => break,
            }
        }
        self.tasks.set(self.tasks.get() - 1);
        self.end();
    }

    fn feed(&self, bytes: &[u8]) {
        self.first.set(self.first.get().or_else(|| bytes.first().copied()));
        let mut input = Input::new(bytes);
        let now = self.sim.now();
        loop {
            let event = self.machine.borrow_mut().next(&mut input, now);
            match event {
                Ok(None) => break,
                Ok(Some(event)) => {
                    self.sim.note(format!("connection {}: {event:?}", self.stream.connection()));
                    if let Err(what) = self.sort(event, bytes) {
                        self.sim.fail(format!("the other end of HTTP/2: {what:?}"));
                    }
                }
                Err(error) => {
                    // A gateway that times out before it has the whole preface responds in HTTP/1.
                    let unheard = !self.calm && !self.settled.get() && self.first.get() == Some(b'H');
                    if !unheard {
                        self.sim.fail(format!("the other end of HTTP/2 broke a rule: {error:?}"));
                    }
                    self.end();
                    break;
                }
            }
        }
        self.latch.notify();
    }

    fn sort(&self, event: Event, bytes: &[u8]) -> Result<(), ConversationError> {
        match event {
            Event::Head { key, end } => {
                let head = self.head()?;
                if self.ask(Connection::role) == Role::Server {
                    self.streams.borrow_mut().insert(key.id(), Inbox::default());
                    self.arrivals.borrow_mut().push_back(key);
                }
                self.tell(key, StreamEvent::Head(head, if end { Ending::Last } else { Ending::More }));
                if end {
                    self.tell(key, StreamEvent::End(Vec::new()));
                }
            }
            Event::Interim { key } => self.tell(key, StreamEvent::Interim(self.head()?)),
            Event::Trailers { key } => {
                let trailers = message::read_trailers(self.machine.borrow_mut().section())?;
                self.tell(key, StreamEvent::End(trailers));
            }
            Event::Data { key, bytes: range, end } => {
                if !range.is_empty() {
                    self.tell(key, StreamEvent::Data(bytes[range].to_vec()));
                }
                if end {
                    self.tell(key, StreamEvent::End(Vec::new()));
                }
            }
            Event::Reset { key, code, by } => {
                self.cut(key, StreamEvent::Reset(code));
                let blames = matches!(code, ErrorCode::FlowControl | ErrorCode::StreamClosed | ErrorCode::FrameSize);
                if by == ResetBy::Us || blames {
                    return Err(ConversationError::Malformed(format!(
                        "stream {} ended with {} by {by:?}",
                        key.id(),
                        code.name()
                    )));
                }
            }
            Event::GoAway { code, .. } => {
                let excused = matches!(code, ErrorCode::EnhanceYourCalm | ErrorCode::SettingsTimeout) && !self.calm;
                if code != ErrorCode::NoError && !excused && !self.forgives.get() {
                    return Err(ConversationError::Malformed(format!("GOAWAY {}", code.name())));
                }
            }
            Event::Settings => self.settled.set(true),
            Event::PingAck { payload } if payload == PING => self.pings_answered.set(self.pings_answered.get() + 1),
            Event::PingAck { payload } => {
                return Err(ConversationError::Malformed(format!("an answer to PING {payload}")));
            }
            Event::StreamWindow { .. } | Event::AnyWindow | Event::SettingsAcked => {}
        }
        Ok(())
    }

    fn head(&self) -> Result<Head, ConversationError> {
        let mut machine = self.machine.borrow_mut();
        match machine.role() {
            Role::Server => message::read_request(machine.section()),
            Role::Client => message::read_response(machine.section()),
        }
    }

    async fn write_all(self: Rc<Peer>, mut pace: Pace) {
        while let Some(bytes) = self.latch.wait(|| self.queued()).await {
            if !self.write(&bytes, &mut pace).await {
                break;
            }
            self.latch.notify();
        }
        if !self.ended.get() {
            self.stream.finish();
        }
        self.tasks.set(self.tasks.get() - 1);
        self.latch.notify();
    }

    /// The bytes to write; `Some(None)` at the end.
    fn queued(&self) -> Option<Option<Vec<u8>>> {
        if self.ended.get() {
            return Some(None);
        }
        let mut bytes = Vec::new();
        self.machine.borrow_mut().take_output(&mut bytes);
        bytes.append(&mut self.raw.borrow_mut());
        match bytes.is_empty() {
            false => Some(Some(bytes)),
            true if self.finishing.get() => Some(None),
            true => None,
        }
    }

    /// False where the connection broke.
    async fn write(&self, mut bytes: &[u8], pace: &mut Pace) -> bool {
        while !bytes.is_empty() {
            pace.rest(&self.sim).await;
            let count = pace.piece().min(bytes.len());
            let until = self.sim.now().after(self.patience);
            let (result, _) = self.stream.write(Buf::copied(&bytes[..count]), until).await;
            match result {
                Ok(()) => bytes = &bytes[count..],
                Err(error) => {
                    if error.kind() == std::io::ErrorKind::TimedOut {
                        self.sim.fail("the other end of HTTP/2 does not read");
                    }
                    // What it said before may still be read.
                    return false;
                }
            }
        }
        true
    }
}
