// SPDX-License-Identifier: Apache-2.0
//! Reading HTTP/1.1 messages piece by piece: just enough to know where each ends, and nothing that costs.
//!
//! Both ends of a test read with it. It is strict about what would make a figure wrong (status, length, chunk framing)
//! and blind to everything else. The messages come from proxies under test, so nothing here panics on any input.

use memchr::{memchr, memmem};

use crate::failure::Failure;

/// Which side's messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Requests: without a length there is no body.
    Request,
    /// Responses: without a length the body lasts until the connection ends.
    Response,
}

/// What the head of the last message said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Status code of a response, zero for a request.
    pub status: u16,
    /// Method of a request.
    pub method: Vec<u8>,
    /// Target of a request.
    pub target: Vec<u8>,
    /// `Connection: close` was there.
    pub closes: bool,
    /// The body came in chunks.
    pub chunked: bool,
}

/// How far one call to [`Reader::feed`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All input is used and the message goes on.
    More,
    /// The message ended after this many bytes of the input.
    Done(usize),
}

/// Reads one message after another from the pieces in which they arrive.
#[derive(Debug)]
pub struct Reader {
    role: Role,
    state: State,
    /// A head or line of framing that ended in the middle of a piece.
    partial: Vec<u8>,
    head: Head,
    body_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In front of, or within, a head.
    Head,
    /// This many bytes of a body of known length are missing.
    Length(u64),
    /// Until the connection ends.
    UntilClose,
    /// In a line with the size of a chunk.
    ChunkSize,
    /// This many bytes of a chunk are missing.
    Chunk(u64),
    /// In the line end after a chunk.
    ChunkEnd,
    /// In the trailer section.
    Trailer,
}

enum Body {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Reader {
    /// A reader in front of its first message.
    pub fn new(role: Role) -> Reader {
        Reader { role, state: State::Head, partial: Vec::new(), head: Head::default(), body_bytes: 0 }
    }

    /// The last head that was read.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Bytes of the body of the current or just finished message, without framing.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// True between messages, where an end of the connection is no error.
    pub fn is_between(&self) -> bool {
        self.state == State::Head && self.partial.is_empty()
    }

    /// True where the end of the connection ends the message truthfully.
    pub fn ends_with_connection(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Reads `input`; `body` sees each piece of the body. Input after the end of the message is left alone.
    pub fn feed(&mut self, input: &[u8], body: &mut impl FnMut(&[u8])) -> Result<Progress, Failure> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            match self.state {
                State::Head => {
                    if self.is_between() {
                        self.body_bytes = 0;
                    }
                    let Some(used) = self.feed_head(rest)? else { return Ok(Progress::More) };
                    at += used;
                    if self.state == State::Head && self.role_is_done() {
                        return Ok(Progress::Done(at));
                    }
                }
                State::Length(missing) | State::Chunk(missing) => {
                    if rest.is_empty() {
                        return Ok(Progress::More);
                    }
                    let taken = rest.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
                    let (piece, _) = rest.split_at(taken);
                    body(piece);
                    at += taken;
                    self.body_bytes += taken as u64;
                    if self.pass_body(missing - taken as u64) {
                        return Ok(Progress::Done(at));
                    }
                }
                State::UntilClose => {
                    body(rest);
                    self.body_bytes += rest.len() as u64;
                    return Ok(Progress::More);
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => {
                    let Some(used) = self.feed_line(rest)? else { return Ok(Progress::More) };
                    at += used;
                    if self.state == State::Head {
                        return Ok(Progress::Done(at));
                    }
                }
            }
        }
    }

    /// A head without a body ends the message, unless it is an interim response.
    fn role_is_done(&self) -> bool {
        self.role == Role::Request || self.head.status >= 200
    }

    /// Goes on after a piece of a body; true where the message is complete.
    fn pass_body(&mut self, missing: u64) -> bool {
        let in_chunk = matches!(self.state, State::Chunk(_));
        self.state = match (in_chunk, missing) {
            (true, 0) => State::ChunkEnd,
            (true, missing) => State::Chunk(missing),
            (false, 0) => State::Head,
            (false, missing) => State::Length(missing),
        };
        self.state == State::Head
    }

    /// Reads up to the end of a head; `None` where it goes on after `input`.
    fn feed_head(&mut self, input: &[u8]) -> Result<Option<usize>, Failure> {
        if self.partial.is_empty() {
            let Some(end) = memmem::find(input, b"\r\n\r\n") else {
                self.keep(input, HEAD_BYTES_MAX)?;
                return Ok(None);
            };
            self.take_head(input.get(..end + 2).unwrap_or_default())?;
            return Ok(Some(end + 4));
        }
        let before = self.partial.len();
        self.keep(input, HEAD_BYTES_MAX)?;
        // The blank line may have begun in the bytes kept from earlier pieces.
        let from = before.saturating_sub(3);
        let Some(end) = memmem::find(self.partial.get(from..).unwrap_or_default(), b"\r\n\r\n") else {
            return Ok(None);
        };
        let end = from + end;
        let mut whole = std::mem::take(&mut self.partial);
        whole.truncate(end + 2);
        self.take_head(&whole)?;
        whole.clear();
        self.partial = whole;
        Ok(Some(end + 4 - before))
    }

    /// Reads one line of chunk framing; `None` where it goes on after `input`.
    fn feed_line(&mut self, input: &[u8]) -> Result<Option<usize>, Failure> {
        let Some(end) = memchr(b'\n', input) else {
            self.keep(input, LINE_BYTES_MAX)?;
            return Ok(None);
        };
        let piece = input.get(..=end).unwrap_or_default();
        if self.partial.is_empty() {
            self.take_line(piece)?;
        } else {
            self.keep(piece, LINE_BYTES_MAX)?;
            let mut whole = std::mem::take(&mut self.partial);
            self.take_line(&whole)?;
            whole.clear();
            self.partial = whole;
        }
        Ok(Some(end + 1))
    }

    fn keep(&mut self, piece: &[u8], limit: usize) -> Result<(), Failure> {
        if self.partial.len() + piece.len() > limit + PIECE_BYTES_MAX {
            return Err(Failure::new("a head or a line of chunk framing does not end"));
        }
        self.partial.extend_from_slice(piece);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(malformed("a line of chunk framing ends without CR", line));
        };
        self.state = match self.state {
            State::ChunkSize => match chunk_size(line)? {
                0 => State::Trailer,
                size => State::Chunk(size),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::ChunkEnd => return Err(malformed("bytes after the end of a chunk", line)),
            State::Trailer if line.is_empty() => State::Head,
            State::Trailer => State::Trailer,
            state @ (State::Head | State::Length(_) | State::Chunk(_) | State::UntilClose) => state,
        };
        Ok(())
    }

    /// Takes the head without its blank line, and decides how the body ends.
    fn take_head(&mut self, head: &[u8]) -> Result<(), Failure> {
        let mut lines = Lines { rest: head };
        let start = lines.next().unwrap_or_default();
        self.take_start(start)?;
        self.head.closes = false;
        let (mut length, mut chunked) = (None, false);
        for line in lines {
            // The three fields that matter have names of 10, 14 and 17 letters.
            match memchr(b':', line) {
                Some(10) if is_named(line, b"connection") => {
                    self.head.closes = value(line, 10).eq_ignore_ascii_case(b"close");
                }
                Some(14) if is_named(line, b"content-length") => length = Some(decimal(value(line, 14))?),
                Some(17) if is_named(line, b"transfer-encoding") => {
                    if !value(line, 17).eq_ignore_ascii_case(b"chunked") {
                        return Err(malformed("an unknown transfer coding", line));
                    }
                    chunked = true;
                }
                Some(_) => {}
                None => return Err(malformed("a field line without a colon", line)),
            }
        }
        self.head.chunked = chunked;
        self.state = match self.body(length)? {
            Body::None | Body::Length(0) => State::Head,
            Body::Length(bytes) => State::Length(bytes),
            Body::Chunked => State::ChunkSize,
            Body::UntilClose => State::UntilClose,
        };
        Ok(())
    }

    /// How the body ends, once it is known whether it is chunked.
    fn body(&self, length: Option<u64>) -> Result<Body, Failure> {
        if self.role == Role::Response && (self.head.status < 200 || matches!(self.head.status, 204 | 304)) {
            return Ok(Body::None);
        }
        match (self.head.chunked, length, self.role) {
            (true, Some(_), _) => Err(Failure::new("a message with both Content-Length and Transfer-Encoding")),
            (true, None, _) => Ok(Body::Chunked),
            (false, Some(bytes), _) => Ok(Body::Length(bytes)),
            (false, None, Role::Request) => Ok(Body::None),
            (false, None, Role::Response) => Ok(Body::UntilClose),
        }
    }

    fn take_start(&mut self, line: &[u8]) -> Result<(), Failure> {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let first = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        match self.role {
            Role::Response => {
                let status = decimal(second).ok().and_then(|status| u16::try_from(status).ok());
                let known = first.starts_with(b"HTTP/1.") && second.len() == 3;
                let Some(status) = status.filter(|_| known) else {
                    return Err(malformed("not a status line", line));
                };
                self.head.status = status;
            }
            Role::Request => {
                if !words.next().is_some_and(|version| version.starts_with(b"HTTP/1.")) {
                    return Err(malformed("not a request line", line));
                }
                self.head.method.clear();
                self.head.method.extend_from_slice(first);
                self.head.target.clear();
                self.head.target.extend_from_slice(second);
            }
        }
        Ok(())
    }
}

/// The lines of a head, each without its line end.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let line = self.rest.get(..end).unwrap_or_default();
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn is_named(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

fn value(line: &[u8], colon: usize) -> &[u8] {
    line.get(colon + 1..).unwrap_or_default().trim_ascii()
}

fn decimal(digits: &[u8]) -> Result<u64, Failure> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| malformed("not a number", digits))
}

fn chunk_size(line: &[u8]) -> Result<u64, Failure> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or_else(|| malformed("not a chunk size", line))
}

fn malformed(what: &str, line: &[u8]) -> Failure {
    let shown = line.get(..line.len().min(80)).unwrap_or_default();
    Failure(format!("{what}: {:?}", String::from_utf8_lossy(shown)))
}

/// No proxy under test sends a longer head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Nor a longer line of chunk framing.
const LINE_BYTES_MAX: usize = 4 << 10;

/// Heads are searched after a piece was kept, so one piece may come on top of the limit: the size of the read buffers.
const PIECE_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests;
