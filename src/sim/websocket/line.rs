// SPDX-License-Identifier: Apache-2.0
//! The byte stream under a WebSocket at one end: an HTTP/1.1 connection or an HTTP/2 stream.

use std::rc::Rc;

use crate::base::Rng;
use crate::net::Stream;
use crate::sim::h2::peer::{Peer, StreamEvent};
use crate::sim::message_io::{ConversationError, HttpReader, HttpWriter};
use crate::wire::h2::connection::Ending;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::stream::Key;

/// Where an end writes.
pub(super) enum FrameWriter {
    /// On a connection.
    One(HttpWriter),
    /// On a stream.
    Two(Rc<Peer>, Key),
}

impl FrameWriter {
    /// Sends `bytes` in pieces and calls `sent` after each.
    pub(super) async fn write(
        &mut self,
        bytes: &[u8],
        rng: &mut Rng,
        sent: &impl Fn(),
    ) -> Result<(), ConversationError> {
        let mut rest = bytes;
        let most = [7, 1_000, 30_000][rng.below(3) as usize].max(bytes.len() as u64 / 50);
        while !rest.is_empty() {
            let count = (1 + rng.below(most) as usize).min(rest.len());
            match self {
                FrameWriter::One(speak) => speak.say(&rest[..count]).await?,
                FrameWriter::Two(peer, key) => peer.send(*key, &rest[..count], Ending::More).await?,
            }
            rest = &rest[count..];
            sent();
        }
        Ok(())
    }

    /// Ends the direction.
    pub(super) async fn end(&mut self) -> Result<(), ConversationError> {
        match self {
            FrameWriter::One(speak) => speak.stream().finish(),
            FrameWriter::Two(peer, key) if peer.is_over(*key) => {}
            FrameWriter::Two(peer, key) => peer.send(*key, &[], Ending::Last).await?,
        }
        Ok(())
    }

    /// Breaks off.
    pub(super) fn reset(&self) {
        match self {
            FrameWriter::One(speak) => speak.stream().abort(),
            FrameWriter::Two(peer, key) => peer.reset(*key, ErrorCode::Cancel),
        }
    }
}

/// Where an end reads.
pub(super) enum FrameReader {
    /// On a connection.
    One(HttpReader),
    /// On a stream.
    Two(Rc<Peer>, Key),
}

impl FrameReader {
    /// The next bytes; `None` at the end.
    pub(super) async fn read(&mut self) -> Result<Option<Vec<u8>>, ConversationError> {
        match self {
            FrameReader::One(listen) => {
                let more = !listen.behind().is_empty() || listen.more().await?;
                Ok(more.then(|| listen.take_behind()))
            }
            FrameReader::Two(peer, key) => match peer.hear(*key).await? {
                StreamEvent::Data(bytes) => {
                    peer.release(*key, bytes.len());
                    Ok(Some(bytes))
                }
                StreamEvent::End(trailers) if trailers.is_empty() => Ok(None),
                StreamEvent::End(_) => Err(ConversationError::Malformed("trailers behind a WebSocket".to_owned())),
                StreamEvent::Reset(ErrorCode::Protocol) => {
                    Err(ConversationError::Malformed("PROTOCOL_ERROR".to_owned()))
                }
                StreamEvent::Reset(_) => Err(ConversationError::Reset),
                StreamEvent::Lost => Err(ConversationError::Cut),
                StreamEvent::Head(..) | StreamEvent::Interim(_) => {
                    Err(ConversationError::Malformed("a head within a WebSocket".to_owned()))
                }
            },
        }
    }
}
