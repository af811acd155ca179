// SPDX-License-Identifier: Apache-2.0
//! Resolves the DNS names of upstreams, each again when its TTL ends.
//!
//! One task per name. It always reports the best known result: where one address family cannot be asked, its last
//! addresses stay, and a name that stops resolving is not reported at all, so the last addresses stay in use. Waits
//! between questions are bounded by `TTL_MIN`, `TTL_MAX` and, after failures, `RETRY_MAX`.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, spawn_blocking, spawn_local};

use crate::base::Rng;
use crate::control::discovery::{Question, ResolvedServer};

/// Shortest interval between two queries.
pub(super) const TTL_MIN: Duration = Duration::from_secs(1);
/// Longest interval between two queries.
pub(super) const TTL_MAX: Duration = Duration::from_secs(300);
/// Longest wait after failures in a row; the first is `TTL_MIN`, each next one twice as long.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(30);
/// Longest wait for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Servers taken from one answer; the rest is left out.
const FOUND_MAX: usize = 1_024;
/// SRV targets whose addresses are asked for in one answer.
const TARGETS_MAX: usize = 64;

/// What one family of a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// These addresses.
    Some(Vec<IpAddr>),
    /// The name server answered that there are none.
    None,
    /// It gave no answer.
    Unknown(String),
}

/// Addresses of one host, by family, and how long they may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostAnswer {
    /// IPv4.
    pub v4: Family,
    /// IPv6.
    pub v6: Family,
    /// Until it must be asked again.
    pub ttl: Duration,
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Lower comes first.
    pub priority: u16,
    /// Share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host.
    pub target: Arc<str>,
}

/// Who answers questions: DNS, or a test.
pub(super) trait Lookup: 'static {
    /// Addresses of a host.
    fn host(&self, name: &str) -> impl Future<Output = HostAnswer>;
    /// Records of a service, and how long they may be used.
    fn service(&self, name: &str) -> impl Future<Output = Result<(Vec<Service>, Duration), String>>;
    /// Names of an address; none where DNS says that it has none.
    fn names(&self, address: IpAddr) -> impl Future<Output = Result<Vec<String>, String>>;
}

/// What a task reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// The best known answer by now.
    Found(Question, Vec<ResolvedServer>),
    /// Nothing new is known, and here is why.
    Failed(Question, String),
}

/// The running questions.
#[derive(Debug)]
pub(super) struct Resolver<L> {
    lookup: Rc<L>,
    tasks: HashMap<Question, AbortHandle>,
    answers: mpsc::Sender<Resolution>,
    seed: u64,
}

impl<L: Lookup> Resolver<L> {
    /// Reports to `answers`; `seed` spreads the waits.
    pub(super) fn new(lookup: L, answers: mpsc::Sender<Resolution>, seed: u64) -> Resolver<L> {
        Resolver { lookup: Rc::new(lookup), tasks: HashMap::new(), answers, seed }
    }

    /// From now on resolves exactly these names. Running queries go on.
    pub(super) fn follow(&mut self, questions: impl Iterator<Item = Question>) {
        let wanted: BTreeSet<Question> = questions.collect();
        self.tasks.retain(|question, task| {
            let keep = wanted.contains(question);
            if !keep {
                task.abort();
            }
            keep
        });
        for question in wanted {
            if !self.tasks.contains_key(&question) {
                self.seed = self.seed.wrapping_add(1);
                let task = follow(Rc::clone(&self.lookup), question.clone(), self.answers.clone(), Rng::new(self.seed));
                self.tasks.insert(question, spawn_local(task).abort_handle());
            }
        }
    }
}

impl<L> Drop for Resolver<L> {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

async fn follow<L: Lookup>(lookup: Rc<L>, question: Question, answers: mpsc::Sender<Resolution>, mut rng: Rng) {
    let mut known = Known::default();
    let mut failures = 0;
    loop {
        let asked = async {
            if question.srv {
                known.ask_service(&*lookup, &question.name).await
            } else {
                known.ask_host(&*lookup, &question.name).await
            }
        };
        let outcome = tokio::time::timeout(ANSWER_WAIT, asked).await;
        let outcome = outcome.unwrap_or_else(|_| Err("no response in time".into()));
        let (answer, wait) = match outcome {
            Ok((found, ttl)) => {
                failures = 0;
                (Resolution::Found(question.clone(), found), ttl.clamp(TTL_MIN, TTL_MAX))
            }
            Err(reason) => {
                failures += 1;
                (Resolution::Failed(question.clone(), reason), retry_wait(failures))
            }
        };
        if answers.send(answer).await.is_err() {
            return;
        }
        tokio::time::sleep(jittered(wait, &mut rng)).await;
    }
}

/// The wait after so many failures in a row.
fn retry_wait(failures: u32) -> Duration {
    TTL_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_MAX)
}

/// Up to a tenth longer, so that many gateways do not query at the same time.
fn jittered(wait: Duration, rng: &mut Rng) -> Duration {
    wait + Duration::from_millis(rng.below(wait.as_millis() as u64 / 10 + 1))
}

/// The last good addresses by host and family.
#[derive(Debug, Default)]
struct Known {
    hosts: HashMap<Arc<str>, (Vec<IpAddr>, Vec<IpAddr>)>,
}

impl Known {
    async fn ask_host(
        &mut self,
        lookup: &impl Lookup,
        name: &Arc<str>,
    ) -> Result<(Vec<ResolvedServer>, Duration), String> {
        let answer = lookup.host(name).await;
        let ttl = answer.ttl;
        let addresses = self.merge(name, answer)?;
        let found = addresses.into_iter().map(|address| ResolvedServer {
            address: SocketAddr::new(address, 0),
            host: Arc::clone(name),
            weight: 1,
            backup: false,
        });
        Ok((found.take(FOUND_MAX).collect(), ttl))
    }

    async fn ask_service(
        &mut self,
        lookup: &impl Lookup,
        name: &str,
    ) -> Result<(Vec<ResolvedServer>, Duration), String> {
        let (mut services, mut ttl) = lookup.service(name).await?;
        services.sort_by_key(|service| service.priority);
        services.truncate(TARGETS_MAX);
        let first = services.first().map(|service| service.priority).ok_or("no records")?;
        self.hosts.retain(|host, _| services.iter().any(|service| service.target == *host));
        let (mut found, mut reason) = (Vec::new(), String::new());
        for service in &services {
            let answer = lookup.host(&service.target).await;
            ttl = ttl.min(answer.ttl);
            match self.merge(&service.target, answer) {
                Ok(addresses) => found.extend(addresses.into_iter().map(|address| ResolvedServer {
                    address: SocketAddr::new(address, service.port),
                    // The dot of a complete name is for DNS only; certificates and Host fields have none.
                    host: service.target.trim_end_matches('.').into(),
                    weight: u32::from(service.weight).max(1),
                    backup: service.priority > first,
                })),
                Err(why) => reason = format!("{}: {why}", service.target),
            }
        }
        found.truncate(FOUND_MAX);
        if found.is_empty() { Err(reason) } else { Ok((found, ttl)) }
    }

    /// Merges a DNS response with the known addresses of the host. An error where the response has no address; the
    /// known ones then stay.
    fn merge(&mut self, host: &Arc<str>, answer: HostAnswer) -> Result<Vec<IpAddr>, String> {
        let reason = match (&answer.v4, &answer.v6) {
            (Family::Some(_), _) | (_, Family::Some(_)) => None,
            (Family::Unknown(reason), _) | (_, Family::Unknown(reason)) => Some(reason.clone()),
            (Family::None, Family::None) => Some("no such name".to_owned()),
        };
        if let Some(reason) = reason {
            return Err(reason);
        }
        let (v4, v6) = self.hosts.entry(Arc::clone(host)).or_default();
        for (kept, family) in [(&mut *v4, answer.v4), (&mut *v6, answer.v6)] {
            match family {
                Family::Some(addresses) => *kept = addresses,
                Family::None => kept.clear(),
                Family::Unknown(_) => {}
            }
        }
        Ok(v4.iter().chain(v6.iter()).copied().collect())
    }
}

/// DNS as the system is configured: `/etc/resolv.conf` and `/etc/hosts`, read again when they change.
#[derive(Debug)]
pub(super) struct SystemLookup {
    state: std::cell::RefCell<Option<(Stamps, Rc<TokioResolver>)>>,
    /// One thread at a time reads the files, so that a file system that hangs holds one thread and not many.
    reading: Arc<Semaphore>,
}

type Stamps = [Option<SystemTime>; 2];

impl SystemLookup {
    /// Nothing is read before the first question.
    pub(super) fn new() -> SystemLookup {
        SystemLookup { state: std::cell::RefCell::default(), reading: Arc::new(Semaphore::new(1)) }
    }

    /// The resolver for the files as they are now. They are read on another thread, because a file system may hang.
    async fn resolver(&self) -> Result<Rc<TokioResolver>, String> {
        let turn = Arc::clone(&self.reading).acquire_owned().await.map_err(|error| error.to_string())?;
        let known = self.state.borrow().as_ref().map(|(stamps, _)| *stamps);
        let reading = spawn_blocking(move || {
            let _turn = turn;
            read_system(known)
        });
        let read = reading.await.map_err(|error| error.to_string())??;
        let mut state = self.state.borrow_mut();
        if let Some((stamps, resolver)) = read {
            *state = Some((stamps, Rc::new(resolver)));
        }
        state.as_ref().map(|(_, resolver)| Rc::clone(resolver)).ok_or_else(|| "no resolver".to_owned())
    }
}

/// A resolver for the system's files; `None` where they are as they were at `known`.
fn read_system(known: Option<Stamps>) -> Result<Option<(Stamps, TokioResolver)>, String> {
    let stamps = ["/etc/resolv.conf", "/etc/hosts"]
        .map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok());
    if known == Some(stamps) {
        return Ok(None);
    }
    let mut builder = TokioResolver::builder_tokio().map_err(|error| format!("/etc/resolv.conf: {error}"))?;
    // Each name is resolved when its TTL ends; a cache would only make the results older.
    builder.options_mut().cache_size = 0;
    let resolver = builder.build().map_err(|error| error.to_string())?;
    Ok(Some((stamps, resolver)))
}

impl Lookup for SystemLookup {
    async fn host(&self, name: &str) -> HostAnswer {
        match self.resolver().await {
            Ok(resolver) => ask_host(&resolver, name).await,
            Err(reason) => {
                HostAnswer { v4: Family::Unknown(reason.clone()), v6: Family::Unknown(reason), ttl: TTL_MIN }
            }
        }
    }

    async fn service(&self, name: &str) -> Result<(Vec<Service>, Duration), String> {
        ask_service(&*self.resolver().await?, name).await
    }

    async fn names(&self, address: IpAddr) -> Result<Vec<String>, String> {
        ask_names(&*self.resolver().await?, address).await
    }
}

async fn ask_host(resolver: &TokioResolver, name: &str) -> HostAnswer {
    let (v4, v6) =
        tokio::join!(ask_family(resolver, name, RecordType::A), ask_family(resolver, name, RecordType::AAAA));
    let ttl = v4.1.min(v6.1);
    HostAnswer { v4: v4.0, v6: reachable(v6.0), ttl }
}

async fn ask_family(resolver: &TokioResolver, name: &str, family: RecordType) -> (Family, Duration) {
    match resolver.lookup(name, family).await {
        Ok(answer) => {
            let addresses = answer.answers().iter().filter_map(|record| match &record.data {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            });
            let addresses: Vec<IpAddr> = addresses.collect();
            let left = answer.valid_until().saturating_duration_since(Instant::now());
            if addresses.is_empty() { (Family::None, TTL_MAX) } else { (Family::Some(addresses), left) }
        }
        Err(error) if denies(&error) => (Family::None, TTL_MAX),
        Err(error) => (Family::Unknown(error.to_string()), TTL_MIN),
    }
}

async fn ask_service(resolver: &TokioResolver, name: &str) -> Result<(Vec<Service>, Duration), String> {
    let answer = resolver.lookup(name, RecordType::SRV).await.map_err(|error| error.to_string())?;
    let services = answer.answers().iter().filter_map(|record| match &record.data {
        RData::SRV(service) => Some(Service {
            priority: service.priority,
            weight: service.weight,
            port: service.port,
            target: service.target.to_utf8().into(),
        }),
        _ => None,
    });
    // An SRV target of `.` means that the service is not offered (RFC 2782).
    let services = services.filter(|service| &*service.target != ".").collect();
    Ok((services, answer.valid_until().saturating_duration_since(Instant::now())))
}

async fn ask_names(resolver: &TokioResolver, address: IpAddr) -> Result<Vec<String>, String> {
    match resolver.reverse_lookup(address).await {
        Ok(answer) => {
            let names = answer.answers().iter().filter_map(|record| match &record.data {
                RData::PTR(name) => Some(name.0.to_utf8()),
                _ => None,
            });
            Ok(names.collect())
        }
        Err(error) if denies(&error) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// Is this an authoritative negative response?
fn denies(error: &NetError) -> bool {
    error.is_nx_domain() || error.is_no_records_found()
}

/// Leaves out addresses that this machine has no way to, as on hosts without IPv6: every attempt there would fail.
/// Connecting a datagram socket asks the kernel's routes and sends nothing.
fn reachable(family: Family) -> Family {
    let Family::Some(addresses) = family else { return family };
    let routed = |address: &IpAddr| {
        let from: SocketAddr = (std::net::Ipv6Addr::UNSPECIFIED, 0).into();
        UdpSocket::bind(from).and_then(|socket| socket.connect((*address, 9))).is_ok()
    };
    let routed: Vec<IpAddr> = addresses.into_iter().filter(routed).collect();
    if routed.is_empty() { Family::None } else { Family::Some(routed) }
}

#[cfg(test)]
mod tests;
