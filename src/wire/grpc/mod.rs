//! gRPC as bytes: messages in a body, status and message, deadlines, gRPC-Web, health and reflection, and JSON in
//! their place.
//!
//! Nothing here knows HTTP/2: a body is bytes, trailers are names and values. What the gateway passes on it looks at
//! as little as it can; payloads are only opened to turn them into JSON and back.

pub mod base64;
#[cfg(any(test, feature = "fuzz"))]
pub mod check;
pub mod health;
pub mod json;
pub mod media;
pub mod message;
pub mod reflection;
pub mod status;
pub mod timeout;
pub mod web;

pub use media::Media;
pub use message::{Offence, Scanner};
pub use status::{Code, CodeSet, End};
