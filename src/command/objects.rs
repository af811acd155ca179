// SPDX-License-Identifier: Apache-2.0
//! `turnpike consumer`, `tenant`, `group`, `plan`, `product`, `app` and `key`: objects over the admin API.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::command::admin_arguments::{
    CreateArguments, DeleteArguments, KeyArguments, KeyCommand, KeyCreateArguments, KeyListArguments,
    KeyRotateArguments, ListArguments, NameArguments, ObjectCommand, SetArguments,
};
use crate::command::api::{Api, ApiRequest, Failure, encoded};
use crate::command::members;
use crate::command::shown::{finish, listed, shown};
use crate::command::table::Column;

/// Most items that a list shows.
const ITEMS_MAX: usize = 1_000_000;

/// Columns of objects; those that a kind does not have stay empty and are left out.
const OBJECT_COLUMNS: [Column; 15] = [
    ("NAME", "/name"),
    ("CONSUMER", "/consumer"),
    ("TENANT", "/tenant"),
    ("GROUPS", "/groups"),
    ("PLAN", "/plan"),
    ("PLANS", "/plans"),
    ("PRODUCTS", "/products"),
    ("ROUTES", "/routes"),
    ("LIMITS", "/limits"),
    ("CONCURRENCY", "/concurrency"),
    ("TOKENS", "/tokens"),
    ("SUSPENDED", "/suspended"),
    ("SOURCE", "/source"),
    ("REVISION", "/revision"),
    ("DESCRIPTION", "/description"),
];

const KEY_COLUMNS: [Column; 8] = [
    ("ID", "/id"),
    ("KIND", "/kind"),
    ("CONSUMER", "/consumer"),
    ("APP", "/app"),
    ("STATE", "/state"),
    ("ENDS WITH", "/last4"),
    ("EXPIRES", "/expires"),
    ("CREATED", "/created"),
];

/// Does something with objects of a kind, which is a segment of the API's path.
pub(super) fn object(kind: &str, command: &ObjectCommand) -> ExitCode {
    let done = match command {
        ObjectCommand::List(arguments) => list(kind, arguments),
        ObjectCommand::Show(arguments) => show(kind, arguments),
        ObjectCommand::Create(arguments) => create(kind, arguments),
        ObjectCommand::Set(arguments) => set(kind, arguments),
        ObjectCommand::Suspend(arguments) => suspend(kind, arguments, json!({ "suspended": true })),
        ObjectCommand::Resume(arguments) => suspend(kind, arguments, json!({ "suspended": false })),
        ObjectCommand::Delete(arguments) => delete(kind, arguments),
    };
    finish(done)
}

/// Does something with keys.
pub(super) fn key(command: &KeyCommand) -> ExitCode {
    finish(match command {
        KeyCommand::List(arguments) => list_keys(arguments),
        KeyCommand::Show(arguments) => show_key(arguments),
        KeyCommand::Create(arguments) => create_key(arguments),
        KeyCommand::Rotate(arguments) => rotate_key(arguments),
        KeyCommand::Revoke(arguments) => revoke_key(arguments),
    })
}

fn list(kind: &str, arguments: &ListArguments) -> Result<String, Failure> {
    let filters = arguments.filters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let query = filters.collect::<Vec<_>>().join("&");
    let joint = if query.is_empty() { "" } else { "?" };
    let items = Api::of(&arguments.target)?.list(&format!("/{kind}{joint}{query}"), ITEMS_MAX)?;
    Ok(listed(&items, &OBJECT_COLUMNS, &arguments.target))
}

fn path(kind: &str, name: &str) -> String {
    format!("/{kind}/{}", encoded(name))
}

fn show(kind: &str, arguments: &NameArguments) -> Result<String, Failure> {
    let document = Api::of(&arguments.target)?.ask(&ApiRequest::new("GET", path(kind, &arguments.name)))?;
    Ok(shown(&document, &arguments.target))
}

fn create(kind: &str, arguments: &CreateArguments) -> Result<String, Failure> {
    let mut body = arguments.from.as_deref().map(read).transpose()?.unwrap_or_else(|| json!({}));
    let members = members::object(&arguments.members).map_err(Failure::usage)?;
    match (&mut body, members) {
        (Value::Object(body), Value::Object(members)) => body.extend(members),
        (_, _) => return Err(Failure::usage("the file with the members is not a JSON object")),
    }
    let request = ApiRequest::new("PUT", path(kind, &arguments.name)).field("If-None-Match", "*").body(body);
    Ok(shown(&Api::of(&arguments.target)?.ask(&request)?, &arguments.target))
}

fn read(file: &Path) -> Result<Value, Failure> {
    let wrong = |reason: String| Failure::usage(format!("{}: {reason}", file.display()));
    let text = match file.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => fs::read_to_string(file),
    };
    let text = text.map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("not JSON: {error}")))
}

fn set(kind: &str, arguments: &SetArguments) -> Result<String, Failure> {
    let body = members::object(&arguments.members).map_err(Failure::usage)?;
    let request = ApiRequest::new("PATCH", path(kind, &arguments.name)).body(body);
    let request = with_revision(request, arguments.if_revision);
    Ok(shown(&Api::of(&arguments.target)?.ask(&request)?, &arguments.target))
}

fn suspend(kind: &str, arguments: &NameArguments, body: Value) -> Result<String, Failure> {
    let request = ApiRequest::new("PATCH", path(kind, &arguments.name)).body(body);
    Ok(shown(&Api::of(&arguments.target)?.ask(&request)?, &arguments.target))
}

fn delete(kind: &str, arguments: &DeleteArguments) -> Result<String, Failure> {
    let request = with_revision(ApiRequest::new("DELETE", path(kind, &arguments.name)), arguments.if_revision);
    Api::of(&arguments.target)?.ask(&request)?;
    Ok(String::new())
}

fn with_revision(request: ApiRequest, revision: Option<u64>) -> ApiRequest {
    match revision {
        Some(revision) => request.field("If-Match", format!("\"{revision}\"")),
        None => request,
    }
}

fn list_keys(arguments: &KeyListArguments) -> Result<String, Failure> {
    let consumer = arguments.consumer.as_deref().map(|consumer| format!("&consumer={}", encoded(consumer)));
    let path = format!("/credentials?kind=key{}", consumer.unwrap_or_default());
    let items = Api::of(&arguments.target)?.list(&path, ITEMS_MAX)?;
    Ok(listed(&items, &KEY_COLUMNS, &arguments.target))
}

fn show_key(arguments: &KeyArguments) -> Result<String, Failure> {
    let document = Api::of(&arguments.target)?.ask(&ApiRequest::new("GET", path("credentials", &arguments.id)))?;
    Ok(shown(&document, &arguments.target))
}

fn create_key(arguments: &KeyCreateArguments) -> Result<String, Failure> {
    let KeyCreateArguments { target, consumer, app, expires } = arguments;
    let mut body = json!({ "kind": "key", "consumer": consumer });
    if let Some(app) = app {
        body["app"] = app.as_str().into();
    }
    if let Some(expires) = expires {
        body["expires_in"] = expires.as_str().into();
    }
    Ok(shown(&Api::of(target)?.ask(&ApiRequest::new("POST", "/credentials").body(body))?, target))
}

fn rotate_key(arguments: &KeyRotateArguments) -> Result<String, Failure> {
    let path = format!("{}/rotate", path("credentials", &arguments.id));
    let request = ApiRequest::new("POST", path).body(json!({ "overlap": arguments.overlap }));
    Ok(shown(&Api::of(&arguments.target)?.ask(&request)?, &arguments.target))
}

fn revoke_key(arguments: &KeyArguments) -> Result<String, Failure> {
    let path = format!("{}/revoke", path("credentials", &arguments.id));
    Ok(shown(&Api::of(&arguments.target)?.ask(&ApiRequest::new("POST", path))?, &arguments.target))
}
