//! WebSockets through the gateway: clients and origins of both versions talk in frames, every byte of which is known
//! beforehand to the one who reads it.
//!
//! Frames are written and read here without the gateway's own codec. What passes must be the same frames in the same
//! order; between two of them, and nowhere else, the gateway may put a ping of its own or a farewell for which it has
//! a reason.

mod book;
pub mod client;
mod end;
mod frames;
mod limits;
mod line;
pub mod origin;
mod path;

pub use book::{Book, Demands, Log, Tally};
pub use limits::Limits;
pub use path::exchange_of;

/// Which end of a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one who opened it.
    Client,
    /// The one who took it.
    Origin,
}

impl Side {
    /// The end that hears what this one says.
    pub const fn other(self) -> Side {
        match self {
            Side::Client => Side::Origin,
            Side::Origin => Side::Client,
        }
    }
}
