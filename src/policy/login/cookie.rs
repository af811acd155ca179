// SPDX-License-Identifier: Apache-2.0
//! The cookies of sign-in: reading a sealed text that may be cut into several, and writing them.
//!
//! Browsers keep cookies of 4096 bytes at most, so a longer text is cut. The first cookie says into how many; a text
//! opens only as a whole, so that pieces of two sessions are none. A name that stands twice makes the session
//! unreadable: somebody else may have set one of them.

use std::borrow::Cow;

use crate::base::ascii::push_decimal;
use crate::base::limits::SESSION_COOKIES_MAX;
use crate::wire::field::Known;
use crate::wire::head::Request;

/// How the cookies of a policy are called and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookiePlan {
    /// The name of the first one, with its prefix; the others have `.` and a number behind it.
    pub name: Box<str>,
    /// Whether browsers send them over TLS only.
    pub transport: Transport,
}

/// Over what browsers send cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS alone.
    Secure,
    /// Anything: the page itself comes without TLS.
    Plain,
}

/// What a request has of a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'r> {
    /// Nothing.
    Nothing,
    /// A sealed text, which may be anything.
    Text(Cow<'r, [u8]>),
    /// Pieces that make no text.
    Broken,
}

/// Bytes of a text in one cookie. With its name and attributes it stays below 4096.
pub(crate) const PIECE_BYTES: usize = 3_800;

impl CookiePlan {
    /// The sealed session of a request.
    pub(crate) fn find<'r>(&self, request: Request<'r>) -> Found<'r> {
        let mut pieces: [Option<&[u8]>; SESSION_COOKIES_MAX] = [None; SESSION_COOKIES_MAX];
        for (at, value) in self.pieces(request) {
            match pieces.get_mut(at) {
                Some(piece @ None) => *piece = Some(value),
                Some(Some(_)) => return Found::Broken,
                None => {}
            }
        }
        let Some(first) = pieces[0] else { return Found::Nothing };
        let Some(([digit, b'.'], start)) = first.split_first_chunk::<2>() else { return Found::Broken };
        let count = usize::from(digit.wrapping_sub(b'0'));
        if !(1..=SESSION_COOKIES_MAX).contains(&count) {
            return Found::Broken;
        }
        if count == 1 {
            return Found::Text(Cow::Borrowed(start));
        }
        let mut text = start.to_vec();
        for piece in &pieces[1..count] {
            let Some(piece) = piece else { return Found::Broken };
            text.extend_from_slice(piece);
        }
        Found::Text(Cow::Owned(text))
    }

    /// Writes a sealed session as `Set-Cookie` values, and ends the cookies that the request has beyond them.
    pub(crate) fn write(&self, text: &str, request: Request<'_>, seconds: u64, each: &mut dyn FnMut(&[u8])) {
        let count = text.len().div_ceil(PIECE_BYTES).max(1);
        let mut line = Vec::new();
        for at in 0..count {
            line.clear();
            self.append_name(at, &mut line);
            line.push(b'=');
            if at == 0 {
                push_decimal(&mut line, count as u64);
                line.push(b'.');
            }
            let piece = &text.as_bytes()[at * PIECE_BYTES..text.len().min((at + 1) * PIECE_BYTES)];
            line.extend_from_slice(piece);
            self.append_attributes(seconds, &mut line);
            each(&line);
        }
        self.clear(count, request, each);
    }

    /// Ends the cookies of a session that the request has, from the piece `first` on.
    pub(crate) fn clear(&self, first: usize, request: Request<'_>, each: &mut dyn FnMut(&[u8])) {
        let mut ended = [false; SESSION_COOKIES_MAX];
        for (at, _) in self.pieces(request) {
            let Some(known) = ended.get_mut(at).filter(|known| at >= first && !**known) else { continue };
            *known = true;
            let mut line = Vec::new();
            self.append_name(at, &mut line);
            line.push(b'=');
            self.append_attributes(0, &mut line);
            each(&line);
        }
    }

    /// The value of the cookie of this name with something behind it, where it stands once.
    pub(crate) fn beside<'r>(&self, suffix: &[&[u8]], request: Request<'r>) -> Option<&'r [u8]> {
        let is_named = |name| {
            let rest = suffix.iter().try_fold(self.suffix_of(name)?, |rest, part| rest.strip_prefix(*part));
            rest.filter(|rest| rest.is_empty())
        };
        let mut found = pairs(request).filter_map(|(name, value)| is_named(name).map(|_| value));
        let value = found.next()?;
        if found.next().is_some() { None } else { Some(value) }
    }

    /// The cookies whose names have `kind` behind the name: what follows that.
    pub(crate) fn all_beside<'r>(&self, kind: &'r [u8], request: Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        pairs(request).filter_map(move |(name, _)| self.suffix_of(name)?.strip_prefix(kind))
    }

    /// A `Set-Cookie` value for a cookie with something behind the name; without seconds it ends.
    pub(crate) fn line_beside(&self, suffix: &[&[u8]], value: &[u8], seconds: u64) -> Vec<u8> {
        let mut line = self.name.as_bytes().to_vec();
        suffix.iter().for_each(|part| line.extend_from_slice(part));
        line.push(b'=');
        line.extend_from_slice(value);
        self.append_attributes(seconds, &mut line);
        line
    }

    /// Is it one of ours? The upstream does not see these.
    pub(crate) fn is_ours(&self, name: &[u8]) -> bool {
        let suffix = self.suffix_of(name);
        suffix.is_some_and(|suffix| suffix.is_empty() || matches!(suffix[0], b'.' | b'-'))
    }

    /// The pieces of the session, in the order of the request.
    fn pieces<'r>(&self, request: Request<'r>) -> impl Iterator<Item = (usize, &'r [u8])> {
        pairs(request).filter_map(|(name, value)| match self.suffix_of(name)? {
            [] => Some((0, value)),
            [b'.', digit @ b'1'..=b'9'] => Some((usize::from(digit - b'0'), value)),
            _ => None,
        })
    }

    fn suffix_of<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        name.strip_prefix(self.name.as_bytes())
    }

    fn append_name(&self, at: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        if at > 0 {
            out.push(b'.');
            push_decimal(out, at as u64);
        }
    }

    fn append_attributes(&self, seconds: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"; Path=/; Max-Age=");
        push_decimal(out, seconds);
        out.extend_from_slice(b"; HttpOnly; SameSite=Lax");
        if self.transport == Transport::Secure {
            out.extend_from_slice(b"; Secure");
        }
    }
}

/// The cookies of a request.
fn pairs(request: Request<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = request.head.fields.values(request.bytes, Known::Cookie);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    pairs.filter_map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=')?;
        Some((&pair[..end], &pair[end + 1..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::Fixture;

    fn plan() -> CookiePlan {
        CookiePlan { name: "__Host-session".into(), transport: Transport::Secure }
    }

    /// What `write` writes, as `(name, value, attributes)`.
    fn written(text: &str, request: &Fixture) -> Vec<(String, String, String)> {
        let mut lines = Vec::new();
        plan().write(text, request.request(), 60, &mut |line| {
            let line = String::from_utf8(line.to_vec()).unwrap();
            let (pair, attributes) = line.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            lines.push((name.to_owned(), value.to_owned(), attributes.to_owned()));
        });
        lines
    }

    fn with(lines: &[(String, String, String)]) -> Fixture {
        let pairs: Vec<String> = lines.iter().map(|(name, value, _)| format!("{name}={value}")).collect();
        Fixture::get("/").field("Cookie", &pairs.join("; "))
    }

    #[test]
    fn a_text_of_any_length_comes_back() {
        for length in [1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, PIECE_BYTES * SESSION_COOKIES_MAX] {
            let text = "x".repeat(length - 1) + "y";
            let lines = written(&text, &Fixture::get("/"));
            assert!(lines.iter().all(|(name, value, rest)| name.len() + value.len() + rest.len() < 4_090));
            assert_eq!(plan().find(with(&lines).request()), Found::Text(text.into_bytes().into()), "{length}");
        }
        let (_, _, attributes) = &written("x", &Fixture::get("/"))[0];
        assert_eq!(attributes, "Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
    }

    #[test]
    fn pieces_that_are_left_over_end() {
        let long = with(&written(&"x".repeat(PIECE_BYTES * 2 + 5), &Fixture::get("/")));
        let lines = written("short", &long);
        let names: Vec<(&str, bool)> = lines.iter().map(|(name, _, rest)| (&**name, rest.contains("Age=0"))).collect();
        let expected = [("__Host-session", false), ("__Host-session.1", true), ("__Host-session.2", true)];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_no_session() {
        const CASES: &[(&str, bool)] = &[
            ("a=1; __Host-sessions=1.x; x__Host-session=1.x; __host-session=1.x", false),
            ("__Host-session.1=x", false),
            ("__Host-session=", true),
            ("__Host-session=0.x", true),
            ("__Host-session=9.x", true),
            ("__Host-session=x.x", true),
            ("__Host-session=2.x", true),
            ("__Host-session=2.x; __Host-session.2=y", true),
            ("__Host-session=1.x; __Host-session=1.x", true),
            ("__Host-session=2.x; __Host-session.1=a; __Host-session.1=b", true),
        ];
        for (cookies, broken) in CASES {
            let (plan, fixture) = (plan(), Fixture::get("/").field("Cookie", cookies));
            let found = plan.find(fixture.request());
            assert_eq!(found, if *broken { Found::Broken } else { Found::Nothing }, "{cookies}");
        }
    }

    #[test]
    fn the_upstream_sees_none_of_ours() {
        for (name, ours) in [
            ("__Host-session", true),
            ("__Host-session.1", true),
            ("__Host-session-login-abc", true),
            ("__Host-sessions", false),
            ("session", false),
        ] {
            assert_eq!(plan().is_ours(name.as_bytes()), ours, "{name}");
        }
    }
}
