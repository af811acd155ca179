// SPDX-License-Identifier: Apache-2.0
//! The slow parser of heads: follows the grammar byte by byte.
//!
//! It runs where the fast parser has not accepted a head, and finds out whether the head is incomplete or which fault
//! comes first, so that the result does not depend on how the bytes were split. Tests check that both parsers accept
//! the same heads.

use crate::base::ascii::{FIELD_VALUE, TOKEN};
use crate::base::limits::METHOD_BYTES_MAX;
use crate::wire::h1::{Caps, RawUtf8};

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offence {
    /// Not the grammar of RFC 9112.
    Syntax,
    /// The request line is above its cap.
    LongLine,
    /// The head has more bytes than its cap.
    LongHead,
    /// The head has more fields than their cap.
    ManyFields,
    /// Well written, but a major version other than 1.
    Version,
}

/// A head that follows the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Where the first line starts (behind one empty line that a client may send).
    pub start: usize,
    /// Where the first field line starts.
    pub fields: usize,
    /// Length of the head with its empty line.
    pub len: usize,
}

/// Reads a request's head. `None` where nothing is wrong so far but it is not complete.
pub(crate) fn request(bytes: &[u8], caps: &Caps) -> Result<Option<Reading>, Offence> {
    let mut reader = Reader { bytes, at: 0, head_bytes: caps.head_bytes, rule: "" };
    finish(reader.request(caps))
}

/// Which rule a request's head breaks, and at which byte. `None` where it follows the grammar so far.
pub(crate) fn broken(bytes: &[u8], caps: &Caps) -> Option<(&'static str, usize)> {
    let mut reader = Reader { bytes, at: 0, head_bytes: caps.head_bytes, rule: "" };
    let rule = match reader.request(caps) {
        Ok(_) | Err(Stop::End) => return None,
        Err(Stop::Wrong(Offence::Syntax)) => reader.rule,
        Err(Stop::Wrong(Offence::LongLine)) => "the request line is longer than the listener's limit",
        Err(Stop::Wrong(Offence::LongHead | Offence::ManyFields)) => {
            "the headers are larger or more than the listener's limits"
        }
        Err(Stop::Wrong(Offence::Version)) => "the major version is not 1 (RFC 9112 section 2.3)",
    };
    Some((rule, reader.at.saturating_sub(1)))
}

/// Reads a response's head, likewise.
pub(crate) fn response(bytes: &[u8], caps: &Caps) -> Result<Option<Reading>, Offence> {
    let mut reader = Reader { bytes, at: 0, head_bytes: caps.head_bytes, rule: "" };
    finish(reader.response(caps))
}

/// Which rule a response's head breaks by its grammar.
pub(crate) fn broken_response(bytes: &[u8], caps: &Caps) -> &'static str {
    let mut reader = Reader { bytes, at: 0, head_bytes: caps.head_bytes, rule: "" };
    // What is not complete, or too large, breaks no rule of the grammar; nobody asks for its rule.
    let _ = reader.response(caps);
    reader.rule
}

fn finish(outcome: Result<Reading, Stop>) -> Result<Option<Reading>, Offence> {
    match outcome {
        Ok(reading) => Ok(Some(reading)),
        Err(Stop::End) => Ok(None),
        Err(Stop::Wrong(offence)) => Err(offence),
    }
}

/// Why reading stopped.
enum Stop {
    /// The bytes came to an end.
    End,
    /// Something is wrong.
    Wrong(Offence),
}

const SYNTAX: Stop = Stop::Wrong(Offence::Syntax);

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    head_bytes: usize,
    /// What the grammar asks for at `at`.
    rule: &'static str,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<u8, Stop> {
        if self.at >= self.head_bytes {
            return Err(Stop::Wrong(Offence::LongHead));
        }
        let byte = *self.bytes.get(self.at).ok_or(Stop::End)?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, expected: u8) -> Result<(), Stop> {
        if self.next()? == expected { Ok(()) } else { Err(SYNTAX) }
    }

    fn digit(&mut self) -> Result<u8, Stop> {
        let byte = self.next()?;
        if byte.is_ascii_digit() { Ok(byte - b'0') } else { Err(SYNTAX) }
    }

    fn request(&mut self, caps: &Caps) -> Result<Reading, Stop> {
        self.rule = "one empty line may stand before the request line (RFC 9112 section 2.2)";
        if self.bytes.first() == Some(&b'\r') {
            self.expect(b'\r')?;
            self.expect(b'\n')?;
        }
        let start = self.at;
        self.head_bytes = caps.head_bytes + start;
        let line_end = start + caps.request_line_bytes;
        self.request_line(start, line_end, caps.raw_utf8)?;
        let fields = self.at;
        self.fields(caps.fields)?;
        Ok(Reading { start, fields, len: self.at })
    }

    /// `method SP request-target SP HTTP-version CRLF`
    fn request_line(&mut self, start: usize, line_end: usize, raw_utf8: RawUtf8) -> Result<(), Stop> {
        let encodes = raw_utf8 == RawUtf8::Encode;
        self.rule = "the method is a token of at most 32 bytes (RFC 9112 section 3.1)";
        loop {
            let byte = self.line_byte(line_end)?;
            let len = self.at - 1 - start;
            if byte == b' ' && len > 0 {
                break;
            }
            if !TOKEN[usize::from(byte)] || len >= METHOD_BYTES_MAX {
                return Err(SYNTAX);
            }
        }
        let target = self.at;
        self.rule = match encodes {
            true => "the request target holds only visible ASCII without `#` and valid UTF-8, between single spaces",
            false => {
                "the request target holds only visible ASCII without `#`, between single spaces (RFC 9112 section 3.2)"
            }
        };
        let mut raw = false;
        loop {
            let byte = self.line_byte(line_end)?;
            if byte == b' ' && self.at - 1 > target {
                break;
            }
            if !byte.is_ascii() && encodes {
                raw = true;
                continue;
            }
            if !(0x21..0x7F).contains(&byte) || byte == b'#' {
                return Err(SYNTAX);
            }
        }
        if raw && std::str::from_utf8(&self.bytes[target..self.at - 1]).is_err() {
            return Err(SYNTAX);
        }
        self.rule = "the version is `HTTP/1.1` or `HTTP/1.0` (RFC 9112 section 2.3)";
        for expected in *b"HTTP/" {
            if self.line_byte(line_end)? != expected {
                return Err(SYNTAX);
            }
        }
        let major = self.line_byte(line_end)?;
        let dot = self.line_byte(line_end)?;
        let minor = self.line_byte(line_end)?;
        if !major.is_ascii_digit() || dot != b'.' || !minor.is_ascii_digit() {
            return Err(SYNTAX);
        }
        if major != b'1' {
            return Err(Stop::Wrong(Offence::Version));
        }
        self.rule = "the request line ends with CRLF (RFC 9112 section 2.2)";
        self.expect(b'\r')?;
        self.expect(b'\n')
    }

    /// The next byte of the request line, which must start before `line_end`.
    fn line_byte(&mut self, line_end: usize) -> Result<u8, Stop> {
        let byte = self.next()?;
        if self.at > line_end { Err(Stop::Wrong(Offence::LongLine)) } else { Ok(byte) }
    }

    fn response(&mut self, caps: &Caps) -> Result<Reading, Stop> {
        self.rule = "the version is `HTTP/1.1` or `HTTP/1.0` (RFC 9112 section 2.3)";
        for expected in *b"HTTP/1." {
            self.expect(expected)?;
        }
        if self.digit()? > 1 {
            return Err(SYNTAX);
        }
        self.rule =
            "the status has three digits between single spaces, of which the first is not 0 (RFC 9112 section 4)";
        self.expect(b' ')?;
        if self.digit()? == 0 {
            return Err(SYNTAX);
        }
        self.digit()?;
        self.digit()?;
        // RFC 9112 section 4 wants a space even before an empty reason; origins leave it out, and nothing depends on
        // it.
        match self.next()? {
            b' ' => self.text()?,
            b'\r' => self.expect(b'\n')?,
            _ => return Err(SYNTAX),
        }
        let fields = self.at;
        self.fields(caps.fields)?;
        Ok(Reading { start: 0, fields, len: self.at })
    }

    /// `*field-line CRLF`, where `field-line = field-name ":" *field-value-byte CRLF`
    fn fields(&mut self, fields_max: usize) -> Result<(), Stop> {
        let mut count = 0;
        loop {
            self.rule = "a field name is a token, without space before the colon (RFC 9112 section 5.1)";
            let byte = self.next()?;
            if byte == b'\r' {
                self.rule = "the head ends with an empty line and CRLF (RFC 9112 section 2.2)";
                return self.expect(b'\n');
            }
            if !TOKEN[usize::from(byte)] {
                return Err(SYNTAX);
            }
            count += 1;
            if count > fields_max {
                return Err(Stop::Wrong(Offence::ManyFields));
            }
            loop {
                let byte = self.next()?;
                if byte == b':' {
                    break;
                }
                if !TOKEN[usize::from(byte)] {
                    return Err(SYNTAX);
                }
            }
            self.text()?;
        }
    }

    /// Anything a field value may hold, up to CRLF.
    fn text(&mut self) -> Result<(), Stop> {
        self.rule = "a field value holds no control characters and ends with CRLF (RFC 9110 section 5.5)";
        loop {
            let byte = self.next()?;
            if byte == b'\r' {
                return self.expect(b'\n');
            }
            if !FIELD_VALUE[usize::from(byte)] {
                return Err(SYNTAX);
            }
        }
    }
}

/// The field lines of a head that `request` or `response` accepted, split in the plainest way: at line ends and at the
/// first colon.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn field_lines(bytes: &[u8], reading: Reading) -> Vec<(&[u8], &[u8])> {
    let section = &bytes[reading.fields..reading.len - 2];
    let lines = section.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let split = |line: &'_ [u8]| line.iter().position(|byte| *byte == b':').expect("accepted lines have a colon");
    lines.map(|line| (&line[..split(line)], line[split(line) + 1..].trim_ascii())).collect()
}
