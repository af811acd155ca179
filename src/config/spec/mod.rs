//! What a person writes: serde structs, one section a file. Their comments are the reference (`docs/config.md`), so
//! they speak to who writes the file and give units and defaults.
//!
//! Nothing here knows what is right beyond a single value; `config::compile` does.

pub mod consumer;
pub mod grpc;
pub mod listener;
pub mod policy;
pub mod route;
pub mod scalar;
pub mod server;
pub mod shape;
pub mod upstream;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::place::Placed;
use consumer::ConsumerSpec;
use listener::ListenerSpec;
use policy::PolicySpec;
use route::RouteSpec;
use server::{AdminSpec, DefaultsSpec, LogSpec, MetricsSpec, ServerSpec};
use shape::Named;
use upstream::UpstreamSpec;

/// Everything that one configuration says.
///
/// Texts may hold `${NAME}` (an environment variable), `${NAME:-text}` (with a text where it is not set) and
/// `${file:PATH}` (a secret file); `$${` stands for `${` itself. Such values are never shown in messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// Other files that belong to this configuration, relative to the file that names them; `*` and `?` stand for any
    /// letters of a file's name. Lists of tables are joined, other tables merged; a value that two files set is an
    /// error.
    pub include: Vec<String>,
    /// The process as a whole.
    pub server: ServerSpec,
    /// The admin listener (health, metrics, state). Without this section there is none.
    pub admin: Option<AdminSpec>,
    /// What is written where.
    pub log: LogSpec,
    /// Metrics.
    pub metrics: MetricsSpec,
    /// What listeners, upstreams and routes take where they say nothing else.
    pub defaults: DefaultsSpec,
    /// Sockets with the same protocol and the same routes.
    pub listener: Vec<Placed<ListenerSpec>>,
    /// Groups of servers that serve the same, by name.
    pub upstream: Named<UpstreamSpec>,
    /// Which requests go where.
    pub route: Vec<Placed<RouteSpec>>,
    /// Checks and limits that routes name in `policies`; each has a name and exactly one kind.
    pub policy: Named<PolicySpec>,
    /// Who may call, for policies of the kind `api_key`.
    pub consumer: Vec<Placed<ConsumerSpec>>,
}
