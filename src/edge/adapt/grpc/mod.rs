// SPDX-License-Identifier: Apache-2.0
//! gRPC through the pipeline. A call passes as any request does; this folder holds what is said and done differently.
//!
//! ```text
//!              call: deadline, code, what a code says of an endpoint        (any route)
//! calls ───┬─ messages ─┐
//!          ├─ gRPC-Web ─┼─ from_caller (Source) ─► pipeline ─► to_caller (Client)      (routes with `grpc`)
//!          └─ JSON ─────┘                                       └─ web_response, json_response
//! ```
//! What a call needs is decided once, in `forward/calls`; everything else takes the way of a plain request.

pub(crate) mod call;
pub(crate) mod from_caller;
pub(crate) mod json_response;
pub(crate) mod to_caller;
pub(crate) mod web_response;

pub(crate) use call::Caller;
