// SPDX-License-Identifier: Apache-2.0
//! Locations, for every part that a redirect may replace.

use proptest::prelude::*;

use super::*;
use crate::base::Scheme;
use crate::route::rewrite::PrefixRewrite;
use crate::route::rewrite::tests::{Values, values};

fn asked(authority: &str) -> RedirectRequest<'_> {
    let original = Original { path: b"/a/b", query: Some(b"q=1") };
    RedirectRequest { scheme: Scheme::Http, authority: authority.as_bytes(), listener_port: 8080, original }
}

fn to(parts: Parts) -> Redirect {
    Redirect { status: 302, to: Target::Parts(parts) }
}

fn location(redirect: &Redirect, asked: &RedirectRequest<'_>, values: &Values) -> Option<String> {
    let mut out = b"Location: ".to_vec();
    let done = redirect.location(asked, values, &mut out);
    assert!(done || out == b"Location: ");
    done.then(|| String::from_utf8(out.split_off(10)).unwrap())
}

fn plain(parts: Parts, authority: &str) -> String {
    location(&to(parts), &asked(authority), &values("", "")).unwrap()
}

#[test]
fn ports_follow_scheme_listener_or_client() {
    let parts = |scheme, port| Parts { scheme, port, ..Parts::default() };
    let https = Some(Scheme::Https);
    assert_eq!(plain(parts(None, Port::Sent), "h:81"), "http://h:81/a/b?q=1");
    assert_eq!(plain(parts(None, Port::Sent), "h"), "http://h/a/b?q=1");
    assert_eq!(plain(parts(None, Port::Sent), "h:80"), "http://h/a/b?q=1");
    assert_eq!(plain(parts(None, Port::Sent), "h:99999"), "http://h/a/b?q=1");
    assert_eq!(plain(parts(None, Port::Listener), "h"), "http://h:8080/a/b?q=1");
    assert_eq!(plain(parts(https, Port::Listener), "h:8080"), "https://h/a/b?q=1");
    assert_eq!(plain(parts(https, Port::Sent), "h:8080"), "https://h/a/b?q=1");
    assert_eq!(plain(parts(https, Port::Fixed(8443)), "h"), "https://h:8443/a/b?q=1");
    assert_eq!(plain(parts(https, Port::Fixed(443)), "h"), "https://h/a/b?q=1");
    assert_eq!(plain(parts(None, Port::Fixed(5)), "[::1]:8080"), "http://[::1]:5/a/b?q=1");
    assert_eq!(plain(parts(None, Port::Sent), "[::1]"), "http://[::1]/a/b?q=1");
}

#[test]
fn parts_are_replaced() {
    let host = Some(Template::compile("{id}.example.org", &["id"]).unwrap());
    let path = Some(PathRewrite::Prefix(PrefixRewrite::new("/a", "/new")));
    let redirect = to(Parts { host: host.clone(), path, ..Parts::default() });
    assert_eq!(location(&redirect, &asked("h"), &values("x", "")).as_deref(), Some("http://x.example.org/new/b?q=1"));
    assert_eq!(location(&redirect, &asked("h"), &values("a/b", "")), None);
    let path = Some(PathRewrite::Template(Template::compile("/{id}?", &["id"]).unwrap()));
    let redirect = to(Parts { path, ..Parts::default() });
    assert_eq!(location(&redirect, &asked("h"), &values("x", "")).as_deref(), Some("http://h/x"));
    assert_eq!(location(&redirect, &asked("h"), &values("..", "")), None);
}

#[test]
fn without_a_host_the_path_begins_none() {
    assert_eq!(plain(Parts::default(), ""), "/a/b?q=1");
    let original = Original { path: b"//evil.example/x", query: None };
    let asked = RedirectRequest { original, ..asked("") };
    assert_eq!(location(&to(Parts::default()), &asked, &values("", "")).as_deref(), Some("/evil.example/x"));
}

#[test]
fn urls_are_templates() {
    let url = |text| Redirect { status: 301, to: Target::Url(Template::compile(text, &["id"]).unwrap()) };
    let values = values("7", "x y\r\n&z");
    let redirect = url("https://{host}/u/{id}?{query}&h={header.x}#top");
    let expected = "https://example.com/u/7?q=1&r=2&h=x%20y%0D%0A%26z#top";
    assert_eq!(location(&redirect, &asked("h"), &values).as_deref(), Some(expected));
    assert_eq!(location(&url(""), &asked("h"), &values), None);
}

#[test]
fn statuses_redirect() {
    assert!([301, 302, 303, 307, 308].into_iter().all(Redirect::is_status));
    assert!(![200, 300, 304, 305, 306, 309].into_iter().any(Redirect::is_status));
    let mut out = Vec::new();
    for port in [0, 7, 10, 99, 100, 9_999, 10_000, 65_535] {
        push_port(port, &mut out);
    }
    assert_eq!(out, b":0:7:10:99:100:9999:10000:65535");
}

proptest! {
    #[test]
    fn a_location_is_one_line(
        path in prop::collection::vec(any::<u8>(), 0..20),
        query in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        authority in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let original = Original { path: &path, query: query.as_deref() };
        let asked = RedirectRequest { scheme: Scheme::Https, authority: &authority, listener_port: 1, original };
        for parts in [Parts::default(), Parts { port: Port::Listener, ..Parts::default() }] {
            let text = location(&to(parts), &asked, &values("", "")).unwrap();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", text);
        }
    }
}
