//! Which endpoints each upstream has by now: those that stand in the plan and those that its names resolve to.
//!
//! Pure: it is told plans and answers, and says which upstreams changed. An answer is kept until a better one comes, so
//! an upstream never loses its endpoints because a name server is down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::Endpoint;
use crate::base::Address;
use crate::config::plan::{NamePlan, Plan};

/// What is asked for: one question, however many upstreams want the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The host name or SRV name.
    pub name: Arc<str>,
    /// Ask for SRV instead of addresses.
    pub srv: bool,
}

impl Question {
    fn of(name: &NamePlan) -> Question {
        Question { name: Arc::clone(&name.name), srv: name.srv }
    }
}

/// One server that a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its address; the port is zero where the question was for addresses only.
    pub address: SocketAddr,
    /// The host that has this address.
    pub host: Arc<str>,
    /// Its share among the answer's servers; 1 for addresses.
    pub weight: u32,
    /// Used only when those without this are down (an SRV record of a later priority).
    pub backup: bool,
}

/// The endpoints of one upstream, after they changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// All of its endpoints.
    pub endpoints: Arc<[Endpoint]>,
}

/// The endpoints of all upstreams.
#[derive(Debug, Default)]
pub struct Book {
    upstreams: BTreeMap<Arc<str>, Entry>,
    answers: BTreeMap<Question, Vec<Found>>,
}

#[derive(Debug)]
struct Entry {
    fixed: Vec<Endpoint>,
    names: Vec<NamePlan>,
    endpoints: Arc<[Endpoint]>,
}

impl Entry {
    fn gather(&self, answers: &BTreeMap<Question, Vec<Found>>) -> Vec<Endpoint> {
        let mut endpoints = self.fixed.clone();
        let mut seen: BTreeSet<Address> = endpoints.iter().map(|endpoint| endpoint.address.clone()).collect();
        for name in &self.names {
            let found = answers.get(&Question::of(name)).map_or(&[][..], Vec::as_slice);
            let resolved = found.iter().map(|server| endpoint(name, server));
            endpoints.extend(resolved.filter(|endpoint| seen.insert(endpoint.address.clone())));
        }
        endpoints
    }
}

fn endpoint(name: &NamePlan, found: &Found) -> Endpoint {
    let mut address = found.address;
    if !name.srv {
        address.set_port(name.port);
    }
    Endpoint {
        address: Address::Inet(address),
        name: Arc::clone(&found.host),
        weight: name.weight.saturating_mul(found.weight),
        backup: name.backup || found.backup,
    }
}

impl Book {
    /// A book without upstreams.
    pub fn new() -> Book {
        Book::default()
    }

    /// Takes the upstreams of a plan; those that it does not name are forgotten. Answers to questions that are still asked
    /// stay.
    pub fn adopt(&mut self, plan: &Plan) {
        let upstreams = plan.upstreams.iter().map(|upstream| {
            (Arc::clone(&upstream.name), upstream.fixed.clone(), upstream.names.clone())
        });
        self.take(upstreams);
    }

    fn take(&mut self, upstreams: impl Iterator<Item = (Arc<str>, Vec<Endpoint>, Vec<NamePlan>)>) {
        let fresh = upstreams.map(|(name, fixed, names)| (name, Entry { fixed, names, endpoints: Arc::from([]) }));
        self.upstreams = fresh.collect();
        let asked: BTreeSet<Question> = self.questions().collect();
        self.answers.retain(|question, _| asked.contains(question));
        for entry in self.upstreams.values_mut() {
            entry.endpoints = entry.gather(&self.answers).into();
        }
    }

    /// Everything that must be asked.
    pub fn questions(&self) -> impl Iterator<Item = Question> {
        self.upstreams.values().flat_map(|entry| entry.names.iter().map(Question::of))
    }

    /// Questions that were never answered.
    pub fn open_questions(&self) -> usize {
        let asked: BTreeSet<Question> = self.questions().collect();
        asked.iter().filter(|question| !self.answers.contains_key(question)).count()
    }

    /// Takes an answer and says which upstreams have other endpoints now.
    pub fn learn(&mut self, question: Question, mut found: Vec<Found>) -> Vec<Listed> {
        found.sort();
        found.dedup();
        self.answers.insert(question, found);
        let mut changed = Vec::new();
        for (name, entry) in &mut self.upstreams {
            let endpoints = entry.gather(&self.answers);
            if *endpoints != *entry.endpoints {
                entry.endpoints = endpoints.into();
                changed.push(Listed { upstream: Arc::clone(name), endpoints: Arc::clone(&entry.endpoints) });
            }
        }
        changed
    }

    /// The endpoints of those upstreams that have names: what shards must be told after a plan.
    pub fn resolved(&self) -> impl Iterator<Item = Listed> {
        let named = self.upstreams.iter().filter(|(_, entry)| !entry.names.is_empty());
        named.map(|(name, entry)| Listed { upstream: Arc::clone(name), endpoints: Arc::clone(&entry.endpoints) })
    }

    /// The endpoints of all upstreams.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<[Endpoint]>)> {
        self.upstreams.iter().map(|(name, entry)| (name, &entry.endpoints))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, port: u16) -> NamePlan {
        NamePlan { name: name.into(), port, srv: port == 0, weight: 2, backup: false }
    }

    fn found(address: &str) -> Found {
        let address = address.parse().expect("an address");
        Found { address, host: "origin.test".into(), weight: 1, backup: false }
    }

    fn fixed(address: &str) -> Endpoint {
        let address = Address::Inet(address.parse().expect("an address"));
        Endpoint { address, name: "fixed".into(), weight: 1, backup: false }
    }

    fn addresses(listed: &Listed) -> Vec<String> {
        listed.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
    }

    fn book(names: Vec<NamePlan>) -> Book {
        let mut book = Book::new();
        book.take([("pool".into(), vec![fixed("10.0.0.9:80")], names)].into_iter());
        book
    }

    #[test]
    fn answers_become_endpoints_once() {
        let mut book = book(vec![name("origin.test", 8080)]);
        let question = book.questions().next().expect("asked");
        assert_eq!(book.open_questions(), 1);
        let answer = vec![found("10.0.0.2:0"), found("10.0.0.1:0"), found("10.0.0.1:0")];
        let changed = book.learn(question.clone(), answer.clone());
        assert_eq!(addresses(&changed[0]), ["10.0.0.9:80", "10.0.0.1:8080", "10.0.0.2:8080"]);
        assert_eq!(changed[0].endpoints[1].weight, 2);
        assert_eq!(book.open_questions(), 0);
        assert!(book.learn(question, answer.into_iter().rev().collect()).is_empty());
    }

    #[test]
    fn a_known_answer_survives_a_reload() {
        let mut book = book(vec![name("origin.test", 8080)]);
        let question = book.questions().next().expect("asked");
        book.learn(question, vec![found("10.0.0.1:0")]);
        let again = vec![name("origin.test", 9090), name("other.test", 1)];
        book.take([("new".into(), Vec::new(), again)].into_iter());
        let listed: Vec<Listed> = book.resolved().collect();
        assert_eq!(addresses(&listed[0]), ["10.0.0.1:9090"]);
        assert_eq!(book.open_questions(), 1);
        book.take(std::iter::empty());
        assert!(book.answers.is_empty());
    }

    #[test]
    fn records_of_srv_bring_port_weight_and_rank() {
        let mut book = book(vec![name("_http._tcp.test", 0)]);
        let question = book.questions().next().expect("asked");
        assert!(question.srv);
        let second = Found { weight: 5, backup: true, ..found("10.0.0.2:2") };
        let changed = book.learn(question, vec![found("10.0.0.1:1"), second]);
        assert_eq!(addresses(&changed[0])[1..], ["10.0.0.1:1", "10.0.0.2:2"]);
        assert_eq!(changed[0].endpoints[2].weight, 10);
        assert!(changed[0].endpoints[2].backup);
    }

    #[test]
    fn an_address_that_is_fixed_too_counts_once() {
        let mut book = book(vec![name("origin.test", 80)]);
        let question = book.questions().next().expect("asked");
        assert!(book.learn(question, vec![found("10.0.0.9:0")]).is_empty());
    }
}
