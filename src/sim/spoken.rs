// SPDX-License-Identifier: Apache-2.0
//! Which HTTP is spoken on one side of the gateway, and what paths and upstreams are named after it.

/// The HTTP version on one side of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1, or 1.0.
    One,
    /// HTTP/2.
    Two,
}

impl HttpVersion {
    /// Both.
    pub const ALL: [HttpVersion; 2] = [HttpVersion::One, HttpVersion::Two];

    /// The path of an exchange with origins of this version.
    pub fn path(self, id: u64) -> String {
        match self {
            HttpVersion::One => format!("/one/{id}"),
            HttpVersion::Two => format!("/two/{id}"),
        }
    }

    /// The upstream of the origins of this version.
    pub fn upstream(self) -> &'static str {
        match self {
            HttpVersion::One => "one",
            HttpVersion::Two => "two",
        }
    }

    /// The exchange that a path names.
    pub fn exchange_of(path: &str) -> Option<u64> {
        let rest = path.strip_prefix("/one/").or_else(|| path.strip_prefix("/two/"))?;
        rest.parse().ok()
    }
}
