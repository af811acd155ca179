// SPDX-License-Identifier: Apache-2.0
//! What a directory is made of: `[tenant.NAME]`, `[group.NAME]`, `[plan.NAME]`, `[product.NAME]`, `[app.NAME]`, and
//! what a consumer has beside its credentials. The admin API reads and writes the same tables as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::location::Located;
use crate::config::spec::scalar::{PeriodSpec, Time};
use crate::config::spec::shape::{Many, Secret, table};

table! {
    /// The store: one SQLite file, and beside it its log while the gateway runs (`PATH-wal`, `PATH-shm`), or a database
    /// of PostgreSQL that several gateways share.
    pub struct StoreSpec {
        /// The file; it is made where it is not there. Without it `turnpike.db` beside `server.control_socket`, which
        /// must then be set. A change takes effect at a restart.
        path: Option<PathBuf> = None,
        /// A database of PostgreSQL instead of a file: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. Several gateways
        /// may share it; what one writes, the others know within a second. It holds all its tables in a schema
        /// `turnpike`, which is made where it is not there. Write the password as `${VAR}` or `${file:PATH}`, with what
        /// is no letter or digit percent-encoded. The connection is secured by TLS unless the host is this machine;
        /// `?sslmode=require` and `?sslmode=disable` say otherwise, and `&sslrootcert=PATH` names the authorities that
        /// are trusted instead of those of the machine. `?host=/FOLDER` with no host is a Unix socket. A change takes
        /// effect at a restart.
        url: Option<Located<Secret>> = None,
        /// What the keys begin with that the gateway makes: `PREFIX_` and 33 letters and digits. 1 to 16 letters and
        /// digits.
        key_prefix: Located<String> = Located::nowhere("tpk".to_owned()),
    }
}

table! {
    /// A server that speaks the protocol of Redis (Redis, Valkey), in which several gateways count quotas together. It
    /// needs Lua scripts (`EVAL`). What it loses, gateways that still run tell it again.
    pub struct RedisSpec {
        /// Where: `"redis://10.0.0.7:6379/0"`, or `"rediss://redis.internal/0"` for TLS. The number is the database.
        url: Option<Located<String>> = None,
        /// The user to log in as, where it is not `default`.
        username: Option<String> = None,
        /// The password; best as `"${file:/run/secrets/redis}"`.
        password: Option<Located<Secret>> = None,
        /// PEM files with the certificate authorities that the server is trusted by; without it those of the system.
        ca: Many<Located<PathBuf>> = Many::default(),
        /// What the keys begin with there. Gateways that count together have the same.
        prefix: Located<String> = Located::nowhere("turnpike".to_owned()),
        /// Longest wait for the server, from connecting to its answer; at most `"10s"`.
        timeout: Located<Time> = Located::nowhere(Time(std::time::Duration::from_millis(500))),
    }
}

table! {
    /// A tenant: whom consumers belong to.
    pub struct TenantSpec {
        /// For people.
        description: String = String::new(),
        /// The plan of those of its consumers that have none, for whatever routes the plan contains.
        plan: Option<String> = None,
        /// Plans of those of its consumers that have none, by product.
        plans: BTreeMap<String, String> = BTreeMap::new(),
        /// Names and values of your own.
        attributes: BTreeMap<String, String> = BTreeMap::new(),
        /// Nobody who belongs to it may call.
        suspended: bool = false,
    }
}

table! {
    /// A group of consumers. Consumers name their groups; a group need not be declared to be named.
    pub struct GroupSpec {
        /// For people.
        description: String = String::new(),
    }
}

table! {
    /// A plan: what its subscribers may do, and how much of it. A policy `plan` refuses what a caller's plans do not
    /// contain.
    pub struct PlanSpec {
        /// For people.
        description: String = String::new(),
        /// The products whose routes it contains. With neither `products` nor `routes` it contains all routes.
        products: Vec<String> = Vec::new(),
        /// Further routes that it contains, by name.
        routes: Vec<String> = Vec::new(),
        /// The methods that it allows; without it all.
        methods: Vec<String> = Vec::new(),
        /// Prefixes of the paths that it allows, such as `"/v1/"`; without it all.
        paths: Vec<String> = Vec::new(),
        /// How many requests in which time; all of them hold at once.
        limits: Vec<AllowanceSpec> = Vec::new(),
        /// Most requests at the same time.
        concurrency: Option<u32> = None,
        /// Models that it allows; without it all.
        models: Vec<String> = Vec::new(),
        /// How many tokens of models in which time; all of them hold at once.
        tokens: Vec<AllowanceSpec> = Vec::new(),
        /// Who goes first where not all can be served: 0 to 9, more is better.
        priority: u8 = 0,
    }
}

table! {
    /// So many in which time.
    pub struct AllowanceSpec {
        /// How many, at least one.
        count: u64 = 0,
        /// In which time: a span such as `"10s"` (any span of that length), or a unit of the calendar in UTC:
        /// `"minute"`, `"hour"`, `"day"`, `"week"` (from Monday) or `"month"`.
        per: PeriodSpec = PeriodSpec::default(),
    }
}

table! {
    /// A product: a set of routes that is sold together.
    pub struct ProductSpec {
        /// For people.
        description: String = String::new(),
        /// Its routes, by name.
        routes: Vec<String> = Vec::new(),
    }
}

table! {
    /// An app: a program of a consumer, with credentials and plans of its own.
    pub struct AppSpec {
        /// For people.
        description: String = String::new(),
        /// The consumer whose app it is.
        consumer: String = String::new(),
        /// Its plan, for whatever routes the plan contains. Without any plan those of the consumer hold.
        plan: Option<String> = None,
        /// Its plans by product.
        plans: BTreeMap<String, String> = BTreeMap::new(),
        /// Names and values of your own.
        attributes: BTreeMap<String, String> = BTreeMap::new(),
        /// Its credentials are refused.
        suspended: bool = false,
    }
}

table! {
    /// What a consumer has beside its name and its credentials.
    pub struct ConsumerBody {
        /// For people.
        description: String = String::new(),
        /// Your own identifier, which upstreams get as `X-Consumer-Id`.
        id: Option<String> = None,
        /// The groups that it is a member of.
        groups: Vec<String> = Vec::new(),
        /// The tenant that it belongs to.
        tenant: Option<String> = None,
        /// Its plan, for whatever routes the plan contains. Without any plan those of the tenant hold.
        plan: Option<String> = None,
        /// Its plans by product.
        plans: BTreeMap<String, String> = BTreeMap::new(),
        /// Names and values of your own.
        attributes: BTreeMap<String, String> = BTreeMap::new(),
        /// Its credentials are refused.
        suspended: bool = false,
    }
}
