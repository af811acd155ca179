// SPDX-License-Identifier: Apache-2.0
//! Sessions of browsers in the store: who has signed in, for operators, and which sessions ended before their time, for
//! the next start. The sessions themselves lie in the browsers.

use crate::base::Wall;
use crate::control::store::database::value::Row;
use crate::control::store::database::{Database, values};
use crate::control::store::fault::StoreFault;
use crate::control::store::object::Page;
use crate::policy::login::{Revocation, Whom};

/// A session, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    /// What it is known by.
    pub id: String,
    /// The policy that signed the person in.
    pub policy: String,
    /// The issuer.
    pub issuer: String,
    /// Whom the issuer means.
    pub subject: String,
    /// What people call whom the issuer means: a name or an address.
    pub label: String,
    /// When it began, in seconds since 1970.
    pub begun: u64,
    /// When it was renewed last, in seconds since 1970.
    pub renewed: u64,
    /// When it ends unless it is renewed, in seconds since 1970.
    pub ends: u64,
    /// What ends it before: its id, the issuer's session, the subject.
    pub marks: (Whom, Option<Whom>, Whom),
}

/// Which sessions are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Only those of this subject.
    pub subject: Option<String>,
    /// Only those of this policy.
    pub policy: Option<String>,
}

/// Sessions that have ended by themselves and are removed with one write, so that a write stays short.
const SWEPT_MAX: i64 = 256;

const COLUMNS: &str = "id, policy, issuer, subject, label, begun, renewed, ends, by_id, by_sid, by_subject";

/// Notes that somebody has signed in, or that a session was renewed.
pub(crate) fn note(database: &mut Database, row: &SessionRow) -> Result<(), StoreFault> {
    let (id, sid, subject) = row.marks;
    let (id, sid, subject) = (bytes(id), sid.map(bytes), bytes(subject));
    database.transaction(|database| {
        sweep(database, row.renewed)?;
        let sql = format!(
            "INSERT INTO sessions ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             ON CONFLICT (id) DO UPDATE SET renewed = excluded.renewed, ends = excluded.ends, label = excluded.label"
        );
        let values = values![
            &row.id,
            &row.policy,
            &row.issuer,
            &row.subject,
            &row.label,
            row.begun,
            row.renewed,
            row.ends,
            &id,
            sid.as_ref().map(|sid| &sid[..]),
            &subject,
        ];
        database.execute(&sql, values).map(|_| ())
    })
}

/// Sessions behind the id `after` that have not ended at `now`, at most `limit`.
pub(crate) fn list(
    database: &mut Database,
    filter: &Filter,
    (after, limit): (Option<&str>, usize),
    now: u64,
) -> Result<Page<SessionRow>, StoreFault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions WHERE id > $1 AND ends > $2 AND ($3 = '' OR subject = $3) \
         AND ($4 = '' OR policy = $4) ORDER BY id LIMIT $5"
    );
    let (subject, policy) = (filter.subject.as_deref().unwrap_or(""), filter.policy.as_deref().unwrap_or(""));
    let rows = database.query(&sql, values![after.unwrap_or(""), now, subject, policy, limit as i64 + 1], row_of)?;
    Ok(Page::of(rows, limit, |row| row.id.clone()))
}

/// Keeps what ends sessions, and forgets these.
pub(crate) fn revoke(database: &mut Database, list: &[Revocation], now: u64) -> Result<(), StoreFault> {
    database.transaction(|database| {
        sweep(database, now)?;
        for Revocation { whom, begun, until } in list {
            let whom = bytes(*whom);
            // Nothing that lasts for longer than numbers of the database can say is kept shorter than these.
            let until = i64::try_from(until.0).unwrap_or(i64::MAX);
            database.execute(
                "INSERT INTO revocations (whom, begun, ends) VALUES ($1, $2, $3) \
                 ON CONFLICT (whom) DO UPDATE SET begun = excluded.begun, ends = excluded.ends",
                values![&whom, begun.0, until],
            )?;
            database.execute(
                "DELETE FROM sessions WHERE (by_id = $1 OR by_sid = $1 OR by_subject = $1) AND begun <= $2",
                values![&whom, begun.seconds()],
            )?;
        }
        Ok(())
    })
}

/// What ended before its time and would not have ended by itself at `now`.
pub(crate) fn revocations(database: &mut Database, now: Wall) -> Result<Vec<Revocation>, StoreFault> {
    let sql = "SELECT whom, begun, ends FROM revocations WHERE ends > $1";
    let all = database.query(sql, values![now.0], |row| {
        let whom: Vec<u8> = row.get(0)?;
        let (begun, until): (u64, u64) = (row.get(1)?, row.get(2)?);
        Ok(whom.try_into().ok().map(|whom| Revocation {
            whom: Whom(u128::from_be_bytes(whom)),
            begun: Wall(begun),
            until: Wall(until),
        }))
    })?;
    Ok(all.into_iter().flatten().collect())
}

/// Removes a few of those that ended by themselves.
fn sweep(database: &mut Database, now: u64) -> Result<(), StoreFault> {
    let sessions = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ends <= $1 LIMIT $2)";
    database.execute(sessions, values![now, SWEPT_MAX])?;
    let revocations = "DELETE FROM revocations WHERE whom IN (SELECT whom FROM revocations WHERE ends <= $1 LIMIT $2)";
    database.execute(revocations, values![now.saturating_mul(1_000_000), SWEPT_MAX])?;
    Ok(())
}

fn row_of(row: Row<'_>) -> Result<SessionRow, StoreFault> {
    let (id, sid, subject): (Vec<u8>, Option<Vec<u8>>, Vec<u8>) = (row.get(8)?, row.get(9)?, row.get(10)?);
    let whom = |bytes: Vec<u8>| Whom(bytes.try_into().map(u128::from_be_bytes).unwrap_or_default());
    Ok(SessionRow {
        id: row.get(0)?,
        policy: row.get(1)?,
        issuer: row.get(2)?,
        subject: row.get(3)?,
        label: row.get(4)?,
        begun: row.get(5)?,
        renewed: row.get(6)?,
        ends: row.get(7)?,
        marks: (whom(id), sid.map(whom), whom(subject)),
    })
}

fn bytes(whom: Whom) -> [u8; 16] {
    whom.0.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::store::file;

    fn store() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().expect("a folder");
        let database = file::open(&folder.path().join("store")).expect("a store");
        (folder, database)
    }

    fn row(id: &str, subject: &str, begun: u64) -> SessionRow {
        let text = |text: &str| text.to_owned();
        SessionRow {
            id: text(id),
            policy: text("sign_in"),
            issuer: text("https://login.test"),
            subject: text(subject),
            label: text("Anna"),
            begun,
            renewed: begun,
            ends: begun + 100,
            marks: (Whom::session(id), Some(Whom::sid("scope", id)), Whom::subject("scope", subject)),
        }
    }

    fn ids(database: &mut Database, filter: &Filter, now: u64) -> Vec<String> {
        let page = list(database, filter, (None, 10), now).expect("a page");
        page.items.into_iter().map(|row| row.id).collect()
    }

    #[test]
    fn sessions_are_listed_until_they_end() {
        let (_folder, mut database) = store();
        for row in [row("a", "anna", 10), row("b", "bob", 20), row("c", "anna", 30)] {
            note(&mut database, &row).expect("noted");
        }
        note(&mut database, &SessionRow { renewed: 60, ends: 160, ..row("a", "anna", 10) }).expect("renewed");
        assert_eq!(ids(&mut database, &Filter::default(), 125), ["a", "c"]);
        let anna = Filter { subject: Some("anna".to_owned()), policy: Some("sign_in".to_owned()) };
        assert_eq!(ids(&mut database, &anna, 100), ["a", "c"]);
        assert_eq!(ids(&mut database, &Filter { policy: Some("x".to_owned()), ..anna }, 100), [""; 0]);
        let page = list(&mut database, &Filter::default(), (Some("a"), 1), 100).expect("a page");
        assert_eq!((page.items[0].id.as_str(), page.next.as_deref()), ("b", Some("b")));
    }

    #[test]
    fn what_is_revoked_is_known_after_a_restart() {
        let (_folder, mut database) = store();
        for row in [row("a", "anna", 10), row("b", "bob", 20), row("c", "anna", 30), row("d", "anna", 50)] {
            note(&mut database, &row).expect("noted");
        }
        let (begun, until) = (Wall(40_000_000), Wall(200_000_000));
        let revocation = Revocation { whom: Whom::subject("scope", "anna"), begun, until };
        let other = Revocation { whom: Whom::sid("scope", "b"), begun, until: Wall(u64::MAX) };
        revoke(&mut database, &[revocation, other], 40).expect("revoked");
        assert_eq!(ids(&mut database, &Filter::default(), 41), ["d"]);
        let mut known = revocations(&mut database, Wall(41_000_000)).expect("read");
        known.sort_by_key(|revocation| revocation.until);
        assert_eq!((known.len(), known[0]), (2, revocation));
        assert_eq!(revocations(&mut database, Wall(200_000_000)).expect("read").len(), 1);
    }
}
