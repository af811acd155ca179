// SPDX-License-Identifier: Apache-2.0
//! What an HTTP/2 client requests on one stream, and how the client itself breaks it off.

use crate::base::Rng;
use crate::sim::ledger::PlannedRequest;
use crate::sim::message_io::Framing;
use crate::sim::scenario::Scenario;
use crate::sim::spoken::HttpVersion;

/// How the client breaks one exchange off.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    /// It does not.
    Whole,
    /// After this many bytes of the request body.
    LeavesSending(u64),
    /// After this many bytes of the response body.
    LeavesReading(u64),
    /// It ends after so many milliseconds.
    LeavesAfter(u64),
    /// The client stops sending after this many bytes of the request body; the gateway must time out.
    StallsSending(u64),
    /// The client never opens its window; the gateway must time out.
    StallsReading,
}

impl Plan {
    /// What becomes of `ask` by its client.
    pub(super) fn draw(scenario: &Scenario, ask: &PlannedRequest, rng: &mut Rng) -> Plan {
        if rng.chance(scenario.leaves) {
            return match rng.below(3) {
                0 if ask.length > 0 => Plan::LeavesSending(rng.below(ask.length + 1)),
                1 => {
                    let most = [5, 200, 5_000][rng.below(3) as usize];
                    Plan::LeavesAfter(rng.below(most))
                }
                _ => Plan::LeavesReading(rng.below(scenario.body_max + 1)),
            };
        }
        if rng.chance(scenario.stalls) {
            let sends = ask.length > 0 && rng.chance(500);
            return if sends { Plan::StallsSending(rng.below(ask.length)) } else { Plan::StallsReading };
        }
        Plan::Whole
    }
}

/// Draws a request for one stream. `settled`: the client knows the gateway's settings.
// tidy(bool): it is the connection's own response to `is_settled`.
pub(super) fn ask(scenario: &Scenario, settled: bool, rng: &mut Rng) -> PlannedRequest {
    let method = ["GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS"][rng.below(8) as usize];
    let with_body = matches!(method, "POST" | "PUT") || (method == "DELETE" && rng.chance(300));
    // A POST is not idempotent, even without content.
    let bare = with_body && rng.chance(300);
    let length = if with_body && !bare { 1 + rng.below(scenario.body_max) } else { 0 };
    let framing = match with_body {
        _ if bare => Framing::Length(0),
        false => Framing::Empty,
        true if rng.chance(500) => Framing::Length(length),
        true => Framing::Chunked,
    };
    let to = if scenario.direct || rng.chance(500) { HttpVersion::Two } else { HttpVersion::One };
    PlannedRequest {
        by: HttpVersion::Two,
        to,
        method,
        length,
        framing,
        old: false,
        expects: length > 0 && rng.chance(200),
        upgrades: false,
        last: false,
        trailers: framing == Framing::Chunked && rng.chance(200),
        accepts_gzip: rng.chance(600),
        entitled: settled || !scenario.drains_early,
    }
}
