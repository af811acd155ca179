// SPDX-License-Identifier: Apache-2.0
//! A shard's transcoders. Descriptors are reference-counted, so the control plane compiles a set for each shard and no
//! shard writes to another's counts. Unchanged ones are taken over from the previous plan.

use std::cell::RefCell;
use std::rc::Rc;

use crate::config::plan::{ReflectionSource, TranscoderId, TranscoderPlan};
use crate::wire::grpc::json::Transcoder;

/// The transcoders of one plan, by `TranscoderId`.
#[derive(Debug)]
pub(crate) struct Transcoders {
    slots: Vec<RefCell<Option<Rc<Transcoder>>>>,
}

impl Transcoders {
    /// Those of `plans`: fresh ones where there are some, else those that served `before`.
    pub(crate) fn new(
        plans: &[TranscoderPlan],
        fresh: Vec<Option<Transcoder>>,
        before: Option<(&[TranscoderPlan], &Transcoders)>,
    ) -> Transcoders {
        let held = |plan: &TranscoderPlan| {
            let (plans, held) = before?;
            let at = plans.iter().position(|known| plan.is_served_by(known))?;
            held.slots[at].borrow().clone()
        };
        let mut fresh = fresh.into_iter();
        let slot = |plan| fresh.next().flatten().map(Rc::new).or_else(|| held(plan));
        Transcoders { slots: plans.iter().map(slot).map(RefCell::new).collect() }
    }

    /// Does any route transcode JSON?
    pub(crate) fn are_any(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The transcoder of that id; `None` until a server has sent its descriptors.
    pub(crate) fn of(&self, id: TranscoderId) -> Option<Rc<Transcoder>> {
        self.slots[id.0 as usize].borrow().clone()
    }

    /// Installs the transcoders of `source`, by options. Where one does not fit, the old one stays.
    pub(crate) fn learn(&self, plans: &[TranscoderPlan], source: &ReflectionSource, told: &[Rc<Transcoder>]) {
        for (plan, slot) in plans.iter().zip(&self.slots) {
            let wants = plan.source().is_some_and(|wanted| **wanted == *source);
            let fit = told.iter().find(|transcoder| wants && *transcoder.options() == plan.options);
            if let Some(transcoder) = fit {
                slot.replace(Some(transcoder.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config::plan::{Descriptors, ReflectionPlan};
    use crate::wire::grpc::json::{Names, Options, sample};

    fn plan(upstream: &str, options: Options) -> TranscoderPlan {
        let source = Arc::new(ReflectionSource { upstream: upstream.into(), services: Vec::new() });
        let (refresh, timeout) = (Duration::from_secs(60), Duration::from_secs(5));
        let descriptors = Descriptors::Asked(ReflectionPlan { source, refresh, timeout });
        TranscoderPlan { route: "r".into(), descriptors, options }
    }

    fn proto() -> Options {
        Options { names: Names::Proto, ..Options::default() }
    }

    fn compiled(options: Options) -> Rc<Transcoder> {
        Rc::new(sample::transcoder(options))
    }

    #[test]
    fn what_was_told_is_kept_over_a_reload() {
        let plans = [plan("a", Options::default()), plan("b", Options::default())];
        let first = Transcoders::new(&plans, Vec::new(), None);
        let told = compiled(Options::default());
        first.learn(&plans, plans[0].source().expect("asked"), std::slice::from_ref(&told));
        assert!(Rc::ptr_eq(&first.of(TranscoderId(0)).expect("told"), &told));
        assert!(first.of(TranscoderId(1)).is_none());
        let next = [plan("b", Options::default()), plan("a", proto()), plan("a", Options::default())];
        let fresh = vec![None, Some(sample::transcoder(proto())), None];
        let second = Transcoders::new(&next, fresh, Some((&plans, &first)));
        assert!(second.of(TranscoderId(0)).is_none());
        assert_eq!(*second.of(TranscoderId(1)).expect("fresh").options(), proto());
        assert!(Rc::ptr_eq(&second.of(TranscoderId(2)).expect("kept"), &told));
    }

    #[test]
    fn what_is_told_is_for_those_who_chose_so() {
        let plans = [plan("a", proto()), plan("a", Options::default())];
        let held = Transcoders::new(&plans, Vec::new(), None);
        held.learn(&plans, plans[0].source().expect("asked"), &[compiled(proto())]);
        assert!(held.of(TranscoderId(0)).is_some() && held.of(TranscoderId(1)).is_none());
        let other = plan("b", proto());
        let told = held.of(TranscoderId(0)).expect("told");
        held.learn(&plans, other.source().expect("asked"), &[compiled(proto())]);
        assert!(Rc::ptr_eq(&held.of(TranscoderId(0)).expect("told"), &told));
    }

    #[test]
    fn a_file_that_did_not_change_is_not_compiled_again() {
        let set: Arc<[u8]> = sample::descriptor_set().into();
        let file = |set: &Arc<[u8]>| {
            [TranscoderPlan { descriptors: Descriptors::Known(Arc::clone(set)), ..plan("a", Options::default()) }]
        };
        let first = Transcoders::new(&file(&set), vec![Some(sample::transcoder(Options::default()))], None);
        let same: Arc<[u8]> = set.to_vec().into();
        let second = Transcoders::new(&file(&same), vec![None], Some((&file(&set), &first)));
        assert!(Rc::ptr_eq(&second.of(TranscoderId(0)).expect("kept"), &first.of(TranscoderId(0)).expect("made")));
        let other: Arc<[u8]> = set[1..].into();
        assert!(Transcoders::new(&file(&other), vec![None], Some((&file(&set), &first))).of(TranscoderId(0)).is_none());
    }
}
