// SPDX-License-Identifier: Apache-2.0
//! Messages as the tests see them. Bytes above 127 are kept as the characters of the same number.

/// The fields of a head or of a trailer, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The first value of that name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of that name.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0.iter().filter(move |(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Is there one of that name?
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

/// A request as an origin received it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Fields,
    /// The content, without chunked coding.
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// The head's bytes.
    pub head: Vec<u8>,
    /// The body's bytes with their coding.
    pub coded: Vec<u8>,
}

impl Request {
    /// The first value of a field; empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.value(name).unwrap_or("")
    }
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing says.
    Complete,
    /// With the connection, which is how an answer without a length ends.
    Closed,
    /// Before its framing says so.
    Aborted(String),
}

/// An answer as a client received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub fields: Fields,
    /// The content, without chunked coding.
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// The body's bytes with their coding.
    pub coded: Vec<u8>,
    pub end: End,
    /// Interim answers (1xx) before it.
    pub interim: Vec<(u16, Fields)>,
}

impl Response {
    /// The first value of a field; empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.value(name).unwrap_or("")
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Says that the connection ends behind it.
    pub fn closes(&self) -> bool {
        self.fields.all("connection").any(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Bytes as characters of the same number.
pub fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
