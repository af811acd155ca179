// SPDX-License-Identifier: Apache-2.0
//! What a rule asks of a path, and how such patterns are written.
//!
//! Patterns are compared byte for byte with the normalised path; whoever makes a rule normalises its literals in the
//! same way first. No pattern reads a request here: that is `route::tree`'s work.

use std::fmt;

use crate::base::limits::{PARAMS_MAX, PATTERN_BYTES_MAX};
use crate::route::whole_regex::WholeRegex;

/// What is asked of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// The path is exactly this.
    Exact(Box<str>),
    /// The path is this, or begins with this and a slash. Held without trailing slash, so `/` is held as nothing.
    Prefix(Box<str>),
    /// The path begins with this, whatever follows.
    TextPrefix(Box<str>),
    /// The path fits this template, which has at least one parameter.
    Template(PathTemplate),
    /// The whole path is matched by this.
    Regex(WholeRegex),
}

/// A path with parameters: `/users/{id}`, `/v1/models/{model}:generate`, `/files/{*rest}`.
///
/// A parameter is one segment or a part of one (with literal text before and after it), and never empty. `{*rest}`
/// stands last and takes at least one byte, slashes included. `{{` and `}}` stand for the braces themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    text: Box<str>,
    parts: Box<[Part]>,
    names: Box<[Box<str>]>,
}

/// A piece of a template, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Literal(Box<[u8]>),
    /// At least one byte that is no slash, up to the end of the segment without these last bytes.
    Param {
        /// The literal end of the segment.
        suffix: Box<[u8]>,
    },
    /// At least one byte, up to the end of the path.
    Tail,
}

/// Why a text is not a path pattern; positions are bytes in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It does not begin with a slash.
    NotAbsolute,
    /// It is longer than `limits::PATTERN_BYTES_MAX`.
    TooLong,
    /// It has a `?` or `#` here: a pattern is for the path only.
    NotPath(usize),
    /// A `{` without `}`.
    Unclosed(usize),
    /// A `}` without `{`.
    Stray(usize),
    /// Not a name: letters, digits, `_`, `-`, not beginning with a digit.
    Name(usize),
    /// A name that was used before.
    Duplicate(usize, String),
    /// More than `limits::PARAMS_MAX` parameters.
    TooMany(usize),
    /// A second parameter in one segment.
    TwoInSegment(usize),
    /// A `{*…}` that is not a whole last segment.
    TailNotLast(usize),
}

impl PatternError {
    /// The byte at which the text is wrong.
    #[cfg(test)]
    pub const fn at(&self) -> usize {
        match self {
            PatternError::NotAbsolute | PatternError::TooLong => 0,
            PatternError::NotPath(at)
            | PatternError::Unclosed(at)
            | PatternError::Stray(at)
            | PatternError::Name(at)
            | PatternError::Duplicate(at, _)
            | PatternError::TooMany(at)
            | PatternError::TwoInSegment(at)
            | PatternError::TailNotLast(at) => *at,
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::NotAbsolute => out.write_str("a path begins with `/`"),
            PatternError::TooLong => write!(out, "a path pattern has at most {PATTERN_BYTES_MAX} bytes"),
            PatternError::NotPath(_) => {
                out.write_str("a path pattern ends before `?` and `#`; query matchers stand apart")
            }
            PatternError::Unclosed(_) => out.write_str("this `{` has no `}`; a plain brace is written `{{`"),
            PatternError::Stray(_) => out.write_str("this `}` has no `{`; a plain brace is written `}}`"),
            PatternError::Name(_) => {
                out.write_str("a parameter's name has letters, digits, `_` and `-`, and does not begin with a digit")
            }
            PatternError::Duplicate(_, name) => write!(out, "the parameter `{name}` was named before"),
            PatternError::TooMany(_) => write!(out, "a path has at most {PARAMS_MAX} parameters"),
            PatternError::TwoInSegment(_) => out.write_str("one segment has at most one parameter"),
            PatternError::TailNotLast(_) => out.write_str("`{*name}` is the whole last segment"),
        }
    }
}

impl std::error::Error for PatternError {}

impl PathPattern {
    /// The path itself.
    pub fn exact(text: &str) -> Result<PathPattern, PatternError> {
        absolute(text)?;
        Ok(PathPattern::Exact(text.into()))
    }

    /// A prefix by whole segments; a trailing slash says nothing.
    pub fn prefix(text: &str) -> Result<PathPattern, PatternError> {
        absolute(text)?;
        Ok(PathPattern::Prefix(text.strip_suffix('/').unwrap_or(text).into()))
    }

    /// A prefix letter by letter.
    pub fn text_prefix(text: &str) -> Result<PathPattern, PatternError> {
        absolute(text)?;
        Ok(PathPattern::TextPrefix(text.into()))
    }

    /// A template; `Exact` where it has no parameter.
    pub fn template(text: &str) -> Result<PathPattern, PatternError> {
        absolute(text)?;
        let template = PathTemplate::parse(text)?;
        match &*template.parts {
            [Part::Literal(bytes)] if template.names.is_empty() => {
                // Cut out of a `str` at ASCII bytes only.
                Ok(PathPattern::Exact(String::from_utf8_lossy(bytes).into()))
            }
            _ => Ok(PathPattern::Template(template)),
        }
    }

    /// The names of its parameters, in order; a match has as many spans, in the same order.
    pub fn names(&self) -> &[Box<str>] {
        match self {
            PathPattern::Template(template) => &template.names,
            PathPattern::Exact(_) | PathPattern::Prefix(_) | PathPattern::TextPrefix(_) | PathPattern::Regex(_) => &[],
        }
    }

    /// A path that it takes; none for regular expressions.
    pub(crate) fn sample(&self) -> Option<String> {
        let parts = match self {
            PathPattern::Exact(text) | PathPattern::TextPrefix(text) => return Some(text.to_string()),
            PathPattern::Prefix(text) => return Some(if text.is_empty() { "/".to_owned() } else { text.to_string() }),
            PathPattern::Template(template) => template.parts(),
            PathPattern::Regex(_) => return None,
        };
        let mut path = Vec::new();
        for part in parts {
            match part {
                Part::Literal(bytes) => path.extend_from_slice(bytes),
                Part::Param { suffix } => path.extend([b"x", &suffix[..]].concat()),
                Part::Tail => path.push(b'x'),
            }
        }
        String::from_utf8(path).ok()
    }

    /// Does it match `path`? For explaining and for reports; requests are matched by `route::tree`.
    pub fn takes(&self, path: &[u8]) -> bool {
        match self {
            PathPattern::Exact(text) => text.as_bytes() == path,
            PathPattern::Prefix(text) => {
                path.strip_prefix(text.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
            }
            PathPattern::TextPrefix(text) => path.starts_with(text.as_bytes()),
            PathPattern::Template(template) => template.takes(path),
            PathPattern::Regex(regex) => regex.regex().is_match(path),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathPattern::Exact(text) => write!(out, "= {text}"),
            PathPattern::Prefix(text) if text.is_empty() => out.write_str("/"),
            PathPattern::Prefix(text) => out.write_str(text),
            PathPattern::TextPrefix(text) => write!(out, "^ {text}"),
            PathPattern::Template(template) => out.write_str(&template.text),
            PathPattern::Regex(regex) => write!(out, "~ {}", regex.text()),
        }
    }
}

impl PathTemplate {
    /// Its pieces, in order. Two literals never stand side by side.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn takes(&self, path: &[u8]) -> bool {
        let mut rest = path;
        for part in &self.parts {
            let behind = match part {
                Part::Literal(bytes) => rest.strip_prefix(&**bytes),
                Part::Param { suffix } => {
                    let (segment, behind) = rest.split_at(memchr::memchr(b'/', rest).unwrap_or(rest.len()));
                    (segment.len() > suffix.len() && segment.ends_with(suffix)).then_some(behind)
                }
                Part::Tail => (!rest.is_empty()).then_some(&[][..]),
            };
            let Some(behind) = behind else { return false };
            rest = behind;
        }
        rest.is_empty()
    }

    fn parse(text: &str) -> Result<PathTemplate, PatternError> {
        let mut reader = Reader::default();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                reader.literal.push(rest.as_bytes()[0]);
                at += 2;
            } else if let Some(inner) = rest.strip_prefix('{') {
                let end = inner.find('}').ok_or(PatternError::Unclosed(at))?;
                let after = at + end + 2;
                reader.param(&inner[..end], at, &text[after..])?;
                at = after;
            } else if rest.starts_with('}') {
                return Err(PatternError::Stray(at));
            } else {
                let end = rest.find(['{', '}']).unwrap_or(rest.len());
                reader.literal.extend_from_slice(&rest.as_bytes()[..end]);
                at += end;
            }
        }
        reader.flush();
        Ok(PathTemplate { text: text.into(), parts: reader.parts.into(), names: reader.names.into() })
    }
}

/// What was read of a template so far.
#[derive(Default)]
struct Reader {
    parts: Vec<Part>,
    names: Vec<Box<str>>,
    literal: Vec<u8>,
}

impl Reader {
    fn param(&mut self, inner: &str, at: usize, rest: &str) -> Result<(), PatternError> {
        let (name, tail) = inner.strip_prefix('*').map_or((inner, false), |name| (name, true));
        if !is_name(name) {
            return Err(PatternError::Name(at + 1));
        }
        if self.names.iter().any(|known| **known == *name) {
            return Err(PatternError::Duplicate(at, name.to_owned()));
        }
        if self.names.len() == PARAMS_MAX {
            return Err(PatternError::TooMany(at));
        }
        if !self.parts.is_empty() && !self.literal.contains(&b'/') {
            return Err(PatternError::TwoInSegment(at));
        }
        self.flush();
        if tail {
            let whole =
                rest.is_empty() && matches!(self.parts.last(), Some(Part::Literal(bytes)) if bytes.ends_with(b"/"));
            if !whole {
                return Err(PatternError::TailNotLast(at));
            }
            self.parts.push(Part::Tail);
        } else {
            self.parts.push(Part::Param { suffix: Box::default() });
        }
        self.names.push(name.into());
        Ok(())
    }

    /// Ends the literal; what of it stands in a parameter's segment becomes that parameter's suffix.
    fn flush(&mut self) {
        let mut literal = std::mem::take(&mut self.literal);
        if let Some(Part::Param { suffix }) = self.parts.last_mut() {
            let end = literal.iter().position(|byte| *byte == b'/').unwrap_or(literal.len());
            let behind = literal.split_off(end);
            *suffix = std::mem::replace(&mut literal, behind).into();
        }
        if !literal.is_empty() {
            self.parts.push(Part::Literal(literal.into()));
        }
    }
}

fn absolute(text: &str) -> Result<(), PatternError> {
    if !text.starts_with('/') {
        return Err(PatternError::NotAbsolute);
    }
    if text.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::TooLong);
    }
    text.find(['?', '#']).map_or(Ok(()), |at| Err(PatternError::NotPath(at)))
}

fn is_name(name: &str) -> bool {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    letters && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(text: &str) -> Part {
        Part::Literal(text.as_bytes().into())
    }

    fn param(suffix: &str) -> Part {
        Part::Param { suffix: suffix.as_bytes().into() }
    }

    fn parts(text: &str) -> Vec<Part> {
        match PathPattern::template(text).unwrap() {
            PathPattern::Template(template) => template.parts.to_vec(),
            other => panic!("{text} became {other:?}"),
        }
    }

    #[test]
    fn templates_are_cut_into_parts() {
        assert_eq!(parts("/u/{id}"), [literal("/u/"), param("")]);
        assert_eq!(parts("/u/{id}.json/x/"), [literal("/u/"), param(".json"), literal("/x/")]);
        assert_eq!(
            parts("/v{major}/{a}/{*rest}"),
            [literal("/v"), param(""), literal("/"), param(""), literal("/"), Part::Tail]
        );
        assert_eq!(parts("/{{x}}/{a}}}"), [literal("/{x}/"), param("}")]);
        assert_eq!(PathPattern::template("/a/{{b}}"), Ok(PathPattern::Exact("/a/{b}".into())));
        assert_eq!(PathPattern::template("/é"), Ok(PathPattern::Exact("/é".into())));
    }

    #[test]
    fn templates_say_where_they_are_wrong() {
        let error = |text: &str| PathPattern::template(text).unwrap_err();
        assert_eq!(error("a"), PatternError::NotAbsolute);
        assert_eq!(error("/a?b"), PatternError::NotPath(2));
        assert_eq!(error("/{a"), PatternError::Unclosed(1));
        assert_eq!(error("/a}"), PatternError::Stray(2));
        assert_eq!(error("/{}"), PatternError::Name(2));
        assert_eq!(error("/{1a}"), PatternError::Name(2));
        assert_eq!(error("/{a}/{a}"), PatternError::Duplicate(5, "a".into()));
        assert_eq!(error("/{a}-{b}"), PatternError::TwoInSegment(5));
        assert_eq!(error("/{a}{*b}"), PatternError::TwoInSegment(4));
        assert_eq!(error("/{*a}/b"), PatternError::TailNotLast(1));
        assert_eq!(error("/x{*a}"), PatternError::TailNotLast(2));
        let many: String = (0..=PARAMS_MAX).map(|number| format!("/{{p{number}}}")).collect();
        assert!(matches!(error(&many), PatternError::TooMany(_)));
        assert_eq!(error(&"/".repeat(PATTERN_BYTES_MAX + 1)), PatternError::TooLong);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_in_place(text in "/?[{}*/a.0é?-]{0,24}") {
            for parsed in [PathPattern::exact(&text), PathPattern::prefix(&text), PathPattern::template(&text)] {
                match parsed {
                    Ok(pattern) => prop_assert!(text.starts_with('/') && pattern.names().len() <= PARAMS_MAX),
                    Err(error) => prop_assert!(text.is_char_boundary(error.at()) && !error.to_string().is_empty()),
                }
            }
        }

        #[test]
        fn a_template_takes_what_fills_it(words in prop::collection::vec("[a-z.]{1,5}", 1..6)) {
            let names = words.iter().zip(0..).map(|(_, number)| format!("/v{{p{number}}}.x"));
            let pattern = PathPattern::template(&names.collect::<String>()).unwrap();
            let filled = |suffix: &str| words.iter().map(|word| format!("/v{word}{suffix}")).collect::<String>();
            prop_assert!(pattern.takes(filled(".x").as_bytes()));
            prop_assert!(!pattern.takes(filled("").as_bytes()) || words.iter().all(|word| word.ends_with(".x")));
        }
    }

    #[test]
    fn prefixes_lose_their_slash() {
        assert_eq!(PathPattern::prefix("/a/"), PathPattern::prefix("/a"));
        assert_eq!(PathPattern::prefix("/"), Ok(PathPattern::Prefix("".into())));
        assert_eq!(PathPattern::prefix("/").unwrap().to_string(), "/");
    }
}
