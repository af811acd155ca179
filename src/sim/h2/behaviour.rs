// SPDX-License-Identifier: Apache-2.0
//! How an HTTP/2 origin behaves on one request.

use crate::base::Rng;
use crate::sim::message_io::Framing;
use crate::sim::mood::FaultLevel;
use crate::sim::scenario::Scenario;

/// What an origin does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
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

const MISDEEDS: [Behaviour; 12] = [
    Behaviour::EarlyReset,
    Behaviour::Reset,
    Behaviour::Reset,
    Behaviour::Reset,
    Behaviour::Close,
    Behaviour::Abort,
    Behaviour::Silent,
    Behaviour::BreakOff,
    Behaviour::Nonsense,
    Behaviour::Violation,
    Behaviour::Unavailable,
    Behaviour::Disown,
];

impl Behaviour {
    /// Draws the behaviour for a request whose body has this framing.
    pub(super) fn draw(scenario: &Scenario, framing: Framing, rng: &mut Rng) -> Behaviour {
        if rng.chance(scenario.misdeeds) {
            let behaviour = MISDEEDS[rng.below(MISDEEDS.len() as u64) as usize];
            // Without a gateway there is no timeout to end this.
            let needs_gateway =
                matches!(behaviour, Behaviour::Silent | Behaviour::Nonsense | Behaviour::Violation | Behaviour::Disown);
            return if needs_gateway && scenario.direct { Behaviour::Reset } else { behaviour };
        }
        let early = framing != Framing::Empty && scenario.mood == FaultLevel::Wild && rng.chance(50);
        match early {
            true => Behaviour::Early,
            false if framing != Framing::Empty && rng.chance(200) => Behaviour::Duplex,
            false => Behaviour::Right,
        }
    }
}
