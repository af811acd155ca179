// SPDX-License-Identifier: Apache-2.0
//! gRPC through the pipeline. A call passes as any request does; this folder holds what is said and done differently.
//!
//! ```text
//!              call: deadline, code, what a code says of an endpoint        (any route)
//! calls ───┬─ messages ─┐
//!          ├─ gRPC-Web ─┼─ a stage of the request ─► pipeline ─► a stage of the response    (routes with `grpc`)
//!          └─ JSON ─────┘
//! ```
//! What a call needs is decided once, in `forward/calls`; everything else is done as for a plain request.

pub(crate) mod call;
pub(crate) mod json_request;
pub(crate) mod json_response;
pub(crate) mod messages;
pub(crate) mod owed_status;
pub(crate) mod web_request;
pub(crate) mod web_response;

pub(crate) use call::Caller;
