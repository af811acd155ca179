// SPDX-License-Identifier: Apache-2.0
//! Quotas that are counted in a database: the parents of their limits, and what is ordered from the store and from
//! Redis. Orders of all limits go together, one batch at a time for each database, so that one write to the disk serves
//! all that waited for it.

pub(super) mod counts;
mod job;
pub(super) mod redis;
pub(super) mod table;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::base::{Tick, Wall};
use crate::config::plan::Plan;
use crate::control::quotas::counts::{DatabaseShown, LeaseStatus, QuotaShown};
pub(super) use crate::control::quotas::job::{Job, Settled};
use crate::control::quotas::redis::Redis;
use crate::control::resolve::SystemLookup;
use crate::control::store::Store;
use crate::policy::limit::parent::{Parent, Replies};
use crate::policy::limit::{LimitId, Message, ShardId};
use crate::policy::rate_limit::{Database, Quota};

/// Orders that go to a database together.
const BATCH_MAX: usize = 1_024;
/// Keys of each limit that one sweep looks at.
const SWEEP_MAX: usize = 4_096;

/// All quotas of the process.
#[derive(Debug)]
pub(super) struct Quotas {
    known: HashMap<LimitId, Known>,
    shards: u32,
    settled: mpsc::Sender<Settled>,
    store: Queue,
    in_redis: Queue,
    redis: Option<Redis>,
    sweeps: u32,
    lookup: Rc<SystemLookup>,
}

/// A quota and its parent.
#[derive(Debug)]
struct Known {
    parent: Parent,
    name: Arc<str>,
    database: Database,
    /// The name of its policy.
    policy: Arc<str>,
    leases: LeaseStatus,
}

/// What waits for a database.
#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Job>,
    busy: bool,
    /// The last batch failed.
    away: bool,
    /// When the batch under way was sent.
    sent: Tick,
    outages: u64,
    batches: u64,
    took: Duration,
}

impl Quotas {
    /// None yet; outcomes go to `settled`.
    pub(super) fn new(settled: mpsc::Sender<Settled>, shards: u32) -> Quotas {
        let (store, in_redis) = (Queue::default(), Queue::default());
        let lookup = Rc::new(SystemLookup::new());
        Quotas { known: HashMap::new(), shards, settled, store, in_redis, redis: None, sweeps: 0, lookup }
    }

    /// Follows a plan that comes into use. What a limit has that it does not have any more goes back.
    pub(super) fn follow(&mut self, plan: &Plan, wall: Wall) {
        let quotas = plan.policies.iter().flat_map(|policy| policy.policy.quotas());
        let wanted: HashMap<LimitId, Quota> = quotas.map(|quota| (quota.limit, quota)).collect();
        for (_, mut gone) in self.known.extract_if(|limit, _| !wanted.contains_key(limit)) {
            gone.parent.surrender(wall);
            collect(&mut gone, &mut self.store, &mut self.in_redis);
        }
        for (limit, quota) in wanted {
            match self.known.get_mut(&limit) {
                Some(known) => known.parent.follow(quota.rate, quota.kept.on_outage),
                None => {
                    let most = (self.shards, quota.keys_max);
                    let parent = Parent::new((limit, quota.rate), quota.calendar, quota.kept.on_outage, most);
                    let parent = parent.based_on(quota.basis);
                    let (name, database, policy) = (quota.name.into(), quota.kept.database, quota.policy);
                    let (window, counted_in) = (quota.window.to_owned(), counts::name(database).to_owned());
                    let leases = LeaseStatus { window, counted_in, ..LeaseStatus::default() };
                    self.known.insert(limit, Known { parent, name, database, policy, leases });
                }
            }
        }
        match &plan.redis {
            None => self.redis = None,
            Some(plan) => match &mut self.redis {
                Some(redis) => redis.follow(plan),
                None => self.redis = Some(Redis::start(plan, &self.lookup, self.settled.clone())),
            },
        }
    }

    /// Is there any?
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Did a database that counts something fail to do what was last ordered?
    pub(super) fn is_away(&self) -> bool {
        let away = |database| match database {
            Database::Store => self.store.away,
            Database::Redis => self.in_redis.away,
        };
        self.known.values().any(|known| away(known.database))
    }

    /// A message from a shard. False where nobody knows the limit.
    pub(super) fn receive(&mut self, shard: ShardId, message: &Message, time: (Tick, Wall), out: &mut Replies) -> bool {
        let Some(known) = self.known.get_mut(&message.limit) else { return false };
        let Known { parent, leases, .. } = known;
        leases.hear(parent, message, time);
        let mut said = Replies::new();
        parent.receive(shard, message, time, &mut said);
        leases.tell(&said);
        out.append(&mut said);
        collect(known, &mut self.store, &mut self.in_redis);
        true
    }

    /// What became of a batch. Returns whether its database came back or went away just now, and why.
    pub(super) fn settle(&mut self, settled: Settled, time: (Tick, Wall), out: &mut Replies) -> Option<Turn> {
        let Settled { database, outcomes, fault } = settled;
        for (job, outcome) in outcomes {
            if let Some(known) = self.known.get_mut(&job.limit) {
                known.leases.settle(&job, outcome);
                let mut said = Replies::new();
                known.parent.settle(&job.order, outcome, time, &mut said);
                known.leases.tell(&said);
                out.append(&mut said);
                collect(known, &mut self.store, &mut self.in_redis);
            }
        }
        let queue = match database {
            Database::Store => &mut self.store,
            Database::Redis => &mut self.in_redis,
        };
        queue.busy = false;
        queue.batches += 1;
        queue.took += time.0.since(queue.sent);
        queue.outages += u64::from(fault.is_some() && !queue.away);
        let was = std::mem::replace(&mut queue.away, fault.is_some());
        match (was, fault) {
            (false, Some(fault)) => Some(Turn::Away(database, fault)),
            (true, None) => Some(Turn::Back(database)),
            (true, Some(_)) | (false, None) => None,
        }
    }

    /// How often keys were looked at.
    pub(super) fn sweeps(&self) -> u32 {
        self.sweeps
    }

    /// Looks at a part of the keys.
    pub(super) fn sweep(&mut self, time: (Tick, Wall)) {
        self.sweeps = self.sweeps.wrapping_add(1);
        for known in self.known.values_mut() {
            known.parent.sweep(SWEEP_MAX, time);
            collect(known, &mut self.store, &mut self.in_redis);
        }
    }

    /// Grants nothing from now on: the shards end.
    pub(super) fn close(&mut self) {
        self.known.values_mut().for_each(|known| known.parent.close());
    }

    /// Gives all back that is not granted, after `close`.
    pub(super) fn surrender(&mut self, wall: Wall) {
        for known in self.known.values_mut() {
            known.parent.surrender(wall);
            collect(known, &mut self.store, &mut self.in_redis);
        }
    }

    /// A server that may have lost its memory is back: it is told what this gateway has had.
    pub(super) fn tell_again(&mut self, wall: Wall) {
        for known in self.known.values_mut().filter(|known| known.database == Database::Redis) {
            known.parent.tell_again(wall);
            collect(known, &mut self.store, &mut self.in_redis);
        }
    }

    /// Does anything wait for a database, or for what it says?
    pub(super) fn is_busy(&self) -> bool {
        [&self.store, &self.in_redis].iter().any(|queue| queue.busy || !queue.waiting.is_empty())
    }

    /// Sends what waits, one batch at a time. `store` is none where there is no store, or it failed.
    pub(super) fn send(&mut self, store: Option<&Store>, now: Tick) {
        if let Some(jobs) = self.store.next(now) {
            let settled = self.settled.clone();
            let Some(store) = store else {
                let failed = Settled::failed(Database::Store, jobs, "there is no store".to_owned());
                return self.tell(failed);
            };
            let orders = jobs.clone();
            let answer = store.ask(move |database| table::apply(database, &orders));
            spawn_local(async move {
                let settled_as = match answer.await {
                    Ok(Ok(outcomes)) => {
                        let outcomes = jobs.into_iter().zip(outcomes).collect();
                        Settled { database: Database::Store, outcomes, fault: None }
                    }
                    Ok(Err(fault)) => Settled::failed(Database::Store, jobs, fault.to_string()),
                    Err(_) => Settled::failed(Database::Store, jobs, "too much waits for the disk".to_owned()),
                };
                // The receiver is gone only where the process ends.
                let _ = settled.send(settled_as).await;
            });
        }
        if let Some(jobs) = self.in_redis.next(now) {
            let refused = match &self.redis {
                Some(redis) => redis.send(jobs),
                None => Some(jobs),
            };
            if let Some(jobs) = refused {
                self.tell(Settled::failed(Database::Redis, jobs, "there is no server".to_owned()));
            }
        }
    }

    /// Drops what windows left that are over, a part of it at a time.
    pub(super) fn expire(&self, store: &Store, wall: Wall) {
        if self.known.values().any(|known| known.database == Database::Store) {
            // Where too much waits for the disk, it is done next time.
            drop(store.ask(move |database| table::expire(database, wall.seconds())));
        }
    }

    /// Where a limit is counted, and in which window now.
    pub(super) fn place(&mut self, limit: LimitId, wall: Wall) -> Option<Place> {
        let known = self.known.get_mut(&limit)?;
        let window = known.parent.window(wall);
        Some(Place { quota: Arc::clone(&known.name), database: known.database, start: window.start })
    }

    /// A key is reset in the database, before anything that is sent from now on.
    pub(super) fn reset(&mut self, limit: LimitId, key: u64, now: Tick) {
        if let Some(known) = self.known.get_mut(&limit) {
            known.parent.reset(key, now);
        }
        // What was not sent yet says what was used before.
        for queue in [&mut self.store, &mut self.in_redis] {
            queue.waiting.retain(|job| job.limit != limit || job.order.key != key);
        }
    }

    /// What all of them did since the start, in the order of their names, and how their databases did.
    pub(super) fn shown(&self) -> (Vec<QuotaShown>, Vec<DatabaseShown>) {
        let shown = |known: &Known| QuotaShown { policy: Arc::clone(&known.policy), leases: known.leases.clone() };
        let mut quotas: Vec<QuotaShown> = self.known.values().map(shown).collect();
        quotas.sort_by(|one, other| (&one.policy, &one.leases.window).cmp(&(&other.policy, &other.leases.window)));
        let databases = [(Database::Store, &self.store), (Database::Redis, &self.in_redis)];
        let used = |database: Database| self.known.values().any(|known| known.database == database);
        let databases = databases.into_iter().filter(|(database, _)| used(*database)).map(|(database, queue)| {
            let Queue { away, outages, batches, took, .. } = *queue;
            DatabaseShown { name: counts::name(database), up: !away, outages, batches, took }
        });
        (quotas, databases.collect())
    }

    /// The server that gateways count in, where there is one.
    pub(super) fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    fn tell(&self, settled: Settled) {
        let to = self.settled.clone();
        spawn_local(async move {
            let _ = to.send(settled).await;
        });
    }
}

/// A database went away or came back.
#[derive(Debug)]
pub(super) enum Turn {
    /// It went away, for this reason.
    Away(Database, String),
    /// It came back.
    Back(Database),
}

/// Where a limit is counted now.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its name.
    pub quota: Arc<str>,
    /// In which database.
    pub database: Database,
    /// The first second of the window.
    pub start: u64,
}

impl Queue {
    /// The next batch, where the one before is done.
    fn next(&mut self, now: Tick) -> Option<Vec<Job>> {
        if self.busy || self.waiting.is_empty() {
            return None;
        }
        (self.busy, self.sent) = (true, now);
        let count = self.waiting.len().min(BATCH_MAX);
        Some(self.waiting.drain(..count).collect())
    }
}

/// Puts what a parent ordered with what waits: at most one order for each key of `keys_max`.
fn collect(known: &mut Known, store: &mut Queue, in_redis: &mut Queue) {
    let queue = match known.database {
        Database::Store => store,
        Database::Redis => in_redis,
    };
    let Known { parent, name, .. } = known;
    let (limit, orders) = (parent.limit(), parent.take_orders());
    let job = |order| Job { limit, quota: Arc::clone(name), order };
    queue.waiting.extend(orders.into_iter().map(job));
}
