// SPDX-License-Identifier: Apache-2.0
//! Which endpoints each upstream has by now: those that stand in the plan and those that its names resolve to.
//!
//! Pure: takes plans and DNS results, and returns the upstreams that changed. A result is kept until the next one, so
//! an upstream never loses its endpoints because a name server is down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::Endpoint;
use crate::base::Address;
use crate::config::plan::{NamePlan, Plan, UpstreamPlan};
use crate::control::overrides::{Override, OverrideFault, Overrides};

/// What is asked for: one question, however many upstreams want the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Question {
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
pub(super) struct ResolvedServer {
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
pub(crate) struct EndpointUpdate {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// All of its endpoints.
    pub endpoints: Arc<[Endpoint]>,
}

/// The endpoints of all upstreams.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    upstreams: BTreeMap<Arc<str>, Entry>,
    answers: BTreeMap<Question, Vec<ResolvedServer>>,
    /// Questions of the plan in use, each with the upstreams that ask it.
    users: BTreeMap<Question, Vec<Arc<str>>>,
    /// Questions of a plan that is not in use yet.
    coming: BTreeSet<Question>,
    /// Questions of both that were never answered.
    open: BTreeSet<Question>,
    /// Shares that operators have set.
    overrides: Overrides,
    /// Of the plan that the upstreams are those of.
    generation: u64,
}

#[derive(Debug)]
struct Entry {
    terms: Terms,
    /// With the shares that operators have set.
    endpoints: Arc<[Endpoint]>,
}

/// A share that an operator has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overridden {
    /// The share.
    pub by: Override,
    /// The weight that the configuration says.
    pub configured: u32,
}

/// What a plan says of an upstream's endpoints.
#[derive(Debug)]
struct Terms {
    fixed: Vec<Endpoint>,
    names: Vec<NamePlan>,
    /// The scheme's default port, which a Host field leaves out.
    usual_port: u16,
}

impl Terms {
    fn of(upstream: &UpstreamPlan) -> Terms {
        let usual_port = if upstream.tls.is_some() { 443 } else { 80 };
        Terms { fixed: upstream.fixed.clone(), names: upstream.names.clone(), usual_port }
    }
}

impl Entry {
    /// With the shares that operators have set.
    fn shared(
        &self,
        name: &str,
        answers: &BTreeMap<Question, Vec<ResolvedServer>>,
        overrides: &Overrides,
    ) -> Vec<Endpoint> {
        let mut endpoints = self.gather(answers);
        overrides.apply(name, &mut endpoints);
        endpoints
    }

    /// As the configuration says.
    fn gather(&self, answers: &BTreeMap<Question, Vec<ResolvedServer>>) -> Vec<Endpoint> {
        let mut endpoints = self.terms.fixed.clone();
        let mut seen: BTreeSet<Address> = endpoints.iter().map(|endpoint| endpoint.address.clone()).collect();
        for name in &self.terms.names {
            let found = answers.get(&Question::of(name)).map_or(&[][..], Vec::as_slice);
            let resolved = found.iter().map(|server| endpoint(name, server, self.terms.usual_port));
            endpoints.extend(resolved.filter(|endpoint| seen.insert(endpoint.address.clone())));
        }
        endpoints
    }
}

fn endpoint(name: &NamePlan, found: &ResolvedServer, usual_port: u16) -> Endpoint {
    let mut address = found.address;
    if !name.srv {
        address.set_port(name.port);
    }
    let host = &found.host;
    let port = address.port();
    Endpoint {
        address: Address::Inet(address),
        name: if port == usual_port { Arc::clone(host) } else { format!("{host}:{port}").into() },
        weight: name.weight.saturating_mul(found.weight),
        backup: name.backup || found.backup,
    }
}

impl Discovery {
    /// A discovery without upstreams.
    pub(super) fn new() -> Discovery {
        Discovery::default()
    }

    /// Adopts the upstreams of a plan and drops others. Keeps the results of names that are still used.
    pub(super) fn adopt(&mut self, plan: &Plan) {
        self.generation = plan.generation;
        self.take(plan.upstreams.iter().map(|upstream| (Arc::clone(&upstream.name), Terms::of(upstream))));
    }

    fn take(&mut self, upstreams: impl Iterator<Item = (Arc<str>, Terms)>) {
        let fresh = upstreams.map(|(name, terms)| (name, Entry { terms, endpoints: Arc::from([]) }));
        self.upstreams = fresh.collect();
        self.users.clear();
        for (upstream, entry) in &self.upstreams {
            for name in &entry.terms.names {
                self.users.entry(Question::of(name)).or_default().push(Arc::clone(upstream));
            }
        }
        let users = &self.users;
        self.answers.retain(|question, _| users.contains_key(question));
        let upstreams = &self.upstreams;
        self.overrides.keep(|upstream| upstreams.contains_key(upstream));
        for (name, entry) in &mut self.upstreams {
            entry.endpoints = entry.shared(name, &self.answers, &self.overrides).into();
        }
        self.ask_also(BTreeSet::new());
    }

    /// The generation of the plan whose endpoints these are.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// A plan is being prepared: also resolves its names, until it is adopted or `expect_nothing` is called.
    pub(super) fn expect(&mut self, plan: &Plan) {
        let names = plan.upstreams.iter().flat_map(|upstream| &upstream.names);
        self.ask_also(names.map(Question::of).collect());
    }

    /// The plan that was being prepared will not be used.
    pub(super) fn expect_nothing(&mut self) {
        self.ask_also(BTreeSet::new());
    }

    fn ask_also(&mut self, coming: BTreeSet<Question>) {
        self.coming = coming;
        self.open = self.questions().filter(|question| !self.answers.contains_key(question)).collect();
    }

    /// Everything that must be asked, once or twice.
    pub(super) fn questions(&self) -> impl Iterator<Item = Question> {
        self.users.keys().chain(&self.coming).cloned()
    }

    /// Is it asked for the plan in use?
    pub(super) fn is_asked(&self, question: &Question) -> bool {
        self.users.contains_key(question)
    }

    /// The upstreams of the plan in use that ask a question.
    pub(super) fn users(&self, question: &Question) -> impl Iterator<Item = &Arc<str>> {
        self.users.get(question).into_iter().flatten()
    }

    /// Questions that were never answered.
    pub(super) fn open_questions(&self) -> usize {
        self.open.len()
    }

    /// Takes an answer and says which upstreams have other endpoints now.
    pub(super) fn learn(&mut self, question: Question, mut found: Vec<ResolvedServer>) -> Vec<EndpointUpdate> {
        found.sort();
        found.dedup();
        self.open.remove(&question);
        let Discovery { upstreams, answers, users, overrides, .. } = self;
        let asked_by = users.get(&question).map_or(&[][..], Vec::as_slice);
        answers.insert(question, found);
        let mut changed = Vec::new();
        for name in asked_by {
            let Some(entry) = upstreams.get_mut(name) else { continue };
            let endpoints = entry.shared(name, answers, overrides);
            if *endpoints != *entry.endpoints {
                entry.endpoints = endpoints.into();
                changed.push(EndpointUpdate { upstream: Arc::clone(name), endpoints: Arc::clone(&entry.endpoints) });
            }
        }
        changed
    }

    /// The endpoints of those upstreams that have names or shares that operators have set: to send to the shards with
    /// a new plan, which does not know them.
    pub(super) fn beyond_plan(&self) -> impl Iterator<Item = EndpointUpdate> {
        let beyond = |(name, entry): &(&Arc<str>, &Entry)| !entry.terms.names.is_empty() || self.overrides.has(name);
        self.upstreams
            .iter()
            .filter(beyond)
            .map(|(name, entry)| EndpointUpdate { upstream: Arc::clone(name), endpoints: Arc::clone(&entry.endpoints) })
    }

    /// Sets the share of an endpoint, named by the text of its address, or takes it back. Gives the endpoints where
    /// that changed something.
    pub(super) fn set_share(
        &mut self,
        upstream: &str,
        endpoint: &str,
        to: Option<Override>,
    ) -> Result<Option<EndpointUpdate>, OverrideFault> {
        let Discovery { upstreams, answers, overrides, .. } = self;
        let name = upstreams.get_key_value(upstream).map(|(name, _)| Arc::clone(name));
        let (Some(name), Some(entry)) = (name, upstreams.get_mut(upstream)) else {
            return Err(OverrideFault::NoUpstream);
        };
        let listed = entry.endpoints.iter().find(|listed| listed.address.to_string() == endpoint);
        let address = listed.map(|listed| listed.address.clone()).ok_or(OverrideFault::NoEndpoint)?;
        if !overrides.set(&name, &address, to)? {
            return Ok(None);
        }
        entry.endpoints = entry.shared(&name, answers, overrides).into();
        Ok(Some(EndpointUpdate { upstream: name, endpoints: Arc::clone(&entry.endpoints) }))
    }

    /// The shares that operators have set for endpoints that are listed, by upstream and address.
    pub(super) fn overridden(&self) -> BTreeMap<(Arc<str>, Address), Overridden> {
        let with_any = self.upstreams.iter().filter(|(name, _)| self.overrides.has(name));
        let shares = with_any.flat_map(|(name, entry)| {
            entry.gather(&self.answers).into_iter().filter_map(|endpoint| {
                let by = self.overrides.of(name, &endpoint.address)?;
                Some(((Arc::clone(name), endpoint.address), Overridden { by, configured: endpoint.weight }))
            })
        });
        shares.collect()
    }

    /// The endpoints of an upstream, also of a plan that is not in use yet.
    pub(super) fn endpoints_of(&self, upstream: &UpstreamPlan) -> Vec<Endpoint> {
        Entry { terms: Terms::of(upstream), endpoints: Arc::from([]) }.gather(&self.answers)
    }

    /// Does the plan in use have an upstream of that name?
    pub(super) fn knows(&self, upstream: &str) -> bool {
        self.upstreams.contains_key(upstream)
    }

    /// The endpoints of all upstreams.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<[Endpoint]>)> {
        self.upstreams.iter().map(|(name, entry)| (name, &entry.endpoints))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, port: u16) -> NamePlan {
        NamePlan { name: name.into(), port, srv: port == 0, weight: 2, backup: false }
    }

    fn found(address: &str) -> ResolvedServer {
        let address = address.parse().expect("an address");
        ResolvedServer { address, host: "origin.test".into(), weight: 1, backup: false }
    }

    fn fixed(address: &str) -> Endpoint {
        let address = Address::Inet(address.parse().expect("an address"));
        Endpoint { address, name: "fixed".into(), weight: 1, backup: false }
    }

    fn addresses(listed: &EndpointUpdate) -> Vec<String> {
        listed.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
    }

    fn discovery(names: Vec<NamePlan>) -> Discovery {
        let mut discovery = Discovery::new();
        discovery
            .take([("pool".into(), Terms { fixed: vec![fixed("10.0.0.9:80")], names, usual_port: 80 })].into_iter());
        discovery
    }

    #[test]
    fn answers_become_endpoints_once() {
        let mut discovery = discovery(vec![name("origin.test", 8080)]);
        let question = discovery.questions().next().expect("asked");
        assert_eq!(discovery.open_questions(), 1);
        let answer = vec![found("10.0.0.2:0"), found("10.0.0.1:0"), found("10.0.0.1:0")];
        let changed = discovery.learn(question.clone(), answer.clone());
        assert_eq!(addresses(&changed[0]), ["10.0.0.9:80", "10.0.0.1:8080", "10.0.0.2:8080"]);
        assert_eq!(changed[0].endpoints[1].weight, 2);
        assert_eq!(&*changed[0].endpoints[1].name, "origin.test:8080");
        assert_eq!(discovery.open_questions(), 0);
        assert!(discovery.learn(question, answer.into_iter().rev().collect()).is_empty());
    }

    #[test]
    fn a_known_answer_survives_a_reload() {
        let mut discovery = discovery(vec![name("origin.test", 8080)]);
        let question = discovery.questions().next().expect("asked");
        discovery.learn(question, vec![found("10.0.0.1:0")]);
        let again = vec![name("origin.test", 9090), name("other.test", 1)];
        discovery.take([("new".into(), Terms { fixed: Vec::new(), names: again, usual_port: 9090 })].into_iter());
        let listed: Vec<EndpointUpdate> = discovery.beyond_plan().collect();
        assert_eq!(addresses(&listed[0]), ["10.0.0.1:9090"]);
        assert_eq!(&*listed[0].endpoints[0].name, "origin.test");
        assert_eq!(discovery.open_questions(), 1);
        discovery.take(std::iter::empty());
        assert!(discovery.answers.is_empty());
    }

    #[test]
    fn records_of_srv_bring_port_weight_and_rank() {
        let mut discovery = discovery(vec![name("_http._tcp.test", 0)]);
        let question = discovery.questions().next().expect("asked");
        assert!(question.srv);
        let second = ResolvedServer { weight: 5, backup: true, ..found("10.0.0.2:2") };
        let changed = discovery.learn(question, vec![found("10.0.0.1:1"), second]);
        assert_eq!(addresses(&changed[0])[1..], ["10.0.0.1:1", "10.0.0.2:2"]);
        assert_eq!(changed[0].endpoints[2].weight, 10);
        assert!(changed[0].endpoints[2].backup);
    }

    #[test]
    fn an_address_that_is_fixed_too_counts_once() {
        let mut discovery = discovery(vec![name("origin.test", 80)]);
        let question = discovery.questions().next().expect("asked");
        assert!(discovery.learn(question, vec![found("10.0.0.9:0")]).is_empty());
    }

    #[test]
    fn a_share_that_was_set_stays_over_answers_and_plans() {
        let mut discovery = discovery(vec![name("origin.test", 8080)]);
        let question = discovery.questions().next().expect("asked");
        discovery.learn(question.clone(), vec![found("10.0.0.1:0")]);
        assert_eq!(discovery.set_share("none", "10.0.0.9:80", None), Err(OverrideFault::NoUpstream));
        assert_eq!(discovery.set_share("pool", "10.0.0.8:80", None), Err(OverrideFault::NoEndpoint));
        let weights = |update: &EndpointUpdate| update.endpoints.iter().map(|one| one.weight).collect::<Vec<_>>();
        let drained = discovery.set_share("pool", "10.0.0.9:80", Some(Override::Drain)).expect("set").expect("changed");
        assert_eq!(weights(&drained), [0, 2]);
        discovery.set_share("pool", "10.0.0.1:8080", Some(Override::Weight(7))).expect("set").expect("changed");
        assert_eq!(discovery.set_share("pool", "10.0.0.1:8080", Some(Override::Weight(7))), Ok(None));
        // The name loses an address and gets it back.
        discovery.learn(question.clone(), Vec::new());
        assert_eq!(discovery.overridden().len(), 1);
        let back = discovery.learn(question, vec![found("10.0.0.1:0")]);
        assert_eq!(weights(&back[0]), [0, 7]);
        let terms = |fixed| Terms { fixed, names: Vec::new(), usual_port: 80 };
        discovery.take([("pool".into(), terms(vec![fixed("10.0.0.9:80"), fixed("10.0.0.7:80")]))].into_iter());
        let listed: Vec<EndpointUpdate> = discovery.beyond_plan().collect();
        assert_eq!(weights(&listed[0]), [0, 1]);
        let key = (Arc::from("pool"), fixed("10.0.0.9:80").address);
        assert_eq!(discovery.overridden().get(&key), Some(&Overridden { by: Override::Drain, configured: 1 }));
        let restored = discovery.set_share("pool", "10.0.0.9:80", None).expect("set").expect("changed");
        assert_eq!(weights(&restored), [1, 1]);
        discovery.take(std::iter::empty());
        assert!(discovery.overridden().is_empty() && discovery.beyond_plan().next().is_none());
    }
}
