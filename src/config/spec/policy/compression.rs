// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.compression]`.

use crate::config::location::Located;
use crate::config::spec::scalar::Size;
use crate::config::spec::shape::{Many, table};

table! {
    /// Compresses responses with gzip for clients that accept it (`Accept-Encoding`), as they come: what the upstream
    /// has sent before a pause reaches the client then. Left as they are: responses that have a `Content-Encoding`, a
    /// digest (`Content-Digest`) or `Cache-Control: no-transform`; those with 204, 205, 206 or 304; calls of gRPC (JSON
    /// that is made of them is compressed); and all to clients of HTTP/1.0. A strong `ETag` becomes a weak one, and
    /// `Accept-Ranges` and `Content-Length` go. Name the policy in `[defaults]` to compress on all routes; of several
    /// on one route the last holds. Leave out responses that hold a secret beside text from the request: their length
    /// tells of the secret (BREACH).
    #[schemars(rename = "CompressionSpec")]
    pub struct Spec {
        /// Media types that are compressed: `"text/html"`, `"text/*"`, `"application/*+json"`, `"*"`. An empty list
        /// compresses nothing. `text/event-stream` works, too, at the price of an encoder for each open stream.
        types: Many<Located<String>> = Many(TYPES.map(|text| Located::nowhere(text.to_owned())).to_vec()),
        /// Shorter content is left as it is, where its length is known beforehand.
        min_length: Size = Size(1024),
        /// 1 is the fastest, 9 the smallest; 4 compresses within 4 % of 9 at three to nine times its speed.
        level: Located<u8> = Located::nowhere(4),
        /// Add `Vary: Accept-Encoding`, so that caches keep both forms apart. Without it they may give one client's
        /// form to another.
        vary: bool = true,
    }
}

/// The usual types of text. Images, fonts of the web, archives, sound and film are compressed already.
const TYPES: [&str; 19] = [
    "text/html",
    "text/css",
    "text/plain",
    "text/xml",
    "text/csv",
    "text/markdown",
    "text/javascript",
    "application/javascript",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/xml",
    "application/*+xml",
    "application/yaml",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
];
