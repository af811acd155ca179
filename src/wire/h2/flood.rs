// SPDX-License-Identifier: Apache-2.0
//! Limits frames that are cheap for the peer and costly for the gateway: each kind has a leaky bucket, whose level
//! rises with every frame and falls with time.
//!
//! Above its cap the connection ends with GOAWAY ENHANCE_YOUR_CALM (RFC 9113 section 10.5). Useful
//! requests lower the level, so that long-lived and busy connections do not reach a cap.

use crate::base::Tick;

/// A kind of flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// The peer resets streams that it opened (CVE-2023-44487). A stream that completes gives credit for one.
    RapidReset,
    /// The peer breaks rules so that we reset its streams (CVE-2025-8671).
    ErrorReset,
    /// Streams above the limit, which we refuse: half-open streams held on purpose, or a limit that is not kept.
    Refused,
    /// CONTINUATION frames of one block (RUSTSEC-2024-0332); its bytes have a cap of their own.
    Continuation,
    /// SETTINGS, each to be acknowledged and applied (CVE-2019-9515), and acknowledgements of none.
    Settings,
    /// PING, each to be answered (CVE-2019-9512), and answers to none.
    Ping,
    /// DATA without content that does not end its stream (CVE-2019-9518).
    EmptyData,
    /// DATA with very little content.
    TinyData,
    /// WINDOW_UPDATE without a like amount of DATA from us.
    WindowUpdate,
    /// Windows kept so small that our DATA leaves in crumbs (CVE-2019-9511).
    Dribble,
    /// PRIORITY and PRIORITY_UPDATE (CVE-2019-9513).
    Priority,
    /// Header lists above the cap, as compression bombs make them.
    HeaderList,
    /// Frames that change nothing: of unknown type, on closed streams, GOAWAY again and again.
    Ignored,
    /// Bytes of answers that wait because the peer does not read them (CVE-2019-9514).
    Output,
}

impl Flood {
    /// Every kind, in order of `index`.
    pub const ALL: [Flood; 14] = [
        Flood::RapidReset,
        Flood::ErrorReset,
        Flood::Refused,
        Flood::Continuation,
        Flood::Settings,
        Flood::Ping,
        Flood::EmptyData,
        Flood::TinyData,
        Flood::WindowUpdate,
        Flood::Dribble,
        Flood::Priority,
        Flood::HeaderList,
        Flood::Ignored,
        Flood::Output,
    ];

    /// Its place in tables.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The limit of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// As many at once.
    pub burst: u32,
    /// As many more each second. Zero where the burst is a cap on what stands at one time.
    pub per_second: u32,
}

/// The limits of every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloodLimits([Limit; Flood::ALL.len()]);

impl FloodLimits {
    /// The limit of one kind.
    pub const fn of(&self, kind: Flood) -> Limit {
        self.0[kind.index()]
    }

    /// The same limits but for one kind. A burst counts up to one million.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn with(mut self, kind: Flood, limit: Limit) -> FloodLimits {
        self.0[kind.index()] = limit;
        self
    }
}

impl Default for FloodLimits {
    fn default() -> FloodLimits {
        let limit = |kind| match kind {
            // A browser that leaves a page resets all of its up to a hundred streams at once.
            Flood::RapidReset => (200, 20),
            // Honest clients make hardly any mistake; a broken one gets away with ten a second.
            Flood::ErrorReset => (100, 10),
            // Clients may open hundreds of streams before they have read our SETTINGS.
            Flood::Refused => (1_000, 100),
            // The largest block that we take fits into four full frames.
            Flood::Continuation => (64, 0),
            Flood::Settings => (50, 5),
            // gRPC measures its window with a PING for each batch of DATA; DATA gives credit.
            Flood::Ping => (200, 20),
            Flood::EmptyData => (100, 10),
            // Streaming RPCs send messages of a few bytes.
            Flood::TinyData => (20_000, 10_000),
            // Each of our DATA frames may be answered for the stream and the connection; DATA gives credit.
            Flood::WindowUpdate => (2_000, 200),
            Flood::Dribble => (1_000, 20),
            // Some clients build a tree of priorities first, and one frame for each request.
            Flood::Priority => (200, 20),
            Flood::HeaderList => (20, 1),
            // Much can be on its way when we reset an upload.
            Flood::Ignored => (5_000, 200),
            // Bytes: 3 800 answers to PING.
            Flood::Output => (64 * 1024, 0),
        };
        FloodLimits(Flood::ALL.map(|kind| {
            let (burst, per_second) = limit(kind);
            Limit { burst, per_second }
        }))
    }
}

/// What one connection's peer has done lately.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    levels: [Level; Flood::ALL.len()],
}

/// Thousandths, so that leaking by the millisecond loses nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    thousandths: u32,
    /// When it last leaked, in milliseconds; it may wrap around, which only forgives less.
    at_ms: u32,
}

/// A kind reached its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flooded(pub Flood);

impl Counters {
    /// Counts one frame.
    pub fn count(&mut self, kind: Flood, limits: &FloodLimits, now: Tick) -> Result<(), Flooded> {
        let limit = limits.of(kind);
        let level = &mut self.levels[kind.index()];
        let now_ms = (now.nanos() / 1_000_000) as u32;
        let leaked = limit.per_second.saturating_mul(now_ms.wrapping_sub(level.at_ms));
        level.at_ms = now_ms;
        level.thousandths = level.thousandths.saturating_sub(leaked).saturating_add(1_000);
        if level.thousandths > limit.burst.saturating_mul(1_000) { Err(Flooded(kind)) } else { Ok(()) }
    }

    /// Takes `count` back: the peer did something useful.
    pub fn credit(&mut self, kind: Flood, count: u32) {
        let level = &mut self.levels[kind.index()];
        level.thousandths = level.thousandths.saturating_sub(count.saturating_mul(1_000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_distinct() {
        for (at, kind) in Flood::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), at);
        }
    }

    #[test]
    fn a_level_rises_and_leaks() {
        let limits = FloodLimits::default().with(Flood::Ping, Limit { burst: 10, per_second: 5 });
        let mut counters = Counters::default();
        let start = Tick::ZERO.after_ms(1_000_000);
        for _ in 0..10 {
            assert_eq!(counters.count(Flood::Ping, &limits, start), Ok(()));
        }
        assert_eq!(counters.count(Flood::Ping, &limits, start), Err(Flooded(Flood::Ping)));
        // The one too many counts as well.
        assert_eq!(counters.count(Flood::Ping, &limits, start.after_ms(200)), Err(Flooded(Flood::Ping)));
        assert_eq!(counters.count(Flood::Ping, &limits, start.after_ms(600)), Ok(()));
        counters.credit(Flood::Ping, 10);
        for _ in 0..10 {
            assert_eq!(counters.count(Flood::Ping, &limits, start.after_ms(600)), Ok(()));
        }
        assert_eq!(counters.count(Flood::Settings, &limits, start), Ok(()));
    }

    /// What stays just below the rate never reaches the cap, in days, and around the wrap of the milliseconds.
    #[test]
    fn a_steady_rate_is_borne_for_ever() {
        let limits = FloodLimits::default();
        for kind in Flood::ALL.into_iter().filter(|kind| limits.of(*kind).per_second > 0) {
            let gap_ms = 1_000_u64.div_ceil(u64::from(limits.of(kind).per_second));
            let mut counters = Counters::default();
            let mut now = Tick::ZERO.after_ms(u64::from(u32::MAX) - 5_000);
            for _ in 0..200_000 {
                assert_eq!(counters.count(kind, &limits, now), Ok(()));
                now = now.after_ms(gap_ms);
            }
        }
    }
}
