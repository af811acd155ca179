// SPDX-License-Identifier: Apache-2.0
//! Hot. Field names that the gateway itself acts upon, recognised once when a head is parsed.
//!
//! Every other name is `Known::Other`, and rules that mention it compare bytes. Recognition is one lookup in a table
//! that the compiler builds and checks to be free of collisions.

use crate::base::ascii::is_name;
use crate::base::slots;

macro_rules! known {
    ($($variant:ident $name:literal,)*) => {
        /// A field name the gateway acts upon.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known {
            /// Any other name.
            Other,
            /// A known name but for `_` in place of `-`; where a listener drops all names with `_`, any of them. Many
            /// origins (CGI, WSGI and their kin) cannot tell the two apart, so such a field is never forwarded in a
            /// request, and one that looks like framing is refused.
            Underscored,
            $(#[doc = $name] $variant,)*
        }

        impl Known {
            /// The name in lower case; empty for `Other` and `Underscored`.
            pub const fn name(self) -> &'static str {
                match self {
                    Known::Other | Known::Underscored => "",
                    $(Known::$variant => $name,)*
                }
            }

            /// All but `Other` and `Underscored`.
            pub const ALL: &'static [Known] = &[$(Known::$variant,)*];
        }
    };
}

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It is this name (or `Known::Other`).
    Name(Known),
    /// It is this name but for `_` in place of `-`.
    Underscored(Known),
}

impl Known {
    /// Recognises `name` in any case. A name with `_` for `-` is `Underscored`.
    pub fn of(name: &[u8]) -> Known {
        match Known::class(name) {
            Class::Name(known) => known,
            Class::Underscored(_) => Known::Underscored,
        }
    }

    /// Recognises `name` in any case, and says which name an underscored one stands for.
    #[inline(always)]
    pub fn class(name: &[u8]) -> Class {
        let candidate = BY_SLOT[slots::slot(key(tail(name), name.len()), SEED)];
        if candidate == Known::Other {
            return Class::Name(Known::Other);
        }
        if is_name(name, candidate.name().as_bytes()) {
            return Class::Name(candidate);
        }
        misspelt(name, candidate)
    }

    /// As `class`, for the name in front of the colon that `line` has at `length`. `None` where it is too short to be
    /// looked at in this way.
    #[inline(always)]
    pub(crate) fn class_in(line: &[u8; LINE], length: usize) -> Option<Class> {
        let tail = line[..length.min(LINE)].last_chunk()?;
        let candidate = BY_SLOT[slots::slot(key(u32::from_le_bytes(*tail), length), SEED)];
        if candidate == Known::Other {
            return Some(Class::Name(Known::Other));
        }
        let Beginning { bytes, mask } = BEGINNINGS[candidate as usize];
        if (u128::from_le_bytes(*line) ^ bytes) & mask == 0 {
            return Some(Class::Name(candidate));
        }
        Some(misspelt(&line[..length], candidate))
    }

    /// This name as a bit of a set of names; see `KnownSet`.
    pub const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A set of known names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet(u64);

impl KnownSet {
    /// The set of the listed names.
    pub const fn of(names: &[Known]) -> KnownSet {
        let mut set = 0;
        let mut at = 0;
        while at < names.len() {
            set |= names[at].bit();
            at += 1;
        }
        KnownSet(set)
    }

    /// Is `known` in it?
    pub const fn has(self, known: Known) -> bool {
        self.0 & known.bit() != 0
    }

    /// Adds `known`.
    pub const fn insert(&mut self, known: Known) {
        self.0 |= known.bit();
    }

    /// The names in either set.
    pub const fn or(self, other: KnownSet) -> KnownSet {
        KnownSet(self.0 | other.0)
    }

    /// The names in both sets.
    pub const fn and(self, other: KnownSet) -> KnownSet {
        KnownSet(self.0 & other.0)
    }

    /// True where no name is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Which known names a head has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// At least once.
    pub once: KnownSet,
    /// At least twice.
    pub twice: KnownSet,
    /// In a form with `_` for `-`.
    pub underscored: KnownSet,
}

impl Seen {
    /// Takes note of one more field, and says which name it goes by.
    #[inline(always)]
    pub const fn note(&mut self, class: Class) -> Known {
        match class {
            Class::Name(Known::Other) => Known::Other,
            Class::Name(known) => {
                self.twice = self.twice.or(self.once.and(KnownSet::of(&[known])));
                self.once.insert(known);
                known
            }
            Class::Underscored(known) => {
                self.underscored.insert(known);
                self.once.insert(Known::Underscored);
                Known::Underscored
            }
        }
    }
}

const _: () = assert!(Known::ALL.len() + 2 <= 64, "a set of names is 64 bits");

const KEYS: [u32; Known::ALL.len()] = keys();
const SEED: u32 = slots::seed(&KEYS);
static BY_SLOT: [Known; slots::COUNT] = by_slot();

/// Bytes of a line that are compared at once.
const LINE: usize = 16;

/// How a line begins that has a certain name.
#[derive(Clone, Copy)]
struct Beginning {
    /// The name in lower case and the colon behind it.
    bytes: u128,
    /// The bits that count: not the case of letters, and nothing behind the colon.
    mask: u128,
}

/// Beginnings by number of the name. Those of longer names are never met, because `class_in` sees their colon.
static BEGINNINGS: [Beginning; 64] = beginnings();

/// The key of a name: its last four bytes and its length tell all known names apart. `0x72` takes the case of letters
/// away and makes `-` and `_` equal.
const fn key(tail: u32, len: usize) -> u32 {
    (tail | 0x7272_7272) ^ (len as u32) << 4
}

/// The last four bytes, with zeros in front of them where there are fewer.
const fn tail(name: &[u8]) -> u32 {
    if let Some(tail) = name.last_chunk() {
        return u32::from_le_bytes(*tail);
    }
    let (mut tail, mut at) = (0, 0);
    while at < name.len() {
        tail = tail >> 8 | (name[at] as u32) << 24;
        at += 1;
    }
    tail
}

const fn keys() -> [u32; Known::ALL.len()] {
    let mut keys = [0; Known::ALL.len()];
    let mut at = 0;
    while at < keys.len() {
        let name = Known::ALL[at].name().as_bytes();
        keys[at] = key(tail(name), name.len());
        at += 1;
    }
    keys
}

const fn by_slot() -> [Known; slots::COUNT] {
    let mut by_slot = [Known::Other; slots::COUNT];
    let mut at = 0;
    while at < KEYS.len() {
        by_slot[slots::slot(KEYS[at], SEED)] = Known::ALL[at];
        at += 1;
    }
    by_slot
}

const fn beginnings() -> [Beginning; 64] {
    let mut beginnings = [Beginning { bytes: 0, mask: 0 }; 64];
    let mut at = 0;
    while at < Known::ALL.len() {
        beginnings[Known::ALL[at] as usize] = beginning(Known::ALL[at].name().as_bytes());
        at += 1;
    }
    beginnings
}

const fn beginning(name: &[u8]) -> Beginning {
    let (mut bytes, mut mask) = ([0; LINE], [0; LINE]);
    let mut at = 0;
    while at < LINE && at <= name.len() {
        bytes[at] = if at < name.len() { name[at] } else { b':' };
        mask[at] = if bytes[at].is_ascii_lowercase() { !0x20 } else { !0 };
        at += 1;
    }
    Beginning { bytes: u128::from_le_bytes(bytes), mask: u128::from_le_bytes(mask) }
}

/// A name that shares its slot with `candidate` and is not it.
#[cold]
fn misspelt(name: &[u8], candidate: Known) -> Class {
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    let underscored = name.iter().map(dashed).eq(candidate.name().bytes());
    if underscored { Class::Underscored(candidate) } else { Class::Name(Known::Other) }
}

known! {
    Host "host",
    Connection "connection",
    ContentLength "content-length",
    TransferEncoding "transfer-encoding",
    KeepAlive "keep-alive",
    ProxyConnection "proxy-connection",
    ProxyAuthorization "proxy-authorization",
    ProxyAuthenticate "proxy-authenticate",
    Te "te",
    Trailer "trailer",
    Upgrade "upgrade",
    Expect "expect",
    Http2Settings "http2-settings",
    MaxForwards "max-forwards",
    Via "via",
    Forwarded "forwarded",
    XForwardedFor "x-forwarded-for",
    XForwardedProto "x-forwarded-proto",
    XForwardedHost "x-forwarded-host",
    XForwardedPort "x-forwarded-port",
    XRealIp "x-real-ip",
    XRequestId "x-request-id",
    Traceparent "traceparent",
    Tracestate "tracestate",
    Authorization "authorization",
    Cookie "cookie",
    SetCookie "set-cookie",
    Origin "origin",
    Vary "vary",
    Date "date",
    Server "server",
    Location "location",
    ContentType "content-type",
    ContentEncoding "content-encoding",
    AcceptEncoding "accept-encoding",
    UserAgent "user-agent",
    Referer "referer",
    RetryAfter "retry-after",
    Range "range",
    SecWebsocketKey "sec-websocket-key",
    AccessControlRequestMethod "access-control-request-method",
    Priority "priority",
    AccessControlRequestHeaders "access-control-request-headers",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_recognised_in_any_case() {
        for known in Known::ALL {
            assert_eq!(Known::of(known.name().as_bytes()), *known);
            assert_eq!(Known::of(known.name().to_uppercase().as_bytes()), *known);
            assert_eq!(Known::of(format!("{}x", known.name()).as_bytes()), Known::Other);
        }
        assert_eq!(Known::of(b""), Known::Other);
        assert_eq!(Known::of(b"x"), Known::Other);
    }

    #[test]
    fn underscores_are_noticed() {
        for known in Known::ALL.iter().filter(|known| known.name().contains('-')) {
            let name = known.name().replace('-', "_").to_uppercase();
            assert_eq!(Known::class(name.as_bytes()), Class::Underscored(*known));
        }
        assert_eq!(Known::of(b"my_name"), Known::Other);
    }

    #[test]
    fn a_line_begins_with_the_name_that_it_has() {
        let unknown = ["accept", "cache-control", "x", "age", "hosts", "content-lengtx", "content_length"];
        for name in Known::ALL.iter().map(|known| known.name()).chain(unknown) {
            for name in [name.to_owned(), name.to_uppercase(), name.replace('-', "_"), format!("{name}x")] {
                let line = format!("{name}: a value that is long enough");
                let part = line.as_bytes().first_chunk().unwrap();
                let class = part.contains(&b':').then(|| Known::class_in(part, name.len())).flatten();
                assert!(class.is_none_or(|class| class == Known::class(name.as_bytes())), "{name} {class:?}");
                assert_eq!(class.is_some(), (4..16).contains(&name.len()), "{name}");
            }
        }
    }

    #[test]
    fn sets_hold_what_was_put() {
        let mut set = KnownSet::of(&[Known::Host, Known::Range]);
        assert!(set.has(Known::Host) && !set.has(Known::Via) && !set.has(Known::Other));
        set.insert(Known::Via);
        assert!(set.has(Known::Via) && !set.and(KnownSet::of(&[Known::Via])).is_empty());
    }
}
