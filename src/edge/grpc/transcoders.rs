//! A shard's transcoders. Descriptors are counted references, so each shard compiles its own: none writes to counters
//! of another. What did not change is taken over from the plan before.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::plan::{Descriptors, ReflectionSource, TranscoderId, TranscoderPlan};
use crate::wire::grpc::json::Transcoder;

/// The transcoders of one plan, by `TranscoderId`.
#[derive(Debug)]
pub struct Transcoders {
    slots: Vec<RefCell<Option<Compiled>>>,
}

/// A transcoder and what it was made of.
#[derive(Clone, Debug)]
struct Compiled {
    descriptors: Arc<[u8]>,
    transcoder: Rc<Transcoder>,
}

impl Compiled {
    /// `None` where it cannot be compiled, which the control plane saw and said.
    fn new(descriptors: &Arc<[u8]>, plan: &TranscoderPlan) -> Option<Compiled> {
        let compiled = Transcoder::from_descriptor_set(descriptors, plan.options.clone()).ok()?;
        Some(Compiled { descriptors: Arc::clone(descriptors), transcoder: Rc::new(compiled) })
    }
}

impl Transcoders {
    /// Those of `plans`. `before` are those of the plan before, with what was learned for them.
    pub fn new(plans: &[TranscoderPlan], before: Option<(&[TranscoderPlan], &Transcoders)>) -> Transcoders {
        let (old_plans, old) = before.map_or((&[][..], &[][..]), |(plans, held)| (plans, &held.slots));
        let held = || old_plans.iter().zip(old).filter_map(|(plan, slot)| Some((plan, slot.borrow().clone()?)));
        let slot = |plan: &TranscoderPlan| {
            let descriptors = match &plan.descriptors {
                Descriptors::Known(descriptors) => Arc::clone(descriptors),
                Descriptors::Asked(asked) => {
                    held().find(|(known, _)| known.source() == Some(&asked.source))?.1.descriptors
                }
            };
            let same = held().find(|(known, held)| known.options == plan.options && held.descriptors == descriptors);
            same.map(|(_, held)| held).or_else(|| Compiled::new(&descriptors, plan))
        };
        Transcoders { slots: plans.iter().map(|plan| RefCell::new(slot(plan))).collect() }
    }

    /// The transcoder of that id. There is none where no server has told its descriptors yet.
    pub fn of(&self, id: TranscoderId) -> Option<Rc<Transcoder>> {
        self.slots[id.0 as usize].borrow().as_ref().map(|held| held.transcoder.clone())
    }

    /// Takes what `source` told. Where it does not fit, what was there stays.
    pub fn learn(&self, plans: &[TranscoderPlan], source: &ReflectionSource, descriptors: &Arc<[u8]>) {
        for (plan, slot) in plans.iter().zip(&self.slots) {
            let wants = plan.source().is_some_and(|wanted| **wanted == *source);
            let has = slot.borrow().as_ref().is_some_and(|held| held.descriptors == *descriptors);
            if wants
                && !has
                && let Some(compiled) = Compiled::new(descriptors, plan)
            {
                slot.replace(Some(compiled));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::plan::ReflectionPlan;
    use crate::wire::grpc::json::{Names, Options, sample};

    fn plan(upstream: &str, options: Options) -> TranscoderPlan {
        let source = Arc::new(ReflectionSource { upstream: upstream.into(), services: Vec::new() });
        let (refresh, timeout) = (Duration::from_secs(60), Duration::from_secs(5));
        let descriptors = Descriptors::Asked(ReflectionPlan { source, refresh, timeout });
        TranscoderPlan { route: "r".into(), descriptors, options }
    }

    #[test]
    fn what_was_told_is_kept_over_a_reload() {
        let set: Arc<[u8]> = sample::descriptor_set().into();
        let plans = [plan("a", Options::default()), plan("b", Options::default())];
        let first = Transcoders::new(&plans, None);
        first.learn(&plans, plans[0].source().expect("asked"), &set);
        let old = first.of(TranscoderId(0)).expect("told");
        assert!(first.of(TranscoderId(1)).is_none());
        let other = Options { names: Names::Proto, ..Options::default() };
        let next = [plan("b", Options::default()), plan("a", other), plan("a", Options::default())];
        let second = Transcoders::new(&next, Some((&plans, &first)));
        assert!(second.of(TranscoderId(0)).is_none());
        assert!(!Rc::ptr_eq(&second.of(TranscoderId(1)).expect("told"), &old));
        assert!(Rc::ptr_eq(&second.of(TranscoderId(2)).expect("told"), &old));
    }

    #[test]
    fn what_does_not_fit_replaces_nothing() {
        let set: Arc<[u8]> = sample::descriptor_set().into();
        let plans = [plan("a", Options::default())];
        let source = plans[0].source().expect("asked").clone();
        let held = Transcoders::new(&plans, None);
        held.learn(&plans, &source, &set);
        let known = held.of(TranscoderId(0)).expect("told");
        for wrong in [&b""[..], b"\xff"] {
            held.learn(&plans, &source, &Arc::from(wrong));
            assert!(Rc::ptr_eq(&held.of(TranscoderId(0)).expect("still"), &known));
        }
        let file = TranscoderPlan { descriptors: Descriptors::Known(set), ..plans[0].clone() };
        assert!(Rc::ptr_eq(
            &Transcoders::new(&[file], Some((&plans, &held))).of(TranscoderId(0)).expect("a file"),
            &known
        ));
    }
}
