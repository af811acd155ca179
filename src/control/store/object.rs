// SPDX-License-Identifier: Apache-2.0
//! Objects: tenants, groups, consumers, plans, products and apps, each a JSON body with a name and a revision.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::config::directory::{Declared, fault_of_name, faults_of_plan};
use crate::config::spec::directory::{AppSpec, ConsumerBody, GroupSpec, PlanSpec, ProductSpec, TenantSpec};
use crate::control::store::database::value::Row;
use crate::control::store::database::{Database, values};
use crate::control::store::fault::StoreFault;

/// A kind of objects. The numbers stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i64)]
pub(crate) enum ObjectKind {
    /// Whom consumers belong to.
    Tenant = 1,
    /// A group of consumers.
    Group = 2,
    /// Who calls.
    Consumer = 3,
    /// What a subscriber may do.
    Plan = 4,
    /// A set of routes.
    Product = 5,
    /// A program of a consumer.
    App = 6,
}

impl ObjectKind {
    /// All of them.
    pub(crate) const ALL: [ObjectKind; 6] = [
        ObjectKind::Tenant,
        ObjectKind::Group,
        ObjectKind::Consumer,
        ObjectKind::Plan,
        ObjectKind::Product,
        ObjectKind::App,
    ];

    /// Its name for one.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            ObjectKind::Tenant => "tenant",
            ObjectKind::Group => "group",
            ObjectKind::Consumer => "consumer",
            ObjectKind::Plan => "plan",
            ObjectKind::Product => "product",
            ObjectKind::App => "app",
        }
    }

    /// Its name for many, as in the paths of the admin API.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            ObjectKind::Tenant => "tenants",
            ObjectKind::Group => "groups",
            ObjectKind::Consumer => "consumers",
            ObjectKind::Plan => "plans",
            ObjectKind::Product => "products",
            ObjectKind::App => "apps",
        }
    }

    /// Does the configuration declare an object of this kind and name?
    pub(crate) fn is_declared(self, declared: &Declared, name: &str) -> bool {
        match self {
            ObjectKind::Tenant => declared.tenants.contains_key(name),
            ObjectKind::Group => declared.groups.contains_key(name),
            ObjectKind::Consumer => declared.consumers.contains_key(name),
            ObjectKind::Plan => declared.plans.contains_key(name),
            ObjectKind::Product => declared.products.contains_key(name),
            ObjectKind::App => declared.apps.contains_key(name),
        }
    }
}

/// What an object says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// Of a tenant.
    Tenant(TenantSpec),
    /// Of a group.
    Group(GroupSpec),
    /// Of a consumer.
    Consumer(Box<ConsumerBody>),
    /// Of a plan.
    Plan(Box<PlanSpec>),
    /// Of a product.
    Product(ProductSpec),
    /// Of an app.
    App(Box<AppSpec>),
}

impl Body {
    /// Reads and checks a body.
    pub(crate) fn parse(kind: ObjectKind, json: Value) -> Result<Body, StoreFault> {
        if !json.is_object() {
            return Err(StoreFault::Invalid("a JSON object is expected".to_owned()));
        }
        let body = Body::read(kind, json).map_err(|error| StoreFault::Invalid(error.to_string()))?;
        body.check()?;
        Ok(body)
    }

    /// Reads a body, of a value or of a text. One of the store was checked when it was written.
    fn read<'de, D: Deserializer<'de>>(kind: ObjectKind, json: D) -> Result<Body, D::Error> {
        Ok(match kind {
            ObjectKind::Tenant => Body::Tenant(Deserialize::deserialize(json)?),
            ObjectKind::Group => Body::Group(Deserialize::deserialize(json)?),
            ObjectKind::Consumer => Body::Consumer(Deserialize::deserialize(json)?),
            ObjectKind::Plan => Body::Plan(Deserialize::deserialize(json)?),
            ObjectKind::Product => Body::Product(Deserialize::deserialize(json)?),
            ObjectKind::App => Body::App(Deserialize::deserialize(json)?),
        })
    }

    /// Of which kind of object it is.
    pub(crate) fn kind(&self) -> ObjectKind {
        match self {
            Body::Tenant(_) => ObjectKind::Tenant,
            Body::Group(_) => ObjectKind::Group,
            Body::Consumer(_) => ObjectKind::Consumer,
            Body::Plan(_) => ObjectKind::Plan,
            Body::Product(_) => ObjectKind::Product,
            Body::App(_) => ObjectKind::App,
        }
    }

    /// As JSON, with every key.
    pub(crate) fn json(&self) -> Value {
        fn json(body: &impl Serialize) -> Value {
            // A body is plain data, which JSON can hold.
            serde_json::to_value(body).unwrap_or_default()
        }
        match self {
            Body::Tenant(body) => json(body),
            Body::Group(body) => json(body),
            Body::Consumer(body) => json(body),
            Body::Plan(body) => json(body),
            Body::Product(body) => json(body),
            Body::App(body) => json(body),
        }
    }

    fn check(&self) -> Result<(), StoreFault> {
        let invalid = |words: String| Err(StoreFault::Invalid(words));
        let attributes = match self {
            Body::Plan(plan) => match faults_of_plan(plan).into_iter().next() {
                Some(fault) => return invalid(fault),
                None => return Ok(()),
            },
            Body::App(app) if app.consumer.is_empty() => return invalid("`consumer` is missing".to_owned()),
            Body::Consumer(consumer) if consumer.id.as_deref().is_some_and(has_control) => {
                return invalid("`id` has control characters".to_owned());
            }
            Body::Group(_) | Body::Product(_) => return Ok(()),
            Body::App(app) => &app.attributes,
            Body::Consumer(consumer) => &consumer.attributes,
            Body::Tenant(tenant) => &tenant.attributes,
        };
        if attributes.iter().any(|(name, value)| has_control(name) || has_control(value)) {
            return invalid("`attributes` have control characters".to_owned());
        }
        Ok(())
    }

    /// The objects that it names.
    fn targets(&self) -> Vec<(ObjectKind, &str)> {
        let mut targets = Vec::new();
        match self {
            Body::Tenant(tenant) => add_plans(&mut targets, tenant.plan.as_deref(), &tenant.plans),
            Body::Consumer(consumer) => {
                add_plans(&mut targets, consumer.plan.as_deref(), &consumer.plans);
                targets.extend(consumer.tenant.as_deref().map(|tenant| (ObjectKind::Tenant, tenant)));
            }
            Body::App(app) => {
                add_plans(&mut targets, app.plan.as_deref(), &app.plans);
                targets.push((ObjectKind::Consumer, &app.consumer));
            }
            Body::Plan(plan) => {
                targets.extend(plan.products.iter().map(|product| (ObjectKind::Product, product.as_str())));
            }
            Body::Group(_) | Body::Product(_) => {}
        }
        targets
    }
}

fn add_plans<'a>(targets: &mut Vec<(ObjectKind, &'a str)>, plan: Option<&'a str>, plans: &'a BTreeMap<String, String>) {
    targets.extend(plan.map(|plan| (ObjectKind::Plan, plan)));
    for (product, plan) in plans {
        targets.push((ObjectKind::Product, product));
        targets.push((ObjectKind::Plan, plan));
    }
}

fn has_control(text: &str) -> bool {
    text.bytes().any(|byte| byte < 0x20 || byte == 0x7f)
}

/// An object of the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name, which never changes.
    pub name: String,
    /// Counts its changes, from 1.
    pub revision: u64,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970.
    pub updated: u64,
    /// What it says.
    pub body: Body,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page<T> {
    /// In the order of their names, or of their numbers.
    pub items: Vec<T>,
    /// Where the next part begins; `None` where this is the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Of one item more than is wanted, if there are so many.
    pub(super) fn of(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > limit;
        items.truncate(limit);
        Page { next: items.last().filter(|_| more).map(cursor), items }
    }
}

/// Which revision a change expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Any, or none.
    Any,
    /// The object must not be there.
    Absent,
    /// This one.
    Revision(u64),
}

impl Expected {
    /// Checks the revision that an object has, where it is there.
    pub(super) fn check(self, found: Option<u64>) -> Result<(), StoreFault> {
        match (self, found) {
            (Expected::Any, _) | (Expected::Absent, None) => Ok(()),
            (Expected::Absent, Some(_)) => Err(StoreFault::Exists),
            (Expected::Revision(_), None) => Err(StoreFault::Missing),
            (Expected::Revision(wanted), Some(found)) if wanted == found => Ok(()),
            (Expected::Revision(_), Some(found)) => Err(StoreFault::Changed { found }),
        }
    }
}

const COLUMNS: &str = "name, revision, created, updated, body";

fn object_of(kind: ObjectKind, row: Row<'_>) -> Result<Object, StoreFault> {
    let mut json = serde_json::Deserializer::from_str(row.get(4)?);
    let body = Body::read(kind, &mut json).map_err(|error| StoreFault::Damaged(error.to_string()))?;
    json.end().map_err(|error| StoreFault::Damaged(error.to_string()))?;
    Ok(Object { kind, name: row.get(0)?, revision: row.get(1)?, created: row.get(2)?, updated: row.get(3)?, body })
}

/// The object of that name.
pub(crate) fn get(database: &mut Database, kind: ObjectKind, name: &str) -> Result<Option<Object>, StoreFault> {
    let sql = format!("SELECT {COLUMNS} FROM objects WHERE kind = $1 AND name = $2");
    database.first(&sql, values![kind as i64, name], |row| object_of(kind, row))
}

/// Objects behind the name `after`, at most `limit`.
pub(crate) fn list(
    database: &mut Database,
    kind: ObjectKind,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Object>, StoreFault> {
    let sql = format!("SELECT {COLUMNS} FROM objects WHERE kind = $1 AND name > $2 ORDER BY name LIMIT $3");
    let wanted = values![kind as i64, after.unwrap_or(""), limit as i64 + 1];
    let items = database.query(&sql, wanted, |row| object_of(kind, row))?;
    Ok(Page::of(items, limit, |object| object.name.clone()))
}

/// Calls `visit` for every object of a kind.
pub(super) fn each(database: &mut Database, kind: ObjectKind, mut visit: impl FnMut(Object)) -> Result<(), StoreFault> {
    database.each(&format!("SELECT {COLUMNS} FROM objects WHERE kind = $1"), values![kind as i64], |row| {
        visit(object_of(kind, row)?);
        Ok(())
    })
}

/// Writes an object: a new one, or a new revision of one. To be called within a transaction. Returns what was there and
/// what is.
pub(super) fn put(
    database: &mut Database,
    (kind, name): (ObjectKind, &str),
    body: Body,
    expected: Expected,
    (declared, now): (&Declared, u64),
) -> Result<(Option<Object>, Object), StoreFault> {
    if let Some(fault) = fault_of_name(name) {
        return Err(StoreFault::Invalid(format!("the name of a {} {fault}", kind.name())));
    }
    if kind.is_declared(declared, name) {
        return Err(StoreFault::Declared);
    }
    let before = get(database, kind, name)?;
    expected.check(before.as_ref().map(|before| before.revision))?;
    if let (Some(before), Body::App(app)) = (&before, &body)
        && let Body::App(known) = &before.body
        && known.consumer != app.consumer
    {
        let words = "an app stays with its consumer, because its credentials do: make another app";
        return Err(StoreFault::Invalid(words.to_owned()));
    }
    for (target_kind, target) in body.targets() {
        if !target_kind.is_declared(declared, target) && !exists(database, target_kind, target)? {
            return Err(StoreFault::NoReference { kind: target_kind.name(), name: target.to_owned() });
        }
    }
    // Each write counts in `changes`, so that one of a name that was removed never has a revision again that was seen.
    let revision = match &before {
        Some(before) => before.revision + 1,
        None => writes(database)? + 1,
    };
    let created = before.as_ref().map_or(now, |before| before.created);
    let sql = "INSERT INTO objects (kind, name, revision, created, updated, body) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, created = excluded.created, \
               updated = excluded.updated, body = excluded.body";
    database.execute(sql, values![kind as i64, name, revision, created, now, &body.json().to_string()])?;
    unlink(database, kind, name)?;
    let sql = "INSERT INTO links (kind, name, target_kind, target) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    for (target_kind, target) in body.targets() {
        database.execute(sql, values![kind as i64, name, target_kind as i64, target])?;
    }
    Ok((before, Object { kind, name: name.to_owned(), revision, created, updated: now, body }))
}

/// How many changes were written so far.
fn writes(database: &mut Database) -> Result<u64, StoreFault> {
    let found = database.first("SELECT value FROM counters WHERE name = 'changes'", values![], |row| row.get(0))?;
    found.ok_or_else(|| StoreFault::Damaged("the counter `changes` is missing".to_owned()))
}

/// Removes an object that nothing names. To be called within a transaction. Returns what was there.
pub(super) fn delete(
    database: &mut Database,
    (kind, name): (ObjectKind, &str),
    expected: Expected,
    declared: &Declared,
) -> Result<Object, StoreFault> {
    let Some(before) = get(database, kind, name)? else {
        let is_declared = kind.is_declared(declared, name);
        return Err(if is_declared { StoreFault::Declared } else { StoreFault::Missing });
    };
    expected.check(Some(before.revision))?;
    // One of the same name that is declared takes its place.
    if !kind.is_declared(declared, name)
        && let Some(by) = named_by(database, kind, name)?
    {
        return Err(StoreFault::InUse(by));
    }
    database.execute("DELETE FROM objects WHERE kind = $1 AND name = $2", values![kind as i64, name])?;
    unlink(database, kind, name)?;
    Ok(before)
}

/// Is there an object of that name?
pub(super) fn exists(database: &mut Database, kind: ObjectKind, name: &str) -> Result<bool, StoreFault> {
    let sql = "SELECT 1 FROM objects WHERE kind = $1 AND name = $2";
    Ok(database.first(sql, values![kind as i64, name], |_| Ok(()))?.is_some())
}

/// An object that names this one: `consumer acme`.
fn named_by(database: &mut Database, kind: ObjectKind, name: &str) -> Result<Option<String>, StoreFault> {
    let sql = "SELECT kind, name FROM links WHERE target_kind = $1 AND target = $2 LIMIT 1";
    let read = |row: Row<'_>| Ok((row.get::<i64>(0)?, row.get::<String>(1)?));
    let found = database.first(sql, values![kind as i64, name], read)?;
    Ok(found.map(|(number, name)| {
        let kind = ObjectKind::ALL.iter().find(|kind| **kind as i64 == number);
        format!("{} `{name}`", kind.map_or("something", |kind| kind.name()))
    }))
}

fn unlink(database: &mut Database, kind: ObjectKind, name: &str) -> Result<(), StoreFault> {
    database.execute("DELETE FROM links WHERE kind = $1 AND name = $2", values![kind as i64, name])?;
    Ok(())
}
