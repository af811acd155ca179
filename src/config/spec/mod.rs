// SPDX-License-Identifier: Apache-2.0
//! What an operator writes: serde structs, one section a file. Their comments are the reference (`docs/config.md`), so
//! they address the person who writes the file, and give units and defaults.
//!
//! This folder checks single values only; `config::compile` checks how they fit together.

pub(crate) mod authenticate;
pub(crate) mod consumer;
pub(crate) mod directory;
pub(crate) mod expression;
pub(crate) mod grpc;
pub(crate) mod listener;
pub(crate) mod policy;
pub(crate) mod route;
pub(crate) mod scalar;
pub(crate) mod server;
pub(crate) mod shape;
pub(crate) mod upstream;
pub(crate) mod usage;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use consumer::ConsumerSpec;
use directory::{AppSpec, GroupSpec, PlanSpec, ProductSpec, RedisSpec, StoreSpec, TenantSpec};
use expression::{GeoipSpec, IpSetSpec};
use listener::ListenerSpec;
use policy::PolicySpec;
use route::RouteSpec;
use server::{AdminSpec, DefaultsSpec, LogSpec, MetricsSpec, ServerSpec};
use shape::Named;
use upstream::UpstreamSpec;
use usage::UsageSpec;

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
    /// Defaults for listeners, upstreams and routes.
    pub defaults: DefaultsSpec,
    /// Sockets with the same protocol and the same routes.
    pub listener: Vec<Located<ListenerSpec>>,
    /// Upstreams by name: groups of servers (backends) that requests are load-balanced over.
    pub upstream: Named<UpstreamSpec>,
    /// Which requests go where.
    #[serde(deserialize_with = "shape::whole_list")]
    pub route: Vec<Located<RouteSpec>>,
    /// Policies (middleware, plugins): rate limits, authentication, CORS and other steps that routes and listeners name
    /// in `policies`. Each has a name and exactly one kind.
    pub policy: Named<PolicySpec>,
    /// The store of what is created and changed while the gateway runs: consumers, credentials, plans, quotas, usage.
    /// Without this section nothing is written, and what needs it says so.
    pub store: Option<Located<StoreSpec>>,
    /// Who called what, how often and how much. Without this section usage is not counted.
    pub usage: Option<Located<UsageSpec>>,
    /// A Redis or Valkey in which several gateways count quotas together.
    pub redis: Option<Located<RedisSpec>>,
    /// Sets of addresses by name.
    pub ip_set: Named<IpSetSpec>,
    /// Where addresses are.
    pub geoip: GeoipSpec,
    /// Consumers: the callers that policies such as `api_key` know.
    #[serde(deserialize_with = "shape::whole_list")]
    pub consumer: Vec<Located<ConsumerSpec>>,
    /// Tenants: whom consumers belong to.
    pub tenant: Named<TenantSpec>,
    /// Groups of consumers.
    pub group: Named<GroupSpec>,
    /// Plans: what subscribers may do, and how much of it.
    pub plan: Named<PlanSpec>,
    /// Products: sets of routes that are sold together.
    pub product: Named<ProductSpec>,
    /// Apps: programs of consumers.
    pub app: Named<AppSpec>,
}
