//! `[[route]]`.

use crate::config::place::Placed;
use crate::config::spec::grpc::GrpcSpec;
use crate::config::spec::scalar::{Limit, Network, Rate, Size, Time};
use crate::config::spec::server::{RouteLimits, RouteTimeouts};
use crate::config::spec::shape::{Many, Named, Short, ShortOr, table};

table! {
    /// Which requests go where. A request takes the most specific route that matches, whatever the order of the file;
    /// a route has exactly one of `to`, `redirect`, `answer`, `echo`.
    pub struct RouteSpec {
        /// Its name, for logs, metrics and messages; without one its path.
        name: Option<Placed<String>> = None,
        /// Listeners that have it, by name; without it all.
        listeners: Many<Placed<String>> = Many::default(),
        /// Hosts, of which one must match: `"api.example.com"`, `"*.example.org"` (any depth, not the bare domain),
        /// `"*"`.
        hosts: Many<Placed<String>> = Many::default(),
        /// The path, with parameters: `"/users/{id}"`, `"/files/{*rest}"`. Without any key for the path, every path.
        path: Option<Placed<String>> = None,
        /// The path or its beginning, at a border of segments: `"/api"` takes `/api` and `/api/x`, not `/apix`.
        path_prefix: Option<Placed<String>> = None,
        /// The path, letter by letter.
        path_exact: Option<Placed<String>> = None,
        /// A regular expression for the whole path.
        path_regex: Option<Placed<String>> = None,
        /// Methods, of which one must match.
        methods: Many<Placed<String>> = Many::default(),
        /// Request fields that must match: `{ x-env = "canary" }`.
        headers: Named<Placed<ShortOr<MatchSpec>>> = Named::default(),
        /// Query parameters that must match.
        query: Named<Placed<ShortOr<MatchSpec>>> = Named::default(),
        /// Cookies that must match.
        cookies: Named<Placed<ShortOr<MatchSpec>>> = Named::default(),
        /// Networks, of which one must hold the client's address.
        source: Many<Network> = Many::default(),
        /// Goes before every other rule of precedence: higher first.
        priority: i32 = 0,
        /// Send it on: the name of an upstream, an address (`"http://10.0.0.1:80"`), or a list of tables for a
        /// weighted split.
        to: Option<Placed<Many<Placed<ShortOr<TargetSpec>>>>> = None,
        /// What keeps a client at its part of a weighted split: `"source"`, `"cookie:NAME"` or `"header:NAME"`.
        /// Without it each request is drawn anew.
        stick: Option<Placed<String>> = None,
        /// Send the client elsewhere.
        redirect: Option<Placed<RedirectSpec>> = None,
        /// A fixed answer.
        answer: Option<Placed<AnswerSpec>> = None,
        /// Answer with a description of the request itself, for trying things out.
        echo: Placed<bool> = Placed::nowhere(false),
        /// How the target is changed before it is sent on.
        rewrite: Option<Placed<RewriteSpec>> = None,
        /// Which Host the upstream sees: `"keep"` (the client's), `"endpoint"` (the endpoint's own) or any text with
        /// variables.
        host: Placed<String> = Placed::nowhere("keep".to_owned()),
        /// Changes to the request's fields before it is sent on.
        request_headers: HeadersSpec = HeadersSpec::default(),
        /// Changes to the answer's fields before the client gets it.
        response_headers: HeadersSpec = HeadersSpec::default(),
        /// Policies by name; they run by phase, then in this order.
        policies: Many<Placed<String>> = Many::default(),
        /// Waits for the answer.
        timeouts: RouteTimeouts = RouteTimeouts::default(),
        /// When a failed try is repeated on another endpoint.
        retry: RetrySpec = RetrySpec::default(),
        /// Limits.
        limits: RouteLimits = RouteLimits::default(),
        /// Let clients upgrade the connection (WebSocket), whether of HTTP/1.1 or a stream of HTTP/2 (RFC 8441). Where
        /// this is `false`, a client of HTTP/1.1 gets an ordinary answer, and one of HTTP/2 gets 501. To rules,
        /// policies and logs either is a GET that is answered with 101.
        upgrade: bool = true,
        /// What is done for calls of gRPC beyond passing them on: `true`, or a table.
        grpc: Option<Placed<ShortOr<GrpcSpec>>> = None,
        /// What holds of WebSockets.
        websocket: WebSocketSpec = WebSocketSpec::default(),
    }
}

table! {
    /// What holds of WebSockets. Whatever is set, the gateway ends those whose frames break RFC 6455 with 1002, and all
    /// with 1001 when it stops; a reload touches none.
    pub struct WebSocketSpec {
        /// Pages of which origins may open one; others get 403. As `cors.origins`: `"https://app.example.com"`,
        /// `"https://*.example.com"`, `"~REGEX"`. Without it all. A request without `Origin` comes from no page, and
        /// may.
        origins: Many<Placed<String>> = Many::default(),
        /// An end that was silent for this long gets a ping; if it stays silent for as long again, the WebSocket is
        /// closed. Answers to pings are no silence: `timeouts.tunnel` then finds only dead ends.
        ping: Option<Placed<Time>> = None,
        /// A message of either end, as it is on the wire (so compressed, where the ends compress); above it the
        /// WebSocket is closed with 1009.
        message: Limit<Size> = Limit::Off,
        /// Messages of the client, with those of control: `"100/s"`, of which as many may come at once; above it the
        /// WebSocket is closed with 1008.
        rate: Option<Placed<Rate>> = None,
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
        /// Is wholly matched by this regular expression.
        regex: Option<Placed<String>> = None,
        /// `true`: is there, whatever it is; `false`: is not there.
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
        upstream: Placed<String> = Placed::nowhere(String::new()),
        /// Its share.
        weight: u32 = 1,
    }
}

impl Short for TargetSpec {
    const EXPECTED: &'static str = "the name of an upstream, an address, or a list of { upstream = \"…\", weight = 1 }";

    fn of_text(text: &str) -> Result<TargetSpec, String> {
        Ok(TargetSpec { upstream: Placed::nowhere(text.to_owned()), weight: 1 })
    }
}

table! {
    /// Sends the client elsewhere. What is not given stays as the client asked for it. Texts may hold variables.
    pub struct RedirectSpec {
        /// 301, 302, 303, 307 or 308.
        status: Placed<u16> = Placed::nowhere(308),
        /// `"http"` or `"https"`.
        scheme: Option<Placed<String>> = None,
        /// The host.
        host: Option<Placed<String>> = None,
        /// The port; without it that of a given `scheme`, else the one that the client sent.
        port: Option<u16> = None,
        /// The whole path. The client's query stays, unless this ends with `?`.
        path: Option<Placed<String>> = None,
        /// What stands in the place of the route's `path_prefix`.
        prefix: Option<Placed<String>> = None,
        /// The whole location, instead of its parts.
        to: Option<Placed<String>> = None,
    }
}

table! {
    /// A fixed answer.
    pub struct AnswerSpec {
        /// The status, 200 to 599; 444 closes the connection without an answer.
        status: Placed<u16> = Placed::nowhere(200),
        /// The body; may hold variables.
        body: Placed<String> = Placed::nowhere(String::new()),
        /// Its type; without it `"text/plain; charset=utf-8"` where there is a body.
        content_type: Option<Placed<String>> = None,
    }
}

table! {
    /// How the target is changed; exactly one of `path`, `prefix`, `strip_prefix`, `regex`.
    pub struct RewriteSpec {
        /// The whole path, with the route's parameters: `"/v2/{id}"`. The client's query stays; where this has a
        /// query of its own, it follows; where this ends with `?`, it is dropped.
        path: Option<Placed<String>> = None,
        /// What stands in the place of the route's `path_prefix`.
        prefix: Option<Placed<String>> = None,
        /// What is taken from the path's beginning.
        strip_prefix: Option<Placed<String>> = None,
        /// A regular expression, searched for in the path.
        regex: Option<Placed<String>> = None,
        /// What stands in its place; `$1` or `${1}` is its first group.
        replace: Option<Placed<String>> = None,
    }
}

table! {
    /// Changes to fields: first `remove`, then `set`, `add`, `default`. Values may hold variables such as
    /// `{client.ip}`.
    pub struct HeadersSpec {
        /// Remove all of that name.
        remove: Many<Placed<String>> = Many::default(),
        /// Replace all of that name by one.
        set: Named<Placed<String>> = Named::default(),
        /// Add one more.
        add: Named<Placed<String>> = Named::default(),
        /// Add one where there is none.
        default: Named<Placed<String>> = Named::default(),
    }
}

table! {
    /// When a failed try is repeated on another endpoint. Requests that were never sent are always repeated; others
    /// only where their method is idempotent.
    pub struct RetrySpec {
        /// Tries in all.
        tries: Placed<u32> = Placed::nowhere(2),
        /// Deadline of one try, up to the answer's head; without it only `timeouts.first_byte`.
        per_try: Option<Time> = None,
        /// Statuses that are repeated too.
        statuses: Many<Placed<u16>> = Many::default(),
        /// Codes of gRPC, such as `"UNAVAILABLE"`, that are repeated where the call ends with them before its first
        /// message, although calls are `POST`. A stream that is reset ends with the code that its reset means.
        grpc_statuses: Many<Placed<String>> = Many::default(),
        /// Repeat `POST` and `PATCH` too, even where the request may have been acted upon.
        non_idempotent: bool = false,
        /// The largest body that is kept for another try.
        body: Size = Size(64 * 1024),
    }
}
