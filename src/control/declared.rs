// SPDX-License-Identifier: Apache-2.0
//! What changes of the directory when one configuration takes the place of another.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::base::CredentialId;
use crate::config::directory::Declared;
use crate::control::store::effect::Effect;
use crate::control::store::object::{Body, ObjectKind};

/// Objects by name.
type Named<T> = BTreeMap<Box<str>, T>;

/// The number of a declared credential, until the registry gives it one.
const UNNUMBERED: CredentialId = CredentialId(0);

/// What changes of the directory when one configuration takes the place of another.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Differences {
    /// What is new or says something else, and credentials that are gone.
    pub effects: Vec<Effect>,
    /// Names that are not declared any more.
    pub gone: Vec<(ObjectKind, Box<str>)>,
    /// Consumers that were not declared before, or are not any more: the store may hold credentials of them.
    pub consumers: Vec<String>,
}

impl Differences {
    /// From `before` to `after`.
    pub(super) fn of(before: &Declared, after: &Declared) -> Differences {
        let mut found = Differences::default();
        if before == after {
            return found;
        }
        found.objects(ObjectKind::Tenant, (&before.tenants, &after.tenants), Body::Tenant);
        found.objects(ObjectKind::Product, (&before.products, &after.products), Body::Product);
        found.objects(ObjectKind::Plan, (&before.plans, &after.plans), |plan| Body::Plan(Box::new(plan)));
        let boxed = |consumer| Body::Consumer(Box::new(consumer));
        found.objects(ObjectKind::Consumer, (&before.consumers, &after.consumers), boxed);
        found.objects(ObjectKind::App, (&before.apps, &after.apps), |app| Body::App(Box::new(app)));
        let (old, new): (BTreeSet<_>, BTreeSet<_>) =
            (before.consumers.keys().collect(), after.consumers.keys().collect());
        found.consumers = old.symmetric_difference(&new).map(|name| name.to_string()).collect();
        found.credentials(before, after);
        found
    }

    fn objects<T: Clone + PartialEq>(
        &mut self,
        kind: ObjectKind,
        (before, after): (&Named<T>, &Named<T>),
        body: impl Fn(T) -> Body,
    ) {
        let changed = after.iter().filter(|(name, object)| before.get(*name) != Some(*object));
        self.effects.extend(changed.map(|(name, object)| Effect::Put(name.to_string(), body(object.clone()))));
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        self.gone.extend(gone.map(|name| (kind, name.clone())));
    }

    /// Those that stay are told again: their consumer or app may be another one.
    fn credentials(&mut self, before: &Declared, after: &Declared) {
        let kept: HashSet<_> = after.keys.iter().map(|key| key.hash).collect();
        let gone = before.keys.iter().filter(|key| !kept.contains(&key.hash));
        self.effects.extend(gone.map(|key| Effect::KeyGone(key.hash)));
        let kept: HashSet<_> = after.credentials.iter().map(|held| (held.kind, &held.lookup)).collect();
        let gone = before.credentials.iter().filter(|held| !kept.contains(&(held.kind, &held.lookup)));
        self.effects.extend(gone.map(|held| Effect::CredentialGone(held.kind, held.lookup.clone())));
        self.effects.extend(after.keys.iter().map(|key| Effect::Key(key.clone(), UNNUMBERED)));
        self.effects.extend(after.credentials.iter().map(|held| Effect::Credential(held.clone(), UNNUMBERED)));
    }
}
