// SPDX-License-Identifier: Apache-2.0
//! Sessions of browsers: all shards learn at once which have ended before their time. Where there is a store, it keeps
//! that for the next start, and who has signed in, for operators.

use std::sync::Arc;

use tokio::task::spawn_local;

use crate::base::Wall;
use crate::config::plan::{AskedFor, LoginPlan};
use crate::control::admin::EndSessions;
use crate::control::plane::Plane;
use crate::control::sources::{Ended, Told};
use crate::control::store::session::{self, SessionRow};
use crate::link::ToShard;
use crate::net::machine;
use crate::policy::login::{Revocation, Revocations, Whom};

impl Plane {
    /// Ends sessions on all shards.
    pub(super) fn revoke(&mut self, list: &[Revocation]) {
        if list.is_empty() {
            return;
        }
        let wall = machine::wall();
        list.iter().for_each(|revocation| self.sources.revoked.note(*revocation, wall));
        let told = Arc::new(Revocations { list: list.into(), line: self.sources.revoked.line() });
        self.shards.send_all(|_| ToShard::Revoked(Arc::clone(&told)));
    }

    /// Tells all shards which sessions have ended: a policy that is new, or that changed, knows of none.
    pub(super) fn tell_revoked(&mut self) {
        if self.sources.revoked.is_empty() {
            return;
        }
        let told = Arc::new(self.sources.revoked.all());
        self.shards.send_all(|_| ToShard::Revoked(Arc::clone(&told)));
    }

    /// A step of a login ended sessions: shards know before those that asked are answered, and the disk as well, where
    /// there is a store that takes it.
    pub(super) fn end_sessions(&mut self, ended: Ended) {
        let Ended { revoked, askers, answer } = ended;
        self.revoke(&revoked);
        let kept = self.keep_revoked(revoked);
        let told = self.sources.told();
        spawn_local(async move {
            if let Some(kept) = kept
                && !matches!(kept.await, Ok(Ok(())))
            {
                tracing::error!("the end of a session is not in the store; a new start forgets it");
            }
            // The receiver is gone only where the process ends.
            let _ = told.send(Told::Answer(askers, answer)).await;
        });
    }

    /// An operator ends sessions. Says of how many policies they may be.
    pub(super) fn end_sessions_of(&mut self, order: &EndSessions) -> usize {
        let wall = machine::wall();
        let plans = self.current.iter().flat_map(|current| &current.plan.sources);
        let logins = plans.filter_map(|source| match &source.asked_for {
            AskedFor::Logins(login) => Some((&*source.policy, &**login)),
            AskedFor::Keys(_) | AskedFor::Tokens(_) => None,
        });
        let revocation = |login: &LoginPlan, whom| {
            let whole = u64::try_from(login.lifetime.whole.as_micros()).unwrap_or(u64::MAX);
            Revocation { whom, begun: wall, until: Wall(wall.0.saturating_add(whole)) }
        };
        let is_meant = |policy: &str, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| wanted == policy);
        let revoked: Vec<Revocation> = logins
            .filter_map(|(policy, login)| match order {
                EndSessions::Session(id) => Some(revocation(login, Whom::session(id))),
                EndSessions::Subject(subject, wanted) => {
                    is_meant(policy, wanted).then(|| revocation(login, Whom::subject(&login.scope, subject)))
                }
                EndSessions::Sid(sid, wanted) => {
                    is_meant(policy, wanted).then(|| revocation(login, Whom::sid(&login.scope, sid)))
                }
            })
            .collect();
        self.revoke(&revoked);
        let policies = revoked.len();
        // Whoever waits for the disk looks at the audit's row, which comes behind it.
        drop(self.keep_revoked(revoked));
        policies
    }

    /// Notes who has signed in.
    pub(super) fn note_session(&mut self, row: SessionRow) {
        if let Ok(store) = self.registry.store() {
            // Where the store fails, the list of sessions lacks one.
            drop(store.ask(move |database| session::note(database, &row)));
        }
    }

    /// The store can be read again: what it knows of ended sessions counts as well.
    pub(super) fn remember_revoked(&mut self) {
        let Ok(store) = self.registry.store() else { return };
        let known = store.ask(|database| session::revocations(database, machine::wall()));
        let told = self.sources.told();
        spawn_local(async move {
            if let Ok(Ok(revoked)) = known.await {
                let _ = told.send(Told::Remembered(revoked)).await;
            }
        });
    }

    fn keep_revoked(&mut self, list: Vec<Revocation>) -> Option<Kept> {
        let store = self.registry.store().ok().filter(|_| !list.is_empty())?;
        let now = machine::wall().seconds();
        Some(store.ask(move |database| session::revoke(database, &list, now)))
    }
}

/// What becomes of a write of the store.
type Kept = tokio::sync::oneshot::Receiver<Result<(), crate::control::store::fault::StoreFault>>;
