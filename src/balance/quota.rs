// SPDX-License-Identifier: Apache-2.0
//! Caps that hold for the whole process, without a lock: each shard may use a part of a cap, and parts move.
//!
//! A cap of C is C permits. Every shard begins with a share of them, and the shares add up to C. `moved` is what a
//! shard has got beyond its share, or given away of it; over all shards and all messages under way the `moved` add up
//! to zero. So the shards together never use more than C, whatever messages are late, and as long as nobody is short of
//! permits there are none.
//!
//! A shard that is short asks the cap's home shard. The home gives what it has, in the order of arrival, and recalls as
//! many permits from the others: they give unused ones at once, and others as they become free. After a while without
//! use, what was moved goes back.

use std::collections::{HashMap, VecDeque};

use ahash::RandomState;

use crate::balance::hash::hash_key;
use crate::base::Address;

/// Which shard of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// This shard.
    pub own: u32,
    /// All of them.
    pub count: u32,
}

/// What a cap is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capped {
    /// Requests in flight to the upstream.
    Requests,
    /// Requests in flight to one endpoint.
    EndpointRequests,
    /// Connections to one endpoint.
    Connections,
    /// Retries that are allowed whatever the load is.
    Retries,
}

/// One cap of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CapKey {
    /// On what.
    pub capped: Capped,
    /// Of what: a hash of the endpoint's address or of the upstream's name.
    pub of: u64,
}

/// From shard to shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaMessage {
    /// Which cap.
    pub key: CapKey,
    /// What about it.
    pub body: QuotaBody,
}

/// What shards tell each other about a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaBody {
    /// To the home: so many more permits are wanted.
    Want(u32),
    /// From the home or to it: so many permits.
    Give(u32),
    /// From the home: so many permits are to come back, in place of the number before.
    Recall(u32),
}

/// What a shard uses of a cap at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    /// The cap.
    pub cap: u32,
    /// Permits in use here.
    pub used: u32,
}

/// Whether requests wait for permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// None does.
    None,
    /// Some do.
    Some,
}

/// One shard's parts of the caps of one upstream. Caps of which nothing has moved have no entry.
#[derive(Clone, Debug)]
pub(super) struct Quotas {
    part: Part,
    entries: HashMap<CapKey, Entry, RandomState>,
    /// Messages to send, with their receivers.
    mail: VecDeque<(u32, QuotaMessage)>,
    /// Does another shard wait for permits of this one?
    pressed: bool,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    moved: i64,
    /// Permits asked for that have not come yet.
    asked: u32,
    /// Permits that the home has recalled and that were not free.
    owed: u32,
    /// Times that housekeeping found it unused.
    unused: u32,
    /// On the home shard alone.
    home: Option<Box<Home>>,
}

/// What the home knows of the others.
#[derive(Clone, Debug)]
struct Home {
    /// By shard: what it was given, less what came back.
    moved: Vec<i64>,
    /// By shard: permits recalled that have not come.
    recalled: Vec<u32>,
    /// Who wants how many, in the order of arrival.
    wants: VecDeque<(u32, u32)>,
}

/// After so many looks without use, moved permits go back.
const UNUSED_LOOKS: u32 = 8;

impl Quotas {
    /// Nothing has moved.
    pub(super) fn new(part: Part) -> Quotas {
        Quotas { part, entries: HashMap::default(), mail: VecDeque::new(), pressed: false }
    }

    /// How many permits of a cap this shard may use.
    pub(super) fn allowed(&self, key: CapKey, cap: u32) -> u32 {
        let share = self.share(key, cap, self.part.own);
        let Some(entry) = self.entries.get(&key) else { return u32::try_from(share).unwrap_or(0) };
        u32::try_from(share + entry.moved - self.debt(key, cap, entry)).unwrap_or(0)
    }

    /// What the home has of other shards, which a lower cap has left with less than nothing.
    fn debt(&self, key: CapKey, cap: u32, entry: &Entry) -> i64 {
        let Some(home) = &entry.home else { return 0 };
        let others = (0..self.part.count).zip(&home.moved).filter(|(shard, _)| *shard != self.part.own);
        others.map(|(shard, moved)| (-(self.share(key, cap, shard) + moved)).max(0)).sum()
    }

    /// Does another shard wait for permits of this one? Then `freed` is to be called when any become free.
    pub(super) fn is_pressed(&self) -> bool {
        self.pressed
    }

    /// The next message and its receiver.
    pub(super) fn next_mail(&mut self) -> Option<(u32, QuotaMessage)> {
        self.mail.pop_front()
    }

    /// Is there a message to send?
    pub(super) fn has_mail(&self) -> bool {
        !self.mail.is_empty()
    }

    /// `count` requests wait here for permits: asks for those that were not asked for yet.
    pub(super) fn want(&mut self, key: CapKey, count: u32, of: Use) {
        let home = self.home_of(key);
        let entry = self.entries.entry(key).or_default();
        entry.unused = 0;
        let more = count.min(of.cap).saturating_sub(entry.asked);
        if more == 0 {
            return;
        }
        entry.asked += more;
        if home == self.part.own {
            self.wanted(key, home, more, of);
        } else {
            self.send(home, key, QuotaBody::Want(more));
        }
    }

    /// Takes a message of another shard.
    pub(super) fn receive(&mut self, from: u32, message: QuotaMessage, of: Use) {
        let QuotaMessage { key, body } = message;
        let at_home = self.home_of(key) == self.part.own;
        match body {
            QuotaBody::Want(count) if at_home => self.wanted(key, from, count, of),
            QuotaBody::Give(count) => {
                let entry = self.entries.entry(key).or_default();
                entry.moved += i64::from(count);
                if at_home {
                    let home = home(entry, self.part.count);
                    home.moved[from as usize] -= i64::from(count);
                    let recalled = &mut home.recalled[from as usize];
                    *recalled = recalled.saturating_sub(count);
                    self.serve(key, of);
                } else {
                    // Whoever waits for them here takes them first. What is owed may be a recall of before.
                    entry.asked = entry.asked.saturating_sub(count);
                }
            }
            QuotaBody::Recall(count) if !at_home => {
                self.entries.entry(key).or_default().owed = count;
                self.pay(key, of);
            }
            QuotaBody::Want(_) | QuotaBody::Recall(_) => {}
        }
        self.look_at_pressure();
    }

    /// Permits may have become free.
    pub(super) fn freed(&mut self, key: CapKey, of: Use) {
        if !self.entries.contains_key(&key) {
            return;
        }
        if self.home_of(key) == self.part.own {
            self.serve(key, of);
        } else {
            self.pay(key, of);
        }
        self.look_at_pressure();
    }

    /// How many permits this shard owes and does not have free.
    pub(super) fn owed(&self, key: CapKey) -> u32 {
        let Some(entry) = self.entries.get(&key) else { return 0 };
        match &entry.home {
            Some(home) => home.wants.iter().filter(|(shard, _)| *shard != self.part.own).map(|(_, count)| count).sum(),
            None => entry.owed,
        }
    }

    /// Housekeeping of one cap: what was moved and is not used goes back.
    pub(super) fn sweep(&mut self, key: CapKey, demand: Demand, of: Use) {
        self.freed(key, of);
        let (own, at_home) = (self.part.own, self.home_of(key) == self.part.own);
        let free = self.free(key, of);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.unused = if demand == Demand::Some || free == 0 { 0 } else { entry.unused + 1 };
        let back = free.min(u32::try_from(entry.moved).unwrap_or(0));
        if entry.unused >= UNUSED_LOOKS && back > 0 {
            entry.unused = 0;
            if at_home {
                self.give_back(key, back);
            } else {
                entry.moved -= i64::from(back);
                self.send(self.home_of(key), key, QuotaBody::Give(back));
            }
        }
        let even = self.entries.get(&key).is_some_and(|entry| {
            let calm = entry.home.as_ref().is_none_or(|home| {
                home.wants.is_empty()
                    && home.recalled.iter().all(|count| *count == 0)
                    && (0..).zip(&home.moved).all(|(shard, moved)| shard == own || *moved == 0)
            });
            entry.moved == 0 && entry.asked == 0 && entry.owed == 0 && calm
        });
        if even {
            self.entries.remove(&key);
        }
    }

    /// A plan has other caps: what this shard has got of the old ones and does not use goes back at once, so that no
    /// more than the new cap is used as soon as requests of the old one have ended.
    pub(super) fn cap_changed(&mut self, key: CapKey, of: Use) {
        let free = self.free(key, of);
        let (home, own) = (self.home_of(key), self.part.own);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let back = free.min(u32::try_from(entry.moved).unwrap_or(0));
        if home != own && back > 0 {
            entry.moved -= i64::from(back);
            self.send(home, key, QuotaBody::Give(back));
        }
    }

    /// All caps of which something has moved.
    pub(super) fn keys(&self) -> Vec<CapKey> {
        self.entries.keys().copied().collect()
    }

    /// Was it asked for permits of any cap, which have not come yet?
    pub(super) fn awaits(&self) -> bool {
        self.entries.values().any(|entry| entry.asked > 0)
    }

    fn wanted(&mut self, key: CapKey, by: u32, count: u32, of: Use) {
        let entry = self.entries.entry(key).or_default();
        home(entry, self.part.count).wants.push_back((by, count));
        self.serve(key, of);
        self.look_at_pressure();
    }

    /// The home gives free permits to those that want some, and recalls from others what is missing.
    fn serve(&mut self, key: CapKey, of: Use) {
        let own = self.part.own;
        let shares: Vec<i64> = (0..self.part.count).map(|shard| self.share(key, of.cap, shard)).collect();
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let Some(home) = &mut entry.home else { return };
        let has = u32::try_from(shares[own as usize] + entry.moved).unwrap_or(0);
        let mut free = has.saturating_sub(of.used);
        let mut mail = Vec::new();
        for (shard, moved) in (0..).zip(&mut home.moved).filter(|(shard, _)| *shard != own) {
            let lacks = u32::try_from(-(shares[shard as usize] + *moved)).unwrap_or(0);
            let given = free.min(lacks);
            if given > 0 {
                free -= given;
                entry.moved -= i64::from(given);
                *moved += i64::from(given);
                mail.push((shard, QuotaBody::Give(given)));
            }
        }
        while free > 0
            && let Some((shard, wanted)) = home.wants.front_mut()
        {
            let (given, shard) = (free.min(*wanted), *shard);
            free -= given;
            *wanted -= given;
            if *wanted == 0 {
                home.wants.pop_front();
            }
            if shard == own {
                entry.asked = entry.asked.saturating_sub(given);
            } else {
                entry.moved -= i64::from(given);
                home.moved[shard as usize] += i64::from(given);
                mail.push((shard, QuotaBody::Give(given)));
            }
        }
        let missing: u32 = home.wants.iter().map(|(_, count)| *count).sum();
        for shard in (0..self.part.count).filter(|shard| *shard != own) {
            let at = shard as usize;
            let has = u32::try_from(shares[at] + home.moved[at]).unwrap_or(0);
            let wanted = missing.min(has);
            let recalled = &mut home.recalled[at];
            if *recalled < wanted || (wanted == 0 && *recalled > 0) {
                *recalled = wanted;
                mail.push((shard, QuotaBody::Recall(wanted)));
            }
        }
        for (shard, body) in mail {
            self.send(shard, key, body);
        }
    }

    /// Gives free permits that the home has recalled.
    fn pay(&mut self, key: CapKey, of: Use) {
        let free = self.free(key, of);
        let home = self.home_of(key);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let paid = entry.owed.min(free);
        if paid > 0 {
            entry.owed -= paid;
            entry.moved -= i64::from(paid);
            self.send(home, key, QuotaBody::Give(paid));
        }
    }

    /// The home gives what it does not use to those that have less than their share.
    fn give_back(&mut self, key: CapKey, mut spare: u32) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let Some(home) = &mut entry.home else { return };
        let mut mail = Vec::new();
        for (shard, moved) in (0..).zip(&mut home.moved) {
            let given = spare.min(u32::try_from(-*moved).unwrap_or(0));
            if given > 0 && shard != self.part.own {
                spare -= given;
                *moved += i64::from(given);
                entry.moved -= i64::from(given);
                mail.push((shard, QuotaBody::Give(given)));
            }
        }
        for (shard, body) in mail {
            self.send(shard, key, body);
        }
    }

    fn free(&self, key: CapKey, of: Use) -> u32 {
        self.allowed(key, of.cap).saturating_sub(of.used)
    }

    /// The share of a cap that a shard begins with. What does not divide evenly begins at the home.
    fn share(&self, key: CapKey, cap: u32, shard: u32) -> i64 {
        let count = self.part.count;
        let after_home = (shard + count - self.home_of(key)) % count;
        i64::from(cap / count) + i64::from(after_home < cap % count)
    }

    fn home_of(&self, key: CapKey) -> u32 {
        // The endpoints' hashes spread the homes; each kind of cap of an endpoint has the same.
        (key.of % u64::from(self.part.count)) as u32
    }

    fn send(&mut self, shard: u32, key: CapKey, body: QuotaBody) {
        self.mail.push_back((shard, QuotaMessage { key, body }));
    }

    fn look_at_pressure(&mut self) {
        self.pressed = self
            .entries
            .values()
            .any(|entry| entry.owed > 0 || entry.home.as_ref().is_some_and(|home| !home.wants.is_empty()));
    }
}

fn home(entry: &mut Entry, shards: u32) -> &mut Home {
    entry.home.get_or_insert_with(|| {
        let count = shards as usize;
        Box::new(Home { moved: vec![0; count], recalled: vec![0; count], wants: VecDeque::new() })
    })
}

/// Makes keys of caps, which are the same on every shard.
const SEED: u64 = 0x6361_7073;

/// An endpoint in the keys of caps.
pub(super) fn id_of_endpoint(address: &Address) -> u64 {
    hash_key(SEED, address.to_string().as_bytes())
}

/// An upstream in the keys of caps.
pub(super) fn id_of_upstream(name: &str) -> u64 {
    hash_key(SEED ^ 1, name.as_bytes())
}

#[cfg(test)]
mod tests;
