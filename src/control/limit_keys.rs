// SPDX-License-Identifier: Apache-2.0
//! Keys of rate limits, for administrators: where one stands in its windows, and its whole limit again.

use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::control::admin::{LimitKeyDo, LimitKeyFault, LimitKeyRequest, LimitKeyState, LimitWindowState};
use crate::control::plane::Plane;
use crate::control::quotas::redis::KeyPlace;
use crate::control::quotas::table;
use crate::control::store::fault::StoreFault;
use crate::link::ToShard;
use crate::net::machine;
use crate::policy::Policy;
use crate::policy::limit::LimitId;
use crate::policy::rate_limit::{Database, Plan as RateLimit};

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

impl Plane {
    /// Shows a key, or resets it everywhere.
    pub(super) fn limit_key(&mut self, request: LimitKeyRequest, reply: Responder) {
        let Some(plan) = self.current.as_ref().map(|current| current.plan.clone()) else {
            let _ = reply.send(Err(LimitKeyFault::NoLimit));
            return;
        };
        let named = plan.policies.iter().find(|policy| *policy.name == *request.limit);
        let Some(Policy::RateLimit(limit)) = named.map(|policy| &policy.policy) else {
            let _ = reply.send(Err(LimitKeyFault::NoLimit));
            return;
        };
        let values: Vec<&str> = request.key.iter().map(String::as_str).collect();
        let key = match limit.key_named(&values, request.route.as_deref()) {
            Ok(key) => key,
            Err(words) => {
                let _ = reply.send(Err(LimitKeyFault::NoKey(words)));
                return;
            }
        };
        let asked = self.ask_windows(limit, key, request.what);
        if request.what == LimitKeyDo::Reset {
            let limit = limit.limit_id();
            self.shards.send_all(|_| ToShard::ResetLimit { limit, key });
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

    fn ask_windows(&mut self, limit: &RateLimit, key: u64, what: LimitKeyDo) -> Vec<(LimitWindowState, Asked)> {
        let first = limit.limit_id();
        let ids = (0..).map(|at| first.of_window(at));
        let windows = ids.zip(&limit.windows).map(|(id, window)| {
            let counted_in = match limit.kept.filter(|_| window.rate().is_leased()).map(|kept| kept.database) {
                None => "memory",
                Some(Database::Store) => "store",
                Some(Database::Redis) => "redis",
            };
            let (name, quota) = (window.name().to_owned(), window.rate().burst());
            (id, LimitWindowState { name, counted_in, quota, used: None })
        });
        let windows: Vec<(LimitId, LimitWindowState)> = windows.collect();
        let asked = windows.into_iter().map(|(id, window)| {
            let asked = match window.counted_in {
                "memory" => Asked::Nothing,
                _ => self.ask_window(id, key, window.quota, what),
            };
            (window, asked)
        });
        asked.collect()
    }

    fn ask_window(&mut self, limit: LimitId, key: u64, quota: u32, what: LimitKeyDo) -> Asked {
        let Some(place) = self.quotas.place(limit, machine::wall()) else { return Asked::Nobody };
        if what == LimitKeyDo::Reset {
            self.quotas.reset(limit, key, machine::now());
        }
        match place.database {
            Database::Store => {
                let Ok(store) = self.registry.store() else { return Asked::Nobody };
                Asked::Store(store.ask(move |database| match what {
                    LimitKeyDo::Show => table::leased(database, &place.quota, (key, place.start), quota),
                    LimitKeyDo::Reset => table::reset(database, &place.quota, key, place.start).map(|()| 0),
                }))
            }
            Database::Redis => {
                let Some(redis) = self.quotas.redis() else { return Asked::Nobody };
                let at = KeyPlace { quota: place.quota, key, start: place.start };
                Asked::Redis(match what {
                    LimitKeyDo::Show => redis.used(at, quota),
                    LimitKeyDo::Reset => redis.reset(at),
                })
            }
        }
    }
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
