// SPDX-License-Identifier: Apache-2.0
//! What a seed decides: the number of clients and origins, their behaviour, network faults, and the gateway's
//! configuration.
//!
//! A fault is drawn in two steps: whether this run has this kind at all, and then how often. Runs with few kinds of
//! faults reach states that runs with all kinds never reach.

use std::fmt::Write;
use std::time::Duration;

use crate::base::{Address, Rng};
use crate::net::sim::Faults;
use crate::sim::grpc;
use crate::sim::ledger::Expectations;
use crate::sim::mesh::Delays;
use crate::sim::message_io::Pace;
use crate::sim::mood::FaultLevel;
use crate::sim::spoken::HttpVersion;
use crate::sim::websocket;
use crate::wire::h2::connection;
use crate::wire::h2::flood::{Flood, FloodLimits, Limit};

/// One run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its seed.
    pub seed: u64,
    /// How bad it is.
    pub mood: FaultLevel,
    /// Without a gateway: clients connect to one origin, which tests the simulator's own two sides.
    pub direct: bool,
    /// Shards of the gateway.
    pub shards: usize,
    /// Origins behind it that speak HTTP/1.
    pub origins: usize,
    /// Origins behind it that speak HTTP/2.
    pub origins_two: usize,
    /// Concurrent clients, by turns of HTTP/1 and HTTP/2.
    pub clients: u64,
    /// Connections that each makes, one after another.
    pub connections: u64,
    /// Requests on one connection at most.
    pub requests: u64,
    /// Most pipelined requests of a client.
    pub depth: usize,
    /// Streams that a HTTP/2 client has open at most.
    pub streams: usize,
    /// Longest body.
    pub body_max: u64,
    /// Tries of one request, as configured.
    pub tries: u64,
    /// New plans while it runs.
    pub reloads: u64,
    /// Endpoint changes during the run: removed, reordered, down, up.
    pub meddles: u64,
    /// Concurrent requests to all origins; more are queued. Zero is no limit.
    pub requests_max: u64,
    /// The gateway drains while clients still come.
    pub drains_early: bool,
    /// Of a thousand requests, how many clients leave half-way.
    pub leaves: u64,
    /// Of a thousand requests, how many an origin treats badly.
    pub misdeeds: u64,
    /// Of a thousand requests, how many stop half-way without closing.
    pub stalls: u64,
    /// Times that an origin is killed and comes back.
    pub crashes: u64,
    /// Of a thousand connections, how many a client keeps open and silent at the end.
    pub lingers: u64,
    /// Of a thousand reads and writes, how many come after a pause.
    pub pauses: u64,
    /// Of a thousand streams, how many an origin refuses.
    pub refusals: u64,
    /// Of a thousand requests at an HTTP/2 origin, behind how many it says GOAWAY.
    pub goaways: u64,
    /// Of a thousand connections (HTTP/1) and streams (HTTP/2), how many are WebSockets.
    pub talks: u64,
    /// HTTP/2 clients that mean harm.
    pub hostile: u64,
    /// Of a thousand connections (HTTP/1) and streams (HTTP/2), how many are gRPC calls.
    pub calls: u64,
    /// The gateway compresses content from so many bytes on.
    pub compresses_from: Option<u64>,
    /// What holds of calls.
    pub grpc: grpc::Limits,
    /// What holds of WebSockets.
    pub websocket: websocket::Limits,
    /// Messages between shards.
    pub between_shards: Delays,
    /// The network between clients and gateway.
    pub outside: Faults,
    /// The network between gateway and origins.
    pub inside: Faults,
}

impl Scenario {
    /// The run of `seed`.
    pub fn draw(seed: u64) -> Scenario {
        let mut rng = Rng::new(seed ^ 0x5EED);
        let mood = match rng.below(10) {
            0..=2 => FaultLevel::Calm,
            3 => FaultLevel::Bulk,
            _ => FaultLevel::Wild,
        };
        Scenario::of_mood(seed, mood, &mut rng)
    }

    /// A run with this level of faults, whatever the seed would draw.
    pub fn of_mood(seed: u64, mood: FaultLevel, rng: &mut Rng) -> Scenario {
        let wild = mood == FaultLevel::Wild;
        let network = |rng: &mut Rng| match mood {
            FaultLevel::Calm => Faults::rough(rng),
            FaultLevel::Bulk => Faults { window: (1_000, 100_000), latency_us: (50, 5_000), ..Faults::none() },
            FaultLevel::Wild => Faults::drawn(rng),
        };
        let body_max = if mood == FaultLevel::Bulk { 1_500_000 } else { [100, 5_000, 60_000][rng.below(3) as usize] };
        let (mut outside, mut inside) = (network(rng), network(rng));
        if body_max > 5_000 {
            // Long bodies sent byte by byte find nothing that short ones do not, and take a thousand times as long.
            (outside.pieces, inside.pieces) = ((200, 2_000), (200, 2_000));
        }
        let sometimes = |rng: &mut Rng, most: u64| if wild && rng.chance(500) { 1 + rng.below(most) } else { 0 };
        Scenario {
            seed,
            mood,
            direct: false,
            shards: 1 + rng.below(2) as usize,
            origins: 1 + rng.below(2) as usize,
            origins_two: 1 + rng.below(2) as usize,
            clients: if mood == FaultLevel::Bulk { 2 } else { 2 + rng.below(5) },
            connections: 1 + rng.below(3),
            requests: if mood == FaultLevel::Bulk { 2 } else { 1 + rng.below(8) },
            depth: 1 + rng.below(3) as usize,
            streams: 1 + rng.below(8) as usize,
            body_max,
            tries: 1 + rng.below(3),
            reloads: if rng.chance(300) { 1 + rng.below(4) } else { 0 },
            meddles: if rng.chance(300) { 1 + rng.below(8) } else { 0 },
            requests_max: if rng.chance(300) { 1 + rng.below(4) } else { 0 },
            drains_early: rng.chance(150),
            leaves: sometimes(rng, 200),
            misdeeds: sometimes(rng, 400),
            stalls: sometimes(rng, 100),
            crashes: sometimes(rng, 4),
            lingers: rng.below(500),
            pauses: sometimes(rng, 100) + u64::from(mood == FaultLevel::Bulk) * 20,
            refusals: if rng.chance(400) { 1 + rng.below(150) } else { 0 },
            goaways: if rng.chance(400) { 1 + rng.below(100) } else { 0 },
            talks: if rng.chance(500) { 50 + rng.below(400) } else { 0 },
            hostile: if rng.chance(200) { 1 + rng.below(2) } else { 0 },
            calls: if rng.chance(500) { 50 + rng.below(400) } else { 0 },
            // In bulk it is measured how much the gateway holds, and coded content is a small part of what it was.
            compresses_from: (mood != FaultLevel::Bulk && rng.chance(500)).then(|| rng.below(500)),
            grpc: grpc::Limits::draw(rng, mood, body_max),
            websocket: websocket::Limits::draw(rng, mood),
            between_shards: Delays { micros: (20, 400), stall_ms_max: 0 },
            outside,
            inside,
        }
    }

    /// The same run with a queue for one request at a time, and endpoints that come and go.
    #[cfg(test)]
    pub fn crowded(self) -> Scenario {
        Scenario { requests_max: 1, meddles: 60, clients: self.clients.max(6), ..self }
    }

    /// The same without a gateway.
    pub fn without_gateway(mut self) -> Scenario {
        self.direct = true;
        self.depth = 1;
        self.origins = 1;
        self.origins_two = 1;
        // Without a gateway nothing is retried, and no client is asked to leave.
        self.refusals = 0;
        self.goaways = 0;
        self.drains_early = false;
        self.hostile = 0;
        // Without a gateway these waits would not end: an origin has no timeouts.
        self.lingers = 0;
        self.stalls = 0;
        self
    }

    /// What the ledger demands of it.
    pub fn demands(&self) -> Expectations {
        let windows = self.outside.window.1 + self.inside.window.1;
        Expectations {
            all_answered: self.mood != FaultLevel::Wild,
            // An attempt on a kept-alive connection that turned out closed is not counted, up to a few.
            attempts_max: self.tries as usize + 3,
            between_max: windows as u64 + GATEWAY_HOLDS_MAX + 2 * PEER_HOLDS_MAX,
        }
    }

    /// What the book of WebSockets demands of it.
    pub fn talk_demands(&self) -> websocket::Expectations {
        let calm = self.mood != FaultLevel::Wild;
        websocket::Expectations { calm, limits: self.websocket.clone(), tries_max: self.tries as usize + 3 }
    }

    /// What the book of calls demands of it.
    pub fn call_demands(&self) -> grpc::Expectations {
        let calm = self.mood != FaultLevel::Wild;
        grpc::Expectations { calm, limits: self.grpc.clone(), tries_max: self.tries as usize + 3 }
    }

    /// How fast somebody reads and writes.
    pub fn pace(&self, rng: &mut Rng) -> Pace {
        let piece_max = match rng.below(4) {
            0 if self.body_max <= 5_000 => 3,
            1 => 300,
            _ => 20_000,
        };
        let pause_ms_max = [10, 500, 20_000][rng.below(3) as usize];
        Pace { rng: Rng::new(rng.next_u64()), pauses: self.pauses, pause_ms_max, pauses_left: 30, piece_max }
    }

    /// How fast an HTTP/2 end reads and writes. The gateway closes a connection to an origin that answers no PING for
    /// half a minute, so in calm worlds its pauses are short.
    pub fn pace_two(&self, rng: &mut Rng) -> Pace {
        let pace = self.pace(rng);
        let most = if self.mood == FaultLevel::Wild { pace.pause_ms_max } else { pace.pause_ms_max.min(500) };
        Pace { pause_ms_max: most, ..pace }
    }

    /// The network between the gateway and origins that speak `spoken`: for the same reason not too slow.
    pub fn inside(&self, spoken: HttpVersion) -> Faults {
        match spoken {
            HttpVersion::Two if self.mood != FaultLevel::Wild => Faults { slow: 0, ..self.inside.clone() },
            HttpVersion::One | HttpVersion::Two => self.inside.clone(),
        }
    }

    /// Longest wait for one step of the gateway, far above every configured timeout.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(4 * 3_600)
    }

    /// What an end of HTTP/2 allows the other: windows down to a few bytes, where bodies are short.
    pub fn http2(&self, rng: &mut Rng) -> connection::Config {
        let least = if self.body_max > 5_000 { 8_000 } else { 256 };
        let wide = self.mood == FaultLevel::Bulk || rng.chance(400);
        connection::Config {
            streams_max: if self.mood == FaultLevel::Wild { 1 + rng.below(20) as u32 } else { 200 },
            stream_window: if wide { 65_535 } else { least + rng.below(30_000) as u32 },
            connection_window: if rng.chance(500) { 65_535 } else { 65_535 + rng.below(1_000_000) as u32 },
            // A network that delivers byte by byte makes one frame of each byte.
            flood: FloodLimits::default()
                .with(Flood::TinyData, Limit { burst: 1_000_000, per_second: 10_000 })
                .with(Flood::Ignored, Limit { burst: 1_000_000, per_second: 10_000 })
                // The gateway resets upstream streams for those that hostile clients reset.
                .with(Flood::RapidReset, Limit { burst: 1_000_000, per_second: 10_000 }),
            ..connection::Config::default()
        }
    }

    /// The gateway's configuration. Each generation differs from the one before, so that a reload changes something.
    pub fn toml(&self, generation: u64, listen: &Address, origins: &[Vec<Address>; 2]) -> String {
        let mut rng = Rng::new(self.seed ^ generation.wrapping_mul(0xC0FF_EE00_1234_5678));
        let Scenario { shards, tries, .. } = self;
        let timeouts = self.timeouts(&mut rng);
        let [one, two] = HttpVersion::ALL.map(|spoken| self.upstream(&mut rng, spoken, &origins[spoken as usize]));
        let http2 = self.listener_http2(&mut rng);
        let calls = self.grpc.toml(*tries);
        let (policy, named) = match self.compresses_from {
            None => (String::new(), ""),
            Some(least) => {
                let level = 1 + rng.below(9);
                let text = format!("[policy.gzip]\ncompression = {{ min_length = {least}, level = {level} }}");
                (text, "policies = \"gzip\"")
            }
        };
        let [talk_one, talk_two] = HttpVersion::ALL.map(|spoken| self.websocket.toml(spoken, *tries));
        // A connection that closes after so many requests refuses the next one only if it was pipelined.
        let requests = if self.mood == FaultLevel::Wild && rng.chance(300) { 1 + rng.below(5) } else { 1_000_000 };
        format!(
            r#"
            [server]
            shards = {shards}
            pin = false
            watch = false
            [log.access]
            path = "simulated.log"
            [defaults.timeouts]
            {timeouts}
            [defaults.limits]
            body = "16MiB"
            requests_per_connection = {requests}
            [[listener]]
            name = "web"
            bind = "{listen}"
            {http2}
            {one}
            {two}
            {policy}
            [[route]]
            path_prefix = "/one"
            {named}
            to = "one"
            retry = {{ tries = {tries}, statuses = [503] }}
            response_headers = {{ set = {{ "x-generation" = "{generation}" }} }}
            [[route]]
            path_prefix = "/two"
            {named}
            to = "two"
            retry = {{ tries = {tries}, statuses = [503] }}
            response_headers = {{ set = {{ "x-generation" = "{generation}" }} }}
            {talk_one}
            {talk_two}
            {calls}
            "#
        )
    }

    /// Timeouts are short in a wild world and an hour in others, where nothing may time out.
    fn timeouts(&self, rng: &mut Rng) -> String {
        let wild = self.mood == FaultLevel::Wild;
        let mut text = String::new();
        let names = ["head", "body", "keep_alive", "write", "connect", "queue", "first_byte", "idle", "tunnel"];
        for name in names {
            let time = if wild { format!("{}ms", 500 + rng.below(60_000)) } else { "1h".to_owned() };
            let _ = writeln!(text, "{name} = \"{time}\"");
        }
        if !wild {
            text.push_str("rate_grace = \"1h\"\n");
        }
        if wild && self.seed.is_multiple_of(3) {
            let _ = writeln!(text, "total = \"{}ms\"", 500 + rng.below(120_000));
        }
        text
    }

    /// The gateway's limits for HTTP/2 connections. Calm clients must stay well below them.
    fn listener_http2(&self, rng: &mut Rng) -> String {
        let streams = if self.mood == FaultLevel::Wild { 1 + rng.below(20) } else { 100 };
        let window = 64 + rng.below(200);
        format!("http2 = {{ cleartext = true, streams = {streams}, stream_window = \"{window}KiB\" }}")
    }

    /// An upstream: its origins, limits and pool.
    fn upstream(&self, rng: &mut Rng, spoken: HttpVersion, origins: &[Address]) -> String {
        let wild = self.mood == FaultLevel::Wild;
        let outlier = wild && self.seed.is_multiple_of(2);
        let mut pool = format!("idle = {}, idle_timeout = \"30s\"", 1 + rng.below(6));
        if rng.chance(300) {
            let _ = write!(pool, ", requests_per_connection = {}, age_max = \"20s\"", 1 + rng.below(4));
        }
        let limits = match (self.requests_max, spoken) {
            (0, _) => String::new(),
            (most, _) if wild => format!("limits = {{ requests = {most}, endpoint_requests = {most}, queue = 3 }}"),
            (most, HttpVersion::One) => format!("limits = {{ requests = {most}, connections = {most} }}"),
            // A connection that is still closing counts beside its successor.
            (most, HttpVersion::Two) => format!("limits = {{ requests = {most} }}"),
        };
        let balance = ["round_robin", "least_requests", "p2c", "ewma"][(self.seed % 4) as usize];
        let endpoints: Vec<String> = origins.iter().map(|address| format!("\"{address}\"")).collect();
        let (name, endpoints) = (spoken.upstream(), endpoints.join(", "));
        let http = match spoken {
            HttpVersion::One => "1.1",
            HttpVersion::Two => "2",
        };
        format!(
            r#"
            [upstream.{name}]
            http = "{http}"
            balance = "{balance}"
            endpoints = [{endpoints}]
            outlier = {outlier}
            pool = {{ {pool} }}
            {limits}
            "#
        )
    }
}

/// Bytes of one body that the gateway may hold in one direction: its largest buffer twice, what it keeps for a retry,
/// and the window of a stream.
const GATEWAY_HOLDS_MAX: u64 = (700 + 264) * 1_024;
/// Bytes of one body that an end of HTTP/2 may hold: its window, and what it has queued.
const PEER_HOLDS_MAX: u64 = 100 * 1_024;
