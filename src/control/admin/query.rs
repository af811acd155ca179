// SPDX-License-Identifier: Apache-2.0
//! Paths and queries of the admin API, read strictly: a parameter that nobody knows, that stands twice or that is not
//! UTF-8 is refused. Also the cursors of lists.
//!
//! A cursor says behind which key a list goes on. Keys are in order, so whoever walks a list sees each object that is
//! there all the time exactly once, whatever is created and deleted meanwhile.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::percent;
use crate::control::admin::problem::Problem;

/// Most objects in one answer.
pub(crate) const LIMIT_MAX: usize = 1_000;
/// How many there are where nothing is said.
pub(crate) const LIMIT: usize = 100;
/// Longest key behind a cursor.
const KEY_BYTES_MAX: usize = 2_048;

/// The parameters of a query, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a query; all of its names must be `known`.
    pub(crate) fn parse(query: &str, known: &[&str]) -> Result<Query, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| percent::decode(&text.replace('+', " "));
            let Some(name) = decoded(name).filter(|name| known.contains(&name.as_str())) else {
                let shown: String = name.chars().take(64).collect();
                let detail = match known {
                    [] => "no parameters are taken here".to_owned(),
                    known => format!("`{}` is not known; there are {}", shown.escape_debug(), known.join(", ")),
                };
                return Err(Problem::parameter(&shown, detail));
            };
            if pairs.iter().any(|(taken, _)| *taken == name) {
                return Err(Problem::parameter(&name, format!("`{name}` stands twice")));
            }
            let Some(value) = decoded(value) else {
                return Err(Problem::parameter(&name, format!("`{name}` is not encoded UTF-8")));
            };
            pairs.push((name, value));
        }
        Ok(Query { pairs })
    }

    /// The value of a parameter.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(taken, _)| taken == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is `true` or `false`.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Problem::parameter(name, format!("`{name}` is true or false"))),
        }
    }

    /// A parameter that is one of these words.
    pub(crate) fn word(&self, name: &str, words: &[&str]) -> Result<Option<&str>, Problem> {
        match self.value(name) {
            Some(value) if !words.contains(&value) => {
                Err(Problem::parameter(name, format!("`{name}` is one of {}", words.join(", "))))
            }
            value => Ok(value),
        }
    }

    /// Which part of a list is asked for, by `limit` and `cursor`.
    pub(crate) fn part(&self) -> Result<Part, Problem> {
        let limit = match self.value("limit").map(str::parse) {
            None => LIMIT,
            Some(Ok(limit)) if (1..=LIMIT_MAX).contains(&limit) => limit,
            Some(_) => return Err(Problem::parameter("limit", format!("`limit` is a number from 1 to {LIMIT_MAX}"))),
        };
        let after = self.value("cursor").map(|cursor| {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().filter(|bytes| bytes.len() <= KEY_BYTES_MAX);
            let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let key = key.and_then(|key| key.strip_prefix(CURSOR).map(str::to_owned));
            key.ok_or_else(|| Problem::parameter("cursor", "`cursor` is not one that a list gave"))
        });
        Ok(Part { limit, after: after.transpose()? })
    }
}

/// What a cursor's text begins with, so that those of another version are refused.
const CURSOR: &str = "1:";

/// The part of a list that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// So many at most.
    pub limit: usize,
    /// Those behind this key.
    pub after: Option<String>,
}

impl Part {
    /// The cursor for what follows `key`.
    pub(crate) fn cursor(key: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{CURSOR}{key}"))
    }

    /// Takes this part of a list that is sorted by key, and the cursor of the next one.
    pub(crate) fn of<T>(&self, list: impl Iterator<Item = T>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let after = self.after.as_deref();
        let mut part: Vec<T> =
            list.filter(|item| after.is_none_or(|after| key(item).as_str() > after)).take(self.limit + 1).collect();
        let more = part.len() > self.limit;
        part.truncate(self.limit);
        let next = part.last().filter(|_| more).map(|last| Part::cursor(&key(last)));
        (part, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        let known = ["limit", "cursor", "group"];
        for (query, parameter) in [
            ("grup=a", "grup"),
            ("group=a&group=b", "group"),
            ("group=%zz", "group"),
            ("group=%ff", "group"),
            ("group=%00", "group"),
            ("group=%2", "group"),
            ("%67roup=a&group=b", "group"),
        ] {
            let problem = Query::parse(query, &known).expect_err(query);
            assert_eq!(problem.members["parameter"], parameter, "{query}");
        }
        let query = Query::parse("group=a%20b&&limit=2", &known).expect("a query");
        assert_eq!((query.value("group"), query.value("cursor")), (Some("a b"), None));
        for query in ["limit=0", "limit=1001", "limit=x", "limit=", "cursor=!", "cursor=YWJj", "cursor="] {
            assert!(Query::parse(query, &known).expect("known").part().is_err(), "{query}");
        }
    }

    #[test]
    fn a_walk_sees_each_object_that_stays_exactly_once_while_others_come_and_go() {
        let mut names: Vec<String> = (0..100).map(|number| format!("n{number:03}")).collect();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let text = cursor.map_or_else(|| "limit=7".to_owned(), |cursor: String| format!("limit=7&cursor={cursor}"));
            let part = Query::parse(&text, &["limit", "cursor"]).expect("known").part().expect("a part");
            let (page, next) = part.of(names.iter().cloned(), String::clone);
            seen.extend(page);
            let Some(next) = next else { break };
            cursor = Some(next);
            // Odd ones vanish, new ones appear before and behind.
            names.retain(|name| !name.ends_with('1'));
            names.push(format!("a{}", seen.len()));
            names.push(format!("n{:03}x", seen.len() + 3));
            names.sort();
        }
        for number in (0..100).filter(|number| number % 10 != 1) {
            let name = format!("n{number:03}");
            assert_eq!(seen.iter().filter(|seen| **seen == name).count(), 1, "{name}");
        }
    }
}
