// SPDX-License-Identifier: Apache-2.0
//! Hot. What a kind of policy is: the trait that each one's plan implements, in its own file. `kinds` makes the enum
//! and its dispatch from the list of them, so nothing here is called through a pointer.

use crate::base::{Tick, Wall};
use crate::cel::Program;
use crate::policy::decision::{AskOutcome, Decision, LocalResponse};
use crate::policy::facts::{Effects, Facts, Outcome, Response};
use crate::policy::limit::{LimitTerms, Parts, Shards};
use crate::policy::login::Revocations;
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::question::{Answer, Keys, Question};
use crate::policy::traps::Traps;
use crate::wire::coding::Offer;
use crate::wire::inspect::Scanner;
use crate::wire::template::Lookup;

/// A kind of policy: implemented by its plan, which is immutable and the same on all shards.
pub trait Kind: Sized {
    /// What it keeps on one shard; `()` where that is nothing.
    type State: ShardState<Self>;
    /// What it remembers of one request between these calls; `()` where that is nothing.
    type Memo: Default;

    /// When it decides.
    fn phase(&self) -> Phase;

    /// Decides on a request.
    fn decide<L: Lookup>(&self, state: &mut Self::State, call: Call<'_, L, Self::Memo>) -> Decision<'_>;

    /// Decides on, with the outcome of an `Ask`. It may ask again; the first deadline stays. A policy that asks must
    /// implement this, else the request is refused.
    fn resume<L: Lookup>(
        &self,
        _state: &mut Self::State,
        _call: Call<'_, L, Self::Memo>,
        _outcome: AskOutcome<'_>,
    ) -> Decision<'_> {
        debug_assert!(false, "a policy asks and cannot resume");
        Decision::Respond(LocalResponse::INTERNAL)
    }

    /// Is it asked again, by `answer`, when all policies that admit requests have admitted one?
    fn answers(&self) -> bool {
        false
    }

    /// Responds to a request for one of its own paths that it has let pass in its phase, so that limits on whom it
    /// identified count before. `memo` is another one than that of `decide`; `resume` goes on with it.
    fn answer<L: Lookup>(&self, _state: &mut Self::State, _call: Call<'_, L, Self::Memo>) -> Decision<'_> {
        Decision::Pass
    }

    /// Changes the response on its way to the client, by `Effects::to_client`. Called in the order of the decisions,
    /// also for responses of the gateway's own, and also where an earlier policy refused, so that `memo` is empty.
    fn adapt<L: Lookup>(&self, _memo: &mut Self::Memo, _response: Response<'_>, _words: &L, _effects: &mut Effects) {}

    /// Learns how the request ended, where it asked for that by `Effects::settles`. Called once.
    fn settle(&self, _state: &mut Self::State, _memo: &mut Self::Memo, _outcome: Outcome, _now: Tick) {}

    /// Names the fields that only it may set on the way to the upstream. On its routes what a client sends under these
    /// names is removed before any policy is asked, also where this one is not.
    fn protect(&self, _names: &mut Protected) {}

    /// What a 401 on its behalf asks for (`WWW-Authenticate`); empty where it has no challenge.
    fn challenge(&self) -> &[u8] {
        b""
    }

    /// The limits that its state is a part of, with their rates; the first one stands for all.
    fn limits(&self) -> impl Iterator<Item = LimitTerms> {
        std::iter::empty()
    }

    /// What the bans that its state holds are known by over reloads, and on all shards.
    fn trap(&self) -> Option<u64> {
        None
    }

    /// May a shard keep the state that a policy of the same name had under the plan before? It may where nothing in
    /// that state depends on what changed. A limit is kept by its identity instead.
    fn keeps_state_of(&self, _before: &Self) -> bool {
        false
    }

    /// The part of it that needs the route, in the words of the configuration. A listener cannot name such a policy,
    /// because a listener's policies are asked before the route is known.
    fn needs_route(&self) -> Option<&'static str> {
        None
    }

    /// May it have the content of responses coded (`coding`)? Then routes with it send them through stages, and of
    /// several such policies on a route the last holds.
    fn codes_content(&self) -> bool {
        false
    }

    /// Of several policies of its kind on one route, does only the last hold? Then a route's own replaces that of the
    /// defaults.
    fn is_sole(&self) -> bool {
        false
    }

    /// Does it answer CORS preflights? Then a preflight for a method of a route goes to that route.
    fn answers_preflights(&self) -> bool {
        false
    }

    /// The largest body of a request that it lets through, in bytes; the edge holds requests to it as they come.
    fn body_bytes_max(&self) -> u64 {
        u64::MAX
    }

    /// The bounds within which the content of this request's body must be, with a scanner that holds it to them. The
    /// edge passes the body through it (`RoutePlan::scanned`).
    fn scanner(&self, _memo: &Self::Memo) -> Option<Scanner> {
        None
    }

    /// May it have bodies scanned (`scanner`), and how much of them is read before any of it goes on?
    fn scans(&self) -> Option<usize> {
        None
    }

    /// The content coding that it offers for the response to a request which it decided on.
    fn coding(&self, _memo: &Self::Memo) -> Option<Offer<'_>> {
        None
    }

    /// Does it ask for the request's body? Then it cannot stand on a route whose calls are streams of messages.
    fn reads_body(&self) -> bool {
        false
    }

    /// Does it refuse requests to protect the upstream? Then `turnpike check` warns where requests get around it.
    fn protects(&self) -> bool {
        true
    }

    /// Does it let requests without credentials pass? Then no alternative behind it is asked.
    fn admits_anonymous(&self) -> bool {
        false
    }

    /// An expression of which each shard has a copy of its own (`Facts::own_expression`).
    fn expression(&self) -> Option<&Program> {
        None
    }

    /// Does it ask who the caller is? Then a policy that identifies callers should stand beside it.
    fn needs_consumer(&self) -> bool {
        false
    }
}

/// What a policy is called with.
#[derive(Debug)]
pub struct Call<'a, L, M> {
    /// What is known of the request.
    pub facts: &'a Facts<'a, L>,
    /// What it may change.
    pub effects: &'a mut Effects,
    /// What it remembers of this request.
    pub memo: &'a mut M,
    /// The time.
    pub now: Tick,
}

/// What a policy keeps on one shard.
pub trait ShardState<P> {
    /// Fresh state, for a plan that is the `generation`-th of the process. On a reload, a shard keeps the old state
    /// where `Kind::limits` have the same identities.
    fn new(plan: &P, shards: Shards, generation: u32) -> Self;

    /// This shard's part of its limits, where it has any.
    fn parts(&mut self) -> Option<&mut Parts> {
        None
    }

    /// The clients that it refuses for a time, where it does (`Kind::trap`).
    fn traps(&mut self) -> Option<&mut Traps> {
        None
    }

    /// The next question that is to be sent to the control plane, with the key under which the answer is awaited.
    fn next_question(&mut self) -> Option<(u64, Question)> {
        None
    }

    /// Takes the answer to a question with this key.
    fn receive(&mut self, _key: u64, _answer: Answer, _now: Tick) {}

    /// Takes the keys of an issuer.
    fn learn(&mut self, _keys: &Keys) {}

    /// Takes sessions that ended before their time. `wall` is now.
    fn revoke(&mut self, _revoked: &Revocations, _wall: Wall) {}
}

impl<P> ShardState<P> for () {
    fn new(_: &P, _: Shards, _: u32) {}
}
