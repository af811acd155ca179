// SPDX-License-Identifier: Apache-2.0
//! Hot. Chunked coding (RFC 9112 section 7.1), decoded and encoded.
//!
//! Strict: a size is 1 to 16 hexadecimal digits and nothing else, lines end in CRLF, extensions follow their grammar
//! without whitespace and are capped for each chunk and for the body, the trailer section follows the grammar of
//! fields. Spaces behind a size may be tolerated in a response; they count as extensions.
//!
//! ```text
//! Size ─► (Extension… ─►) SizeLf ─► Data ─► DataCr ─► DataLf ─► Size
//!                           │ size 0
//!                           └─► LineStart ─► Name ─► Value ─► ValueLf ─► LineStart
//!                                   └─► EndLf ─► End
//! ```

use crate::base::Cause;
use crate::base::ascii::{self, FIELD_VALUE, TOKEN};
use crate::base::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_EXTENSIONS_BYTES_MAX, TRAILER_BYTES_MAX};

/// What ends a chunked body without trailers.
#[cfg(test)]
pub const END: &[u8] = b"0\r\n\r\n";

/// Appends the size line of a chunk of `len` bytes, which must not be zero: that would end the body. The chunk's bytes
/// and a CRLF follow it.
#[cfg(any(test, feature = "fuzz"))]
pub fn write_header(len: u64, out: &mut Vec<u8>) {
    debug_assert!(len > 0);
    ascii::push_hex(out, len);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a body with `trailers`, which are field lines with their CRLF, without the empty line.
#[cfg(any(test, feature = "fuzz"))]
pub fn write_end(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

/// What the next bytes of a chunked body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// This many bytes of size lines and line ends.
    Overhead(usize),
    /// This many bytes of payload.
    Data(usize),
    /// This many bytes of trailer field lines.
    Trailer(usize),
    /// This many bytes, and the body is complete.
    End(usize),
}

/// Not chunked coding, or above a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size, before or behind a digit.
    Size,
    Extension(Extension),
    /// In spaces behind a size, which are tolerated.
    SizeSpace,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer(Trailer),
    End,
}

/// Behind the `;` of a size line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// A name must start.
    Start,
    Name,
    /// Behind `=`: a token or a quoted string must start.
    ValueStart,
    Token,
    Quoted,
    /// Behind a backslash in a quoted string.
    QuotedPair,
    /// Behind a quoted string.
    QuotedEnd,
}

/// Behind the last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trailer {
    /// At the start of a field line, or of the empty line.
    LineStart,
    Name,
    Value,
    ValueLf,
    EndLf,
}

/// Where decoding stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder {
    state: State,
    digits: u8,
    /// Of the current chunk; counts down in `Data`.
    left: u64,
    extension: u32,
    extensions: u32,
    trailer: u32,
    spaces: Spaces,
}

/// Spaces and tabs behind the size of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spaces {
    Refused,
    Accepted,
    /// Accepted, and there were some.
    Seen,
}

impl Decoder {
    pub(super) const fn new(spaces: Spaces) -> Decoder {
        Decoder { state: State::Size, digits: 0, left: 0, extension: 0, extensions: 0, trailer: 0, spaces }
    }

    /// Were there spaces behind a size?
    pub(super) const fn saw_spaces(&self) -> bool {
        matches!(self.spaces, Spaces::Seen)
    }

    /// What the byte was to be that `next` refused: a refusal leaves the state as it was before that byte.
    pub(super) const fn refused_at(&self) -> Cause {
        match self.state {
            State::Size | State::SizeSpace | State::SizeLf => Cause::ChunkSize,
            State::Extension(_) => Cause::ChunkExtension,
            State::Data | State::DataCr | State::DataLf => Cause::ChunkEnd,
            State::Trailer(_) | State::End => Cause::ChunkTrailers,
        }
    }

    /// Reads a piece from the front of `bytes`, which must not be empty. Only `End` may be a piece of no bytes.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Piece, Malformed> {
        match self.state {
            State::Data => {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= count as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                Ok(Piece::Data(count))
            }
            State::Trailer(state) => self.trailer(state, bytes),
            State::End => Ok(Piece::End(0)),
            State::Size | State::SizeSpace | State::Extension(_) | State::SizeLf | State::DataCr | State::DataLf => {
                self.overhead(bytes)
            }
        }
    }

    /// Reads line ends and size lines up to payload or trailer section.
    fn overhead(&mut self, bytes: &[u8]) -> Result<Piece, Malformed> {
        for (at, byte) in bytes.iter().enumerate() {
            self.state = match (self.state, *byte) {
                (State::Size, byte) => self.size(byte)?,
                (State::SizeSpace, byte) => self.behind_size(byte)?,
                (State::Extension(state), byte) => {
                    self.count_extension()?;
                    extension(state, byte)?
                }
                (State::SizeLf, b'\n') if self.left > 0 => State::Data,
                (State::SizeLf, b'\n') => State::Trailer(Trailer::LineStart),
                (State::DataCr, b'\r') => State::DataLf,
                (State::DataLf, b'\n') => {
                    self.digits = 0;
                    self.extension = 0;
                    State::Size
                }
                (State::SizeLf | State::DataCr | State::DataLf, _) => return Err(Malformed),
                (State::Data | State::Trailer(_) | State::End, _) => return Ok(Piece::Overhead(at)),
            };
        }
        Ok(Piece::Overhead(bytes.len()))
    }

    fn size(&mut self, byte: u8) -> Result<State, Malformed> {
        if let Some(digit) = ascii::hex_digit(byte) {
            if self.digits == 16 {
                return Err(Malformed);
            }
            self.left = if self.digits == 0 { 0 } else { self.left << 4 } | u64::from(digit);
            self.digits += 1;
            return Ok(State::Size);
        }
        // Other parsers keep sizes in 63 bits.
        if self.digits == 0 || self.left > i64::MAX as u64 {
            return Err(Malformed);
        }
        self.behind_size(byte)
    }

    fn behind_size(&mut self, byte: u8) -> Result<State, Malformed> {
        match byte {
            b'\r' => Ok(State::SizeLf),
            b';' => {
                self.count_extension()?;
                Ok(State::Extension(Extension::Start))
            }
            b' ' | b'\t' if self.spaces != Spaces::Refused => {
                self.spaces = Spaces::Seen;
                self.count_extension()?;
                Ok(State::SizeSpace)
            }
            _ => Err(Malformed),
        }
    }

    fn count_extension(&mut self) -> Result<(), Malformed> {
        self.extension += 1;
        self.extensions += 1;
        let within = self.extension as usize <= CHUNK_EXTENSION_BYTES_MAX
            && self.extensions as usize <= CHUNK_EXTENSIONS_BYTES_MAX;
        if within { Ok(()) } else { Err(Malformed) }
    }

    /// Reads trailer lines, up to the end of the body.
    fn trailer(&mut self, mut state: Trailer, bytes: &[u8]) -> Result<Piece, Malformed> {
        for (at, byte) in bytes.iter().enumerate() {
            state = match (state, *byte) {
                (Trailer::LineStart, b'\r') if at > 0 => {
                    // The empty line is a piece of its own: it is not part of the trailers.
                    self.state = State::Trailer(Trailer::LineStart);
                    return Ok(Piece::Trailer(at));
                }
                (Trailer::LineStart, b'\r') => Trailer::EndLf,
                (Trailer::EndLf, b'\n') => {
                    self.state = State::End;
                    return Ok(Piece::End(at + 1));
                }
                (Trailer::LineStart | Trailer::Name, byte) if TOKEN[usize::from(byte)] => Trailer::Name,
                (Trailer::Name, b':') => Trailer::Value,
                (Trailer::Value, b'\r') => Trailer::ValueLf,
                (Trailer::Value, byte) if FIELD_VALUE[usize::from(byte)] => Trailer::Value,
                (Trailer::ValueLf, b'\n') => Trailer::LineStart,
                (Trailer::LineStart | Trailer::Name | Trailer::Value | Trailer::ValueLf | Trailer::EndLf, _) => {
                    return Err(Malformed);
                }
            };
            self.trailer += 1;
            if self.trailer as usize > TRAILER_BYTES_MAX {
                return Err(Malformed);
            }
        }
        self.state = State::Trailer(state);
        let all = bytes.len();
        Ok(if state == Trailer::EndLf { Piece::Overhead(all) } else { Piece::Trailer(all) })
    }
}

/// `*( ";" token [ "=" ( token / quoted-string ) ] )`: the state behind `byte`.
fn extension(state: Extension, byte: u8) -> Result<State, Malformed> {
    let token = TOKEN[usize::from(byte)];
    let next = match state {
        Extension::Start if token => Extension::Name,
        Extension::Name if byte == b'=' => Extension::ValueStart,
        Extension::Name if token => Extension::Name,
        Extension::ValueStart if byte == b'"' => Extension::Quoted,
        Extension::ValueStart | Extension::Token if token => Extension::Token,
        Extension::Quoted if byte == b'"' => Extension::QuotedEnd,
        Extension::Quoted if byte == b'\\' => Extension::QuotedPair,
        Extension::Quoted | Extension::QuotedPair if FIELD_VALUE[usize::from(byte)] => Extension::Quoted,
        Extension::Name | Extension::Token | Extension::QuotedEnd if byte == b';' => Extension::Start,
        Extension::Name | Extension::Token | Extension::QuotedEnd if byte == b'\r' => return Ok(State::SizeLf),
        Extension::Start
        | Extension::Name
        | Extension::ValueStart
        | Extension::Token
        | Extension::Quoted
        | Extension::QuotedPair
        | Extension::QuotedEnd => return Err(Malformed),
    };
    Ok(State::Extension(next))
}
