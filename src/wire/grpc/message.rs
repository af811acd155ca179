// SPDX-License-Identifier: Apache-2.0
//! Hot. Messages in a gRPC body: each a flag byte, four bytes of length and the payload, in any split.
//!
//! The scanner counts and bounds; it neither keeps nor copies payload, so that a body can be checked while it passes.
//! A receiver that wants the payloads takes them from the pieces.
//!
//! ```text
//! Prefix (5 bytes) -> Payload (length bytes) -> Prefix ...      a message without payload has no Payload
//! ```

use crate::wire::grpc::status::Code;

/// Bytes before each payload.
pub(crate) const PREFIX_BYTES: usize = 5;
/// The flag bit of a compressed payload.
pub(crate) const COMPRESSED: u8 = 1;
/// The flag bit of gRPC-Web's trailers.
pub(crate) const TRAILERS: u8 = 0x80;

/// Which flags a body may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Messages only.
    Grpc,
    /// Messages, then at most one frame of trailers.
    Web,
}

/// Why a body is not a row of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offence {
    /// A flag byte that has no meaning.
    Flag,
    /// A message above the cap.
    TooLarge,
    /// The body ended inside a message.
    Truncated,
    /// Something came behind the trailers, or trailers where none may be.
    Trailers,
    /// Text that is not base64.
    Base64,
}

impl Offence {
    /// The status that the caller sees.
    pub(crate) const fn code(self) -> Code {
        match self {
            Offence::TooLarge => Code::ResourceExhausted,
            Offence::Flag | Offence::Truncated | Offence::Trailers | Offence::Base64 => Code::Internal,
        }
    }

    /// What the caller is told.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Offence::Flag => "a message has a flag that is not known",
            Offence::TooLarge => "a message is larger than allowed",
            Offence::Truncated => "the body ends inside a message",
            Offence::Trailers => "the body goes on behind its trailers, or has trailers that may not be there",
            Offence::Base64 => "the body is not base64",
        }
    }
}

/// A part of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Bytes of the input that it takes, at least one.
    pub raw: usize,
    /// What these bytes are.
    pub part: Part,
    /// They are the last ones of their message.
    pub last: bool,
}

/// What a piece is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A prefix that is not complete yet.
    Prefix,
    /// The end of a prefix.
    Start(Prefix),
    /// Payload.
    Payload,
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// The flag byte.
    pub flags: u8,
    /// Length of the payload.
    pub len: u32,
}

impl Prefix {
    /// Is the payload compressed?
    pub(crate) const fn is_compressed(self) -> bool {
        self.flags & COMPRESSED != 0
    }

    /// Is the payload gRPC-Web's trailers?
    pub(crate) const fn is_trailers(self) -> bool {
        self.flags & TRAILERS != 0
    }

    /// Reads the bytes of one.
    pub(crate) const fn read([flags, len @ ..]: [u8; PREFIX_BYTES]) -> Prefix {
        Prefix { flags, len: u32::from_be_bytes(len) }
    }

    /// Its bytes.
    pub(crate) const fn bytes(self) -> [u8; PREFIX_BYTES] {
        let len = self.len.to_be_bytes();
        [self.flags, len[0], len[1], len[2], len[3]]
    }
}

/// Where one body stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner {
    prefix: [u8; PREFIX_BYTES],
    have: u8,
    dialect: Dialect,
    /// Behind the trailers' prefix.
    ended: bool,
    /// Of the current payload.
    left: u32,
    most: u32,
    messages: u64,
}

impl Scanner {
    /// A body in this dialect whose messages have at most `bytes_max` bytes each.
    pub(crate) const fn new(dialect: Dialect, bytes_max: u32) -> Scanner {
        Scanner { prefix: [0; PREFIX_BYTES], have: 0, dialect, ended: false, left: 0, most: bytes_max, messages: 0 }
    }

    /// Complete messages so far, trailers not counted.
    pub(crate) const fn messages(&self) -> u64 {
        self.messages
    }

    /// Is it between two messages?
    pub(crate) const fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Reads a piece from the front of `bytes`; `None` where they are empty.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Option<Piece>, Offence> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.left > 0 {
            let raw = bytes.len().min(self.left as usize);
            self.left -= raw as u32;
            if self.left == 0 {
                self.count();
            }
            return Ok(Some(Piece { raw, part: Part::Payload, last: self.left == 0 }));
        }
        if self.ended {
            return Err(Offence::Trailers);
        }
        let have = usize::from(self.have);
        let raw = bytes.len().min(PREFIX_BYTES - have);
        self.prefix[have..have + raw].copy_from_slice(&bytes[..raw]);
        self.have += raw as u8;
        self.check_flags()?;
        if usize::from(self.have) < PREFIX_BYTES {
            return Ok(Some(Piece { raw, part: Part::Prefix, last: false }));
        }
        let prefix = self.start()?;
        Ok(Some(Piece { raw, part: Part::Start(prefix), last: prefix.len == 0 }))
    }

    /// Counts all of `bytes`. An error where they are no row of messages; none of them may then be passed on.
    pub(crate) fn advance(&mut self, mut bytes: &[u8]) -> Result<(), Offence> {
        while let Some(piece) = self.next(bytes)? {
            bytes = &bytes[piece.raw..];
        }
        Ok(())
    }

    /// The body ended here.
    pub(crate) const fn finish(&self) -> Result<(), Offence> {
        if self.is_between() { Ok(()) } else { Err(Offence::Truncated) }
    }

    const fn check_flags(&self) -> Result<(), Offence> {
        let known = match self.dialect {
            Dialect::Grpc => COMPRESSED,
            Dialect::Web => COMPRESSED | TRAILERS,
        };
        if self.prefix[0] & !known == 0 { Ok(()) } else { Err(Offence::Flag) }
    }

    fn start(&mut self) -> Result<Prefix, Offence> {
        let prefix = Prefix::read(self.prefix);
        if prefix.len > self.most {
            return Err(Offence::TooLarge);
        }
        self.have = 0;
        self.left = prefix.len;
        self.ended = prefix.is_trailers();
        if prefix.len == 0 {
            self.count();
        }
        Ok(prefix)
    }

    fn count(&mut self) {
        self.messages += u64::from(!self.ended);
    }
}

/// Appends a message with this payload, which must have less than 4 GiB. For tests: everybody else encodes in place.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn write(payload: &[u8], out: &mut Vec<u8>) {
    let at = begin(out);
    out.extend_from_slice(payload);
    end(at, out);
}

/// Appends an empty prefix, for a payload that is appended after it; `end` takes what is returned.
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    at
}

/// Fills in the prefix at `at` for what was appended since.
pub(crate) fn end(at: usize, out: &mut [u8]) {
    let len = (out.len() - at - PREFIX_BYTES) as u32;
    out[at..at + PREFIX_BYTES].copy_from_slice(&Prefix { flags: 0, len }.bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_any_split() {
        let mut body = Vec::new();
        for payload in [&b"abc"[..], b"", b"0123456789"] {
            write(payload, &mut body);
        }
        for step in 1..=body.len() {
            let mut scanner = Scanner::new(Dialect::Grpc, 10);
            let mut payload = Vec::new();
            let mut lasts = 0;
            for mut bytes in body.chunks(step) {
                while let Some(piece) = scanner.next(bytes).unwrap() {
                    if piece.part == Part::Payload {
                        payload.extend_from_slice(&bytes[..piece.raw]);
                    }
                    lasts += usize::from(piece.last);
                    bytes = &bytes[piece.raw..];
                }
            }
            assert_eq!((payload.as_slice(), lasts, scanner.messages()), (&b"abc0123456789"[..], 3, 3));
            assert_eq!(scanner.finish(), Ok(()));
        }
    }

    #[test]
    fn what_is_refused() {
        let verdict = |dialect, body: &[u8]| {
            let mut scanner = Scanner::new(dialect, 3);
            scanner.advance(body).and_then(|()| scanner.finish())
        };
        assert_eq!(verdict(Dialect::Grpc, &[2]), Err(Offence::Flag));
        assert_eq!(verdict(Dialect::Grpc, &[0x80]), Err(Offence::Flag));
        assert_eq!(verdict(Dialect::Grpc, &[1, 0, 0, 0, 1, 7]), Ok(()));
        assert_eq!(verdict(Dialect::Grpc, &[0, 0, 0, 0, 4]), Err(Offence::TooLarge));
        assert_eq!(verdict(Dialect::Grpc, &[0, 255, 255, 255, 255]), Err(Offence::TooLarge));
        assert_eq!(verdict(Dialect::Grpc, &[0, 0]), Err(Offence::Truncated));
        assert_eq!(verdict(Dialect::Grpc, &[0, 0, 0, 0, 2, 1]), Err(Offence::Truncated));
        assert_eq!(verdict(Dialect::Web, &[0x80, 0, 0, 0, 1, 1]), Ok(()));
        assert_eq!(verdict(Dialect::Web, &[0x80, 0, 0, 0, 1, 1, 0]), Err(Offence::Trailers));
        assert_eq!(Offence::TooLarge.code(), Code::ResourceExhausted);
    }
}
