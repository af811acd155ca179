// SPDX-License-Identifier: Apache-2.0
//! Hot. Sets of media types (RFC 9110 section 8.3.1), as a configuration names them and a response is of.

use crate::base::ascii::is_token;

/// One entry of a list of media types. Texts are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaRange {
    /// `*/*`, or `*` for short.
    Any,
    /// `text/*`: the part before the slash.
    Type(Box<str>),
    /// `application/*+json`: type and structured syntax suffix (RFC 6838 section 4.2.8), without the `+`.
    Suffix(Box<str>, Box<str>),
    /// `text/html`.
    Exact(Box<str>),
}

impl MediaRange {
    /// Reads what a user wrote; `None` where it is none of the forms above.
    pub fn parse(text: &str) -> Option<MediaRange> {
        if matches!(text, "*" | "*/*") {
            return Some(MediaRange::Any);
        }
        let lower = text.to_ascii_lowercase();
        let (kind, subtype) = lower.split_once('/')?;
        let plain = |text: &str| is_token(text.as_bytes()) && !text.contains('*');
        if !plain(kind) {
            return None;
        }
        if subtype == "*" {
            return Some(MediaRange::Type(kind.into()));
        }
        if let Some(suffix) = subtype.strip_prefix("*+") {
            return plain(suffix).then(|| MediaRange::Suffix(kind.into(), suffix.into()));
        }
        plain(subtype).then(|| MediaRange::Exact(lower.into()))
    }

    fn holds(&self, kind: &[u8], subtype: &[u8]) -> bool {
        match self {
            MediaRange::Any => true,
            MediaRange::Type(wanted) => kind.eq_ignore_ascii_case(wanted.as_bytes()),
            MediaRange::Suffix(wanted, suffix) => {
                let at = memchr::memrchr(b'+', subtype);
                kind.eq_ignore_ascii_case(wanted.as_bytes())
                    && at.is_some_and(|at| subtype[at + 1..].eq_ignore_ascii_case(suffix.as_bytes()))
            }
            MediaRange::Exact(wanted) => {
                wanted.len() == kind.len() + 1 + subtype.len()
                    && wanted.as_bytes()[..kind.len()].eq_ignore_ascii_case(kind)
                    && wanted.as_bytes()[kind.len() + 1..].eq_ignore_ascii_case(subtype)
            }
        }
    }
}

/// A list of media types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaRanges(Box<[MediaRange]>);

impl MediaRanges {
    /// These.
    pub fn new(list: Vec<MediaRange>) -> MediaRanges {
        MediaRanges(list.into())
    }

    /// Is a response with this `Content-Type` one of them? Parameters do not count, and what is no media type is none
    /// of them.
    pub fn hold(&self, content_type: &[u8]) -> bool {
        let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
        let essence = content_type[..end].trim_ascii();
        let Some(slash) = memchr::memchr(b'/', essence) else { return false };
        let (kind, subtype) = (&essence[..slash], &essence[slash + 1..]);
        is_token(kind) && is_token(subtype) && self.0.iter().any(|range| range.holds(kind, subtype))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[&str]) -> MediaRanges {
        MediaRanges::new(list.iter().map(|text| MediaRange::parse(text).expect("well formed")).collect())
    }

    #[test]
    fn a_type_is_held_whatever_its_case_and_parameters() {
        let html = ranges(&["image/png", "Text/HTML"]);
        for held in ["text/html", "TEXT/html; charset=utf-8", "text/html;", " text/html "] {
            assert!(html.hold(held.as_bytes()), "{held}");
        }
        for other in ["text/htmlx", "text/htm", "textxhtml", "text", "", "/", "text/", "/html", "text/html, x/y"] {
            assert!(!html.hold(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn wildcards_hold_what_they_say() {
        let text = ranges(&["text/*"]);
        assert!(text.hold(b"text/csv") && !text.hold(b"texts/csv") && !text.hold(b"text/"));
        let json = ranges(&["application/*+json"]);
        assert!(json.hold(b"application/problem+json; charset=utf-8"));
        assert!(!json.hold(b"application/json") && !json.hold(b"image/x+json") && !json.hold(b"application/x+jsonp"));
        for all in ["*", "*/*"] {
            assert!(ranges(&[all]).hold(b"image/png") && !ranges(&[all]).hold(b"nonsense"));
        }
        assert!(!ranges(&[]).hold(b"text/html"));
    }

    #[test]
    fn what_is_no_media_type_is_not_read() {
        for text in ["", "text", "*/html", "te*/x", "text/h*", "text/ html", "text/html;q=1", "a/b/c", "a/*+", "a/*+*"]
        {
            assert_eq!(MediaRange::parse(text), None, "{text}");
        }
    }
}
