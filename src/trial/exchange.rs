// SPDX-License-Identifier: Apache-2.0
//! What is seen of one request: its response, what upstreams got, and its line in the access log.

use serde_json::{Map, Value};

/// One request and what came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    /// The response; `None` where the connection ended without one.
    pub response: Option<Response>,
    /// What upstreams got, in order.
    pub upstream: Vec<Received>,
    /// The line in the access log; empty where there is none.
    pub log: Map<String, Value>,
    /// What `turnpike trace` would show of it, where that was asked for.
    pub trace: Option<Box<str>>,
}

/// A response.
#[derive(Clone, Debug, Default)]
pub(super) struct Response {
    /// Its status.
    pub status: u16,
    /// Its field lines.
    pub fields: Vec<Line>,
    /// Its content.
    pub body: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// As its framing says.
    #[default]
    Whole,
    /// The connection broke off.
    Cut,
}

/// A field line: name and value.
pub(super) type Line = (Box<[u8]>, Box<[u8]>);

/// A request that an upstream got.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    /// The upstream's name.
    pub upstream: Box<str>,
    /// The endpoint's name.
    pub endpoint: Box<str>,
    /// The method.
    pub method: Vec<u8>,
    /// Path and query.
    pub target: Vec<u8>,
    /// Field lines.
    pub fields: Vec<Line>,
    /// The content.
    pub body: Vec<u8>,
}

/// The combined value of all lines of a name (RFC 9110 section 5.3).
pub(super) fn combined(fields: &[Line], name: &str) -> Option<Vec<u8>> {
    let named = fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
    let values: Vec<&[u8]> = named.map(|(_, value)| &**value).collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}
