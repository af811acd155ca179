// SPDX-License-Identifier: Apache-2.0
//! The gateway's WebSocket limits in one world: time, message size, message rate.

use std::fmt::Write;

use crate::base::Rng;
use crate::sim::mood::FaultLevel;
use crate::sim::spoken::HttpVersion;
use crate::sim::websocket::path::path;

/// Limits on a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The idle timeout of both ends.
    pub idle_ms: u64,
    /// The longest lifetime.
    pub lifetime_ms: Option<u64>,
    /// Silence of one end after which the gateway sends it a ping.
    pub ping_ms: Option<u64>,
    /// Largest message.
    pub message_max: Option<u64>,
    /// Messages of a client per second.
    pub rate: Option<u64>,
    /// How late the gateway and the network may be after a timeout.
    pub slack_ms: u64,
}

impl Limits {
    /// Minutes in a calm world, so that well-behaved ends stay below them; seconds in a wild one.
    pub fn draw(rng: &mut Rng, mood: FaultLevel) -> Limits {
        let wild = mood == FaultLevel::Wild;
        let (unit, slack_ms) = if wild { (1_000, 600_000) } else { (60_000, 120_000) };
        let some = |rng: &mut Rng, value: u64| rng.chance(400).then_some(value);
        let (lifetime, ping) = (unit * (4 + rng.below(if wild { 60 } else { 10 })), unit * (5 + rng.below(5)));
        let (message, rate) = (1_000 + rng.below(20_000), 5 + rng.below(100));
        Limits {
            idle_ms: match wild {
                true if rng.chance(700) => 500 + rng.below(60_000),
                true => 3_600_000,
                false => 10 * unit,
            },
            lifetime_ms: some(rng, lifetime),
            ping_ms: some(rng, ping),
            message_max: some(rng, message),
            rate: some(rng, rate).filter(|_| wild),
            slack_ms,
        }
    }

    /// The route of WebSockets to origins of the version `spoken`.
    pub fn toml(&self, spoken: HttpVersion, tries: u64) -> String {
        let prefix = path(spoken, "");
        let (prefix, upstream) = (prefix.trim_end_matches('/'), spoken.upstream());
        let mut rules = String::new();
        if let Some(ping_ms) = self.ping_ms {
            let _ = write!(rules, "ping = \"{ping_ms}ms\", ");
        }
        if let Some(bytes) = self.message_max {
            let _ = write!(rules, "message = \"{bytes}B\", ");
        }
        if let Some(rate) = self.rate {
            let _ = write!(rules, "rate = \"{rate}/s\", ");
        }
        let rules = rules.trim_end_matches(", ");
        let lifetime = self.lifetime_ms.map_or("off".to_owned(), |millis| format!("{millis}ms"));
        format!(
            r#"
            [[route]]
            path_prefix = "{prefix}"
            to = "{upstream}"
            retry = {{ tries = {tries} }}
            timeouts = {{ tunnel = "{}ms", tunnel_lifetime = "{lifetime}" }}
            websocket = {{ {rules} }}
            "#,
            self.idle_ms
        )
    }
}
