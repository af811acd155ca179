// SPDX-License-Identifier: Apache-2.0
//! Hot. The offer to code the content of one response: what the client prefers, and which responses are eligible.
//!
//! It is made when the request is known, and judged when the response's head is as the client will get it.

use crate::wire::coding::response::{Eligible, vary};
use crate::wire::coding::{ContentCoding, Encoding};
use crate::wire::head::{Method, Response};
use crate::wire::patch::Patch;

/// Whether `Vary` names `Accept-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vary {
    /// It does.
    Sent,
    /// It does not: for a cache behind us that must not know.
    Omitted,
}

/// What the response depends on in the request.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The request's method: a response to HEAD has no content, but the head that GET would get.
    pub method: Method,
    /// The coding that the client prefers, where it accepts one at all.
    pub coding: Option<ContentCoding>,
}

/// An offer to code the content of one response.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What the request asks for.
    pub wanted: Wanted,
    /// Which responses are coded.
    pub eligible: &'a Eligible,
    /// From 1 (fast) to 9 (small).
    pub level: u8,
    /// Whether `Vary` says that the response depends on what the client accepts.
    pub vary: Vary,
}

impl Offer<'_> {
    /// The coding of this response, as which it leaves after `patch`. `None` where its content stays as it is.
    ///
    /// Where the coding depends on the request, `Vary` says so, also to those who get the content uncoded.
    pub fn judge(&self, response: Response<'_>, patch: &mut Patch) -> Option<Encoding> {
        let Wanted { method, coding } = self.wanted;
        if !self.eligible.includes(method, response, patch) {
            return None;
        }
        if self.vary == Vary::Sent {
            vary(response, patch);
        }
        coding.map(|coding| Encoding { coding, level: self.level })
    }
}
