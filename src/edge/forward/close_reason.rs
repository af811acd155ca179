// SPDX-License-Identifier: Apache-2.0
//! Why the gateway ends a WebSocket, in its close frame (RFC 6455 section 7.4) and in logs.

use crate::wire::ws::frame::Sender;
use crate::wire::ws::own::Code;

/// Why the gateway ends a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The gateway stops.
    Drain,
    /// It has lived long enough.
    Lifetime,
    /// Neither end said anything.
    Idle,
    /// This end does not answer.
    Silent(Sender),
    /// This end says too much.
    Rate(Sender),
    /// This end's message is too large.
    Size(Sender),
    /// This end's frames break a rule.
    Rule(Sender),
}

impl CloseReason {
    /// Status code and reason for the end `to`. It learns nothing about what the other end did.
    pub(super) fn close_frame(self, to: Sender) -> (Code, &'static str) {
        match self {
            CloseReason::Drain => (Code::GoingAway, "the gateway stops"),
            CloseReason::Lifetime => (Code::GoingAway, "open for long enough"),
            CloseReason::Idle => (Code::GoingAway, "silent for too long"),
            CloseReason::Silent(end) if end == to => (Code::GoingAway, "no answer to a ping"),
            CloseReason::Rate(end) if end == to => (Code::Policy, "too many messages"),
            CloseReason::Size(end) if end == to => (Code::TooBig, "a message is too large"),
            CloseReason::Rule(end) if end == to => (Code::Protocol, "a frame breaks a rule"),
            CloseReason::Silent(_) | CloseReason::Rate(_) | CloseReason::Size(_) | CloseReason::Rule(_) => {
                (Code::GoingAway, "the other end was closed")
            }
        }
    }

    /// The name in logs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            CloseReason::Drain => "websocket_drained",
            CloseReason::Lifetime => "websocket_lifetime",
            CloseReason::Idle => "websocket_idle",
            CloseReason::Silent(_) => "websocket_silent",
            CloseReason::Rate(_) => "websocket_rate",
            CloseReason::Size(_) => "websocket_message_too_large",
            CloseReason::Rule(_) => "websocket_malformed",
        }
    }
}
