// SPDX-License-Identifier: Apache-2.0
//! What a person writes into a file of tests.
#![allow(unreachable_pub, reason = "`table` makes everything `pub`, as the specs of a configuration are")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::location::Located;
use crate::config::spec::route::MatchSpec;
use crate::config::spec::scalar::{Moment, Statuses, Time};
use crate::config::spec::shape::{Many, Named, ShortOr, table};

/// What a text must be.
pub(super) type Asked = Located<ShortOr<MatchSpec>>;

table! {
    /// A file of tests.
    pub struct SuiteSpec {
        /// The configuration, relative to this file.
        config: Option<Located<String>> = None,
        /// Environment variables that the configuration sees, beside those of the process.
        variables: BTreeMap<String, String> = BTreeMap::new(),
        /// The time at the first request of each test.
        time: Option<Moment> = None,
        /// Files with JWK sets, by the name of the policy that gets its keys by URL.
        keys: Named<Located<String>> = Named::default(),
        /// What the authorisation server says of active tokens (introspection): claims by token.
        tokens: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new(),
        /// What stands in the place of upstreams, by their name, in all tests. One that is not named responds with 200.
        stub: Named<Many<Located<StubSpec>>> = Named::default(),
        /// The tests. Each has a gateway of its own.
        test: Vec<Located<TestSpec>> = Vec::new(),
    }
}

table! {
    /// One test: a request and what is expected of it, and possibly more of them.
    pub struct TestSpec {
        /// Its name.
        name: Option<Located<String>> = None,
        /// The time at its first request, instead of that of the file.
        time: Option<Moment> = None,
        /// Stubs of this test, instead of those of the file.
        stub: Named<Many<Located<StubSpec>>> = Named::default(),
        /// The request.
        request: Option<Located<RequestSpec>> = None,
        /// How often it is sent; each time the same is expected.
        times: Located<u32> = Located::nowhere(1),
        /// What is expected of it.
        expect: ExpectSpec = ExpectSpec::default(),
        /// What comes then, in order.
        then: Vec<Located<StepSpec>> = Vec::new(),
    }
}

table! {
    /// A later request of a test.
    pub struct StepSpec {
        /// How long after the response before.
        after: Option<Time> = None,
        /// The request; without it the one before again.
        request: Option<Located<RequestSpec>> = None,
        /// How often it is sent; each time the same is expected.
        times: Located<u32> = Located::nowhere(1),
        /// What is expected of it.
        expect: ExpectSpec = ExpectSpec::default(),
    }
}

table! {
    /// A request.
    pub struct RequestSpec {
        /// Its method.
        method: String = "GET".to_owned(),
        /// `http://HOST[:PORT]/PATH`, `https://…`, or `/PATH`. Scheme and port choose the listener.
        url: Located<String> = Located::nowhere("/".to_owned()),
        /// The name of the listener that it comes to, instead.
        listener: Option<Located<String>> = None,
        /// Headers; a list for several lines of one name.
        headers: BTreeMap<String, Many<String>> = BTreeMap::new(),
        /// Its body.
        body: Option<String> = None,
        /// Its body as JSON, with the content type.
        json: Option<Value> = None,
        /// The client's address.
        from: Option<IpAddr> = None,
        /// A load balancer that tells `from` in a PROXY header.
        proxy: Option<IpAddr> = None,
        /// A version of HTTP.
        protocol: Protocol = Protocol::Http11,
        /// Send a key of this consumer, where the `api_key` policy looks for one: for keys that the configuration has
        /// as hashes only.
        consumer: Option<Located<String>> = None,
        /// Send this key there.
        key: Option<String> = None,
        /// Send a JWT.
        jwt: Option<Located<JwtSpec>> = None,
        /// Send `Authorization: Basic` with `"user:password"`.
        basic: Option<String> = None,
        /// What the client shows of itself in TLS.
        tls: Option<Located<ClientTlsSpec>> = None,
    }
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// HTTP/1.0
    #[serde(rename = "http/1.0")]
    Http10,
    /// HTTP/1.1
    #[default]
    #[serde(rename = "http/1.1")]
    Http11,
    /// HTTP/2
    #[serde(rename = "http/2")]
    Http2,
}

table! {
    /// A JWT that is signed with a secret (HS256), as `Authorization: Bearer`.
    pub struct JwtSpec {
        /// The secret.
        secret: String = String::new(),
        /// What it says.
        claims: BTreeMap<String, Value> = BTreeMap::new(),
        /// Adds `exp`: so long after the time of the request.
        expires_in: Option<Time> = None,
        /// Adds `kid` to its head.
        kid: Option<String> = None,
        /// Send it in this header instead, alone.
        header: Option<String> = None,
    }
}

table! {
    /// TLS of a client.
    pub struct ClientTlsSpec {
        /// The server name (SNI), instead of the URL's host.
        sni: Option<Located<String>> = None,
        /// The client's certificate: a PEM file, relative to this file.
        cert: Option<Located<String>> = None,
        /// Its key.
        key: Option<Located<String>> = None,
    }
}

table! {
    /// What a stub responds with. Of several, each request gets the next; the last one stays.
    pub struct StubSpec {
        /// Only the endpoint of this name is like that.
        endpoint: Option<Located<String>> = None,
        /// The status.
        status: u16 = 200,
        /// Headers.
        headers: BTreeMap<String, Many<String>> = BTreeMap::new(),
        /// The body.
        body: String = String::new(),
        /// How long it takes.
        delay: Option<Time> = None,
        /// What goes wrong instead.
        failure: Option<Failure> = None,
    }
}

/// What goes wrong at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It accepts no connection.
    Refused,
    /// It does not answer when it is connected to.
    Unreachable,
    /// It closes the connection instead of a response.
    Closed,
    /// It never responds.
    Silent,
    /// It closes the connection in the middle of the body.
    Truncated,
}

impl Failure {
    /// Is it there before a request is?
    pub(super) fn is_of_connecting(self) -> bool {
        match self {
            Failure::Refused | Failure::Unreachable => true,
            Failure::Closed | Failure::Silent | Failure::Truncated => false,
        }
    }
}

table! {
    /// What is expected. What is not named may be anything.
    pub struct ExpectSpec {
        /// The name of the route; `""` for none.
        route: Option<Located<String>> = None,
        /// The name of the consumer; `""` for none.
        consumer: Option<String> = None,
        /// The kind of the policy that found out who calls; `""` for none.
        method: Option<String> = None,
        /// Claims of the verified token, as text; lists with commas between their members.
        claims: Named<Asked> = Named::default(),
        /// The status, such as `200` or `"4xx"`.
        status: Option<Statuses> = None,
        /// Headers of the response; several lines are joined by a comma and a space.
        headers: Named<Asked> = Named::default(),
        /// The body of the response.
        body: Option<Asked> = None,
        /// The body of the response as JSON.
        json: Option<Value> = None,
        /// Why it was refused, or failed; `""` for neither.
        reason: Option<String> = None,
        /// What is left in rate limits, by their names in `RateLimit`: the policy's, or that of one of its windows. The
        /// policy must tell it (`fields`, `dialect`).
        remaining: BTreeMap<String, u64> = BTreeMap::new(),
        /// Fields of its line in the access log, as JSON lines have them.
        log: Named<Asked> = Named::default(),
        /// How many requests upstreams got.
        attempts: Option<u32> = None,
        /// The last request that an upstream got.
        upstream: Option<UpstreamExpectSpec> = None,
    }
}

table! {
    /// What is expected of a request to an upstream.
    pub struct UpstreamExpectSpec {
        /// The upstream's name.
        name: Option<Located<String>> = None,
        /// The endpoint's name.
        endpoint: Option<String> = None,
        /// The method.
        method: Option<String> = None,
        /// Path and query.
        target: Option<Asked> = None,
        /// Headers.
        headers: Named<Asked> = Named::default(),
        /// The body.
        body: Option<Asked> = None,
    }
}
