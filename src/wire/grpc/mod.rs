// SPDX-License-Identifier: Apache-2.0
//! gRPC as bytes: messages in a body, status and message, deadlines, gRPC-Web, health and reflection, and JSON in
//! their place.
//!
//! Nothing here knows HTTP/2: a body is bytes, trailers are names and values. What the gateway passes on it looks at
//! as little as it can; payloads are only opened to turn them into JSON and back.

pub(crate) mod base64;
#[cfg(any(test, feature = "fuzz"))]
pub mod check;
pub(crate) mod health;
pub(crate) mod json;
pub(crate) mod media;
pub(crate) mod message;
pub(crate) mod reflection;
pub(crate) mod status;
pub(crate) mod timeout;
pub(crate) mod web;

pub(crate) use media::Media;
pub(crate) use message::{Offence, Scanner};
pub(crate) use status::{Code, CodeSet, End};
