// SPDX-License-Identifier: Apache-2.0
//! The gRPC settings of a route, and its transcoders.

use std::sync::Arc;
use std::time::Duration;

use crate::wire::grpc::json::Options;

/// Names one transcoder of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TranscoderId(pub u32);

/// What the gateway does for gRPC calls.
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

/// JSON transcoding. Each shard has its own transcoder, because descriptors are reference-counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscoderPlan {
    /// The route that it is for.
    pub route: Arc<str>,
    /// Where the descriptors come from.
    pub descriptors: Descriptors,
    /// What was chosen.
    pub options: Options,
}

/// Where descriptors come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Descriptors {
    /// A serialised descriptor set with all imports. It has been compiled once and is valid.
    Known(Arc<[u8]>),
    /// The control plane asks a server for them.
    Asked(ReflectionPlan),
}

/// How a server is asked for descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReflectionPlan {
    /// Who is asked, and for what.
    pub source: Arc<ReflectionSource>,
    /// Between two times.
    pub refresh: Duration,
    /// Longest wait for all of what one server tells.
    pub timeout: Duration,
}

/// Which upstream is asked for descriptors, and for which services. The received descriptors are kept under this name
/// over a reload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReflectionSource {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// Services by full name; empty for all services of the server.
    pub services: Vec<String>,
}

impl TranscoderPlan {
    /// Can a transcoder for `other` be used here? With reflection, this compares what is known so far.
    pub fn is_served_by(&self, other: &TranscoderPlan) -> bool {
        let same = match (&self.descriptors, &other.descriptors) {
            (Descriptors::Known(own), Descriptors::Known(other)) => own == other,
            (Descriptors::Asked(own), Descriptors::Asked(other)) => own.source == other.source,
            (Descriptors::Known(_), Descriptors::Asked(_)) | (Descriptors::Asked(_), Descriptors::Known(_)) => false,
        };
        same && self.options == other.options
    }

    /// The source that its descriptors come from, where that is a server.
    pub fn source(&self) -> Option<&Arc<ReflectionSource>> {
        match &self.descriptors {
            Descriptors::Known(_) => None,
            Descriptors::Asked(plan) => Some(&plan.source),
        }
    }
}
