// SPDX-License-Identifier: Apache-2.0
//! Look-ups of a directory: before and after changes, and after snapshots of any age.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::{CredentialId, TenantId};
use crate::policy::key_format::hash_of;

fn hash(number: u32) -> KeyHash {
    hash_of(&number.to_le_bytes())
}

fn entry(number: u32, consumer: u32) -> KeyEntry {
    KeyEntry::new(hash(number), (ConsumerId(consumer), None), CredentialId(number), Expiry::NEVER)
}

fn consumer(number: u32) -> Consumer {
    let name = format!("consumer-{number}");
    Consumer::new(ConsumerId(number), &name, Standing::Active, Arc::default(), Own::default())
}

/// A change of one of a few keys or consumers.
#[derive(Clone, Debug)]
enum Step {
    Put(u32),
    Remove(u32),
    PutConsumer(u32),
    RemoveConsumer(u32),
    /// A snapshot of everything, which arrives so many changes later.
    Snapshot(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..6_u32).prop_map(Step::Put),
        (0..6_u32).prop_map(Step::Remove),
        (0..4_u32).prop_map(Step::PutConsumer),
        (0..4_u32).prop_map(Step::RemoveConsumer),
        (0..5_usize).prop_map(Step::Snapshot),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn a_snapshot_of_any_age_changes_no_look_up(steps in steps()) {
        let (mut plain, mut rebased) = (Directory::default(), Directory::default());
        let mut coming: Vec<(usize, Arc<Snapshot>)> = Vec::new();
        for step in steps {
            let item = match step {
                Step::Put(number) => Item::Key(entry(number, number % 4)),
                Step::Remove(number) => Item::KeyGone(hash(number)),
                Step::PutConsumer(number) => Item::Consumer(Arc::new(consumer(number))),
                Step::RemoveConsumer(number) => {
                    Item::ConsumerGone { number: ConsumerId(number), name: consumer(number).name }
                }
                Step::Snapshot(after) => {
                    coming.push((after, Arc::new(rebased.copied().merged())));
                    continue;
                }
            };
            let change = Change { revision: plain.revision().next(), items: vec![item], catalogue: None };
            plain.apply(&change);
            rebased.apply(&change);
            coming.iter_mut().for_each(|(after, _)| *after = after.saturating_sub(1));
            let due: Vec<_> = coming.extract_if(.., |(after, _)| *after == 0).collect();
            due.into_iter().for_each(|(_, snapshot)| drop(rebased.rebase(snapshot)));
            prop_assert_eq!(plain.revision(), rebased.revision());
            let counts = |directory: &Directory| (directory.key_count(), directory.consumer_count());
            prop_assert_eq!(counts(&plain), counts(&rebased));
            let keys = (0..6).filter(|number| plain.key(&hash(*number)).is_some()).count();
            prop_assert_eq!(plain.key_count(), keys);
            for number in 0..6 {
                prop_assert_eq!(plain.key(&hash(number)), rebased.key(&hash(number)));
                prop_assert_eq!(plain.consumer(ConsumerId(number)), rebased.consumer(ConsumerId(number)));
                let name = consumer(number).name;
                prop_assert_eq!(plain.by_name(&name), rebased.by_name(&name));
            }
        }
    }
}

#[test]
fn a_change_is_applied_once_and_in_order() {
    let mut directory = Directory::default();
    let put = Change { revision: Revision(5), items: vec![Item::Key(entry(1, 0))], catalogue: None };
    let gone = Change { revision: Revision(6), items: vec![Item::KeyGone(hash(1))], catalogue: None };
    directory.apply(&put);
    assert!(directory.key(&hash(1)).is_some());
    directory.apply(&gone);
    directory.apply(&put);
    assert!(directory.key(&hash(1)).is_none() && directory.revision() == Revision(6));
}

#[test]
fn whoever_is_suspended_is_known_as_such() {
    let tenant = |standing| {
        let tenant = Tenant { standing, ..Tenant::default() };
        Arc::new(Catalogue { tenants: vec![Some(Arc::new(tenant))], ..Catalogue::default() })
    };
    let of_tenant = |number, standing| {
        let profile = Profile { tenant: Some(TenantId(0)), ..Profile::default() };
        Consumer::new(ConsumerId(number), "x", standing, Arc::new(profile), Own::default())
    };
    let at = |consumer: Consumer, standing| {
        let parts = Parts { consumers: vec![consumer], catalogue: tenant(standing), ..Parts::default() };
        Directory::new(Arc::new(Snapshot::new(Revision(1), parts)))
    };
    let who = Identity::of(ConsumerId(7), "test");
    assert!(!at(of_tenant(7, Standing::Active), Standing::Active).is_suspended(&who));
    assert!(at(of_tenant(7, Standing::Suspended), Standing::Active).is_suspended(&who));
    assert!(at(of_tenant(7, Standing::Active), Standing::Suspended).is_suspended(&who));
    assert!(at(of_tenant(8, Standing::Active), Standing::Active).is_suspended(&who), "it was removed");
    assert!(!Directory::default().is_suspended(&Identity::default()), "nobody is not suspended");
}

#[test]
fn a_key_of_a_million_takes_little_memory() {
    assert!(size_of::<KeyEntry>() + size_of::<Consumer>() <= 88);
    let count = 20_000;
    let parts = Parts {
        keys: (0..count).map(|number| entry(number, number)).collect(),
        consumers: (0..count).map(consumer).collect(),
        ..Parts::default()
    };
    let directory = Directory::new(Arc::new(Snapshot::new(Revision(1), parts)));
    for number in (0..count).step_by(997) {
        assert_eq!(directory.key(&hash(number)).unwrap().consumer, ConsumerId(number));
        assert_eq!(directory.consumer(ConsumerId(number)).unwrap(), &consumer(number));
        assert_eq!(directory.by_name(&consumer(number).name).unwrap().number, ConsumerId(number));
    }
    assert!(directory.key(&hash(count)).is_none() && directory.by_name("nobody").is_none());
}
