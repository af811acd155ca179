// SPDX-License-Identifier: Apache-2.0
//! Hot. What a shard knows of clients that call themselves a good bot: whether their address belongs to the bot's
//! owner. The control plane asks DNS; several requests from one address wait for one answer.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;

use crate::base::Tick;
use crate::base::limits::{ADDRESS_QUESTIONS_MAX, ADDRESSES_KEPT};
use crate::policy::question::{AddressQuestion, Answer, Belonging, Question};

/// How long it is remembered that an address belongs to a bot's owner.
const CONFIRMED_KEPT: Duration = Duration::from_secs(60 * 60);
/// How long that it does not.
const DENIED_KEPT: Duration = Duration::from_secs(10 * 60);

/// An address, and the number of the pattern that its client fits.
type Claim = (IpAddr, u16);

/// What one shard knows. Those that are confirmed and those that are not are remembered apart, so that impostors
/// displace no bot.
#[derive(Debug)]
pub(crate) struct Claims {
    confirmed: HashMap<Claim, Tick, RandomState>,
    denied: HashMap<Claim, Tick, RandomState>,
    /// By the waiting key: what is asked, and when nobody waits for it any more.
    pending: HashMap<u64, (Claim, Tick), RandomState>,
    outbox: VecDeque<(u64, Question)>,
    /// Makes waiting keys.
    hasher: RandomState,
}

impl Claims {
    /// Nothing is known.
    pub(crate) fn new() -> Claims {
        Claims {
            confirmed: HashMap::default(),
            denied: HashMap::default(),
            pending: HashMap::default(),
            outbox: VecDeque::new(),
            hasher: RandomState::new(),
        }
    }

    /// What is remembered.
    pub(crate) fn find(&self, address: IpAddr, bot: u16, now: Tick) -> Option<Belonging> {
        let holds =
            |map: &HashMap<Claim, Tick, RandomState>| map.get(&(address, bot)).is_some_and(|until| now < *until);
        if holds(&self.confirmed) {
            return Some(Belonging::Confirmed);
        }
        holds(&self.denied).then_some(Belonging::Denied)
    }

    /// Asks, unless another request has. Returns the key to wait for; `None` where too many questions are open.
    pub(crate) fn ask(
        &mut self,
        (address, bot): (IpAddr, u16),
        domains: &Arc<[Box<str>]>,
        (now, until): (Tick, Tick),
    ) -> Option<u64> {
        let key = self.hasher.hash_one((address, bot));
        if self.pending.get(&key).is_some_and(|(_, until)| now < *until) {
            return Some(key);
        }
        if self.pending.len() >= ADDRESS_QUESTIONS_MAX {
            self.pending.retain(|_, (_, until)| now < *until);
            if self.pending.len() >= ADDRESS_QUESTIONS_MAX {
                return None;
            }
        }
        self.pending.insert(key, ((address, bot), until));
        // tidy(hot): once for an address in ten minutes, and then DNS is asked.
        let domains = Arc::clone(domains);
        self.outbox.push_back((key, Question::Address(AddressQuestion { address, domains })));
        Some(key)
    }

    /// The next question that is to be sent, with its key.
    pub(crate) fn next_question(&mut self) -> Option<(u64, Question)> {
        self.outbox.pop_front()
    }

    /// Takes an answer.
    pub(crate) fn receive(&mut self, key: u64, answer: &Answer, now: Tick) {
        let Some((claim, _)) = self.pending.remove(&key) else { return };
        match answer {
            Answer::Address(Belonging::Confirmed) => insert(&mut self.confirmed, claim, now, CONFIRMED_KEPT),
            Answer::Address(Belonging::Denied) => insert(&mut self.denied, claim, now, DENIED_KEPT),
            Answer::Keys | Answer::Token(_) | Answer::Password(_) | Answer::Nonce(_) => {}
            Answer::Login(_) | Answer::Signed(_) => {}
            Answer::Unavailable | Answer::Busy => {}
        }
    }
}

fn insert(map: &mut HashMap<Claim, Tick, RandomState>, claim: Claim, now: Tick, kept: Duration) {
    if map.len() >= ADDRESSES_KEPT {
        map.retain(|_, until| now < *until);
    }
    if map.len() >= ADDRESSES_KEPT {
        map.clear();
    }
    map.insert(claim, now.after(kept));
}
