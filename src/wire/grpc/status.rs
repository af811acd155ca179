// SPDX-License-Identifier: Apache-2.0
//! Hot. How a gRPC call ended: its code and message, made from HTTP statuses and from faults, and back.
//!
//! A gRPC caller never sees an HTTP error or a page of HTML from us: whatever goes wrong becomes a head with status
//! 200 that holds `grpc-status` and `grpc-message` and is the whole answer ("trailers-only").

use crate::base::FaultKind;
use crate::base::ascii::{self, decimal, hex_digit, is_name, push_percent};
use crate::base::limits::GRPC_TEXT_BYTES_MAX;

/// The name of the field or trailer with the code.
pub(crate) const STATUS: &str = "grpc-status";
/// The name of the field or trailer with the message.
pub(crate) const MESSAGE: &str = "grpc-message";
/// The name of the field or trailer with a `google.rpc.Status` in base64.
pub(crate) const DETAILS: &str = "grpc-status-details-bin";

macro_rules! codes {
    ($($variant:ident $number:literal $name:literal $http:literal $doc:literal,)*) => {
        /// A gRPC status code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Code {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl Code {
            /// All of them, by number.
            pub const ALL: [Code; 17] = [$(Code::$variant,)*];

            /// The name in logs and configuration.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Code::$variant => $name,)*
                }
            }

            /// The HTTP status that says the same, as `google.rpc.Code` lists them.
            pub const fn http_status(self) -> u16 {
                match self {
                    $(Code::$variant => $http,)*
                }
            }
        }
    };
}

codes! {
    Ok 0 "OK" 200 "It went well.",
    Cancelled 1 "CANCELLED" 499 "The caller gave up.",
    Unknown 2 "UNKNOWN" 500 "An error that says nothing more.",
    InvalidArgument 3 "INVALID_ARGUMENT" 400 "The request makes no sense in any state.",
    DeadlineExceeded 4 "DEADLINE_EXCEEDED" 504 "It took too long.",
    NotFound 5 "NOT_FOUND" 404 "What was asked for is not there.",
    AlreadyExists 6 "ALREADY_EXISTS" 409 "What was to be made is there already.",
    PermissionDenied 7 "PERMISSION_DENIED" 403 "The caller may not do this.",
    ResourceExhausted 8 "RESOURCE_EXHAUSTED" 429 "A limit or quota is reached.",
    FailedPrecondition 9 "FAILED_PRECONDITION" 400 "Not in the present state.",
    Aborted 10 "ABORTED" 409 "Lost against something concurrent.",
    OutOfRange 11 "OUT_OF_RANGE" 400 "Behind the end.",
    Unimplemented 12 "UNIMPLEMENTED" 501 "No such method.",
    Internal 13 "INTERNAL" 500 "Something is broken.",
    Unavailable 14 "UNAVAILABLE" 503 "Not now; may be tried again.",
    DataLoss 15 "DATA_LOSS" 500 "Data are lost or corrupt.",
    Unauthenticated 16 "UNAUTHENTICATED" 401 "The caller did not say who it is.",
}

impl Code {
    /// The code with this number.
    pub fn of(number: u64) -> Option<Code> {
        Code::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The value of a `grpc-status`. What is no known code is `Unknown`, as clients are told to take it.
    pub fn read(value: &[u8]) -> Code {
        decimal(value).and_then(Code::of).unwrap_or(Code::Unknown)
    }

    /// Its number as text, the value of a `grpc-status`.
    pub const fn text(self) -> &'static str {
        const TEXTS: [&str; 17] =
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
        TEXTS[self as usize]
    }

    /// The code with this name in upper case, as in configuration.
    pub fn named(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.name() == name)
    }

    /// What an upstream's HTTP status without a `grpc-status` means, as gRPC's own table has it. Also 200, which then
    /// is no answer to a call.
    pub const fn of_upstream(status: u16) -> Code {
        match status {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502 | 503 | 504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }

    /// What a status means that the gateway itself answers with (a policy's refusal). Other than upstream's, its
    /// reason is known: 429 is a limit, not a server that is away.
    pub const fn of_answer(status: u16) -> Code {
        match status {
            200..=299 => Code::Ok,
            400 | 422 => Code::InvalidArgument,
            408 => Code::DeadlineExceeded,
            409 => Code::Aborted,
            412 => Code::FailedPrecondition,
            413 | 414 | 429 | 431 => Code::ResourceExhausted,
            499 => Code::Cancelled,
            405 | 501 => Code::Unimplemented,
            500 => Code::Internal,
            504 => Code::DeadlineExceeded,
            _ => Code::of_upstream(status),
        }
    }

    /// What an upstream's RST_STREAM with this error code means (gRPC over HTTP/2, "Errors").
    pub const fn of_reset(error: u32) -> Code {
        match error {
            0..=6 | 9 | 10 => Code::Internal,
            7 => Code::Unavailable,
            8 => Code::Cancelled,
            11 => Code::ResourceExhausted,
            12 => Code::PermissionDenied,
            _ => Code::Unknown,
        }
    }

    /// What a fault of an exchange is to a gRPC caller.
    pub const fn of_fault(kind: FaultKind) -> Code {
        match kind {
            FaultKind::BadRequest
            | FaultKind::ExpectationFailed
            | FaultKind::UpstreamProtocol
            | FaultKind::UpstreamHeadTooLarge
            | FaultKind::UpstreamTooManyFields
            | FaultKind::Internal => Code::Internal,
            FaultKind::RequestTimeout
            | FaultKind::ClientTooSlow
            | FaultKind::FirstByteTimeout
            | FaultKind::IdleTimeout
            | FaultKind::TotalTimeout => Code::DeadlineExceeded,
            FaultKind::BodyTooLarge | FaultKind::TargetTooLong | FaultKind::HeadTooLarge => Code::ResourceExhausted,
            FaultKind::NotImplemented
            | FaultKind::VersionNotSupported
            | FaultKind::NoRoute
            | FaultKind::MethodNotAllowed => Code::Unimplemented,
            FaultKind::ClientClosed => Code::Cancelled,
            FaultKind::Misdirected
            | FaultKind::NoEndpoint
            | FaultKind::Overloaded
            | FaultKind::BreakerOpen
            | FaultKind::QueueTimeout
            | FaultKind::KeptBodiesFull
            | FaultKind::Stopped
            | FaultKind::NotRecorded
            | FaultKind::ConnectFailed
            | FaultKind::ConnectTimeout
            | FaultKind::UpstreamTls
            | FaultKind::UpstreamClosed
            | FaultKind::UpstreamTruncated => Code::Unavailable,
        }
    }
}

/// A set of codes, as those after which a call may be tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeSet(u32);

impl CodeSet {
    /// The set of the listed codes.
    pub const fn of(codes: &[Code]) -> CodeSet {
        let mut set = 0;
        let mut at = 0;
        while at < codes.len() {
            set |= 1 << codes[at].number();
            at += 1;
        }
        CodeSet(set)
    }

    /// Is `code` in it?
    pub const fn has(self, code: Code) -> bool {
        self.0 & 1 << code.number() != 0
    }

    /// True where no code is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `code`.
    pub const fn insert(&mut self, code: Code) {
        self.0 |= 1 << code.number();
    }
}

/// How a call ended, as trailers (or the only head) say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    /// The code.
    pub code: Code,
    /// The message, percent-encoded as it stands in the field.
    pub message: &'a [u8],
    /// The details, in base64 as they stand in the field.
    pub details: &'a [u8],
}

impl<'a> End<'a> {
    /// An end without details. `message` must hold printable ASCII without `%` only, as our own texts do.
    pub const fn plain(code: Code, message: &'static str) -> End<'static> {
        End { code, message: message.as_bytes(), details: b"" }
    }

    /// What the caller is told of a fault: a code and one fixed text, and nothing of which upstream or timer it was.
    pub const fn of_fault(kind: FaultKind) -> End<'static> {
        End::plain(Code::of_fault(kind), fault_text(kind))
    }

    /// Names and values, for a head that is the whole answer. Empty ones are left out.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let fields = [(STATUS, self.code.text().as_bytes()), (MESSAGE, self.message), (DETAILS, self.details)];
        fields.into_iter().filter(|(_, value)| !value.is_empty())
    }

    /// Finds the end among names (in any case) and values. `None` where there is no `grpc-status`, or more than one.
    pub fn read(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<End<'a>> {
        let mut code = None;
        let mut end = End { code: Code::Unknown, message: b"", details: b"" };
        for (name, value) in fields {
            if is_name(name, STATUS.as_bytes()) {
                let twice = code.replace(Code::read(value)).is_some();
                if twice {
                    return None;
                }
            } else if is_name(name, MESSAGE.as_bytes()) {
                end.message = value;
            } else if is_name(name, DETAILS.as_bytes()) {
                end.details = value;
            }
        }
        code.map(|code| End { code, ..end })
    }

    /// Finds the end among trailer lines `name: value CRLF`.
    pub fn read_lines(lines: &'a [u8]) -> Option<End<'a>> {
        End::read(self::lines(lines))
    }

    /// Appends it as trailer lines with CRLF.
    pub fn write_lines(&self, out: &mut Vec<u8>) {
        for (name, value) in self.fields() {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

const fn fault_text(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::BadRequest | FaultKind::ExpectationFailed => "the request is not valid HTTP",
        FaultKind::RequestTimeout | FaultKind::ClientTooSlow => "the request did not arrive in time",
        FaultKind::BodyTooLarge => "the request is larger than allowed",
        FaultKind::TargetTooLong | FaultKind::HeadTooLarge => "the metadata are larger than allowed",
        FaultKind::NotImplemented | FaultKind::VersionNotSupported => "this way of calling is not supported",
        FaultKind::NoRoute | FaultKind::MethodNotAllowed => "no such method is served here",
        FaultKind::Misdirected => "the host is not the one that this connection was opened for",
        FaultKind::ClientClosed => "the caller went away",
        FaultKind::NoEndpoint
        | FaultKind::Overloaded
        | FaultKind::BreakerOpen
        | FaultKind::QueueTimeout
        | FaultKind::KeptBodiesFull
        | FaultKind::Stopped
        | FaultKind::NotRecorded
        | FaultKind::ConnectFailed
        | FaultKind::ConnectTimeout
        | FaultKind::UpstreamTls
        | FaultKind::UpstreamClosed
        | FaultKind::UpstreamTruncated => "the service cannot answer right now",
        FaultKind::UpstreamProtocol | FaultKind::UpstreamHeadTooLarge | FaultKind::UpstreamTooManyFields => {
            "the service gave no valid answer"
        }
        FaultKind::FirstByteTimeout | FaultKind::IdleTimeout | FaultKind::TotalTimeout => {
            "the service did not answer in time"
        }
        FaultKind::Internal => "the gateway failed",
    }
}

/// Names and values of lines `name: value CRLF`; a line without a colon is left out.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
    })
}

/// Are these lines that may become trailers: each with a name that is a token and a value of field characters, all
/// ended by CRLF?
pub(crate) fn are_lines(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(end) = memchr::memchr(b'\n', rest) else { return false };
        let Some(line) = rest[..end].strip_suffix(b"\r") else { return false };
        let Some(colon) = memchr::memchr(b':', line) else { return false };
        if !ascii::is_token(&line[..colon]) || !ascii::is_field_value(&line[colon + 1..]) {
            return false;
        }
        rest = &rest[end + 1..];
    }
    true
}

/// Appends `text` as the value of a `grpc-message`: everything but printable ASCII, and `%`, is percent-encoded. Text
/// above the cap is cut between characters.
pub(crate) fn encode_message(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for character in text.chars() {
        let mut room = [0; 4];
        let bytes = character.encode_utf8(&mut room).as_bytes();
        let plain = matches!(bytes, [b' '..=b'~']) && bytes != b"%";
        let len = if plain { 1 } else { 3 * bytes.len() };
        if out.len() - start + len > GRPC_TEXT_BYTES_MAX {
            return;
        }
        if plain {
            out.push(bytes[0]);
            continue;
        }
        bytes.iter().for_each(|byte| push_percent(out, *byte));
    }
}

/// Appends the text of a `grpc-message`. What is no percent-encoding stays as it is, as clients are told to do.
pub(crate) fn decode_message(mut value: &[u8], out: &mut Vec<u8>) {
    while let Some((byte, rest)) = value.split_first() {
        let encoded = match (byte, rest) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match encoded {
            Some((high, low)) => {
                out.push(high << 4 | low);
                value = &rest[2..];
            }
            None => {
                out.push(*byte);
                value = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests;
