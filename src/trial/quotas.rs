// SPDX-License-Identifier: Apache-2.0
//! Quotas that are counted in a database: their parents, and in the place of the database a table that is empty when a
//! test begins and answers at once.

use std::collections::HashMap;

use crate::base::{Tick, Wall};
use crate::config::plan::Plan;
use crate::policy::limit::parent::{Order, Outcome, Parent, Replies};
use crate::policy::limit::{LimitId, Message, ShardId};

/// The shard of a test.
const SHARD: ShardId = ShardId(0);

/// The quotas of a test.
#[derive(Default)]
pub(crate) struct Quotas {
    parents: HashMap<LimitId, Parent>,
    /// What is used or leased of a key in the window that begins then.
    used: HashMap<(LimitId, u64, u64), u64>,
}

impl Quotas {
    /// Those of a plan.
    pub(crate) fn of(plan: &Plan) -> Quotas {
        let quotas = plan.policies.iter().flat_map(|policy| policy.policy.quotas());
        let parents = quotas.map(|quota| {
            let parent =
                Parent::new((quota.limit, quota.rate), quota.calendar, quota.kept.on_outage, (1, quota.keys_max));
            (quota.limit, parent.based_on(quota.basis))
        });
        Quotas { parents: parents.collect(), used: HashMap::new() }
    }

    /// A message of the shard, and what it is told.
    pub(crate) fn receive(&mut self, message: &Message, now: (Tick, Wall)) -> Replies {
        let mut replies = Replies::new();
        let Quotas { parents, used } = self;
        let Some(parent) = parents.get_mut(&message.limit) else { return replies };
        parent.receive(SHARD, message, now, &mut replies);
        loop {
            let orders = parent.take_orders();
            if orders.is_empty() {
                return replies;
            }
            for order in orders {
                let outcome = lease(used.entry((message.limit, order.key, order.window.start)).or_default(), &order);
                parent.settle(&order, outcome, now, &mut replies);
            }
        }
    }
}

/// Does an order.
fn lease(used: &mut u64, order: &Order) -> Outcome {
    *used = used.saturating_add_signed(order.owed);
    let count = order.want.min(u32::try_from(u64::from(order.quota).saturating_sub(*used)).unwrap_or(0));
    *used += u64::from(count);
    Outcome::Leased { count, used: *used }
}
