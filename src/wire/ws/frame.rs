// SPDX-License-Identifier: Apache-2.0
//! Hot. Finds the frames in a stream of WebSocket bytes (RFC 6455 section 5.2), and holds the rules that say where
//! they end.
//!
//! ```text
//!            .---------- payload ----------.
//!            v                             |
//! header ->  payload left > 0  ------------'--> payload left = 0: between two frames, where others may be put
//! ```
//! A header is consumed whole or not at all: the caller keeps an incomplete one (at most 13 bytes) until more bytes
//! arrive. Frames are refused where two parsers could read them differently, or where every endpoint must end the
//! connection. Reserved bits and opcodes pass, because an extension may define them.

/// The longest header: two bytes, a length of eight, a key of four.
pub(crate) const HEADER_BYTES_MAX: usize = 14;
/// The longest payload of a control frame (section 5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

/// Who sends the frames. Those of clients are masked and no others (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The one who opened the connection.
    Client,
    /// The one who accepted it.
    Server,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first frame of a message, often the only one.
    Message,
    /// A further frame of a message.
    Continuation,
    /// The last word of its sender.
    Close,
    /// A question for a keep-alive pings.
    Ping,
    /// Its answer.
    Pong,
    /// A control frame that an extension knows.
    OtherControl,
}

impl Kind {
    const fn of(opcode: u8) -> Kind {
        match opcode {
            0 => Kind::Continuation,
            8 => Kind::Close,
            9 => Kind::Ping,
            10 => Kind::Pong,
            11..=15 => Kind::OtherControl,
            _ => Kind::Message,
        }
    }

    /// Control frames may come between the frames of a message.
    pub(crate) const fn is_control(self) -> bool {
        match self {
            Kind::Message | Kind::Continuation => false,
            Kind::Close | Kind::Ping | Kind::Pong | Kind::OtherControl => true,
        }
    }
}

/// A frame that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it is for.
    pub kind: Kind,
    /// Bytes of its header.
    pub header: usize,
    /// Bytes of its payload.
    pub payload: u64,
    /// Bytes of payload of its message so far, with its own; of a control frame its own.
    pub message: u64,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanStep {
    /// A header; its payload follows.
    Frame(Frame),
    /// So many bytes of payload, at least one.
    Payload(usize),
    /// The beginning of a header, or nothing.
    Partial,
}

/// A rule that was broken. Each asks for the connection to be closed with 1002.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A client's frame without a mask, or a server's with one (section 5.1).
    Mask,
    /// A length that is not written in the shortest way, or above 2^63-1 (section 5.2).
    Length,
    /// A control frame that is fragmented or too long (section 5.5).
    Control,
    /// A continuation of nothing, or a new message within another (section 5.4).
    Sequence,
}

/// Follows one direction of a WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    sender: Sender,
    /// Bytes of the current frame's payload that have not come.
    left: u64,
    /// Bytes of the current message so far; `None` between two messages.
    message: Option<u64>,
    broken: Option<Violation>,
}

impl Scanner {
    /// At the beginning of what `sender` says.
    pub(crate) const fn new(sender: Sender) -> Scanner {
        Scanner { sender, left: 0, message: None, broken: None }
    }

    /// What `bytes` begin with. The caller goes on behind it; of a partial header it shows all bytes again, with more.
    ///
    /// # Errors
    /// The rule that was broken, now or before.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<ScanStep, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        if bytes.is_empty() {
            return Ok(ScanStep::Partial);
        }
        if self.left > 0 {
            let count = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.left -= count as u64;
            return Ok(ScanStep::Payload(count));
        }
        self.header(bytes).inspect_err(|violation| self.broken = Some(*violation))
    }

    /// Nothing of a frame is outstanding: another frame may be put here. Between the frames of a message only a
    /// control frame may.
    pub(crate) const fn is_between_frames(&self) -> bool {
        self.left == 0
    }

    fn header(&mut self, bytes: &[u8]) -> Result<ScanStep, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(ScanStep::Partial) };
        let (last, kind) = (first & 0x80 != 0, Kind::of(first & 0x0F));
        let masked = second & 0x80 != 0;
        // What can be said of two bytes is said before the others come.
        if masked != (self.sender == Sender::Client) {
            return Err(Violation::Mask);
        }
        if kind.is_control() && (!last || second & 0x7F > CONTROL_BYTES_MAX as u8) {
            return Err(Violation::Control);
        }
        match (kind, self.message) {
            (Kind::Continuation, None) | (Kind::Message, Some(_)) => return Err(Violation::Sequence),
            (Kind::Continuation, Some(_)) | (Kind::Message, None) => {}
            (Kind::Close | Kind::Ping | Kind::Pong | Kind::OtherControl, _) => {}
        }
        let Some((payload, extended)) = length(second & 0x7F, rest)? else { return Ok(ScanStep::Partial) };
        let header = 2 + extended + if masked { 4 } else { 0 };
        if bytes.len() < header {
            return Ok(ScanStep::Partial);
        }
        self.left = payload;
        if kind.is_control() {
            return Ok(ScanStep::Frame(Frame { kind, header, payload, message: payload }));
        }
        let message = self.message.unwrap_or(0).saturating_add(payload);
        self.message = (!last).then_some(message);
        Ok(ScanStep::Frame(Frame { kind, header, payload, message }))
    }
}

/// The length of a payload and how many further bytes it took; `None` where they have not all come.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let (value, taken, least) = match (short, rest) {
        (126, [high, low, ..]) => (u64::from(u16::from_be_bytes([*high, *low])), 2, 126),
        (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8, 1 << 16),
        (126 | 127, _) => return Ok(None),
        (short, _) => (u64::from(short), 0, 0),
    };
    if value < least || value > i64::MAX as u64 {
        return Err(Violation::Length);
    }
    Ok(Some((value, taken)))
}

#[cfg(test)]
mod tests;
