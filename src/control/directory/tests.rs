// SPDX-License-Identifier: Apache-2.0
//! What shards are told when configurations and the store change side by side.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;

use super::*;
use crate::base::Tick;
use crate::config::spec::directory::ConsumerBody;
use crate::policy::directory::Expiry;

const SECOND: Duration = Duration::from_secs(1);

fn declared(names: &[&str]) -> Arc<Declared> {
    let consumers = names.iter().map(|name| (Box::from(*name), ConsumerBody::default())).collect();
    Arc::new(Declared { consumers, ..Declared::default() })
}

fn key(fill: u8, consumer: &str) -> Effect {
    let object = KeyObject { hash: [fill; 32], consumer: consumer.into(), app: None, expires: Expiry::NEVER };
    Effect::Key(object, CredentialId(fill.into()))
}

fn consumer(name: &str, id: &str) -> Effect {
    let json = json!({ "id": id });
    Effect::Put(name.to_owned(), Body::parse(ObjectKind::Consumer, json).expect("it is right"))
}

fn object() -> Written {
    Written::TokenGone
}

#[test]
fn a_write_is_answered_when_every_shard_knows_it() {
    let mut registry = Registry::new(2);
    let (reply, mut answer) = oneshot::channel();
    registry.expect(1, reply);
    let effects = vec![consumer("acme", "17"), key(1, "acme")];
    let change = registry.written(1, (object(), effects), Tick::ZERO).expect("a change");
    assert_eq!((change.items.len(), change.revision), (2, Revision(1)));
    registry.answer(Tick::ZERO);
    registry.applied(0, Revision(1));
    registry.answer(Tick::ZERO);
    assert!(answer.try_recv().is_err(), "one shard does not know it");
    registry.applied(1, Revision(1));
    registry.answer(Tick::ZERO);
    let outcome = answer.try_recv().expect("answered").expect("written");
    assert_eq!(outcome.reach, Reach::Everywhere);
}

#[test]
fn a_shard_that_is_slow_delays_the_answer_by_a_second_at_most() {
    let mut registry = Registry::new(1);
    let (reply, mut answer) = oneshot::channel();
    registry.expect(1, reply);
    registry.written(1, (object(), vec![consumer("acme", "")]), Tick::ZERO);
    assert_eq!(registry.wake_at(), Tick::ZERO.after(SECOND));
    registry.answer(Tick::ZERO.after(SECOND));
    let outcome = answer.try_recv().expect("answered").expect("written");
    assert_eq!((outcome.reach, registry.wake_at()), (Reach::Pending(Revision(1)), Tick::NEVER));
}

#[test]
fn the_configuration_wins_and_the_store_comes_back_behind_it() {
    let mut registry = Registry::new(1);
    registry.written(1, (object(), vec![consumer("acme", "stored"), key(1, "acme")]), Tick::ZERO);
    let number = registry.directory().by_name("acme").expect("known").number;
    registry.declare(&declared(&["acme"]));
    let acme = registry.directory().by_name("acme").expect("known");
    assert_eq!((acme.id(), acme.number), ("", number), "the declared one, under the same number");
    assert!(registry.written(2, (object(), vec![consumer("acme", "later")]), Tick::ZERO).is_none(), "it is hidden");
    assert!(registry.directory().key(&[1; 32]).is_some(), "its keys in the store are valid");
    // Without a store that could hold one of that name, the consumer is gone.
    registry.declare(&declared(&[]));
    assert!(registry.directory().by_name("acme").is_none());
    let change = registry.learn(vec![consumer("acme", "later"), key(1, "acme")]).expect("a change");
    assert_eq!((change.items.len(), registry.directory().by_name("acme").expect("known").id()), (2, "later"));
}

#[test]
fn declared_keys_come_and_go_and_the_store_cannot_remove_them() {
    let mut registry = Registry::new(1);
    let with_key = |hash: KeyHash| {
        let key = KeyObject { hash, consumer: "acme".into(), app: None, expires: Expiry::NEVER };
        let declared = Declared::clone(&declared(&["acme"]));
        Arc::new(Declared { keys: vec![key], ..declared })
    };
    registry.declare(&with_key([1; 32]));
    assert!(registry.directory().key(&[1; 32]).is_some());
    registry.written(1, (object(), vec![Effect::KeyGone([1; 32])]), Tick::ZERO);
    assert!(registry.directory().key(&[1; 32]).is_some());
    registry.declare(&with_key([2; 32]));
    assert!(registry.directory().key(&[1; 32]).is_none() && registry.directory().key(&[2; 32]).is_some());
}

#[test]
fn plans_products_and_tenants_change_what_holds() {
    let mut registry = Registry::new(1);
    let put = |kind, name: &str, json| Effect::Put(name.to_owned(), Body::parse(kind, json).expect("right"));
    let effects = vec![
        put(ObjectKind::Product, "maps", json!({ "routes": ["tiles"] })),
        put(ObjectKind::Plan, "gold", json!({ "limits": [{ "count": 10, "per": "day" }] })),
        put(ObjectKind::Consumer, "acme", json!({ "plans": { "maps": "gold" } })),
    ];
    registry.written(1, (object(), effects), Tick::ZERO);
    let plan = |registry: &Registry, route: &str| {
        let number = registry.directory().by_name("acme").expect("known").number;
        let identity = crate::policy::Identity::of(number, "test");
        let in_force = registry.directory().in_force(&identity, route);
        in_force.map(|in_force| in_force.plan.windows.first().map_or(0, |window| window.rate().burst()))
    };
    assert_eq!((plan(&registry, "tiles"), plan(&registry, "search")), (Some(10), None));
    let better = put(ObjectKind::Plan, "gold", json!({ "limits": [{ "count": 99, "per": "day" }] }));
    registry.written(2, (object(), vec![better]), Tick::ZERO);
    assert_eq!(plan(&registry, "tiles"), Some(99), "at once");
    registry.written(3, (object(), vec![Effect::Gone(ObjectKind::Plan, "gold".to_owned())]), Tick::ZERO);
    assert_eq!(plan(&registry, "tiles"), None);
}

#[test]
fn many_changes_become_a_snapshot() {
    let mut registry = Registry::new(1);
    registry.written(0, (object(), vec![consumer("acme", "")]), Tick::ZERO);
    let keys = DIRECTORY_CHANGES_MAX as u64 + 10;
    for number in 0..keys {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        let key = KeyObject { hash, consumer: "acme".into(), app: None, expires: Expiry::NEVER };
        registry.written(number, (object(), vec![Effect::Key(key, CredentialId(1))]), Tick::ZERO);
    }
    let copy = registry.merge().expect("it is time");
    assert!(registry.merge().is_none(), "one at a time");
    registry.written(keys, (object(), vec![key(0xFF, "acme")]), Tick::ZERO);
    let snapshot = copy.merged();
    drop(copy);
    registry.merged(&Arc::new(snapshot));
    assert_eq!((registry.directory().base().key_count() as u64, registry.directory().changed()), (keys, 1));
    assert!(registry.directory().key(&[0xFF; 32]).is_some());
    assert_eq!((registry.free().len(), registry.holds_retired()), (1, false));
}
