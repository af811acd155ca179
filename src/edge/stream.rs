//! Hot. Bodies in motion: where portions come from and where they go, whatever the protocol version.
//!
//! A `Source` yields a message's body in raw form, a `Sink` takes it. `Form` says what the raw bytes are, so that two
//! ends with the same form pass bytes through untouched and only unlike ends recode.

use std::future::Future;

use crate::base::{Buf, Fault, Tick};
use crate::wire::head::BodyLength;

/// What the raw bytes of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Content bytes and nothing else.
    Plain,
    /// Content in the chunked coding of RFC 9112 section 7.1, with its extensions and trailers.
    Chunked,
}

impl Form {
    /// The form of an HTTP/1 body of that length.
    pub fn of(length: BodyLength) -> Form {
        match length {
            BodyLength::Chunked => Form::Chunked,
            BodyLength::None | BodyLength::Exact(_) | BodyLength::UntilClose => Form::Plain,
        }
    }
}

/// What one read of a body brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Content bytes among the raw bytes.
    pub content: u64,
    /// The body is complete.
    pub done: bool,
    /// The read filled all the room it was given: more is probably waiting.
    pub full: bool,
}

/// Yields the rest of a body.
pub trait Source {
    /// Appends the next raw bytes to `buf`. After `done` it must not be called again.
    fn read(&mut self, buf: Buf, until: Tick) -> impl Future<Output = (Result<Portion, Fault>, Buf)>;
    /// Makes a pending `read` return soon, as if the body had broken off.
    fn stop(&self);
}

/// Takes the rest of a body.
pub trait Sink {
    /// Sends the whole window of `buf`.
    fn write(&mut self, buf: Buf, until: Tick) -> impl Future<Output = (Result<(), Fault>, Buf)>;
}
