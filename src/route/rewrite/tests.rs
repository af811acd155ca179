// SPDX-License-Identifier: Apache-2.0
//! Paths and hosts as they are rewritten, by prefix, template and regex.

use proptest::prelude::*;

use super::*;
use crate::wire::template::Variable;

/// Values of variables: path parameters by position, `{header.x}`, `{query}`, `{host}`.
pub(crate) struct Values {
    pub(crate) params: Vec<Vec<u8>>,
    pub(crate) header: Vec<u8>,
    pub(crate) query: Vec<u8>,
    pub(crate) host: Vec<u8>,
}

impl Lookup for Values {
    fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
        match variable {
            Variable::Param(position) => out.extend_from_slice(&self.params[usize::from(*position)]),
            Variable::Header(_) => out.extend_from_slice(&self.header),
            Variable::Query => out.extend_from_slice(&self.query),
            Variable::Host => out.extend_from_slice(&self.host),
            other => panic!("not in these tests: {other:?}"),
        }
    }
}

pub(crate) fn values(param: &str, header: &str) -> Values {
    Values {
        params: vec![param.into()],
        header: header.into(),
        query: b"q=1&r=2".to_vec(),
        host: b"example.com".to_vec(),
    }
}

fn written(rewrite: &PathRewrite, target: &str, values: &Values) -> Option<String> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let original = Original { path: path.as_bytes(), query: query.map(str::as_bytes) };
    let mut out = b"GET ".to_vec();
    let done = rewrite.write(original, values, &mut out);
    assert!(done || out == b"GET ");
    done.then(|| String::from_utf8(out.split_off(4)).unwrap())
}

fn prefix(matched: &str, with: &str, target: &str) -> String {
    written(&PathRewrite::Prefix(PrefixRewrite::new(matched, with)), target, &values("", "")).unwrap()
}

#[test]
fn prefixes_follow_the_gateway_api() {
    // Its documented table: path, prefix, replacement, result.
    for (path, matched, with, result) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
    ] {
        assert_eq!(prefix(matched, with, path), result, "{path} {matched} {with}");
    }
    assert_eq!(prefix("/", "/v1", "/x?y"), "/v1/x?y");
    assert_eq!(prefix("/foo", "/xyz", "/foobar"), "/foobar");
}

fn template(text: &str, target: &str, values: &Values) -> Option<String> {
    written(&PathRewrite::Template(Template::compile(text, &["id"]).unwrap()), target, values)
}

#[test]
fn templates_escape_their_values() {
    let plain = values("7", "a/b?c&d=e\r\nf");
    assert_eq!(template("/u/{id}", "/x?q", &plain).as_deref(), Some("/u/7?q"));
    assert_eq!(template("/h/{header.x}", "/x", &plain).as_deref(), Some("/h/a%2Fb%3Fc%26d%3De%0D%0Af"));
    assert_eq!(template("{id}", "/x", &plain).as_deref(), Some("/7"));
    assert_eq!(template("/a b", "/x", &plain).as_deref(), Some("/a%20b"));
    assert_eq!(template("/{id}", "/x", &values("a?b#c", "")).as_deref(), Some("/a%3Fb%23c"));
    assert_eq!(template("/{id}", "/x", &values("a/b%2Fc%", "")).as_deref(), Some("/a/b%2Fc%25"));
}

#[test]
fn queries_are_kept_added_or_dropped() {
    let plain = values("7", "");
    assert_eq!(template("/n?id={id}", "/x?q=1", &plain).as_deref(), Some("/n?id=7&q=1"));
    assert_eq!(template("/n?id={id}", "/x?", &plain).as_deref(), Some("/n?id=7"));
    assert_eq!(template("/n?id={id}", "/x", &plain).as_deref(), Some("/n?id=7"));
    assert_eq!(template("/n?", "/x?q=1", &plain).as_deref(), Some("/n"));
    assert_eq!(template("/n", "/x?", &plain).as_deref(), Some("/n?"));
    assert_eq!(template("/n?a&{query}", "/x", &plain).as_deref(), Some("/n?a&q=1&r=2"));
}

#[test]
fn nothing_climbs() {
    for value in ["..", ".", "%2e%2E", ".%2e", "a/../b", "a/.."] {
        assert_eq!(template("/files/{id}", "/x", &values(value, "")), None, "{value}");
    }
    for value in ["...", "..a", ".a", "a.", "%2e%2e%2e"] {
        assert!(template("/files/{id}", "/x", &values(value, "")).is_some(), "{value}");
    }
    assert_eq!(template("/files/{header.x}", "/x", &values("", "..")), None);
    assert_eq!(template("/f?{header.x}/..", "/x", &values("", "")).as_deref(), Some("/f?/.."));
}

fn regex(pattern: &str, with: &str, target: &str) -> String {
    written(&PathRewrite::Regex(RegexRewrite::new(pattern, with).unwrap()), target, &values("", "")).unwrap()
}

#[test]
fn expressions_replace_their_first_match() {
    assert_eq!(regex("^/v([0-9]+)/(?P<rest>.*)$", "/${rest}/v$1", "/v2/a/b?q"), "/a/b/v2?q");
    assert_eq!(regex("a", "<$0>$$", "/xaa"), "/x%3Ca%3E$a");
    assert_eq!(regex("nothing", "x", "/a"), "/a");
    assert_eq!(regex("^/(a)?b", "/$1c", "/b"), "/c");
    assert_eq!(regex("^/(.*)$", "/n?p=$1", "/a?q"), "/n?p=a&q");
    assert_eq!(regex("^/(.)", "$1x", "/ab"), "/axb");
}

#[test]
fn expressions_are_refused_when_compiled() {
    let error = |pattern, with| RegexRewrite::new(pattern, with).unwrap_err();
    assert!(matches!(error("(", ""), RewriteError::Regex(_)));
    assert_eq!(error("a", "$1"), RewriteError::Capture("1".into()));
    assert_eq!(error("a", "${b}"), RewriteError::Capture("b".into()));
    assert_eq!(error("a", "x$"), RewriteError::Dollar(1));
    assert_eq!(error("a", "${}"), RewriteError::Dollar(0));
    assert_eq!(error("a", "é${x"), RewriteError::Dollar(2));
}

#[test]
fn hosts_are_hosts_or_refused() {
    let host = |text: &str, values: &Values| {
        let mut out = b"Host: ".to_vec();
        let template = HostRewrite::Template(Template::compile(text, &["id"]).unwrap());
        let done = template.write(b"sent:80", b"own", values, &mut out);
        assert!(done || out == b"Host: ");
        done.then(|| String::from_utf8(out.split_off(6)).unwrap())
    };
    assert_eq!(host("{id}.internal:8080", &values("a", "")).as_deref(), Some("a.internal:8080"));
    assert_eq!(host("{header.x}", &values("", "a\r\nX: y")), None);
    assert_eq!(host("{header.x}", &values("", "")), None);
    let mut out = Vec::new();
    assert!(HostRewrite::Keep.write(b"sent:80", b"own", &values("", ""), &mut out));
    assert!(HostRewrite::Upstream.write(b"sent:80", b"own", &values("", ""), &mut out));
    assert_eq!(out, b"sent:80own");
}

proptest! {
    #[test]
    fn what_is_written_is_one_target(
        param in prop::collection::vec(any::<u8>(), 0..30),
        header in prop::collection::vec(any::<u8>(), 0..30),
        path in "/[ -~]{0,20}",
    ) {
        let values = Values { params: vec![param], header, query: b"q".to_vec(), host: Vec::new() };
        for text in ["/{id}/x", "{header.x}", "/a?b={header.x}&{id}"] {
            if let Some(target) = template(text, &path, &values) {
                let (own, _) = target.split_once('?').unwrap_or((&target, ""));
                prop_assert!(own.starts_with('/') && !own.contains(['#', ' ']) && !climbs(own.as_bytes()));
                prop_assert!(own.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
