// SPDX-License-Identifier: Apache-2.0
//! WebSockets through the gateway, between clients and origins of both HTTP versions. The reader of a frame knows each
//! of its bytes beforehand.
//!
//! Frames are written and read without the gateway's codec. The same frames must arrive in the same order; only between
//! two of them may the gateway insert a ping, or a close frame for which it has a reason.

pub(super) mod client;
mod end;
mod frames;
mod ledger;
mod limits;
mod line;
pub(super) mod origin;
mod path;

pub(super) use ledger::{Counts, Expectations, Log, WebSocketLedger};
pub(super) use limits::Limits;
pub(super) use path::exchange_of;

/// An end of a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The client.
    Client,
    /// The server.
    Origin,
}

impl Side {
    /// The other end.
    pub(super) const fn other(self) -> Side {
        match self {
            Side::Client => Side::Origin,
            Side::Origin => Side::Client,
        }
    }
}
