//! Calls of gRPC through the gateway: callers that speak gRPC or gRPC-Web, origins that speak gRPC, and every byte of
//! every message known beforehand to the one who reads it.
//!
//! A call must end with exactly one status, or visibly broken; an origin's status only behind all of its messages; one
//! of the gateway only where it has a reason; and no later than its caller wants.

mod book;
mod caller;
pub mod client;
mod limits;
mod messages;
pub mod origin;

pub use book::{Book, Demands, Tally, exchange_of};
pub use limits::Limits;

/// In which words a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// gRPC.
    Plain,
    /// gRPC-Web.
    Web,
    /// gRPC-Web in base64.
    Text,
}

impl Words {
    /// The `content-type` of requests and answers.
    pub const fn content_type(self) -> &'static str {
        match self {
            Words::Plain => "application/grpc+proto",
            Words::Web => "application/grpc-web+proto",
            Words::Text => "application/grpc-web-text+proto",
        }
    }
}
