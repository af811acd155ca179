// SPDX-License-Identifier: Apache-2.0
//! Hot. The compiled conditions of a rule besides host, path and method: fields, query, cookies, source networks.

use std::net::IpAddr;

use ipnet::IpNet;
use memchr::memmem::Finder;
use regex::bytes::Regex;

use crate::base::limits::{HEADER_COMBINED_BYTES_MAX, QUERY_DECODED_BYTES_MAX};
use crate::route::pattern::PathPattern;
use crate::route::rule::{FieldMatch, Rule, ValueMatch};
use crate::wire::field::Known;
use crate::wire::head::{Request, separator_of};

/// A regular expression in the table's list. The list is outside of what tables share, because each clone of a table
/// has its own (`Table`).
#[derive(Clone, Copy, Debug)]
pub(super) struct RegexId(u32);

/// The conditions of one rule; empty where it has none.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    path: Option<RegexId>,
    tests: Box<[FieldTest]>,
    sources: Option<Sources>,
}

/// One matcher of a named value.
#[derive(Debug)]
pub(super) struct FieldTest {
    pub(super) location: ValueLocation,
    pub(super) name: Box<[u8]>,
    /// The name, if it is one that heads recognise.
    known: Known,
    test: Test,
}

/// Where a named value stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueLocation {
    /// A field line.
    Header,
    /// A query parameter.
    Query,
    /// A cookie.
    Cookie,
}

#[derive(Debug)]
enum Test {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<Finder<'static>>),
    Regex(RegexId),
    Present,
    Absent,
}

/// Networks as ranges, sorted and disjoint, so that membership is a binary search.
#[derive(Debug, Default)]
pub(super) struct Sources {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Conditions {
    /// Compiles what `rule` asks; its expressions go to the end of `regexes`. `None` where it asks nothing.
    pub(super) fn compile(rule: &Rule, regexes: &mut Vec<Regex>) -> Option<Conditions> {
        let path = match &rule.path {
            PathPattern::Regex(regex) => Some(RegexId::add(regex.regex(), regexes)),
            PathPattern::Exact(_) | PathPattern::Prefix(_) | PathPattern::TextPrefix(_) | PathPattern::Template(_) => {
                None
            }
        };
        let mut tests = Vec::new();
        for (location, list) in [
            (ValueLocation::Header, &rule.headers),
            (ValueLocation::Query, &rule.query),
            (ValueLocation::Cookie, &rule.cookies),
        ] {
            tests.extend(list.iter().map(|field| FieldTest::compile(location, field, regexes)));
        }
        let sources = (!rule.sources.is_empty()).then(|| Sources::new(&rule.sources));
        let asks = path.is_some() || !tests.is_empty() || sources.is_some();
        asks.then(|| Conditions { path, tests: tests.into(), sources })
    }

    /// Do all of them hold?
    pub(super) fn hold(&self, request: Request<'_>, path: &[u8], source: IpAddr, regexes: &[Regex]) -> bool {
        self.path_holds(path, regexes)
            && self.tests.iter().all(|test| test.holds(request, regexes))
            && self.source_holds(source)
    }

    /// Does the path's regular expression match, if there is one?
    pub(super) fn path_holds(&self, path: &[u8], regexes: &[Regex]) -> bool {
        self.path.is_none_or(|id| id.of(regexes).is_match(path))
    }

    /// Is the source in one of the networks, if there are any?
    pub(super) fn source_holds(&self, source: IpAddr) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.hold(source))
    }

    /// The matchers of named values: header, query and cookie matchers, each in the order of the rule.
    pub(super) fn tests(&self) -> &[FieldTest] {
        &self.tests
    }
}

/// Matchers of header fields outside of a table. It has regular expressions of its own, so each shard makes one: a
/// shared expression has scratch memory, in which threads would meet at a lock.
#[derive(Debug)]
pub struct HeaderTests {
    tests: Box<[FieldTest]>,
    regexes: Vec<Regex>,
}

impl HeaderTests {
    /// Compiles `fields`.
    pub fn new<'m>(fields: impl Iterator<Item = &'m FieldMatch>) -> HeaderTests {
        let mut regexes = Vec::new();
        let tests = fields.map(|field| FieldTest::compile(ValueLocation::Header, field, &mut regexes)).collect();
        HeaderTests { tests, regexes }
    }

    /// The index of the first one that does not hold. Of several lines of a header each must match: an origin may read
    /// any of them.
    pub fn first_that_fails(&self, request: Request<'_>) -> Option<usize> {
        self.tests.iter().position(|test| !test.holds_each(request, &self.regexes))
    }
}

impl RegexId {
    pub(super) fn add(regex: &Regex, regexes: &mut Vec<Regex>) -> RegexId {
        regexes.push(regex.clone());
        RegexId(regexes.len() as u32 - 1)
    }

    pub(super) fn of(self, regexes: &[Regex]) -> &Regex {
        &regexes[self.0 as usize]
    }
}

impl FieldTest {
    pub(super) fn compile(location: ValueLocation, field: &FieldMatch, regexes: &mut Vec<Regex>) -> FieldTest {
        let test = match &field.value {
            ValueMatch::Exact(text) => Test::Exact(text.as_bytes().into()),
            ValueMatch::Prefix(text) => Test::Prefix(text.as_bytes().into()),
            ValueMatch::Suffix(text) => Test::Suffix(text.as_bytes().into()),
            // tidy(hot): tests are compiled when a configuration is loaded.
            ValueMatch::Contains(text) => Test::Contains(Box::new(Finder::new(text.as_bytes()).into_owned())),
            ValueMatch::Regex(regex) => Test::Regex(RegexId::add(regex.regex(), regexes)),
            ValueMatch::Present => Test::Present,
            ValueMatch::Absent => Test::Absent,
        };
        let name = field.name.as_bytes();
        FieldTest { location, name: name.into(), known: Known::of(name), test }
    }

    /// Does it hold? The lines of a header are read as their combined value (RFC 9110 section 5.3). Servers differ in
    /// which of several parameters or cookies they read, so all of them must match.
    pub(super) fn holds(&self, request: Request<'_>, regexes: &[Regex]) -> bool {
        match self.location {
            ValueLocation::Header => self.holds_combined(request, regexes),
            ValueLocation::Query | ValueLocation::Cookie => self.holds_each(request, regexes),
        }
    }

    /// Is there an occurrence of the name, and does each one match? Where the value must be absent: is there none?
    fn holds_each(&self, request: Request<'_>, regexes: &[Regex]) -> bool {
        let mut found = false;
        let failed = self.any(request, |value| {
            found = true;
            !self.matches(value, regexes)
        });
        found != matches!(self.test, Test::Absent) && !failed
    }

    fn holds_combined(&self, request: Request<'_>, regexes: &[Regex]) -> bool {
        let mut first = None;
        let several = self.any_header(request, |line| first.replace(line).is_some());
        match first {
            Some(_) if several => self.matches(Combined::of(self, request).text(), regexes),
            Some(line) => self.matches(Some(line), regexes),
            None => matches!(self.test, Test::Absent),
        }
    }

    /// Does this value match? `None` is a value above a cap, which is not looked at.
    fn matches(&self, value: Option<&[u8]>, regexes: &[Regex]) -> bool {
        match &self.test {
            Test::Exact(text) => value == Some(text),
            Test::Prefix(text) => value.is_some_and(|value| value.starts_with(text)),
            Test::Suffix(text) => value.is_some_and(|value| value.ends_with(text)),
            Test::Contains(finder) => value.is_some_and(|value| finder.find(value).is_some()),
            Test::Regex(id) => value.is_some_and(|value| id.of(regexes).is_match(value)),
            Test::Present => true,
            Test::Absent => false,
        }
    }

    /// Is there an occurrence of the name for whose value `holds`? A value is `None` where it is above a cap.
    pub(super) fn any(&self, request: Request<'_>, mut holds: impl FnMut(Option<&[u8]>) -> bool) -> bool {
        match self.location {
            ValueLocation::Header => self.any_header(request, |line| holds(Some(line))),
            ValueLocation::Query => any_query(request.query(), &self.name, holds),
            ValueLocation::Cookie => any_cookie(request, &self.name, |value| holds(Some(value))),
        }
    }

    fn any_header<'a>(&self, request: Request<'a>, mut holds: impl FnMut(&'a [u8]) -> bool) -> bool {
        request.head.fields.list.iter().any(|field| {
            // Two known names are equal where they are the same one; all others must be compared.
            field.known == self.known
                && (!matches!(self.known, Known::Other | Known::Underscored)
                    || field.is_named(request.bytes, &self.name))
                && holds(field.value.of(request.bytes))
        })
    }
}

/// The combined value of several lines.
struct Combined {
    buffer: [u8; HEADER_COMBINED_BYTES_MAX],
    /// Above the buffer's size where the value is longer.
    len: usize,
}

impl Combined {
    #[cold]
    fn of(test: &FieldTest, request: Request<'_>) -> Combined {
        let mut combined = Combined { buffer: [0; HEADER_COMBINED_BYTES_MAX], len: 0 };
        let mut separator: &[u8] = b"";
        test.any_header(request, |line| {
            combined.push(separator);
            combined.push(line);
            separator = separator_of(test.known);
            false
        });
        combined
    }

    fn push(&mut self, piece: &[u8]) {
        if let Some(room) = self.buffer.get_mut(self.len..self.len + piece.len()) {
            room.copy_from_slice(piece);
        }
        self.len += piece.len();
    }

    fn text(&self) -> Option<&[u8]> {
        self.buffer.get(..self.len)
    }
}

fn any_query(query: &[u8], name: &[u8], mut holds: impl FnMut(Option<&[u8]>) -> bool) -> bool {
    if query.is_empty() {
        return false;
    }
    query.split(|byte| *byte == b'&').any(|pair| {
        let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let value = pair.get(end + 1..).unwrap_or_default();
        // No rule has a name above the cap.
        decoded(&pair[..end], |text| text == Some(name)) && decoded(value, &mut holds)
    })
}

fn any_cookie(request: Request<'_>, name: &[u8], mut holds: impl FnMut(&[u8]) -> bool) -> bool {
    request.head.fields.values(request.bytes, Known::Cookie).any(|line| {
        let mut pairs = line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        pairs.any(|pair| pair.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")).is_some_and(&mut holds))
    })
}

/// Shows `text` to `look`, percent-decoded and with `+` as a space; `None` where escapes stand in a text above the cap,
/// which a stack buffer sets. A `%` without two hex digits stays as it is.
fn decoded(text: &[u8], look: impl FnOnce(Option<&[u8]>) -> bool) -> bool {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return look(Some(text));
    }
    let mut buffer = [0; QUERY_DECODED_BYTES_MAX];
    if text.len() > buffer.len() {
        return look(None);
    }
    let (mut at, mut len) = (0, 0);
    while let Some(byte) = text.get(at) {
        let escape = if *byte == b'%' { hex_pair(&text[at + 1..]) } else { None };
        buffer[len] = escape.unwrap_or(if *byte == b'+' { b' ' } else { *byte });
        at += if escape.is_some() { 3 } else { 1 };
        len += 1;
    }
    look(Some(&buffer[..len]))
}

fn hex_pair(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    Some(digit(*high)? << 4 | digit(*low)?)
}

impl Sources {
    pub(super) fn new(networks: &[IpNet]) -> Sources {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        // Addresses are compared in their IPv4 form where they have one, so networks must be, too.
        for network in networks.iter().map(unmapped) {
            match network {
                IpNet::V4(network) => v4.push((u32::from(network.network()), u32::from(network.broadcast()))),
                IpNet::V6(network) => v6.push((u128::from(network.network()), u128::from(network.broadcast()))),
            }
        }
        Sources { v4: merged(v4), v6: merged(v6) }
    }

    pub(super) fn hold(&self, source: IpAddr) -> bool {
        match source.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }
}

/// A network of IPv4-mapped addresses (RFC 4291 section 2.5.5.2) as the IPv4 network that it is.
pub(super) fn unmapped(network: &IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return *network };
    let (Some(address), Some(len)) = (mapped.network().to_ipv4_mapped(), mapped.prefix_len().checked_sub(96)) else {
        return *network;
    };
    ipnet::Ipv4Net::new(address, len).map_or(*network, IpNet::V4)
}

fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::new();
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged.into()
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|(start, _)| *start <= address);
    behind > 0 && address <= ranges[behind - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Span;
    use crate::wire::head::RequestHead;

    #[test]
    fn networks_hold_their_addresses() {
        let networks = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32", "::ffff:172.16.0.0/108"];
        let sources = Sources::new(&networks.map(|text| text.parse().unwrap()));
        let holds = |text: &str| sources.hold(text.parse().unwrap());
        assert!(holds("10.0.0.0") && holds("10.1.2.3") && holds("10.255.255.255") && holds("192.0.2.7"));
        assert!(holds("::ffff:10.0.0.1") && holds("2001:db8:ffff::1") && holds("172.31.255.255"));
        assert!(!holds("9.255.255.255") && !holds("11.0.0.0") && !holds("192.0.2.8") && !holds("172.32.0.0"));
        assert!(!holds("2001:db9::") && !holds("::") && !holds("::1"));
        assert!(!Sources::default().hold("::".parse().unwrap()));
    }

    #[test]
    fn query_values_are_decoded() {
        let is = |query: &str, name: &str, value: &str| {
            any_query(query.as_bytes(), name.as_bytes(), |found| found == Some(value.as_bytes()))
        };
        assert!(is("a=1&b=2", "b", "2") && is("a&b", "a", "") && is("a=x&a=y", "a", "y"));
        assert!(is("a%62=%31+%zz%", "ab", "1 %zz%") && is("q=a=b", "q", "a=b") && is("q=%C3%A9", "q", "é"));
        assert!(!is("", "", "") && !is("a=1", "A", "1") && !is("ab=1", "a", "b=1"));
    }

    #[test]
    fn a_parameter_that_cannot_be_decoded_is_there_and_matches_nothing() {
        let long = format!("q=1&q={}%41", "a".repeat(QUERY_DECODED_BYTES_MAX));
        let head = RequestHead { query: Some(Span::new(0, long.len())), ..RequestHead::default() };
        let holds = |value: ValueMatch| {
            let field = FieldMatch { name: "q".into(), value };
            FieldTest::compile(ValueLocation::Query, &field, &mut Vec::new())
                .holds(Request { bytes: long.as_bytes(), head: &head }, &[])
        };
        assert!(holds(ValueMatch::Present) && !holds(ValueMatch::Absent));
        assert!(!holds(ValueMatch::Exact("1".into())) && !holds(ValueMatch::Prefix("".into())));
    }
}
