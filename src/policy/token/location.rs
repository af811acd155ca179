// SPDX-License-Identifier: Apache-2.0
//! Hot. Where a token may stand in a request, and how it is taken out.

use crate::base::Span;
use crate::policy::facts::Effects;
use crate::wire::field::Known;
use crate::wire::head::Request;
use crate::wire::query;

/// Where a token may stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TokenLocation {
    /// Behind the name of a scheme in this field, such as `Authorization: Bearer TOKEN`. Fields with another scheme
    /// hold no token.
    Scheme(Box<[u8]>, Box<[u8]>),
    /// The whole value of this field.
    Header(Box<[u8]>),
    /// The value of this cookie.
    Cookie(Box<[u8]>),
    /// The value of this query parameter, as it is written (RFC 6750 section 2.3). It ends up in the logs of every
    /// proxy on the way.
    Query(Box<[u8]>),
}

/// What a request holds in all locations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'r> {
    /// No token.
    Nothing,
    /// One token, perhaps several times.
    One(&'r [u8]),
    /// Different tokens: nobody can tell which one counts.
    Several,
}

/// The token of a request.
pub(crate) fn find<'r>(locations: &[TokenLocation], request: Request<'r>) -> Found<'r> {
    let mut found = Found::Nothing;
    for location in locations {
        location.each(request, |_, token| {
            let token = token.of(request.bytes);
            found = match found {
                Found::Nothing => Found::One(token),
                Found::One(first) if first == token => found,
                Found::One(_) | Found::Several => Found::Several,
            };
        });
    }
    found
}

/// Takes the token out of what the upstream gets, wherever it stands.
pub(crate) fn remove(locations: &[TokenLocation], request: Request<'_>, effects: &mut Effects) {
    let (fields, bytes) = (&request.head.fields, request.bytes);
    for location in locations {
        match location {
            TokenLocation::Header(name) => effects.to_upstream.remove(fields, bytes, name),
            TokenLocation::Scheme(..) => location.each(request, |at, _| effects.to_upstream.remove_at(at)),
            TokenLocation::Query(name) => {
                effects.query_removed.extend(query::spans(request, name).map(|(pair, _)| pair));
            }
            TokenLocation::Cookie(_) => {}
        }
    }
    let is_token = |pair: &[u8]| {
        locations.iter().any(|location| match location {
            TokenLocation::Cookie(name) => cookie_value(pair, name).is_some(),
            TokenLocation::Header(_) | TokenLocation::Scheme(..) | TokenLocation::Query(_) => false,
        })
    };
    remove_cookies(request, effects, is_token);
}

impl TokenLocation {
    /// Calls `each` for every token that stands here, with the index of its field, where it stands in one.
    fn each(&self, request: Request<'_>, mut each: impl FnMut(usize, Span)) {
        let bytes = request.bytes;
        let fields = request.head.fields.list.iter().enumerate();
        match self {
            TokenLocation::Scheme(name, scheme) => {
                for (at, field) in fields.filter(|(_, field)| field.is_named(bytes, name)) {
                    if let Some(token) = behind(scheme, field.value, bytes) {
                        each(at, token);
                    }
                }
            }
            TokenLocation::Header(name) => {
                let named = fields.filter(|(_, field)| field.is_named(bytes, name));
                named.for_each(|(at, field)| each(at, field.value));
            }
            TokenLocation::Cookie(name) => {
                for (at, field) in fields.filter(|(_, field)| field.known == Known::Cookie) {
                    for pair in pieces(field.value, bytes, b';') {
                        let pair = trimmed(pair, bytes);
                        if let Some(value) = cookie_value(pair.of(bytes), name) {
                            each(at, Span::new(usize::from(pair.end) - value.len(), pair.end.into()));
                        }
                    }
                }
            }
            TokenLocation::Query(name) => {
                // A token has no byte that must be encoded: one that is encoded all the same is not read.
                let valued = query::spans(request, name).filter(|(pair, _)| pair.of(bytes).contains(&b'='));
                valued.for_each(|(_, value)| each(usize::MAX, value));
            }
        }
    }
}

/// What follows the name of the scheme, which is compared without case (RFC 9110 section 11.1).
fn behind(scheme: &[u8], value: Span, bytes: &[u8]) -> Option<Span> {
    let text = value.of(bytes);
    let (first, rest) = text.split_at_checked(scheme.len())?;
    if !first.eq_ignore_ascii_case(scheme) || !rest.starts_with(b" ") {
        return None;
    }
    let token = rest.trim_ascii_start();
    Some(Span::new(usize::from(value.end) - token.len(), value.end.into()))
}

fn cookie_value<'p>(pair: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")
}

/// Writes the cookies anew, without those that are tokens, where there are such.
pub(crate) fn remove_cookies(request: Request<'_>, effects: &mut Effects, is_token: impl Fn(&[u8]) -> bool) {
    let (fields, bytes) = (&request.head.fields, request.bytes);
    let all = || fields.values(bytes, Known::Cookie).flat_map(|value| value.split(|byte| *byte == b';'));
    if !all().any(&is_token) {
        return;
    }
    let mut kept = all().map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty() && !is_token(pair)).peekable();
    effects.to_upstream.remove_known(fields, Known::Cookie);
    if kept.peek().is_none() {
        return;
    }
    effects.to_upstream.add_with(b"Cookie", |out| {
        for (at, pair) in kept.enumerate() {
            out.extend_from_slice(if at > 0 { b"; " } else { b"" });
            out.extend_from_slice(pair);
        }
    });
}

fn pieces(whole: Span, bytes: &[u8], separator: u8) -> impl Iterator<Item = Span> {
    let mut start = usize::from(whole.start);
    whole.of(bytes).split(move |byte| *byte == separator).map(move |piece| {
        let span = Span::new(start, start + piece.len());
        // The last separator may be the last byte of the head; the piece after it does not exist.
        start = (start + piece.len() + 1).min(usize::from(u16::MAX));
        span
    })
}

fn trimmed(span: Span, bytes: &[u8]) -> Span {
    let text = span.of(bytes);
    let start = usize::from(span.start) + (text.len() - text.trim_ascii_start().len());
    Span::new(start, start + text.trim_ascii().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{Fixture, added};

    fn locations() -> Vec<TokenLocation> {
        let bytes = |text: &str| text.as_bytes().into();
        vec![
            TokenLocation::Scheme(bytes("authorization"), bytes("Bearer")),
            TokenLocation::Header(bytes("x-token")),
            TokenLocation::Cookie(bytes("session")),
            TokenLocation::Query(bytes("access_token")),
        ]
    }

    fn get() -> Fixture {
        Fixture::get("/")
    }

    #[test]
    fn every_location_is_read() {
        for (fixture, token) in [
            (get().field("Authorization", "Bearer t"), Some("t")),
            (get().field("authorization", "bEARER   t"), Some("t")),
            (get().field("Authorization", "Bearer "), Some("")),
            (get().field("X-Token", "t"), Some("t")),
            (get().field("Cookie", "a=1; session=t; b=2"), Some("t")),
            (get().field("Cookie", "a=1").field("cookie", "session=t"), Some("t")),
            (Fixture::get("/?a=1&access_token=t&b"), Some("t")),
            (Fixture::get("/?access_token=t").field("X-Token", "t"), Some("t")),
            (get(), None),
            (get().field("Authorization", "Bearer"), None),
            (get().field("Authorization", "Basic t").field("Cookie", "sessions=t; xsession=t"), None),
            (get().field("Authorization", "BearerX t").field("X_Token", "t"), None),
            (Fixture::get("/?Access_token=t&access_token"), None),
        ] {
            let found = find(&locations(), fixture.request());
            assert_eq!(found, token.map_or(Found::Nothing, |token| Found::One(token.as_bytes())));
        }
    }

    #[test]
    fn two_tokens_are_none() {
        for fixture in [
            get().field("Authorization", "Bearer t").field("Authorization", "Bearer u"),
            get().field("Authorization", "Bearer t").field("X-Token", "u"),
            get().field("Cookie", "session=t; session=u"),
            Fixture::get("/?access_token=t&access_token=u"),
            Fixture::get("/?access_token=t").field("Authorization", "Bearer T"),
        ] {
            assert_eq!(find(&locations(), fixture.request()), Found::Several);
        }
    }

    #[test]
    fn the_upstream_sees_no_token() {
        let fixture = Fixture::get("/?a=1&access_token=t&access_token&b=2")
            .field("Authorization", "Basic eA==")
            .field("Authorization", "Bearer t")
            .field("X_Token", "t")
            .field("Cookie", "a=1;session=t; b=2")
            .field("Cookie", "session=t");
        let mut effects = Effects::default();
        remove(&locations(), fixture.request(), &mut effects);
        assert_eq!(fixture.left(&effects.to_upstream), [("Authorization".to_owned(), "Basic eA==".to_owned())]);
        assert_eq!(added(&effects.to_upstream), [("Cookie", "a=1; b=2")]);
        let mut query = Vec::new();
        effects.append_query(fixture.request(), &mut query);
        assert_eq!(query, b"a=1&b=2");

        let plain = get().field("Cookie", "a=1; b=2");
        let mut effects = Effects::default();
        remove(&locations(), plain.request(), &mut effects);
        assert_eq!(plain.left(&effects.to_upstream).len(), 1);
    }
}
