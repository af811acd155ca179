// SPDX-License-Identifier: Apache-2.0
//! Entity tags and the conditions of requests (RFC 9110 section 13), so that nobody overwrites what another has just
//! changed.
//!
//! An object's tag is its revision in quotes, and strong. A condition is optional; one that is sent is kept to.

use hyper::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};

use crate::control::admin::problem::{Problem, Reason};
use crate::control::store::object::Expected;

/// What must hold for a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Precondition {
    matches: Option<Tags>,
    matches_none: Option<Tags>,
}

/// A list of tags, or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// The strong ones, without quotes.
    Listed(Vec<String>),
}

/// The tag of a revision.
pub(crate) fn tag(revision: u64) -> String {
    format!("\"{revision}\"")
}

impl Precondition {
    /// Reads the two fields.
    pub(crate) fn parse(fields: &HeaderMap) -> Result<Precondition, Problem> {
        let matches = tags(fields, &IF_MATCH, Weak::Ignored).map_err(|()| wrong("If-Match"))?;
        let matches_none = tags(fields, &IF_NONE_MATCH, Weak::Counts).map_err(|()| wrong("If-None-Match"))?;
        Ok(Precondition { matches, matches_none })
    }

    /// What a write expects of what has this revision now; `None` where it does not exist. What the store finds is
    /// compared with it again.
    pub(crate) fn expected(&self, revision: Option<u64>) -> Result<Expected, Problem> {
        let stale = |detail: &str| Err(Problem::new(Reason::Stale, detail));
        match (&self.matches, revision) {
            (Some(_), None) => return stale("`If-Match` was sent, and it does not exist"),
            (Some(tags), Some(now)) if !tags.has(now) => {
                return stale(&format!("`If-Match` names another revision; it is {} now", tag(now)));
            }
            (Some(_) | None, _) => {}
        }
        match (&self.matches_none, revision) {
            (Some(tags), Some(now)) if tags.has(now) => return stale("`If-None-Match` was sent, and it exists"),
            (Some(_), None) => return Ok(Expected::Absent),
            (Some(_) | None, _) => {}
        }
        Ok(match (&self.matches, revision) {
            (Some(_), Some(now)) => Expected::Revision(now),
            (Some(_) | None, _) => Expected::Any,
        })
    }

    /// Is there a condition?
    pub(crate) fn is_any(&self) -> bool {
        self.matches.is_some() || self.matches_none.is_some()
    }

    /// Has the reader of what has this revision the same already (304)?
    pub(crate) fn is_known(&self, revision: u64) -> bool {
        self.matches_none.as_ref().is_some_and(|tags| tags.has(revision))
    }
}

impl Tags {
    fn has(&self, revision: u64) -> bool {
        match self {
            Tags::Any => true,
            Tags::Listed(list) => list.iter().any(|listed| *listed == revision.to_string()),
        }
    }
}

fn wrong(name: &'static str) -> Problem {
    Problem::header(name, format!("`{name}` is `*` or a list of entity tags in quotes"))
}

/// What a weak tag counts for: `If-Match` compares strongly, `If-None-Match` weakly.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weak {
    Ignored,
    Counts,
}

fn tags(fields: &HeaderMap, name: &HeaderName, weak: Weak) -> Result<Option<Tags>, ()> {
    let values: Vec<&str> =
        fields.get_all(name).iter().map(|value| value.to_str().map_err(|_| ())).collect::<Result<_, ()>>()?;
    if values.is_empty() {
        return Ok(None);
    }
    let value = values.join(",");
    if value.trim() == "*" {
        return Ok(Some(Tags::Any));
    }
    let mut listed = Vec::new();
    let mut rest = value.trim_matches([' ', '\t', ',']);
    if rest.is_empty() {
        return Err(());
    }
    while !rest.is_empty() {
        let strong = rest.strip_prefix("W/");
        let opened = strong.unwrap_or(rest).strip_prefix('"').ok_or(())?;
        let (opaque, behind) = opened.split_once('"').ok_or(())?;
        if strong.is_none() || weak == Weak::Counts {
            listed.push(opaque.to_owned());
        }
        let next = behind.trim_start_matches([' ', '\t']);
        if !next.is_empty() && !next.starts_with(',') {
            return Err(());
        }
        rest = next.trim_start_matches([' ', '\t', ',']);
    }
    Ok(Some(Tags::Listed(listed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[(&'static str, &str)]) -> Result<Precondition, Problem> {
        let fields = list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Precondition::parse(&fields.collect())
    }

    #[test]
    fn writes_keep_to_conditions() {
        let holds = |fields: &[(&'static str, &str)], revision| read(fields).expect("read").expected(revision).is_ok();
        for (fields, absent, seven) in [
            (&[][..], true, true),
            (&[("if-match", "\"7\"")], false, true),
            (&[("if-match", "\"6\", \"7\"")], false, true),
            (&[("if-match", "\"6\"")], false, false),
            (&[("if-match", "W/\"7\"")], false, false),
            (&[("if-match", "*")], false, true),
            (&[("if-none-match", "*")], true, false),
            (&[("if-none-match", "\"7\"")], true, false),
            (&[("if-none-match", "W/\"7\"")], true, false),
            (&[("if-none-match", "\"6\"")], true, true),
            (&[("if-match", "\"6\""), ("if-match", "\"7\"")], false, true),
            (&[("if-match", "\"07\"")], false, false),
        ] {
            assert_eq!((holds(fields, None), holds(fields, Some(7))), (absent, seven), "{fields:?}");
        }
        for wrong in ["", ",", "7", "\"7", "7\"", "\"7\" \"8\"", "*, \"7\"", "\"7\"x"] {
            assert!(read(&[("if-match", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn readers_are_told_that_they_know_it() {
        assert!(read(&[("if-none-match", "\"7\"")]).expect("read").is_known(7));
        assert!(!read(&[("if-none-match", "\"6\"")]).expect("read").is_known(7));
        assert!(!read(&[]).expect("read").is_known(7));
    }
}
