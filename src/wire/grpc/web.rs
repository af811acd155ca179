// SPDX-License-Identifier: Apache-2.0
//! Hot. gRPC-Web to gRPC and back: the same messages, with the trailers as a last frame, as bytes or as base64 text.
//!
//! Both directions of a call use both coders: in front of a browser the request is decoded and the response encoded.
//! Bytes go in, bytes are appended to the caller's buffer; nothing is held back but what is less than a group of
//! base64 and the trailers themselves.

use crate::base::limits::TRAILER_BYTES_MAX;
use crate::wire::grpc::base64;
use crate::wire::grpc::media::Media;
use crate::wire::grpc::message::{Dialect, Offence, Part, Piece, Prefix, Scanner, TRAILERS};
use crate::wire::grpc::status;

/// How frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As they are.
    Binary,
    /// In base64.
    Text,
}

impl Coding {
    /// The coding of a kind of gRPC-Web; `None` for gRPC itself.
    pub(crate) const fn of(media: Media) -> Option<Coding> {
        match media {
            Media::Grpc => None,
            Media::Web => Some(Coding::Binary),
            Media::WebText => Some(Coding::Text),
        }
    }
}

/// May a body have trailers?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrailersFrame {
    /// No: a request.
    Refused,
    /// Yes: a response.
    #[cfg(any(test, feature = "fuzz"))]
    Taken,
}

/// gRPC-Web to gRPC.
#[derive(Debug)]
pub(crate) struct Decoder {
    scanner: Scanner,
    text: Option<base64::Decoder>,
    frame: TrailersFrame,
    bytes: Vec<u8>,
    trailers: Vec<u8>,
    /// Inside the trailers.
    in_trailers: bool,
}

impl Decoder {
    /// For a body whose messages have at most `bytes_max` bytes each.
    pub(crate) const fn new(coding: Coding, frame: TrailersFrame, bytes_max: u32) -> Decoder {
        Decoder {
            scanner: Scanner::new(Dialect::Web, bytes_max),
            text: match coding {
                Coding::Binary => None,
                Coding::Text => Some(base64::Decoder::new()),
            },
            frame,
            bytes: Vec::new(),
            trailers: Vec::new(),
            in_trailers: false,
        }
    }

    /// Appends what `input` holds of messages. After an error nothing of it may be passed on, and the body is over.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Offence> {
        let Some(text) = &mut self.text else { return self.frames(input, out) };
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let decoded = text.push(input, &mut bytes);
        // What came before a foreign character is looked at first, so that it does not matter how the text was split.
        let result = self.frames(&bytes, out).and(decoded);
        self.bytes = bytes;
        result
    }

    /// The body ended here. An error where it may not.
    pub(crate) fn finish(&self) -> Result<(), Offence> {
        if let Some(text) = &self.text {
            text.finish()?;
        }
        self.scanner.finish()
    }

    /// The trailers that came, as lines with CRLF that are fit to be passed on.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn frames(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Offence> {
        while let Some(Piece { raw, part, last }) = self.scanner.next(bytes)? {
            match part {
                Part::Prefix => {}
                Part::Start(prefix) if prefix.is_trailers() => self.start_trailers(prefix)?,
                Part::Start(prefix) => out.extend_from_slice(&prefix.bytes()),
                Part::Payload if self.in_trailers => self.trailers.extend_from_slice(&bytes[..raw]),
                Part::Payload => out.extend_from_slice(&bytes[..raw]),
            }
            if last && self.in_trailers {
                self.end_trailers()?;
            }
            bytes = &bytes[raw..];
        }
        Ok(())
    }

    fn start_trailers(&mut self, prefix: Prefix) -> Result<(), Offence> {
        // Compressed trailers are in no document.
        if self.frame == TrailersFrame::Refused || prefix.is_compressed() {
            return Err(Offence::Trailers);
        }
        if prefix.len as usize > TRAILER_BYTES_MAX {
            return Err(Offence::TooLarge);
        }
        self.in_trailers = true;
        Ok(())
    }

    /// Some servers leave out the last line's end.
    fn end_trailers(&mut self) -> Result<(), Offence> {
        if !self.trailers.is_empty() && !self.trailers.ends_with(b"\n") {
            self.trailers.extend_from_slice(b"\r\n");
        }
        if status::are_lines(&self.trailers) { Ok(()) } else { Err(Offence::Trailers) }
    }
}

/// gRPC to gRPC-Web.
#[derive(Debug)]
pub(crate) struct Encoder {
    scanner: Scanner,
    text: Option<base64::Encoder>,
}

impl Encoder {
    /// For a body whose messages have at most `bytes_max` bytes each.
    pub(crate) const fn new(coding: Coding, bytes_max: u32) -> Encoder {
        Encoder {
            scanner: Scanner::new(Dialect::Grpc, bytes_max),
            text: match coding {
                Coding::Binary => None,
                Coding::Text => Some(base64::Encoder::new()),
            },
        }
    }

    /// Appends `input` as it goes to the client. A message that ends is there to its last byte. After an error nothing
    /// of it may be passed on.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Offence> {
        let mut rest = input;
        let mut ended = 0;
        while let Some(piece) = self.scanner.next(rest)? {
            rest = &rest[piece.raw..];
            if piece.last {
                ended = input.len() - rest.len();
            }
        }
        let Some(text) = &mut self.text else {
            out.extend_from_slice(input);
            return Ok(());
        };
        let (whole, begun) = input.split_at(ended);
        text.push(whole, out);
        if !whole.is_empty() {
            text.flush(out);
        }
        text.push(begun, out);
        Ok(())
    }

    /// Does what was passed on so far end with a message?
    pub(crate) const fn is_between(&self) -> bool {
        self.scanner.is_between()
    }

    /// Appends the frame of trailers, from lines `name: value CRLF`, which ends the body. `Truncated` inside a message:
    /// the client would take the trailers for payload, so the body has to be broken off instead.
    pub(crate) fn trailers(&mut self, lines: &[u8], out: &mut Vec<u8>) -> Result<(), Offence> {
        self.scanner.finish()?;
        let prefix = Prefix { flags: TRAILERS, len: lines.len() as u32 };
        match &mut self.text {
            None => {
                out.extend_from_slice(&prefix.bytes());
                out.extend_from_slice(lines);
            }
            Some(text) => {
                text.push(&prefix.bytes(), out);
                text.push(lines, out);
                text.flush(out);
            }
        }
        Ok(())
    }
}

/// Appends the name and value of a trailer as a line, the name in lower case as gRPC-Web wants it.
pub(crate) fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
