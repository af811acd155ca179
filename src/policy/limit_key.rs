// SPDX-License-Identifier: Apache-2.0
//! Hot. What limits count apart from each other: a key of one or several parts, each something of the request.
//!
//! A key is only a hash. Each value is hashed with its length and its place in the list, so that no client can move
//! bytes from one part to the next and be counted as somebody else. The seed is random, so that no client can make its
//! key collide with another's.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;

use ahash::RandomState;
use sha2::{Digest, Sha256};

use crate::policy::facts::Facts;
use crate::wire::query::Decoded;
use crate::wire::template::{Lookup, Template, Variable};

/// What is counted apart from each other.
#[derive(Clone, Debug)]
pub struct Key {
    /// Requests that differ in one of these are counted apart. None: all requests are counted together.
    pub parts: Box<[KeyPart]>,
    /// What a request counts as that lacks a part.
    pub absent: Absent,
    /// As it was written: it identifies the limit over reloads.
    pub written: Box<str>,
}

/// Something of a request.
#[derive(Clone, Debug)]
pub enum KeyPart {
    /// The client's address, by its first bits.
    Address {
        /// Of an IPv4 address, 0 to 32.
        v4_prefix: u8,
        /// Of an IPv6 address, 0 to 128. One client usually has a whole /64.
        v6_prefix: u8,
    },
    /// The identified consumer.
    Consumer,
    /// The value of this request field. A field of several lines is absent: a client could vary the line that the
    /// origin does not read.
    Header(Box<[u8]>),
    /// The route's name.
    Route,
    /// The variables of a text; absent where one of them is empty. What stands between them does not count.
    Text(Template),
}

/// What a request counts as that lacks a part of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Absent {
    /// The client's address (/32, /64) takes the part's place.
    Address,
    /// All requests without the part count together.
    Shared,
    /// It does not count, and passes.
    Skip,
    /// It is refused.
    Refuse,
}

/// What a request counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedBy {
    /// This key.
    Key(u64),
    /// It does not count.
    Nothing,
    /// It lacks a part, and is refused.
    Refused,
}

impl Key {
    /// Of one part, with the address where it is absent.
    pub fn of(part: KeyPart, written: &str) -> Key {
        // tidy(hot): once for a plan, by the compiler.
        Key { parts: Box::new([part]), absent: Absent::Address, written: written.into() }
    }

    /// All requests together.
    pub fn everything() -> Key {
        Key { parts: Box::default(), absent: Absent::Address, written: "everything".into() }
    }

    /// Clients by address: of IPv4 the address, of IPv6 the /64.
    pub fn address() -> Key {
        Key::of(KeyPart::Address { v4_prefix: 32, v6_prefix: 64 }, "address")
    }

    /// Is it made of the address alone? Then it is known before anybody is identified.
    pub fn is_address(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|part| matches!(part, KeyPart::Address { .. }))
    }

    /// The part that is known only with the route, in the words of the configuration.
    pub fn needs_route(&self) -> Option<&'static str> {
        self.parts.iter().find_map(|part| match part {
            KeyPart::Route => Some("`route` in `key`"),
            KeyPart::Text(text) => text.variables().any(is_of_route).then_some("a variable of the route in `key`"),
            KeyPart::Address { .. } | KeyPart::Consumer | KeyPart::Header(_) => None,
        })
    }

    /// Does it tell consumers apart?
    pub fn needs_consumer(&self) -> bool {
        self.parts.iter().any(|part| match part {
            KeyPart::Consumer => true,
            KeyPart::Text(text) => text.variables().any(|variable| matches!(variable, Variable::Consumer(_))),
            KeyPart::Address { .. } | KeyPart::Header(_) | KeyPart::Route => false,
        })
    }

    /// What a request counts as. `hasher` may have taken in what else keeps counts apart; `scratch` is overwritten.
    pub fn find<L: Lookup>(&self, facts: &Facts<'_, L>, mut hasher: impl Hasher, scratch: &mut Vec<u8>) -> CountedBy {
        for part in &self.parts {
            if part.hash(facts, &mut hasher, scratch) {
                continue;
            }
            match self.absent {
                Absent::Address => hash_address(facts.client, 32, 64, &mut hasher),
                Absent::Shared => 0_u8.hash(&mut hasher),
                Absent::Skip => return CountedBy::Nothing,
                Absent::Refuse => return CountedBy::Refused,
            }
        }
        CountedBy::Key(hasher.finish())
    }
}

impl Key {
    /// What requests count as that have these values, one for each part and each variable of a text. An error says what
    /// is expected.
    pub fn named(&self, values: &[&str], mut hasher: impl Hasher) -> Result<u64, String> {
        let mut left = values.iter();
        // tidy(hot): for administrators, never for a request.
        let mut next = |what: &str| left.next().copied().ok_or_else(|| format!("the key's {what} is missing"));
        for part in &self.parts {
            match part {
                KeyPart::Address { v4_prefix, v6_prefix } => {
                    // tidy(hot): for administrators, never for a request.
                    let address = next("address")?.parse().map_err(|_| "the key has an IP address here".to_owned())?;
                    hash_address(address, *v4_prefix, *v6_prefix, &mut hasher);
                }
                KeyPart::Consumer => (1_u8, next("consumer")?).hash(&mut hasher),
                KeyPart::Header(_) => (2_u8, next("header")?.as_bytes()).hash(&mut hasher),
                KeyPart::Route => (3_u8, next("route")?).hash(&mut hasher),
                KeyPart::Text(text) => {
                    5_u8.hash(&mut hasher);
                    for _ in text.variables() {
                        next("variable")?.as_bytes().hash(&mut hasher);
                    }
                }
            }
        }
        match left.next() {
            None => Ok(hasher.finish()),
            // tidy(hot): for administrators, never for a request.
            Some(_) => Err(format!("the key is `{}`, which has fewer values", self.written)),
        }
    }
}

impl KeyPart {
    /// Takes its value in; false where the request has none. The first byte keeps the kinds apart: a consumer must not
    /// share a count with an address of the same bytes.
    fn hash<L: Lookup>(&self, facts: &Facts<'_, L>, hasher: &mut impl Hasher, scratch: &mut Vec<u8>) -> bool {
        match self {
            KeyPart::Address { v4_prefix, v6_prefix } => hash_address(facts.client, *v4_prefix, *v6_prefix, hasher),
            // By name: numbers of routes and consumers are other ones after a reload.
            KeyPart::Consumer if facts.identity.consumer.is_none() => return false,
            KeyPart::Consumer => (1_u8, facts.consumer_name).hash(hasher),
            KeyPart::Header(name) => match facts.request.only(name) {
                Some(value) => (2_u8, value).hash(hasher),
                None => return false,
            },
            KeyPart::Route => (3_u8, facts.route_name).hash(hasher),
            KeyPart::Text(text) => {
                5_u8.hash(hasher);
                for variable in text.variables() {
                    scratch.clear();
                    Decoded(facts.words).append(variable, scratch);
                    if scratch.is_empty() {
                        return false;
                    }
                    scratch.hash(hasher);
                }
            }
        }
        true
    }
}

/// What hashes keys under a seed.
pub(crate) fn seeded(seed: u64) -> ahash::AHasher {
    RandomState::with_seeds(seed, !seed, SEEDS[0], SEEDS[1]).build_hasher()
}

/// What hashes keys that outlive the process, or that several gateways count together: the same bytes give the same
/// hash everywhere. Nobody can find bytes with the hash of another's key, so it needs no seed.
#[derive(Default)]
pub(crate) struct Lasting(Sha256);

impl Hasher for Lasting {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn write_usize(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.0.update(number.to_le_bytes());
    }

    fn write_u128(&mut self, number: u128) {
        self.0.update(number.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }
}

fn is_of_route(variable: &Variable) -> bool {
    matches!(variable, Variable::Route | Variable::Param(_) | Variable::NamedParam(_))
}

/// IPv4-mapped IPv6 is the IPv4 client that it is.
fn hash_address(address: IpAddr, v4_prefix: u8, v6_prefix: u8, hasher: &mut impl Hasher) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(v4_prefix.into())).unwrap_or(0);
            (4_u8, u32::from(address) & mask).hash(hasher);
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(v6_prefix.into())).unwrap_or(0);
            (6_u8, u128::from(address) & mask).hash(hasher);
        }
    }
}

const SEEDS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ConsumerId;
    use crate::policy::fixture::Fixture;
    use crate::policy::identity::Identity;

    const LASTING_HEADER: u64 = 0x874d726dfd8a0f50;
    const LASTING_ADDRESS: u64 = 0x72113a0473122f46;

    fn text(template: &str) -> KeyPart {
        KeyPart::Text(Template::compile_anywhere(template).unwrap())
    }

    fn key(parts: impl Into<Box<[KeyPart]>>, absent: Absent) -> Key {
        Key { parts: parts.into(), absent, written: "".into() }
    }

    fn find(key: &Key, fixture: &Fixture) -> CountedBy {
        key.find(&fixture.facts(), seeded(7), &mut Vec::new())
    }

    fn header(name: &str) -> KeyPart {
        KeyPart::Header(name.as_bytes().into())
    }

    #[test]
    fn each_part_keeps_requests_apart_and_no_other_thing_does() {
        let both = key([header("x-a"), header("x-b")], Absent::Address);
        let of = |a: &str, b: &str| find(&both, &Fixture::get("/").field("x-a", a).field("x-b", b));
        assert_eq!(of("1", "2"), find(&both, &Fixture::get("/q").field("x-b", "2").field("x-a", "1")));
        for (a, b) in [("1", "3"), ("2", "1"), ("12", ""), ("", "12")] {
            assert_ne!(of("1", "2"), of(a, b), "{a} {b}");
        }
    }

    #[test]
    fn a_lasting_hash_is_the_same_in_every_process_and_version() {
        let by = |part: KeyPart, fixture: &Fixture| {
            key([part], Absent::Skip).find(&fixture.facts(), Lasting::default(), &mut Vec::new())
        };
        let named = Fixture::get("/").field("x-a", "1");
        assert_eq!(by(header("x-a"), &named), CountedBy::Key(LASTING_HEADER));
        let client = Fixture { client: "192.0.2.1".parse().unwrap(), ..Fixture::get("/") };
        let address = KeyPart::Address { v4_prefix: 32, v6_prefix: 64 };
        assert_eq!(by(address, &client), CountedBy::Key(LASTING_ADDRESS));
    }

    #[test]
    fn a_key_is_found_by_its_values() {
        let mut known = Fixture::get("/").field("x-a", "v");
        (known.identity, known.consumer_name) = (Identity::of(ConsumerId(1), "api_key"), "acme");
        known.client = "192.0.2.77".parse().unwrap();
        let address = KeyPart::Address { v4_prefix: 24, v6_prefix: 48 };
        let key = key([KeyPart::Consumer, header("x-a"), address, text("{method}")], Absent::Refuse);
        let named = |values: &[&str]| key.named(values, seeded(7));
        let found = find(&key, &known);
        assert_eq!(named(&["acme", "v", "192.0.2.1", "<Method>"]).map(CountedBy::Key), Ok(found));
        assert_ne!(named(&["acme", "w", "192.0.2.1", "<Method>"]).map(CountedBy::Key), Ok(found));
        for wrong in [&["acme", "v", "192.0.2.1"][..], &["acme", "v", "x", "GET"], &["a", "v", "::1", "GET", "more"]] {
            assert!(named(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_absent_part_counts_as_was_chosen() {
        let named = Fixture::get("/").field("x-a", "1");
        let mut other = Fixture::get("/");
        other.client = "192.0.2.99".parse().unwrap();
        let bare = Fixture::get("/");
        let twice = Fixture::get("/").field("x-a", "1").field("X-A", "2");
        let with = |absent| key([header("x-a")], absent);
        assert_ne!(find(&with(Absent::Address), &bare), find(&with(Absent::Address), &other));
        assert_eq!(find(&with(Absent::Shared), &bare), find(&with(Absent::Shared), &other));
        assert_ne!(find(&with(Absent::Shared), &bare), find(&with(Absent::Shared), &named));
        for absent in [&bare, &twice] {
            assert_eq!(find(&with(Absent::Skip), absent), CountedBy::Nothing);
            assert_eq!(find(&with(Absent::Refuse), absent), CountedBy::Refused);
        }
        assert!(matches!(find(&with(Absent::Refuse), &named), CountedBy::Key(_)));
    }

    #[test]
    fn kinds_do_not_share_counts_and_texts_are_hashed_variable_by_variable() {
        let mut known = Fixture::get("/").field("x-a", "c");
        (known.identity, known.consumer_name) = (Identity::of(ConsumerId(1), "api_key"), "c");
        let by = |part: KeyPart| find(&key([part], Absent::Skip), &known);
        assert_ne!(by(KeyPart::Consumer), by(header("x-a")));
        assert_ne!(by(text("{host}")), by(text("{host}{method}")));
        assert_eq!(by(text("{header.X-None}")), CountedBy::Nothing);
        assert_eq!(by(text("{host}{header.X-None}")), CountedBy::Nothing);
        assert!(key([text("{param.id}")], Absent::Skip).needs_route().is_some());
        assert!(key([text("{consumer}")], Absent::Skip).needs_consumer());
        assert!(Key::address().is_address() && !Key::everything().is_address());
    }
}
