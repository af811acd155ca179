// SPDX-License-Identifier: Apache-2.0
//! Sending a tagged body, in any framing, whole or up to a point.

use crate::base::Rng;
use crate::sim::message_io::{ConversationError, Framing, HttpWriter};
use crate::sim::tag::Tag;

/// A body to send.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// Whose it is.
    pub tag: Tag,
    /// Its length.
    pub length: u64,
    /// Where to stop; `length` for all of it.
    pub end: u64,
    /// How it is delimited.
    pub framing: Framing,
    /// Trailers behind a chunked body.
    pub trailers: bool,
}

/// Sends it, telling `sent` after each piece how many bytes of it are on their way.
pub(super) async fn send(
    speak: &mut HttpWriter,
    outgoing: &Outgoing,
    rng: &mut Rng,
    sent: &mut impl FnMut(u64),
) -> Result<(), ConversationError> {
    let chunked = outgoing.framing == Framing::Chunked;
    let mut at = 0;
    while at < outgoing.end {
        let count = (1 + rng.below(PIECE_MAX)).min(outgoing.end - at);
        let mut piece = Vec::new();
        if chunked {
            let extension = if rng.chance(100) { ";note=\"a;b\"" } else { "" };
            piece.extend_from_slice(format!("{count:x}{extension}\r\n").as_bytes());
        }
        let from = piece.len();
        piece.resize(from + count as usize, 0);
        outgoing.tag.fill(at, &mut piece[from..]);
        if chunked {
            piece.extend_from_slice(b"\r\n");
        }
        speak.say(&piece).await?;
        at += count;
        sent(at);
    }
    if chunked && outgoing.end == outgoing.length {
        let trailers = if outgoing.trailers { "X-Trailer: here\r\n" } else { "" };
        speak.say(format!("0\r\n{trailers}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// Bytes of one chunk, or of one piece of a plain body, at most.
const PIECE_MAX: u64 = 12_000;
