//! `[policy.NAME]` and `[[consumer]]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::place::Placed;
use crate::config::spec::route::HeadersSpec;
use crate::config::spec::scalar::{Moment, Network, Rate, Time};
use crate::config::spec::shape::{Many, Secret, table};

table! {
    /// One check, limit or change; exactly one key. Policies run in fixed phases, whatever the order in which a route
    /// names them: first those that need to know nothing of the caller (`network`, `cors`, `rate_limit` by address),
    /// then those that find out who it is (`api_key`, `external_auth`), then limits on that, then changes.
    pub struct PolicySpec {
        /// So many requests per time, exact over all threads.
        rate_limit: Option<Placed<RateLimitSpec>> = None,
        /// Who calls, by a key.
        api_key: Option<Placed<ApiKeySpec>> = None,
        /// Ask another service whether the request may pass.
        external_auth: Option<Placed<ExternalAuthSpec>> = None,
        /// Let browsers call from pages of other origins.
        cors: Option<Placed<CorsSpec>> = None,
        /// From which networks.
        network: Option<Placed<NetworkSpec>> = None,
        /// Changes to fields.
        headers: Option<Placed<FieldsSpec>> = None,
    }
}

/// So many requests per time; above it 429 with `Retry-After` and a problem body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSpec {
    /// How many: `"100/s"`, `"5/m"`, `"1000/10s"`.
    pub rate: Placed<Rate>,
    /// How many may come at once; without it one time span's worth.
    #[serde(default)]
    pub burst: Option<Placed<u32>>,
    /// What is counted apart from each other: `"address"` (clients; of IPv6 the /64), `"address/24"` or
    /// `"address/24/48"` (their networks, IPv4 and IPv6), `"consumer"`, `"header:NAME"`, `"everything"` (nothing is
    /// counted apart). Where there is no consumer or no such field, the address counts.
    #[serde(default)]
    #[schemars(extend("x-default" = "address"))]
    pub key: Option<Placed<String>>,
    /// Each route that names the policy counts for itself.
    #[serde(default)]
    pub per_route: bool,
    /// The status of a refusal.
    #[serde(default)]
    #[schemars(extend("x-default" = 429))]
    pub status: Option<Placed<u16>>,
    /// What a refused client reads as `detail`.
    #[serde(default)]
    pub detail: Option<String>,
    /// When clients get `RateLimit` and `RateLimit-Policy` fields.
    #[serde(default)]
    pub fields: LimitFields,
    /// Count and report, but refuse nothing: for trying a limit out.
    #[serde(default)]
    pub report_only: bool,
    /// Keys that one thread remembers.
    #[serde(default)]
    #[schemars(extend("x-default" = 100000))]
    pub keys_max: Option<u32>,
    /// What happens to a request that cannot be counted, because there are too many keys or the process is overloaded.
    #[serde(default)]
    pub uncountable: Uncountable,
}

/// When clients are told where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LimitFields {
    /// In every answer; `Retry-After` in refusals.
    #[default]
    Always,
    /// Only `Retry-After` in refusals.
    OnRefusal,
    /// Never.
    Never,
}

/// What happens to a request that cannot be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Uncountable {
    /// 503 with `Retry-After`.
    #[default]
    Unavailable,
    /// Refused as if the limit were used up.
    Refuse,
    /// Let through uncounted.
    Admit,
}

table! {
    /// Who calls, by a key of a `[[consumer]]`; with a wrong or without any key 401. The consumer's name is
    /// `{consumer}` in texts.
    pub struct ApiKeySpec {
        /// Fields that may hold the key; one or a list.
        header: Many<Placed<String>> = Many(vec![Placed::nowhere("x-api-key".to_owned())]),
        /// The key may stand in `Authorization: Bearer KEY`, too.
        bearer: bool = true,
        /// A query parameter that may hold the key, too. It ends up in the logs of every proxy on the way.
        query: Option<Placed<String>> = None,
        /// Consumers that may pass, by name; without it all.
        consumers: Many<Placed<String>> = Many::default(),
        /// The consumer that a request without any key counts as; without it such a request is refused.
        anonymous: Option<Placed<String>> = None,
        /// Take the key from the request before it is sent on.
        hide: bool = true,
        /// Tell the upstream who it is, in `X-Consumer-Name` and `X-Consumer-Id`. Such fields from clients are always
        /// removed.
        consumer_fields: bool = true,
        /// What a browser is told to ask a key for.
        realm: Placed<String> = Placed::nowhere("api".to_owned()),
    }
}

/// Asks another service with a `GET` without body, as nginx's `auth_request`: 2xx passes, 401 and 403 go to the
/// client, anything else is a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAuthSpec {
    /// The upstream that is asked, by name or address.
    pub upstream: Placed<String>,
    /// Path and query that are asked for; may hold variables. `{target}` is what the client asked for.
    #[serde(default)]
    #[schemars(extend("x-default" = "/"))]
    pub path: Option<Placed<String>>,
    /// Fields of the client's request that are sent along; without it all but those of its body and connection.
    #[serde(default)]
    pub send: Option<Many<Placed<String>>>,
    /// Fields of the answer that the upstream gets, replacing the client's own.
    #[serde(default)]
    pub to_upstream: Many<Placed<String>>,
    /// Fields of the answer that the client gets.
    #[serde(default)]
    pub to_client: Many<Placed<String>>,
    /// Longest wait for an answer.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s"))]
    pub timeout: Option<Time>,
    /// Pass a redirect on to the client, for login pages; otherwise it is a failure.
    #[serde(default)]
    pub forward_redirects: bool,
    /// What happens when the service does not answer as it should.
    #[serde(default)]
    pub failure: AuthFailure,
}

/// What happens when an authenticating service does not answer as it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AuthFailure {
    /// 500.
    #[default]
    Refuse,
    /// 503.
    Unavailable,
    /// Let the request through unchecked.
    Admit,
}

table! {
    /// Lets browsers call from pages of other origins (CORS). Preflight requests are answered here.
    pub struct CorsSpec {
        /// Origins: `"https://app.example.com"`, `"https://*.example.com"` (any depth, not the bare domain),
        /// `"~REGEX"` for the whole origin, `"*"` for all.
        origins: Many<Placed<String>> = Many(vec![Placed::nowhere("*".to_owned())]),
        /// Methods beyond GET, HEAD and POST; without it all that are asked for.
        methods: Many<Placed<String>> = Many::default(),
        /// Request fields beyond the usual; without it all that are asked for.
        headers: Many<Placed<String>> = Many::default(),
        /// Answer fields that scripts may read.
        expose: Many<Placed<String>> = Many::default(),
        /// Let cookies through. Not with the origin `"*"`.
        credentials: Placed<bool> = Placed::nowhere(false),
        /// How long a browser may remember the answer to a preflight request.
        max_age: Time = Time(Duration::from_secs(600)),
        /// Pages from public networks may reach us on a private one.
        private_network: bool = false,
    }
}

table! {
    /// From which networks requests may come; others get 403.
    pub struct NetworkSpec {
        /// Only from these; without it from everywhere.
        allow: Many<Network> = Many::default(),
        /// Never from these, whatever `allow` says.
        deny: Many<Network> = Many::default(),
        /// What a refused client reads as `detail`.
        detail: Option<String> = None,
    }
}

table! {
    /// Changes to fields.
    pub struct FieldsSpec {
        /// Of requests, before they are sent on.
        request: HeadersSpec = HeadersSpec::default(),
        /// Of answers, before the client gets them; also of those that the gateway makes.
        response: HeadersSpec = HeadersSpec::default(),
    }
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSpec {
    /// The name, for logs and limits.
    pub name: Placed<String>,
    /// Your own identifier, which upstreams get as `X-Consumer-Id`.
    #[serde(default)]
    pub id: Option<Placed<String>>,
    /// The keys; more than one while they are exchanged.
    #[serde(default)]
    pub keys: Many<Placed<KeySpec>>,
}

table! {
    /// One key; exactly one of `sha256` and `key`.
    pub struct KeySpec {
        /// The key's SHA-256, as 64 hexadecimal digits: `printf %s KEY | sha256sum`.
        sha256: Option<Placed<String>> = None,
        /// The key itself; best as `"${file:/run/secrets/acme}"`. It is hashed when read.
        key: Option<Placed<Secret>> = None,
        /// Not valid from then on: `"2027-01-31"` (from its first moment in UTC) or `"2027-01-31T12:00:00Z"`.
        expires: Option<Moment> = None,
    }
}
