// SPDX-License-Identifier: Apache-2.0
//! Hot. The kinds of policies: the only list of them, and the enums that are made of it. The set is ours and closed, so
//! calls are dispatched by `match`.
//!
//! A row of the list names a variant and a module. The module is `policy/NAME.rs` with a `Plan` that is a `Kind`,
//! `config/spec/policy/NAME.rs` with the `Spec` that a user writes as `[policy.X.NAME]`, and
//! `config/compile/policy/NAME.rs` with the function `compile` that makes one of the other. The comment of a row is the
//! meaning of the key in `docs/config.md`.

use smallvec::SmallVec;

use crate::base::{Tick, Wall};
use crate::cel::Program;
use crate::policy::decision::{AskOutcome, Decision, LocalResponse};
use crate::policy::facts::{Effects, Outcome, Response};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::{LimitId, LimitTerms, Parts, Shards};
use crate::policy::login::Revocations;
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::question::{Answer, Keys, Question};
use crate::policy::rate_limit::Quota;
use crate::policy::traps::Traps;
use crate::wire::coding::Offer;
use crate::wire::inspect::Scanner;
use crate::wire::template::Lookup;

/// Calls `$with!` with the list.
macro_rules! each_kind {
    ($with:ident) => {
        $with! {
            /// Networks that requests may come from.
            Network(network),
            /// Refuse requests that lack a header.
            RequireHeader(require_header),
            /// CORS: let browsers call from pages of other origins.
            Cors(cors),
            /// Versions of an API: which one a request is for, which are deprecated, and when they end.
            ApiVersion(api_version),
            /// What requests may look like: type and length of the body, length of the URL, number of headers.
            ContentRules(content_rules),
            /// Bots: refuse requests by their `User-Agent`.
            Bots(bots),
            /// Honeypot: who asks for a path that nobody should know is refused for a time.
            Honeypot(honeypot),
            /// JSON and XML bodies: no deeper, longer or more than allowed.
            BodyBounds(body_bounds),
            /// API keys: who calls.
            ApiKey(api_key),
            /// Basic authentication: user name and password.
            Basic(basic),
            /// Client certificates: who calls, by what TLS has verified.
            ClientCertificate(client_certificate),
            /// HTTP Message Signatures: who calls, by a signed request.
            HttpSignature(http_signature),
            /// HMAC signatures of requests, as Kong has them: who calls.
            Hmac(hmac),
            /// Webhooks of others: who calls, by an HMAC over the body.
            Webhook(webhook),
            /// OAuth 2 tokens for clients, issued by the gateway itself.
            TokenIssuer(token_issuer),
            /// JWT: who calls, by a signed token.
            Jwt(jwt),
            /// OpenID Connect: sign-in of browsers, with a session in cookies.
            Oidc(oidc),
            /// OAuth 2 introspection: who calls, by a token that an authorisation server knows.
            Introspection(introspection),
            /// External authentication: ask another service whether the request may pass.
            ExternalAuth(external_auth),
            /// Plans: refuse what the caller's plans do not contain.
            Plan(plan),
            /// Authorization: who may, by group, scope, address, country, method, path or expression.
            Authorize(authorize),
            /// Rate limit: so many requests per time, exact over all threads.
            RateLimit(rate_limit),
            /// Concurrency limit: so many requests at once, exact over all threads.
            Concurrency(concurrency),
            /// Bandwidth: how fast bodies pass.
            Bandwidth(bandwidth),
            /// Changes to headers.
            Headers(headers),
            /// Cookies of the upstream: add `Secure`, `HttpOnly` and `SameSite` where they are missing.
            Cookies(cookies),
            /// Headers by which browsers protect a page and its users.
            SecurityHeaders(security_headers),
            /// Compress responses.
            Compression(compression),
        }
    };
}
pub(crate) use each_kind;

macro_rules! enums {
    ($($(#[$doc:meta])* $Kind:ident($module:ident),)*) => {
        /// One policy's plan.
        #[derive(Clone, Debug)]
        pub enum Policy {
            $($(#[$doc])* $Kind(crate::policy::$module::Plan),)*
        }

        /// What a policy keeps on one shard.
        #[derive(Debug)]
        pub enum PolicyState {
            $($(#[$doc])* $Kind(<crate::policy::$module::Plan as Kind>::State),)*
        }

        /// What a policy remembers of one request.
        #[derive(Debug, Default)]
        pub enum PolicyMemo {
            /// Nothing: it was not asked.
            #[default]
            Unused,
            /// It is left out for this request, because its condition does not hold.
            Skipped,
            $($(#[$doc])* $Kind(<crate::policy::$module::Plan as Kind>::Memo),)*
        }

        impl PolicyMemo {
            /// Was the policy left out?
            pub fn is_skipped(&self) -> bool {
                matches!(self, PolicyMemo::Skipped)
            }
        }

        impl Policy {
            /// When it decides.
            pub fn phase(&self) -> Phase {
                match self { $(Policy::$Kind(plan) => plan.phase(),)* }
            }

            /// The name of its kind in logs, metrics and the configuration.
            pub const fn kind(&self) -> &'static str {
                match self { $(Policy::$Kind(_) => stringify!($module),)* }
            }

            /// Fresh state for one shard; see `ShardState::new`.
            pub fn state(&self, shards: Shards, generation: u32) -> PolicyState {
                match self { $(Policy::$Kind(plan) => PolicyState::$Kind(ShardState::new(plan, shards, generation)),)* }
            }

            /// See `Kind::decide`.
            #[cfg(test)]
            pub fn decide<L: Lookup>(
                &self,
                state: &mut PolicyState,
                call: Call<'_, L, PolicyMemo>,
            ) -> Decision<'_> {
                self.decide_in(self.phase(), state, call)
            }

            /// See `Kind::decide`, and for the phase `Answer` `Kind::answer`.
            pub fn decide_in<L: Lookup>(
                &self,
                phase: Phase,
                state: &mut PolicyState,
                call: Call<'_, L, PolicyMemo>,
            ) -> Decision<'_> {
                let Call { facts, effects, memo, now } = call;
                match self {
                    $(Policy::$Kind(plan) => {
                        *memo = PolicyMemo::$Kind(Default::default());
                        let PolicyState::$Kind(state) = state else { return mismatch() };
                        let PolicyMemo::$Kind(memo) = memo else { return mismatch() };
                        let call = Call { facts, effects, memo, now };
                        if phase == Phase::Answer { plan.answer(state, call) } else { plan.decide(state, call) }
                    })*
                }
            }

            /// See `Kind::answers`.
            pub fn answers(&self) -> bool {
                match self { $(Policy::$Kind(plan) => plan.answers(),)* }
            }

            /// See `Kind::resume`.
            pub fn resume<L: Lookup>(
                &self,
                state: &mut PolicyState,
                call: Call<'_, L, PolicyMemo>,
                outcome: AskOutcome<'_>,
            ) -> Decision<'_> {
                let Call { facts, effects, memo, now } = call;
                match self {
                    $(Policy::$Kind(plan) => {
                        let PolicyState::$Kind(state) = state else { return mismatch() };
                        let PolicyMemo::$Kind(memo) = memo else { return mismatch() };
                        plan.resume(state, Call { facts, effects, memo, now }, outcome)
                    })*
                }
            }

            /// See `Kind::adapt`. `memo` is `None` where the policy was not asked.
            pub fn adapt<L: Lookup>(
                &self,
                memo: Option<&mut PolicyMemo>,
                response: Response<'_>,
                words: &L,
                effects: &mut Effects,
            ) {
                match self {
                    $(Policy::$Kind(plan) => {
                        let mut unused = Default::default();
                        let memo = if let Some(PolicyMemo::$Kind(memo)) = memo { memo } else { &mut unused };
                        plan.adapt(memo, response, words, effects);
                    })*
                }
            }

            /// See `Kind::settle`. `memo` is `Unused` where the policy was not asked; then there is nothing to settle.
            pub fn settle(&self, state: &mut PolicyState, memo: &mut PolicyMemo, outcome: Outcome, now: Tick) {
                match (self, state, memo) {
                    $((Policy::$Kind(plan), PolicyState::$Kind(state), PolicyMemo::$Kind(memo)) => {
                        plan.settle(state, memo, outcome, now);
                    })*
                    (_, _, memo) => {
                        let none = matches!(memo, PolicyMemo::Unused | PolicyMemo::Skipped);
                        debug_assert!(none, "another's memory");
                    }
                }
            }

            /// See `Kind::protect`.
            pub fn protect(&self, names: &mut Protected) {
                match self { $(Policy::$Kind(plan) => plan.protect(names),)* }
            }

            /// See `Kind::challenge`.
            pub fn challenge(&self) -> &[u8] {
                match self { $(Policy::$Kind(plan) => plan.challenge(),)* }
            }

            /// See `Kind::limits`.
            pub fn limits(&self) -> SmallVec<[LimitTerms; 1]> {
                match self { $(Policy::$Kind(plan) => plan.limits().collect(),)* }
            }

            /// See `Kind::trap`.
            pub fn trap(&self) -> Option<u64> {
                match self { $(Policy::$Kind(plan) => plan.trap(),)* }
            }

            /// See `Kind::keeps_state_of`. Another kind's is never kept.
            pub fn keeps_state_of(&self, before: &Policy) -> bool {
                match (self, before) {
                    $((Policy::$Kind(plan), Policy::$Kind(before)) => plan.keeps_state_of(before),)*
                    (_, _) => false,
                }
            }

            /// See `Kind::needs_route`.
            pub fn needs_route(&self) -> Option<&'static str> {
                match self { $(Policy::$Kind(plan) => plan.needs_route(),)* }
            }

            /// See `Kind::codes_content`.
            pub fn codes_content(&self) -> bool {
                match self { $(Policy::$Kind(plan) => plan.codes_content(),)* }
            }

            /// See `Kind::is_sole`.
            pub fn is_sole(&self) -> bool {
                match self { $(Policy::$Kind(plan) => plan.is_sole(),)* }
            }

            /// See `Kind::answers_preflights`.
            pub fn answers_preflights(&self) -> bool {
                match self { $(Policy::$Kind(plan) => plan.answers_preflights(),)* }
            }

            /// See `Kind::body_bytes_max`.
            pub fn body_bytes_max(&self) -> u64 {
                match self { $(Policy::$Kind(plan) => plan.body_bytes_max(),)* }
            }

            /// See `Kind::scans`.
            pub fn scans(&self) -> Option<usize> {
                match self { $(Policy::$Kind(plan) => plan.scans(),)* }
            }

            /// See `Kind::scanner`. `None` where `memo` is not this policy's, because it was not asked.
            pub fn scanner(&self, memo: &PolicyMemo) -> Option<Scanner> {
                match self {
                    $(Policy::$Kind(plan) => {
                        let PolicyMemo::$Kind(memo) = memo else { return None };
                        plan.scanner(memo)
                    })*
                }
            }

            /// See `Kind::coding`. `None` where `memo` is not this policy's, because it was not asked.
            pub fn coding(&self, memo: &PolicyMemo) -> Option<Offer<'_>> {
                match self {
                    $(Policy::$Kind(plan) => {
                        let PolicyMemo::$Kind(memo) = memo else { return None };
                        plan.coding(memo)
                    })*
                }
            }

            /// See `Kind::reads_body`.
            pub fn reads_body(&self) -> bool {
                match self { $(Policy::$Kind(plan) => plan.reads_body(),)* }
            }

            /// See `Kind::protects`.
            pub fn protects(&self) -> bool {
                match self { $(Policy::$Kind(plan) => plan.protects(),)* }
            }

            /// See `Kind::admits_anonymous`.
            pub fn admits_anonymous(&self) -> bool {
                match self { $(Policy::$Kind(plan) => plan.admits_anonymous(),)* }
            }

            /// See `Kind::expression`.
            pub fn expression(&self) -> Option<&Program> {
                match self { $(Policy::$Kind(plan) => plan.expression(),)* }
            }

            /// See `Kind::needs_consumer`.
            pub fn needs_consumer(&self) -> bool {
                match self { $(Policy::$Kind(plan) => plan.needs_consumer(),)* }
            }
        }

        impl PolicyState {
            /// See `ShardState::parts`.
            pub fn parts(&mut self) -> Option<&mut Parts> {
                match self {
                    $(PolicyState::$Kind(state) => ShardState::<crate::policy::$module::Plan>::parts(state),)*
                }
            }

            /// See `ShardState::traps`.
            pub fn traps(&mut self) -> Option<&mut Traps> {
                match self {
                    $(PolicyState::$Kind(state) => ShardState::<crate::policy::$module::Plan>::traps(state),)*
                }
            }

            /// See `ShardState::next_question`.
            pub fn next_question(&mut self) -> Option<(u64, Question)> {
                match self {
                    $(PolicyState::$Kind(state) => ShardState::<crate::policy::$module::Plan>::next_question(state),)*
                }
            }

            /// See `ShardState::learn`.
            pub fn learn(&mut self, keys: &Keys) {
                match self {
                    $(PolicyState::$Kind(state) => ShardState::<crate::policy::$module::Plan>::learn(state, keys),)*
                }
            }

            /// See `ShardState::revoke`.
            pub fn revoke(&mut self, revoked: &Revocations, wall: Wall) {
                match self {
                    $(PolicyState::$Kind(state) => {
                        ShardState::<crate::policy::$module::Plan>::revoke(state, revoked, wall);
                    })*
                }
            }

            /// See `ShardState::receive`.
            pub fn receive(&mut self, key: u64, answer: Answer, now: Tick) {
                match self {
                    $(PolicyState::$Kind(state) => {
                        ShardState::<crate::policy::$module::Plan>::receive(state, key, answer, now);
                    })*
                }
            }
        }
    };
}
each_kind!(enums);

impl Policy {
    /// The identity of the first of its limits, which stands for all of them.
    pub fn limit_id(&self) -> Option<LimitId> {
        self.limits().first().map(|terms| terms.id)
    }

    /// Its windows that are counted in a database.
    pub fn quotas(&self) -> Vec<Quota> {
        // tidy(hot): once for a plan, by the control plane.
        match self {
            Policy::RateLimit(limit) => limit.quotas().collect(),
            Policy::Plan(plan) => plan.quotas().collect(),
            _ => Vec::new(),
        }
    }
}

/// A policy was given the state or the memory of another: a bug of the caller. What cannot be checked does not pass.
fn mismatch<'p>() -> Decision<'p> {
    debug_assert!(false, "a policy was given another's state");
    Decision::Respond(LocalResponse::INTERNAL)
}

// A request has a memo for each of its policies. A larger one keeps its data in a box that it makes when needed.
const _: () = assert!(size_of::<PolicyMemo>() <= 32);
