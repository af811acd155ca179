// SPDX-License-Identifier: Apache-2.0
//! A limit that holds exactly over all shards, without a lock: slots of it (see `gcra`) are leased to shards.
//!
//! Each key of a limit has a *home*: the shard that its hash chooses. There an account says which shard has which of
//! the key's slots, and holds those that no shard has. A shard's `Holder` asks the home for slots when it needs tokens,
//! before it needs them where it can foresee it; returns them when idle; and gives back what the home recalls because
//! another shard starves. So a key's slots are where its requests are. With one shard nothing is asked: the holder has
//! all slots.
//!
//! Invariant: the slots at the account, at all shards and in all messages under way are together never more than the
//! limit has. Tokens travel only inside slots, and slots refill where they are, also in a message; so nothing is ever
//! admitted twice, and a message delays tokens but does not lose them.
//!
//! ```text
//!  shard A                       home                      shard B
//!    │ ── Ask ────────────────────►│                           │
//!    │ ◄────────────────── Grant ──│  (all free slots, while nobody else wants any)
//!    │                             │ ◄────────────────── Ask ──│
//!    │ ◄───────────────── Recall ──│  (only where no free slot has a token)
//!    │ ── Return (Recalled) ──────►│ ── Grant ────────────────►│
//!    │ ── Return (Idle) ──────────►│  (all of it, after IDLE)
//! ```
//! Rules for whoever carries the messages (`link::mesh`): in order between two shards, each exactly once, and none
//! lost. All `Tick`s come from one clock.
//!
//! A limit may count only requests with certain responses. Then a request takes its token together with the token's
//! slot and holds both (`Part::hold`) until its response is known. Held slots do not refill, and count as slots of
//! their shard; the slot comes back empty where the request counts, else full. So the invariant holds at every moment
//! for the requests that count, whatever becomes of those under way. A limit on requests in flight is the same with
//! slots that never refill: each comes back full when its request is over.
//!
//! Some limits count in windows of the calendar (`calendar`): all slots refill when a window begins (`gcra`). Shards
//! see that at slightly different moments, and a message may cross it; a slot refills only once for a window all the
//! same.
//!
//! A limit may have to outlive the process, or to hold for several gateways. Then its home is no shard but a *parent*
//! on the control plane (`parent`), which leases tokens of a window from a database in portions (`lease`) and grants
//! them to shards in smaller ones. What is leased is written before it is granted, so a crash loses what was leased and
//! not used, and nothing is granted twice. Shards do not recall from each other, because all of them together have too
//! little to be worth it.
//!
//! A limit of several windows is several of these, of which a request needs tokens of all at one moment: what it took
//! of some where another has none is put back at that moment (`Part::give_back`).
//!
//! A reload may change the rate. `Terms` number the rates of a limit; whoever sees newer terms than its own, in a plan
//! or in a message, takes them over. Slots of older terms are never used after that: they go home, and become slots of
//! the new rate there, as full as they were.

pub(crate) mod account;
mod bans;
pub(crate) mod calendar;
mod demand;
mod entry;
mod forgotten;
pub(crate) mod gcra;
pub(crate) mod holder;
pub(crate) mod ids;
mod lease;
pub(crate) mod message;
pub(crate) mod parent;
pub(crate) mod part;
pub(crate) mod parts;
mod seat;
mod table;
mod terms;

pub(crate) use bans::BanRule;
pub(crate) use entry::{LimitState, Taken};
pub(crate) use holder::Held;
pub(crate) use ids::{LimitId, ShardId, Shards};
pub(crate) use message::{Body, Message};
pub(crate) use part::Part;
pub(crate) use parts::{LimitTerms, Parts};
pub(crate) use seat::Seat;
pub(crate) use terms::{Basis, Terms};

#[cfg(test)]
mod tests;
