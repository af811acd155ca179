// SPDX-License-Identifier: Apache-2.0
//! Sessions that ended before their time: a session, all of one session of the issuer, or all of a subject.
//!
//! At most `REVOCATIONS_MAX`. Where it is full, the older half gives way to a line in time: every session that began
//! before that line counts as revoked, so that people sign in once more, and nobody who was signed out comes back.

use std::collections::HashMap;

use ahash::RandomState;
use sha2::{Digest, Sha256};

use crate::base::Wall;
use crate::base::limits::REVOCATIONS_MAX;
use crate::policy::login::session::Session;

/// Whose sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Whom(pub u128);

impl Whom {
    /// The session of this id.
    pub(crate) fn session(id: &str) -> Whom {
        Whom::digest(&[b"session", id.as_bytes()])
    }

    /// All that belong to a session of an issuer, as one of its clients knows it.
    pub(crate) fn sid(scope: &str, sid: &str) -> Whom {
        Whom::digest(&[b"sid", scope.as_bytes(), sid.as_bytes()])
    }

    /// All of a subject of an issuer, as one of its clients knows it.
    pub(crate) fn subject(scope: &str, subject: &str) -> Whom {
        Whom::digest(&[b"sub", scope.as_bytes(), subject.as_bytes()])
    }

    fn digest(parts: &[&[u8]]) -> Whom {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let digest = digest.finalize();
        let (half, _) = digest.split_first_chunk().expect("a SHA-256 has 32 bytes");
        Whom(u128::from_le_bytes(*half))
    }
}

/// An end of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Whose.
    pub whom: Whom,
    /// Of those that began until then.
    pub begun: Wall,
    /// By then all of these have ended by themselves.
    pub until: Wall,
}

/// Sessions that ended before their time, for all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Some of them, or all.
    pub list: Box<[Revocation]>,
    /// Every session that began until then is revoked as well.
    pub line: Wall,
}

/// What is revoked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Revoked {
    all: HashMap<Whom, (Wall, Wall), RandomState>,
    /// Sessions that began until then are revoked.
    line: Wall,
}

impl Revoked {
    /// Notes a revocation. `wall` is now.
    pub(crate) fn note(&mut self, revocation: Revocation, wall: Wall) {
        let Revocation { whom, begun, until } = revocation;
        if self.all.len() >= REVOCATIONS_MAX && !self.all.contains_key(&whom) {
            self.all.retain(|_, (_, until)| wall < *until);
            if self.all.len() >= REVOCATIONS_MAX {
                self.give_way();
            }
        }
        let entry = self.all.entry(whom).or_insert((begun, until));
        *entry = (entry.0.max(begun), entry.1.max(until));
    }

    /// The older half gives way, so that this is rare.
    fn give_way(&mut self) {
        let mut times: Vec<Wall> = self.all.values().map(|(begun, _)| *begun).collect();
        let middle = times.len() / 2;
        let (_, line, _) = times.select_nth_unstable(middle);
        self.line = self.line.max(*line);
        let line = self.line;
        self.all.retain(|_, (begun, _)| *begun > line);
    }

    /// Is this session revoked?
    pub(crate) fn has(&self, session: &Session, scope: &str) -> bool {
        let begun = Wall(session.begun);
        if begun <= self.line {
            return true;
        }
        if self.all.is_empty() {
            return false;
        }
        let covers = |whom: Whom| self.all.get(&whom).is_some_and(|(until, _)| begun <= *until);
        covers(Whom::session(&session.id))
            || session.sid.as_ref().is_some_and(|sid| covers(Whom::sid(scope, sid)))
            || covers(Whom::subject(scope, session.subject()))
    }

    /// Takes over what was revoked elsewhere.
    pub(crate) fn learn(&mut self, revocations: &Revocations, wall: Wall) {
        self.line = self.line.max(revocations.line);
        revocations.list.iter().for_each(|revocation| self.note(*revocation, wall));
    }

    /// Is nothing revoked?
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.line == Wall(0)
    }

    /// Every session that began until then is revoked.
    pub(crate) fn line(&self) -> Wall {
        self.line
    }

    /// All that is revoked, for a shard that knows nothing yet.
    pub(crate) fn all(&self) -> Revocations {
        let revocation =
            |(whom, times): (&Whom, &(Wall, Wall))| Revocation { whom: *whom, begun: times.0, until: times.1 };
        Revocations { list: self.all.iter().map(revocation).collect(), line: self.line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::login::session::tests::session;

    const NOW: Wall = Wall(2_000_000_000);

    fn revocation(whom: Whom, begun: u64) -> Revocation {
        Revocation { whom, begun: Wall(begun), until: Wall(NOW.0 * 2) }
    }

    #[test]
    fn a_session_ends_by_each_of_its_names() {
        let own = Session { sid: Some("s1".to_owned()), ..session() };
        for (whom, hit) in [
            (Whom::session("id"), true),
            (Whom::session("di"), false),
            (Whom::sid("scope", "s1"), true),
            (Whom::sid("other", "s1"), false),
            (Whom::sid("scope", "id"), false),
            (Whom::subject("scope", "anna"), true),
            (Whom::subject("scope", "s1"), false),
            (Whom::subject("scopea", "nna"), false),
        ] {
            let mut revoked = Revoked::default();
            revoked.note(revocation(whom, own.begun), NOW);
            assert_eq!(revoked.has(&own, "scope"), hit, "{whom:?}");
            let later = Session { begun: own.begun + 1, ..own.clone() };
            assert!(!revoked.has(&later, "scope"), "a later login is another");
        }
    }

    #[test]
    fn where_it_is_full_nobody_comes_back() {
        let mut revoked = Revoked::default();
        for number in 0..REVOCATIONS_MAX as u64 + 10 {
            revoked.note(revocation(Whom(u128::from(number)), 1_000 + number), NOW);
        }
        assert!(revoked.all.len() <= REVOCATIONS_MAX);
        let old = Session { begun: 1_003, ..session() };
        assert!(revoked.has(&old, "scope"));
        let newer = Session { begun: 1_000 + REVOCATIONS_MAX as u64, ..session() };
        assert!(!revoked.has(&newer, "scope"));
        let mut other = Revoked::default();
        other.learn(&revoked.all(), NOW);
        assert!(other.has(&old, "scope") && !other.has(&newer, "scope"));
    }

    #[test]
    fn what_ended_by_itself_makes_room() {
        let mut revoked = Revoked::default();
        for number in 0..REVOCATIONS_MAX as u64 {
            let until = Wall(NOW.0 - 1);
            revoked.note(Revocation { until, ..revocation(Whom(u128::from(number)), 1_000) }, Wall(0));
        }
        revoked.note(revocation(Whom(u128::MAX), 1_000), NOW);
        assert_eq!((revoked.all.len(), revoked.line), (1, Wall(0)));
    }
}
