// SPDX-License-Identifier: Apache-2.0
//! Hot. Consumers by API key. Keys are stored as SHA-256 hashes only; a key is long and random, so a fast hash
//! suffices.
//!
//! A request with two different credentials of one kind is refused, because the upstream might read another one than
//! this policy did.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::base::{ConsumerId, Span, Wall};
use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::Effects;
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::field::Known;
use crate::wire::head::Request;
use crate::wire::template::Lookup;

/// Where keys come from and what they say.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where a key may stand, in order of preference; at least one.
    pub sources: Box<[KeyLocation]>,
    /// Known keys.
    pub keys: Arc<KeyTable>,
    /// All consumers of the configuration, by `ConsumerId`.
    pub consumers: Arc<[Consumer]>,
    /// What the upstream sees of the key.
    pub credential: Credential,
    /// Whether the upstream is told who it is, in `X-Consumer-Name` and `X-Consumer-Id`. Such fields from the client
    /// are always removed.
    pub consumer_fields: ConsumerFields,
    /// Who a request without any key counts as; `None` refuses it. A wrong key is refused in any case.
    pub anonymous: Option<ConsumerId>,
    /// The value of `WWW-Authenticate` in a 401, such as `Bearer realm="api"`.
    pub challenge: Box<[u8]>,
}

/// Where a key may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// The value of this field.
    Header(Box<[u8]>),
    /// `Authorization: Bearer KEY` (RFC 6750 section 2.1).
    Bearer,
    /// The value of this query parameter. It ends up in logs of every proxy on the way: a last resort.
    Query(Box<[u8]>),
}

/// What the upstream sees of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: all configured sources are removed.
    Removed,
    /// Everything.
    Kept,
}

/// Whether the upstream is told who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerFields {
    /// It is.
    Sent,
    /// It is not.
    Omitted,
}

/// Somebody who uses an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The name in the configuration, logs and metrics.
    pub name: Arc<str>,
    /// The user's own identifier, sent as `X-Consumer-Id`; may be empty.
    pub id: Box<str>,
}

/// One key of one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Whose.
    pub consumer: ConsumerId,
    /// Not valid from then on; `None` is for ever.
    pub expires: Option<Wall>,
}

/// Known keys, in order of their hash.
#[derive(Clone, Debug, Default)]
pub struct KeyTable {
    entries: Box<[KeyEntry]>,
}

impl KeyTable {
    /// A table of these keys. Where a hash comes twice, the first counts; `check` should refuse that.
    pub fn new(mut entries: Vec<KeyEntry>) -> KeyTable {
        entries.sort_by_key(|entry| entry.hash);
        entries.dedup_by_key(|entry| entry.hash);
        KeyTable { entries: entries.into() }
    }

    /// Whose key it is. The search looks at eight bytes of the hash, which tell nothing of a key; the rest is compared
    /// in constant time.
    pub fn find(&self, key: &[u8], wall: Wall) -> Option<ConsumerId> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return None;
        }
        let hash = hash_of(key);
        let start = self.entries.partition_point(|entry| entry.hash[..8] < hash[..8]);
        let candidates = self.entries[start..].iter().take_while(|entry| entry.hash[..8] == hash[..8]);
        let mut found = None;
        for entry in candidates {
            if bool::from(entry.hash.ct_eq(&hash)) && entry.expires.is_none_or(|expires| wall < expires) {
                found = Some(entry.consumer);
            }
        }
        found
    }
}

/// The hash that a configuration holds instead of a key.
pub(crate) fn hash_of(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Reads a hash as the configuration writes it: 64 hexadecimal digits.
pub(crate) fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = (pair[0] as char).to_digit(16)?;
        let low = (pair[1] as char).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(hash)
}

/// What a request holds in one source.
enum KeyLookup {
    Nothing,
    One(Span),
    Several,
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let request = facts.request;
        let mut key = None;
        for source in &self.sources {
            match find(source, request) {
                KeyLookup::Nothing => {}
                KeyLookup::Several => return self.refuse("api_key_ambiguous", "More than one key was sent.", effects),
                KeyLookup::One(span) => key = key.or(Some(span)),
            }
        }
        let consumer = match key {
            Some(span) => self.keys.find(span.of(request.bytes), facts.wall),
            None => self.anonymous,
        };
        let Some(consumer) = consumer else {
            return match key {
                Some(_) => self.refuse("api_key_unknown", "The key is not valid.", effects),
                None => self.refuse("api_key_missing", "A key is required.", effects),
            };
        };
        effects.consumer = Some(consumer);
        if self.credential == Credential::Removed {
            self.sources.iter().for_each(|source| remove(source, request, effects));
        }
        self.tell(consumer, request, effects);
        Decision::Pass
    }
}

impl Plan {
    fn refuse(&self, reason: &'static str, detail: &'static str, effects: &mut Effects) -> Decision<'_> {
        effects.to_client.add(b"WWW-Authenticate", &self.challenge);
        let problem = Problem { kind: "", title: "Unauthorized", detail, violated_policy: "" };
        Decision::Respond(LocalResponse { status: 401, reason, body: LocalBody::Problem(problem) })
    }

    fn tell(&self, consumer: ConsumerId, request: Request<'_>, effects: &mut Effects) {
        let (fields, bytes) = (&request.head.fields, request.bytes);
        effects.to_upstream.remove(fields, bytes, NAME_FIELD);
        effects.to_upstream.remove(fields, bytes, ID_FIELD);
        let Some(known) = self.consumers.get(consumer.0 as usize) else { return };
        if self.consumer_fields == ConsumerFields::Omitted {
            return;
        }
        effects.to_upstream.add(NAME_FIELD, known.name.as_bytes());
        if !known.id.is_empty() {
            effects.to_upstream.add(ID_FIELD, known.id.as_bytes());
        }
    }
}

fn find(source: &KeyLocation, request: Request<'_>) -> KeyLookup {
    let bytes = request.bytes;
    let fields = request.head.fields.list.iter();
    match source {
        KeyLocation::Header(name) => one(fields.filter(|field| field.is_named(bytes, name)).map(|field| field.value)),
        KeyLocation::Bearer => {
            let authorizations = fields.filter(|field| field.known == Known::Authorization);
            one(authorizations.filter_map(|field| bearer(field.value, bytes)))
        }
        KeyLocation::Query(name) => one(pairs(request).filter_map(|pair| {
            let value = pair.of(bytes).strip_prefix(&**name)?.strip_prefix(b"=")?;
            Some(Span::new(usize::from(pair.end) - value.len(), pair.end.into()))
        })),
    }
}

fn remove(source: &KeyLocation, request: Request<'_>, effects: &mut Effects) {
    let bytes = request.bytes;
    match source {
        KeyLocation::Header(name) => effects.to_upstream.remove(&request.head.fields, bytes, name),
        KeyLocation::Bearer => {
            for (index, field) in request.head.fields.list.iter().enumerate() {
                if field.known == Known::Authorization && bearer(field.value, bytes).is_some() {
                    effects.to_upstream.remove_at(index);
                }
            }
        }
        KeyLocation::Query(name) => {
            let named = |pair: &Span| matches!(pair.of(bytes).strip_prefix(&**name), Some([] | [b'=', ..]));
            effects.query_removed.extend(pairs(request).filter(named));
        }
    }
}

fn one(mut spans: impl Iterator<Item = Span>) -> KeyLookup {
    match (spans.next(), spans.next()) {
        (None, _) => KeyLookup::Nothing,
        (Some(span), None) => KeyLookup::One(span),
        (Some(_), Some(_)) => KeyLookup::Several,
    }
}

/// The credential behind the scheme's name, which is compared without case (RFC 9110 section 11.1).
fn bearer(value: Span, bytes: &[u8]) -> Option<Span> {
    let text = value.of(bytes);
    let (scheme, rest) = text.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let key = rest.trim_ascii_start();
    Some(Span::new(usize::from(value.end) - key.len(), value.end.into()))
}

/// The `name=value` pieces of the query.
fn pairs(request: Request<'_>) -> impl Iterator<Item = Span> {
    let query = request.head.query.unwrap_or(Span::EMPTY);
    let mut start = usize::from(query.start);
    query.of(request.bytes).split(|byte| *byte == b'&').map(move |pair| {
        let span = Span::new(start, start + pair.len());
        // The last `&` may be the last byte of the head; the piece after it does not exist.
        start = (start + pair.len() + 1).min(usize::from(u16::MAX));
        span
    })
}

const NAME_FIELD: &[u8] = b"X-Consumer-Name";
const ID_FIELD: &[u8] = b"X-Consumer-Id";
/// A longer key is not even hashed.
const KEY_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{Fixture, added, decide};

    fn plan() -> Plan {
        let entry =
            |key: &[u8], consumer, expires| KeyEntry { hash: hash_of(key), consumer: ConsumerId(consumer), expires };
        let keys = KeyTable::new(vec![
            entry(b"alpha", 0, None),
            entry(b"beta", 1, None),
            entry(b"old", 1, Some(Wall(1_700_000_000_000_000))),
        ]);
        let consumer = |name: &str, id: &str| Consumer { name: name.into(), id: id.into() };
        Plan {
            sources: Box::new([
                KeyLocation::Header((*b"x-api-key").into()),
                KeyLocation::Bearer,
                KeyLocation::Query((*b"apikey").into()),
            ]),
            keys: Arc::new(keys),
            consumers: Arc::new([consumer("anna", "17"), consumer("bob", "")]),
            credential: Credential::Removed,
            consumer_fields: ConsumerFields::Sent,
            anonymous: None,
            challenge: (*b"Bearer realm=\"api\"").into(),
        }
    }

    fn who(plan: &Plan, fixture: &Fixture) -> Result<u32, &'static str> {
        let mut effects = Effects::default();
        match decide(plan, &fixture.facts(), &mut effects) {
            Decision::Pass => Ok(effects.consumer.unwrap().0),
            Decision::Respond(response) => {
                assert_eq!(response.status, 401);
                assert_eq!(added(&effects.to_client), [("WWW-Authenticate", "Bearer realm=\"api\"")]);
                Err(response.reason)
            }
            Decision::Ask(_) => panic!("it never asks"),
        }
    }

    #[test]
    fn every_source_is_read() {
        let plan = plan();
        let get = || Fixture::get("/");
        assert_eq!(who(&plan, &get().field("X-API-Key", "alpha")), Ok(0));
        assert_eq!(who(&plan, &get().field("Authorization", "bEARER  beta")), Ok(1));
        assert_eq!(who(&plan, &Fixture::get("/?a=1&apikey=beta")), Ok(1));
        assert_eq!(who(&plan, &get().field("X-Api-Key", "alpha").field("Authorization", "Basic beta")), Ok(0));
    }

    #[test]
    fn everything_else_is_refused() {
        let plan = plan();
        let get = || Fixture::get("/");
        assert_eq!(who(&plan, &get()), Err("api_key_missing"));
        assert_eq!(who(&plan, &get().field("Authorization", "Basic alpha")), Err("api_key_missing"));
        assert_eq!(who(&plan, &get().field("Authorization", "Bearer")), Err("api_key_missing"));
        assert_eq!(who(&plan, &get().field("Authorization", "Bearer ")), Err("api_key_unknown"));
        assert_eq!(who(&plan, &get().field("X-Api-Key", "Alpha")), Err("api_key_unknown"));
        assert_eq!(who(&plan, &get().field("X-Api-Key", "old")), Err("api_key_unknown"));
        assert_eq!(who(&plan, &get().field("X-Api-Key", &"a".repeat(2_000))), Err("api_key_unknown"));
        let twice = get().field("X-Api-Key", "alpha").field("x-api-key", "beta");
        assert_eq!(who(&plan, &twice), Err("api_key_ambiguous"));
        assert_eq!(who(&plan, &Fixture::get("/?apikey=alpha&apikey=beta")), Err("api_key_ambiguous"));
        let hexadecimal: String = hash_of(b"alpha").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            who(&plan, &get().field("X-Api-Key", &hexadecimal)),
            Err("api_key_unknown"),
            "a leaked hash is no key"
        );
    }

    #[test]
    fn anonymous_is_only_for_those_without_a_key() {
        let plan = Plan { anonymous: Some(ConsumerId(1)), ..plan() };
        assert_eq!(who(&plan, &Fixture::get("/")), Ok(1));
        assert_eq!(who(&plan, &Fixture::get("/").field("X-Api-Key", "wrong")), Err("api_key_unknown"));
    }

    #[test]
    fn the_upstream_sees_the_consumer_and_no_key() {
        let fixture = Fixture::get("/?a=1&apikey=x&apikey&b=2")
            .field("Accept", "*/*")
            .field("X-Api-Key", "alpha")
            .field("X-Consumer-Name", "root")
            .field("x-consumer-id", "0")
            .field("Authorization", "Bearer other");
        let mut effects = Effects::default();
        assert_eq!(decide(&plan(), &fixture.facts(), &mut effects), Decision::Pass);
        assert_eq!(fixture.left(&effects.to_upstream), [("Accept".to_owned(), "*/*".to_owned())]);
        assert_eq!(added(&effects.to_upstream), [("X-Consumer-Name", "anna"), ("X-Consumer-Id", "17")]);
        let mut query = Vec::new();
        effects.append_query(fixture.request(), &mut query);
        assert_eq!(query, b"a=1&b=2");

        let kept = Plan { credential: Credential::Kept, consumer_fields: ConsumerFields::Omitted, ..plan() };
        let mut effects = Effects::default();
        assert_eq!(decide(&kept, &fixture.facts(), &mut effects), Decision::Pass);
        assert_eq!(fixture.left(&effects.to_upstream).len(), 3, "only the forged consumer is removed");
        assert!(added(&effects.to_upstream).is_empty() && effects.query_removed.is_empty());
    }

    #[test]
    fn hashes_are_read_as_written() {
        // The example of FIPS 180-2, appendix B.1.
        let text = "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(parse_hash(text), Some(hash_of(b"abc")));
        assert_eq!(parse_hash(&text[1..]), None);
        assert_eq!(parse_hash(&text.replace('B', "g")), None);
        assert_eq!(parse_hash(&"é".repeat(32)), None);
    }
}
