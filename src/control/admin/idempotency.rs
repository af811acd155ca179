// SPDX-License-Identifier: Apache-2.0
//! Requests that were sent with an `Idempotency-Key`, so that a client that lost the response may send the same again.
//!
//! A response that changed something is kept for a day and given again to the same request of the same principal. One
//! that failed changed nothing, so its key is free again. It is kept in memory and, unless it shows a secret, in the
//! store, where it outlives the process. What was written under which key the store notes with the write itself: even
//! where no response was kept, nothing is done twice.

use std::collections::HashMap;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use crate::base::Tick;
use crate::control::admin::problem::{Problem, Reason};
use crate::control::admin::response::{JSON, PLAIN};
use crate::control::store::response::StoredResponse;

/// How long a response is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Most responses that are kept; above it the oldest is given up.
const RESPONSES_MAX: usize = 4_096;
/// Longest key.
const KEY_BYTES_MAX: usize = 255;
/// The field.
pub(crate) const FIELD: &str = "idempotency-key";

/// Whose key, and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    principal: String,
    key: String,
}

impl Key {
    /// What the client sent.
    pub(crate) fn text(&self) -> &str {
        &self.key
    }

    /// The key of a request, where it has one: 1 to 255 visible characters, as they are or as a structured string.
    pub(crate) fn of(fields: &HeaderMap, principal: &str) -> Result<Option<Key>, Problem> {
        let mut values = fields.get_all(FIELD).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().ok().filter(|_| values.next().is_none());
        let text = text.map(|text| text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text));
        let good = text.filter(|text| {
            (1..=KEY_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
        });
        match good {
            Some(key) => Ok(Some(Key { principal: principal.to_owned(), key: key.to_owned() })),
            None => Err(Problem::header("Idempotency-Key", "`Idempotency-Key` is 1 to 255 visible characters")),
        }
    }
}

/// What must be the same for a request to be the same.
pub(crate) fn fingerprint(method: &str, target: &str, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [method.as_bytes(), target.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A response that was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// Its status.
    pub status: StatusCode,
    /// Its media type.
    pub media_type: &'static str,
    /// Its fields.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// Its content.
    pub body: Bytes,
}

impl Given {
    /// As the store keeps it.
    pub(crate) fn stored(&self) -> StoredResponse {
        let text = |(name, value): &(HeaderName, HeaderValue)| {
            // We made them of visible characters.
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        StoredResponse {
            status: self.status.as_u16(),
            media_type: self.media_type.to_owned(),
            fields: self.fields.iter().filter_map(text).collect(),
            body: self.body.to_vec(),
        }
    }

    /// As the store kept it; `None` where this version never makes such a response.
    pub(crate) fn of_store(stored: StoredResponse) -> Option<Given> {
        let StoredResponse { status, media_type, fields, body } = stored;
        let field = |(name, value): (String, String)| Some((name.parse().ok()?, value.parse().ok()?));
        Some(Given {
            status: StatusCode::from_u16(status).ok()?,
            media_type: ["", PLAIN, JSON].into_iter().find(|known| *known == media_type)?,
            fields: fields.into_iter().map(field).collect::<Option<_>>()?,
            body: body.into(),
        })
    }
}

#[derive(Debug)]
struct Entry {
    fingerprint: [u8; 32],
    began: Tick,
    /// `None` while it is made.
    given: Option<Given>,
}

/// All keys in use.
#[derive(Debug, Default)]
pub(crate) struct Idempotency {
    entries: HashMap<Key, Entry>,
}

/// What to do with a request that has a key.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Serve it, and then call `end`.
    First,
    /// Give this again.
    Again(Given),
}

impl Idempotency {
    /// A request with a key begins.
    pub(crate) fn begin(&mut self, key: &Key, fingerprint: [u8; 32], now: Tick) -> Result<Begun, Problem> {
        match self.entries.get(key).filter(|entry| now < entry.began.after(KEPT)) {
            Some(entry) if entry.fingerprint != fingerprint => {
                return Err(Problem::new(Reason::KeyReused, "this `Idempotency-Key` was sent with another request"));
            }
            Some(Entry { given: None, .. }) => {
                return Err(Problem::new(Reason::StillRunning, "the first request with this key is still served"));
            }
            Some(Entry { given: Some(given), .. }) => return Ok(Begun::Again(given.clone())),
            None => {}
        }
        self.entries.remove(key);
        if self.entries.len() >= RESPONSES_MAX {
            self.entries.retain(|_, entry| now < entry.began.after(KEPT));
        }
        if self.entries.len() >= RESPONSES_MAX {
            let finished = self.entries.iter().filter(|(_, entry)| entry.given.is_some());
            let oldest = finished.min_by_key(|(_, entry)| entry.began).map(|(key, _)| key.clone());
            match oldest {
                Some(oldest) => drop(self.entries.remove(&oldest)),
                None => return Err(Problem::new(Reason::Full, "too many requests with keys are served")),
            }
        }
        self.entries.insert(key.clone(), Entry { fingerprint, began: now, given: None });
        Ok(Begun::First)
    }

    /// The request ended with this response, or with one that is not kept because nothing was changed.
    pub(crate) fn end(&mut self, key: &Key, given: Option<Given>) {
        match given {
            Some(given) => self.entries.get_mut(key).into_iter().for_each(|entry| entry.given = Some(given.clone())),
            None => drop(self.entries.remove(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<Option<Key>, Problem> {
        Key::of(&[(FIELD.parse().unwrap(), text.parse().unwrap())].into_iter().collect(), "ann")
    }

    fn given(body: &'static str) -> Given {
        Given {
            status: StatusCode::CREATED,
            media_type: "",
            fields: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_response_is_given_again_and_another_request_is_refused() {
        let (mut all, now) = (Idempotency::default(), Tick::ZERO);
        let key = key("\"k-1\"").expect("good").expect("there");
        let (one, two) = (fingerprint("POST", "/a", b"{}"), fingerprint("POST", "/a", b"{ }"));
        assert!(matches!(all.begin(&key, one, now), Ok(Begun::First)));
        assert_eq!(all.begin(&key, one, now).expect_err("runs").reason, Reason::StillRunning);
        all.end(&key, Some(given("made")));
        let again = all.begin(&key, one, now.after_ms(1));
        assert!(matches!(again, Ok(Begun::Again(given)) if given.body == "made"));
        assert_eq!(all.begin(&key, two, now).expect_err("other").reason, Reason::KeyReused);
        assert!(matches!(all.begin(&key, two, now.after(KEPT)), Ok(Begun::First)));
        all.end(&key, None);
        assert!(matches!(all.begin(&key, one, now), Ok(Begun::First)));
    }

    #[test]
    fn the_table_has_an_end_and_what_runs_is_not_given_up() {
        let (mut all, now) = (Idempotency::default(), Tick::ZERO);
        let keys: Vec<Key> = (0..=RESPONSES_MAX).map(|n| key(&format!("k{n}")).unwrap().unwrap()).collect();
        for (at, key) in keys[..RESPONSES_MAX].iter().enumerate() {
            assert!(matches!(all.begin(key, [0; 32], now.after_ms(at as u64)), Ok(Begun::First)));
        }
        let last = &keys[RESPONSES_MAX];
        assert_eq!(all.begin(last, [0; 32], now).expect_err("full").reason, Reason::Full);
        all.end(&keys[1], Some(given("1")));
        all.end(&keys[2], Some(given("2")));
        assert!(matches!(all.begin(last, [0; 32], now), Ok(Begun::First)));
        assert!(!all.entries.contains_key(&keys[1]) && all.entries.contains_key(&keys[2]));
    }

    #[test]
    fn what_the_store_keeps_is_what_was_given() {
        let given = Given {
            media_type: JSON,
            fields: vec![("etag".parse().unwrap(), "\"1\"".parse().unwrap())],
            ..given("{}")
        };
        let again = Given::of_store(given.stored()).expect("it is ours");
        assert_eq!((again.status, again.media_type, again.body), (given.status, given.media_type, given.body.clone()));
        assert_eq!(again.fields, given.fields);
        assert!(Given::of_store(StoredResponse { status: 7, ..given.stored() }).is_none());
        assert!(Given::of_store(StoredResponse { media_type: "text/html".to_owned(), ..given.stored() }).is_none());
    }

    #[test]
    fn keys_are_short_and_visible() {
        for wrong in ["", "\"\"", "a b", "a\"b", "\u{e9}", &"x".repeat(256)] {
            let fields = [(FIELD.parse().unwrap(), HeaderValue::from_bytes(wrong.as_bytes()).unwrap())];
            assert!(Key::of(&fields.into_iter().collect(), "ann").is_err(), "{wrong}");
        }
        assert_eq!(key("k").unwrap(), key("\"k\"").unwrap());
    }
}
