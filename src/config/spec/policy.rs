//! `[policy.NAME]` and `[[consumer]]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::place::Placed;
use crate::config::spec::route::HeadersSpec;
use crate::config::spec::scalar::{Count, Rate, Time};
use crate::config::spec::shape::{Many, Secret, table};

table! {
    /// One check or limit; exactly one key.
    pub struct PolicySpec {
        /// So many requests per time, exact over all threads.
        rate_limit: Option<Placed<RateLimitSpec>> = None,
        /// Who calls, by a key.
        api_key: Option<Placed<ApiKeySpec>> = None,
        /// Ask another service whether the request may pass.
        external_auth: Option<Placed<ExternalAuthSpec>> = None,
        /// Let browsers call from other origins.
        cors: Option<Placed<CorsSpec>> = None,
        /// Changes to the answer's fields.
        response_headers: Option<Placed<HeadersSpec>> = None,
    }
}

/// So many requests per time; above it 429 with `Retry-After`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSpec {
    /// How many: `"100/s"`, `"5/m"`, `"1000/10s"`.
    pub rate: Placed<Rate>,
    /// How many may come at once; without it one time span's worth.
    #[serde(default)]
    pub burst: Option<Count>,
    /// What is counted: `"address"` (each client address), `"consumer"` (each consumer; needs `api_key`), `"route"` (all
    /// requests of the route), `"global"` (all requests of the policy), `"header:NAME"`.
    #[serde(default)]
    #[schemars(extend("x-default" = "address"))]
    pub key: Option<Placed<String>>,
    /// Send `RateLimit` and `RateLimit-Policy` fields.
    #[serde(default)]
    #[schemars(extend("x-default" = true))]
    pub headers: Option<bool>,
}

table! {
    /// Who calls, by a key; without a known one 401. The consumer's name is `{consumer}` in texts.
    pub struct ApiKeySpec {
        /// The field that holds the key. `Authorization` means `Authorization: Bearer KEY`.
        header: Placed<String> = Placed::nowhere("x-api-key".to_owned()),
        /// Consumers that may pass, by name; without it all.
        consumers: Many<Placed<String>> = Many::default(),
        /// Take the key from the request before it is sent on.
        hide: bool = true,
    }
}

/// Asks another service: 2xx passes, 401 and 403 go to the client as they are, anything else is 500.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAuthSpec {
    /// The upstream that is asked.
    pub upstream: Placed<String>,
    /// The path that is asked for.
    #[serde(default)]
    #[schemars(extend("x-default" = "/"))]
    pub path: Option<Placed<String>>,
    /// Fields of the client's request that are sent along; without it all but those of its body.
    #[serde(default)]
    pub request_headers: Option<Many<Placed<String>>>,
    /// Fields of the answer that are put into the request for the upstream.
    #[serde(default)]
    pub response_headers: Many<Placed<String>>,
    /// Longest wait for an answer.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s"))]
    pub timeout: Option<Time>,
    /// Let requests pass while the service does not answer.
    #[serde(default)]
    pub fail_open: bool,
}

table! {
    /// Lets browsers call from other origins. Preflight requests are answered here.
    pub struct CorsSpec {
        /// Origins: `"https://app.example.com"`, `"https://*.example.com"`, `"*"`.
        origins: Many<Placed<String>> = Many(vec![Placed::nowhere("*".to_owned())]),
        /// Methods beyond GET, HEAD and POST.
        methods: Many<Placed<String>> = Many::default(),
        /// Request fields beyond the usual; `"*"` is any.
        headers: Many<Placed<String>> = Many::default(),
        /// Answer fields that scripts may see.
        expose: Many<Placed<String>> = Many::default(),
        /// Let cookies through. Not with the origin `"*"`.
        credentials: Placed<bool> = Placed::nowhere(false),
        /// How long a browser may remember the answer to a preflight request.
        max_age: Time = Time(Duration::from_secs(600)),
    }
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSpec {
    /// The name, for logs and limits.
    pub name: Placed<String>,
    /// The keys; more than one while they are exchanged.
    pub keys: Many<Placed<KeySpec>>,
}

table! {
    /// One key; exactly one of both.
    pub struct KeySpec {
        /// The key's SHA-256, as 64 hexadecimal digits: `printf %s KEY | sha256sum`.
        sha256: Option<Placed<String>> = None,
        /// The key itself; best as `"${file:/run/secrets/acme}"`. It is hashed when read.
        key: Option<Secret> = None,
    }
}
