// SPDX-License-Identifier: Apache-2.0
//! One end of an HTTP/1 connection of a test: reads and writes whole messages with the gateway's own codecs.

use std::io;

use crate::base::{Buf, FaultKind, Tick};
use crate::net::Stream;
use crate::trial::exchange::Line;
use crate::wire::h1::body::Body;
use crate::wire::head::Fields;

/// Most bytes of a body that a test looks at.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// One end.
pub(super) struct Connection<S> {
    stream: S,
    /// What was read and not used yet.
    pub held: Vec<u8>,
}

impl<S: Stream> Connection<S> {
    /// Of a stream from which nothing was read.
    pub(super) fn new(stream: S) -> Connection<S> {
        Connection { stream, held: Vec::new() }
    }

    /// Reads some more; false is the peer's end.
    pub(super) async fn more(&mut self) -> io::Result<bool> {
        let (read, buf) = self.stream.read(Buf::with_capacity(READ_BYTES), Tick::NEVER).await;
        self.held.extend_from_slice(buf.filled());
        Ok(read? > 0)
    }

    /// Writes all of it.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write(Buf::copied(bytes), Tick::NEVER).await.0
    }

    /// Reads a body to its end.
    pub(super) async fn body(&mut self, mut body: Body) -> Result<Vec<u8>, (Vec<u8>, FaultKind)> {
        let (mut content, mut trailers) = (Vec::new(), Vec::new());
        loop {
            let decoded = match body.decode(&mut self.held, &mut trailers) {
                Ok(decoded) => decoded,
                Err(fault) => return Err((content, fault)),
            };
            content.extend_from_slice(&self.held[decoded.start..decoded.start + decoded.kept]);
            self.held.drain(..decoded.consumed);
            if decoded.done {
                return Ok(content);
            }
            if content.len() > BODY_BYTES_MAX {
                return Err((content, FaultKind::BodyTooLarge));
            }
            if !matches!(self.more().await, Ok(true)) {
                return match body.finish() {
                    Ok(()) => Ok(content),
                    Err(fault) => Err((content, fault)),
                };
            }
        }
    }
}

/// Field lines of a head.
pub(super) fn lines(fields: &Fields, bytes: &[u8]) -> Vec<Line> {
    fields.list.iter().map(|field| (field.name.of(bytes).into(), field.value.of(bytes).into())).collect()
}
