// SPDX-License-Identifier: Apache-2.0
//! Why a message could not be transcoded, as a gRPC status with words.

use std::borrow::Cow;
use std::fmt;

use crate::base::ascii::push_decimal;
use crate::wire::grpc::json::answer::JsonResponseHead;
use crate::wire::grpc::status::Code;

/// The media type of JSON.
pub(crate) const JSON: &str = "application/json";

/// A request or response that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its code; `http_status` has the status for the client.
    pub code: Code,
    /// What is wrong, fit for the client: nothing of upstreams or of us.
    pub what: String,
    /// Larger than allowed, which is 413 rather than 429 where the client sent it.
    pub oversized: bool,
}

impl Refusal {
    /// A request that makes no sense.
    pub fn invalid(what: impl Into<String>) -> Refusal {
        Refusal { code: Code::InvalidArgument, what: what.into(), oversized: false }
    }

    /// Something above a cap.
    pub fn too_much(what: impl Into<String>) -> Refusal {
        Refusal { code: Code::ResourceExhausted, what: what.into(), oversized: true }
    }

    /// A response that cannot be shown.
    pub fn internal(what: impl Into<String>) -> Refusal {
        Refusal { code: Code::Internal, what: what.into(), oversized: false }
    }

    /// The same, as the fault of the server that sent it.
    pub fn of_server(self) -> Refusal {
        Refusal { code: Code::Internal, oversized: false, ..self }
    }

    /// The status for the client.
    pub const fn http_status(&self) -> u16 {
        if self.oversized { 413 } else { self.code.http_status() }
    }

    /// Appends the body for a request that was refused before it was sent, or for a response that was.
    pub fn answer(&self, out: &mut Vec<u8>) -> JsonResponseHead {
        write_status(self.code, &self.what, &[], out);
        JsonResponseHead { status: self.http_status(), content_type: Cow::Borrowed(JSON) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code.name(), self.what)
    }
}

/// Appends an error as `google.rpc.Status` is in JSON.
pub(crate) fn write_status(code: Code, message: &str, details: &[Vec<u8>], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"code":"#);
    push_decimal(out, u64::from(code.number()));
    out.extend_from_slice(br#","message":"#);
    // A string can be written to a vector.
    let _ = serde_json::to_writer(&mut *out, message);
    out.extend_from_slice(br#","details":["#);
    out.extend_from_slice(&details.join(&b','));
    out.extend_from_slice(b"]}");
}
