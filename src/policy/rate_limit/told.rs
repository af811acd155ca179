// SPDX-License-Identifier: Apache-2.0
//! Hot. What clients are told of where they stand, in the fields of draft-ietf-httpapi-ratelimit-headers-11 and, by
//! choice, in those that other gateways send.
//!
//! The fields tell what this shard knows; other shards may hold more tokens. A new key has all its tokens. Where there
//! are several windows, the one that has least left comes first, and fields with room for one tell of it.

use std::time::Duration;

use crate::base::Wall;
use crate::base::ascii::push_decimal;
use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::Effects;
use crate::policy::limit::calendar::Unit;
use crate::policy::problem::REDUCED_CAPACITY;
use crate::policy::rate_limit::window::{Standing, Standings, Window, seconds};
use crate::wire::field::Known;
use crate::wire::patch::Patch;

/// What clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub sent: FieldsSent,
    /// In which fields, beside `Retry-After`.
    pub dialects: Box<[Dialect]>,
}

/// When clients are told where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldsSent {
    /// On every response; `Retry-After` on refusals.
    Always,
    /// Only `Retry-After`, and what stands for it in other fields, on refusals.
    OnRefusal,
    /// Nothing.
    Never,
}

/// Whose fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `RateLimit` and `RateLimit-Policy`.
    Ietf,
    /// `X-RateLimit-Limit`, `-Remaining`, `-Reset` (in seconds from now).
    XRateLimit,
    /// Kong's: `RateLimit-Limit`, `-Remaining`, `-Reset`, and `X-RateLimit-Limit-Minute`, `-Remaining-Minute` for each
    /// window that is as long as a unit of time.
    Kong,
    /// Traefik's: `X-Retry-In` on refusals.
    Traefik,
    /// GitHub's: as `XRateLimit` with `-Used` and `-Resource`, and `-Reset` as a Unix time.
    Github,
}

impl Default for Told {
    fn default() -> Told {
        // tidy(hot): once for a plan, by the compiler.
        Told { sent: FieldsSent::Always, dialects: Box::new([Dialect::Ietf]) }
    }
}

impl Told {
    /// Adds where a request stands, as far as it is known. Afterwards `standings` are in the order of what is left.
    pub(crate) fn standings(
        &self,
        (name, windows): (&str, &[Window]),
        standings: &mut Standings,
        wall: Wall,
        effects: &mut Effects,
    ) {
        if self.sent != FieldsSent::Always {
            return;
        }
        if standings.len() > 1 {
            standings.sort_unstable_by_key(|standing| standing.state.left);
        }
        let Some(tightest) = standings.first().copied() else { return };
        let Standing { state, .. } = tightest;
        let (quota, left) = (tightest.quota(windows), u64::from(state.left));
        let patch = &mut effects.to_client;
        for dialect in &self.dialects {
            match dialect {
                Dialect::Ietf => ietf(windows, standings, patch),
                Dialect::XRateLimit => {
                    add_number(patch, b"X-RateLimit-Limit", quota);
                    add_number(patch, b"X-RateLimit-Remaining", left);
                    add_number(patch, b"X-RateLimit-Reset", seconds(state.next));
                }
                Dialect::Kong => {
                    add_number(patch, b"RateLimit-Limit", quota);
                    add_number(patch, b"RateLimit-Remaining", left);
                    add_number(patch, b"RateLimit-Reset", seconds(state.next));
                    kong(windows, standings, patch);
                }
                Dialect::Traefik => {}
                Dialect::Github => {
                    add_number(patch, b"X-RateLimit-Limit", quota);
                    add_number(patch, b"X-RateLimit-Remaining", left);
                    add_number(patch, b"X-RateLimit-Used", quota.saturating_sub(left));
                    add_number(patch, b"X-RateLimit-Reset", wall.seconds().saturating_add(seconds(state.next)));
                    patch.add(b"X-RateLimit-Resource", name.as_bytes());
                }
            }
        }
    }

    /// Refuses what cannot be counted.
    pub(crate) fn unavailable<'p>(&self, reason: &'static str, name: &'p str, effects: &mut Effects) -> Decision<'p> {
        self.retry_after(Duration::ZERO, effects);
        let problem =
            Problem { kind: REDUCED_CAPACITY, title: "Temporarily out of capacity", detail: "", violated_policy: name };
        Decision::Respond(LocalResponse { status: 503, reason, body: LocalBody::Problem(problem) })
    }

    /// Adds when a refused client may come again.
    pub(crate) fn retry_after(&self, wait: Duration, effects: &mut Effects) {
        if self.sent == FieldsSent::Never {
            return;
        }
        add_number(&mut effects.to_client, b"Retry-After", seconds(wait));
        if self.dialects.contains(&Dialect::Traefik) {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            effects.to_client.add_with(b"X-Retry-In", |out| {
                push_decimal(out, millis / 1_000);
                let digit = |unit: u64| b'0' + (millis / unit % 10) as u8;
                out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b's']);
            });
        }
    }
}

fn add_number(patch: &mut Patch, name: &[u8], number: u64) {
    patch.add_with(name, |out| push_decimal(out, number));
}

fn ietf(windows: &[Window], standings: &Standings, patch: &mut Patch) {
    patch.add_known(Known::Other, b"RateLimit-Policy: ", |out| {
        for (number, standing) in standings.iter().enumerate() {
            separate(number, out);
            windows[standing.at].append_policy(standing.units, out);
        }
    });
    patch.add_known(Known::Other, b"RateLimit: ", |out| {
        for (number, standing) in standings.iter().enumerate() {
            separate(number, out);
            windows[standing.at].append_name(out);
            out.extend_from_slice(b";r=");
            push_decimal(out, u64::from(standing.state.left));
            out.extend_from_slice(b";t=");
            push_decimal(out, seconds(standing.state.next));
        }
    });
}

fn separate(number: usize, out: &mut Vec<u8>) {
    if number > 0 {
        out.extend_from_slice(b", ");
    }
}

/// A pair of fields for each window that Kong has a name for; it knows no weeks.
fn kong(windows: &[Window], standings: &Standings, patch: &mut Patch) {
    for standing in standings {
        let window = &windows[standing.at];
        let names: (&[u8], &[u8]) = match window.unit {
            Some(Unit::Second) => (b"X-RateLimit-Limit-Second", b"X-RateLimit-Remaining-Second"),
            Some(Unit::Minute) => (b"X-RateLimit-Limit-Minute", b"X-RateLimit-Remaining-Minute"),
            Some(Unit::Hour) => (b"X-RateLimit-Limit-Hour", b"X-RateLimit-Remaining-Hour"),
            Some(Unit::Day) => (b"X-RateLimit-Limit-Day", b"X-RateLimit-Remaining-Day"),
            Some(Unit::Month) => (b"X-RateLimit-Limit-Month", b"X-RateLimit-Remaining-Month"),
            Some(Unit::Week) | None => continue,
        };
        add_number(patch, names.0, standing.quota(windows));
        add_number(patch, names.1, u64::from(standing.state.left));
    }
}
