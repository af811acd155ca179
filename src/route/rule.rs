// SPDX-License-Identifier: Apache-2.0
//! What the config compiler hands to `Table::build`: one rule says which requests go to one route.
//!
//! Everything here is parsed: a `Rule` that exists is well formed. When a table is built,
//! `route::report` finds conflicts between rules.

use std::fmt;

use ipnet::IpNet;

use crate::base::RouteId;
use crate::cel::Program;
use crate::route::pattern::PathPattern;
use crate::route::whole_regex::WholeRegex;
use crate::wire::content::BodyPlace;

/// Which requests go to one route: every part that is given must hold. Several rules may lead to the same route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The route's name, as reports say it; among rules of equal precedence the smaller name wins.
    pub name: Box<str>,
    /// The route that a match selects.
    pub route: RouteId,
    /// Overrides every other part of the precedence: higher goes first. Zero unless the user says otherwise.
    pub priority: i32,
    /// Hosts, of which one must match; empty means any.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathPattern,
    /// The route's parameters in the order in which its templates count them. A match leaves its spans in this order;
    /// one that the pattern does not have is left empty. Normally the pattern's own names, in its order; different
    /// only for a route with several rules.
    pub params: Vec<Box<str>>,
    /// Method tokens, of which one must match exactly (`GET` does not include `HEAD` here); empty means any.
    pub methods: Vec<Box<str>>,
    /// Request fields, all of which must match. Names are compared in any case.
    pub headers: Vec<FieldMatch>,
    /// Query parameters, all of which must match, percent-decoded and with `+` as a space.
    pub query: Vec<FieldMatch>,
    /// Cookies, all of which must match.
    pub cookies: Vec<FieldMatch>,
    /// Values in the body, all of which must match. Where there are some, the body must be of their type.
    pub body: Vec<BodyMatch>,
    /// Networks, of which one must hold the client's address; empty means any.
    pub sources: Vec<IpNet>,
    /// What the whole host must match; where it is there, `hosts` is empty.
    pub host_regex: Option<WholeRegex>,
    /// What must hold of the request and the caller.
    pub condition: Option<Program>,
    /// Requests that it does not take, although everything else holds: those of which all of one entry holds.
    pub not: Vec<Exclusion>,
}

/// Requests that a rule does not take. Parts that are empty hold for each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclusion {
    /// Hosts, of which one must match.
    pub hosts: Vec<HostPattern>,
    /// Paths, of which one must match.
    pub paths: Vec<PathPattern>,
    /// Method tokens, of which one must match.
    pub methods: Vec<Box<str>>,
    /// Request fields, all of which must match.
    pub headers: Vec<FieldMatch>,
    /// Query parameters, all of which must match.
    pub query: Vec<FieldMatch>,
    /// Cookies, all of which must match.
    pub cookies: Vec<FieldMatch>,
    /// Networks, of which one must hold the client's address.
    pub sources: Vec<IpNet>,
    /// What must hold of the request and the caller.
    pub condition: Option<Program>,
}

impl Rule {
    /// A rule that takes every request with such a path.
    pub fn new(name: &str, route: RouteId, path: PathPattern) -> Rule {
        Rule {
            name: name.into(),
            route,
            priority: 0,
            hosts: Vec::new(),
            params: path.names().to_vec(),
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
            body: Vec::new(),
            sources: Vec::new(),
            host_regex: None,
            condition: None,
            not: Vec::new(),
        }
    }

    /// Conditions beyond host, path, method, fields and networks.
    pub(crate) fn further(&self) -> usize {
        usize::from(self.condition.is_some()) + self.not.len()
    }
}

/// What a named value (a request field, a query parameter, a cookie) must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMatch {
    /// The name.
    pub name: Box<str>,
    /// What is asked of its value. Where a name occurs more than once, one occurrence that matches suffices.
    pub value: ValueMatch,
}

/// What a value in the body must be. Where there are several at the place, each of them must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyMatch {
    /// Where it stands.
    pub place: BodyPlace,
    /// What is asked of it.
    pub value: ValueMatch,
}

/// A condition on a value. Bytes are compared as they are, with regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// Is exactly this.
    Exact(Box<str>),
    /// Begins with this.
    Prefix(Box<str>),
    /// Ends with this.
    Suffix(Box<str>),
    /// Has this somewhere.
    Contains(Box<str>),
    /// Is wholly matched by this.
    Regex(WholeRegex),
    /// Is there, whatever it is, also if empty.
    Present,
    /// Is not there.
    Absent,
}

impl ValueMatch {
    /// Is this value as asked? `None` is one that is not there.
    pub(crate) fn takes(&self, value: Option<&[u8]>) -> bool {
        let Some(value) = value else { return matches!(self, ValueMatch::Absent) };
        match self {
            ValueMatch::Exact(text) => text.as_bytes() == value,
            ValueMatch::Prefix(text) => value.starts_with(text.as_bytes()),
            ValueMatch::Suffix(text) => value.ends_with(text.as_bytes()),
            ValueMatch::Contains(text) => memchr::memmem::find(value, text.as_bytes()).is_some(),
            ValueMatch::Regex(regex) => regex.regex().is_match(value),
            ValueMatch::Present => true,
            ValueMatch::Absent => false,
        }
    }
}

/// What is asked of a value, in words.
impl fmt::Display for ValueMatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueMatch::Exact(text) => write!(out, "to be {text:?}"),
            ValueMatch::Prefix(text) => write!(out, "to begin with {text:?}"),
            ValueMatch::Suffix(text) => write!(out, "to end with {text:?}"),
            ValueMatch::Contains(text) => write!(out, "to contain {text:?}"),
            ValueMatch::Regex(regex) => write!(out, "to match {:?}", regex.text()),
            ValueMatch::Present => out.write_str("to be present"),
            ValueMatch::Absent => out.write_str("to be absent"),
        }
    }
}

/// Hosts that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host: lower case, no port, no trailing dot.
    Exact(Box<str>),
    /// Every host that ends with this, at any depth, but not the bare domain: `.example.com` for `*.example.com`.
    Suffix(Box<str>),
    /// Every host, and a request without one.
    Any,
}

/// Why a text is not a host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// It is empty, or one of its labels is.
    EmptyLabel,
    /// It is longer than a name can be.
    TooLong,
    /// A `*` that is not the whole first label.
    Wildcard,
    /// A port was given; listeners have ports, hosts have none.
    Port,
    /// Not a letter, digit, `-`, `_` or `.`; names of other scripts are written in their `xn--` form.
    Character(char),
    /// `[…]` without an IPv6 address inside.
    Address,
}

impl fmt::Display for HostError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostError::EmptyLabel => out.write_str("a host has no empty label"),
            HostError::TooLong => write!(out, "a host has at most {HOST_BYTES_MAX} bytes"),
            HostError::Wildcard => out.write_str("`*` stands alone or is the whole first label, as in `*.example.com`"),
            HostError::Port => out.write_str("a host has no port here; the listener has one"),
            HostError::Character(letter) => {
                write!(
                    out,
                    "`{letter}` does not stand in a host; names of other scripts are written in their `xn--` form"
                )
            }
            HostError::Address => out.write_str("between `[` and `]` stands an IPv6 address"),
        }
    }
}

impl std::error::Error for HostError {}

impl HostPattern {
    /// Reads `*`, `example.com`, `*.example.com`, `192.0.2.1`, `[2001:db8::1]`.
    pub fn parse(text: &str) -> Result<HostPattern, HostError> {
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        if text.starts_with('[') {
            return address(text);
        }
        let (name, wild) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.len() > HOST_BYTES_MAX {
            return Err(HostError::TooLong);
        }
        for letter in name.chars() {
            match letter {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => {}
                '*' => return Err(HostError::Wildcard),
                ':' => return Err(HostError::Port),
                other => return Err(HostError::Character(other)),
            }
        }
        if name.split('.').any(str::is_empty) {
            return Err(HostError::EmptyLabel);
        }
        let name = name.to_ascii_lowercase();
        if wild { Ok(HostPattern::Suffix(format!(".{name}").into())) } else { Ok(HostPattern::Exact(name.into())) }
    }

    /// True if it matches `host` (lower case, no port, no trailing dot).
    pub fn takes(&self, host: &[u8]) -> bool {
        match self {
            HostPattern::Exact(name) => name.as_bytes() == host,
            HostPattern::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_bytes()),
            HostPattern::Any => true,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(name) => out.write_str(name),
            HostPattern::Suffix(suffix) => write!(out, "*{suffix}"),
            HostPattern::Any => out.write_str("*"),
        }
    }
}

/// A name has at most 253 bytes when written with dots (RFC 1035 section 3.1, less the root's).
const HOST_BYTES_MAX: usize = 253;

fn address(text: &str) -> Result<HostPattern, HostError> {
    let (inner, rest) = text[1..].split_once(']').ok_or(HostError::Address)?;
    if rest.starts_with(':') {
        return Err(HostError::Port);
    }
    let valid = rest.is_empty() && inner.parse::<std::net::Ipv6Addr>().is_ok();
    if valid { Ok(HostPattern::Exact(text.to_ascii_lowercase().into())) } else { Err(HostError::Address) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hosts_are_refused_or_written_alike(text in "[*.a-b:\\[\\]é_1]{0,12}") {
            match HostPattern::parse(&text) {
                Ok(host) => prop_assert_eq!(HostPattern::parse(&host.to_string()), Ok(host)),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn hosts_are_read_and_refused() {
        let exact = |name: &str| Ok(HostPattern::Exact(name.into()));
        assert_eq!(HostPattern::parse("*"), Ok(HostPattern::Any));
        assert_eq!(HostPattern::parse("Example.COM."), exact("example.com"));
        assert_eq!(HostPattern::parse("*.Example.com"), Ok(HostPattern::Suffix(".example.com".into())));
        assert_eq!(HostPattern::parse("[2001:DB8::1]"), exact("[2001:db8::1]"));
        assert_eq!(HostPattern::parse("a.com:80"), Err(HostError::Port));
        assert_eq!(HostPattern::parse("[::1]:80"), Err(HostError::Port));
        assert_eq!(HostPattern::parse("[::1"), Err(HostError::Address));
        assert_eq!(HostPattern::parse("[x]"), Err(HostError::Address));
        assert_eq!(HostPattern::parse("a*.com"), Err(HostError::Wildcard));
        assert_eq!(HostPattern::parse("*.*.com"), Err(HostError::Wildcard));
        assert_eq!(HostPattern::parse("a..com"), Err(HostError::EmptyLabel));
        assert_eq!(HostPattern::parse(""), Err(HostError::EmptyLabel));
        assert_eq!(HostPattern::parse("bücher.de"), Err(HostError::Character('ü')));
        assert_eq!(HostPattern::parse(&"a".repeat(254)), Err(HostError::TooLong));
    }

    #[test]
    fn a_wildcard_takes_hosts_of_any_depth_below_its_suffix() {
        let pattern = |text| HostPattern::parse(text).unwrap();
        assert!(pattern("*.a.b").takes(b"x.a.b") && pattern("*.a.b").takes(b"x.y.a.b"));
        assert!(
            !pattern("*.a.b").takes(b"a.b") && !pattern("*.a.b").takes(b".a.b") && !pattern("*.a.b").takes(b"xa.b")
        );
    }
}
