// SPDX-License-Identifier: Apache-2.0
//! Tenants, groups, consumers, plans, products and apps: what the configuration declares and what the store holds, as
//! one list. Of two objects with one name that of the configuration counts.

use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, LOCATION};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::config::directory::Declared;
use crate::config::spec::directory::{AppSpec, ConsumerBody, GroupSpec, PlanSpec, ProductSpec, TenantSpec};
use crate::control::admin::action::Do;
use crate::control::admin::body::{decode, encode, moment};
use crate::control::admin::call::Call;
use crate::control::admin::merge::merge;
use crate::control::admin::problem::{BodyFault, Problem, Reason};
use crate::control::admin::query::{Part, Query};
use crate::control::admin::response::List;
use crate::control::admin::response::Reply;
use crate::control::admin::state::AdminState;
use crate::control::admin::store::problem;
use crate::control::directory::Reach;
use crate::control::store::command::{Write, Written};
use crate::control::store::database::Database;
use crate::control::store::fault::StoreFault;
use crate::control::store::object::{self, Body, Expected, Object, ObjectKind};

/// Members that a document has beside the body. A client may send them back; they are not read.
const SHOWN: [&str; 4] = ["revision", "source", "created", "updated"];
/// Objects that are read from the store at a time while a list is filtered.
const READ_COUNT: usize = 500;
/// How often a patch is tried again because somebody else was faster. Of those that patch one object at the same time,
/// one succeeds in each round.
const PATCHES_MAX: usize = 256;

/// Does it.
pub(crate) async fn run(kind: ObjectKind, what: Do, call: Call, state: &AdminState) -> Result<Reply, Problem> {
    match what {
        Do::List => list(kind, call, state).await,
        Do::Show => show(kind, &call, state).await,
        Do::Put => put(kind, call, state).await,
        Do::Patch => patch(kind, call, state).await,
        Do::Delete => delete(kind, &call, state).await,
    }
}

/// An object as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    name: String,
    /// Zero for one of the configuration.
    pub revision: u64,
    source: &'static str,
    created: Option<u64>,
    updated: Option<u64>,
    body: Value,
}

impl Shown {
    /// One of the store.
    fn stored(object: &Object) -> Shown {
        let (name, created, updated) = (object.name.clone(), Some(object.created), Some(object.updated));
        Shown { name, revision: object.revision, source: "store", created, updated, body: object.body.json() }
    }

    fn declared(name: &str, body: Value) -> Shown {
        Shown { name: name.to_owned(), revision: 0, source: "file", created: None, updated: None, body }
    }

    /// The document: name and body, and what is known of it.
    fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("name".to_owned(), self.name.as_str().into());
        if let Value::Object(body) = &self.body {
            document.extend(body.clone());
        }
        document.insert("revision".to_owned(), self.revision.into());
        document.insert("source".to_owned(), self.source.into());
        document.insert("created".to_owned(), moment(self.created));
        document.insert("updated".to_owned(), moment(self.updated));
        Value::Object(document)
    }

    fn reply(&self, status: StatusCode) -> Reply {
        let reply = Reply::json(status, &self.document());
        if self.revision == 0 { reply } else { reply.tagged(self.revision) }
    }
}

/// The schema of what a `T` is shown as.
pub(crate) fn shown_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let body = T::json_schema(generator);
    let mut properties = Map::new();
    properties.insert("name".to_owned(), json!({ "type": "string" }));
    if let Some(Value::Object(own)) = body.get("properties") {
        properties.extend(own.clone());
    }
    let moment = json!({ "type": ["string", "null"], "format": "date-time" });
    properties.insert("revision".to_owned(), json!({ "type": "integer", "minimum": 0 }));
    properties.insert("source".to_owned(), json!({ "type": "string", "enum": ["file", "store"] }));
    properties.insert("created".to_owned(), moment.clone());
    properties.insert("updated".to_owned(), moment);
    let required: Vec<&str> = ["name"].into_iter().chain(SHOWN).collect();
    let document = json!({ "type": "object", "properties": properties, "required": required });
    Schema::try_from(document).unwrap_or_default()
}

/// The schema of a list of what a `T` is shown as.
pub(crate) fn list_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let items = shown_schema::<T>(generator);
    let document = json!({
        "type": "object",
        "properties": { "items": { "type": "array", "items": items }, "next": { "type": ["string", "null"] } },
        "required": ["items", "next"],
    });
    Schema::try_from(document).unwrap_or_default()
}

/// All objects of a kind that the configuration declares, by name.
fn declared_of(kind: ObjectKind, declared: &Declared) -> BTreeMap<&str, Value> {
    fn all<T: serde::Serialize>(map: &BTreeMap<Box<str>, T>) -> BTreeMap<&str, Value> {
        map.iter().map(|(name, body)| (&**name, encode(body))).collect()
    }
    match kind {
        ObjectKind::Tenant => all(&declared.tenants),
        ObjectKind::Group => all(&declared.groups),
        ObjectKind::Consumer => all(&declared.consumers),
        ObjectKind::Plan => all(&declared.plans),
        ObjectKind::Product => all(&declared.products),
        ObjectKind::App => all(&declared.apps),
    }
}

/// Filters of a list: members, and what they must be or contain.
#[derive(Clone, Debug, Default)]
struct Filters(Vec<(&'static str, Value)>);

impl Filters {
    fn of(query: &Query) -> Result<Filters, Problem> {
        let mut filters = Vec::new();
        for (name, member) in [("tenant", "tenant"), ("group", "groups"), ("plan", "plan"), ("consumer", "consumer")] {
            filters.extend(query.value(name).map(|value| (member, Value::from(value))));
        }
        filters.extend(query.truth("suspended")?.map(|suspended| ("suspended", suspended.into())));
        Ok(Filters(filters))
    }

    fn take(&self, body: &Value) -> bool {
        self.0.iter().all(|(member, wanted)| {
            let has = match &body[*member] {
                Value::Array(items) => items.contains(wanted),
                value => value == wanted,
            };
            // Somebody may have a plan for one product alone.
            let by_product =
                || body["plans"].as_object().is_some_and(|plans| plans.values().any(|plan| plan == wanted));
            has || (*member == "plan" && by_product())
        })
    }
}

async fn list(kind: ObjectKind, call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let (part, filters) = (call.query.part()?, Filters::of(&call.query)?);
    let wanted = part.clone();
    let found = state.read(move |connection, declared| gather(kind, &wanted, &filters, connection, declared)).await?;
    let (items, next) = part.of(found.into_iter(), |shown| shown.name.clone());
    Ok(Reply::json(StatusCode::OK, &List { items: items.iter().map(Shown::document).collect(), next }))
}

/// The objects of a part of a list, and one more where there is one.
fn gather(
    kind: ObjectKind,
    part: &Part,
    filters: &Filters,
    connection: Option<&mut Database>,
    declared: &Declared,
) -> Result<Vec<Shown>, StoreFault> {
    let after = part.after.clone().unwrap_or_default();
    let declared = declared_of(kind, declared);
    let mut found: BTreeMap<String, Shown> = BTreeMap::new();
    let of_file = declared.iter().filter(|(name, body)| **name > after.as_str() && filters.take(body));
    found.extend(of_file.map(|(name, body)| ((*name).to_owned(), Shown::declared(name, body.clone()))));
    let Some(connection) = connection else { return Ok(found.into_values().collect()) };
    let mut behind = Some(after);
    let mut stored = 0;
    while let Some(after) = behind
        && stored <= part.limit
    {
        let page = object::list(connection, kind, Some(&after), READ_COUNT)?;
        let taken = page.items.iter().filter(|object| !declared.contains_key(object.name.as_str()));
        let taken = taken.map(Shown::stored).filter(|shown| filters.take(&shown.body));
        for shown in taken {
            stored += 1;
            found.insert(shown.name.clone(), shown);
        }
        behind = page.next;
    }
    Ok(found.into_values().take(part.limit + 1).collect())
}

async fn find(kind: ObjectKind, name: &str, state: &AdminState) -> Result<Option<Shown>, Problem> {
    let name = name.to_owned();
    let found = state.read(move |connection, declared| {
        if let Some(body) = declared_of(kind, declared).remove(name.as_str()) {
            return Ok(Some(Shown::declared(&name, body)));
        }
        let Some(connection) = connection else { return Ok(None) };
        Ok(object::get(connection, kind, &name)?.as_ref().map(Shown::stored))
    });
    found.await
}

fn missing(kind: ObjectKind, call: &Call) -> Problem {
    Problem::new(Reason::NotFound, format!("no {} is named `{}`", kind.name(), call.segment(0)))
}

async fn show(kind: ObjectKind, call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let shown = find(kind, call.segment(0), state).await?.ok_or_else(|| missing(kind, call))?;
    if shown.revision > 0 && call.precondition.is_known(shown.revision) {
        return Ok(Reply::not_modified().tagged(shown.revision));
    }
    Ok(shown.reply(StatusCode::OK))
}

async fn put(kind: ObjectKind, mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let body = call.take_body();
    let body = body_of(kind, call.segment(0), body)?;
    let before = find(kind, call.segment(0), state).await?;
    refuse_declared(before.as_ref())?;
    let expected = call.precondition.expected(before.map(|before| before.revision))?;
    write(kind, body, expected, &call, state).await
}

async fn patch(kind: ObjectKind, mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let changes = call.take_body();
    if !changes.is_object() {
        return Err(Problem::invalid(Reason::Invalid, vec![BodyFault::at("", "a merge patch is an object here")]));
    }
    for round in 1.. {
        let before = find(kind, call.segment(0), state).await?.ok_or_else(|| missing(kind, &call))?;
        refuse_declared(Some(&before))?;
        call.precondition.expected(Some(before.revision))?;
        let mut merged = before.body;
        merge(&mut merged, changes.clone());
        let body = body_of(kind, call.segment(0), merged)?;
        match write(kind, body, Expected::Revision(before.revision), &call, state).await {
            // What was read was changed before it was written, and nobody asked for a certain revision.
            Err(stale) if stale.reason == Reason::Stale && !call.precondition.is_any() && round < PATCHES_MAX => {}
            written => return written,
        }
    }
    Err(Problem::no_answer())
}

fn refuse_declared(before: Option<&Shown>) -> Result<(), Problem> {
    match before {
        Some(before) if before.revision == 0 => Err(problem(&StoreFault::Declared)),
        Some(_) | None => Ok(()),
    }
}

/// The body of what was sent, without what only documents have.
fn body_of(kind: ObjectKind, name: &str, mut sent: Value) -> Result<Body, Problem> {
    if let Value::Object(members) = &mut sent {
        SHOWN.iter().for_each(|member| drop(members.remove(*member)));
        match members.remove("name") {
            Some(other) if other != name => {
                let fault = BodyFault::at("/name", format!("is another name than that of the path, `{name}`"));
                return Err(Problem::invalid(Reason::Invalid, vec![fault]));
            }
            Some(_) | None => {}
        }
    }
    // This names the member that is wrong; what it takes for right is checked further below.
    match kind {
        ObjectKind::Tenant => drop(decode::<TenantSpec>(sent.clone())?),
        ObjectKind::Group => drop(decode::<GroupSpec>(sent.clone())?),
        ObjectKind::Consumer => drop(decode::<ConsumerBody>(sent.clone())?),
        ObjectKind::Plan => drop(decode::<PlanSpec>(sent.clone())?),
        ObjectKind::Product => drop(decode::<ProductSpec>(sent.clone())?),
        ObjectKind::App => drop(decode::<AppSpec>(sent.clone())?),
    }
    Body::parse(kind, sent).map_err(|fault| problem(&fault))
}

async fn write(
    kind: ObjectKind,
    body: Body,
    expected: Expected,
    call: &Call,
    state: &AdminState,
) -> Result<Reply, Problem> {
    let name = call.segment(0).to_owned();
    let write = Write::Put { kind, name, body, expected };
    let outcome = state.write(call, write).await.map_err(|refused| as_condition(refused, call))?;
    match outcome.written {
        Written::Object(before, Some(after)) => {
            let shown = Shown::stored(&after);
            let status = if before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
            let reply = applied(shown.reply(status), outcome.reach);
            let place = HeaderValue::from_str(&format!("/api/v1/{}/{}", kind.plural(), call.segment(0)));
            Ok(match place {
                Ok(place) if before.is_none() => reply.field(LOCATION, place),
                Ok(_) | Err(_) => reply,
            })
        }
        // It was written before this process began: what it is now is what there is to show.
        _ => Ok(replayed(show(kind, call, state).await?)),
    }
}

/// Where a condition was sent, what contradicts it is 412.
pub(crate) fn as_condition(refused: Problem, call: &Call) -> Problem {
    match refused.reason {
        Reason::AlreadyExists | Reason::NotFound if call.precondition.is_any() => {
            Problem { reason: Reason::Stale, ..refused }
        }
        _ => refused,
    }
}

/// Says where shards have not applied a change within a second.
pub(crate) fn applied(reply: Reply, reach: Reach) -> Reply {
    match reach {
        Reach::Everywhere => reply,
        Reach::Pending(_) => reply.field(HeaderName::from_static("x-applied"), HeaderValue::from_static("later")),
    }
}

/// Marks a response as that of an earlier request.
pub(crate) fn replayed(reply: Reply) -> Reply {
    reply.field(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"))
}

async fn delete(kind: ObjectKind, call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let before = find(kind, call.segment(0), state).await?.ok_or_else(|| missing(kind, call))?;
    refuse_declared(Some(&before))?;
    let expected = call.precondition.expected(Some(before.revision))?;
    let write = Write::Delete { kind, name: call.segment(0).to_owned(), expected };
    let outcome = state.write(call, write).await.map_err(|refused| as_condition(refused, call))?;
    Ok(applied(Reply::nothing(), outcome.reach))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_found_whatever_product_it_is_for() {
        let filters = Filters(vec![("plan", "gold".into())]);
        for (body, taken) in [
            (json!({ "plan": "gold", "plans": {} }), true),
            (json!({ "plan": "free", "plans": { "maps": "gold" } }), true),
            (json!({ "plan": "free", "plans": { "gold": "free" } }), false),
            (json!({}), false),
        ] {
            assert_eq!(filters.take(&body), taken, "{body}");
        }
    }
}
