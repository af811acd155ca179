//! Why a message could not be transcoded, as a gRPC status with words.

use std::fmt;

use crate::wire::grpc::status::Code;

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
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code.name(), self.what)
    }
}
