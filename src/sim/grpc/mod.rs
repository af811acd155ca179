// SPDX-License-Identifier: Apache-2.0
//! gRPC through the gateway: callers of gRPC and gRPC-Web, and gRPC origins. The reader of a message knows each of its
//! bytes beforehand.
//!
//! A call must end with exactly one status or visibly broken, and within its deadline. An origin's status comes only
//! after all of its messages; the gateway sends a status of its own only for a reason.

mod caller;
pub(super) mod client;
mod ledger;
mod limits;
mod messages;
pub(super) mod origin;

pub(super) use ledger::{CallLedger, Counts, Expectations, exchange_of};
pub(super) use limits::Limits;

/// The protocol that a caller uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrpcProtocol {
    /// gRPC.
    Plain,
    /// gRPC-Web.
    Web,
    /// gRPC-Web in base64.
    Text,
}

impl GrpcProtocol {
    /// The `content-type` of requests and answers.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            GrpcProtocol::Plain => "application/grpc+proto",
            GrpcProtocol::Web => "application/grpc-web+proto",
            GrpcProtocol::Text => "application/grpc-web-text+proto",
        }
    }
}
