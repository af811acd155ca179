// SPDX-License-Identifier: Apache-2.0
//! Hot. The static table (RFC 7541 appendix A), with what the gateway knows of each entry.
//!
//! Names and values lie one behind the other in one text, so that decoding an indexed field copies one piece.

use crate::wire::field::{Class, Known};
use crate::wire::h2::section::{Label, Pseudo, Traits};

/// Entries, counted from one.
pub(super) const LEN: usize = 61;

/// Name and value of each entry; index 1 is the first.
pub(super) const ENTRIES: [(&str, &str); LEN] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// A place in `TEXT`, and what is known of the field there.
#[derive(Clone, Copy)]
struct Entry {
    start: u16,
    name_len: u8,
    value_len: u8,
    traits: Traits,
}

const TEXT_LEN: usize = text_len();
static TEXT: [u8; TEXT_LEN] = text();
static PLACES: [Entry; LEN] = places();

/// The entry at `index`, `1..=LEN`: its name and value in one piece, the length of its name, and what it is.
#[inline(always)]
pub(super) fn entry(index: usize) -> (&'static [u8], usize, Traits) {
    let Entry { start, name_len, value_len, traits } = PLACES[index - 1];
    let (start, name_len) = (usize::from(start), usize::from(name_len));
    (&TEXT[start..start + name_len + usize::from(value_len)], name_len, traits)
}

const fn text_len() -> usize {
    let mut len = 0;
    let mut at = 0;
    while at < LEN {
        len += ENTRIES[at].0.len() + ENTRIES[at].1.len();
        at += 1;
    }
    len
}

const fn text() -> [u8; TEXT_LEN] {
    let mut text = [0; TEXT_LEN];
    let mut len = 0;
    let mut at = 0;
    while at < LEN {
        let parts = [ENTRIES[at].0.as_bytes(), ENTRIES[at].1.as_bytes()];
        let mut byte = 0;
        while byte < parts[0].len() + parts[1].len() {
            text[len] = if byte < parts[0].len() { parts[0][byte] } else { parts[1][byte - parts[0].len()] };
            len += 1;
            byte += 1;
        }
        at += 1;
    }
    text
}

const fn places() -> [Entry; LEN] {
    let traits = Traits { label: Label::Field(Class::Name(Known::Other)), fault: None };
    let mut places = [Entry { start: 0, name_len: 0, value_len: 0, traits }; LEN];
    let mut start = 0;
    let mut at = 0;
    while at < LEN {
        let (name, value) = ENTRIES[at];
        let (name_len, value_len) = (name.len() as u8, value.len() as u8);
        let traits = Traits { label: label(name.as_bytes()), fault: None };
        places[at] = Entry { start, name_len, value_len, traits };
        start += name_len as u16 + value_len as u16;
        at += 1;
    }
    places
}

const fn label(name: &[u8]) -> Label {
    let mut at = 0;
    while at < Pseudo::ALL.len() {
        if equal(name, Pseudo::ALL[at].1) {
            return Label::Pseudo(Pseudo::ALL[at].0);
        }
        at += 1;
    }
    at = 0;
    while at < Known::ALL.len() {
        if equal(name, Known::ALL[at].name().as_bytes()) {
            return Label::Field(Class::Name(Known::ALL[at]));
        }
        at += 1;
    }
    Label::Field(Class::Name(Known::Other))
}

pub(super) const fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
