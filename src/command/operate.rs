// SPDX-License-Identifier: Apache-2.0
//! `turnpike upstream`, `audit`, `admin-token` and `log-level`: what runs a gateway, over the admin API.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::command::admin_arguments::{
    AuditArguments, EndpointArguments, LevelWord, LogLevelArguments, RoleWord, TokenArguments, TokenCommand,
    TokenCreateArguments, UpstreamCommand, UpstreamListArguments, WeightArguments,
};
use crate::command::api::{Api, ApiRequest, Failure, encoded};
use crate::command::shown::{finish, listed, shown};
use crate::command::table::Column;

/// Most upstreams that a list shows.
const ITEMS_MAX: usize = 100_000;

const ENDPOINT_COLUMNS: [Column; 8] = [
    ("UPSTREAM", "/upstream"),
    ("ENDPOINT", "/address"),
    ("NAME", "/name"),
    ("HEALTH", "/health"),
    ("WEIGHT", "/weight"),
    ("CONFIGURED", "/configured_weight"),
    ("DRAINING", "/draining"),
    ("ACTIVE", "/requests_active"),
];

const TOKEN_COLUMNS: [Column; 5] =
    [("NAME", "/name"), ("ROLE", "/role"), ("ENDS WITH", "/last4"), ("EXPIRES", "/expires"), ("CREATED", "/created")];

const AUDIT_COLUMNS: [Column; 6] = [
    ("AT", "/at"),
    ("BY", "/by"),
    ("ACTION", "/action"),
    ("OBJECT", "/object"),
    ("BEFORE", "/before"),
    ("AFTER", "/after"),
];

/// Does something with upstreams.
pub(super) fn upstream(command: &UpstreamCommand) -> ExitCode {
    finish(match command {
        UpstreamCommand::List(arguments) => list_upstreams(arguments),
        UpstreamCommand::Drain(arguments) => change(arguments, &ApiRequest::new("POST", path(arguments, "drain"))),
        UpstreamCommand::Undrain(arguments) => change(arguments, &ApiRequest::new("POST", path(arguments, "undrain"))),
        UpstreamCommand::Weight(WeightArguments { endpoint, weight }) => {
            let request = ApiRequest::new("PUT", path(endpoint, "weight")).body(json!({ "weight": weight }));
            change(endpoint, &request)
        }
    })
}

fn path(arguments: &EndpointArguments, what: &str) -> String {
    format!("/upstreams/{}/endpoints/{}/{what}", encoded(&arguments.upstream), encoded(&arguments.endpoint))
}

fn change(arguments: &EndpointArguments, request: &ApiRequest) -> Result<String, Failure> {
    let document = Api::of(&arguments.target)?.ask(request)?;
    Ok(listed(&[with_upstream(document, &arguments.upstream)], &ENDPOINT_COLUMNS, &arguments.target))
}

fn list_upstreams(arguments: &UpstreamListArguments) -> Result<String, Failure> {
    let upstreams = Api::of(&arguments.target)?.list("/upstreams", ITEMS_MAX)?;
    let endpoints = upstreams.iter().flat_map(|upstream| {
        let endpoints = upstream["endpoints"].as_array().cloned().unwrap_or_default();
        endpoints.into_iter().map(|endpoint| with_upstream(endpoint, upstream["name"].as_str().unwrap_or("")))
    });
    Ok(listed(&endpoints.collect::<Vec<_>>(), &ENDPOINT_COLUMNS, &arguments.target))
}

fn with_upstream(mut endpoint: Value, upstream: &str) -> Value {
    endpoint["upstream"] = upstream.into();
    endpoint
}

/// Shows the last rows of the audit, the oldest of them first.
pub(super) fn audit(arguments: &AuditArguments) -> ExitCode {
    let AuditArguments { target, object, by, last } = arguments;
    let object = object.as_deref().map(|object| format!("object={}", encoded(object)));
    let by = by.as_deref().map(|by| format!("by={}", encoded(by)));
    let filters: Vec<String> = object.into_iter().chain(by).collect();
    let joint = if filters.is_empty() { "" } else { "?" };
    let path = format!("/audit{joint}{}", filters.join("&"));
    finish(Api::of(target).and_then(|api| api.list(&path, usize::from(*last))).map(|mut items| {
        items.reverse();
        listed(&items, &AUDIT_COLUMNS, target)
    }))
}

/// Does something with tokens.
pub(super) fn token(command: &TokenCommand) -> ExitCode {
    finish(match command {
        TokenCommand::Create(arguments) => create_token(arguments),
        TokenCommand::List(arguments) => Api::of(&arguments.target)
            .and_then(|api| api.list("/admin-tokens", ITEMS_MAX))
            .map(|items| listed(&items, &TOKEN_COLUMNS, &arguments.target)),
        TokenCommand::Revoke(arguments) => revoke_token(arguments),
    })
}

fn create_token(arguments: &TokenCreateArguments) -> Result<String, Failure> {
    let TokenCreateArguments { target, name, role, expires } = arguments;
    let role = match role {
        RoleWord::Viewer => "viewer",
        RoleWord::Operator => "operator",
        RoleWord::Admin => "admin",
    };
    let mut body = json!({ "name": name, "role": role });
    if let Some(expires) = expires {
        body["expires_in"] = expires.as_str().into();
    }
    Ok(shown(&Api::of(target)?.ask(&ApiRequest::new("POST", "/admin-tokens").body(body))?, target))
}

fn revoke_token(arguments: &TokenArguments) -> Result<String, Failure> {
    let path = format!("/admin-tokens/{}", encoded(&arguments.name));
    Api::of(&arguments.target)?.ask(&ApiRequest::new("DELETE", path))?;
    Ok(String::new())
}

/// Shows or changes the level of the process log.
pub(super) fn log_level(arguments: &LogLevelArguments) -> ExitCode {
    let level = match arguments.level {
        None | Some(LevelWord::Reset) => "",
        Some(LevelWord::Error) => "error",
        Some(LevelWord::Warn) => "warn",
        Some(LevelWord::Info) => "info",
        Some(LevelWord::Debug) => "debug",
        Some(LevelWord::Trace) => "trace",
    };
    let request = match arguments.level {
        None => ApiRequest::new("GET", "/log-level"),
        Some(LevelWord::Reset) => ApiRequest::new("DELETE", "/log-level"),
        Some(_) => ApiRequest::new("PUT", "/log-level").body(json!({ "level": level })),
    };
    let target = &arguments.target;
    finish(Api::of(target).and_then(|api| api.ask(&request)).map(|document| shown(&document, target)))
}
