// SPDX-License-Identifier: Apache-2.0
//! Hot. What the encoder does with a field, by its name.
//!
//! Names that are `Known` are found by number; those that are not, but that the static table has or whose values need
//! care, by one lookup in a table that is built, and proved free of collisions, when the gateway is compiled.

use crate::base::slots;
use crate::wire::field::Known;
use crate::wire::h2::hpack::statics;

/// How a field is written (RFC 7541 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Its value repeats: it gets a place in the table at once.
    Index,
    /// Its value may repeat: it gets a place when it comes a second time.
    Repeated,
    /// Its value hardly repeats, and would only push others out of the table.
    Plain,
    /// Its value is a secret: it must not stand in a table where its length answers guesses (section 7.1).
    Never,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Where the static table has it; zero where it does not.
    pub index: u8,
    /// How fields of this name are written.
    pub policy: Policy,
}

impl Name {
    const UNNAMED: Name = Name { index: 0, policy: Policy::Repeated };

    /// What is known of `name`, which is in lower case and goes by `known`.
    #[inline]
    pub(super) fn of(known: Known, name: &[u8]) -> Name {
        match known {
            Known::Other | Known::Underscored => Name::listed(name),
            known => BY_KNOWN[known as usize],
        }
    }

    fn listed(name: &[u8]) -> Name {
        if name.is_empty() {
            return Name::UNNAMED;
        }
        let at = BY_SLOT[slots::slot(key(name), SEED)];
        match LISTED.get(usize::from(at)) {
            Some((listed, policy)) if listed.as_bytes() == name => {
                Name { index: LISTED_INDEX[usize::from(at)], policy: *policy }
            }
            Some(_) | None => Name::UNNAMED,
        }
    }
}

/// Names that are not `Known`, but that the static table has or that are not simply `Repeated`.
const LISTED: [(&str, Policy); 42] = [
    ("accept", Policy::Repeated),
    ("accept-charset", Policy::Repeated),
    ("accept-language", Policy::Repeated),
    ("accept-ranges", Policy::Index),
    ("access-control-allow-origin", Policy::Repeated),
    ("age", Policy::Plain),
    ("allow", Policy::Repeated),
    ("cache-control", Policy::Index),
    ("content-disposition", Policy::Plain),
    ("content-language", Policy::Repeated),
    ("content-location", Policy::Plain),
    ("content-range", Policy::Plain),
    ("etag", Policy::Plain),
    ("expires", Policy::Plain),
    ("from", Policy::Repeated),
    ("if-match", Policy::Plain),
    ("if-modified-since", Policy::Plain),
    ("if-none-match", Policy::Plain),
    ("if-range", Policy::Plain),
    ("if-unmodified-since", Policy::Plain),
    ("last-modified", Policy::Plain),
    ("link", Policy::Repeated),
    ("refresh", Policy::Repeated),
    ("strict-transport-security", Policy::Index),
    ("www-authenticate", Policy::Repeated),
    ("api-key", Policy::Never),
    ("x-api-key", Policy::Never),
    ("x-goog-api-key", Policy::Never),
    ("x-auth-token", Policy::Never),
    ("x-access-token", Policy::Never),
    ("x-csrf-token", Policy::Never),
    ("x-xsrf-token", Policy::Never),
    ("x-amz-security-token", Policy::Never),
    ("x-amz-content-sha256", Policy::Plain),
    ("x-correlation-id", Policy::Plain),
    ("x-amzn-trace-id", Policy::Plain),
    ("x-b3-traceid", Policy::Plain),
    ("x-b3-spanid", Policy::Plain),
    ("grpc-status", Policy::Index),
    ("grpc-message", Policy::Plain),
    ("grpc-timeout", Policy::Plain),
    ("idempotency-key", Policy::Plain),
];

/// How fields of a known name are written.
const fn policy(known: Known) -> Policy {
    match known {
        Known::Authorization | Known::ProxyAuthorization | Known::SetCookie => Policy::Never,
        // Short ones are never indexed; see `Encoder::field`.
        Known::Cookie => Policy::Plain,
        Known::Via
        | Known::XForwardedProto
        | Known::XForwardedHost
        | Known::XForwardedPort
        | Known::Te
        | Known::Priority
        | Known::Trailer
        | Known::Vary
        | Known::Server
        | Known::ContentType
        | Known::ContentEncoding
        | Known::AcceptEncoding => Policy::Index,
        Known::ContentLength
        | Known::Location
        | Known::Range
        | Known::RetryAfter
        | Known::MaxForwards
        | Known::XRequestId
        | Known::Traceparent
        | Known::Tracestate
        | Known::Http2Settings
        | Known::SecWebsocketKey => Policy::Plain,
        Known::Other
        | Known::Underscored
        | Known::Host
        | Known::Connection
        | Known::TransferEncoding
        | Known::KeepAlive
        | Known::ProxyConnection
        | Known::ProxyAuthenticate
        | Known::Upgrade
        | Known::Expect
        | Known::Forwarded
        | Known::XForwardedFor
        | Known::XRealIp
        | Known::Origin
        | Known::Date
        | Known::UserAgent
        | Known::Referer
        | Known::AccessControlRequestMethod
        | Known::AccessControlRequestHeaders => Policy::Repeated,
    }
}

static BY_KNOWN: [Name; 64] = by_known();
static LISTED_INDEX: [u8; LISTED.len()] = listed_index();
static BY_SLOT: [u8; slots::COUNT] = by_slot();

const KEYS: [u32; LISTED.len()] = keys();
const SEED: u32 = slots::seed(&KEYS);
const NONE: u8 = u8::MAX;

const fn by_known() -> [Name; 64] {
    let mut names = [Name::UNNAMED; 64];
    let mut at = 0;
    while at < Known::ALL.len() {
        let known = Known::ALL[at];
        names[known as usize] = Name { index: static_index(known.name()), policy: policy(known) };
        at += 1;
    }
    names
}

const fn listed_index() -> [u8; LISTED.len()] {
    let mut index = [0; LISTED.len()];
    let mut at = 0;
    while at < LISTED.len() {
        index[at] = static_index(LISTED[at].0);
        at += 1;
    }
    index
}

const fn static_index(name: &str) -> u8 {
    let mut at = 0;
    while at < statics::LEN {
        if statics::equal(statics::ENTRIES[at].0.as_bytes(), name.as_bytes()) {
            return at as u8 + 1;
        }
        at += 1;
    }
    0
}

/// The key of a name that is not empty: its third byte, the fourth from its end, its last, and its length tell all
/// listed names apart.
const fn key(name: &[u8]) -> u32 {
    let len = name.len();
    let third = name[if len > 2 { 2 } else { len - 1 }];
    u32::from_le_bytes([third, name[len.saturating_sub(4)], name[len - 1], len as u8])
}

const fn keys() -> [u32; LISTED.len()] {
    let mut keys = [0; LISTED.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at] = key(LISTED[at].0.as_bytes());
        at += 1;
    }
    keys
}

const fn by_slot() -> [u8; slots::COUNT] {
    let mut by_slot = [NONE; slots::COUNT];
    let mut at = 0;
    while at < KEYS.len() {
        by_slot[slots::slot(KEYS[at], SEED)] = at as u8;
        at += 1;
    }
    by_slot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_static_table_is_found_by_name() {
        for (at, (name, _)) in statics::ENTRIES.iter().enumerate().filter(|(_, (name, _))| !name.starts_with(':')) {
            let found = Name::of(Known::of(name.as_bytes()), name.as_bytes());
            assert_eq!(usize::from(found.index), at + 1, "{name}");
        }
        assert_eq!(Name::of(Known::Other, b"x-unheard-of"), Name::UNNAMED);
        assert_eq!(Name::of(Known::Other, b""), Name::UNNAMED);
    }

    #[test]
    fn names_that_are_known_are_not_listed() {
        for (name, _) in LISTED {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
        }
    }
}
