// SPDX-License-Identifier: Apache-2.0
//! The ledger: what clients and origins recorded of every exchange, and the rules for it.
//!
//! Clients and origins share one ledger without the gateway's knowledge, so an origin knows what the client meant to
//! send, and a client knows what the origin meant to respond. A method that finds a broken rule returns a description;
//! its caller fails the run with it.

use std::collections::BTreeMap;

use crate::sim::message_io::Framing;
use crate::sim::spoken::HttpVersion;
use crate::sim::totals::Totals;

/// What a client asks.
#[derive(Clone, Debug)]
pub(super) struct PlannedRequest {
    /// The client's HTTP version.
    pub by: HttpVersion,
    /// The origins' HTTP version.
    pub to: HttpVersion,
    /// The method.
    pub method: &'static str,
    /// The body's length.
    pub length: u64,
    /// How the body is sent.
    pub framing: Framing,
    /// It is an HTTP/1.0 request.
    pub old: bool,
    /// `Expect: 100-continue`.
    pub expects: bool,
    /// It asks for an upgrade; `length` bytes are sent after it.
    pub upgrades: bool,
    /// It is the connection's last.
    pub last: bool,
    /// The body ends with trailers.
    pub trailers: bool,
    /// It accepts gzip.
    pub accepts_gzip: bool,
    /// The gateway must serve it if nothing else goes wrong: its connection was open and its settings were known.
    pub entitled: bool,
}

impl PlannedRequest {
    /// Is the method idempotent, so that it may be retried (RFC 9110 section 9.2.2)?
    pub(super) fn idempotent(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS")
    }
}

/// What an origin answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedResponse {
    /// The status.
    pub status: u16,
    /// How the body is sent.
    pub framing: Framing,
    /// The body's length.
    pub length: u64,
    /// A chunked body ends with trailers.
    pub trailers: bool,
}

/// One time that a request reached an origin.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Which origin.
    pub origin: usize,
    /// The origin was killed before its response was complete. Its kernel closes the connection as after a complete
    /// one.
    pub killed: bool,
    /// Body bytes that have arrived.
    pub received: u64,
    /// The response, once decided.
    pub reply: Option<PlannedResponse>,
    /// Bytes of the response body that were given to the network.
    pub sent: u64,
    /// The response was sent to its end.
    pub whole: bool,
}

/// How an exchange ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With an origin's answer, complete.
    Answered(u16),
    /// With the gateway's own response.
    Refused(u16),
    /// The connection closed before or in the middle of a response.
    Broken,
    /// Not served: an earlier response said `Connection: close`.
    Unserved,
    /// The client went away itself.
    GivenUp,
}

#[derive(Debug)]
struct Exchange {
    ask: PlannedRequest,
    sent: u64,
    attempts: Vec<Attempt>,
    /// The client has the head of an origin's answer.
    answering: bool,
    delivered: u64,
    given_up: bool,
    /// The client took content out of a whole coding.
    coded: bool,
    /// How often an origin refused it.
    refusals: u32,
    outcome: Option<Outcome>,
    /// The status of each of its access-log lines.
    logged: Vec<u16>,
}

/// The rules of one world.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// No faults are injected, so an origin must respond to every exchange at the first attempt.
    pub all_answered: bool,
    /// Most attempts of one request that may reach an origin.
    pub attempts_max: usize,
    /// Most bytes of one body that may be in transit between its sender and its receiver.
    pub between_max: u64,
}

/// The ledger.
#[derive(Debug)]
pub(super) struct Ledger {
    demands: Expectations,
    exchanges: BTreeMap<u64, Exchange>,
    bytes: u64,
}

/// Statuses that the gateway may respond with after a fault. Clients send only valid requests that have a route and
/// keep the limits, so any other status fails the run.
const EXCUSES: [u16; 4] = [408, 502, 503, 504];

impl Ledger {
    /// An empty ledger.
    pub(super) fn new(demands: Expectations) -> Ledger {
        Ledger { demands, exchanges: BTreeMap::new(), bytes: 0 }
    }

    /// A client begins an exchange.
    pub(super) fn begin(&mut self, ask: PlannedRequest) -> u64 {
        let id = self.exchanges.len() as u64 + 1;
        let exchange = Exchange {
            ask,
            sent: 0,
            attempts: Vec::new(),
            answering: false,
            delivered: 0,
            given_up: false,
            coded: false,
            refusals: 0,
            outcome: None,
            logged: Vec::new(),
        };
        self.exchanges.insert(id, exchange);
        id
    }

    /// What the client asked.
    pub(super) fn ask(&self, id: u64) -> Result<PlannedRequest, String> {
        let found = self.exchanges.get(&id);
        found.map(|exchange| exchange.ask.clone()).ok_or_else(|| format!("nobody began exchange {id}"))
    }

    /// The client took content out of a coding, to its end.
    pub(super) fn coded(&mut self, id: u64) -> Result<(), String> {
        self.exchange(id)?.coded = true;
        Ok(())
    }

    fn exchange(&mut self, id: u64) -> Result<&mut Exchange, String> {
        self.exchanges.get_mut(&id).ok_or_else(|| format!("nobody began exchange {id}"))
    }

    /// The client has given this many bytes of its body to the network, counted from the start.
    pub(super) fn sent(&mut self, id: u64, bytes: u64) -> Result<(), String> {
        let between_max = self.demands.between_max;
        let exchange = self.exchange(id)?;
        exchange.sent = bytes;
        let arrived = exchange.attempts.iter().map(|attempt| attempt.received).max().unwrap_or(0);
        let between = bytes.saturating_sub(arrived);
        if between > between_max && exchange.outcome.is_none() && !exchange.answering {
            return Err(format!("exchange {id}: {between} bytes of the request are held, {between_max} are the bound"));
        }
        Ok(())
    }

    /// The client goes away.
    pub(super) fn give_up(&mut self, id: u64) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.given_up = true;
        }
    }

    /// A request's head reached an origin. Returns the attempt's number, from one.
    pub(super) fn attempt(&mut self, id: u64, origin: usize) -> Result<u32, String> {
        let demands = self.demands.clone();
        let exchange = self.exchange(id)?;
        let earlier = exchange.attempts.len();
        if earlier > 0 && !exchange.ask.idempotent() {
            return Err(format!("exchange {id}: a {} was sent again", exchange.ask.method));
        }
        if earlier >= demands.attempts_max || (earlier > 0 && demands.all_answered) {
            return Err(format!("exchange {id} reached an origin for the {}th time", earlier + 1));
        }
        // After any other outcome it may arrive late: the gateway gave up while it was in transit.
        if exchange.outcome == Some(Outcome::Unserved) {
            return Err(format!("exchange {id} reached an origin behind an answer that said it was the last"));
        }
        exchange.attempts.push(Attempt { origin, killed: false, received: 0, reply: None, sent: 0, whole: false });
        Ok(earlier as u32 + 1)
    }

    /// An origin refuses a request. Returns how often it was refused, this time included.
    pub(super) fn refuse(&mut self, id: u64) -> Result<u32, String> {
        let exchange = self.exchange(id)?;
        exchange.refusals += 1;
        Ok(exchange.refusals)
    }

    /// How often origins refused it so far.
    pub(super) fn refusals(&self, id: u64) -> u32 {
        self.exchanges.get(&id).map_or(0, |exchange| exchange.refusals)
    }

    fn of_attempt(&mut self, id: u64, number: u32) -> Result<&mut Attempt, String> {
        let exchange = self.exchange(id)?;
        let found = (number as usize).checked_sub(1).and_then(|index| exchange.attempts.get_mut(index));
        found.ok_or_else(|| format!("exchange {id} has no attempt {number}"))
    }

    /// Body bytes of the request arrived at the origin.
    pub(super) fn received(&mut self, id: u64, number: u32, bytes: u64) -> Result<(), String> {
        self.bytes += bytes;
        self.of_attempt(id, number)?.received += bytes;
        Ok(())
    }

    /// The origin saw the end of the request's body.
    pub(super) fn received_all(&mut self, id: u64, number: u32) -> Result<(), String> {
        let length = self.exchange(id)?.ask.length;
        let received = self.of_attempt(id, number)?.received;
        if received == length {
            return Ok(());
        }
        Err(format!("exchange {id}: the request's body ended cleanly after {received} of {length} bytes"))
    }

    /// The origin decides its response.
    pub(super) fn reply(&mut self, id: u64, number: u32, reply: PlannedResponse) -> Result<(), String> {
        self.of_attempt(id, number)?.reply = Some(reply);
        Ok(())
    }

    /// The origin has given this many bytes of its response body to the network, counted from the start.
    pub(super) fn replied(&mut self, id: u64, number: u32, bytes: u64) -> Result<(), String> {
        let between_max = self.demands.between_max;
        let delivered = self.exchange(id)?.delivered;
        let over = self.exchange(id)?.outcome.is_some() || self.exchange(id)?.given_up;
        let attempt = self.of_attempt(id, number)?;
        attempt.sent = bytes;
        let between = bytes.saturating_sub(delivered);
        if between > between_max && !over {
            return Err(format!("exchange {id}: {between} bytes of the answer are held, {between_max} are the bound"));
        }
        Ok(())
    }

    /// The origin sent its response to the end.
    pub(super) fn replied_all(&mut self, id: u64, number: u32) -> Result<(), String> {
        self.of_attempt(id, number)?.whole = true;
        Ok(())
    }

    /// An origin was killed.
    pub(super) fn kill(&mut self, origin: usize) {
        let attempts = self.exchanges.values_mut().flat_map(|exchange| &mut exchange.attempts);
        attempts.filter(|attempt| attempt.origin == origin && !attempt.whole).for_each(|attempt| attempt.killed = true);
    }

    /// The client received the head of an origin's response. Returns what the origin meant to send.
    pub(super) fn answering(&mut self, id: u64, number: u32, status: u16) -> Result<PlannedResponse, String> {
        let reply = self.of_attempt(id, number)?.reply;
        let reply = reply.ok_or_else(|| format!("exchange {id}: attempt {number} was not answered yet"))?;
        if reply.status != status {
            return Err(format!("exchange {id}: status {status} instead of {}", reply.status));
        }
        self.exchange(id)?.answering = true;
        Ok(reply)
    }

    /// Body bytes of a response arrived at the client.
    pub(super) fn delivered(&mut self, id: u64, bytes: u64) -> Result<(), String> {
        self.bytes += bytes;
        self.exchange(id)?.delivered += bytes;
        Ok(())
    }

    /// The client received a response of this attempt that looks complete.
    pub(super) fn complete(&mut self, id: u64, number: u32, framing: Framing) -> Result<(), String> {
        let Exchange { delivered, given_up, .. } = *self.exchange(id)?;
        if given_up {
            // Its own end of reading looks like one.
            return self.end(id, Outcome::GivenUp);
        }
        let attempt = self.of_attempt(id, number)?;
        let reply = attempt.reply.ok_or_else(|| format!("exchange {id} has no answer"))?;
        let told_less = attempt.killed && reply.framing == Framing::Close && delivered <= reply.length;
        if told_less {
            return self.end(id, Outcome::Answered(reply.status));
        }
        if delivered != reply.length {
            let length = reply.length;
            return Err(format!("exchange {id}: the answer looked complete after {delivered} of {length} bytes"));
        }
        if framing == Framing::Close && !attempt.whole {
            return Err(format!("exchange {id}: the origin broke off, but the client saw a clean end"));
        }
        self.end(id, Outcome::Answered(reply.status))
    }

    /// An exchange is over for its client.
    pub(super) fn end(&mut self, id: u64, outcome: Outcome) -> Result<(), String> {
        let all_answered = self.demands.all_answered;
        let exchange = self.exchange(id)?;
        let outcome = if exchange.given_up { Outcome::GivenUp } else { outcome };
        if let Some(earlier) = exchange.outcome.replace(outcome) {
            return Err(format!("exchange {id} ended twice: {earlier:?}, then {outcome:?}"));
        }
        match outcome {
            Outcome::Refused(status) if !EXCUSES.contains(&status) => {
                Err(format!("exchange {id} was valid, but the gateway answered it with {status}"))
            }
            Outcome::Unserved if !exchange.attempts.is_empty() => {
                Err(format!("exchange {id} reached an origin behind an answer that said it was the last"))
            }
            Outcome::Refused(_) | Outcome::Broken if all_answered && exchange.ask.entitled => {
                Err(format!("exchange {id} ended as {outcome:?}, though nothing went wrong: {:?}", exchange.ask))
            }
            Outcome::Answered(_) | Outcome::Refused(_) | Outcome::Broken | Outcome::Unserved | Outcome::GivenUp => {
                Ok(())
            }
        }
    }

    /// Records the access-log line of an exchange.
    pub(super) fn logged(&mut self, id: u64, status: u16) -> Result<(), String> {
        let exchange = self.exchange(id)?;
        exchange.logged.push(status);
        if exchange.logged.len() > 1 {
            return Err(format!("exchange {id} is in the access log twice: {:?}", exchange.logged));
        }
        Ok(())
    }

    /// Checks that the access log says what the clients saw. A rejected head may be logged without its target.
    pub(super) fn check_log(&self) -> Result<(), String> {
        for (id, exchange) in &self.exchanges {
            let told = exchange.logged.first();
            let wrong = match exchange.outcome {
                Some(Outcome::Answered(status)) => told != Some(&status),
                Some(Outcome::Refused(408)) => told.is_some_and(|told| *told != 408),
                Some(Outcome::Refused(status)) => told != Some(&status),
                Some(Outcome::Unserved) => told.is_some(),
                Some(Outcome::Broken | Outcome::GivenUp) | None => false,
            };
            if wrong {
                return Err(format!("exchange {id}: {:?} for its client, {told:?} in the log", exchange.outcome));
            }
        }
        Ok(())
    }

    /// Every exchange must be over at the end of a run.
    pub(super) fn close(&self) -> Result<Totals, String> {
        let mut totals = Totals { exchanges: self.exchanges.len() as u64, bytes: self.bytes, ..Totals::default() };
        for (id, exchange) in &self.exchanges {
            totals.attempts += exchange.attempts.len() as u64;
            totals.refusals_of_origins += u64::from(exchange.refusals);
            match exchange.outcome {
                Some(Outcome::Answered(_)) => {
                    totals.answered += 1;
                    let (by, to) = (exchange.ask.by as usize, exchange.ask.to as usize);
                    totals.answered_by[by][to] += 1;
                    totals.coded_by[by][to] += u64::from(exchange.coded);
                }
                Some(Outcome::Refused(status)) => {
                    totals.refused += 1;
                    *totals.refusals.entry(status).or_default() += 1;
                }
                Some(Outcome::Broken) => totals.broken += 1,
                Some(Outcome::Unserved) => totals.unserved += 1,
                Some(Outcome::GivenUp) => totals.given_up += 1,
                None => return Err(format!("exchange {id} is not over: {exchange:?}")),
            }
        }
        Ok(totals)
    }
}
