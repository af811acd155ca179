// SPDX-License-Identifier: Apache-2.0
//! gRPC as JSON over HTTP, by the `google.api.http` rules of a descriptor set.
//!
//! A `Transcoder` is compiled once. For each request, `find` chooses a binding, `request` (or `Requests`, where the
//! client streams) makes framed messages of path, query and body, and `answer` (or `Responses`, where the server
//! streams) makes JSON of framed messages and of the status that ended the call. Neither waits nor reads a clock.
//!
//! Messages and texts are bounded in bytes, in depth and in the number of their values before anything is built of
//! them, because a few bytes on the wire become hundreds in memory and each level of nesting costs stack.
//!
//! Descriptors are counted references: each shard has a transcoder of its own, so that no shard writes to counters of
//! another.

mod answer;
mod binding;
mod fields;
mod form;
mod load;
mod measure;
mod options;
mod read;
mod refusal;
mod request;
mod response;
mod route;
mod rule;
mod split;
mod template;
mod tree;
mod value;
mod weigh;
mod write;

pub(crate) use binding::Flow;
pub(crate) use load::{LoadError, Transcoder};
pub(crate) use options::{Defaults, Enums, LargeIntegers, Names, Options, StreamForm, Unannotated, Unknown};
pub(crate) use refusal::{JSON, Refusal, write_status};
pub(crate) use request::{Incoming, Requests};
pub(crate) use response::Responses;
pub(crate) use route::{Lookup, Route};

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod sample;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use template::check as check_template;
pub(crate) use value::Json;
#[cfg(test)]
mod tests;
