// SPDX-License-Identifier: Apache-2.0
//! Who the client is, and what the origin is told, for trusted and other peers.

use proptest::prelude::*;

use super::*;
use crate::wire::h1::{Caps, request};
use crate::wire::head::RequestHead;

struct Received {
    bytes: Vec<u8>,
    head: RequestHead,
}

fn received(lines: &str) -> Received {
    let bytes = format!("GET / HTTP/1.1\r\nHost: shop.example:8443\r\n{lines}\r\n").into_bytes();
    let mut head = RequestHead::default();
    request::parse(&bytes, &Caps::default(), &mut head).unwrap();
    Received { bytes, head }
}

fn plan(source: ClientSource) -> ForwardedPlan {
    let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
    ForwardedPlan { trusted: trusted.into(), source, forwarded: Treatment::Write, ..ForwardedPlan::default() }
}

fn inbound(peer: &str) -> Inbound {
    Inbound { peer: Some(peer.parse().unwrap()), scheme: Scheme::Http, port: 80 }
}

fn client(plan: &ForwardedPlan, peer: &str, lines: &str) -> String {
    let Received { bytes, head } = received(lines);
    let client = plan.client(&inbound(peer), Request { bytes: &bytes, head: &head });
    client.address.unwrap().to_string()
}

#[test]
fn only_trusted_peers_are_believed() {
    let plan = plan(ClientSource::XForwardedFor);
    assert_eq!(client(&plan, "192.0.2.9", "X-Forwarded-For: 198.51.100.1\r\n"), "192.0.2.9");
    assert_eq!(client(&plan, "10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n"), "198.51.100.1");
    assert_eq!(client(&plan, "::ffff:10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n"), "198.51.100.1");
    assert_eq!(client(&plan, "10.0.0.1", ""), "10.0.0.1");
}

#[test]
fn the_walk_stops_at_the_first_stranger() {
    let plan = plan(ClientSource::XForwardedFor);
    let cases = [
        ("X-Forwarded-For: 6.6.6.6, 198.51.100.1, 10.0.0.7, 10.0.0.8\r\n", "198.51.100.1"),
        ("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 10.0.0.7\r\n", "198.51.100.1"),
        ("X-Forwarded-For: 10.0.0.3,10.0.0.2\r\n", "10.0.0.3"),
        ("X-Forwarded-For: 198.51.100.1, unknown, 10.0.0.8\r\n", "10.0.0.8"),
        ("X-Forwarded-For: 198.51.100.1, , 10.0.0.8\r\n", "198.51.100.1"),
        ("X-Forwarded-For: 198.51.100.1,,10.0.0.8, \r\n", "198.51.100.1"),
        ("X-Forwarded-For: , ,\r\n", "10.0.0.1"),
        ("X-Forwarded-For: garbage\r\n", "10.0.0.1"),
        ("X-Forwarded-For: [2001:db8::5]:443, 198.51.100.1:99\r\n", "198.51.100.1"),
        ("X-Forwarded-For: 2600::1, 2001:db8::5\r\n", "2600::1"),
    ];
    for (lines, expected) in cases {
        assert_eq!(client(&plan, "10.0.0.1", lines), expected, "{lines}");
    }
    let long = format!("X-Forwarded-For: 6.6.6.6{}\r\n", ", 10.0.0.2".repeat(FORWARDED_HOPS_MAX));
    assert_eq!(client(&plan, "10.0.0.1", &long), "10.0.0.2");
}

#[test]
fn forwarded_elements() {
    let plan = plan(ClientSource::Forwarded);
    let cases = [
        ("Forwarded: for=198.51.100.1;proto=https;by=10.0.0.1\r\n", "198.51.100.1"),
        ("Forwarded: , for=198.51.100.1,, for=10.0.0.8,\r\n", "198.51.100.1"),
        ("Forwarded: for=\"[2600::1]:4711\", For=10.0.0.7\r\n", "2600::1"),
        ("Forwarded: for=\"6.6.6.6, for=1.1.1.1\";x=y, for=198.51.100.1\r\n", "198.51.100.1"),
        ("Forwarded: for=198.51.100.1, for=_hidden, for=10.0.0.7\r\n", "10.0.0.7"),
        ("Forwarded: for=198.51.100.1, proto=http\r\n", "10.0.0.1"),
        ("Forwarded: for=198.51.100.1\r\nForwarded: for=10.0.0.7 ; proto=http\r\n", "198.51.100.1"),
        ("Forwarded: for=198.51.100.1, for=\"10.0.0.7\r\n", "10.0.0.1"),
        ("Forwarded: for=198.51.100.1 for=10.0.0.7\r\n", "10.0.0.1"),
    ];
    for (lines, expected) in cases {
        assert_eq!(client(&plan, "10.0.0.1", lines), expected, "{lines}");
    }
}

#[test]
fn single_addresses() {
    let real = plan(ClientSource::XRealIp);
    assert_eq!(client(&real, "10.0.0.1", "X-Real-IP: 198.51.100.1\r\n"), "198.51.100.1");
    assert_eq!(client(&real, "10.0.0.1", "X-Real-IP: 198.51.100.1\r\nX-Real-IP: 6.6.6.6\r\n"), "10.0.0.1");
    let own = plan(ClientSource::Field((*b"cf-connecting-ip").into()));
    assert_eq!(client(&own, "10.0.0.1", "CF-Connecting-IP: 2600::1\r\n"), "2600::1");
}

fn told(plan: &ForwardedPlan, inbound: &Inbound, lines: &str) -> Vec<String> {
    let Received { bytes, head } = received(lines);
    let request = Request { bytes: &bytes, head: &head };
    let mut patch = Patch::default();
    let client = plan.client(inbound, request);
    plan.apply(inbound, &client, request, &mut patch);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let kept = head.fields.list.iter().enumerate().skip(1).filter(|(index, _)| !patch.is_removed(*index));
    let kept = kept.map(|(_, field)| (field.name.of(&bytes), field.value.of(&bytes)));
    kept.chain(patch.added()).map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
}

const ALL: &str = "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n\
    X-Forwarded-Port: 443\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=198.51.100.1\r\n";

#[test]
fn strangers_are_replaced() {
    assert_eq!(
        told(&plan(ClientSource::XForwardedFor), &inbound("192.0.2.9"), ALL),
        [
            "X-Forwarded-For: 192.0.2.9",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: shop.example:8443",
            "X-Forwarded-Port: 80",
            "X-Real-IP: 192.0.2.9",
            "Forwarded: for=192.0.2.9;host=\"shop.example:8443\";proto=http",
        ]
    );
}

#[test]
fn trusted_peers_are_appended_to() {
    assert_eq!(
        told(&plan(ClientSource::XForwardedFor), &inbound("2001:db8::1"), ALL),
        [
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: a.example",
            "X-Forwarded-Port: 443",
            "X-Forwarded-For: 198.51.100.1, 2001:db8::1",
            "X-Real-IP: 198.51.100.1",
            "Forwarded: for=198.51.100.1, for=\"[2001:db8::1]\";host=\"shop.example:8443\";proto=http",
        ]
    );
}

#[test]
fn keep_and_drop() {
    let mut plan = plan(ClientSource::XForwardedFor);
    for treatment in [Treatment::Keep, Treatment::Drop] {
        plan.x_forwarded_for = treatment;
        plan.x_forwarded_proto = treatment;
        plan.x_forwarded_host = treatment;
        plan.x_forwarded_port = treatment;
        plan.x_real_ip = treatment;
        plan.forwarded = treatment;
        assert!(told(&plan, &inbound("192.0.2.9"), ALL).is_empty());
        let kept = if treatment == Treatment::Keep { 6 } else { 0 };
        assert_eq!(told(&plan, &inbound("10.0.0.1"), ALL).len(), kept);
    }
}

#[test]
fn unix_peers() {
    let unix = Inbound { peer: None, scheme: Scheme::Https, port: 443 };
    let mut plan = plan(ClientSource::XForwardedFor);
    let lines = "X-Forwarded-For: 198.51.100.1\r\n";
    assert!(told(&plan, &unix, lines).contains(&"X-Forwarded-For: unknown".to_owned()));
    plan.trusts_unix = true;
    assert!(told(&plan, &unix, lines).contains(&"X-Real-IP: 198.51.100.1".to_owned()));
}

#[test]
fn scheme_is_the_clients() {
    let Received { bytes, head } = received("X-Forwarded-Proto: HTTPS\r\n");
    let request = Request { bytes: &bytes, head: &head };
    let plan = plan(ClientSource::None);
    assert_eq!(plan.client(&inbound("10.0.0.1"), request).scheme, Scheme::Https);
    assert_eq!(plan.client(&inbound("192.0.2.1"), request).scheme, Scheme::Http);
}

proptest! {
    #[test]
    fn garbage(value in "[ -~]{0,60}") {
        crate::wire::check::forwarded(value.as_bytes());
    }

    #[test]
    fn elements(value in "(for=|[0-9.]{1,4}|\"|;|,| |\\\\|unknown|proto=){0,12}") {
        crate::wire::check::forwarded(value.as_bytes());
    }
}
