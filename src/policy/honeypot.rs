// SPDX-License-Identifier: Apache-2.0
//! Hot. Paths that nobody asks for who means well, such as `/.env` or `/wp-login.php` where no WordPress is: who asks
//! for one is refused everything for a time.
//!
//! A ban holds on all shards: the shard that sees the trap sprung tells the others (`Traps::take_news`, carried by the
//! edge), so for some microseconds another one may still serve the client. Bans survive reloads while the policy keeps
//! its name and its `clients_max`, and end with the process. A client is an IPv4 address or an IPv6 /64, since one host
//! usually has all of that. Addresses behind which many people are can be left out (`Plan::except`).

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;

use crate::base::NetworkSet;
use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::policy::traps::Traps;
use crate::wire::status::reason;
use crate::wire::template::Lookup;

/// Which paths, and what becomes of who asks for them.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name; bans are carried over a reload by it.
    pub name: Arc<str>,
    /// Paths, normalised and in lower case.
    pub paths: Box<[TrapPath]>,
    /// How long who asked is refused.
    pub ban: Duration,
    /// The status of refusals, 400 to 599; also for the trap itself.
    pub status: u16,
    /// Networks that are never banned. They are refused the trap itself.
    pub except: NetworkSet,
    /// Clients that a shard remembers.
    pub clients_max: usize,
    /// The seed of the hash of addresses: random, and the same for the life of the process.
    pub hash_seed: u64,
}

/// A path that is a trap, in any case of its letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrapPath {
    /// Exactly this.
    Exact(Box<[u8]>),
    /// This and everything that begins with it.
    Prefix(Box<[u8]>),
    /// Every path that ends with this.
    Suffix(Box<[u8]>),
}

impl TrapPath {
    /// A path as a user writes it: `/.env`, `/wp-admin*` or `*.php`. `None` where a `*` stands elsewhere.
    pub fn parse(text: &str) -> Option<TrapPath> {
        let lower = text.to_ascii_lowercase();
        let (path, made) = match (lower.strip_prefix('*'), lower.strip_suffix('*')) {
            (None, None) => (lower.as_str(), TrapPath::Exact as fn(Box<[u8]>) -> TrapPath),
            (Some(suffix), None) => (suffix, TrapPath::Suffix as fn(Box<[u8]>) -> TrapPath),
            (None, Some(prefix)) => (prefix, TrapPath::Prefix as fn(Box<[u8]>) -> TrapPath),
            (Some(_), Some(_)) => return None,
        };
        let absolute = lower.starts_with('/') || lower.starts_with('*');
        // `/` alone and everything below it would ban everybody.
        let narrow = path.len() > 1;
        (absolute && narrow && !path.contains('*')).then(|| made(path.as_bytes().into()))
    }

    /// Is this normalised path one of them?
    pub fn fits(&self, path: &[u8]) -> bool {
        match self {
            TrapPath::Exact(exact) => path.eq_ignore_ascii_case(exact),
            TrapPath::Prefix(prefix) => {
                path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            }
            TrapPath::Suffix(suffix) => {
                let start = path.len().checked_sub(suffix.len());
                start.is_some_and(|start| path[start..].eq_ignore_ascii_case(suffix))
            }
        }
    }
}

impl ShardState<Plan> for Traps {
    fn new(plan: &Plan, shards: Shards, _: u32) -> Traps {
        Traps::new(plan.clients_max, shards)
    }

    fn traps(&mut self) -> Option<&mut Traps> {
        Some(self)
    }
}

impl Kind for Plan {
    type State = Traps;
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Screen
    }

    fn decide<L: Lookup>(&self, traps: &mut Traps, call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, now, .. } = call;
        let sprung = self.paths.iter().any(|path| path.fits(facts.path));
        if traps.is_empty() && !sprung {
            return Decision::Pass;
        }
        if self.except.contains(facts.client) {
            return if sprung { self.refuse("honeypot_trap") } else { Decision::Pass };
        }
        let key = self.key(facts.client);
        if sprung {
            traps.spring(key, now.after(self.ban), now);
            return self.refuse("honeypot_trap");
        }
        if traps.holds(key, now) { self.refuse("honeypot_banned") } else { Decision::Pass }
    }

    fn trap(&self) -> Option<u64> {
        Some(self.hash((&*self.name, self.clients_max)))
    }
}

impl Plan {
    /// What a client is remembered by.
    fn key(&self, client: IpAddr) -> u64 {
        match client.to_canonical() {
            IpAddr::V4(address) => self.hash((4_u8, u32::from(address))),
            IpAddr::V6(address) => self.hash((6_u8, (u128::from(address) >> 64) as u64)),
        }
    }

    fn hash(&self, what: impl Hash) -> u64 {
        RandomState::with_seeds(self.hash_seed, !self.hash_seed, SEEDS[0], SEEDS[1]).hash_one(what)
    }

    fn refuse(&self, word: &'static str) -> Decision<'_> {
        // It says no more than any other refusal with this status, so that nobody learns which paths are traps.
        let problem = Problem { kind: "", title: reason(self.status), detail: "", violated_policy: "" };
        Decision::Respond(LocalResponse { status: self.status, reason: word, body: LocalBody::Problem(problem) })
    }
}

const SEEDS: [u64; 2] = [0x517C_C1B7_2722_0A95, 0x2545_F491_4F6C_DD1D];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tick;
    use crate::policy::facts::Effects;
    use crate::policy::fixture::Fixture;
    use crate::policy::limit::ShardId;

    fn plan() -> Plan {
        let paths = ["/.env", "/wp-admin*", "*.php"].map(|text| TrapPath::parse(text).unwrap());
        Plan {
            name: "traps".into(),
            paths: Box::new(paths),
            ban: Duration::from_secs(60),
            status: 404,
            except: NetworkSet::new(&["198.51.100.0/24".parse().unwrap()]),
            clients_max: 64,
            hash_seed: 7,
        }
    }

    fn asked(plan: &Plan, traps: &mut Traps, client: &str, path: &str, seconds: u64) -> Option<&'static str> {
        let mut fixture = Fixture::get(path);
        fixture.client = client.parse().unwrap();
        let facts = fixture.facts();
        let now = Tick::ZERO.after(Duration::from_secs(seconds));
        match plan.decide(traps, Call { facts: &facts, effects: &mut Effects::default(), memo: &mut (), now }) {
            Decision::Pass => None,
            Decision::Respond(response) => {
                assert_eq!(response.status, 404);
                Some(response.reason)
            }
            Decision::Ask(_) => panic!("it never asks"),
        }
    }

    fn traps(plan: &Plan, own: u32, count: u32) -> Traps {
        ShardState::new(plan, Shards { own: ShardId(own), count }, 1)
    }

    #[test]
    fn who_springs_a_trap_is_refused_for_a_time() {
        let plan = plan();
        let mut traps = traps(&plan, 0, 1);
        let mut ask = |client: &str, path: &str, at| asked(&plan, &mut traps, client, path, at);
        assert_eq!(ask("192.0.2.1", "/", 0), None);
        for (client, path) in [("192.0.2.1", "/.ENV"), ("192.0.2.2", "/wp-admin/x"), ("192.0.2.3", "/a/b.PHP")] {
            assert_eq!(ask(client, path, 0), Some("honeypot_trap"), "{path}");
            assert_eq!(ask(client, "/", 59), Some("honeypot_banned"));
            assert_eq!(ask(client, "/", 60), None);
        }
        assert_eq!(ask("192.0.2.4", "/.env/x", 0), None, "an exact path is exact");
        assert_eq!(ask("192.0.2.9", "/", 30), None, "others are not refused");
        ask("2001:db8::1", "/.env", 100);
        assert_eq!(ask("2001:db8::2", "/", 100), Some("honeypot_banned"), "a /64 is one client");
        assert_eq!(ask("2001:db8:0:1::1", "/", 100), None);
        ask("::ffff:192.0.2.77", "/.env", 100);
        assert_eq!(ask("192.0.2.77", "/", 100), Some("honeypot_banned"), "IPv4 is IPv4 however it is written");
    }

    #[test]
    fn exceptions_are_refused_the_trap_and_nothing_else() {
        let plan = plan();
        let mut traps = traps(&plan, 0, 1);
        assert_eq!(asked(&plan, &mut traps, "198.51.100.1", "/.env", 0), Some("honeypot_trap"));
        assert_eq!(asked(&plan, &mut traps, "198.51.100.1", "/", 0), None);
    }

    #[test]
    fn the_other_shards_are_told() {
        let plan = plan();
        let (mut here, mut there) = (traps(&plan, 0, 3), traps(&plan, 1, 3));
        asked(&plan, &mut here, "192.0.2.1", "/.env", 0);
        let sprung = here.take_news().unwrap();
        assert_eq!(sprung.others().collect::<Vec<_>>(), [ShardId(1), ShardId(2)]);
        assert!(here.take_news().is_none(), "once");
        there.hear(sprung.key, sprung.until, Tick::ZERO);
        assert_eq!(asked(&plan, &mut there, "192.0.2.1", "/", 1), Some("honeypot_banned"));
        assert!(there.take_news().is_none(), "what was heard is not passed on");
    }

    #[test]
    fn paths_that_would_ban_everybody_are_none() {
        for text in ["", "/", "*", "/*", "env", "/a*b", "*a*", "**", "/**"] {
            assert_eq!(TrapPath::parse(text), None, "{text}");
        }
    }
}
