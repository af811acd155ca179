// SPDX-License-Identifier: Apache-2.0
//! The content of a response as a client takes it: decoded where the gateway coded it, and judged by what a coded
//! response must be.

use flate2::{Decompress, FlushDecompress, Status};

use crate::sim::ledger::{PlannedRequest, PlannedResponse};
use crate::sim::message_io::{ConversationError, Framing, Head};

/// Takes the content off a response.
pub(super) struct Content {
    /// `None` where the content came as it is.
    inflate: Option<Decompress>,
    /// How much there is, where that must be held against the end of the coding.
    length: Option<u64>,
    seen: u64,
    ended: bool,
}

impl Content {
    /// The content behind `head`, the response to `ask` that the origin made as `reply`; `None` for the gateway's own.
    pub(super) fn of(
        head: &Head,
        ask: &PlannedRequest,
        reply: Option<PlannedResponse>,
    ) -> Result<Content, ConversationError> {
        let wrong = |what: &str| Err(ConversationError::Malformed(format!("{what}: {head:?}")));
        let coded = match head.value("content-encoding")? {
            None => false,
            Some("gzip") => true,
            Some(_) => return wrong("a content coding that nobody has"),
        };
        if coded {
            let varies = head.value("vary")?.is_some_and(|names| names.contains("Accept-Encoding"));
            if !ask.accepts_gzip || ask.old || !varies {
                return wrong("a coding that was not asked for, or without `Vary`");
            }
            if head.value("content-length")?.is_some() || head.value("etag")?.is_some_and(|tag| !tag.starts_with("W/"))
            {
                return wrong("the length or the strong tag of other content");
            }
        }
        // An origin that ends a body by its connection can be killed, and nobody can tell.
        let length = reply.filter(|reply| reply.framing != Framing::Close).map(|reply| reply.length);
        Ok(Content { inflate: coded.then(|| Decompress::new_gzip(15)), length, seen: 0, ended: false })
    }

    /// Gives `take` what the next bytes hold.
    pub(super) fn take(
        &mut self,
        mut bytes: &[u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), ConversationError>,
    ) -> Result<(), ConversationError> {
        let Some(inflate) = &mut self.inflate else { return take(bytes) };
        while !bytes.is_empty() {
            if self.ended {
                return Err(ConversationError::Malformed("bytes behind the end of a coding".to_owned()));
            }
            let mut out = vec![0; 16 * 1024];
            let (read, written) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(bytes, &mut out, FlushDecompress::None);
            let status =
                status.map_err(|error| ConversationError::Malformed(format!("content that is no gzip: {error}")))?;
            bytes = &bytes[(inflate.total_in() - read) as usize..];
            let made = (inflate.total_out() - written) as usize;
            self.seen += made as u64;
            self.ended = status == Status::StreamEnd;
            if self.ended && self.length.is_some_and(|length| length != self.seen) {
                let what = format!("a whole coding of {} bytes, of a body of {:?}", self.seen, self.length);
                return Err(ConversationError::Malformed(what));
            }
            take(&out[..made])?;
        }
        Ok(())
    }

    /// The message ended as it should; did the coding? Says whether there was one.
    pub(super) fn finish(&self) -> Result<bool, ConversationError> {
        match self.inflate.is_some() && !self.ended {
            true => Err(ConversationError::Malformed("a whole message that holds a part of a coding".to_owned())),
            false => Ok(self.ended),
        }
    }
}
