// SPDX-License-Identifier: Apache-2.0
//! Hot. Rewrites the path (with its query) and the host of a request for its upstream.
//!
//! A rewrite by regular expression allocates its list of captures; all others allocate nothing once `out` has grown.
//! The scratch memory of an expression is behind a lock when threads share it, so each shard keeps its own clone of a
//! rewrite.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use crate::base::limits::REGEX_PROGRAM_BYTES_MAX;
use crate::route::escape::{Escaping, Keep, escape_from};
use crate::wire::template::{Lookup, Template};

/// How a path is rewritten. What is written is path and query, ready for a request line.
///
/// Where the new text has a query of its own, the client's query follows it after `&`; where it ends with `?`, the
/// client's query is dropped; else the client's query stays.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// This text, whatever the path was. Values are escaped for where they stand.
    Template(Template),
    /// One prefix for another.
    Prefix(PrefixRewrite),
    /// The first match of an expression, somewhere in the path, by a text with captures.
    Regex(RegexRewrite),
}

/// One prefix of whole segments for another, with the slash rules of the Gateway API: trailing slashes of either say
/// nothing, what follows the prefix is kept with its slash, and what would be empty is `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixRewrite {
    matched: Box<[u8]>,
    with: Box<[u8]>,
}

/// An expression and what stands for its first match.
#[derive(Clone, Debug)]
pub struct RegexRewrite {
    regex: Regex,
    with: Box<[Piece]>,
}

/// Path and query as the client sent them, the path normalised.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// The normalised path.
    pub path: &'a [u8],
    /// The query without `?`, if there is one.
    pub query: Option<&'a [u8]>,
}

/// Why a rewrite is refused when it is compiled.
#[derive(Clone, Debug, PartialEq)]
pub enum RewriteError {
    /// The expression is wrong, or too large.
    Regex(regex::Error),
    /// The replacement names a capture that the expression does not have.
    Capture(String),
    /// A `$` that begins no capture; a plain one is written `$$`.
    Dollar(usize),
}

impl fmt::Display for RewriteError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RewriteError::Regex(error) => error.fmt(out),
            RewriteError::Capture(name) => write!(out, "the expression has no capture `{name}`"),
            RewriteError::Dollar(_) => out.write_str("this `$` names no capture; a plain dollar is written `$$`"),
        }
    }
}

impl std::error::Error for RewriteError {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<[u8]>),
    Capture(usize),
}

impl PathRewrite {
    /// Appends the new path and query to `out`. False where the result would not be a path that stays below its root (a
    /// value that is or makes a dot segment); then `out` is as before and the request must be refused.
    #[must_use]
    pub fn write(&self, original: Original<'_>, lookup: &impl Lookup, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        match self {
            PathRewrite::Template(template) => template.render(&Escaping { inner: lookup, within: Keep::Path }, out),
            PathRewrite::Prefix(prefix) => prefix.write(original.path, out),
            PathRewrite::Regex(regex) => regex.write(original.path, out),
        }
        if out.get(start) != Some(&b'/') {
            out.insert(start, b'/');
        }
        // Literal text and what came through as it was: nothing may end the request line's target.
        escape_from(out, start, Keep::Url);
        let question = memchr::memchr(b'?', &out[start..]).map(|at| start + at);
        if climbs(&out[start..question.unwrap_or(out.len())]) {
            out.truncate(start);
            return false;
        }
        append_query(question, original.query, out);
        true
    }
}

fn append_query(question: Option<usize>, query: Option<&[u8]>, out: &mut Vec<u8>) {
    match (question, query) {
        (Some(at), _) if at + 1 == out.len() => out.truncate(at),
        (_, None) => {}
        (Some(_), Some([])) => {}
        (own, Some(query)) => {
            out.push(if own.is_some() { b'&' } else { b'?' });
            out.extend_from_slice(query);
        }
    }
}

/// True if the path has a segment `.` or `..`, also in percent-encoded form.
fn climbs(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| {
        let (mut rest, mut dots) = (segment, 0);
        loop {
            rest = match rest {
                [] => return dots == 1 || dots == 2,
                [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
                _ => return false,
            };
            dots += 1;
        }
    })
}

impl PrefixRewrite {
    /// `with` for `matched`, which is the prefix of the route. An empty `matched` puts `with` before every path.
    pub fn new(matched: &str, with: &str) -> PrefixRewrite {
        let bare = |text: &str| text.trim_end_matches('/').as_bytes().into();
        PrefixRewrite { matched: bare(matched), with: bare(with) }
    }

    fn write(&self, path: &[u8], out: &mut Vec<u8>) {
        // A path that matched another rule of the route may lack the prefix; it stays as it is.
        let rest = path.strip_prefix(&*self.matched).filter(|rest| rest.is_empty() || rest[0] == b'/');
        match rest {
            Some(rest) => {
                out.extend_from_slice(&self.with);
                out.extend_from_slice(rest);
            }
            None => out.extend_from_slice(path),
        }
    }
}

impl RegexRewrite {
    /// `with` may name captures: `$1`, `$name`, `${name}`, and `$0` for the whole match; `$$` is a dollar.
    pub fn new(regex: &str, with: &str) -> Result<RegexRewrite, RewriteError> {
        let mut builder = RegexBuilder::new(regex);
        let regex = builder.unicode(false).size_limit(REGEX_PROGRAM_BYTES_MAX).build().map_err(RewriteError::Regex)?;
        let (mut pieces, mut literal, mut at) = (Vec::new(), Vec::new(), 0);
        while let Some(dollar) = with[at..].find('$').map(|offset| at + offset) {
            literal.extend_from_slice(&with.as_bytes()[at..dollar]);
            let rest = &with[dollar + 1..];
            if rest.starts_with('$') {
                literal.push(b'$');
                at = dollar + 2;
                continue;
            }
            let (name, len) = capture_name(rest).ok_or(RewriteError::Dollar(dollar))?;
            // tidy(hot): rewrites are compiled when a configuration is loaded.
            let group = group(&regex, name).ok_or_else(|| RewriteError::Capture(name.to_owned()))?;
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            pieces.push(Piece::Capture(group));
            at = dollar + 1 + len;
        }
        literal.extend_from_slice(&with.as_bytes()[at..]);
        pieces.push(Piece::Literal(literal.into()));
        Ok(RegexRewrite { regex, with: pieces.into() })
    }

    fn write(&self, path: &[u8], out: &mut Vec<u8>) {
        let mut captures = self.regex.capture_locations();
        let Some(whole) = self.regex.captures_read(&mut captures, path) else {
            out.extend_from_slice(path);
            return;
        };
        out.extend_from_slice(&path[..whole.start()]);
        for piece in &self.with {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Capture(group) => {
                    let start = out.len();
                    let (from, to) = captures.get(*group).unwrap_or_default();
                    out.extend_from_slice(&path[from..to]);
                    escape_from(out, start, Keep::Path);
                }
            }
        }
        out.extend_from_slice(&path[whole.end()..]);
    }
}

/// The name at the beginning of `text` (behind a `$`), and how many bytes it takes with its braces.
fn capture_name(text: &str) -> Option<(&str, usize)> {
    if let Some(inner) = text.strip_prefix('{') {
        let end = inner.find('}')?;
        return (end > 0).then_some((&inner[..end], end + 2));
    }
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    // `$1x` is capture 1 and an `x`: a number ends where its digits end.
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let end = if digits > 0 { digits } else { text.find(|letter| !word(letter)).unwrap_or(text.len()) };
    (end > 0).then_some((&text[..end], end))
}

fn group(regex: &Regex, name: &str) -> Option<usize> {
    let number = name.parse().ok().filter(|number: &usize| *number < regex.captures_len());
    number.or_else(|| regex.capture_names().position(|known| known == Some(name)))
}

/// Which host an upstream sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostRewrite {
    /// The one that the client sent, with its port.
    #[default]
    Keep,
    /// The upstream's own: the name of its endpoint.
    Upstream,
    /// This text.
    Template(Template),
}

impl HostRewrite {
    /// Appends the host to `out`: `sent` is the client's, `own` the upstream's. False, and nothing appended, where the
    /// text is no host (an empty variable, or one with other bytes than hosts have); the request must be refused.
    #[must_use]
    pub fn write(&self, sent: &[u8], own: &[u8], lookup: &impl Lookup, out: &mut Vec<u8>) -> bool {
        match self {
            HostRewrite::Keep => out.extend_from_slice(sent),
            HostRewrite::Upstream => out.extend_from_slice(own),
            HostRewrite::Template(template) => return write_host(template, lookup, out),
        }
        true
    }
}

/// Appends a rendered host. False, and nothing appended, where it is none.
pub(super) fn write_host(template: &Template, lookup: &impl Lookup, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    template.render(lookup, out);
    let host = &out[start..];
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    let is_host = !host.is_empty() && host.iter().all(valid);
    if !is_host {
        out.truncate(start);
    }
    is_host
}

#[cfg(test)]
#[path = "rewrite/tests.rs"]
pub(super) mod tests;
