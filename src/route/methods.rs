// SPDX-License-Identifier: Apache-2.0
//! Hot. Sets of methods as bits: one for each method that we know by name, one for each other token that a rule
//! names, one for all the rest.

use crate::wire::head::Method;

/// A set of methods; what its bits above the known ones mean is the table's (`Table::method_names`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodSet(u64);

/// The method tokens of one table.
#[derive(Debug, Default)]
pub(super) struct Methods {
    /// Tokens besides the known ones, in order of their bits.
    others: Vec<Box<str>>,
}

/// The methods known by name, by their bits.
const KNOWN: [(Method, &str); 9] = [
    (Method::Get, "GET"),
    (Method::Head, "HEAD"),
    (Method::Post, "POST"),
    (Method::Put, "PUT"),
    (Method::Delete, "DELETE"),
    (Method::Patch, "PATCH"),
    (Method::Options, "OPTIONS"),
    (Method::Connect, "CONNECT"),
    (Method::Trace, "TRACE"),
];
/// The bit of a token that no rule names, so that only rules for any method take it.
const UNNAMED: MethodSet = MethodSet(1 << 63);
/// Tokens besides the known ones that one table can tell apart.
pub(super) const OTHERS_MAX: usize = 63 - KNOWN.len();

impl MethodSet {
    /// No method.
    pub const EMPTY: MethodSet = MethodSet(0);
    /// Every method.
    pub const ALL: MethodSet = MethodSet(u64::MAX);

    /// True where it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    pub const fn union(self, other: MethodSet) -> MethodSet {
        MethodSet(self.0 | other.0)
    }

    /// Have they one in common?
    pub const fn meets(self, other: MethodSet) -> bool {
        self.0 & other.0 != 0
    }

    const fn of(method: Method) -> Option<MethodSet> {
        match method {
            Method::Other => None,
            Method::Get
            | Method::Head
            | Method::Post
            | Method::Put
            | Method::Delete
            | Method::Patch
            | Method::Options
            | Method::Connect
            | Method::Trace => Some(MethodSet(1 << method as u8)),
        }
    }
}

impl Methods {
    /// The set of one method, as a request names it.
    pub(super) fn of(&self, method: Method, text: &[u8]) -> MethodSet {
        MethodSet::of(method).unwrap_or_else(|| self.other(text).unwrap_or(UNNAMED))
    }

    /// The set of those tokens; all where there is none. `None` where the table would name too many different ones.
    pub(super) fn add(&mut self, tokens: &[Box<str>]) -> Option<MethodSet> {
        if tokens.is_empty() {
            return Some(MethodSet::ALL);
        }
        let mut set = MethodSet::EMPTY;
        for token in tokens {
            let known = MethodSet::of(Method::of(token.as_bytes())).or_else(|| self.other(token.as_bytes()));
            set = set.union(match known {
                Some(one) => one,
                None if self.others.len() == OTHERS_MAX => return None,
                None => {
                    self.others.push(token.clone());
                    MethodSet(1 << (KNOWN.len() + self.others.len() - 1))
                }
            });
        }
        Some(set)
    }

    pub(super) fn names(&self, set: MethodSet) -> impl Iterator<Item = &str> {
        let names = KNOWN.iter().map(|(_, name)| *name).chain(self.others.iter().map(|token| &**token));
        names.enumerate().filter(move |(bit, _)| set.0 & (1 << bit) != 0).map(|(_, name)| name)
    }

    #[cold]
    fn other(&self, text: &[u8]) -> Option<MethodSet> {
        let position = self.others.iter().position(|token| token.as_bytes() == text)?;
        Some(MethodSet(1 << (KNOWN.len() + position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_where_the_names_are() {
        for (bit, (method, name)) in KNOWN.iter().enumerate() {
            assert_eq!(MethodSet::of(*method), Some(MethodSet(1 << bit)));
            assert_eq!(Method::of(name.as_bytes()), *method);
        }
    }

    #[test]
    fn other_tokens_have_bits_of_their_own() {
        let mut methods = Methods::default();
        let set = methods.add(&["PROPFIND".into(), "GET".into(), "PROPFIND".into()]).unwrap();
        assert_eq!(methods.names(set).collect::<Vec<_>>(), ["GET", "PROPFIND"]);
        assert!(set.meets(methods.of(Method::Other, b"PROPFIND")) && !set.meets(methods.of(Method::Other, b"MOVE")));
        assert!(MethodSet::ALL.meets(methods.of(Method::Other, b"MOVE")));
        assert_eq!(MethodSet::ALL.union(set), MethodSet::ALL);
        assert_ne!(set, MethodSet::ALL);
        let many: Vec<Box<str>> = (0..OTHERS_MAX).map(|number| format!("M{number}").into()).collect();
        assert_eq!(methods.add(&many), None);
        assert_eq!(Methods::default().add(&many).map(MethodSet::is_empty), Some(false));
    }
}
