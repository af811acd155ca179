// SPDX-License-Identifier: Apache-2.0
//! Hot. Consumers by API key, as the shard's directory knows them.
//!
//! A request with different keys is refused, in whatever places they stand, and so is one with several keys in one
//! place: the upstream might read another one than this policy did. So all keys that are hidden are the caller's own.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::Span;
use crate::base::ascii::is_same_to_origin;
use crate::policy::decision::Decision;
use crate::policy::directory::{Consumer, KeyEntry, KeyHash};
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::policy::key_format::{KEY_BYTES_MAX, KeyForm, form_of, hash_of};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::refusal;
use crate::policy::tell::{self, ConsumerFields};
use crate::wire::field::Known;
use crate::wire::head::Request;
use crate::wire::patch::Patch;
use crate::wire::query;
use crate::wire::template::Lookup;

/// Where keys come from and what they say.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where a key may stand; at least one.
    pub sources: Box<[KeyLocation]>,
    /// The names of the consumers that may pass, in order; `None` for all.
    pub consumers: Option<Box<[Box<str>]>>,
    /// What the upstream sees of the key.
    pub credential: Credential,
    /// Whether the upstream is told who it is. Such fields from the client are always removed.
    pub consumer_fields: ConsumerFields,
    /// The name of who a request without any key counts as; `None` refuses it. A wrong key is refused in any case.
    pub anonymous: Option<Box<str>>,
    /// The value of `WWW-Authenticate` in a 401, such as `Bearer realm="api"`.
    pub challenge: Box<[u8]>,
    /// What the keys begin with that the gateway makes, without the `_`.
    pub prefix: Arc<str>,
}

/// Where a key may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// The value of this field.
    Header(Box<[u8]>),
    /// `Authorization: Bearer KEY` (RFC 6750 section 2.1).
    Bearer,
    /// The user of `Authorization: Basic`, with any password (RFC 7617): for clients that know nothing else.
    BasicUser,
    /// The value of this cookie.
    Cookie(Box<[u8]>),
    /// The value of this query parameter. It ends up in logs of every proxy on the way: a last resort.
    Query(Box<[u8]>),
}

/// What the upstream sees of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: the key is removed wherever it stands.
    Removed,
    /// Everything.
    Kept,
}

/// What a request holds in one source.
enum KeyLookup<'r> {
    Nothing,
    One(Cow<'r, [u8]>),
    Several,
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn admits_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }

    fn protect(&self, names: &mut Protected) {
        tell::protect(names);
    }

    fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let request = facts.request;
        let mut key = None;
        for source in &self.sources {
            match (find(source, request), &key) {
                (KeyLookup::Nothing, _) => {}
                (KeyLookup::One(text), None) => key = Some((source, text)),
                (KeyLookup::One(text), Some((first, known))) if is_same_key((first, known), (source, &text)) => {}
                (KeyLookup::One(_), Some(_)) => {
                    return self.refuse(AMBIGUOUS, "Different keys were sent in different places.", effects);
                }
                (KeyLookup::Several, _) => return self.refuse(AMBIGUOUS, "More than one key was sent.", effects),
            }
        }
        let found = match &key {
            Some((source, text)) => self.known(source, text, facts),
            None => self.anonymous(facts),
        };
        let Some((identity, consumer)) = found else {
            return match key {
                Some(_) => self.refuse("api_key_unknown", "The key is not valid.", effects),
                None => self.refuse("api_key_missing", "A key is required.", effects),
            };
        };
        tell::consumer(self.consumer_fields, (&identity, Some(consumer)), facts, effects);
        if self.credential == Credential::Removed {
            self.sources.iter().for_each(|source| remove(source, request, effects));
        }
        effects.identified = Some(identity);
        Decision::Pass
    }
}

impl Plan {
    /// Whose key it is.
    fn known<'d, L>(
        &self,
        source: &KeyLocation,
        text: &[u8],
        facts: &Facts<'d, L>,
    ) -> Option<(Identity, &'d Consumer)> {
        let hash = if *source == KeyLocation::BasicUser { self.hash_of_user(text)? } else { self.hash(text)? };
        let entry: &KeyEntry = facts.directory.key(&hash)?;
        if entry.expires.is_over(facts.wall) {
            return None;
        }
        let consumer = facts.directory.consumer(entry.consumer)?;
        if !self.admits(consumer) {
            return None;
        }
        let (number, app, credential) = (Some(entry.consumer), entry.app(), Some(entry.credential));
        let identity = Identity { consumer: number, app, credential, method: Some(METHOD), ..Identity::default() };
        Some((identity, consumer))
    }

    /// The hash of a key that may be one.
    fn hash(&self, key: &[u8]) -> Option<KeyHash> {
        let sound = !key.is_empty() && key.len() <= KEY_BYTES_MAX;
        (sound && form_of(self.prefix.as_bytes(), key) != KeyForm::Broken).then(|| hash_of(key))
    }

    /// The hash of the key that stands before the colon of `user:password`, in base64 (RFC 7617 section 2).
    #[inline(never)]
    fn hash_of_user(&self, text: &[u8]) -> Option<KeyHash> {
        let mut pair = [0; BASIC_BYTES_MAX];
        self.hash(user_of(text, &mut pair)?)
    }

    /// Who a request without any key counts as.
    fn anonymous<'d, L>(&self, facts: &Facts<'d, L>) -> Option<(Identity, &'d Consumer)> {
        let consumer = facts.directory.by_name(self.anonymous.as_ref()?)?;
        Some((Identity::anonymous(consumer.number, METHOD), consumer))
    }

    fn admits(&self, consumer: &Consumer) -> bool {
        let names = self.consumers.as_ref();
        names.is_none_or(|names| names.binary_search_by(|name| (**name).cmp(&*consumer.name)).is_ok())
    }

    fn refuse(&self, reason: &'static str, detail: &'static str, effects: &mut Effects) -> Decision<'_> {
        refusal::refuse_unidentified(&self.challenge, reason, detail, effects)
    }
}

/// The user of `user:password` in base64 (RFC 7617 section 2).
fn user_of<'p>(text: &[u8], pair: &'p mut [u8; BASIC_BYTES_MAX]) -> Option<&'p [u8]> {
    let length = STANDARD.decode_slice(text, pair).ok()?;
    pair[..length].split(|byte| *byte == b':').next()
}

/// Are these the same key, wherever they stand? A user that cannot be read is none.
#[cold]
fn is_same_key(first: (&KeyLocation, &[u8]), second: (&KeyLocation, &[u8])) -> bool {
    let mut pairs = [[0; BASIC_BYTES_MAX]; 2];
    let [one, other] = &mut pairs;
    key_in(first, one).is_some_and(|key| key_in(second, other) == Some(key))
}

/// The key of a source's text.
fn key_in<'t>((source, text): (&KeyLocation, &'t [u8]), pair: &'t mut [u8; BASIC_BYTES_MAX]) -> Option<&'t [u8]> {
    match source {
        KeyLocation::BasicUser => user_of(text, pair),
        KeyLocation::Header(_) | KeyLocation::Bearer | KeyLocation::Cookie(_) | KeyLocation::Query(_) => Some(text),
    }
}

fn find<'r>(source: &KeyLocation, request: Request<'r>) -> KeyLookup<'r> {
    let bytes = request.bytes;
    let text = |span: Span| Cow::Borrowed(span.of(bytes));
    let fields = request.head.fields.list.iter();
    match source {
        KeyLocation::Header(name) => {
            // What an origin may take for the field is one more.
            let forwarded = fields.filter(|field| field.known != Known::Underscored);
            let named = forwarded.filter(|field| is_same_to_origin(field.name.of(bytes), name));
            one(named.map(|field| text(field.value)))
        }
        KeyLocation::Bearer => {
            let authorizations = fields.filter(|field| field.known == Known::Authorization);
            one(authorizations.filter_map(|field| scheme(field.value, b"bearer ", bytes)).map(text))
        }
        KeyLocation::BasicUser => {
            let authorizations = fields.filter(|field| field.known == Known::Authorization);
            one(authorizations.filter_map(|field| scheme(field.value, b"basic ", bytes)).map(text))
        }
        KeyLocation::Cookie(name) => {
            let cookies = fields.filter(|field| field.known == Known::Cookie);
            one(cookies.flat_map(|field| cookies_named(field.value, name, bytes)).map(text))
        }
        KeyLocation::Query(name) => one(query::values(request, name)),
    }
}

fn remove(source: &KeyLocation, request: Request<'_>, effects: &mut Effects) {
    let bytes = request.bytes;
    match source {
        KeyLocation::Header(name) => effects.to_upstream.remove(&request.head.fields, bytes, name),
        KeyLocation::Bearer => {
            for (index, field) in request.head.fields.list.iter().enumerate() {
                if field.known == Known::Authorization && scheme(field.value, b"bearer ", bytes).is_some() {
                    effects.to_upstream.remove_at(index);
                }
            }
        }
        KeyLocation::BasicUser => {
            for (index, field) in request.head.fields.list.iter().enumerate() {
                if field.known == Known::Authorization && scheme(field.value, b"basic ", bytes).is_some() {
                    effects.to_upstream.remove_at(index);
                }
            }
        }
        KeyLocation::Cookie(name) => {
            for (index, field) in request.head.fields.list.iter().enumerate() {
                let held = field.known == Known::Cookie && cookies_named(field.value, name, bytes).next().is_some();
                if held && !effects.to_upstream.is_removed(index) {
                    effects.to_upstream.remove_at(index);
                    add_other_cookies(field.value.of(bytes), name, &mut effects.to_upstream);
                }
            }
        }
        KeyLocation::Query(name) => {
            effects.query_removed.extend(query::spans(request, name).map(|(pair, _)| pair));
        }
    }
}

fn one<'r>(mut spans: impl Iterator<Item = Cow<'r, [u8]>>) -> KeyLookup<'r> {
    match (spans.next(), spans.next()) {
        (None, _) => KeyLookup::Nothing,
        (Some(span), None) => KeyLookup::One(span),
        (Some(_), Some(_)) => KeyLookup::Several,
    }
}

/// The credential behind the name of a scheme and a space. The name is compared without case (RFC 9110 section 11.1).
fn scheme(value: Span, name: &[u8], bytes: &[u8]) -> Option<Span> {
    let text = value.of(bytes);
    let (scheme, rest) = text.split_at_checked(name.len())?;
    if !scheme.eq_ignore_ascii_case(name) {
        return None;
    }
    let key = rest.trim_ascii_start();
    Some(Span::new(usize::from(value.end) - key.len(), value.end.into()))
}

/// The values of the cookies of that name in one field.
fn cookies_named<'b>(field: Span, name: &'b [u8], bytes: &'b [u8]) -> impl Iterator<Item = Span> + use<'b> {
    let mut start = usize::from(field.start);
    field.of(bytes).split(|byte| *byte == b';').filter_map(move |piece| {
        let end = start + piece.len();
        start = (end + 1).min(usize::from(u16::MAX));
        let value = value_of(piece, name)?.trim_ascii_end();
        let after = end - (piece.len() - piece.trim_ascii_end().len());
        Some(Span::new(after - value.len(), after))
    })
}

/// The value of a cookie, where it has that name.
fn value_of<'b>(piece: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    piece.trim_ascii_start().strip_prefix(name)?.strip_prefix(b"=")
}

/// Adds the cookies of a field that have another name, if there are any.
fn add_other_cookies(field: &[u8], name: &[u8], patch: &mut Patch) {
    let others = || {
        let pieces = field.split(|byte| *byte == b';').filter(|piece| value_of(piece, name).is_none());
        pieces.map(<[u8]>::trim_ascii).filter(|piece| !piece.is_empty())
    };
    if others().next().is_none() {
        return;
    }
    patch.add_with(b"Cookie", |out| {
        for (at, piece) in others().enumerate() {
            out.extend_from_slice(if at > 0 { b"; " } else { b"" });
            out.extend_from_slice(piece);
        }
    });
}

/// What `Identity::method` says.
const METHOD: &str = "api_key";
/// The reason for a request with several keys.
const AMBIGUOUS: &str = "api_key_ambiguous";
/// Longest `user:password` whose user may be a key; in a longer one there is none.
const BASIC_BYTES_MAX: usize = KEY_BYTES_MAX + 512;

#[cfg(test)]
mod tests;
