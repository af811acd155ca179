// SPDX-License-Identifier: Apache-2.0
//! What the control plane does for quotas: carries messages between shards and the parents of their limits, and orders
//! between those and the databases.

use std::time::Duration;

use tokio::time::timeout;

use crate::base::Tick;
use crate::config::plan::Plan;
use crate::control::events::Events;
use crate::control::plane::Plane;
use crate::control::quotas::counts::name;
use crate::control::quotas::{Settled, Turn};
use crate::link::ToShard;
use crate::net::machine;
use crate::policy::limit::parent::Replies;
use crate::policy::limit::{Body, Message, ShardId};

/// How often keys that are idle are looked for.
const SWEEP: Duration = Duration::from_millis(500);
/// How often old windows are dropped from the store.
const EXPIRE: u32 = 120;
/// Longest wait at the end of the process for what goes back to be written.
const SURRENDER: Duration = Duration::from_secs(2);

impl Plane {
    /// A plan comes into use: its quotas are known before a shard asks for them.
    pub(super) fn follow_quotas(&mut self, plan: &Plan) {
        self.quotas.follow(plan, machine::wall());
        self.timers.quotas = if self.quotas.is_empty() { Tick::NEVER } else { machine::now() };
        self.send_orders();
    }

    /// A shard says something to the parent of a limit.
    pub(super) fn lease(&mut self, shard: usize, message: &Message) {
        let mut out = Replies::new();
        let from = ShardId(shard as u32);
        let known = self.quotas.receive(from, message, (machine::now(), machine::wall()), &mut out);
        if !known && matches!(message.body, Body::Ask { .. }) {
            // Of a plan that is not in use any more.
            out.push((from, Message { body: Body::NoRoom, ..*message }));
        }
        self.reply(out);
        self.send_orders();
    }

    /// A database did what was ordered, or failed.
    pub(super) fn settled(&mut self, settled: Settled) {
        let mut out = Replies::new();
        match self.quotas.settle(settled, (machine::now(), machine::wall()), &mut out) {
            Some(Turn::Away(database, fault)) => {
                let database = name(database);
                tracing::error!(database, %fault, "quotas: nothing can be leased; `on_outage` says what happens");
            }
            Some(Turn::Back(database)) => {
                let database = name(database);
                tracing::info!(database, "quotas: leases are given again");
                self.quotas.tell_again(machine::wall());
            }
            None => {}
        }
        self.reply(out);
        self.send_orders();
    }

    /// Looks at the keys of parents, where it is time.
    pub(super) fn sweep_quotas(&mut self, now: Tick) {
        if now < self.timers.quotas {
            return;
        }
        self.timers.quotas = now.after(SWEEP);
        self.quotas.sweep((now, machine::wall()));
        if self.quotas.sweeps().is_multiple_of(EXPIRE)
            && let Ok(store) = self.registry.store()
        {
            self.quotas.expire(store, machine::wall());
        }
        self.send_orders();
    }

    /// The process ends: what is leased and not used goes back, as far as that is written soon.
    pub(super) async fn surrender_quotas(&mut self, events: &mut Events) {
        self.quotas.surrender(machine::wall());
        let until = machine::now().after(SURRENDER);
        self.send_orders();
        while self.quotas.is_busy() {
            let left = until.since(machine::now());
            let Ok(Some(settled)) = timeout(left, events.settled.recv()).await else { return };
            self.settled(settled);
        }
    }

    fn reply(&mut self, out: Replies) {
        for (shard, message) in out {
            self.shards.send(shard.0 as usize, ToShard::Lease(message));
        }
    }

    fn send_orders(&mut self) {
        let store = self.registry.store().ok();
        self.quotas.send(store.as_deref(), machine::now());
    }
}
