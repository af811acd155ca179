// SPDX-License-Identifier: Apache-2.0
//! Hot. The stages: the only list of them, and the enum that is made of it. The set is ours and closed, so calls are
//! dispatched by `match`.
//!
//! A row of the list names a variant and a type that is a `Transform`.

use std::borrow::Cow;

use crate::base::Fault;
use crate::edge::adapt::transform::{HeldHead, Transform, Treatment};
use crate::edge::flow::stream::Outgoing;
use crate::wire::coding::encoder::Step;

macro_rules! stages {
    (<$a:lifetime> $($(#[$doc:meta])* $Stage:ident($Type:ty),)*) => {
        /// One stage.
        pub(crate) enum Stage<$a> {
            $($(#[$doc])* $Stage($Type),)*
        }

        impl Transform for Stage<'_> {
            fn head(&mut self, outgoing: &mut Outgoing<'_>) -> Treatment {
                match self { $(Stage::$Stage(stage) => stage.head(outgoing),)* }
            }

            fn push(&mut self, content: &[u8]) -> Result<Step, Fault> {
                match self { $(Stage::$Stage(stage) => stage.push(content),)* }
            }

            fn flush(&mut self) -> Result<Step, Fault> {
                match self { $(Stage::$Stage(stage) => stage.flush(),)* }
            }

            fn finish(&mut self, trailers: &mut Cow<'_, [u8]>) -> Result<Step, Fault> {
                match self { $(Stage::$Stage(stage) => stage.finish(trailers),)* }
            }

            fn out(&mut self) -> &mut Vec<u8> {
                match self { $(Stage::$Stage(stage) => stage.out(),)* }
            }

            fn release(&mut self) -> Option<Box<HeldHead>> {
                match self { $(Stage::$Stage(stage) => stage.release(),)* }
            }
        }
    };
}

stages! { <'a>
    /// Messages of gRPC, which are only looked at, in either direction.
    Messages(crate::edge::adapt::grpc::messages::Messages),
    /// A request in gRPC-Web becomes gRPC.
    WebRequest(crate::edge::adapt::grpc::web_request::WebRequest),
    /// A response of gRPC becomes gRPC-Web.
    WebResponse(Box<crate::edge::adapt::grpc::web_response::WebResponse>),
    /// A request that is a stream of JSON texts becomes gRPC.
    JsonRequest(Box<crate::edge::adapt::grpc::json_request::JsonRequest>),
    /// A response of gRPC becomes JSON.
    JsonResponse(Box<crate::edge::adapt::grpc::json_response::JsonResponse>),
    /// A request's body that is only looked at.
    Scan(Box<crate::edge::adapt::scan::Scan>),
    /// Content gets a content coding.
    Coding(crate::edge::adapt::coding::Coding<'a>),
}
