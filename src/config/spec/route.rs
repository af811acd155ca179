// SPDX-License-Identifier: Apache-2.0
//! `[[route]]`.

use crate::config::location::Located;
use crate::config::spec::authenticate::AuthenticateSpec;
use crate::config::spec::grpc::GrpcSpec;
use crate::config::spec::scalar::{Limit, Network, Rate, RedirectPort, Share, Size, Time};
use crate::config::spec::server::{RouteLimits, RouteTimeouts};
use crate::config::spec::shape::{Many, Named, Short, ShortOr, table};
use crate::config::spec::usage::UsageMode;

table! {
    /// Which requests go where. A request takes the most specific route that matches, whatever the order of the file;
    /// a route has exactly one of `to`, `redirect`, `answer`, `echo`.
    pub struct RouteSpec {
        /// Its name, for logs, metrics and messages; without one its path.
        name: Option<Located<String>> = None,
        /// Listeners that have it, by name; without it all.
        listeners: Many<Located<String>> = Many::default(),
        /// Hosts (virtual hosts), of which one must match: `"api.example.com"`, `"*.example.org"` (any depth, not the
        /// bare domain), `"*"`, or `"~REGEX"` for the whole host. Where a request's target is absolute, it names the
        /// host, whatever `Host` says.
        hosts: Many<Located<String>> = Many::default(),
        /// The path, with parameters: `"/users/{id}"`, `"/files/{*rest}"`. Without any key for the path, every path.
        path: Option<Located<String>> = None,
        /// A prefix of the path, by whole segments: `"/api"` matches `/api` and `/api/x`, not `/apix`.
        path_prefix: Option<Located<String>> = None,
        /// A prefix of the path letter by letter, as in Kong and Traefik: `"/api"` matches `/apix` as well.
        path_text_prefix: Option<Located<String>> = None,
        /// The path, letter by letter.
        path_exact: Option<Located<String>> = None,
        /// A regular expression for the whole path.
        path_regex: Option<Located<String>> = None,
        /// Methods, of which one must match. `GET` includes `HEAD`, unless another route of the same hosts and path
        /// names `HEAD`. A CORS preflight goes to the route of the method that it asks for, where that route has a
        /// `cors` policy.
        methods: Many<Located<String>> = Many::default(),
        /// Request headers that must match: `{ x-env = "canary" }`. Several lines of one header are matched as their
        /// combined value, joined by a comma and a space; above 4 KiB it matches only `present`.
        headers: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// Query parameters that must match. Where one is repeated, each of its values must.
        query: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// Cookies that must match. Where one is repeated, each of its values must.
        cookies: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// Values in the body that must match: of JSON, of a form or of XML. The body is read only where such a route
        /// is the first that may take the request, up to `limits.routing_body` of the listener.
        body: BodySpec = BodySpec::default(),
        /// Networks, of which one must hold the client's address.
        source: Many<Network> = Many::default(),
        /// Server names (SNI) of TLS, of which one must match: `"a.example.com"`, `"*.example.com"`.
        sni: Many<Located<String>> = Many::default(),
        /// Consumers by name, of which the caller must be one. This and the other keys about the caller need a policy
        /// of the listener that says who that is.
        consumer: Many<Located<String>> = Many::default(),
        /// Groups, of which the consumer must be in one.
        group: Many<Located<String>> = Many::default(),
        /// Tenants by name, of one of which the consumer must be.
        tenant: Many<Located<String>> = Many::default(),
        /// Plans by name, of which the consumer must have one that does not depend on the route.
        plan: Many<Located<String>> = Many::default(),
        /// Claims of the verified token that must match. Of a list, one text must be the one that is given; other
        /// matchers want a text.
        claims: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// Countries by their two letters, of which the client must come from one. Needs `[geoip]`.
        country: Many<Located<String>> = Many::default(),
        /// A CEL expression that must hold; see `docs/expressions.md`. Where it fails, the route steps aside.
        when: Option<Located<String>> = None,
        /// Alternatives: the route takes what one of them takes. What stands beside them must hold as well.
        any: Many<Located<MatcherSpec>> = Many::default(),
        /// Requests that the route does not take: those of which everything in one of these tables holds. An expression
        /// that fails holds here.
        not: Many<Located<MatcherSpec>> = Many::default(),
        /// Precedence over all other rules: a route with a higher number is tried first.
        priority: i32 = 0,
        /// Forward the request: the name of an upstream, an address (`"http://10.0.0.1:80"`), or a list of tables for a
        /// weighted split (canary).
        to: Option<Located<Many<Located<ShortOr<TargetSpec>>>>> = None,
        /// What keeps a client on one side of a weighted split: `"source"`, `"cookie:NAME"` or `"header:NAME"`. Without
        /// it each request is drawn anew.
        stick: Option<Located<String>> = None,
        /// Send the client elsewhere.
        redirect: Option<Box<Located<RedirectSpec>>> = None,
        /// A fixed answer.
        answer: Option<Box<Located<AnswerSpec>>> = None,
        /// Respond with a description of the request itself, for debugging.
        echo: Located<bool> = Located::nowhere(false),
        /// How the request's path and query are rewritten before forwarding.
        rewrite: Option<Box<Located<RewriteSpec>>> = None,
        /// The `Host` header that the upstream gets: `"keep"` (the client's), `"endpoint"` (the endpoint's own) or any
        /// text with variables.
        host: Located<String> = Located::nowhere("keep".to_owned()),
        /// Changes to the request's headers before forwarding.
        request_headers: HeadersSpec = HeadersSpec::default(),
        /// Changes to the response's headers before the client gets it.
        response_headers: HeadersSpec = HeadersSpec::default(),
        /// Policies by name; they run by phase, then in this order.
        policies: Many<Located<String>> = Many::default(),
        /// Authentications of which one must say who calls, in order: the first that does counts. Without it, all that
        /// `policies` names must.
        authenticate: Option<Located<AuthenticateSpec>> = None,
        /// Write the access log's line for each request; `false` leaves out, for example, a load balancer's checks.
        access_log: bool = true,
        /// The share of requests that get a line, chosen by chance, instead of `sample` in `[log.access]`.
        access_log_sample: Option<Share> = None,
        /// What becomes of the usage of this route: `"off"`, `"counted"` or `"billed"`. Without it what `routes` of
        /// `[usage]` says, and nothing where there is no `[usage]`.
        usage: Option<Located<UsageMode>> = None,
        /// The version of an API that this route serves, such as `"v1"`: it is `{version}` in logs, usage and metrics.
        /// With a policy `api_version` on the route it is one of its versions, and requests need not name it.
        version: Option<Located<String>> = None,
        /// Waits for the response.
        timeouts: RouteTimeouts = RouteTimeouts::default(),
        /// When a failed attempt is retried on another endpoint.
        retry: RetrySpec = RetrySpec::default(),
        /// Limits.
        limits: RouteLimits = RouteLimits::default(),
        /// Let clients open WebSockets and other upgrades, over HTTP/1.1 or an HTTP/2 stream (RFC 8441). Where this is
        /// `false`, an HTTP/1.1 client gets an ordinary response and an HTTP/2 client gets 501. Rules, policies and
        /// logs see both as a GET with the status 101.
        upgrade: bool = true,
        /// What the gateway does for gRPC calls beyond forwarding them: `true`, or a table.
        grpc: Option<Box<Located<ShortOr<GrpcSpec>>>> = None,
        /// What holds of WebSockets.
        websocket: WebSocketSpec = WebSocketSpec::default(),
    }
}

table! {
    /// What of a request must match; the keys mean what they mean in the route.
    pub struct MatcherSpec {
        /// Hosts, of which one must match.
        hosts: Many<Located<String>> = Many::default(),
        /// The path, with parameters.
        path: Option<Located<String>> = None,
        /// A prefix of the path, by whole segments.
        path_prefix: Option<Located<String>> = None,
        /// A prefix of the path, letter by letter.
        path_text_prefix: Option<Located<String>> = None,
        /// The path, letter by letter.
        path_exact: Option<Located<String>> = None,
        /// A regular expression for the whole path.
        path_regex: Option<Located<String>> = None,
        /// Methods, of which one must match.
        methods: Many<Located<String>> = Many::default(),
        /// Request headers that must match.
        headers: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// Query parameters that must match.
        query: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// Cookies that must match.
        cookies: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// Values in the body that must match. Not in `not`.
        body: BodySpec = BodySpec::default(),
        /// Networks, of which one must hold the client's address.
        source: Many<Network> = Many::default(),
        /// Server names (SNI) of TLS, of which one must match.
        sni: Many<Located<String>> = Many::default(),
        /// Consumers by name.
        consumer: Many<Located<String>> = Many::default(),
        /// Groups of the consumer.
        group: Many<Located<String>> = Many::default(),
        /// Tenants by name.
        tenant: Many<Located<String>> = Many::default(),
        /// Plans by name.
        plan: Many<Located<String>> = Many::default(),
        /// Claims of the verified token.
        claims: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// Countries by their two letters.
        country: Many<Located<String>> = Many::default(),
        /// A CEL expression that must hold.
        when: Option<Located<String>> = None,
    }
}

impl RouteSpec {
    /// What of a request must match, whatever alternatives and exclusions say.
    pub(crate) fn matcher(&self) -> MatcherSpec {
        MatcherSpec {
            hosts: self.hosts.clone(),
            path: self.path.clone(),
            path_prefix: self.path_prefix.clone(),
            path_text_prefix: self.path_text_prefix.clone(),
            path_exact: self.path_exact.clone(),
            path_regex: self.path_regex.clone(),
            methods: self.methods.clone(),
            headers: self.headers.clone(),
            query: self.query.clone(),
            cookies: self.cookies.clone(),
            body: self.body.clone(),
            source: self.source.clone(),
            sni: self.sni.clone(),
            consumer: self.consumer.clone(),
            group: self.group.clone(),
            tenant: self.tenant.clone(),
            plan: self.plan.clone(),
            claims: self.claims.clone(),
            country: self.country.clone(),
            when: self.when.clone(),
        }
    }
}

table! {
    /// Values in the body that must match. Where one stands there several times, each of them must. A body of another
    /// type matches nothing.
    pub struct BodySpec {
        /// In JSON, by JSON pointer (RFC 6901): `{ "/order/type" = "express" }`. Numbers, `true`, `false` and `null`
        /// are compared as text; objects and arrays are `present`.
        json: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// Fields of a form (`application/x-www-form-urlencoded`).
        form: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// In XML, the text of elements by their path, without prefixes of namespaces:
        /// `{ "/Envelope/Body/Order" = { present = true } }`.
        xml: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
    }
}

table! {
    /// Limits on WebSockets. The gateway always closes one whose frames break RFC 6455 with 1002, and all with 1001
    /// when it stops. A reload does not close any.
    pub struct WebSocketSpec {
        /// Origins whose pages may open one; others get 403. As `cors.origins`: `"https://app.example.com"`,
        /// `"https://*.example.com"`, `"~REGEX"`. Without it all. A request without `Origin` is not from a web page and
        /// is allowed.
        origins: Many<Located<String>> = Many::default(),
        /// Keep-alive: an end that was silent for this long gets a ping; if it stays silent for as long again, the
        /// WebSocket is closed. A pong ends the silence, so `timeouts.tunnel` then closes only dead connections.
        ping: Option<Located<Time>> = None,
        /// The largest message of either end, as sent (compressed, where the ends compress). Above it the WebSocket is
        /// closed with 1009.
        message: Limit<Size> = Limit::Off,
        /// Messages and control frames of the client, such as `"100/s"`, with a burst of the same number. Above it the
        /// WebSocket is closed with 1008.
        rate: Option<Located<Rate>> = None,
    }
}

table! {
    /// What a value must be; exactly one key. A text alone is the same as `exact`.
    pub struct MatchSpec {
        /// Is exactly this.
        exact: Option<String> = None,
        /// Begins with this.
        prefix: Option<String> = None,
        /// Ends with this.
        suffix: Option<String> = None,
        /// Has this somewhere.
        contains: Option<String> = None,
        /// The whole value matches this regular expression.
        regex: Option<Located<String>> = None,
        /// `true`: present with any value; `false`: absent.
        present: Option<bool> = None,
    }
}

impl Short for MatchSpec {
    const EXPECTED: &'static str = "a text, or a table such as { prefix = \"x\" } or { present = true }";

    fn of_text(text: &str) -> Result<MatchSpec, String> {
        Ok(MatchSpec { exact: Some(text.to_owned()), ..MatchSpec::default() })
    }
}

table! {
    /// One part of a weighted split.
    pub struct TargetSpec {
        /// The name of an upstream, or an address.
        upstream: Located<String> = Located::nowhere(String::new()),
        /// Its share.
        weight: u32 = 1,
    }
}

impl Short for TargetSpec {
    const EXPECTED: &'static str = "the name of an upstream, an address, or a list of { upstream = \"…\", weight = 1 }";

    fn of_text(text: &str) -> Result<TargetSpec, String> {
        Ok(TargetSpec { upstream: Located::nowhere(text.to_owned()), weight: 1 })
    }
}

table! {
    /// Redirects the client. Parts that are not given stay as in the request. Texts may hold variables.
    pub struct RedirectSpec {
        /// 301, 302, 303, 307 or 308.
        status: Located<u16> = Located::nowhere(308),
        /// `"http"` or `"https"`.
        scheme: Option<Located<String>> = None,
        /// The host.
        host: Option<Located<String>> = None,
        /// The port, or `"listener"` for the one that the listener is bound to; without it the one that the client
        /// sent.
        /// The port of a given `scheme` goes before `"listener"` and before the client's.
        port: Option<RedirectPort> = None,
        /// The whole path. The request's query is kept, unless this ends with `?`.
        path: Option<Located<String>> = None,
        /// Replaces the route's `path_prefix`.
        prefix: Option<Located<String>> = None,
        /// The whole URL, instead of its parts.
        to: Option<Located<String>> = None,
    }
}

table! {
    /// A fixed answer.
    pub struct AnswerSpec {
        /// The status, 200 to 599; 444 closes the connection without a response.
        status: Located<u16> = Located::nowhere(200),
        /// The body; may hold variables, whose values are escaped where the type is HTML or XML.
        body: Located<String> = Located::nowhere(String::new()),
        /// Its type; without it `"text/plain; charset=utf-8"` where there is a body.
        content_type: Option<Located<String>> = None,
    }
}

table! {
    /// How path and query are rewritten; exactly one of `path`, `prefix`, `strip_prefix`, `regex`.
    pub struct RewriteSpec {
        /// The whole path, with the route's parameters: `"/v2/{id}"`. The request's query is kept. If this has a query
        /// of its own, the request's follows it; if this ends with `?`, the request's is dropped.
        path: Option<Located<String>> = None,
        /// Replaces the route's `path_prefix`.
        prefix: Option<Located<String>> = None,
        /// What is taken from the path's beginning.
        strip_prefix: Option<Located<String>> = None,
        /// A regular expression that is searched for in the path.
        regex: Option<Located<String>> = None,
        /// The replacement; `$1` or `${1}` is the first group.
        replace: Option<Located<String>> = None,
    }
}

table! {
    /// Changes to headers (fields): first `remove`, then `rename`, `set`, `add`, `default`. Values may hold variables
    /// such as `{client.ip}`. A value that comes out empty, or with control characters, is not sent.
    pub struct HeadersSpec {
        /// Remove all of that name.
        remove: Many<Located<String>> = Many::default(),
        /// Give the received headers of one name another: `{ x-old = "X-New" }`.
        rename: Named<Located<String>> = Named::default(),
        /// Replace all of that name by one.
        set: Named<Located<String>> = Named::default(),
        /// Add one more.
        add: Named<Located<String>> = Named::default(),
        /// Add one where there is none.
        default: Named<Located<String>> = Named::default(),
    }
}

table! {
    /// When a failed attempt is retried on another endpoint. A request that was never sent is always retried; others
    /// only where their method is idempotent.
    pub struct RetrySpec {
        /// Tries in all. A try that reached no endpoint (nothing accepted the connection) counts only when all
        /// endpoints were tried; with `1` nothing is retried.
        tries: Located<u32> = Located::nowhere(2),
        /// The timeout of one attempt, up to the response's headers. Without it only `timeouts.first_byte` applies.
        per_try: Option<Time> = None,
        /// Statuses that are retried too. Where no further attempt can be made, the client gets the last response.
        statuses: Many<Located<u16>> = Many::default(),
        /// gRPC status codes, such as `"UNAVAILABLE"`, that are retried where the call ends before its first message,
        /// although calls are `POST`. A stream that is reset counts as the code that gRPC gives to the reset.
        grpc_statuses: Many<Located<String>> = Many::default(),
        /// Retry `POST` and `PATCH` too, even where the request may have been processed.
        non_idempotent: bool = false,
        /// The largest request body that is kept in memory for a retry, while `kept_bodies_max` of `[server]` has room.
        body: Size = Size(256 * 1024),
    }
}
