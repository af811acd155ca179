// SPDX-License-Identifier: Apache-2.0
//! The OpenAPI 3.1 document, made of the list of routes and of the types that actions read and write.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::control::admin::action::Action;
use crate::control::admin::action::Do;
use crate::control::admin::problem::{MEDIA_TYPE, Reason, TYPE};
use crate::control::admin::router::{Gives, Need, Parameter, Route, SchemaOf, Takes, Values, Verb};

/// The document for the routes of the API.
pub(crate) fn document(routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes.iter().filter(|route| route.is_api()) {
        let operations = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        operations[route.verb.name().to_ascii_lowercase()] = operation(route, &mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Turnpike admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What may be asked of a running gateway. docs/admin-api.md explains it.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = route.segments().map(segment).collect();
    parameters.extend(route.query.iter().map(parameter));
    if route.writes() {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Sent again with the same request, the first response is given again for 24 hours.",
            "schema": { "type": "string", "pattern": "^[!#-\\[\\]-~]{1,255}$" },
        }));
    }
    if let Action::Objects(_, what) = route.action {
        let fields: &[&str] = match what {
            Do::List => &[],
            Do::Show => &["If-None-Match"],
            Do::Put | Do::Patch | Do::Delete => &["If-Match", "If-None-Match"],
        };
        parameters.extend(fields.iter().map(|name| {
            json!({
                "name": name, "in": "header", "required": false,
                "schema": { "type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\")$" },
            })
        }));
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [tag(route)],
        "parameters": parameters,
        "responses": responses(route, generator),
        "security": security(route.need),
        "x-role": match route.need {
            Need::Nothing | Need::Local => Value::Null,
            Need::Role(role) => role.word().into(),
        },
    });
    let body = match &route.takes {
        Takes::Nothing => None,
        // A patch has the members of what it patches, all of them optional, and `null` removes one.
        Takes::Patch => Some(json!({ "application/merge-patch+json": { "schema": { "type": "object" } } })),
        Takes::Json(of) => Some(json!({ "application/json": { "schema": schema(*of, generator) } })),
    };
    if let Some(content) = body {
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

fn schema(of: SchemaOf, generator: &mut SchemaGenerator) -> Schema {
    of(generator)
}

fn operation_id(route: &Route) -> String {
    let words = route.path.trim_start_matches("/api/v1").split('/').filter(|word| !word.is_empty());
    let words = words.map(|word| word.trim_matches(['{', '}']).replace(['-', '.'], "_"));
    let path: Vec<String> = words.collect();
    let path = if path.is_empty() { "index".to_owned() } else { path.join("_") };
    format!("{}_{path}", route.verb.name().to_ascii_lowercase())
}

/// The first segment behind the version.
fn tag(route: &Route) -> &str {
    route.path.split('/').nth(3).unwrap_or("api")
}

fn security(need: Need) -> Value {
    match need {
        Need::Nothing => json!([]),
        Need::Local => json!([{}, { "token": [] }]),
        Need::Role(_) => json!([{ "token": [] }]),
    }
}

fn segment(name: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.values {
        Values::Text => json!({ "type": "string" }),
        Values::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Values::Truth => json!({ "type": "boolean" }),
        Values::Words(words) => json!({ "type": "string", "enum": words }),
    };
    json!({
        "name": parameter.name, "in": "query", "required": false, "description": parameter.help, "schema": schema,
    })
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let content = match &route.gives {
        Gives::Nothing => None,
        Gives::Text => Some(json!({ "text/plain": { "schema": { "type": "string" } } })),
        Gives::Metrics => Some(json!({ "text/plain": { "schema": { "type": "string" } } })),
        Gives::Json(of) => Some(json!({ "application/json": { "schema": schema(*of, generator) } })),
        Gives::Table(of) => Some(json!({
            "application/json": { "schema": schema(*of, generator) },
            "application/jsonl": { "schema": { "type": "string" } },
            "text/csv": { "schema": { "type": "string" } },
        })),
    };
    let mut responses = Map::new();
    for status in route.statuses {
        let mut response = json!({ "description": "Done." });
        if let Some(content) = content.as_ref().filter(|_| ![204, 304].contains(status)) {
            response["content"] = content.clone();
        }
        responses.insert(status.to_string(), response);
    }
    let refusal = json!({
        "description": "Refused; `type` says why.",
        "content": { MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    for status in statuses(route) {
        responses.insert(status.to_string(), refusal.clone());
    }
    Value::Object(responses)
}

/// The statuses of the refusals that a route may give.
fn statuses(route: &Route) -> Vec<u16> {
    let with_body = !matches!(route.takes, Takes::Nothing);
    let varies = route.segments().count() > 0;
    let may = |reason: &Reason| match reason {
        Reason::Unauthenticated | Reason::RoleTooLow | Reason::TooManyAttempts => route.need != Need::Nothing,
        Reason::BadHost | Reason::BadQuery | Reason::BadHeader | Reason::Misdirected | Reason::NoAnswer => true,
        Reason::BodyNotExpected | Reason::TooLarge | Reason::TooSlow | Reason::BadJson => true,
        Reason::NotFound => varies || route.writes(),
        // Of a path, not of one of its methods.
        Reason::MethodNotAllowed => false,
        Reason::UnsupportedMediaType | Reason::Invalid => with_body,
        Reason::CrossOrigin | Reason::StillRunning | Reason::KeyReused | Reason::Full => route.writes(),
        Reason::AlreadyExists | Reason::InUse | Reason::Ended | Reason::FromFile | Reason::NoSuchReference => {
            route.writes()
        }
        Reason::Stale => route.writes(),
        Reason::NoStore | Reason::StoreFailed => true,
        Reason::Refused => route.verb == Verb::Post,
    };
    let mut statuses: Vec<u16> =
        Reason::ALL.iter().filter(|reason| may(reason)).map(|reason| reason.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// The schema of refusals.
fn problem() -> Value {
    let types: Vec<String> = Reason::ALL.iter().map(|reason| format!("{TYPE}{}", reason.name())).collect();
    let fault = json!({
        "type": "object",
        "required": ["pointer", "detail"],
        "properties": {
            "pointer": { "type": "string", "description": "Where in the body (RFC 6901)." },
            "detail": { "type": "string" },
        },
    });
    json!({
        "type": "object",
        "description": "Why a request is refused (RFC 9457).",
        "required": ["type", "title", "status", "detail", "request_id"],
        "properties": {
            "type": { "type": "string", "enum": types },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "request_id": { "type": "string" },
            "errors": { "type": "array", "items": fault },
            "parameter": { "type": "string", "description": "The query parameter that is wrong." },
            "header": { "type": "string", "description": "The request header that is wrong." },
            "role": { "type": "string", "description": "The role that may do it." },
        },
    })
}
