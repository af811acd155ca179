// SPDX-License-Identifier: Apache-2.0
//! The ledger of WebSockets: what both ends recorded of each, and the rules for it.
//!
//! An end records each frame before it sends the first byte, so the other end knows what must arrive. A method that
//! finds a broken rule returns a description; its caller fails the run with it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::base::Tick;
use crate::sim::spoken::HttpVersion;
use crate::sim::websocket::frames::Frame;
use crate::sim::websocket::{Limits, Side};

/// A frame that an end began to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentFrame {
    /// Its header.
    pub frame: Frame,
    /// Payload of a control frame.
    pub text: Vec<u8>,
    /// The gateway must not forward any byte of it.
    pub offends: Option<FrameError>,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Its message is larger than allowed.
    Size,
    /// It breaks a rule of RFC 6455.
    Rule,
}

/// How an end saw the other end finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastFrame {
    /// A close frame, from the other end or from the gateway, and then nothing.
    Close,
    /// An orderly end between two frames, without a close frame.
    Bare,
    /// An end in the middle of a frame, or a broken connection.
    Cut,
}

/// One end of one attempt.
#[derive(Clone, Debug, Default)]
struct EndState {
    said: Vec<SentFrame>,
    /// It ended without a close frame, or broke off.
    half_closes: bool,
    /// It is unresponsive: it sends nothing and answers no pings.
    dumb: bool,
}

impl EndState {
    fn offends(&self) -> Option<FrameError> {
        self.said.iter().find_map(|said| said.offends)
    }
}

/// One attempt: a handshake that reached an origin.
#[derive(Debug, Default)]
struct Attempt {
    /// When the origin began to send its 101 or 200.
    answered: Option<Tick>,
    /// When its client received that.
    opened: Option<Tick>,
    /// When either end last gave bytes to the network.
    spoke: Option<Tick>,
    /// The longest time in which neither end sent anything.
    quiet_ms: u64,
    wrong_proof: bool,
    /// When an end broke off.
    broke_off: Option<Tick>,
    voices: [EndState; 2],
}

#[derive(Debug)]
struct WebSocketState {
    by: HttpVersion,
    to: HttpVersion,
    tries: Vec<Attempt>,
    refusals: u32,
    outcome: Option<Outcome>,
    logged: Vec<u64>,
}

/// How a handshake ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The WebSocket was opened and has ended.
    Talked,
    /// The gateway or an origin responded with this status instead.
    Refused(u16),
    /// The connection broke before a response.
    Broken,
    /// The gateway refused it unprocessed.
    Unserved,
}

/// Counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Offers.
    pub offers: u64,
    /// WebSockets, by versions: of the client, then of the origin.
    pub opened_by: [[u64; 2]; 2],
    /// Frames that arrived at the other end.
    pub frames: u64,
    /// Close frames of the gateway, by reason.
    pub close_frames: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Counts) {
        self.offers += other.offers;
        self.frames += other.frames;
        for (sum, count) in self.opened_by.iter_mut().flatten().zip(other.opened_by.iter().flatten()) {
            *sum += count;
        }
        for (words, count) in &other.close_frames {
            *self.close_frames.entry(words).or_default() += count;
        }
    }
}

impl Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { offers, opened_by, frames, close_frames: farewells } = self;
        write!(out, "{offers} WebSockets offered, opened {opened_by:?}, {frames} frames, farewells {farewells:?}")
    }
}

/// One end of one attempt of one WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndId {
    /// The WebSocket.
    pub id: u64,
    /// The try, from one.
    pub number: u32,
    /// The end.
    pub side: Side,
}

/// The rules of one world.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// Nothing breaks in this world.
    pub calm: bool,
    /// The gateway's limits.
    pub limits: Limits,
    /// Most attempts of one handshake that may reach an origin.
    pub tries_max: usize,
}

/// The ledger.
#[derive(Debug)]
pub(crate) struct WebSocketLedger {
    demands: Expectations,
    talks: BTreeMap<u64, WebSocketState>,
    tally: Counts,
}

/// Close frames of the gateway: status code, reason, and what must have happened before.
const FAREWELLS: [(u16, &str, Cause); 8] = [
    (1001, "the gateway stops", Cause::Drain),
    (1001, "open for long enough", Cause::Lifetime),
    (1001, "silent for too long", Cause::Idle),
    (1001, "no answer to a ping", Cause::Dumb),
    (1001, "the other end was closed", Cause::Other),
    (1002, "a frame breaks a rule", Cause::Rule),
    (1008, "too many messages", Cause::Rate),
    (1009, "a message is too large", Cause::Size),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Drain,
    Lifetime,
    Idle,
    Dumb,
    Other,
    Rule,
    Rate,
    Size,
}

impl WebSocketLedger {
    /// An empty ledger.
    pub(crate) fn new(demands: Expectations) -> WebSocketLedger {
        WebSocketLedger { demands, talks: BTreeMap::new(), tally: Counts::default() }
    }

    /// A client begins a handshake.
    pub(crate) fn begin(&mut self, by: HttpVersion, to: HttpVersion) -> u64 {
        let id = self.talks.len() as u64 + 1;
        let talk = WebSocketState { by, to, tries: Vec::new(), refusals: 0, outcome: None, logged: Vec::new() };
        self.talks.insert(id, talk);
        id
    }

    /// The gateway's limits.
    pub(crate) fn limits(&self) -> &Limits {
        &self.demands.limits
    }

    fn talk(&mut self, id: u64) -> Result<&mut WebSocketState, String> {
        self.talks.get_mut(&id).ok_or_else(|| format!("nobody offered WebSocket {id}"))
    }

    fn of(&mut self, place: EndId) -> Result<&mut Attempt, String> {
        let tries = &mut self.talk(place.id)?.tries;
        let found = (place.number as usize).checked_sub(1).and_then(|index| tries.get_mut(index));
        found.ok_or_else(|| format!("WebSocket {} has no try {}", place.id, place.number))
    }

    /// A handshake reached an origin of the version `to`. Returns the attempt's number, from one.
    pub(crate) fn arrive(&mut self, id: u64, to: HttpVersion) -> Result<u32, String> {
        let tries_max = if self.demands.calm { 1 } else { self.demands.tries_max };
        let talk = self.talk(id)?;
        if talk.to != to || talk.tries.len() >= tries_max {
            return Err(format!("WebSocket {id} reached an origin of {to:?} after {} tries", talk.tries.len()));
        }
        talk.tries.push(Attempt::default());
        Ok(talk.tries.len() as u32)
    }

    /// An origin refuses a handshake unprocessed. Returns how often it was refused.
    pub(crate) fn refuse(&mut self, id: u64) -> Result<u32, String> {
        let talk = self.talk(id)?;
        talk.refusals += 1;
        Ok(talk.refusals)
    }

    /// How often origins refused it so far.
    pub(crate) fn refusals(&self, id: u64) -> u32 {
        self.talks.get(&id).map_or(0, |talk| talk.refusals)
    }

    /// The origin begins to send its 101 or 200.
    pub(crate) fn answer(&mut self, place: EndId, now: Tick) -> Result<(), String> {
        self.of(place)?.answered = Some(now);
        Ok(())
    }

    /// The origin will send a wrong `Sec-WebSocket-Accept`.
    pub(crate) fn answer_wrongly(&mut self, place: EndId) -> Result<(), String> {
        self.of(place)?.wrong_proof = true;
        Ok(())
    }

    /// The client received the 101 or 200. False where `Sec-WebSocket-Accept` was wrong and the client could see it.
    pub(crate) fn open(&mut self, place: EndId, now: Tick) -> Result<bool, String> {
        let by = self.talk(place.id)?.by;
        let found = self.of(place)?;
        if found.answered.is_none() {
            return Err(format!("WebSocket {} was opened, though no origin did", place.id));
        }
        if found.wrong_proof {
            return match by {
                HttpVersion::One => Ok(false),
                HttpVersion::Two => Err(format!("WebSocket {} was opened on a wrong proof", place.id)),
            };
        }
        found.opened = Some(now);
        let (by, to) = (by as usize, self.talk(place.id)?.to as usize);
        self.tally.opened_by[by][to] += 1;
        Ok(true)
    }

    /// It is over for its client.
    pub(crate) fn end(&mut self, id: u64, outcome: Outcome, drains: Drains) -> Result<(), String> {
        let calm = self.demands.calm && drains == Drains::No;
        let talk = self.talk(id)?;
        if let Some(earlier) = talk.outcome.replace(outcome) {
            return Err(format!("WebSocket {id} ended twice: {earlier:?}, then {outcome:?}"));
        }
        match outcome {
            Outcome::Refused(status) if !EXCUSES.contains(&status) => {
                Err(format!("WebSocket {id} was in order, but was answered with {status}"))
            }
            Outcome::Refused(_) | Outcome::Broken | Outcome::Unserved if calm => {
                Err(format!("WebSocket {id} ended as {outcome:?}, though nothing went wrong"))
            }
            Outcome::Talked | Outcome::Refused(_) | Outcome::Broken | Outcome::Unserved => Ok(()),
        }
    }

    /// An end begins to send a frame.
    pub(crate) fn say(&mut self, place: EndId, said: SentFrame) -> Result<(), String> {
        self.of(place)?.voices[place.side as usize].said.push(said);
        Ok(())
    }

    /// An end gave bytes to the network.
    pub(crate) fn spoke(&mut self, place: EndId, now: Tick) -> Result<(), String> {
        let found = self.of(place)?;
        let before = found.spoke.replace(now).or(found.answered).unwrap_or(now);
        found.quiet_ms = found.quiet_ms.max(now.since(before).as_millis() as u64);
        Ok(())
    }

    /// An end will end without a close frame.
    pub(crate) fn half_close(&mut self, place: EndId) -> Result<(), String> {
        self.of(place)?.voices[place.side as usize].half_closes = true;
        Ok(())
    }

    /// An end breaks off.
    pub(crate) fn break_off(&mut self, place: EndId, now: Tick) -> Result<(), String> {
        let found = self.of(place)?;
        found.voices[place.side as usize].half_closes = true;
        found.broke_off = Some(now);
        Ok(())
    }

    /// An end becomes unresponsive.
    pub(crate) fn fall_dumb(&mut self, place: EndId) -> Result<(), String> {
        self.of(place)?.voices[place.side as usize].dumb = true;
        Ok(())
    }

    /// The frame that the end at `place` must receive as its `index`th; `None` where the other end has not sent it.
    pub(crate) fn expected(&mut self, place: EndId, index: usize) -> Result<Option<SentFrame>, String> {
        let other = place.side.other() as usize;
        Ok(self.of(place)?.voices[other].said.get(index).cloned())
    }

    /// A frame arrived completely.
    pub(crate) fn arrived(&mut self) {
        self.tally.frames += 1;
    }

    /// Checks that the gateway may send a ping before the next frame.
    pub(crate) fn pinged(&self, place: EndId) -> Result<(), String> {
        match self.demands.limits.ping_ms {
            Some(_) => Ok(()),
            None => Err(format!("{place:?}: a ping that nobody sent")),
        }
    }

    /// Checks that the gateway has a reason for the close frame that it sends to the end at `place`.
    pub(crate) fn close_frame(&mut self, place: EndId, payload: &[u8], at: Moment) -> Result<(), String> {
        let shown = || format!("{place:?}: the farewell {:?}", String::from_utf8_lossy(payload));
        let (code, words) = payload.split_at_checked(2).ok_or_else(|| format!("{} has no code", shown()))?;
        let code = u16::from_be_bytes([code[0], code[1]]);
        let known = FAREWELLS.iter().find(|known| known.0 == code && known.1.as_bytes() == words);
        let (_, words, cause) = *known.ok_or_else(|| format!("{} is nobody's", shown()))?;
        let Expectations { calm, limits, .. } = self.demands.clone();
        let found = self.of(place)?;
        let lived_ms = found.answered.map_or(0, |answered| at.now.since(answered).as_millis() as u64);
        let quiet_now_ms = found.spoke.map_or(lived_ms, |spoke| at.now.since(spoke).as_millis() as u64);
        let quiet_ms = found.quiet_ms.max(quiet_now_ms);
        let [own, other] = [place.side, place.side.other()].map(|side| &found.voices[side as usize]);
        let right = match cause {
            Cause::Drain => at.drains == Drains::Yes,
            Cause::Lifetime => limits.lifetime_ms.is_some_and(|most| lived_ms >= most),
            Cause::Idle => lived_ms >= limits.idle_ms && (!calm || quiet_ms + limits.slack_ms >= limits.idle_ms),
            Cause::Dumb => limits.ping_ms.is_some() && (own.dumb || !calm),
            Cause::Other => other.offends().is_some() || !calm,
            Cause::Rule => own.offends() == Some(FrameError::Rule),
            Cause::Size => own.offends() == Some(FrameError::Size),
            Cause::Rate => limits.rate.is_some_and(|rate| own.said.len() as u64 > rate) && place.side == Side::Client,
        };
        if !right {
            return Err(format!("{} has no reason after {lived_ms} ms, {quiet_ms} ms quiet", shown()));
        }
        *self.tally.close_frames.entry(words).or_default() += 1;
        Ok(())
    }

    /// The end at `place` receives nothing more, after `count` frames of the other.
    pub(crate) fn hear_out(&mut self, place: EndId, heard: LastFrame, count: usize, at: Moment) -> Result<(), String> {
        let Expectations { calm, limits, .. } = self.demands.clone();
        let talk = self.talk(place.id)?;
        let spoken = if place.side == Side::Client { talk.by } else { talk.to };
        let found = self.of(place)?;
        let lived_ms = found.answered.map_or(0, |answered| at.now.since(answered).as_millis() as u64);
        let outlived = limits.lifetime_ms.is_some_and(|most| lived_ms >= most);
        let [own, other] = [place.side, place.side.other()].map(|side| &found.voices[side as usize]);
        let loose = own.half_closes || other.half_closes;
        let wrong = own.offends().is_some() || other.offends().is_some();
        let missing = other.said.len().saturating_sub(count);
        if !calm || found.wrong_proof {
            return Ok(());
        }
        match heard {
            // `close_reason` has already checked the reason for the frames that were left out.
            LastFrame::Close => Ok(()),
            LastFrame::Bare
                if other.half_closes && !own.half_closes && !wrong && missing > 0 && at.drains == Drains::No =>
            {
                Err(format!("{place:?}: {missing} frames are missing, though the sender ended in order"))
            }
            LastFrame::Bare if loose => Ok(()),
            LastFrame::Bare => Err(format!("{place:?}: it ended without a farewell")),
            LastFrame::Cut if at.drains == Drains::Yes || outlived || wrong || own.half_closes => Ok(()),
            // An end that still sends when its connection is closed may lose what the other end sent before.
            LastFrame::Cut if other.half_closes && spoken == HttpVersion::One => Ok(()),
            LastFrame::Cut => Err(format!("{place:?}: it was cut, though nothing went wrong")),
        }
    }

    /// Records the access-log line of a WebSocket or handshake. `drained`: when the gateway was told to drain.
    pub(crate) fn logged(&mut self, id: u64, status: u64, now: Tick, drained: Option<Tick>) -> Result<(), String> {
        let limits = self.demands.limits.clone();
        let talk = self.talk(id)?;
        talk.logged.push(status);
        if talk.logged.len() > 1 {
            return Err(format!("WebSocket {id} is in the access log twice: {:?}", talk.logged));
        }
        let Some(Attempt { opened: Some(opened), spoke, broke_off, .. }) = talk.tries.last() else { return Ok(()) };
        for (what, since) in [("the drain", drained), ("an end broke off", *broke_off)] {
            let late_ms = since.map_or(0, |since| now.since(since.max(*opened)).as_millis() as u64);
            if late_ms > limits.slack_ms {
                return Err(format!("WebSocket {id} went on for {late_ms} ms after {what}"));
            }
        }
        let lived_ms = now.since(*opened).as_millis() as u64;
        if limits.lifetime_ms.is_some_and(|most| lived_ms > most + limits.slack_ms) {
            return Err(format!("WebSocket {id} lived for {lived_ms} ms"));
        }
        let quiet_ms = now.since(spoke.unwrap_or(*opened).max(*opened)).as_millis() as u64;
        if quiet_ms > limits.idle_ms + limits.slack_ms {
            return Err(format!("WebSocket {id} was silent for {quiet_ms} ms"));
        }
        Ok(())
    }

    /// Checks that every WebSocket is over at the end of a run and that the access log says what clients saw.
    pub(crate) fn close(&self, log: Log) -> Result<Counts, String> {
        for (id, talk) in &self.talks {
            let wrong = match (talk.outcome, talk.logged.first()) {
                (None, _) => return Err(format!("WebSocket {id} is not over: {talk:?}")),
                (Some(Outcome::Talked), told) => told != Some(&101),
                (Some(Outcome::Refused(408)), told) => told.is_some_and(|told| *told != 408),
                (Some(Outcome::Refused(status)), told) => told != Some(&u64::from(status)),
                (Some(Outcome::Broken | Outcome::Unserved), _) => false,
            };
            if wrong && log == Log::Kept {
                return Err(format!("WebSocket {id}: {:?} for its client, {:?} in the log", talk.outcome, talk.logged));
            }
        }
        Ok(Counts { offers: self.talks.len() as u64, ..self.tally.clone() })
    }
}

/// When something is heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Now.
    pub now: Tick,
    /// The gateway was told to drain.
    pub drains: Drains,
}

/// Does the gateway drain?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drains {
    /// It does, or has.
    Yes,
    /// It does not.
    No,
}

/// Is there an access log?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// Yes.
    Kept,
    /// No: there is no gateway.
    None,
}

/// Statuses that a client may get instead of a WebSocket.
const EXCUSES: [u16; 4] = [408, 502, 503, 504];

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: EndId = EndId { id: 1, number: 1, side: Side::Client };

    fn open() -> WebSocketLedger {
        let limits = Limits {
            idle_ms: 1_000,
            lifetime_ms: Some(5_000),
            ping_ms: None,
            message_max: None,
            rate: None,
            slack_ms: 100,
        };
        let mut ledger = WebSocketLedger::new(Expectations { calm: true, limits, tries_max: 2 });
        let id = ledger.begin(HttpVersion::Two, HttpVersion::One);
        assert_eq!((id, ledger.arrive(id, HttpVersion::One)), (PLACE.id, Ok(PLACE.number)));
        ledger.answer(PLACE, Tick::ZERO).unwrap();
        assert_eq!(ledger.open(PLACE, Tick::ZERO), Ok(true));
        ledger
    }

    fn at(millis: u64) -> Moment {
        Moment { now: Tick::ZERO.after_ms(millis), drains: Drains::No }
    }

    #[test]
    fn a_farewell_of_the_gateway_needs_a_reason() {
        let told = |words: &str, moment| open().close_frame(PLACE, &[b"\x03\xE9", words.as_bytes()].concat(), moment);
        assert!(told("the gateway stops", at(10)).is_err());
        assert!(told("the gateway stops", Moment { drains: Drains::Yes, ..at(10) }).is_ok());
        assert!(told("silent for too long", at(900)).is_err() && told("silent for too long", at(1_000)).is_ok());
        assert!(told("open for long enough", at(4_999)).is_err() && told("open for long enough", at(5_000)).is_ok());
        assert!(told("no answer to a ping", at(900)).is_err() && told("something else", at(900)).is_err());
        let mut spoken = open();
        spoken.spoke(PLACE, at(500).now).unwrap();
        assert!(spoken.close_frame(PLACE, b"\x03\xE9silent for too long", at(1_010)).is_err());
    }

    #[test]
    fn an_end_without_a_farewell_is_seen() {
        assert!(open().hear_out(PLACE, LastFrame::Bare, 0, at(10)).is_err());
        assert!(open().hear_out(PLACE, LastFrame::Cut, 0, at(10)).is_err());
        assert!(open().hear_out(PLACE, LastFrame::Close, 0, at(10)).is_ok());
        let mut halved = open();
        halved.half_close(EndId { side: Side::Origin, ..PLACE }).unwrap();
        assert!(halved.hear_out(PLACE, LastFrame::Bare, 0, at(10)).is_ok());
    }

    #[test]
    fn none_outlives_its_limits() {
        let logged = |millis, drained: Option<u64>| {
            let drained = drained.map(|millis| at(millis).now);
            open().logged(PLACE.id, 101, at(millis).now, drained)
        };
        assert!(logged(1_050, None).is_ok() && logged(1_150, None).is_err());
        assert!(logged(500, Some(300)).is_err() && logged(500, Some(450)).is_ok());
        let mut broken = open();
        broken.break_off(PLACE, at(100).now).unwrap();
        assert!(broken.logged(PLACE.id, 101, at(250).now, None).is_err());
    }
}
