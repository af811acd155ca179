// SPDX-License-Identifier: Apache-2.0
//! Keys of rate limits and of plans, for administrators: where one stands in its windows, and its whole limit again.

use std::collections::BTreeSet;

use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::base::AppId;
use crate::control::admin::{LimitKeyDo, LimitKeyFault, LimitKeyRequest, LimitKeyState, LimitWindowState};
use crate::control::plane::Plane;
use crate::control::quotas::redis::KeyPlace;
use crate::control::quotas::{counts, table};
use crate::control::store::fault::StoreFault;
use crate::link::ToShard;
use crate::net::machine;
use crate::policy::directory::InForce;
use crate::policy::limit::LimitId;
use crate::policy::limit::parent::UNITS_OF_KEYS;
use crate::policy::plan::Plan as Plans;
use crate::policy::rate_limit::{Database, Plan as RateLimit};
use crate::policy::{Identity, Policy};

/// Whoever asked.
type Responder = oneshot::Sender<Result<LimitKeyState, LimitKeyFault>>;

/// What a database says of one window.
enum Asked {
    /// Nothing is asked: it is counted in memory.
    Nothing,
    Store(oneshot::Receiver<Result<u64, StoreFault>>),
    Redis(oneshot::Receiver<Result<u64, String>>),
    /// Nobody can be asked.
    Nobody,
}

/// One window of a key.
struct KeyWindow {
    limit: LimitId,
    key: u64,
    name: String,
    quota: u32,
    /// What the database's count is asked for in parts of.
    units: u32,
    database: Option<Database>,
}

impl Plane {
    /// Shows a key, or resets it everywhere.
    pub(super) fn limit_key(&mut self, request: LimitKeyRequest, reply: Responder) {
        let found = self.key_windows(&request);
        let (first, windows) = match found {
            Ok(found) => found,
            Err(fault) => {
                let _ = reply.send(Err(fault));
                return;
            }
        };
        let keys: BTreeSet<u64> = windows.iter().map(|window| window.key).collect();
        let asked: Vec<_> = windows.into_iter().map(|window| self.ask_window(window, request.what)).collect();
        if request.what == LimitKeyDo::Reset {
            for key in keys {
                self.shards.send_all(|_| ToShard::ResetLimit { limit: first, key });
            }
        }
        spawn_local(async move {
            let mut state = LimitKeyState { limit: request.limit, key: request.key, windows: Vec::new() };
            for (mut window, asked) in asked {
                window.used = match said(asked, request.what).await {
                    Ok(used) => used,
                    Err(fault) => {
                        let _ = reply.send(Err(fault));
                        return;
                    }
                };
                state.windows.push(window);
            }
            // Whoever asked may have left.
            let _ = reply.send(Ok(state));
        });
    }

    /// The windows that a key has, with the limit that stands for all of them.
    fn key_windows(&self, request: &LimitKeyRequest) -> Result<(LimitId, Vec<KeyWindow>), LimitKeyFault> {
        let plan = self.current.as_ref().map(|current| &current.plan).ok_or(LimitKeyFault::NoLimit)?;
        let named = plan.policies.iter().find(|policy| *policy.name == *request.limit);
        let policy = named.map(|policy| &policy.policy).ok_or(LimitKeyFault::NoLimit)?;
        let first = policy.limit_id().ok_or(LimitKeyFault::NoLimit)?;
        let values: Vec<&str> = request.key.iter().map(String::as_str).collect();
        let route = request.route.as_deref();
        let windows = match policy {
            Policy::RateLimit(limit) => {
                let key = limit.key_named(&values, route).map_err(LimitKeyFault::NoKey)?;
                of_limit(limit, key)
            }
            Policy::Plan(plan) => {
                let in_force = self.in_force(&values, route).map_err(LimitKeyFault::NoKey)?;
                of_plan(plan, &in_force)
            }
            _ => return Err(LimitKeyFault::NoLimit),
        };
        Ok((first, windows))
    }

    /// The plan that holds for a consumer, or for one of its apps, on a route.
    fn in_force(&self, values: &[&str], route: Option<&str>) -> Result<InForce<'_>, String> {
        let (name, app) = match values {
            [name] => (*name, None),
            [name, app] => (*name, Some(*app)),
            _ => return Err("a plan counts a consumer: its name, and behind it the name of an app".to_owned()),
        };
        let directory = self.registry.directory();
        let consumer = directory.by_name(name).ok_or_else(|| format!("there is no consumer `{name}`"))?;
        let of_consumer = |app: &AppId| directory.app(*app).is_some_and(|app| app.consumer == consumer.number);
        let app = match app {
            None => None,
            Some(app) => {
                let number = self.registry.app_named(app).filter(of_consumer);
                Some(number.ok_or_else(|| format!("`{name}` has no app `{app}`"))?)
            }
        };
        let identity = Identity { app, ..Identity::of(consumer.number, "") };
        directory.in_force(&identity, route.unwrap_or("")).ok_or_else(|| match route {
            Some(route) => format!("`{name}` has no plan for the route `{route}`"),
            None => format!("`{name}` has no plan for all routes: `route` says for which one"),
        })
    }

    fn ask_window(&mut self, window: KeyWindow, what: LimitKeyDo) -> (LimitWindowState, Asked) {
        let KeyWindow { limit, key, name, quota, units, database } = window;
        let asked = match database {
            None => Asked::Nothing,
            Some(_) => self.ask_database(limit, key, units, what),
        };
        let counted_in = database.map_or("memory", counts::name);
        (LimitWindowState { name, counted_in, quota, used: None }, asked)
    }

    fn ask_database(&mut self, limit: LimitId, key: u64, units: u32, what: LimitKeyDo) -> Asked {
        let Some(place) = self.quotas.place(limit, machine::wall()) else { return Asked::Nobody };
        if what == LimitKeyDo::Reset {
            self.quotas.reset(limit, key, machine::now());
        }
        match place.database {
            Database::Store => {
                let Ok(store) = self.registry.store() else { return Asked::Nobody };
                Asked::Store(store.ask(move |database| match what {
                    LimitKeyDo::Show => table::leased(database, &place.quota, (key, place.start), units),
                    LimitKeyDo::Reset => table::reset(database, &place.quota, key, place.start).map(|()| 0),
                }))
            }
            Database::Redis => {
                let Some(redis) = self.quotas.redis() else { return Asked::Nobody };
                let at = KeyPlace { quota: place.quota, key, start: place.start };
                Asked::Redis(match what {
                    LimitKeyDo::Show => redis.used(at, units),
                    LimitKeyDo::Reset => redis.reset(at),
                })
            }
        }
    }
}

fn of_limit(limit: &RateLimit, key: u64) -> Vec<KeyWindow> {
    let first = limit.limit_id();
    let ids = (0..).map(|at| first.of_window(at));
    let windows = ids.zip(&limit.windows).map(|(id, window)| {
        let database = limit.kept.filter(|_| window.rate().is_leased()).map(|kept| kept.database);
        let (name, quota) = (window.name().to_owned(), window.rate().burst());
        KeyWindow { limit: id, key, name, quota, units: quota, database }
    });
    windows.collect()
}

fn of_plan(plan: &Plans, in_force: &InForce<'_>) -> Vec<KeyWindow> {
    let windows = plan.counted(in_force).into_iter().map(|(window, limit, key, database)| {
        let (name, quota) = (window.name().to_owned(), window.rate().burst());
        KeyWindow { limit, key, name, quota, units: UNITS_OF_KEYS, database }
    });
    windows.collect()
}

/// What is used, as far as it is counted in a database; after a reset nothing.
async fn said(asked: Asked, what: LimitKeyDo) -> Result<Option<u64>, LimitKeyFault> {
    let used = match asked {
        Asked::Nothing => return Ok(None),
        Asked::Store(answer) => answer.await.ok().and_then(Result::ok),
        Asked::Redis(answer) => answer.await.ok().and_then(Result::ok),
        Asked::Nobody => None,
    };
    let used = used.ok_or(LimitKeyFault::Away)?;
    Ok(Some(if what == LimitKeyDo::Reset { 0 } else { used }))
}
