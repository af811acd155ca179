// SPDX-License-Identifier: Apache-2.0
//! Questions against a scripted answerer, and the real client against a tiny name server on the loopback.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::Ipv4Addr;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::UdpSocket as AsyncUdp;
use tokio::task::LocalSet;

use super::*;

/// Gives the same answers in turn, the last one for ever.
struct Script {
    hosts: RefCell<VecDeque<HostAnswer>>,
    services: Vec<Service>,
}

impl Lookup for Script {
    async fn host(&self, _: &str) -> HostAnswer {
        let mut hosts = self.hosts.borrow_mut();
        let next = hosts.pop_front().expect("scripted");
        if hosts.is_empty() {
            hosts.push_back(next.clone());
        }
        next
    }

    async fn service(&self, _: &str) -> Result<(Vec<Service>, Duration), String> {
        Ok((self.services.clone(), TTL_MAX))
    }

    async fn names(&self, _: IpAddr) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

fn some(addresses: &[&str]) -> Family {
    Family::Some(addresses.iter().map(|address| address.parse().expect("an address")).collect())
}

fn unknown() -> Family {
    Family::Unknown("no answer".into())
}

fn host(v4: Family, v6: Family) -> HostAnswer {
    HostAnswer { v4, v6, ttl: TTL_MAX }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bounded = async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, bounded);
}

fn addresses(found: &[ResolvedServer]) -> Vec<String> {
    found.iter().map(|server| server.address.to_string()).collect()
}

#[test]
fn a_family_that_cannot_be_asked_keeps_its_addresses() {
    run(async {
        let name: Arc<str> = "origin.test".into();
        let answers = [
            host(some(&["10.0.0.1"]), some(&["fd00::1"])),
            host(some(&["10.0.0.2"]), unknown()),
            host(unknown(), unknown()),
            host(Family::None, Family::None),
            host(some(&["10.0.0.3"]), Family::None),
        ];
        let script = Script { hosts: RefCell::new(answers.into()), services: Vec::new() };
        let mut known = Known::default();
        let mut results = Vec::new();
        for _ in 0..5 {
            let answer = known.ask_host(&script, &name).await;
            results.push(answer.map(|(found, _)| addresses(&found)));
        }
        assert_eq!(results[0], Ok(vec!["10.0.0.1:0".into(), "[fd00::1]:0".into()]));
        assert_eq!(results[1], Ok(vec!["10.0.0.2:0".into(), "[fd00::1]:0".into()]));
        assert_eq!(results[2], Err("no answer".into()));
        assert_eq!(results[3], Err("no such name".into()));
        assert_eq!(results[4], Ok(vec!["10.0.0.3:0".into()]));
    });
}

#[test]
fn services_rank_by_priority() {
    run(async {
        let service = |priority, port, target: &str| Service { priority, weight: 3, port, target: target.into() };
        let services = vec![service(20, 2, "b.test."), service(10, 1, "a.test.")];
        let script = Script { hosts: RefCell::new([host(some(&["10.0.0.1"]), Family::None)].into()), services };
        let (found, ttl) = Known::default().ask_service(&script, "_http._tcp.test").await.expect("found");
        assert_eq!(addresses(&found), ["10.0.0.1:1", "10.0.0.1:2"]);
        assert_eq!((found[0].backup, found[1].backup, found[0].weight), (false, true, 3));
        assert_eq!(ttl, TTL_MAX);
    });
}

#[test]
fn a_task_reports_what_it_learns_and_ends_when_nobody_asks() {
    run(async {
        let script =
            Script { hosts: RefCell::new([host(some(&["10.0.0.1"]), Family::None)].into()), services: Vec::new() };
        let (sender, mut answers) = mpsc::channel(8);
        let mut resolver = Resolver::new(script, sender, 1);
        let question = Question { name: "origin.test".into(), srv: false };
        resolver.follow([question.clone(), question.clone()].into_iter());
        let Some(Resolution::Found(asked, found)) = answers.recv().await else { panic!("an answer") };
        assert_eq!((asked, addresses(&found)), (question, vec!["10.0.0.1:0".to_owned()]));
        resolver.follow(std::iter::empty());
        assert!(resolver.tasks.is_empty());
        drop(resolver);
        assert!(answers.recv().await.is_none());
    });
}

#[test]
fn waits_grow_to_their_bound() {
    let waits: Vec<u64> = [1, 2, 3, 6, 40].into_iter().map(|failures| retry_wait(failures).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 30, 30]);
    let mut rng = Rng::new(1);
    for _ in 0..100 {
        let wait = jittered(Duration::from_secs(10), &mut rng);
        assert!((10_000..=11_000).contains(&wait.as_millis()));
    }
}

/// A name server for `origin.test` that answers A with 127.0.0.1, denies AAAA, and answers SRV for every other name.
async fn name_server() -> SocketAddr {
    let socket = AsyncUdp::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let address = socket.local_addr().expect("bound");
    spawn_local(async move {
        let mut packet = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
            let answer = respond(&packet[..length]);
            let _ = socket.send_to(&answer, peer).await;
        }
    });
    address
}

/// The answer to one query, as in RFC 1035 section 4.
fn respond(query: &[u8]) -> Vec<u8> {
    let end_of_name = 12 + query[12..].iter().position(|byte| *byte == 0).expect("a name") + 1;
    let question = &query[12..end_of_name + 4];
    let kind = u16::from_be_bytes([query[end_of_name], query[end_of_name + 1]]);
    let record: Option<Vec<u8>> = match kind {
        1 => Some(vec![127, 0, 0, 1]),
        12 if query[12..].starts_with(b"\x017\x012\x010\x03192") => Some(b"\x06origin\x04test\0".to_vec()),
        33 => Some([&[0, 7, 0, 9, 0x1F, 0x90][..], b"\x06origin\x04test\0"].concat()),
        _ => None,
    };
    let mut answer = query[..2].to_vec();
    answer.extend([0x85, 0x80, 0, 1, 0, u8::from(record.is_some()), 0, 0, 0, 0]);
    answer.extend(question);
    if let Some(record) = record {
        answer.extend([0xC0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 60]);
        answer.extend((record.len() as u16).to_be_bytes());
        answer.extend(record);
    }
    answer
}

#[test]
fn the_real_client_reads_addresses_services_and_ttl() {
    run(async {
        let server = name_server().await;
        let mut connection = ConnectionConfig::new(ProtocolConfig::Udp);
        connection.port = server.port();
        let servers = vec![NameServerConfig::new(server.ip(), true, vec![connection])];
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let mut options = ResolverOpts::default();
        options.cache_size = 0;
        *builder.options_mut() = options;
        let resolver = builder.build().expect("a resolver");
        let answer = ask_host(&resolver, "origin.test").await;
        assert_eq!((&answer.v4, &answer.v6), (&some(&["127.0.0.1"]), &Family::None));
        assert!(answer.ttl > Duration::from_secs(50) && answer.ttl <= Duration::from_secs(60), "{:?}", answer.ttl);
        let (services, _) = ask_service(&resolver, "_http._tcp.origin.test").await.expect("found");
        let expected = Service { priority: 7, weight: 9, port: 8080, target: "origin.test.".into() };
        assert_eq!(services, [expected]);
        assert_eq!(ask_names(&resolver, [192, 0, 2, 7].into()).await, Ok(vec!["origin.test.".to_owned()]));
        assert_eq!(ask_names(&resolver, [192, 0, 2, 8].into()).await, Ok(Vec::new()));
    });
}

#[test]
fn addresses_without_a_route_are_left_out() {
    assert_eq!(reachable(some(&["::1"])), some(&["::1"]));
    assert_eq!(reachable(Family::None), Family::None);
    assert_eq!(reachable(unknown()), unknown());
}
