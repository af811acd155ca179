// SPDX-License-Identifier: Apache-2.0
//! What the store holds, for the directory: all of it at the start, parts of it later.

use crate::config::directory::{Assembly, Declared, Numbers};
use crate::control::store::credential;
use crate::control::store::database::Database;
use crate::control::store::effect::Effect;
use crate::control::store::fault::StoreFault;
use crate::control::store::object::{self, Body, ObjectKind};
use crate::policy::directory::{Revision, Snapshot};

/// The first revision of a process.
const FIRST: Revision = Revision(1);

/// The kinds of objects that shards know, those first that others name.
pub(super) const KINDS: [ObjectKind; 5] =
    [ObjectKind::Tenant, ObjectKind::Product, ObjectKind::Plan, ObjectKind::Consumer, ObjectKind::App];

/// The directory of what is declared alone.
pub(super) fn declared_only(declared: &Declared, numbers: &mut Numbers) -> Snapshot {
    let mut assembly = Assembly::new(numbers, None);
    assembly.declared(declared);
    assembly.finish(FIRST)
}

/// The directory of what is declared, and of what the store holds beside it.
pub(super) fn snapshot(
    database: &mut Database,
    declared: &Declared,
    numbers: &mut Numbers,
) -> Result<Snapshot, StoreFault> {
    let mut assembly = Assembly::new(numbers, None);
    assembly.declared(declared);
    for kind in KINDS {
        object::each(database, kind, |object| add(&mut assembly, &object.name, &object.body))?;
    }
    credential::each(database, None, |effect| match effect {
        Effect::Key(key, number) => assembly.key(&key, number),
        Effect::Credential(credential, number) => assembly.credential(&credential, number),
        Effect::Put(..) | Effect::Gone(..) | Effect::KeyGone(_) | Effect::CredentialGone(..) => {}
    })?;
    Ok(assembly.finish(FIRST))
}

fn add(assembly: &mut Assembly<'_>, name: &str, body: &Body) {
    match body {
        Body::Tenant(tenant) => assembly.tenant(name, tenant),
        Body::Product(product) => assembly.product(name, product),
        Body::Plan(plan) => assembly.plan(name, plan),
        Body::Consumer(consumer) => assembly.consumer(name, consumer),
        Body::App(app) => assembly.app(name, app),
        // Consumers name their groups, whether they exist or not.
        Body::Group(_) => {}
    }
}

/// Everything, as changes.
pub(super) fn effects(database: &mut Database) -> Result<Vec<Effect>, StoreFault> {
    let mut effects = Vec::new();
    for kind in KINDS {
        object::each(database, kind, |object| effects.push(Effect::Put(object.name, object.body)))?;
    }
    credential::each(database, None, |effect| effects.push(effect))?;
    Ok(effects)
}

/// What a configuration that changed may uncover: all tenants, products, plans and apps, and these consumers with their
/// credentials.
pub(super) fn effects_of(database: &mut Database, consumers: &[String]) -> Result<Vec<Effect>, StoreFault> {
    let mut effects = Vec::new();
    for kind in [ObjectKind::Tenant, ObjectKind::Product, ObjectKind::Plan] {
        object::each(database, kind, |object| effects.push(Effect::Put(object.name, object.body)))?;
    }
    for name in consumers {
        let object = object::get(database, ObjectKind::Consumer, name)?;
        effects.extend(object.map(|object| Effect::Put(object.name, object.body)));
    }
    object::each(database, ObjectKind::App, |object| effects.push(Effect::Put(object.name, object.body)))?;
    for name in consumers {
        effects.extend(credential::effects(database, Some(("consumer", name)))?);
    }
    Ok(effects)
}
