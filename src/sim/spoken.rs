// SPDX-License-Identifier: Apache-2.0
//! Which HTTP is spoken on one side of the gateway, and what paths and upstreams are named after it.

/// The HTTP version on one side of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1, or 1.0.
    One,
    /// HTTP/2.
    Two,
}

impl Spoken {
    /// Both.
    pub const ALL: [Spoken; 2] = [Spoken::One, Spoken::Two];

    /// The path of an exchange with origins of this version.
    pub fn path(self, id: u64) -> String {
        match self {
            Spoken::One => format!("/one/{id}"),
            Spoken::Two => format!("/two/{id}"),
        }
    }

    /// The upstream of the origins of this version.
    pub fn upstream(self) -> &'static str {
        match self {
            Spoken::One => "one",
            Spoken::Two => "two",
        }
    }

    /// The exchange that a path names.
    pub fn exchange_of(path: &str) -> Option<u64> {
        let rest = path.strip_prefix("/one/").or_else(|| path.strip_prefix("/two/"))?;
        rest.parse().ok()
    }
}
