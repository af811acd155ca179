// SPDX-License-Identifier: Apache-2.0
//! The wheel against a model that looks at every timer.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{Timer, UNIT, Wheel};
use crate::base::Tick;

const START: Tick = Tick::from_nanos(1_234_567_890_123);

#[derive(Clone, Debug)]
enum Step {
    Add,
    Arm(usize, u64),
    Disarm(usize),
    Remove(usize),
    Advance(u64),
    /// To the time that the wheel asked for.
    AdvanceToNext,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // The longest wait, 200 times, stays below the end of the clock.
    let wait = prop_oneof![0..50_u64, 0..5_000_u64, 0..10_000_000_u64, 0..(1_u64 << 35)];
    let deadline = prop_oneof![9 => wait.clone(), 1 => Just(u64::MAX)];
    let step = prop_oneof![
        2 => Just(Step::Add),
        5 => (0..20_usize, deadline).prop_map(|(which, wait)| Step::Arm(which, wait)),
        1 => (0..20_usize).prop_map(Step::Disarm),
        1 => (0..20_usize).prop_map(Step::Remove),
        3 => wait.prop_map(Step::Advance),
        3 => Just(Step::AdvanceToNext),
    ];
    vec(step, 1..200)
}

/// Every timer with the deadline it is armed for.
#[derive(Default)]
struct Model {
    timers: Vec<(Timer, Option<Tick>)>,
}

impl Model {
    fn earliest(&self) -> Option<Tick> {
        self.timers.iter().filter_map(|(_, due)| *due).min()
    }

    /// Disarms what the wheel fired, and says whether it was due.
    fn fired(&mut self, timer: Timer, now: Tick) -> bool {
        let entry = self.timers.iter_mut().find(|(known, _)| *known == timer);
        entry.and_then(|(_, due)| due.take()).is_some_and(|due| due <= now)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn fires_as_the_model_says(steps in steps()) {
        let mut now = START;
        let mut wheel = Wheel::new(now);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Add => model.timers.push((wheel.add(()), None)),
                Step::Arm(which, wait) => {
                    if let Some((timer, due)) = model.timers.get_mut(which) {
                        let at = now.after_ms(wait);
                        *due = (at != Tick::NEVER).then_some(at);
                        wheel.arm(*timer, at);
                    }
                }
                Step::Disarm(which) => {
                    if let Some((timer, due)) = model.timers.get_mut(which) {
                        *due = None;
                        wheel.disarm(*timer);
                    }
                }
                Step::Remove(which) => {
                    if which < model.timers.len() {
                        let (timer, _) = model.timers.remove(which);
                        prop_assert_eq!(wheel.remove(timer), Some(()));
                        prop_assert_eq!(wheel.remove(timer), None);
                    }
                }
                Step::Advance(wait) => now = now.after_ms(wait),
                Step::AdvanceToNext => now = now.max(wheel.next_due().unwrap_or(now)),
            }
            while let Some(timer) = wheel.pop(now) {
                prop_assert!(model.fired(timer, now), "fired early or twice");
            }
            let armed = model.timers.iter().filter(|(_, due)| due.is_some()).count();
            prop_assert_eq!(wheel.armed(), armed);
            let earliest = model.earliest();
            prop_assert_eq!(earliest.is_some(), wheel.next_due().is_some());
            if let (Some(earliest), Some(next)) = (earliest, wheel.next_due()) {
                prop_assert!(earliest.after(UNIT) > now, "fired late");
                prop_assert!(next <= earliest.after(UNIT));
                prop_assert!(next > now, "asked to be called again at once");
            }
        }
    }
}

#[test]
fn a_deadline_costs_few_wake_ups() {
    let mut wheel = Wheel::new(START);
    let timer = wheel.add("idle");
    wheel.arm(timer, START.after_ms(60_000));
    let mut wake_ups = 0;
    loop {
        let now = wheel.next_due().unwrap();
        wake_ups += 1;
        if let Some(fired) = wheel.pop(now) {
            assert_eq!(wheel.value(fired), Some(&"idle"));
            assert!(now >= START.after_ms(60_000) && now <= START.after_ms(60_000).after(UNIT));
            break;
        }
    }
    assert!(wake_ups <= 4, "{wake_ups} wake-ups for one deadline");
    assert_eq!(wheel.next_due(), None);
}

#[test]
fn removed_nodes_are_used_again() {
    let mut wheel = Wheel::new(START);
    for round in 0..1_000 {
        let timer = wheel.add(round);
        wheel.arm(timer, START.after_ms(round));
        assert_eq!(wheel.remove(timer), Some(round));
    }
    assert_eq!(wheel.nodes.len(), 1);
    assert_eq!((wheel.armed(), wheel.next_due(), wheel.pop(Tick::NEVER)), (0, None, None));
}
