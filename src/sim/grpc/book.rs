//! What really happened to every call, as callers and origins write it down, and the rules that it must keep.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::base::Tick;
use crate::sim::grpc::messages::Row;
use crate::sim::grpc::{Limits, Words};
use crate::sim::tag::Tag;

/// The path of a call.
pub fn path(id: u64) -> String {
    format!("/tagged.Calls/{id}")
}

/// The call that a path names.
pub fn exchange_of(path: &str) -> Option<u64> {
    path.strip_prefix("/tagged.Calls/")?.parse().ok()
}

/// What a caller asks.
#[derive(Clone, Debug)]
pub struct Ask {
    /// In which words.
    pub words: Words,
    /// Bytes of each message.
    pub requests: Vec<u64>,
    /// By when it wants the call to be over.
    pub timeout_ms: Option<u64>,
}

/// What an origin says.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Bytes of each message.
    pub responses: Vec<u64>,
    /// The status behind them.
    pub code: u8,
    /// The status stands in the head, which is the whole answer.
    pub trailers_only: bool,
    /// What it says is no answer to a call.
    pub wrong: bool,
}

#[derive(Clone, Debug, Default)]
struct Try {
    reply: Option<Reply>,
    /// Said to its end.
    whole: bool,
}

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an origin's status.
    Said(u8),
    /// With a status of the gateway.
    Told(u8),
    /// With an answer that is no call's: an origin's, or the gateway's before it knew that it was a call.
    Other(u16),
    /// With a broken connection or stream.
    Broken,
    /// The gateway said that it did not look at it.
    Unserved,
}

#[derive(Debug)]
struct Call {
    ask: Ask,
    begun: Tick,
    tries: Vec<Try>,
    refusals: u32,
    given_up: bool,
    outcome: Option<Outcome>,
    logged: Vec<Option<String>>,
}

/// Counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls.
    pub calls: u64,
    /// Answered by an origin: gRPC, gRPC-Web, gRPC-Web in base64.
    pub said: [u64; 3],
    /// Tries after the first.
    pub again: u64,
    /// Ended with a status of the gateway, by code.
    pub told: BTreeMap<u8, u64>,
    /// Broken, or answered with something else.
    pub broken: u64,
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: &Tally) {
        self.calls += other.calls;
        self.again += other.again;
        self.broken += other.broken;
        self.said.iter_mut().zip(other.said).for_each(|(sum, count)| *sum += count);
        for (code, count) in &other.told {
            *self.told.entry(*code).or_default() += count;
        }
    }
}

impl Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { calls, said, again, told, broken } = self;
        write!(out, "{calls} calls, {again} tried again, answered {said:?}, ended by the gateway {told:?}, ")?;
        write!(out, "{broken} broken")
    }
}

/// What a world demands.
#[derive(Clone, Debug)]
pub struct Demands {
    /// Nothing breaks in this world.
    pub calm: bool,
    /// What the gateway was told.
    pub limits: Limits,
    /// Times that one call may reach an origin at most.
    pub tries_max: usize,
}

/// The book.
#[derive(Debug)]
pub struct Book {
    demands: Demands,
    calls: BTreeMap<u64, Call>,
}

impl Book {
    /// An empty book.
    pub fn new(demands: Demands) -> Book {
        Book { demands, calls: BTreeMap::new() }
    }

    /// What the gateway was told.
    pub fn limits(&self) -> Limits {
        self.demands.limits.clone()
    }

    /// A caller calls.
    pub fn begin(&mut self, ask: Ask, now: Tick) -> u64 {
        let id = self.calls.len() as u64 + 1;
        let call = Call {
            ask,
            begun: now,
            tries: Vec::new(),
            refusals: 0,
            given_up: false,
            outcome: None,
            logged: Vec::new(),
        };
        self.calls.insert(id, call);
        id
    }

    fn call(&mut self, id: u64) -> Result<&mut Call, String> {
        self.calls.get_mut(&id).ok_or_else(|| format!("nobody made call {id}"))
    }

    /// The messages of the caller.
    pub fn requests(&mut self, id: u64) -> Result<Row, String> {
        let lengths = self.call(id)?.ask.requests.clone();
        Ok(Row { tag: Tag { exchange: id, attempt: 0 }, lengths })
    }

    /// The messages of an origin.
    pub fn responses(&mut self, id: u64, number: u32) -> Result<Row, String> {
        let reply = self.of(id, number)?.reply.clone();
        let lengths = reply.ok_or_else(|| format!("call {id}: try {number} was not answered"))?.responses;
        Ok(Row { tag: Tag { exchange: id, attempt: number }, lengths })
    }

    /// A call reached an origin, which is to take at most `told_ms` at `now`. Returns the try's number.
    pub fn arrive(&mut self, id: u64, told_ms: Option<f64>, now: Tick) -> Result<u32, String> {
        let Demands { calm, tries_max, .. } = self.demands;
        let call = self.call(id)?;
        let repeated = |earlier: &Try| {
            earlier.reply.as_ref().is_some_and(|reply| reply.trailers_only && reply.code == UNAVAILABLE)
        };
        if !call.tries.iter().all(repeated) || call.tries.len() >= tries_max {
            return Err(format!("call {id} reached an origin again: {:?}", call.tries));
        }
        let passed_ms = now.since(call.begun).as_secs_f64() * 1_000.0;
        match (call.ask.timeout_ms, told_ms) {
            (None, None) => {}
            // In a wild world the route has a limit of its own.
            (None, Some(_)) if !calm => {}
            (Some(asked), Some(told)) if !calm && told <= asked as f64 + 1.0 => {}
            // What is left is at least what would be left had the call reached the gateway when it was made.
            (Some(asked), Some(told)) if told <= asked as f64 + 1.0 && told + passed_ms + 1.0 >= asked as f64 => {}
            (asked, told) => {
                return Err(format!("call {id}: grpc-timeout {told:?} ms after {passed_ms} ms of {asked:?}"));
            }
        }
        call.tries.push(Try::default());
        Ok(call.tries.len() as u32)
    }

    /// An origin says that it did not look at a call.
    pub fn refuse(&mut self, id: u64) -> Result<(), String> {
        self.call(id)?.refusals += 1;
        Ok(())
    }

    fn of(&mut self, id: u64, number: u32) -> Result<&mut Try, String> {
        let found = (number as usize).checked_sub(1).and_then(|index| self.calls.get_mut(&id)?.tries.get_mut(index));
        found.ok_or_else(|| format!("call {id} has no try {number}"))
    }

    /// An origin decides what it says.
    pub fn reply(&mut self, id: u64, number: u32, reply: Reply) -> Result<(), String> {
        self.of(id, number)?.reply = Some(reply);
        Ok(())
    }

    /// An origin is about to say its status.
    pub fn replied(&mut self, id: u64, number: u32) -> Result<(), String> {
        self.of(id, number)?.whole = true;
        Ok(())
    }

    /// The origin saw the end of the caller's messages, in order, behind so many.
    pub fn received_all(&mut self, id: u64, count: usize) -> Result<(), String> {
        let asked = self.call(id)?.ask.requests.len();
        if count == asked {
            return Ok(());
        }
        Err(format!("call {id}: the messages ended cleanly after {count} of {asked}"))
    }

    /// The gateway lets an origin work on a call at `now`. May it still?
    pub fn in_time(&mut self, id: u64, now: Tick) -> Result<(), String> {
        let Demands { calm, limits: Limits { slack_ms, .. }, .. } = self.demands;
        let call = self.call(id)?;
        let late = |timeout| now > call.begun.after_ms(timeout + slack_ms);
        match call.ask.timeout_ms {
            // In a wild world ends may sleep over it.
            Some(timeout) if calm && late(timeout) => {
                let passed = now.since(call.begun);
                Err(format!("call {id} goes on after {passed:?}, though it had {timeout} ms"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Its caller goes away.
    pub fn give_up(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.given_up = true;
        }
    }

    /// The status of an origin, and how many of its messages came before it.
    pub fn said(&mut self, id: u64, number: u32, code: u8, count: usize) -> Result<(), String> {
        let found = self.of(id, number)?.clone();
        let reply = found.reply.ok_or_else(|| format!("call {id}: try {number} was not answered"))?;
        if !found.whole || reply.wrong || reply.code != code || reply.responses.len() != count {
            return Err(format!("call {id}: status {code} behind {count} messages instead of {reply:?}"));
        }
        Ok(())
    }

    /// It is over for its caller.
    pub fn end(&mut self, id: u64, outcome: Outcome, end: Moment) -> Result<(), String> {
        let Demands { calm, limits, .. } = self.demands.clone();
        let late = self.in_time(id, end.now);
        let call = self.call(id)?;
        if let Some(earlier) = call.outcome.replace(outcome) {
            return Err(format!("call {id} ended twice: {earlier:?}, then {outcome:?}"));
        }
        if call.given_up {
            return Ok(());
        }
        late?;
        let passed = call.ask.timeout_ms.is_some_and(|timeout| end.now >= call.begun.after_ms(timeout));
        let large = |lengths: &[u64], most| lengths.iter().any(|length| *length > most);
        let too_much = large(&call.ask.requests, limits.request_max);
        let replies = || call.tries.iter().filter_map(|earlier| earlier.reply.as_ref());
        let too_large = replies().any(|reply| large(&reply.responses, limits.response_max));
        let wrong = replies().any(|reply| reply.wrong);
        let excused = !calm || end.drains;
        let right = match outcome {
            Outcome::Said(_) => true,
            Outcome::Told(RESOURCE_EXHAUSTED) => too_much || too_large || !calm,
            Outcome::Told(DEADLINE_EXCEEDED) => passed || !calm,
            Outcome::Told(code) => (!calm || wrong) && [1, 2, 13, 14].contains(&code),
            // What an origin said half of in words of the web cannot be ended with a status.
            Outcome::Broken => excused || too_large || too_much || passed || wrong,
            Outcome::Other(_) => excused || wrong,
            Outcome::Unserved => excused,
        };
        if right { Ok(()) } else { Err(format!("call {id} ended as {outcome:?} without a reason: {call:?}")) }
    }

    /// The access log says that a call is over.
    pub fn logged(&mut self, id: u64, code: Option<&str>, took_ms: f64) -> Result<(), String> {
        let slack_ms = self.demands.limits.slack_ms;
        let call = self.call(id)?;
        if call.ask.timeout_ms.is_some_and(|timeout| took_ms > (timeout + slack_ms) as f64) {
            return Err(format!("call {id} took {took_ms} ms of {:?}", call.ask.timeout_ms));
        }
        call.logged.push(code.map(str::to_owned));
        match call.logged.len() {
            1 => Ok(()),
            _ => Err(format!("call {id} is in the access log twice: {:?}", call.logged)),
        }
    }

    /// Every call must be over at the end of a run, and what callers saw is what the log says.
    pub fn close(&self, names: impl Fn(u8) -> &'static str) -> Result<Tally, String> {
        let mut tally = Tally { calls: self.calls.len() as u64, ..Tally::default() };
        for (id, call) in &self.calls {
            tally.again += call.tries.len().saturating_sub(1) as u64;
            let seen = match call.outcome {
                None => return Err(format!("call {id} is not over: {call:?}")),
                Some(Outcome::Said(code)) => {
                    tally.said[call.ask.words as usize] += 1;
                    Some(code)
                }
                Some(Outcome::Told(code)) => {
                    *tally.told.entry(code).or_default() += 1;
                    Some(code)
                }
                Some(Outcome::Other(_) | Outcome::Broken | Outcome::Unserved) => {
                    tally.broken += 1;
                    None
                }
            };
            let told = call.logged.first().cloned().flatten();
            if let (Some(code), Some(_)) = (seen, call.logged.first())
                && told.as_deref() != Some(names(code))
            {
                return Err(format!("call {id}: status {code} for its caller, {told:?} in the log"));
            }
        }
        Ok(tally)
    }
}

/// When a call ends.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now.
    pub now: Tick,
    /// The gateway was told to drain.
    pub drains: bool,
}

const DEADLINE_EXCEEDED: u8 = 4;
const RESOURCE_EXHAUSTED: u8 = 8;
/// The status after which a call is tried again.
pub const UNAVAILABLE: u8 = 14;
