// SPDX-License-Identifier: Apache-2.0
//! Hot. Requests per time for every key, exact over all shards (`limit`), with `RateLimit` and `RateLimit-Policy`
//! fields as draft-ietf-httpapi-ratelimit-headers-11 has them, `Retry-After`, and a problem body.
//!
//! `RateLimit` tells what this shard knows; other shards may hold more tokens. A new key has all its tokens.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;

use crate::base::Tick;
use crate::base::ascii::push_decimal;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::{Effects, Facts, Outcome};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::gcra::Rate;
use crate::policy::limit::{Charge, LimitId, LimitState, Part, Shards, Taken, Terms};
use crate::policy::phase::Phase;
use crate::policy::problem::{QUOTA_EXCEEDED, REDUCED_CAPACITY};
use crate::policy::text::append_field_string;
use crate::wire::template::Lookup;

/// A rate limit.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name; goes into `RateLimit` and identifies it over reloads.
    pub name: Arc<str>,
    /// How many, and how many at once.
    pub rate: Rate,
    /// What is counted apart from each other.
    pub key: Key,
    /// Whether routes that share the policy share the counts.
    pub scope: Scope,
    /// The status of a refusal, usually 429.
    pub status: u16,
    /// What a refused client reads as `detail`; may be empty.
    pub detail: Box<str>,
    /// Whether clients are told where they stand.
    pub fields: FieldsSent,
    /// Whether it refuses at all.
    pub mode: Mode,
    /// Ranges of statuses, both ends included: only requests that are answered with one of them count. Empty where all
    /// count. A request without a response counts in any case, so that nobody gets around the limit by leaving early.
    pub counted: Box<[(u16, u16)]>,
    /// Keys that all shards together remember. Above it the fullest make room.
    pub keys_max: usize,
    /// How long a request waits for another shard at the first touch of a key, or when the shard's own tokens are used
    /// up.
    pub wait: Duration,
    /// What happens to a request that cannot be counted: it waited in vain, because another shard is overloaded, or its
    /// key has no room.
    pub uncountable: OnTrouble,
    /// The seed of the hash of keys, so that no client can make its key collide with another's. Random, and the same on
    /// all shards for the life of the process.
    pub hash_seed: u64,
}

/// What it remembers of a request.
#[derive(Debug, Default)]
pub struct Memo {
    /// What the request is counted by, so that it is hashed once.
    key: u64,
    /// What is to be done once the response is known.
    pending: Pending,
}

/// What a request leaves open until its response is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pending {
    /// Nothing.
    #[default]
    Nothing,
    /// It holds a slot, of terms with this version.
    Slot(u32),
    /// It was not counted.
    Count,
}

/// What is counted apart from each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The client's address, by its first bits.
    Address {
        /// Of an IPv4 address, 0 to 32.
        v4_prefix: u8,
        /// Of an IPv6 address, 0 to 128. One client usually has a whole /64.
        v6_prefix: u8,
    },
    /// The identified consumer; where there is none, the address (/32, /64).
    Consumer,
    /// The value of this request field. Where it is missing or has several lines, the address (/32, /64): a client
    /// could vary the line that the origin does not read.
    Header(Box<[u8]>),
    /// Everything together.
    Everything,
}

/// Whether routes that share the policy share the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// They do.
    Shared,
    /// Each route counts for itself.
    PerRoute,
}

/// Whether clients are told where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldsSent {
    /// `RateLimit` and `RateLimit-Policy` on every response; `Retry-After` on refusals.
    Always,
    /// Only `Retry-After` on refusals.
    OnRefusal,
    /// Nothing.
    Never,
}

/// Whether it refuses at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It counts, notes in `Effects::reported` what it would refuse, never makes a request wait, and lets everything
    /// pass. A refusal that would be known only after a wait is counted and not noted.
    Report,
}

/// What happens to a request that cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrouble {
    /// 503 with `Retry-After: 1`.
    Unavailable,
    /// Refused as if the limit were used up.
    Refuse,
    /// Let through uncounted.
    Admit,
}

impl Kind for Plan {
    type State = Box<Part>;
    type Memo = Memo;

    /// Limits by address protect what identifies clients; the others need to know who it is.
    fn phase(&self) -> Phase {
        match self.key {
            Key::Address { .. } => Phase::Screen,
            Key::Consumer | Key::Header(_) | Key::Everything => Phase::Admit,
        }
    }

    fn decide<L: Lookup>(&self, part: &mut Box<Part>, call: Call<'_, L, Memo>) -> Decision<'_> {
        let key = self.key_of(call.facts);
        call.memo.key = key;
        let taken = part.take(key, 1, call.now);
        self.judge(taken, part, call)
    }

    fn resume<L: Lookup>(
        &self,
        part: &mut Box<Part>,
        call: Call<'_, L, Memo>,
        outcome: AskOutcome<'_>,
    ) -> Decision<'_> {
        match outcome {
            AskOutcome::Woken => {
                let taken = part.retake(call.memo.key, 1, call.now);
                self.judge(taken, part, call)
            }
            AskOutcome::Expired | AskOutcome::Failed | AskOutcome::Subrequest(_) => {
                let Some(standing) = part.take_here(call.memo.key, 1, call.now) else {
                    return self.trouble("rate_limit_wait", call.effects);
                };
                self.pass(standing, part, call)
            }
        }
    }

    fn settle(&self, part: &mut Box<Part>, memo: &mut Memo, outcome: Outcome, now: Tick) {
        let counts = match outcome {
            Outcome::Status(status) => self.counted.iter().any(|(first, last)| (*first..=*last).contains(&status)),
            Outcome::NoResponse => true,
        };
        let charge = if counts { Charge::Counted } else { Charge::Returned };
        match (std::mem::take(&mut memo.pending), charge) {
            (Pending::Slot(version), charge) => part.release(memo.key, version, charge, now),
            (Pending::Count, Charge::Counted) => match part.take(memo.key, 1, now) {
                Taken::Yes(_) | Taken::NoRoom => {}
                Taken::No(_) => part.report(),
                Taken::Wait => part.owe(memo.key, 1),
            },
            (Pending::Count, Charge::Returned) | (Pending::Nothing, _) => {}
        }
    }

    fn limit(&self) -> Option<(LimitId, Rate)> {
        Some((self.limit_id(), self.rate))
    }

    fn needs_route(&self) -> Option<&'static str> {
        (self.scope == Scope::PerRoute).then_some("`per_route`")
    }

    fn needs_consumer(&self) -> bool {
        self.key == Key::Consumer
    }
}

impl ShardState<Plan> for Box<Part> {
    fn new(plan: &Plan, shards: Shards, generation: u32) -> Box<Part> {
        let terms = Terms { version: generation, rate: plan.rate };
        // tidy(hot): once for a shard and a plan; most policies keep nothing, so what they share is small.
        Box::new(Part::new(plan.limit_id(), terms, shards, plan.keys_max))
    }

    fn part(&mut self) -> Option<&mut Part> {
        Some(self)
    }
}

impl Plan {
    /// A limit with everything else as most users want it.
    pub fn new(name: &str, rate: Rate, key: Key) -> Plan {
        Plan {
            name: Arc::from(name),
            rate,
            key,
            scope: Scope::Shared,
            status: 429,
            detail: Box::from(""),
            fields: FieldsSent::Always,
            mode: Mode::Enforce,
            counted: Box::default(),
            keys_max: 100_000,
            wait: Duration::from_secs(1),
            uncountable: OnTrouble::Unavailable,
            hash_seed: 0,
        }
    }

    /// Equal where a new plan counts the same things under the same name, at whatever rate. A limit whose identity
    /// changed, and every limit of a new process, starts full.
    pub fn limit_id(&self) -> LimitId {
        let mut hasher = self.hasher();
        (&*self.name, &self.key, self.scope).hash(&mut hasher);
        LimitId(hasher.finish())
    }

    fn judge<L>(&self, taken: Taken, part: &mut Part, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        match taken {
            Taken::Yes(standing) => self.pass(standing, part, Call { facts, effects, memo, now }),
            Taken::No(standing) => {
                if self.mode == Mode::Report {
                    part.report();
                    effects.reported = Some("rate_limited");
                    return Decision::Pass;
                }
                self.add_fields(standing, effects);
                self.refuse(seconds(standing.next), effects)
            }
            Taken::Wait => match self.mode {
                Mode::Enforce => Decision::Ask(Ask::Peer { key: memo.key, until: now.after(self.wait) }),
                Mode::Report if self.counted.is_empty() => {
                    part.owe(memo.key, 1);
                    Decision::Pass
                }
                Mode::Report => {
                    part.forgo(memo.key, 1);
                    memo.pending = Pending::Count;
                    effects.settles = true;
                    Decision::Pass
                }
            },
            Taken::NoRoom => self.trouble("rate_limit_no_room", effects),
        }
    }

    /// A token was taken.
    fn pass<L>(&self, standing: LimitState, part: &mut Part, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { effects, memo, now, .. } = call;
        if !self.counted.is_empty()
            && let Some(version) = part.hold(memo.key, now)
        {
            memo.pending = Pending::Slot(version);
            effects.settles = true;
        }
        self.add_fields(standing, effects);
        Decision::Pass
    }

    fn trouble(&self, reason: &'static str, effects: &mut Effects) -> Decision<'_> {
        if self.mode == Mode::Report {
            effects.reported = Some(reason);
            return Decision::Pass;
        }
        match self.uncountable {
            OnTrouble::Admit => {
                effects.reported = Some(reason);
                Decision::Pass
            }
            OnTrouble::Refuse => self.refuse(1, effects),
            OnTrouble::Unavailable => {
                self.add_retry_after(1, effects);
                let problem = Problem {
                    kind: REDUCED_CAPACITY,
                    title: "Temporarily out of capacity",
                    detail: "",
                    violated_policy: &self.name,
                };
                Decision::Respond(LocalResponse { status: 503, reason, body: LocalBody::Problem(problem) })
            }
        }
    }

    fn refuse(&self, retry_after: u64, effects: &mut Effects) -> Decision<'_> {
        self.add_retry_after(retry_after, effects);
        let problem = Problem {
            kind: QUOTA_EXCEEDED,
            title: "Too many requests",
            detail: &self.detail,
            violated_policy: &self.name,
        };
        Decision::Respond(LocalResponse {
            status: self.status,
            reason: "rate_limited",
            body: LocalBody::Problem(problem),
        })
    }

    fn add_retry_after(&self, retry_after: u64, effects: &mut Effects) {
        if self.fields != FieldsSent::Never {
            effects.to_client.add_with(b"Retry-After", |out| push_decimal(out, retry_after));
        }
    }

    fn add_fields(&self, standing: LimitState, effects: &mut Effects) {
        if self.fields != FieldsSent::Always {
            return;
        }
        // The quota is what can be had at once; its window is the time until that much has come again.
        effects.to_client.add_with(b"RateLimit-Policy", |out| {
            append_field_string(&self.name, out);
            out.extend_from_slice(b";q=");
            push_decimal(out, u64::from(self.rate.burst()));
            out.extend_from_slice(b";w=");
            push_decimal(out, seconds(self.rate.fill_time()));
        });
        effects.to_client.add_with(b"RateLimit", |out| {
            append_field_string(&self.name, out);
            out.extend_from_slice(b";r=");
            push_decimal(out, u64::from(standing.left));
            out.extend_from_slice(b";t=");
            push_decimal(out, seconds(standing.next));
        });
    }

    fn key_of<L>(&self, facts: &Facts<'_, L>) -> u64 {
        let mut hasher = self.hasher();
        if self.scope == Scope::PerRoute {
            facts.route_name.hash(&mut hasher);
        }
        // The first byte keeps the kinds apart: a consumer must not share a count with an address of the same bytes.
        match &self.key {
            Key::Address { v4_prefix, v6_prefix } => hash_address(facts.client, *v4_prefix, *v6_prefix, &mut hasher),
            Key::Everything => 0_u8.hash(&mut hasher),
            // By name: numbers of routes and consumers are other ones after a reload.
            Key::Consumer => match facts.identity.consumer {
                Some(_) => (1_u8, facts.consumer_name).hash(&mut hasher),
                None => hash_address(facts.client, 32, 64, &mut hasher),
            },
            Key::Header(name) => match facts.request.only(name) {
                Some(value) => (2_u8, value).hash(&mut hasher),
                None => hash_address(facts.client, 32, 64, &mut hasher),
            },
        }
        hasher.finish()
    }

    fn hasher(&self) -> ahash::AHasher {
        RandomState::with_seeds(self.hash_seed, !self.hash_seed, SEEDS[0], SEEDS[1]).build_hasher()
    }
}

/// IPv4-mapped IPv6 is the IPv4 client that it is.
fn hash_address(address: IpAddr, v4_prefix: u8, v6_prefix: u8, hasher: &mut impl Hasher) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(v4_prefix.into())).unwrap_or(0);
            (4_u8, u32::from(address) & mask).hash(hasher);
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(v6_prefix.into())).unwrap_or(0);
            (6_u8, u128::from(address) & mask).hash(hasher);
        }
    }
}

/// Whole seconds, rounded up, at least 1: neither field knows fractions, and a client that comes too early is refused
/// again.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

const SEEDS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F];

#[cfg(test)]
mod tests;
