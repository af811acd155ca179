// SPDX-License-Identifier: Apache-2.0
//! The timers of a simulation. Those that are due at the same time fire in the order in which they were set.
//!
//! They lie sorted, the next one last: most timers are set for the network's next event and fire soon, so they come
//! and go at the end, and the few far deadlines in front of them are moved by one copy.

use std::task::Waker;

use crate::base::Tick;

/// When a timer is due, and a number that grows from timer to timer.
pub(crate) type TimerKey = (Tick, u64);

/// The timers that are set.
#[derive(Default)]
pub(crate) struct Timers {
    /// The latest first.
    sorted: Vec<(TimerKey, Waker)>,
}

impl Timers {
    /// Sets a timer. No other one that is set has this key.
    pub(crate) fn set(&mut self, key: TimerKey, waker: Waker) {
        let place = self.sorted.partition_point(|(other, _)| *other > key);
        self.sorted.insert(place, (key, waker));
    }

    /// Forgets a timer, unless it has fired.
    pub(crate) fn forget(&mut self, key: TimerKey) {
        let place = self.sorted.partition_point(|(other, _)| *other > key);
        if self.sorted.get(place).is_some_and(|(other, _)| *other == key) {
            self.sorted.remove(place);
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.sorted.last().map(|((at, _), _)| *at)
    }

    /// Takes the next one out if it is due at `now`.
    pub(crate) fn due(&mut self, now: Tick) -> Option<Waker> {
        self.sorted.pop_if(|((at, _), _)| *at <= now).map(|(_, waker)| waker)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    /// Says which timer fired.
    struct Fired(u64, Arc<AtomicU64>);

    impl Wake for Fired {
        fn wake(self: Arc<Self>) {
            self.1.store(self.0, Ordering::Relaxed);
        }
    }

    proptest! {
        #[test]
        fn timers_fire_by_time_and_then_by_age(steps in prop::collection::vec((1_u64..20, any::<bool>()), 0..60)) {
            let fired = Arc::new(AtomicU64::new(0));
            let mut timers = Timers::default();
            let mut model = std::collections::BTreeSet::new();
            for (number, (at, forgets)) in (1..).zip(steps) {
                let key = (Tick::from_nanos(at), number);
                timers.set(key, Waker::from(Arc::new(Fired(number, fired.clone()))));
                model.insert(key);
                // One that is set, or one that is not.
                let forgotten = (Tick::from_nanos(at), number.saturating_sub(at % 3));
                if forgets {
                    timers.forget(forgotten);
                    model.remove(&forgotten);
                }
                prop_assert_eq!(timers.next(), model.first().map(|key| key.0));
            }
            while let Some((at, number)) = model.pop_first() {
                prop_assert!(timers.due(Tick::from_nanos(at.nanos() - 1)).is_none());
                timers.due(at).expect("the model has one").wake();
                prop_assert_eq!(fired.load(Ordering::Relaxed), number);
            }
            prop_assert_eq!(timers.next(), None);
        }
    }
}
