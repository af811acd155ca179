// SPDX-License-Identifier: Apache-2.0
//! One source file as the rules see it, and what a rule has to say about it.

use std::fmt;

use super::token::{Kind, Token, tokens};

/// The licence line, which may stand before a file's header.
pub(crate) const LICENCE: &str = "// SPDX-License-Identifier: Apache-2.0\n";

/// A Rust file.
pub(crate) struct Source {
    /// Relative to the repository, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Its code, without comments.
    pub code: Vec<Token>,
    /// Its comments.
    pub comments: Vec<Token>,
    /// The line where its tests start; one where all of it is a test, `usize::MAX` where nothing is.
    pub tests_from: usize,
}

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file.
    pub path: String,
    /// The line, from one.
    pub line: usize,
    /// The rule's short name, as `tidy(name): reason` takes it.
    pub rule: &'static str,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}: {}", self.path, self.line, self.rule, self.what)
    }
}

impl Source {
    /// Reads a file's text.
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let (comments, code): (Vec<_>, Vec<_>) =
            tokens(text).into_iter().partition(|token| matches!(token.kind, Kind::Comment(_)));
        let whole = is_test_file(path);
        let tests_from = if whole { 1 } else { tests_line(&code) };
        Source { path: path.into(), text: text.into(), code, comments, tests_from }
    }

    /// The top-level folder under `src`, or the top-level file's stem; none for files elsewhere.
    pub(crate) fn folder(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// Is this line part of the tests?
    pub(crate) fn is_test(&self, line: usize) -> bool {
        line >= self.tests_from
    }

    /// Tokens outside of tests.
    pub(crate) fn product(&self) -> &[Token] {
        let end = self.code.iter().position(|token| self.is_test(token.line)).unwrap_or(self.code.len());
        &self.code[..end]
    }

    /// The text behind the licence line.
    pub(crate) fn content(&self) -> &str {
        self.text.strip_prefix(LICENCE).unwrap_or(&self.text)
    }

    /// Does the file's header start with `Hot.`?
    pub(crate) fn is_hot(&self) -> bool {
        self.content().starts_with("//! Hot.")
    }

    /// A finding about this file.
    pub(crate) fn finding(&self, line: usize, rule: &'static str, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, rule, what: what.into() }
    }

    /// Is the finding excused by a comment `tidy(rule): reason` on its line or on the comment lines right above?
    pub(crate) fn excuses(&self, finding: &Finding) -> bool {
        let mark = format!("tidy({}): ", finding.rule);
        let mut line = finding.line;
        loop {
            let found = self.comments.iter().find(|comment| comment.line == line);
            let text = found.map(|comment| match &comment.kind {
                Kind::Comment(text) => text.as_str(),
                Kind::Word(_) | Kind::Mark(_) | Kind::Literal => "",
            });
            match text {
                Some(text) if text.split_once(&mark).is_some_and(|(_, reason)| reason.trim().len() >= 10) => {
                    return true;
                }
                Some(_) => line -= 1,
                None if line == finding.line => line -= 1,
                None => return false,
            }
        }
    }
}

fn is_test_file(path: &str) -> bool {
    let tests = ["src/tidy", "loadtest/tests/", "benches/"];
    tests.iter().any(|start| path.starts_with(start)) || path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The line of the `#[cfg(test)]` that stands before `mod tests {`.
fn tests_line(code: &[Token]) -> usize {
    let attribute = |at: usize| {
        let words = ["cfg", "test"].iter().zip([2, 4]).all(|(word, ahead)| code[at + ahead].is_word(word));
        let marks = [('#', 0), ('[', 1), ('(', 3), (')', 5), (']', 6)];
        words && marks.iter().all(|(mark, ahead)| code[at + ahead].is_mark(*mark))
    };
    let mut starts = (0..code.len().saturating_sub(9)).filter(|at| attribute(*at) && code[at + 7].is_word("mod"));
    // `mod tests;` among the other modules is not where tests begin.
    starts.find(|at| code[at + 8].is_word("tests") && code[at + 9].is_mark('{')).map_or(usize::MAX, |at| code[at].line)
}
