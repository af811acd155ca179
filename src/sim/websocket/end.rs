// SPDX-License-Identifier: Apache-2.0
//! One end of an open WebSocket: sends messages as frames in pieces and with pauses, answers pings and close frames,
//! and checks every frame that it receives. Both ends are the same except for the mask.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::Rng;
use crate::net::Net;
use crate::net::sim::Latch;
use crate::net::sim::Sim;
use crate::sim::common::Common;
use crate::sim::message_io::ConversationError;
use crate::sim::mood::FaultLevel;
use crate::sim::tag::{Check, Tag};
use crate::sim::websocket::Side;
use crate::sim::websocket::frames::{self, BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};
use crate::sim::websocket::ledger::{Drains, EndId, FrameError, LastFrame, Moment, SentFrame, WebSocketLedger};
use crate::sim::websocket::line::{FrameReader, FrameWriter};

/// How an end behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// It sends a close frame after its last message.
    Closes,
    /// It waits for the other end's close frame for a while.
    Waits,
    /// It ends its direction without a close frame.
    HalfCloses,
    /// It breaks off.
    Resets,
    /// It stops sending, perhaps within a frame, and goes on reading.
    Stalls,
    /// It stops sending and reading.
    FallsDeaf,
    /// It sends a frame that the gateway must not forward.
    Offends(FrameError),
}

/// One end.
pub(super) struct End {
    common: Rc<Common>,
    sim: Sim,
    place: EndId,
    behaviour: Behaviour,
    latch: Latch,
    /// Payloads of pings that were not answered yet.
    pings: RefCell<VecDeque<Vec<u8>>>,
    /// A close frame arrived.
    told: Cell<bool>,
    /// Reading has ended.
    deaf: Cell<bool>,
    speaking: Cell<bool>,
}

/// Runs this end until the WebSocket is over. True where this end broke the connection.
pub(super) async fn talk(
    common: &Rc<Common>,
    sim: &Sim,
    place: EndId,
    (mouth, mut ear): (FrameWriter, FrameReader),
    rng: &mut Rng,
) {
    let end = Rc::new(End {
        common: common.clone(),
        sim: sim.clone(),
        place,
        behaviour: Behaviour::draw(common, rng),
        latch: Latch::default(),
        pings: RefCell::default(),
        told: Cell::new(false),
        deaf: Cell::new(false),
        speaking: Cell::new(true),
    });
    sim.note(format!("{place:?} {:?}", end.behaviour));
    sim.spawn(end.clone().speak(mouth, Rng::new(rng.next_u64())));
    let mut hearing = FrameReceiver::new(&end);
    match hearing.hear_all(&mut ear).await {
        Ok(heard) => {
            let moment = end.moment();
            end.write(|ledger| ledger.hear_out(place, heard, hearing.count, moment));
        }
        Err(ConversationError::Late) => sim.fail(format!("{place:?} was left waiting for ever")),
        Err(ConversationError::Malformed(what)) => sim.fail(format!("{place:?}: {what}")),
        Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {}
    }
    end.deaf.set(true);
    end.latch.notify();
    end.latch.wait(|| (!end.speaking.get()).then_some(())).await;
}

impl Behaviour {
    fn draw(common: &Common, rng: &mut Rng) -> Behaviour {
        let scenario = &common.scenario;
        let wild = scenario.mood == FaultLevel::Wild;
        let size = common.talks.borrow().message_max().is_some();
        match rng.below(if wild { 14 } else { 8 }) {
            _ if scenario.direct => [Behaviour::Closes, Behaviour::Waits][rng.below(2) as usize],
            0..=2 => Behaviour::Closes,
            3..=5 => Behaviour::Waits,
            6 => Behaviour::HalfCloses,
            7 if size && rng.chance(600) => Behaviour::Offends(FrameError::Size),
            7 => Behaviour::Offends(FrameError::Rule),
            8 | 9 => Behaviour::Resets,
            10 | 11 => Behaviour::Stalls,
            _ => Behaviour::FallsDeaf,
        }
    }
}

impl End {
    /// Records an event in the ledger. Fails the run where it breaks a rule.
    fn write<T>(&self, write: impl FnOnce(&mut WebSocketLedger) -> Result<T, String>) -> Option<T> {
        write(&mut self.common.talks.borrow_mut()).map_err(|broken| self.sim.fail(broken)).ok()
    }

    fn moment(&self) -> Moment {
        Moment { now: self.sim.now(), drains: self.common.draining() }
    }

    async fn speak(self: Rc<Self>, mouth: FrameWriter, rng: Rng) {
        let mut speaker = FrameSender { end: self.clone(), mouth, rng, closed: false };
        match speaker.say_all().await {
            Ok(()) => {
                let ended = speaker.mouth.end().await;
                if ended == Err(ConversationError::Late) {
                    self.sim.fail(format!("{:?}: nobody takes its end, for ever", self.place));
                }
            }
            Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {}
            Err(ConversationError::Late) => {
                self.sim.fail(format!("{:?}: nobody takes what it says, for ever", self.place))
            }
            Err(ConversationError::Malformed(what)) => self.sim.fail(what),
        }
        self.speaking.set(false);
        self.latch.notify();
    }
}

struct FrameSender {
    end: Rc<End>,
    mouth: FrameWriter,
    rng: Rng,
    /// It has sent a close frame.
    closed: bool,
}

impl FrameSender {
    async fn say_all(&mut self) -> Result<(), ConversationError> {
        let end = self.end.clone();
        let calm = end.common.demands.all_answered;
        let count = self.rng.below(6);
        let mut at = 0;
        for _ in 0..count {
            // In a calm world less than the idle timeout, so that it alone keeps the WebSocket open.
            let most = if self.rng.chance(850) { 50 } else { [2_000, 420_000][usize::from(calm)] };
            let pause = self.rng.below(most);
            self.rest(pause).await?;
            if self.is_over() {
                break;
            }
            self.message(&mut at).await?;
        }
        match end.behaviour {
            Behaviour::Closes | Behaviour::Waits => {
                let most = if calm { 1_200_000 } else { 150_000 };
                let pause = if end.behaviour == Behaviour::Waits { self.rng.below(most) } else { 0 };
                self.rest(pause).await?;
            }
            _ if self.is_over() => {}
            Behaviour::HalfCloses => {
                end.write(|ledger| ledger.half_close(end.place));
                return Ok(());
            }
            Behaviour::Resets => {
                end.write(|ledger| ledger.break_off(end.place, end.sim.now()));
                self.mouth.reset();
                return Err(ConversationError::Enough);
            }
            Behaviour::Stalls | Behaviour::FallsDeaf => {
                end.write(|ledger| ledger.fall_dumb(end.place));
                if self.rng.chance(500) {
                    self.begin_and_stop(at).await?;
                }
                end.latch.wait(|| end.deaf.get().then_some(())).await;
                return Ok(());
            }
            Behaviour::Offends(offence) => {
                self.offend(offence, at).await?;
                end.latch.wait(|| (end.told.get() || end.deaf.get()).then_some(())).await;
            }
        }
        if end.deaf.get() && !end.told.get() {
            return Ok(());
        }
        self.send_close().await?;
        // The other end's close frame, or its end.
        end.latch.wait(|| (end.told.get() || end.deaf.get()).then_some(())).await;
        Ok(())
    }

    /// Is nothing left to send but a close frame?
    fn is_over(&self) -> bool {
        self.end.told.get() || self.end.deaf.get()
    }

    /// Waits, and answers pings meanwhile.
    async fn rest(&mut self, millis: u64) -> Result<(), ConversationError> {
        let end = self.end.clone();
        let until = end.sim.now().after_ms(millis);
        loop {
            let called = || (self.is_over() || !end.pings.borrow().is_empty()).then_some(());
            if end.latch.wait_until(&end.sim, until, called).await.is_none() || self.is_over() {
                return Ok(());
            }
            self.answer_pings().await?;
        }
    }

    async fn answer_pings(&mut self) -> Result<(), ConversationError> {
        loop {
            let Some(payload) = self.end.pings.borrow_mut().pop_front() else { return Ok(()) };
            self.control(PONG, payload).await?;
        }
    }

    fn key(&mut self) -> Option<[u8; 4]> {
        let key = self.rng.next_u64().to_le_bytes();
        (self.end.place.side == Side::Client).then(|| [key[0], key[1], key[2], key[3]])
    }

    async fn send(&mut self, said: SentFrame, mut payload: Vec<u8>) -> Result<(), ConversationError> {
        let end = self.end.clone();
        let frame = said.frame;
        end.write(|ledger| ledger.say(end.place, said));
        frame.mask(0, &mut payload);
        let mut bytes = Vec::new();
        frame.write(&mut bytes);
        bytes.append(&mut payload);
        self.put(&bytes).await
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), ConversationError> {
        let end = self.end.clone();
        let sent = || {
            end.write(|ledger| ledger.spoke(end.place, end.sim.now()));
        };
        self.mouth.write(bytes, &mut self.rng, &sent).await
    }

    async fn control(&mut self, opcode: u8, text: Vec<u8>) -> Result<(), ConversationError> {
        let frame = Frame { last: true, opcode, mask: self.key(), length: text.len() as u64 };
        self.send(SentFrame { frame, text: text.clone(), offends: None }, text).await
    }

    /// Sends one message in one or more frames, with control frames between them.
    async fn message(&mut self, at: &mut u64) -> Result<(), ConversationError> {
        let most = self.end.common.talks.borrow().message_max().unwrap_or(u64::MAX);
        let most = most.min(self.end.common.scenario.body_max.min(200_000));
        let mut left = self.rng.below(most + 1);
        let mut opcode = [TEXT, BINARY][self.rng.below(2) as usize];
        loop {
            let count = if self.rng.chance(500) { left } else { self.rng.below(left + 1) };
            let last = count == left && self.rng.chance(800);
            self.part(Frame { last, opcode, mask: None, length: count }, at).await?;
            left -= count;
            self.answer_pings().await?;
            if self.rng.chance(150) {
                let number = self.rng.below(1_000);
                self.control(PING, format!("ping {number}").into_bytes()).await?;
            }
            if last || self.end.told.get() {
                return Ok(());
            }
            opcode = CONTINUATION;
        }
    }

    async fn part(&mut self, frame: Frame, at: &mut u64) -> Result<(), ConversationError> {
        let frame = Frame { mask: self.key(), ..frame };
        let mut payload = vec![0; frame.length as usize];
        tag(self.end.place, self.end.place.side).fill(*at, &mut payload);
        *at += frame.length;
        self.send(SentFrame { frame, text: Vec::new(), offends: None }, payload).await
    }

    async fn send_close(&mut self) -> Result<(), ConversationError> {
        self.closed = true;
        let mut payload = 1000_u16.to_be_bytes().to_vec();
        payload.extend_from_slice(format!("bye {}", self.rng.below(100)).as_bytes());
        self.control(CLOSE, payload).await
    }

    /// Sends the beginning of a frame.
    async fn begin_and_stop(&mut self, at: u64) -> Result<(), ConversationError> {
        let frame = Frame { last: true, opcode: BINARY, mask: self.key(), length: 1 + self.rng.below(5_000) };
        let frame = match self.end.common.talks.borrow().message_max() {
            Some(most) => Frame { length: frame.length.min(most), ..frame },
            None => frame,
        };
        let end = self.end.clone();
        end.write(|ledger| ledger.say(end.place, SentFrame { frame, text: Vec::new(), offends: None }));
        let mut payload = vec![0; frame.length as usize];
        tag(end.place, end.place.side).fill(at, &mut payload);
        frame.mask(0, &mut payload);
        let mut bytes = Vec::new();
        frame.write(&mut bytes);
        bytes.append(&mut payload);
        let begun = 1 + self.rng.below(bytes.len() as u64 - 1) as usize;
        self.put(&bytes[..begun]).await
    }

    /// Sends a frame that the gateway must not forward.
    async fn offend(&mut self, offence: FrameError, mut at: u64) -> Result<(), ConversationError> {
        let offends = Some(offence);
        if offence == FrameError::Size {
            let most = self.end.common.talks.borrow().message_max().unwrap_or(0);
            let first = self.rng.below(most + 1);
            let mut opcode = BINARY;
            if self.rng.chance(500) {
                self.part(Frame { last: false, opcode, mask: None, length: first }, &mut at).await?;
                opcode = CONTINUATION;
            }
            let sent = if opcode == CONTINUATION { first } else { 0 };
            let length = most + 1 - sent + self.rng.below(1_000);
            let frame = Frame { last: true, opcode, mask: self.key(), length };
            return self.send(SentFrame { frame, text: Vec::new(), offends }, vec![b'!'; length as usize]).await;
        }
        let (key, other_key) = (self.key(), [1, 2, 3, 4]);
        let frame = Frame { last: true, opcode: BINARY, mask: key, length: 5 };
        let frame = match self.rng.below(4) {
            0 => Frame { mask: if key.is_some() { None } else { Some(other_key) }, ..frame },
            1 => Frame { last: false, opcode: PING, ..frame },
            2 => Frame { opcode: PING, length: 126, ..frame },
            _ => Frame { opcode: CONTINUATION, ..frame },
        };
        self.send(SentFrame { frame, text: Vec::new(), offends }, vec![b'!'; frame.length as usize]).await
    }
}

/// The payloads of one direction, concatenated.
fn tag(place: EndId, sender: Side) -> Tag {
    Tag { exchange: place.id, attempt: place.number * 2 + sender as u32 }
}

/// What an end has received.
struct FrameReceiver {
    end: Rc<End>,
    bytes: Vec<u8>,
    /// Complete frames of the other end.
    count: usize,
    check: Check,
    /// The current frame, and how much of its payload has arrived.
    frame: Option<(Frame, u64)>,
}

impl FrameReceiver {
    fn new(end: &Rc<End>) -> FrameReceiver {
        let check = Check::new(tag(end.place, end.place.side.other()));
        FrameReceiver { end: end.clone(), bytes: Vec::new(), count: 0, check, frame: None }
    }

    /// Reads to the end and returns how it ended.
    async fn hear_all(&mut self, ear: &mut FrameReader) -> Result<LastFrame, ConversationError> {
        if self.end.behaviour == Behaviour::FallsDeaf {
            let (sim, millis) = (&self.end.sim, DEAF_MS);
            sim.sleep_until(sim.now().after_ms(millis)).await;
        }
        loop {
            match ear.read().await {
                Ok(Some(bytes)) => self.bytes.extend_from_slice(&bytes),
                Ok(None) => return Ok(self.last(LastFrame::Bare)),
                Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {
                    return Ok(self.last(LastFrame::Cut));
                }
                Err(trouble) => return Err(trouble),
            }
            while self.step().map_err(ConversationError::Malformed)? {}
        }
    }

    fn last(&self, end: LastFrame) -> LastFrame {
        match end {
            _ if self.end.told.get() => LastFrame::Close,
            LastFrame::Bare if self.frame.is_none() && self.bytes.is_empty() => LastFrame::Bare,
            LastFrame::Bare | LastFrame::Cut | LastFrame::Close => LastFrame::Cut,
        }
    }

    /// Processes buffered bytes. False where more are needed.
    fn step(&mut self) -> Result<bool, String> {
        if self.bytes.is_empty() {
            return Ok(false);
        }
        if self.end.told.get() {
            return Err(format!("{} bytes behind a farewell", self.bytes.len()));
        }
        let Some((frame, seen)) = self.frame else { return self.header() };
        let count = (frame.length - seen).min(self.bytes.len() as u64) as usize;
        let mut payload: Vec<u8> = self.bytes.drain(..count).collect();
        frame.mask(seen, &mut payload);
        self.check.take(&payload)?;
        let seen = seen + count as u64;
        self.frame = (seen < frame.length).then_some((frame, seen));
        self.arrived();
        Ok(true)
    }

    fn arrived(&mut self) {
        if self.frame.is_none() {
            self.count += 1;
            self.end.common.talks.borrow_mut().arrived();
        }
    }

    fn header(&mut self) -> Result<bool, String> {
        let sender = self.end.place.side.other();
        let Some((frame, header)) = frames::read(&self.bytes, sender)? else { return Ok(false) };
        if frame.is_control() {
            return self.control(frame, header);
        }
        let expected = self.end.common.talks.borrow_mut().expected(self.end.place, self.count)?;
        match expected {
            Some(said) if said.frame == frame && said.offends.is_none() => {}
            Some(said) => return Err(format!("frame {} is {frame:?} instead of {said:?}", self.count)),
            None => return Err(format!("frame {} was never sent: {frame:?}", self.count)),
        }
        self.bytes.drain(..header);
        self.frame = (frame.length > 0).then_some((frame, 0));
        self.arrived();
        Ok(true)
    }

    fn control(&mut self, frame: Frame, header: usize) -> Result<bool, String> {
        let len = header + frame.length as usize;
        if self.bytes.len() < len {
            return Ok(false);
        }
        let mut payload: Vec<u8> = self.bytes.drain(..len).skip(header).collect();
        frame.mask(0, &mut payload);
        let End { common, place, pings, told, latch, .. } = &*self.end;
        let mut ledger = common.talks.borrow_mut();
        let expected = ledger.expected(*place, self.count)?;
        let theirs = expected.is_some_and(|said| said.frame == frame && said.text == payload && said.offends.is_none());
        match frame.opcode {
            _ if theirs => {
                self.count += 1;
                ledger.arrived();
            }
            PING if payload.is_empty() => ledger.pinged(*place)?,
            CLOSE => ledger.close_frame(*place, &payload, self.end.moment())?,
            _ => return Err(format!("frame {} is nobody's: {frame:?} {payload:?}", self.count)),
        }
        match frame.opcode {
            PING => pings.borrow_mut().push_back(payload),
            CLOSE => told.set(true),
            _ => {}
        }
        latch.notify();
        Ok(true)
    }
}

/// How long an unresponsive end reads nothing: far longer than any timeout of a wild world.
const DEAF_MS: u64 = 400_000;

impl WebSocketLedger {
    fn message_max(&self) -> Option<u64> {
        self.limits().message_max
    }
}

impl Common {
    /// Does the gateway drain?
    pub(crate) fn draining(&self) -> Drains {
        if self.drains() { Drains::Yes } else { Drains::No }
    }
}
