// SPDX-License-Identifier: Apache-2.0
//! `grpc.health.v1.Health/Check` as bytes: the question of a probe and the verdict in its answer.

use prost::Message;

use crate::wire::grpc::message;
use crate::wire::grpc::status::Code;

/// The path of the call.
pub(crate) const PATH: &str = "/grpc.health.v1.Health/Check";

/// What a server says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It takes calls.
    Serving,
    /// It takes none.
    NotServing,
    /// The server says that it does not know its state, or something that we do not know.
    Unknown,
    /// The server has no such service.
    NoSuchService,
    /// The server does not speak this protocol.
    NotSpoken,
    /// The call failed.
    Failed,
}

/// Appends the request's body: one message that asks for `service`; the empty name asks for the server as a whole.
pub(crate) fn request(service: &str, out: &mut Vec<u8>) {
    let at = message::begin(out);
    let request = Request { service: service.to_owned() };
    // A vector grows as it has to.
    let _ = request.encode(out);
    message::end(at, out);
}

/// What an answer says: the call's status and the payload of its only message, empty where there was none.
pub(crate) fn read(code: Code, payload: &[u8]) -> Health {
    match code {
        Code::Ok => match Response::decode(payload).map(|response| response.status) {
            Ok(1) => Health::Serving,
            Ok(2) => Health::NotServing,
            Ok(3) => Health::NoSuchService,
            Ok(_) => Health::Unknown,
            Err(_) => Health::Failed,
        },
        Code::NotFound => Health::NoSuchService,
        Code::Unimplemented => Health::NotSpoken,
        Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => Health::Failed,
    }
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers() {
        let mut out = Vec::new();
        request("a.B", &mut out);
        assert_eq!(out, b"\0\0\0\0\x05\x0a\x03a.B");
        out.clear();
        request("", &mut out);
        assert_eq!(out, b"\0\0\0\0\0");
        let table = [(&b"\x08\x01"[..], Health::Serving), (b"\x08\x02", Health::NotServing), (b"", Health::Unknown)];
        for (payload, health) in table {
            assert_eq!(read(Code::Ok, payload), health);
        }
        assert_eq!(read(Code::Ok, b"\x08\x03"), Health::NoSuchService);
        assert_eq!(read(Code::Ok, b"\x08\xff\xff\x01"), Health::Unknown);
        assert_eq!(read(Code::Ok, b"\x08"), Health::Failed);
        assert_eq!(read(Code::Unimplemented, b""), Health::NotSpoken);
        assert_eq!(read(Code::NotFound, b""), Health::NoSuchService);
        assert_eq!(read(Code::Unavailable, b"\x08\x01"), Health::Failed);
    }
}
