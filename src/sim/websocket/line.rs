// SPDX-License-Identifier: Apache-2.0
//! The byte stream under a WebSocket at one end: an HTTP/1.1 connection or an HTTP/2 stream.

use std::rc::Rc;

use crate::base::Rng;
use crate::net::Stream;
use crate::sim::h2::peer::{News, Peer};
use crate::sim::talk::{Listen, Speak, Trouble};
use crate::wire::h2::connection::Ending;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::stream::Key;

/// Where an end writes.
pub(super) enum Mouth {
    /// On a connection.
    One(Speak),
    /// On a stream.
    Two(Rc<Peer>, Key),
}

impl Mouth {
    /// Sends `bytes` in pieces and calls `sent` after each.
    pub(super) async fn say(&mut self, bytes: &[u8], rng: &mut Rng, sent: &impl Fn()) -> Result<(), Trouble> {
        let mut rest = bytes;
        let most = [7, 1_000, 30_000][rng.below(3) as usize].max(bytes.len() as u64 / 50);
        while !rest.is_empty() {
            let count = (1 + rng.below(most) as usize).min(rest.len());
            match self {
                Mouth::One(speak) => speak.say(&rest[..count]).await?,
                Mouth::Two(peer, key) => peer.send(*key, &rest[..count], Ending::More).await?,
            }
            rest = &rest[count..];
            sent();
        }
        Ok(())
    }

    /// Ends the direction.
    pub(super) async fn end(&mut self) -> Result<(), Trouble> {
        match self {
            Mouth::One(speak) => speak.stream().finish(),
            Mouth::Two(peer, key) if peer.is_over(*key) => {}
            Mouth::Two(peer, key) => peer.send(*key, &[], Ending::Last).await?,
        }
        Ok(())
    }

    /// Breaks off.
    pub(super) fn reset(&self) {
        match self {
            Mouth::One(speak) => speak.stream().abort(),
            Mouth::Two(peer, key) => peer.reset(*key, ErrorCode::Cancel),
        }
    }
}

/// Where an end reads.
pub(super) enum Ear {
    /// On a connection.
    One(Listen),
    /// On a stream.
    Two(Rc<Peer>, Key),
}

impl Ear {
    /// The next bytes; `None` at the end.
    pub(super) async fn hear(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        match self {
            Ear::One(listen) => {
                let more = !listen.behind().is_empty() || listen.more().await?;
                Ok(more.then(|| listen.take_behind()))
            }
            Ear::Two(peer, key) => match peer.hear(*key).await? {
                News::Data(bytes) => {
                    peer.release(*key, bytes.len());
                    Ok(Some(bytes))
                }
                News::End(trailers) if trailers.is_empty() => Ok(None),
                News::End(_) => Err(Trouble::Malformed("trailers behind a WebSocket".to_owned())),
                News::Reset(ErrorCode::Protocol) => Err(Trouble::Malformed("PROTOCOL_ERROR".to_owned())),
                News::Reset(_) => Err(Trouble::Reset),
                News::Lost => Err(Trouble::Cut),
                News::Head(..) | News::Interim(_) => Err(Trouble::Malformed("a head within a WebSocket".to_owned())),
            },
        }
    }
}
