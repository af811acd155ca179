// SPDX-License-Identifier: Apache-2.0
//! Texts that came from environment variables and secret files, so that nothing that is printed shows them.
//!
//! Reports show `(hidden)` instead of them; `explain`, `status` and the line of a reload show the `${...}` that the
//! file has there.

use crate::config::location::Location;

/// A text up to this length is replaced only where it is a word of its own: inside of a word it may be there by chance.
const WORD_BYTES_MAX: usize = 3;
/// Bytes that a quotation may have in common with a hidden text without showing a part of it.
const COMMON_BYTES_MAX: usize = 5;
/// What a report shows instead.
const MASK: &str = "(hidden)";

/// All hidden texts of a configuration, the longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    list: Vec<HiddenText>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HiddenText {
    /// Where its value stands.
    location: Location,
    text: String,
    /// The `${...}` in the file that stands for it.
    written: String,
}

impl Hidden {
    /// Hides `text`, which stands at `location`, written as `written`; also each line of it.
    pub(super) fn add(&mut self, location: Location, text: &str, written: &str) {
        let lines = text.lines().map(str::trim).filter(|line| line.len() > WORD_BYTES_MAX && *line != text);
        for text in lines.chain([text]).filter(|text| !text.is_empty()) {
            self.list.push(HiddenText { location, text: text.to_owned(), written: written.to_owned() });
        }
    }

    /// The longest first: one may be a part of another.
    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|hidden| std::cmp::Reverse(hidden.text.len()));
        self.list.dedup();
    }

    /// The text with each hidden text as the file has it.
    pub(crate) fn conceal(&self, shown: &str) -> String {
        self.list.iter().fold(shown.to_owned(), |shown, hidden| replaced(&shown, &hidden.text, &hidden.written))
    }

    /// What must not stand in a report about `location`.
    pub(super) fn at(&self, location: Option<Location>) -> HiddenAt<'_> {
        let own = |hidden: &&HiddenText| location.is_some_and(|at| hidden.location.covers(at));
        let (own, others) = self.list.iter().partition(own);
        HiddenAt { own, others }
    }
}

/// Hidden texts as a report about one location sees them.
pub(super) struct HiddenAt<'h> {
    /// Those that stand at the location itself.
    own: Vec<&'h HiddenText>,
    others: Vec<&'h HiddenText>,
}

impl HiddenAt<'_> {
    /// Is the report about a hidden text?
    pub(super) fn is_hidden(&self) -> bool {
        !self.own.is_empty()
    }

    /// Does a line show a part of what stands at the location?
    pub(super) fn is_shown_in(&self, line: &str) -> bool {
        self.own.iter().any(|hidden| has_common(line, &hidden.text))
    }

    /// The line without hidden texts. Of one that stands at the location, no quotation shows a part either.
    pub(super) fn masked(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for hidden in &self.own {
            line = mask_quotations(&line, &|quoted| shares(quoted, &hidden.text));
            line = replaced(&line, &hidden.text, MASK);
        }
        for hidden in &self.others {
            line = match hidden.text.len() {
                ..=WORD_BYTES_MAX => mask_quotations(&line, &|quoted| quoted == hidden.text),
                _ => replaced(&line, &hidden.text, MASK),
            };
        }
        line
    }
}

/// `shown` with another text in place of each `text`, in any case of its ASCII letters.
fn replaced(shown: &str, text: &str, with: &str) -> String {
    let (lower, sought) = (shown.to_ascii_lowercase(), text.to_ascii_lowercase());
    let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let mut out = String::with_capacity(shown.len());
    let mut done = 0;
    for (at, _) in lower.match_indices(&sought) {
        let (before, after) = (at.checked_sub(1), at + sought.len());
        let word = !letter(before.and_then(|at| lower.as_bytes().get(at))) && !letter(lower.as_bytes().get(after));
        if word || text.len() > WORD_BYTES_MAX {
            out.push_str(&shown[done..at]);
            out.push_str(with);
            done = after;
        }
    }
    out.push_str(&shown[done..]);
    out
}

/// Masks what stands between backquotes where `hides` says so.
fn mask_quotations(line: &str, hides: &dyn Fn(&str) -> bool) -> String {
    let parts = line.split('`').enumerate();
    let masked = parts.map(|(index, part)| if index % 2 == 1 && hides(part) { MASK } else { part });
    masked.collect::<Vec<&str>>().join("`")
}

/// Is a quotation a part of a text, or a text a part of it, or do both have a part in common that is too long?
fn shares(quoted: &str, text: &str) -> bool {
    let (quoted, text) = (quoted.to_ascii_lowercase(), text.to_ascii_lowercase());
    (!quoted.is_empty() && text.contains(&quoted)) || has_common(&quoted, &text)
}

/// Do both have a part in common that is too long, or the whole of the text?
fn has_common(line: &str, text: &str) -> bool {
    let (line, text) = (line.to_ascii_lowercase(), text.to_ascii_lowercase());
    let size = text.len().min(COMMON_BYTES_MAX + 1);
    size > 0 && text.as_bytes().windows(size).any(|part| memchr::memmem::find(line.as_bytes(), part).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Location = Location { file: 0, start: 10, end: 30 };

    fn hidden(texts: &[&str]) -> Hidden {
        let mut hidden = Hidden::default();
        texts.iter().for_each(|text| hidden.add(PLACE, text, "${X}"));
        hidden.sort();
        hidden
    }

    #[test]
    fn what_is_printed_has_the_variable_in_place_of_its_value() {
        let hidden = hidden(&["s3cret", "Bearer s3cret", "dev", "line one\nline two"]);
        for (shown, concealed) in [
            ("with authorization: Bearer s3cret", "with authorization: ${X}"),
            ("with x: S3CRETs3cret", "with x: ${X}${X}"),
            ("x: dev, developer, /dev/null", "x: ${X}, developer, /${X}/null"),
            ("a\nline two\nb", "a\n${X}\nb"),
        ] {
            assert_eq!(hidden.conceal(shown), concealed);
        }
    }

    #[test]
    fn a_line_about_a_value_quotes_no_part_of_it() {
        let hidden = hidden(&["http://user:pass@host"]);
        let own = hidden.at(Some(PLACE));
        assert!(own.is_hidden() && own.is_shown_in("error: http://user:pa") && !own.is_shown_in("as a.example"));
        assert_eq!(own.masked("`user:pass` and `path` at HTTP://user:PASS@host"), "`(hidden)` and `path` at (hidden)");
    }

    #[test]
    fn a_line_about_something_else_shows_it_as_little() {
        let hidden = hidden(&["name-of-it", "x"]);
        for location in [None, Some(Location { start: 90, end: 95, ..PLACE })] {
            let other = hidden.at(location);
            assert!(!other.is_hidden());
            assert_eq!(other.masked("`Name-Of-It` and `x`: no next"), "`(hidden)` and `(hidden)`: no next");
        }
    }
}
