// SPDX-License-Identifier: Apache-2.0
//! What came of tests, as the XML that build servers read (JUnit).

use std::fmt::Write;

use crate::command::trial::ran::{Ran, place};
use crate::trial::Outcome;

/// The document: a suite for each file.
pub(super) fn document(ran: &[Ran<'_>]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for ran in ran {
        let name = escaped(&ran.path.display().to_string());
        let (tests, failed) = (ran.tests.len(), ran.failed());
        let seconds: f64 = ran.tests.iter().map(|(_, _, took)| took.as_secs_f64()).sum();
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" skipped=\"0\" time=\"{seconds:.3}\">"
        );
        for (test, outcome, took) in &ran.tests {
            let (case, took) = (escaped(&test.name), took.as_secs_f64());
            let _ = write!(out, "    <testcase classname=\"{name}\" name=\"{case}\" time=\"{took:.3}\"");
            let (message, text) = match outcome {
                Outcome::Passed => {
                    out.push_str("/>\n");
                    continue;
                }
                Outcome::Broken(reason) => ("could not be run".to_owned(), reason.clone()),
                Outcome::Differs(found) => {
                    let line = |found: &crate::trial::Difference| {
                        let at = place(ran.path, found.place.at);
                        format!("{at}: {}: expected {}, got {}", found.what, found.expected, found.got)
                    };
                    let message = found.first().map(|found| format!("{} differs", found.what)).unwrap_or_default();
                    (message, found.iter().map(line).collect::<Vec<_>>().join("\n"))
                }
            };
            let (message, text) = (escaped(&message), escaped(&text));
            let _ = writeln!(out, ">\n      <failure message=\"{message}\">{text}</failure>\n    </testcase>");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// As XML has it. Characters that XML 1.0 does not have become `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_becomes_markup() {
        assert_eq!(escaped("<a b=\"c\">&\u{1b}[31m\n"), "&lt;a b=&quot;c&quot;&gt;&amp;?[31m\n");
    }
}
