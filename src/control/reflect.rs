// SPDX-License-Identifier: Apache-2.0
//! Server reflection: asks the servers of an upstream for their descriptors at an interval, and reports changes.
//!
//! One task for each source, whichever routes use it. The last descriptors are kept as long as a plan names the source,
//! so that neither a reload nor a server that is away makes a route forget its methods.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, spawn_blocking, spawn_local};

use crate::balance::Endpoint;
use crate::base::Rng;
use crate::base::limits::REFLECTION_BYTES_MAX;
use crate::config::plan::{Descriptors, Plan, ReflectionPlan, ReflectionSource, TranscoderPlan, UpstreamPlan};
use crate::control::call::{NO_GRPC, Session};
use crate::control::dial::{self, Dial, Speaks};
use crate::control::discovery::Discovery;
use crate::control::transcode::copies;
use crate::wire::grpc::Code;
use crate::wire::grpc::json::Transcoder;
use crate::wire::grpc::reflection::{PATH, PATH_ALPHA, Walk};

/// The first pause after a failure; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause after a failure, where servers are not asked more often anyway.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The `User-Agent`.
const AGENT: &str = concat!("turnpike-reflection/", env!("CARGO_PKG_VERSION"));

/// The servers of a source were asked.
#[derive(Debug)]
pub(super) struct Reflected {
    /// The source.
    pub source: Arc<ReflectionSource>,
    /// New transcoders: for each shard, one for each choice of options. Empty where nothing is new.
    pub transcoders: Vec<Vec<Transcoder>>,
}

/// All sources.
#[derive(Debug)]
pub(super) struct Reflections {
    running: BTreeMap<Arc<ReflectionSource>, (AbortHandle, Rc<Slot>)>,
    reports: mpsc::Sender<Reflected>,
    shards: usize,
    seed: u64,
}

/// What a task and the list of tasks share of one source.
#[derive(Debug)]
struct Slot {
    terms: RefCell<Terms>,
    /// A server was asked at least once, with whatever outcome.
    asked: Cell<bool>,
    known: RefCell<Option<Known>>,
    changed: Notify,
}

/// How a source is asked, and for whom.
#[derive(Clone, Debug)]
struct Terms {
    dial: Dial,
    endpoints: Vec<Endpoint>,
    refresh: Duration,
    timeout: Duration,
    users: Vec<TranscoderPlan>,
}

impl Terms {
    fn of(upstream: &UpstreamPlan, plan: &ReflectionPlan, discovery: &Discovery) -> Terms {
        Terms {
            dial: Dial::of(upstream),
            endpoints: discovery.endpoints_of(upstream),
            refresh: plan.refresh,
            timeout: plan.timeout,
            users: Vec::new(),
        }
    }
}

impl Reflections {
    /// Reports to `reports`, for so many shards; `seed` spreads the questions.
    pub(super) fn new(reports: mpsc::Sender<Reflected>, shards: usize, seed: u64) -> Reflections {
        Reflections { running: BTreeMap::new(), reports, shards, seed }
    }

    /// From now on sends requests to exactly the sources of these plans. Where two plans have the same source, the
    /// settings of the first plan apply.
    pub(super) fn follow<'p>(&mut self, plans: impl Iterator<Item = &'p Plan>, discovery: &Discovery) {
        let mut wanted: BTreeMap<Arc<ReflectionSource>, Terms> = BTreeMap::new();
        for plan in plans {
            for user in &plan.transcoders {
                let Descriptors::Asked(asked) = &user.descriptors else { continue };
                let Some(upstream) = plan.upstream_named(&asked.source.upstream) else { continue };
                let upstream = plan.upstream(upstream);
                let entry = wanted.entry(Arc::clone(&asked.source));
                let terms = entry.or_insert_with(|| Terms::of(upstream, asked, discovery));
                terms.refresh = terms.refresh.min(asked.refresh);
                if !terms.users.contains(user) {
                    terms.users.push(user.clone());
                }
            }
        }
        self.keep(|source| wanted.contains_key(source));
        for (source, terms) in wanted {
            match self.running.get(&source) {
                Some((_, slot)) => slot.change(terms),
                None => self.start(source, terms),
            }
        }
    }

    /// Sources without a result yet.
    pub(super) fn open(&self) -> usize {
        self.running.values().filter(|(_, slot)| !slot.asked.get()).count()
    }

    /// The descriptors that are known.
    pub(super) fn descriptors(&self) -> BTreeMap<Arc<ReflectionSource>, Arc<[u8]>> {
        let set = |slot: &Slot| slot.known.borrow().as_ref().map(|known| Arc::clone(&known.set));
        self.running.iter().filter_map(|(source, (_, slot))| Some((Arc::clone(source), set(slot)?))).collect()
    }

    fn start(&mut self, source: Arc<ReflectionSource>, terms: Terms) {
        self.seed = self.seed.wrapping_add(1);
        let slot = Rc::new(Slot {
            terms: RefCell::new(terms),
            asked: Cell::new(false),
            known: RefCell::default(),
            changed: Notify::new(),
        });
        let run = Run {
            source: Arc::clone(&source),
            slot: Rc::clone(&slot),
            reports: self.reports.clone(),
            shards: self.shards,
            rng: Rng::new(self.seed),
            failed: None,
        };
        self.running.insert(source, (spawn_local(run.follow()).abort_handle(), slot));
    }

    fn keep(&mut self, wanted: impl Fn(&Arc<ReflectionSource>) -> bool) {
        self.running.retain(|source, (task, _)| {
            let keep = wanted(source);
            if !keep {
                task.abort();
            }
            keep
        });
    }
}

impl Drop for Reflections {
    fn drop(&mut self) {
        self.keep(|_| false);
    }
}

impl Slot {
    fn change(&self, terms: Terms) {
        let old = self.terms.replace(terms);
        let new = self.terms.borrow();
        let same = old.endpoints == new.endpoints && old.users == new.users && old.refresh == new.refresh;
        if !same {
            self.changed.notify_one();
        }
    }
}

/// The descriptors of a source, and the options for which they compile.
#[derive(Debug)]
struct Known {
    set: Arc<[u8]>,
    users: Vec<TranscoderPlan>,
}

/// One task.
struct Run {
    source: Arc<ReflectionSource>,
    slot: Rc<Slot>,
    reports: mpsc::Sender<Reflected>,
    shards: usize,
    rng: Rng,
    /// Why the last time failed, and how long the pause after it was.
    failed: Option<(String, Duration)>,
}

impl Run {
    async fn follow(mut self) {
        loop {
            let terms = self.slot.terms.borrow().clone();
            let received = ask_any(&terms, &self.source).await;
            let learned = match received {
                Ok(set) => self.learn(set, &terms).await,
                Err(reason) => Err(reason),
            };
            self.slot.asked.set(!terms.endpoints.is_empty());
            let (transcoders, pause) = match learned {
                Ok(news) => {
                    self.failed = None;
                    (news, terms.refresh)
                }
                Err(reason) => (Vec::new(), self.fail(reason, terms.refresh)),
            };
            let report = Reflected { source: Arc::clone(&self.source), transcoders };
            if self.reports.send(report).await.is_err() {
                return;
            }
            // A random part, so that many gateways do not ask at the same moment.
            let jitter = pause.mul_f64(self.rng.below(100) as f64 / 1_000.0);
            tokio::select! {
                () = tokio::time::sleep(pause + jitter) => {}
                () = self.slot.changed.notified() => {}
            }
        }
    }

    /// Checks whether received descriptors are new and can be compiled for their routes.
    async fn learn(&mut self, set: Vec<u8>, terms: &Terms) -> Result<Vec<Vec<Transcoder>>, String> {
        let is_old = |known: &Known| *known.set == *set && known.users == terms.users;
        if self.slot.known.borrow().as_ref().is_some_and(is_old) {
            return Ok(Vec::new());
        }
        let set: Arc<[u8]> = Arc::from(set);
        let (asked, users, shards) = (Arc::clone(&set), terms.users.clone(), self.shards);
        let compiled = spawn_blocking(move || compile(&asked, &users, shards)).await;
        let (methods, transcoders) = compiled.map_err(|_| "the descriptors cannot be compiled".to_owned())??;
        let (upstream, bytes) = (&self.source.upstream, set.len());
        tracing::info!(%upstream, bytes, methods, "gRPC server reflection: descriptors received");
        self.slot.known.replace(Some(Known { set, users: terms.users.clone() }));
        Ok(transcoders)
    }

    /// Notes a failure and gives the pause after it.
    fn fail(&mut self, reason: String, refresh: Duration) -> Duration {
        let upstream = &self.source.upstream;
        let news = self.failed.as_ref().is_none_or(|(before, _)| *before != reason);
        match (news, self.slot.known.borrow().is_some()) {
            (false, _) => {}
            (true, false) => {
                tracing::warn!(%upstream, %reason, "gRPC server reflection failed; JSON requests get 503");
            }
            (true, true) => {
                tracing::warn!(%upstream, %reason, "gRPC server reflection failed; the last descriptors stay in use")
            }
        }
        let pause = self.failed.as_ref().map_or(PAUSE, |(_, pause)| *pause * 2).min(PAUSE_MAX.min(refresh));
        self.failed = Some((reason, pause));
        pause
    }
}

/// Compiles the descriptor set for all shards and all options, and counts the methods. Errors of single options and of
/// single rules are logged; a rule of one service must not take JSON from the others.
fn compile(set: &[u8], users: &[TranscoderPlan], shards: usize) -> Result<(usize, Vec<Vec<Transcoder>>), String> {
    let (mut methods, mut wrong) = (None, Vec::new());
    let mut by_shard: Vec<Vec<Transcoder>> = (0..shards).map(|_| Vec::new()).collect();
    for (at, user) in users.iter().enumerate() {
        if users[..at].iter().any(|before| before.options == user.options) {
            continue;
        }
        let faults = match copies(set, user, shards) {
            Ok((made, faults)) => {
                methods = methods.max(made.first().map(|transcoder| transcoder.calls().len()));
                by_shard.iter_mut().zip(made).for_each(|(of_shard, transcoder)| of_shard.push(transcoder));
                faults
            }
            Err(faults) => faults,
        };
        wrong.extend(faults.iter().map(|fault| format!("route `{}`: {fault}", user.route)));
    }
    let reason = wrong.join("; ");
    let Some(methods) = methods else { return Err(reason) };
    if !wrong.is_empty() {
        tracing::warn!(%reason, "gRPC server reflection: JSON goes on without what is wrong here");
    }
    Ok((methods, by_shard))
}

/// Asks the endpoints in order until one sends its descriptors. Fails with the first endpoint's error.
async fn ask_any(terms: &Terms, source: &ReflectionSource) -> Result<Vec<u8>, String> {
    let mut failed = None;
    for endpoint in &terms.endpoints {
        let asked = ask(terms, endpoint, source);
        let received = tokio::time::timeout(terms.timeout, asked).await;
        match received.unwrap_or_else(|_| Err("no response in time".to_owned())) {
            Ok(set) => return Ok(set),
            Err(reason) => {
                failed.get_or_insert(format!("{}: {reason}", endpoint.address));
            }
        }
    }
    Err(failed.unwrap_or_else(|| "no endpoint is known".to_owned()))
}

async fn ask(terms: &Terms, endpoint: &Endpoint, source: &ReflectionSource) -> Result<Vec<u8>, String> {
    let connected = terms.dial.connect(&endpoint.address, &endpoint.name).await?;
    if connected.speaks == Speaks::Http1 {
        return Err(NO_GRPC.to_owned());
    }
    let host = dial::host(&endpoint.address, &endpoint.name);
    let mut session = Session::open(connected, &host, AGENT).await?;
    for path in [PATH, PATH_ALPHA] {
        let mut call = session.call(path, terms.timeout)?;
        let mut walk = Walk::new(&host, &source.services);
        let mut question = Vec::new();
        let mut cut_off = false;
        while !cut_off && walk.ask(&mut question) {
            call.say(std::mem::take(&mut question));
            match call.next(REFLECTION_BYTES_MAX).await? {
                Some(answer) => walk.take(&answer).map_err(|error| error.to_string())?,
                None => cut_off = true,
            }
        }
        if !cut_off {
            call.finish();
            return Ok(walk.finish());
        }
        match call.end() {
            (Code::Unimplemented, _) => {}
            (Code::Ok, _) => return Err("the server ended the call without a response".to_owned()),
            (code, words) => return Err(format!("{} {words}", code.name()).trim_end().to_owned()),
        }
    }
    Err("the server has no reflection service".to_owned())
}

#[cfg(test)]
mod tests;
