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
//! arrive. The status code of a close frame is judged with its header, before the frame goes on. Frames are refused
//! where two parsers could read them differently, or where every endpoint must end the connection. Reserved bits and
//! opcodes pass only where the handshake agreed on an extension, which may define them.

use crate::base::ascii::is_name;

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

/// What the handshake agreed on besides RFC 6455: what reserved bits and opcodes may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extensions {
    /// Nothing: they are not used (section 5.2).
    #[default]
    None,
    /// `permessage-deflate`: RSV1 marks the first frame of a compressed message (RFC 7692 section 6).
    Deflate,
    /// An extension that is not known here: anything.
    Other,
}

impl Extensions {
    /// What a server accepted in these values of `Sec-WebSocket-Extensions`.
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Extensions {
        let names = values.flat_map(|value| value.split(|byte| *byte == b','));
        let names = names.map(|extension| extension.split(|byte| *byte == b';').next().unwrap_or_default());
        names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()).fold(
            Extensions::None,
            |agreed, name| match agreed {
                Extensions::None | Extensions::Deflate if is_name(name, b"permessage-deflate") => Extensions::Deflate,
                Extensions::None | Extensions::Deflate | Extensions::Other => Extensions::Other,
            },
        )
    }

    /// May a frame begin with this byte?
    const fn allows(self, first: u8) -> bool {
        let (reserved, opcode) = (first & 0x70, first & 0x0F);
        let defined = matches!(opcode, 0..=2 | 8..=10);
        match self {
            Extensions::None => reserved == 0 && defined,
            Extensions::Deflate => defined && (reserved == 0 || (reserved == 0x40 && matches!(opcode, 1 | 2))),
            Extensions::Other => true,
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
    /// A reserved bit or opcode that no extension defines (section 5.2).
    Reserved,
    /// A close frame whose payload is one byte (section 5.5.1), or with a status code that no endpoint may send
    /// (section 7.4).
    CloseCode,
}

/// Follows one direction of a WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    sender: Sender,
    extensions: Extensions,
    /// Bytes of the current frame's payload that have not come.
    left: u64,
    /// Bytes of the current message so far; `None` between two messages.
    message: Option<u64>,
    broken: Option<Violation>,
}

impl Scanner {
    /// At the beginning of what `sender` says after a handshake that agreed on `extensions`.
    pub(crate) const fn new(sender: Sender, extensions: Extensions) -> Scanner {
        Scanner { sender, extensions, left: 0, message: None, broken: None }
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
        if !self.extensions.allows(*first) {
            return Err(Violation::Reserved);
        }
        if kind == Kind::Close && second & 0x7F == 1 {
            return Err(Violation::CloseCode);
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
        if kind == Kind::Close && payload > 0 {
            let Some(code) = close_code(bytes, header, masked) else { return Ok(ScanStep::Partial) };
            if !is_sendable(code) {
                return Err(Violation::CloseCode);
            }
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

/// The status code in front of a close frame's payload; `None` where it has not come.
// tidy(bool): it is the bit in the frame.
fn close_code(bytes: &[u8], header: usize, masked: bool) -> Option<u16> {
    let code: [u8; 2] = *bytes.get(header..)?.first_chunk()?;
    let key: [u8; 2] = if masked { *bytes.get(header - 4..)?.first_chunk()? } else { [0; 2] };
    Some(u16::from_be_bytes([code[0] ^ key[0], code[1] ^ key[1]]))
}

/// May an endpoint send this status code (RFC 6455 section 7.4, and the registry of RFC 6455 section 11.7)?
const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
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
