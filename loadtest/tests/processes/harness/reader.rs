// SPDX-License-Identifier: Apache-2.0
//! Reads messages from a stream, piece by piece, and says exactly how reading ended.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use memchr::memmem;

use super::message::{End, Fields, Request, Response};
use super::strict::{self, Framing};

/// Why there is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The other side closed between two messages.
    Closed,
    /// It closed or reset within one; what had come.
    Cut(String),
    /// Nothing came in time; what had come.
    TimedOut(String),
    /// What came is not HTTP.
    Malformed(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Closed => out.write_str("closed before a message"),
            Trouble::Cut(had) => write!(out, "cut off within a message, behind {had:?}"),
            Trouble::TimedOut(had) => write!(out, "nothing came in time, behind {had:?}"),
            Trouble::Malformed(reason) => write!(out, "not HTTP: {reason}"),
        }
    }
}

/// What was read and not yet taken.
#[derive(Debug, Default)]
pub struct Reader {
    pub buffer: Vec<u8>,
}

impl Reader {
    /// Reads once; zero is the end.
    pub fn fill(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        let mut piece = [0; 64 * 1024];
        loop {
            match stream.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn more(&mut self, stream: &mut impl Read) -> Result<(), Trouble> {
        match self.fill(stream) {
            Ok(0) if self.buffer.is_empty() => Err(Trouble::Closed),
            Ok(0) => Err(Trouble::Cut(self.had())),
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(Trouble::TimedOut(self.had()))
            }
            Err(error) => Err(Trouble::Cut(format!("{} ({error})", self.had()))),
        }
    }

    fn had(&self) -> String {
        String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(200)]).into_owned()
    }

    fn head(&mut self, stream: &mut impl Read) -> Result<Vec<u8>, Trouble> {
        loop {
            if let Some(end) = strict::end_of_head(&self.buffer) {
                return Ok(self.buffer.drain(..end).collect());
            }
            self.more(stream)?;
        }
    }

    /// A request's head only.
    pub fn request_head(&mut self, stream: &mut impl Read) -> Result<Request, Trouble> {
        let head = self.head(stream)?;
        strict::request(&head).map_err(Trouble::Malformed)
    }

    /// The body that belongs to a request's head.
    pub fn request_body(&mut self, stream: &mut impl Read, request: &mut Request) -> Result<(), Trouble> {
        match strict::framing(&request.fields).map_err(Trouble::Malformed)? {
            Framing::Nothing => {}
            Framing::Length(length) => {
                while self.buffer.len() < length {
                    self.more(stream)?;
                }
                request.coded = self.buffer.drain(..length).collect();
                request.body = request.coded.clone();
            }
            Framing::Chunked => {
                let (content, trailers, len) = self.chunked(stream)?;
                request.coded = self.buffer.drain(..len).collect();
                (request.body, request.trailers) = (content, trailers);
            }
        }
        Ok(())
    }

    fn chunked(&mut self, stream: &mut impl Read) -> Result<(Vec<u8>, Fields, usize), Trouble> {
        loop {
            if let Some(found) = strict::chunked(&self.buffer).map_err(Trouble::Malformed)? {
                return Ok(found);
            }
            // Parsing begins from the start each time, which is only worth it where an end came or much else.
            let known = self.buffer.len();
            while self.buffer.len() < known + known / 4 + 1 {
                let seen = self.buffer.len().saturating_sub(3);
                self.more(stream)?;
                if memmem::find(&self.buffer[seen..], b"\r\n\r\n").is_some() {
                    break;
                }
            }
        }
    }

    /// An answer to a request of that method, behind its interim ones.
    pub fn answer(&mut self, stream: &mut impl Read, method: &str) -> Result<Response, Trouble> {
        let mut interim = Vec::new();
        loop {
            let mut answer = self.answer_head(stream)?;
            if answer.status < 200 && answer.status != 101 {
                interim.push((answer.status, answer.fields));
                continue;
            }
            answer.interim = interim;
            self.answer_body(stream, method, &mut answer)?;
            return Ok(answer);
        }
    }

    /// The next head of an answer, interim or not.
    pub fn answer_head(&mut self, stream: &mut impl Read) -> Result<Response, Trouble> {
        let head = self.head(stream)?;
        let (first, fields) = strict::head(&head).map_err(Trouble::Malformed)?;
        let mut words = first.splitn(3, ' ');
        let (version, status) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let status = status.parse().map_err(|_| Trouble::Malformed(format!("status line {first:?}")))?;
        Ok(Response {
            version: version.to_owned(),
            status,
            reason: words.next().unwrap_or("").to_owned(),
            fields,
            body: Vec::new(),
            trailers: Fields::default(),
            coded: Vec::new(),
            end: End::Complete,
            interim: Vec::new(),
        })
    }

    /// The content that belongs to an answer's head.
    pub fn answer_body(&mut self, stream: &mut impl Read, method: &str, answer: &mut Response) -> Result<(), Trouble> {
        if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
            return Ok(());
        }
        match strict::framing(&answer.fields).map_err(Trouble::Malformed)? {
            Framing::Nothing => self.until_closed(stream, answer),
            Framing::Length(length) => {
                while self.buffer.len() < length {
                    if let Err(trouble) = self.more(stream) {
                        return self.aborted(answer, trouble);
                    }
                }
                answer.coded = self.buffer.drain(..length).collect();
                answer.body = answer.coded.clone();
                Ok(())
            }
            Framing::Chunked => match self.chunked(stream) {
                Ok((content, trailers, len)) => {
                    answer.coded = self.buffer.drain(..len).collect();
                    (answer.body, answer.trailers) = (content, trailers);
                    Ok(())
                }
                Err(Trouble::Malformed(reason)) => Err(Trouble::Malformed(reason)),
                Err(trouble) => self.aborted(answer, trouble),
            },
        }
    }

    fn until_closed(&mut self, stream: &mut impl Read, answer: &mut Response) -> Result<(), Trouble> {
        answer.end = loop {
            match self.fill(stream) {
                Ok(0) => break End::Closed,
                Ok(_) => {}
                Err(error) => break End::Aborted(error.to_string()),
            }
        };
        answer.body = std::mem::take(&mut self.buffer);
        Ok(())
    }

    fn aborted(&mut self, answer: &mut Response, trouble: Trouble) -> Result<(), Trouble> {
        answer.coded = std::mem::take(&mut self.buffer);
        answer.end = End::Aborted(match trouble {
            Trouble::Closed | Trouble::Cut(_) => "cut".to_owned(),
            Trouble::TimedOut(_) => "timed out".to_owned(),
            Trouble::Malformed(reason) => reason,
        });
        Ok(())
    }
}
