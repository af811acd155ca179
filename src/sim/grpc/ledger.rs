// SPDX-License-Identifier: Apache-2.0
//! The ledger of calls: what callers and origins recorded of every call, and the rules for it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::base::Tick;
use crate::sim::grpc::messages::Row;
use crate::sim::grpc::{GrpcProtocol, Limits};
use crate::sim::tag::Tag;

/// The path of a call.
pub(super) fn path(id: u64) -> String {
    format!("/tagged.Calls/{id}")
}

/// The call that a path names.
pub(crate) fn exchange_of(path: &str) -> Option<u64> {
    path.strip_prefix("/tagged.Calls/")?.parse().ok()
}

/// What a caller asks.
#[derive(Clone, Debug)]
pub(crate) struct PlannedCall {
    /// The protocol.
    pub words: GrpcProtocol,
    /// Bytes of each message.
    pub requests: Vec<u64>,
    /// The deadline of the call.
    pub timeout_ms: Option<u64>,
}

/// What an origin says.
#[derive(Clone, Debug)]
pub(crate) struct PlannedResponse {
    /// Bytes of each message.
    pub responses: Vec<u64>,
    /// The status behind them.
    pub code: u8,
    /// The response is trailers-only: the status is in the head.
    pub trailers_only: bool,
    /// What it says is no response to a call.
    pub wrong: bool,
}

#[derive(Clone, Debug, Default)]
struct Attempt {
    reply: Option<PlannedResponse>,
    /// Said to its end.
    whole: bool,
}

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an origin's status.
    Said(u8),
    /// With a status of the gateway.
    Told(u8),
    /// With a response that is not gRPC: from an origin, or from the gateway before it knew that this is a call.
    Other(u16),
    /// With a broken connection or stream.
    Broken,
    /// The gateway refused it unprocessed.
    Unserved,
}

#[derive(Debug)]
struct Call {
    ask: PlannedCall,
    begun: Tick,
    tries: Vec<Attempt>,
    refusals: u32,
    given_up: bool,
    outcome: Option<Outcome>,
    logged: Vec<Option<String>>,
}

/// Counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls.
    pub calls: u64,
    /// Calls that got an origin's status: gRPC, gRPC-Web, gRPC-Web in base64.
    pub said: [u64; 3],
    /// Tries after the first.
    pub again: u64,
    /// Calls that got the gateway's own status, by code.
    pub told: BTreeMap<u8, u64>,
    /// Calls that broke off or got something else.
    pub broken: u64,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Counts) {
        self.calls += other.calls;
        self.again += other.again;
        self.broken += other.broken;
        self.said.iter_mut().zip(other.said).for_each(|(sum, count)| *sum += count);
        for (code, count) in &other.told {
            *self.told.entry(*code).or_default() += count;
        }
    }
}

impl Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { calls, said, again, told, broken } = self;
        write!(out, "{calls} calls, {again} tried again, answered {said:?}, ended by the gateway {told:?}, ")?;
        write!(out, "{broken} broken")
    }
}

/// The rules of one world.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// Nothing breaks in this world.
    pub calm: bool,
    /// The gateway's limits.
    pub limits: Limits,
    /// Most attempts of one call that may reach an origin.
    pub tries_max: usize,
}

/// The ledger.
#[derive(Debug)]
pub(crate) struct CallLedger {
    demands: Expectations,
    calls: BTreeMap<u64, Call>,
}

impl CallLedger {
    /// An empty ledger.
    pub(crate) fn new(demands: Expectations) -> CallLedger {
        CallLedger { demands, calls: BTreeMap::new() }
    }

    /// The gateway's limits.
    pub(crate) fn limits(&self) -> Limits {
        self.demands.limits.clone()
    }

    /// A caller calls.
    pub(crate) fn begin(&mut self, ask: PlannedCall, now: Tick) -> u64 {
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
    pub(crate) fn requests(&mut self, id: u64) -> Result<Row, String> {
        let lengths = self.call(id)?.ask.requests.clone();
        Ok(Row { tag: Tag { exchange: id, attempt: 0 }, lengths })
    }

    /// The messages of an origin.
    pub(crate) fn responses(&mut self, id: u64, number: u32) -> Result<Row, String> {
        let reply = self.of(id, number)?.reply.clone();
        let lengths = reply.ok_or_else(|| format!("call {id}: try {number} was not answered"))?.responses;
        Ok(Row { tag: Tag { exchange: id, attempt: number }, lengths })
    }

    /// A call reached an origin at `now` with a `grpc-timeout` of `told_ms`. Returns the attempt's number.
    pub(crate) fn arrive(&mut self, id: u64, told_ms: Option<f64>, now: Tick) -> Result<u32, String> {
        let Expectations { calm, tries_max, .. } = self.demands;
        let call = self.call(id)?;
        let repeated = |earlier: &Attempt| {
            earlier.reply.as_ref().is_some_and(|reply| reply.trailers_only && reply.code == UNAVAILABLE)
        };
        if !call.tries.iter().all(repeated) || call.tries.len() >= tries_max {
            return Err(format!("call {id} reached an origin again: {:?}", call.tries));
        }
        let passed_ms = now.since(call.begun).as_secs_f64() * 1_000.0;
        match (call.ask.timeout_ms, told_ms) {
            (None, None) => {}
            // In a wild world the route has a timeout of its own.
            (None, Some(_)) if !calm => {}
            (Some(asked), Some(told)) if !calm && told <= asked as f64 + 1.0 => {}
            // The remaining time is at least what would remain if the call had reached the gateway when it was made.
            (Some(asked), Some(told)) if told <= asked as f64 + 1.0 && told + passed_ms + 1.0 >= asked as f64 => {}
            (asked, told) => {
                return Err(format!("call {id}: grpc-timeout {told:?} ms after {passed_ms} ms of {asked:?}"));
            }
        }
        call.tries.push(Attempt::default());
        Ok(call.tries.len() as u32)
    }

    /// An origin refuses a call unprocessed.
    pub(crate) fn refuse(&mut self, id: u64) -> Result<(), String> {
        self.call(id)?.refusals += 1;
        Ok(())
    }

    fn of(&mut self, id: u64, number: u32) -> Result<&mut Attempt, String> {
        let found = (number as usize).checked_sub(1).and_then(|index| self.calls.get_mut(&id)?.tries.get_mut(index));
        found.ok_or_else(|| format!("call {id} has no try {number}"))
    }

    /// An origin decides what it says.
    pub(crate) fn reply(&mut self, id: u64, number: u32, reply: PlannedResponse) -> Result<(), String> {
        self.of(id, number)?.reply = Some(reply);
        Ok(())
    }

    /// An origin is about to send its status.
    pub(crate) fn replied(&mut self, id: u64, number: u32) -> Result<(), String> {
        self.of(id, number)?.whole = true;
        Ok(())
    }

    /// The origin saw the orderly end of the caller's messages after `count` of them.
    pub(crate) fn received_all(&mut self, id: u64, count: usize) -> Result<(), String> {
        let asked = self.call(id)?.ask.requests.len();
        if count == asked {
            return Ok(());
        }
        Err(format!("call {id}: the messages ended cleanly after {count} of {asked}"))
    }

    /// Checks that an origin which still works on a call at `now` does so within the deadline.
    pub(crate) fn in_time(&mut self, id: u64, now: Tick) -> Result<(), String> {
        let Expectations { calm, limits: Limits { slack_ms, .. }, .. } = self.demands;
        let call = self.call(id)?;
        let late = |timeout| now > call.begun.after_ms(timeout + slack_ms);
        match call.ask.timeout_ms {
            // In a wild world the ends themselves may be late.
            Some(timeout) if calm && late(timeout) => {
                let passed = now.since(call.begun);
                Err(format!("call {id} goes on after {passed:?}, though it had {timeout} ms"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Its caller goes away.
    pub(crate) fn give_up(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.given_up = true;
        }
    }

    /// The status of an origin, and how many of its messages came before it.
    pub(crate) fn said(&mut self, id: u64, number: u32, code: u8, count: usize) -> Result<(), String> {
        let found = self.of(id, number)?.clone();
        let reply = found.reply.ok_or_else(|| format!("call {id}: try {number} was not answered"))?;
        if !found.whole || reply.wrong || reply.code != code || reply.responses.len() != count {
            return Err(format!("call {id}: status {code} behind {count} messages instead of {reply:?}"));
        }
        Ok(())
    }

    /// It is over for its caller.
    pub(crate) fn end(&mut self, id: u64, outcome: Outcome, end: Moment) -> Result<(), String> {
        let Expectations { calm, limits, .. } = self.demands.clone();
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
            // A gRPC-Web response that broke off within a message cannot be ended with a status.
            Outcome::Broken => excused || too_large || too_much || passed || wrong,
            Outcome::Other(_) => excused || wrong,
            Outcome::Unserved => excused,
        };
        if right { Ok(()) } else { Err(format!("call {id} ended as {outcome:?} without a reason: {call:?}")) }
    }

    /// Records the access-log line of a call.
    pub(crate) fn logged(&mut self, id: u64, code: Option<&str>, took_ms: f64) -> Result<(), String> {
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

    /// Checks that every call is over at the end of a run and that the access log says what callers saw.
    pub(crate) fn close(&self, names: impl Fn(u8) -> &'static str) -> Result<Counts, String> {
        let mut tally = Counts { calls: self.calls.len() as u64, ..Counts::default() };
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
pub(crate) struct Moment {
    /// Now.
    pub now: Tick,
    /// The gateway was told to drain.
    pub drains: bool,
}

const DEADLINE_EXCEEDED: u8 = 4;
const RESOURCE_EXHAUSTED: u8 = 8;
/// The status that is retried.
pub(super) const UNAVAILABLE: u8 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> (CallLedger, u64) {
        let limits = Limits { request_max: 10, response_max: 10, slack_ms: 100 };
        let mut ledger = CallLedger::new(Expectations { calm: true, limits, tries_max: 3 });
        let ask = PlannedCall { words: GrpcProtocol::Plain, requests: vec![1], timeout_ms: Some(1_000) };
        let id = ledger.begin(ask, Tick::ZERO);
        (ledger, id)
    }

    fn reply(code: u8, responses: &[u64]) -> PlannedResponse {
        PlannedResponse { responses: responses.to_vec(), code, trailers_only: responses.is_empty(), wrong: false }
    }

    #[test]
    fn only_a_call_that_was_unavailable_is_made_again() {
        let (mut ledger, id) = ledger();
        assert_eq!(ledger.arrive(id, Some(1_000.0), Tick::ZERO), Ok(1));
        ledger.reply(id, 1, reply(UNAVAILABLE, &[])).unwrap();
        assert_eq!(ledger.arrive(id, Some(900.0), Tick::ZERO.after_ms(100)), Ok(2));
        ledger.reply(id, 2, reply(0, &[5])).unwrap();
        assert!(ledger.arrive(id, Some(1_000.0), Tick::ZERO).is_err());
    }

    #[test]
    fn a_deadline_is_told_and_kept() {
        let (mut ledger, id) = ledger();
        let late = Tick::ZERO.after_ms(500);
        assert!(ledger.arrive(id, None, late).is_err() && ledger.arrive(id, Some(400.0), late).is_err());
        assert!(ledger.arrive(id, Some(2_000.0), late).is_err() && ledger.arrive(id, Some(500.0), late).is_ok());
        assert!(ledger.in_time(id, Tick::ZERO.after_ms(1_050)).is_ok());
        assert!(ledger.in_time(id, Tick::ZERO.after_ms(1_150)).is_err());
        assert!(ledger.logged(id, None, 1_200.0).is_err());
    }

    #[test]
    fn an_origins_status_stands_behind_all_of_its_messages() {
        let (mut ledger, id) = ledger();
        ledger.arrive(id, Some(1_000.0), Tick::ZERO).unwrap();
        ledger.reply(id, 1, reply(5, &[1, 2])).unwrap();
        assert!(ledger.said(id, 1, 5, 2).is_err(), "it was not said yet");
        ledger.replied(id, 1).unwrap();
        assert!(ledger.said(id, 1, 5, 1).is_err() && ledger.said(id, 1, 0, 2).is_err());
        assert!(ledger.said(id, 1, 5, 2).is_ok());
    }

    #[test]
    fn the_gateway_needs_a_reason() {
        let early = Moment { now: Tick::ZERO.after_ms(900), drains: false };
        let late = Moment { now: Tick::ZERO.after_ms(1_000), ..early };
        let end = |outcome, moment| {
            let (mut ledger, id) = ledger();
            ledger.end(id, outcome, moment)
        };
        assert!(end(Outcome::Told(4), early).is_err() && end(Outcome::Told(4), late).is_ok());
        assert!(end(Outcome::Told(8), early).is_err() && end(Outcome::Told(14), early).is_err());
        assert!(end(Outcome::Broken, early).is_err() && end(Outcome::Unserved, early).is_err());
        assert!(end(Outcome::Broken, Moment { drains: true, ..early }).is_ok());
    }
}
