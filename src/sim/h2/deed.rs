// SPDX-License-Identifier: Apache-2.0
//! How an HTTP/2 origin behaves on one request.

use crate::base::Rng;
use crate::sim::mood::Mood;
use crate::sim::scenario::Scenario;
use crate::sim::talk::Framing;

/// What an origin does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Reads it, answers it.
    Right,
    /// Answers while it reads it.
    Duplex,
    /// Answers before it has read the body, then reads the rest.
    Early,
    /// Responds before it has read the body, then resets the stream with NO_ERROR (RFC 9113 section 8.1).
    EarlyReset,
    /// Resets instead of answering.
    Reset,
    /// Ends the connection instead of answering.
    Close,
    /// Closes the connection without a response.
    Abort,
    /// Never answers.
    Silent,
    /// Resets the stream or closes the connection in the middle of the response body.
    BreakOff,
    /// Answers with a head that is none.
    Nonsense,
    /// Breaks a rule of the whole connection.
    Violation,
    /// Answers 503, which the route tries again.
    Unavailable,
    /// Sends GOAWAY with an earlier stream as the last one.
    Disown,
}

const MISDEEDS: [Deed; 12] = [
    Deed::EarlyReset,
    Deed::Reset,
    Deed::Reset,
    Deed::Reset,
    Deed::Close,
    Deed::Abort,
    Deed::Silent,
    Deed::BreakOff,
    Deed::Nonsense,
    Deed::Violation,
    Deed::Unavailable,
    Deed::Disown,
];

impl Deed {
    /// Draws the behaviour for a request whose body has this framing.
    pub(super) fn draw(scenario: &Scenario, framing: Framing, rng: &mut Rng) -> Deed {
        if rng.chance(scenario.misdeeds) {
            let deed = MISDEEDS[rng.below(MISDEEDS.len() as u64) as usize];
            // Without a gateway there is no timeout to end this.
            let needs_gateway = matches!(deed, Deed::Silent | Deed::Nonsense | Deed::Violation | Deed::Disown);
            return if needs_gateway && scenario.direct { Deed::Reset } else { deed };
        }
        let early = framing != Framing::Empty && scenario.mood == Mood::Wild && rng.chance(50);
        match early {
            true => Deed::Early,
            false if framing != Framing::Empty && rng.chance(200) => Deed::Duplex,
            false => Deed::Right,
        }
    }
}
