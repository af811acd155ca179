// SPDX-License-Identifier: Apache-2.0
//! Plans that were replaced. Connections that began under one may hold it for hours; when the last has let go, it is
//! freed on another thread, because freeing thousands of routes takes milliseconds, which no shard has.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::config::Spec;
use crate::config::plan::Plan;
use crate::control::tally::Tally;

/// All that are still held.
#[derive(Debug, Default)]
pub(super) struct Retired {
    plans: Vec<Arc<Plan>>,
}

impl Retired {
    /// A plan was replaced, if there was one.
    pub(super) fn add(&mut self, before: Option<(Arc<Plan>, Arc<Spec>)>) {
        let Some((plan, spec)) = before else { return };
        self.plans.push(plan);
        spawn_blocking(move || drop(spec));
    }

    /// How many are held.
    pub(super) fn count(&self) -> usize {
        self.plans.len()
    }

    /// Frees those that nobody else holds any more, and folds their counters into the totals. To be called about once
    /// a second.
    pub(super) fn sweep(&mut self, tally: &Arc<Tally>) {
        let free: Vec<Arc<Plan>> = self.plans.extract_if(.., |plan| Arc::strong_count(plan) == 1).collect();
        if !free.is_empty() {
            let tally = Arc::clone(tally);
            spawn_blocking(move || {
                drop(free);
                tally.fold();
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigSource, Environment, load};
    use crate::control::tally::CounterSet;

    #[test]
    fn a_plan_is_freed_once_nobody_else_holds_it() {
        let text = "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\necho = true\n".to_owned();
        let loaded =
            load(&ConfigSource::Text { name: "test".to_owned(), text }, &Environment::sealed()).expect("compiles");
        let (held, freed) = (Arc::clone(&loaded.plan), Arc::downgrade(&loaded.plan));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (mut retired, tally) = (Retired::default(), Arc::new(Tally::default()));
        tally.begin(CounterSet::new(&loaded.plan, 1));
        tally.commit(loaded.plan.generation + 1);
        let context = runtime.enter();
        retired.add(None);
        retired.add(Some((loaded.plan, Arc::new(loaded.spec))));
        retired.sweep(&tally);
        assert_eq!((retired.count(), freed.strong_count(), tally.sets()), (1, 2, 1));
        drop(held);
        retired.sweep(&tally);
        assert_eq!(retired.count(), 0);
        // The last thing that the runtime's threads do is to free it.
        drop(context);
        drop(runtime);
        assert_eq!((freed.strong_count(), tally.sets()), (0, 0));
    }
}
