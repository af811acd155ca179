// SPDX-License-Identifier: Apache-2.0
//! A regular expression over a whole value, and the literal bytes that every match begins with.

use regex::bytes::{Regex, RegexBuilder};

use crate::base::limits::REGEX_PROGRAM_BYTES_MAX;

/// A regular expression that must match a whole value, from its first byte to its last, as if written `^(?:…)$`.
///
/// It works on bytes: `.` is any byte but a line feed, `\w` and `\d` are ASCII, unless the expression says `(?u)`.
#[derive(Clone, Debug)]
pub struct WholeRegex {
    text: Box<str>,
    regex: Regex,
}

impl WholeRegex {
    /// Compiles `text`. Errors are the `regex` crate's, and also say where a program would pass
    /// `limits::REGEX_PROGRAM_BYTES_MAX`.
    pub fn new(text: &str) -> Result<WholeRegex, regex::Error> {
        // Alone first: `a)(b` is wrong by itself, but would be right inside of our group.
        builder(text).build()?;
        let regex = builder(&format!(r"\A(?:{text})\z")).build()?;
        Ok(WholeRegex { text: text.into(), regex })
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The compiled expression. A clone has its own scratch memory, so that threads do not meet in it.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// Literal bytes with which every match begins; possibly none. Errs on the short side.
    pub fn literal_prefix(&self) -> &[u8] {
        let text = self.text.strip_prefix('^').unwrap_or(&self.text);
        // An alternation anywhere (also one inside of a group or a class, which does no harm) may begin in another way.
        if text.contains('|') {
            return b"";
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_~%!@:;=,<>\"'&".contains(&byte);
        let bytes = text.as_bytes();
        let end = bytes.iter().position(|byte| !plain(*byte)).unwrap_or(bytes.len());
        // The last plain byte belongs to a repetition that may be for zero times; with `+` it may where that is
        // repeated in its turn.
        let repeats = |at: usize| bytes.get(at).is_some_and(|byte| b"?*{".contains(byte));
        let repeated = repeats(end) || (bytes.get(end) == Some(&b'+') && repeats(end + 1));
        &bytes[..if repeated { end.saturating_sub(1) } else { end }]
    }
}

impl PartialEq for WholeRegex {
    fn eq(&self, other: &WholeRegex) -> bool {
        self.text == other.text
    }
}

impl Eq for WholeRegex {}

fn builder(text: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(text);
    builder.unicode(false).size_limit(REGEX_PROGRAM_BYTES_MAX);
    builder
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_match_begins_with_the_literal_prefix(
            text in "[\\^]?/[ab/.?*+|()\\[\\]{}2^$\\\\-]{0,10}",
            values in prop::collection::vec("/[ab/2-]{0,6}", 20),
        ) {
            let Ok(regex) = WholeRegex::new(&text) else { return Ok(()) };
            for value in values.iter().chain([&"/".to_owned()]) {
                let begins = value.as_bytes().starts_with(regex.literal_prefix());
                prop_assert!(begins || !regex.regex().is_match(value.as_bytes()), "{} and {}", text, value);
            }
        }
    }

    #[test]
    fn a_regex_matches_the_whole() {
        let regex = WholeRegex::new("a|ab").unwrap();
        assert!(regex.regex().is_match(b"ab") && !regex.regex().is_match(b"abc") && !regex.regex().is_match(b"xa"));
        assert!(WholeRegex::new("a)(b").is_err());
        assert!(WholeRegex::new(r"(?:\w{1000}){1000}").is_err());
    }

    #[test]
    fn a_regex_names_its_literal_prefix() {
        let prefix = |text| String::from_utf8(WholeRegex::new(text).unwrap().literal_prefix().to_vec()).unwrap();
        assert_eq!(prefix("/api/v[0-9]+"), "/api/v");
        assert_eq!(prefix("^/api/.*"), "/api/");
        assert_eq!(prefix("/apis?/x"), "/api");
        assert_eq!(prefix("/api{2}"), "/ap");
        assert_eq!(prefix("/a|/b"), "");
        assert_eq!(prefix("(?i)/a"), "");
        assert_eq!(prefix("/a+b"), "/a");
        assert_eq!(prefix("/same"), "/same");
    }
}
