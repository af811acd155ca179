// SPDX-License-Identifier: Apache-2.0
//! Hot. A shard's counters: that shard alone writes them, the control plane reads them at any time.
//!
//! Each value is an `AtomicU64` with one writer, so adding is a plain load and store: no locked instruction, no shared
//! cache line between shards. A set belongs to a plan; when a plan replaces another, the control plane adds the
//! old set's last values to its totals by name.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::Cause;
use crate::wire::grpc::Code;

macro_rules! counters {
    ($(#[$meta:meta])* $kind:ident { $($variant:ident $name:literal $help:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $kind { $(#[doc = $help] $variant,)* }

        impl $kind {
            /// All of them, in order of their places.
            pub const ALL: &'static [$kind] = &[$($kind::$variant,)*];

            /// The metric's name without the prefix `turnpike_`.
            pub const fn name(self) -> &'static str {
                match self { $($kind::$variant => $name,)* }
            }

            /// What it says.
            pub const fn help(self) -> &'static str {
                match self { $($kind::$variant => $help,)* }
            }
        }
    };
}

counters! {
    /// Of a shard as a whole. Names that end in `_total` only grow; the others are levels.
    Counter {
        Accepted "connections_accepted_total" "Client connections accepted.",
        Refused "connections_refused_total" "Client connections closed at once because a limit was reached.",
        Evicted "connections_evicted_total" "Idle client connections closed because others needed their room.",
        Descriptors "descriptors_lacking_total" "Times that no file descriptor was free for a connection.",
        KeptBodiesLacking "kept_bodies_lacking_total" "Times that there was no room to keep a request's body.",
        KeptBodyBytes "kept_body_bytes" "Bytes of request bodies that are kept in memory.",
        Connections "connections" "Open client connections.",
        IdleConnections "connections_idle" "Idle client connections: open, keep-alive, between two requests.",
        Handshakes "tls_handshakes_total" "TLS handshakes completed with clients.",
        HandshakesResumed "tls_handshakes_resumed_total" "TLS handshakes that resumed a session.",
        HandshakesFailed "tls_handshakes_failed_total" "TLS handshakes that failed.",
        Rejected "requests_rejected_total" "Requests refused before routing because they are not valid HTTP.",
        TimedOutHeads "heads_timed_out_total" "Connections closed because request headers did not arrive in time.",
        SlowUploads "slow_uploads_total" "Requests ended because a body came too slowly.",
        SlowDownloads "slow_downloads_total" "Responses cut off because the client took them too slowly.",
        UnreadResets "http2_unread_resets_total" "HTTP/2 streams reset because too much unread content was held.",
        Tunnels "tunnels" "Open upgraded connections.",
        WebSocketsEnded "websockets_ended_total" "WebSockets that the gateway ended, for any reason.",
        LogLinesDropped "log_lines_dropped_total" "Access-log lines dropped because the writer was behind.",
        LinkDropped "link_messages_dropped_total" "Messages to the control plane dropped because its queue was full.",
        PeerMessagesKept "peer_messages_kept_total" "Messages to another shard that waited because its ring was full.",
        PeerMessagesWaiting "peer_messages_waiting" "Messages to other shards that wait because rings are full.",
        Waiters "requests_waiting_for_peers" "Requests that wait for a message of another shard.",
        WaitersRefused "requests_not_waiting_total" "Requests that could not wait for a shard because too many do.",
        Panics "panics_total" "Tasks that ended in a panic.",
        Active "requests_active" "Requests being served.",
        Limited "listener_limited_total" "Requests refused before routing by a rate limit of their listener.",
        Reported "listener_reported_total" "Requests without a route that a policy of their listener only reported.",
        Denied "listener_denied_total" "Requests refused before routing by another policy of their listener.",
        Uncompressed "responses_uncompressed_total" "Responses left as they are because too many are compressed.",
        ConditionFailures "condition_failures_total" "Conditions (`when`) that failed; their policies were asked.",
        UsageSeries "usage_series" "Series of usage that shards hold.",
        UsageTogether "usage_other_total" "Requests counted as `(other)` because there were too many series.",
        UsageLate "usage_not_recorded_total" "Billed requests refused or cut off because they could not be recorded.",
        Unrouted "requests_unrouted_total" "Requests that no route matched.",
        Http2Connections "http2_connections_total" "Client connections that speak HTTP/2.",
        FloodRapidReset "http2_flood_rapid_reset_total" "Connections ended because streams were reset at once.",
        FloodErrorReset "http2_flood_error_reset_total" "Connections ended because streams had to be reset.",
        FloodRefused "http2_flood_refused_total" "Connections ended because of streams above the limit.",
        FloodContinuation "http2_flood_continuation_total" "Connections ended because of CONTINUATION frames.",
        FloodSettings "http2_flood_settings_total" "Connections ended because of SETTINGS frames.",
        FloodPing "http2_flood_ping_total" "Connections ended because of PING frames.",
        FloodEmptyData "http2_flood_empty_data_total" "Connections ended because of empty DATA frames.",
        FloodTinyData "http2_flood_tiny_data_total" "Connections ended because of tiny DATA frames.",
        FloodWindowUpdate "http2_flood_window_update_total" "Connections ended because of WINDOW_UPDATE frames.",
        FloodDribble "http2_flood_dribble_total" "Connections ended because their windows opened only by a few bytes.",
        FloodPriority "http2_flood_priority_total" "Connections ended because of PRIORITY and PRIORITY_UPDATE frames.",
        FloodHeaderList "http2_flood_header_list_total" "Connections ended because of header lists above the cap.",
        FloodIgnored "http2_flood_ignored_total" "Connections ended because of frames that change nothing.",
        FloodOutput "http2_flood_output_total" "Connections ended because acknowledgements were not read.",
    }
}

counters! {
    /// Of one route on one shard.
    RouteCounter {
        Status1xx "1xx" "Upgraded exchanges (101).",
        Status2xx "2xx" "Responses 200 to 299.",
        Status3xx "3xx" "Responses 300 to 399.",
        Status4xx "4xx" "Responses 400 to 499.",
        Status5xx "5xx" "Responses 500 to 599.",
        Aborted "aborted" "Exchanges that ended without a complete response.",
        BytesReceived "bytes_received" "Body bytes received from clients.",
        BytesSent "bytes_sent" "Body bytes sent to clients.",
        Limited "limited" "Requests refused by a rate limit.",
        Denied "denied" "Requests refused by authentication or authorization.",
        Reported "reported" "Requests that passed a policy which only reports, or admits what it cannot judge.",
        MicrosTotal "micros" "Microseconds spent, summed.",
    }
}

counters! {
    /// Of one upstream on one shard.
    UpstreamCounter {
        Requests "upstream_requests_total" "Attempts: requests sent to an endpoint, retries included.",
        Connects "upstream_connects_total" "Connections opened.",
        ConnectFailures "upstream_connect_failures_total" "Connections that could not be opened.",
        Reused "upstream_reused_total" "Attempts sent on a keep-alive connection.",
        Retries "upstream_retries_total" "Retries: attempts after the first.",
        RetriesDenied "upstream_retries_denied_total" "Retries that the retry budget refused.",
        Failures "upstream_failures_total" "Attempts that ended in a fault.",
        Open "upstream_connections" "Open connections.",
        Idle "upstream_connections_idle" "Open connections without a request.",
        Queued "upstream_queued" "Requests waiting in the queue.",
        QueueTimeouts "upstream_queue_timeouts_total" "Requests that waited too long in the queue.",
        BreakerOpened "upstream_breaker_opened_total" "Times the circuit breaker opened.",
        Ejected "upstream_ejections_total" "Endpoints ejected by outlier detection (passive health checks).",
        MicrosConnect "upstream_connect_micros" "Microseconds spent on connecting, summed.",
        MicrosFirstByte "upstream_first_byte_micros" "Microseconds from request to response head, summed.",
    }
}

counters! {
    /// Of one limit on one shard.
    LimitCounter {
        Admitted "limit_admitted_total" "Requests that a limit let pass.",
        Refused "limit_refused_total" "Requests refused because a limit is used up.",
        Reported "limit_reported_total" "Requests that a limit which only reports would have refused.",
        Returned "limit_returned_total" "Requests that a limit let pass and that do not count by their response.",
        Waited "limit_waited_total" "Requests that waited for another shard's answer about a limit.",
        Uncounted "limit_uncounted_total" "Requests that could not be counted: no answer in time, or no room.",
        GivenUp "limit_keys_given_up_total" "Keys that were forgotten before they were full again.",
        Held "limit_keys_held" "Keys of a limit that shards have slots of.",
        Accounts "limit_accounts" "Keys of a limit that have an account beside the shards that use them.",
    }
}

impl RouteCounter {
    /// Those of answers, by class of status.
    pub const STATUSES: [RouteCounter; 5] = [
        RouteCounter::Status1xx,
        RouteCounter::Status2xx,
        RouteCounter::Status3xx,
        RouteCounter::Status4xx,
        RouteCounter::Status5xx,
    ];
}

/// Upper bounds of the latency histogram's buckets, in microseconds; one more bucket holds the rest.
pub(crate) const LATENCY_BOUNDS_US: [u64; 16] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 60_000_000,
];
const BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;
const ROUTE_WIDTH: usize = RouteCounter::ALL.len() + BUCKETS;
const UPSTREAM_WIDTH: usize = UpstreamCounter::ALL.len();
const GRPC_WIDTH: usize = Code::ALL.len();
const CAUSES: usize = Cause::ALL.len();
const LIMIT_WIDTH: usize = LimitCounter::ALL.len();

/// One shard's counters for one plan.
#[derive(Debug)]
pub struct Counters {
    shard: Box<[AtomicU64]>,
    routes: Box<[AtomicU64]>,
    grpc: Box<[AtomicU64]>,
    upstreams: Box<[AtomicU64]>,
    causes: Box<[AtomicU64]>,
    limits: Box<[AtomicU64]>,
    versions: Box<[AtomicU64]>,
}

impl Counters {
    /// Zeroes for a plan with that many routes, upstreams and policies.
    pub fn new(routes: usize, upstreams: usize, policies: usize) -> Counters {
        Counters {
            shard: zeroes(Counter::ALL.len()),
            routes: zeroes(routes * ROUTE_WIDTH),
            grpc: zeroes(routes * GRPC_WIDTH),
            upstreams: zeroes(upstreams * UPSTREAM_WIDTH),
            causes: zeroes(upstreams * CAUSES),
            limits: zeroes(policies * LIMIT_WIDTH),
            versions: Box::default(),
        }
    }

    /// The same, for a plan with that many versions of APIs.
    #[must_use]
    pub fn with_versions(self, versions: usize) -> Counters {
        Counters { versions: zeroes(versions), ..self }
    }

    /// Adds to a counter of the shard.
    pub fn add(&self, counter: Counter, count: u64) {
        bump(&self.shard[counter as usize], count);
    }

    /// Sets a level of the shard.
    pub fn set(&self, counter: Counter, level: u64) {
        self.shard[counter as usize].store(level, Ordering::Relaxed);
    }

    /// Reads a counter of the shard.
    pub fn value(&self, counter: Counter) -> u64 {
        self.shard[counter as usize].load(Ordering::Relaxed)
    }

    /// Adds to a counter of a route.
    pub fn add_route(&self, route: u32, counter: RouteCounter, count: u64) {
        bump(&self.routes[route as usize * ROUTE_WIDTH + counter as usize], count);
    }

    /// Reads a counter of a route.
    pub fn route_value(&self, route: u32, counter: RouteCounter) -> u64 {
        self.routes[route as usize * ROUTE_WIDTH + counter as usize].load(Ordering::Relaxed)
    }

    /// Was anything counted for a route?
    pub fn counts_route(&self, route: u32) -> bool {
        let (at, grpc_at) = (route as usize * ROUTE_WIDTH, route as usize * GRPC_WIDTH);
        counts(&self.routes[at..at + ROUTE_WIDTH]) || counts(&self.grpc[grpc_at..grpc_at + GRPC_WIDTH])
    }

    /// Counts a gRPC call on a route that ended with this code.
    pub fn add_grpc(&self, route: u32, code: Code) {
        bump(&self.grpc[route as usize * GRPC_WIDTH + usize::from(code.number())], 1);
    }

    /// A route's gRPC calls by status code.
    pub fn grpc_values(&self, route: u32) -> [u64; GRPC_WIDTH] {
        let start = route as usize * GRPC_WIDTH;
        std::array::from_fn(|code| self.grpc[start + code].load(Ordering::Relaxed))
    }

    /// Puts one latency into a route's histogram.
    pub fn observe(&self, route: u32, micros: u64) {
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < micros);
        bump(&self.routes[route as usize * ROUTE_WIDTH + RouteCounter::ALL.len() + bucket], 1);
        self.add_route(route, RouteCounter::MicrosTotal, micros);
    }

    /// A route's histogram: counts by bucket, not cumulative.
    pub fn latencies(&self, route: u32) -> [u64; BUCKETS] {
        let start = route as usize * ROUTE_WIDTH + RouteCounter::ALL.len();
        std::array::from_fn(|bucket| self.routes[start + bucket].load(Ordering::Relaxed))
    }

    /// Adds to a counter of a limit, by its policy.
    pub fn add_limit(&self, policy: u32, counter: LimitCounter, count: u64) {
        bump(&self.limits[policy as usize * LIMIT_WIDTH + counter as usize], count);
    }

    /// Sets a level of a limit.
    pub fn set_limit(&self, policy: u32, counter: LimitCounter, level: u64) {
        self.limits[policy as usize * LIMIT_WIDTH + counter as usize].store(level, Ordering::Relaxed);
    }

    /// Reads a counter of a limit.
    pub fn limit_value(&self, policy: u32, counter: LimitCounter) -> u64 {
        self.limits[policy as usize * LIMIT_WIDTH + counter as usize].load(Ordering::Relaxed)
    }

    /// Was anything counted for a limit?
    pub fn counts_limit(&self, policy: u32) -> bool {
        let at = policy as usize * LIMIT_WIDTH;
        counts(&self.limits[at..at + LIMIT_WIDTH])
    }

    /// Counts a request for a version of an API.
    pub fn add_version(&self, version: u32) {
        if let Some(requests) = self.versions.get(version as usize) {
            bump(requests, 1);
        }
    }

    /// Requests for a version of an API.
    pub fn version_value(&self, version: u32) -> u64 {
        self.versions.get(version as usize).map_or(0, |requests| requests.load(Ordering::Relaxed))
    }

    /// Was anything counted for an upstream?
    pub fn counts_upstream(&self, upstream: u32) -> bool {
        let at = upstream as usize * UPSTREAM_WIDTH;
        let causes_at = upstream as usize * CAUSES;
        counts(&self.upstreams[at..at + UPSTREAM_WIDTH]) || counts(&self.causes[causes_at..causes_at + CAUSES])
    }

    /// Adds to a counter of an upstream.
    pub fn add_upstream(&self, upstream: u32, counter: UpstreamCounter, count: u64) {
        bump(&self.upstreams[upstream as usize * UPSTREAM_WIDTH + counter as usize], count);
    }

    /// Counts a failed attempt of an upstream by its cause.
    pub fn add_cause(&self, upstream: u32, cause: Cause) {
        bump(&self.causes[upstream as usize * CAUSES + cause as usize], 1);
    }

    /// An upstream's failed attempts by cause.
    pub fn cause_values(&self, upstream: u32) -> [u64; CAUSES] {
        let start = upstream as usize * CAUSES;
        std::array::from_fn(|cause| self.causes[start + cause].load(Ordering::Relaxed))
    }

    /// Sets a level of an upstream.
    pub fn set_upstream(&self, upstream: u32, counter: UpstreamCounter, level: u64) {
        self.upstreams[upstream as usize * UPSTREAM_WIDTH + counter as usize].store(level, Ordering::Relaxed);
    }

    /// Reads a counter of an upstream.
    pub fn upstream_value(&self, upstream: u32, counter: UpstreamCounter) -> u64 {
        self.upstreams[upstream as usize * UPSTREAM_WIDTH + counter as usize].load(Ordering::Relaxed)
    }
}

/// Is one of them not zero?
fn counts(values: &[AtomicU64]) -> bool {
    values.iter().any(|value| value.load(Ordering::Relaxed) != 0)
}

fn zeroes(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn bump(value: &AtomicU64, count: u64) {
    value.store(value.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_their_buckets() {
        let counters = Counters::new(2, 1, 0);
        counters.observe(1, 250);
        counters.observe(1, 251);
        counters.observe(1, u64::MAX / 2);
        let buckets = counters.latencies(1);
        assert_eq!((buckets[0], buckets[1], buckets[BUCKETS - 1]), (1, 1, 1));
        assert_eq!(counters.latencies(0).iter().sum::<u64>(), 0);
    }
}
