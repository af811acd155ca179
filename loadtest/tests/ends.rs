// SPDX-License-Identifier: Apache-2.0
//! The two ends of a load test against each other, without a proxy between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use loadtest::client::{Client, Lifetime, Pace, Plan};
use loadtest::hold::{Held, Target};
use loadtest::origin::Origin;
use loadtest::stream::Streams;
use loadtest::workload::get;

fn origin() -> Origin {
    Origin::start((Ipv4Addr::LOCALHOST, 0).into(), 2_000).unwrap()
}

fn plan(target: SocketAddr, path: &str) -> Plan {
    Plan {
        target,
        tls: None,
        requests: vec![get(path)],
        body_bytes: None,
        connections: 4,
        lifetime: Lifetime::KeepAlive,
    }
}

#[test]
fn a_closed_loop_counts_what_it_gets() {
    let origin = origin();
    let mut plan = plan(origin.address(), "/b/10240");
    plan.body_bytes = Some(10_240);
    let mut client = Client::new(plan).unwrap();
    // A run after another uses the same connections.
    for _ in 0..2 {
        let outcome = client.run(Pace::Closed, Duration::from_millis(50)).unwrap();
        outcome.check().unwrap();
        assert_eq!(outcome.body_bytes, outcome.completed * 10_240);
        assert_eq!(outcome.latency.count(), outcome.completed);
    }
}

#[test]
fn an_open_loop_sends_exactly_its_rate() {
    let origin = origin();
    for lifetime in [Lifetime::KeepAlive, Lifetime::PerRequest] {
        let mut client = Client::new(Plan { lifetime, ..plan(origin.address(), "/b/1") }).unwrap();
        let outcome = client.run(Pace::Open { per_second: 1_000 }, Duration::from_millis(100)).unwrap();
        outcome.check().unwrap();
        assert_eq!(outcome.completed, 100);
    }
}

#[test]
fn what_is_not_as_expected_is_an_error() {
    let origin = origin();
    let run = |plan: Plan| Client::new(plan).unwrap().run(Pace::Closed, Duration::from_millis(20)).unwrap().check();
    let not_found = run(plan(origin.address(), "/nowhere")).unwrap_err();
    assert!(not_found.to_string().contains("status 404"), "{not_found}");
    let mut short = plan(origin.address(), "/b/99");
    short.body_bytes = Some(100);
    let short = run(short).unwrap_err();
    assert!(short.to_string().contains("a body of 99 bytes instead of 100"), "{short}");
    let closed = plan(origin.address(), "/b/1");
    drop(origin);
    assert!(run(closed).unwrap_err().to_string().contains("connecting to"));
}

#[test]
fn streams_deliver_events_one_by_one() {
    let origin = origin();
    let mut streams = Streams::open(origin.address(), None, get("/events/sse"), 10).unwrap();
    // The origin may be late with its first event.
    let mut run = || streams.run(Duration::from_millis(300)).unwrap();
    let events = (0..50).map(|_| run()).find(|events| events.count > 0).expect("an event");
    assert!(events.pieces <= events.count);
    assert_eq!(events.latency.count(), events.count);
    let gone = Streams::open(origin.address(), None, get("/nowhere"), 1).unwrap().run(Duration::from_secs(5));
    assert!(gone.unwrap_err().to_string().contains("404"));
}

#[test]
fn held_connections_stay_open_until_the_origin_ends() {
    let origin = origin();
    let held = Held::open(&Target::Http1 { address: origin.address(), request: get("/b/100") }, 50).unwrap();
    assert_eq!(held.closed(), 0);
    drop(origin);
    assert_eq!(held.closed(), 50);
}
