// SPDX-License-Identifier: Apache-2.0
//! The HTTP/1.1 reader and writer of the simulator's clients and origins: strict, plain, and independent of the
//! gateway's codec, so that a fault in one does not hide a fault in the other.

use std::rc::Rc;
use std::time::Duration;

use crate::base::{Buf, Rng};
use crate::net::sim::{Sim, SimStream};
use crate::net::{Net, Stream};

/// Why a conversation did not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConversationError {
    /// The peer ended its side in the middle of a message.
    Cut,
    /// The connection broke.
    Reset,
    /// Nothing could be read or written within the patience.
    Late,
    /// The peer sent what no correct peer sends.
    Malformed(String),
    /// The reader of the body wants no more of it.
    Enough,
}

/// How a message's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// No body.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunked coding.
    Chunked,
    /// Until the connection ends.
    Close,
}

/// A message's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The first line.
    pub start: String,
    /// Field lines, names in lower case.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field that must not occur twice.
    pub(super) fn value(&self, name: &str) -> Result<Option<&str>, ConversationError> {
        let mut found = self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err(ConversationError::Malformed(format!("field {name} stands twice in {self:?}"))),
        }
    }

    /// A number in a field.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ConversationError> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        let number =
            value.parse().map_err(|_| ConversationError::Malformed(format!("field {name} is no number: {value:?}")))?;
        Ok(Some(number))
    }

    /// Does `Connection` list this option?
    pub(super) fn connection_says(&self, option: &str) -> bool {
        let lists = self.fields.iter().filter(|(name, _)| name == "connection");
        lists.flat_map(|(_, value)| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(option))
    }

    /// The framing that the fields give, with `otherwise` where they give none.
    pub(super) fn framing(&self, otherwise: Framing) -> Result<Framing, ConversationError> {
        match (self.value("transfer-encoding")?, self.number("content-length")?) {
            (Some(_), Some(_)) => Err(ConversationError::Malformed("both a length and a transfer coding".to_owned())),
            (Some("chunked"), None) => Ok(Framing::Chunked),
            (Some(other), None) => Err(ConversationError::Malformed(format!("transfer coding {other:?}"))),
            (None, Some(0)) => Ok(Framing::Empty),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (None, None) => Ok(otherwise),
        }
    }
}

/// How fast somebody reads or writes.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Its chances.
    pub rng: Rng,
    /// Pauses before this many reads or writes of a thousand.
    pub pauses: u64,
    /// For so many milliseconds at most.
    pub pause_ms_max: u64,
    /// Pauses that are left.
    pub pauses_left: u64,
    /// Bytes of one read or write at most.
    pub piece_max: u64,
}

impl Pace {
    /// Pauses, now and then.
    pub async fn rest(&mut self, sim: &Sim) {
        if self.pauses_left > 0 && self.rng.chance(self.pauses) {
            self.pauses_left -= 1;
            let millis = self.rng.below(self.pause_ms_max + 1);
            sim.sleep_until(sim.now().after_ms(millis)).await;
        }
    }

    /// How many bytes the next read or write may have.
    pub fn piece(&mut self) -> usize {
        1 + self.rng.below(self.piece_max) as usize
    }
}

/// The reading side of one connection.
pub(super) struct HttpReader {
    stream: Rc<SimStream>,
    sim: Sim,
    pace: Pace,
    patience: Duration,
    held: Vec<u8>,
    at: usize,
}

impl HttpReader {
    /// A reader of `stream` that waits for at most `patience` each time.
    pub(super) fn new(sim: &Sim, stream: Rc<SimStream>, pace: Pace, patience: Duration) -> HttpReader {
        HttpReader { stream, sim: sim.clone(), pace, patience, held: Vec::new(), at: 0 }
    }

    /// Bytes that were read and not used yet.
    pub(super) fn behind(&self) -> &[u8] {
        &self.held[self.at..]
    }

    /// Takes them.
    pub(super) fn take_behind(&mut self) -> Vec<u8> {
        let taken = self.held.split_off(self.at);
        self.at = self.held.len();
        taken
    }

    /// Reads some more; false is the peer's end.
    pub(super) async fn more(&mut self) -> Result<bool, ConversationError> {
        self.pace.rest(&self.sim).await;
        let buf = Buf::with_capacity(self.pace.piece());
        let (result, buf) = self.stream.read(buf, self.sim.now().after(self.patience)).await;
        match result {
            Ok(0) => Ok(false),
            Ok(_) => {
                self.held.drain(..self.at);
                self.at = 0;
                self.held.extend_from_slice(buf.filled());
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(ConversationError::Late),
            Err(_) => Err(ConversationError::Reset),
        }
    }

    /// The next message's head; `None` where the peer ended its side before one began.
    pub(super) async fn head(&mut self) -> Result<Option<Head>, ConversationError> {
        loop {
            let behind = self.behind();
            if let Some(len) = behind.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = parse(&behind[..len])?;
                self.at += len + 4;
                return Ok(Some(head));
            }
            if behind.len() > 64 * 1024 {
                let start = String::from_utf8_lossy(&behind[..200]).into_owned();
                return Err(ConversationError::Malformed(format!("a head without an end: {start:?}")));
            }
            let began = !behind.is_empty();
            match self.more().await {
                Ok(true) => {}
                Ok(false) if began => return Err(ConversationError::Cut),
                Ok(false) => return Ok(None),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Reads a body to its end and passes the bytes to `take`. Returns the trailers of a chunked one.
    pub(super) async fn body(
        &mut self,
        framing: Framing,
        take: &mut impl FnMut(&[u8]) -> Result<(), ConversationError>,
    ) -> Result<Vec<(String, String)>, ConversationError> {
        match framing {
            Framing::Empty => {}
            Framing::Length(length) => self.exactly(length, take).await?,
            Framing::Close => self.until_close(take).await?,
            Framing::Chunked => return self.chunks(take).await,
        }
        Ok(Vec::new())
    }

    async fn exactly(
        &mut self,
        length: u64,
        take: &mut impl FnMut(&[u8]) -> Result<(), ConversationError>,
    ) -> Result<(), ConversationError> {
        let mut left = length;
        while left > 0 {
            let count = (self.behind().len() as u64).min(left) as usize;
            if count == 0 {
                if !self.more().await? {
                    return Err(ConversationError::Cut);
                }
                continue;
            }
            take(&self.behind()[..count])?;
            self.at += count;
            left -= count as u64;
        }
        Ok(())
    }

    async fn until_close(
        &mut self,
        take: &mut impl FnMut(&[u8]) -> Result<(), ConversationError>,
    ) -> Result<(), ConversationError> {
        loop {
            take(self.behind())?;
            self.at = self.held.len();
            if !self.more().await? {
                return Ok(());
            }
        }
    }

    async fn chunks(
        &mut self,
        take: &mut impl FnMut(&[u8]) -> Result<(), ConversationError>,
    ) -> Result<Vec<(String, String)>, ConversationError> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16)
                .map_err(|_| ConversationError::Malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                break;
            }
            self.exactly(size, take).await?;
            let end = self.line().await?;
            if !end.is_empty() {
                return Err(ConversationError::Malformed(format!("{end:?} behind a chunk")));
            }
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.push(field(&line)?);
        }
    }

    async fn line(&mut self) -> Result<String, ConversationError> {
        loop {
            if let Some(len) = self.behind().windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.behind()[..len]).into_owned();
                self.at += len + 2;
                return Ok(line);
            }
            if self.behind().len() > 8 * 1024 {
                return Err(ConversationError::Malformed("a line without an end".to_owned()));
            }
            if !self.more().await? {
                return Err(ConversationError::Cut);
            }
        }
    }
}

fn parse(text: &[u8]) -> Result<Head, ConversationError> {
    let text = std::str::from_utf8(text).map_err(|_| malformed("a head that is no text", text))?;
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    if text.contains('\0') || text.replace("\r\n", "").contains(['\r', '\n']) {
        return Err(malformed("control characters in a head", text.as_bytes()));
    }
    Ok(Head { start, fields: lines.map(field).collect::<Result<_, _>>()? })
}

fn field(line: &str) -> Result<(String, String), ConversationError> {
    let (name, value) = line.split_once(':').ok_or_else(|| malformed("a field without a colon", line.as_bytes()))?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(malformed("a field's name", line.as_bytes()));
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

fn malformed(what: &str, bytes: &[u8]) -> ConversationError {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    ConversationError::Malformed(format!("{what}: {shown:?}"))
}

/// The writing side of one connection.
pub(super) struct HttpWriter {
    stream: Rc<SimStream>,
    sim: Sim,
    pace: Pace,
    patience: Duration,
}

impl HttpWriter {
    /// A writer to `stream` that waits for at most `patience` each time.
    pub(super) fn new(sim: &Sim, stream: Rc<SimStream>, pace: Pace, patience: Duration) -> HttpWriter {
        HttpWriter { stream, sim: sim.clone(), pace, patience }
    }

    /// Sends all of `bytes`, in pieces with pauses.
    pub(super) async fn say(&mut self, mut bytes: &[u8]) -> Result<(), ConversationError> {
        while !bytes.is_empty() {
            self.pace.rest(&self.sim).await;
            let count = self.pace.piece().min(bytes.len());
            let buf = Buf::copied(&bytes[..count]);
            let (result, _) = self.stream.write(buf, self.sim.now().after(self.patience)).await;
            match result {
                Ok(()) => bytes = &bytes[count..],
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return Err(ConversationError::Late),
                Err(_) => return Err(ConversationError::Reset),
            }
        }
        Ok(())
    }

    /// The connection.
    pub(super) fn stream(&self) -> &Rc<SimStream> {
        &self.stream
    }
}
