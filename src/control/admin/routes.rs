// SPDX-License-Identifier: Apache-2.0
//! Everything that the admin server serves: the only list.

use schemars::JsonSchema;

use crate::config::spec::directory::{AppSpec, ConsumerBody, GroupSpec, PlanSpec, ProductSpec, TenantSpec};
use crate::config::spec::server::AdminRole::{Admin, Operator, Viewer};
use crate::control::admin::action::{Action, Do};
use crate::control::admin::actions::credential_document::CredentialDocument;
use crate::control::admin::actions::credentials::{CredentialBody, KINDS, RotateBody, STATES};
use crate::control::admin::actions::limits::ResetBody;
use crate::control::admin::actions::objects::{list_schema, shown_schema};
use crate::control::admin::actions::process::{
    Index, LogLevelDocument, LogLevelState, ReloadDocument, StopBody, WhoAmI,
};
use crate::control::admin::actions::sessions::{EndSessionsBody, EndedDocument, SessionDocument};
use crate::control::admin::actions::tokens::{TokenBody, TokenDocument};
use crate::control::admin::actions::upstreams::WeightBody;
use crate::control::admin::actions::usage::{FORMATS, STEPS, UsageDocument};
use crate::control::admin::audit::AuditRow;
use crate::control::admin::request::LimitKeyState;
use crate::control::admin::response::List;
use crate::control::admin::router::Gives::{self, Json, Metrics};
use crate::control::admin::router::Verb::{Delete, Get, Patch, Post, Put};
use crate::control::admin::router::{Need, Parameter, Route, SchemaOf, Takes, Values, schema_of};
use crate::control::status::{EndpointStatus, LimitStatus, ListenerStatus, Status, UpstreamStatus};
use crate::control::store::object::ObjectKind;
use crate::control::traces::TraceStatus;

const LIMIT: Parameter = Parameter {
    name: "limit",
    help: "So many items at most; 100 without it.",
    values: Values::Number(1, super::query::LIMIT_MAX as u64),
};
const CURSOR: Parameter =
    Parameter { name: "cursor", help: "Goes on where the list that gave it as `next` ended.", values: Values::Text };
const LISTED: &[Parameter] = &[LIMIT, CURSOR];
const AUDITED: &[Parameter] = &[
    LIMIT,
    CURSOR,
    Parameter { name: "object", help: "Only changes of this object.", values: Values::Text },
    Parameter { name: "by", help: "Only changes by the token of this name.", values: Values::Text },
];

fn json<T: JsonSchema>() -> Gives {
    Json(schema_of::<T> as SchemaOf)
}

fn list<T: JsonSchema>() -> Gives {
    json::<List<T>>()
}

/// All routes.
pub(crate) fn all() -> Vec<Route> {
    let mut routes = pages();
    routes.extend(process());
    routes.extend(upstreams());
    routes.extend(objects());
    routes.extend(credentials());
    routes.extend(sessions());
    routes
}

/// What there is beside the API, for probes, Prometheus and people.
fn pages() -> Vec<Route> {
    let page = Route::new;
    vec![
        page(Get, "/", Action::Index, "what is served here"),
        page(Get, "/healthz", Action::Health, "200 while the process lives"),
        page(Get, "/readyz", Action::Ready, "200 while it serves and does not drain"),
        page(Get, "/metrics", Action::Metrics, "Prometheus text format").gives(Metrics),
        page(Get, "/status", Action::StatusPage, "listeners, upstreams, health, as JSON").gives(json::<Status>()),
        page(Post, "/reload", Action::ReloadPage, "read the configuration again").need(Need::Role(Operator)),
        page(Post, "/stop", Action::StopPage, "stop when running requests ended; /stop?now at once")
            .need(Need::Role(Admin))
            .statuses(&[202]),
        page(Post, "/trace", Action::Trace, "show requests: ?client=IP, ?request_id=ID or ?sample=N, and &for=60s")
            .need(Need::Role(Operator)),
    ]
}

/// The process itself.
fn process() -> Vec<Route> {
    let route = |verb, path: &str, action, summary| Route::new(verb, format!("/api/v1{path}"), action, summary);
    let level = json::<LogLevelState>;
    vec![
        route(Get, "", Action::ApiIndex, "what the API has").need(Need::Local).gives(json::<Index>()),
        route(Get, "/openapi.json", Action::OpenApi, "the OpenAPI 3.1 document of the API")
            .need(Need::Local)
            .gives(json::<serde_json::Map<String, serde_json::Value>>()),
        route(Get, "/whoami", Action::WhoAmI, "whose token it is").need(Need::Local).gives(json::<WhoAmI>()),
        route(Get, "/status", Action::Status, "the state of the process").need(Need::Local).gives(json::<Status>()),
        route(Post, "/reload", Action::Reload, "read the configuration again")
            .need(Need::Role(Operator))
            .gives(json::<ReloadDocument>()),
        route(Post, "/stop", Action::Stop, "stop the process")
            .need(Need::Role(Admin))
            .takes(Takes::Json(schema_of::<StopBody>))
            .gives(json::<ReloadDocument>())
            .statuses(&[202]),
        route(Get, "/log-level", Action::ShowLogLevel, "the level of the process log").need(Need::Local).gives(level()),
        route(Put, "/log-level", Action::ChooseLogLevel, "choose another level until it is reset or the process ends")
            .need(Need::Role(Operator))
            .takes(Takes::Json(schema_of::<LogLevelDocument>))
            .gives(level()),
        route(Delete, "/log-level", Action::ResetLogLevel, "the configuration's level again")
            .need(Need::Role(Operator))
            .gives(level()),
        route(Get, "/listeners", Action::Listeners, "listeners")
            .need(Need::Local)
            .query(LISTED)
            .gives(list::<ListenerStatus>()),
        route(Get, "/audit", Action::Audit, "who changed what")
            .need(Need::Role(Admin))
            .query(AUDITED)
            .gives(list::<AuditRow>()),
        route(Get, "/usage", Action::Usage, "who called what, by time and group")
            .need(Need::Role(Viewer))
            .query(USAGE)
            .gives(Gives::Table(schema_of::<UsageDocument>)),
        route(Get, "/traces", Action::Traces, "traces that run").need(Need::Local).gives(list::<TraceStatus>()),
    ]
}

const USAGE: &[Parameter] = &[
    LIMIT,
    CURSOR,
    Parameter {
        name: "since",
        help: "From then on: a moment, or how long ago; a day ago without it.",
        values: Values::Text,
    },
    Parameter { name: "until", help: "Before then: a moment, or how long ago; now without it.", values: Values::Text },
    Parameter { name: "by", help: "What it is grouped by: columns, with commas between them.", values: Values::Text },
    Parameter { name: "step", help: "Each minute, hour or day, or the sum of all.", values: Values::Words(STEPS) },
    Parameter {
        name: "format",
        help: "How it is written; without it, what `Accept` prefers.",
        values: Values::Words(FORMATS),
    },
    Parameter { name: "consumer", help: "Only of this consumer.", values: Values::Text },
    Parameter { name: "app", help: "Only of this app.", values: Values::Text },
    Parameter { name: "tenant", help: "Only of this tenant.", values: Values::Text },
    Parameter { name: "plan", help: "Only under this plan.", values: Values::Text },
    Parameter { name: "product", help: "Only of this product.", values: Values::Text },
    Parameter { name: "route", help: "Only on this route.", values: Values::Text },
    Parameter { name: "version", help: "Only for this version of an API.", values: Values::Text },
    Parameter { name: "status", help: "Only with this class of status, such as 4xx.", values: Values::Text },
];

const KEYED: &[Parameter] = &[
    Parameter {
        name: "key",
        help: "The value of the limit's key; of several parts a JSON list of texts.",
        values: Values::Text,
    },
    Parameter { name: "route", help: "The route, where each route counts for itself.", values: Values::Text },
];

/// Upstreams, their endpoints, limits.
fn upstreams() -> Vec<Route> {
    let route = |verb, path: &str, action, summary| Route::new(verb, format!("/api/v1{path}"), action, summary);
    let change = |route: Route| route.need(Need::Role(Operator)).gives(json::<EndpointStatus>());
    const ENDPOINT: &str = "/upstreams/{upstream}/endpoints/{endpoint}";
    vec![
        route(Get, "/upstreams", Action::Upstreams, "upstreams with their endpoints")
            .need(Need::Local)
            .query(LISTED)
            .gives(list::<UpstreamStatus>()),
        route(Get, "/upstreams/{upstream}", Action::Upstream, "one upstream")
            .need(Need::Local)
            .gives(json::<UpstreamStatus>()),
        route(Get, ENDPOINT, Action::Endpoint, "one endpoint, named by its address")
            .need(Need::Local)
            .gives(json::<EndpointStatus>()),
        change(route(Post, &format!("{ENDPOINT}/drain"), Action::Drain, "send it no new requests")),
        change(route(Post, &format!("{ENDPOINT}/undrain"), Action::Undrain, "give it its configured share again")),
        change(route(Put, &format!("{ENDPOINT}/weight"), Action::Weight, "give it another share"))
            .takes(Takes::Json(schema_of::<WeightBody>)),
        route(Get, "/limits", Action::Limits, "rate limits and plans, and what they counted")
            .need(Need::Local)
            .query(LISTED)
            .gives(list::<LimitStatus>()),
        route(Get, "/limits/{limit}", Action::Limit, "one limit").need(Need::Local).gives(json::<LimitStatus>()),
        route(Get, "/limits/{limit}/key", Action::LimitKey, "where a key of a limit stands")
            .need(Need::Role(Viewer))
            .query(KEYED)
            .gives(json::<LimitKeyState>()),
        route(Post, "/limits/{limit}/reset", Action::ResetLimit, "give a key of a limit its whole limit again")
            .need(Need::Role(Operator))
            .takes(Takes::Json(schema_of::<ResetBody>))
            .gives(json::<LimitKeyState>()),
    ]
}

const TENANTED: Parameter = Parameter { name: "tenant", help: "Only those of this tenant.", values: Values::Text };
const GROUPED: Parameter = Parameter { name: "group", help: "Only members of this group.", values: Values::Text };
const PLANNED: Parameter = Parameter { name: "plan", help: "Only those with this plan.", values: Values::Text };
const OWNED: Parameter = Parameter { name: "consumer", help: "Only those of this consumer.", values: Values::Text };
const SUSPENDED: Parameter =
    Parameter { name: "suspended", help: "Only those that are suspended, or are not.", values: Values::Truth };

/// The filters of a kind.
const fn filters(kind: ObjectKind) -> &'static [Parameter] {
    match kind {
        ObjectKind::Consumer => &[LIMIT, CURSOR, TENANTED, GROUPED, PLANNED, SUSPENDED],
        ObjectKind::Tenant => &[LIMIT, CURSOR, PLANNED, SUSPENDED],
        ObjectKind::App => &[LIMIT, CURSOR, OWNED, PLANNED, SUSPENDED],
        ObjectKind::Group | ObjectKind::Plan | ObjectKind::Product => LISTED,
    }
}

/// Schemas of a kind: its body, its document, a list of these.
fn schemas(kind: ObjectKind) -> [SchemaOf; 3] {
    fn of<T: JsonSchema>() -> [SchemaOf; 3] {
        [schema_of::<T>, shown_schema::<T>, list_schema::<T>]
    }
    match kind {
        ObjectKind::Tenant => of::<TenantSpec>(),
        ObjectKind::Group => of::<GroupSpec>(),
        ObjectKind::Consumer => of::<ConsumerBody>(),
        ObjectKind::Plan => of::<PlanSpec>(),
        ObjectKind::Product => of::<ProductSpec>(),
        ObjectKind::App => of::<AppSpec>(),
    }
}

/// Tenants, groups, consumers, plans, products, apps.
fn objects() -> Vec<Route> {
    let of_kind = |kind: ObjectKind| {
        let [body, document, list] = schemas(kind);
        let all = format!("/api/v1/{}", kind.plural());
        let one = format!("{all}/{{name}}");
        let (name, plural) = (kind.name(), kind.plural());
        let route = |verb, path: &String, what, summary: String| {
            Route::new(verb, path.clone(), Action::Objects(kind, what), summary)
        };
        let change = |route: Route| route.need(Need::Role(Operator)).gives(Json(document));
        [
            route(Get, &all, Do::List, format!("all {plural}"))
                .need(Need::Local)
                .query(filters(kind))
                .gives(Json(list)),
            route(Get, &one, Do::Show, format!("one {name}"))
                .need(Need::Local)
                .gives(Json(document))
                .statuses(&[200, 304]),
            change(route(Put, &one, Do::Put, format!("make or replace the {name}")))
                .takes(Takes::Json(body))
                .statuses(&[200, 201]),
            change(route(Patch, &one, Do::Patch, format!("change members of the {name}"))).takes(Takes::Patch),
            change(route(Delete, &one, Do::Delete, format!("delete the {name}")))
                .gives(Gives::Nothing)
                .statuses(&[204]),
        ]
    };
    ObjectKind::ALL.into_iter().flat_map(of_kind).collect()
}

const CREDENTIALS: &[Parameter] = &[
    LIMIT,
    CURSOR,
    OWNED,
    Parameter { name: "app", help: "Only those of this app.", values: Values::Text },
    Parameter { name: "kind", help: "Only those of this kind.", values: Values::Words(KINDS) },
    Parameter { name: "state", help: "Only those in this state.", values: Values::Words(STATES) },
];

/// Credentials of consumers, and tokens of the API itself.
fn credentials() -> Vec<Route> {
    let route = |verb, path: &str, action, summary| Route::new(verb, format!("/api/v1{path}"), action, summary);
    let change = |route: Route| route.need(Need::Role(Operator)).gives(json::<CredentialDocument>());
    let token = |route: Route| route.need(Need::Role(Admin));
    vec![
        route(Get, "/credentials", Action::Credentials, "credentials in the store")
            .need(Need::Local)
            .query(CREDENTIALS)
            .gives(list::<CredentialDocument>()),
        change(route(Post, "/credentials", Action::CreateCredential, "make a credential; a key is shown this once"))
            .takes(Takes::Json(schema_of::<CredentialBody>))
            .statuses(&[201]),
        route(Get, "/credentials/{id}", Action::Credential, "one credential")
            .need(Need::Local)
            .gives(json::<CredentialDocument>())
            .statuses(&[200, 304]),
        change(route(Patch, "/credentials/{id}", Action::PatchCredential, "change when a credential ends"))
            .takes(Takes::Patch),
        change(route(Post, "/credentials/{id}/rotate", Action::RotateCredential, "make another key in its place"))
            .takes(Takes::Json(schema_of::<RotateBody>))
            .statuses(&[201]),
        change(route(Post, "/credentials/{id}/revoke", Action::RevokeCredential, "revoke a credential")),
        token(route(Get, "/admin-tokens", Action::Tokens, "tokens of this API in the store"))
            .query(LISTED)
            .gives(list::<TokenDocument>()),
        token(route(Post, "/admin-tokens", Action::CreateToken, "make a token; it is shown this once"))
            .takes(Takes::Json(schema_of::<TokenBody>))
            .gives(json::<TokenDocument>())
            .statuses(&[201]),
        token(route(Delete, "/admin-tokens/{name}", Action::RevokeToken, "revoke a token"))
            .gives(Gives::Nothing)
            .statuses(&[204]),
    ]
}

const SESSIONS: &[Parameter] = &[
    LIMIT,
    CURSOR,
    Parameter { name: "subject", help: "Only those of this subject.", values: Values::Text },
    Parameter { name: "policy", help: "Only those of this policy.", values: Values::Text },
];

/// Sessions of browsers.
fn sessions() -> Vec<Route> {
    let route = |verb, path: &str, action, summary| {
        Route::new(verb, format!("/api/v1{path}"), action, summary).need(Need::Role(Operator))
    };
    vec![
        route(Get, "/sessions", Action::Sessions, "sessions of browsers that the store has noted")
            .query(SESSIONS)
            .gives(list::<SessionDocument>()),
        route(Delete, "/sessions/{id}", Action::EndSession, "end a session, whether the store knows it or not")
            .gives(Gives::Nothing)
            .statuses(&[204]),
        route(Post, "/sessions/revoke", Action::EndSessions, "end all sessions of somebody")
            .takes(Takes::Json(schema_of::<EndSessionsBody>))
            .gives(json::<EndedDocument>()),
    ]
}
