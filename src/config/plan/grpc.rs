//! What a route does for calls of gRPC, and the transcoders that it names.

use std::sync::Arc;

use crate::wire::grpc::json::Options;

/// Names one transcoder of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TranscoderId(pub u32);

/// What is done for calls of gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcPlan {
    /// Largest message of a caller.
    pub request_bytes_max: u32,
    /// Largest message of a server.
    pub response_bytes_max: u32,
    /// What becomes of gRPC-Web.
    pub web: WebCalls,
    /// Turns JSON into messages and back.
    pub json: Option<TranscoderId>,
}

/// What becomes of gRPC-Web.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebCalls {
    /// It is passed on as it is.
    Passed,
    /// The upstream sees gRPC.
    Taken,
}

/// JSON in the place of gRPC. Each shard compiles a transcoder of its own.
#[derive(Clone, Debug)]
pub struct TranscoderPlan {
    /// A serialised descriptor set with all imports; it was compiled once and is right.
    pub descriptors: Arc<[u8]>,
    /// What was chosen.
    pub options: Options,
}
