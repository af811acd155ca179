// SPDX-License-Identifier: Apache-2.0
//! What came of tests, for people: a line for each, then what differs, then a line for all. Coloured on a terminal.

use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::time::Duration;

use crate::command::trial::ran::{Ran, place};
use crate::trial::{Difference, Outcome, Test};

/// How text is shown.
#[derive(Clone, Copy)]
enum Style {
    Good,
    Bad,
    Strong,
}

/// The line before the tests of a file.
pub(super) fn heading(path: &Path, tests: usize) -> String {
    let what = if tests == 1 { "test" } else { "tests" };
    format!("\nrunning {tests} {what} of {}\n", path.display())
}

/// The line of a test.
pub(super) fn line(test: &Test, outcome: &Outcome) -> String {
    let word = match outcome {
        Outcome::Passed => shown(Style::Good, "ok"),
        Outcome::Differs(_) => shown(Style::Bad, "FAILED"),
        Outcome::Broken(_) => shown(Style::Bad, "BROKEN"),
    };
    format!("test {} ... {word}\n", test.name)
}

/// What differs, and how many tests passed.
pub(super) fn summary(ran: &[Ran<'_>], took: Duration) -> String {
    let mut out = String::new();
    let all = || ran.iter().flat_map(|ran| ran.tests.iter().map(move |(test, outcome, _)| (ran, test, outcome)));
    for (ran, test, outcome) in all() {
        let heading = || format!("\n{} ({})\n", shown(Style::Strong, &test.name), place(ran.path, test.place));
        match outcome {
            Outcome::Passed => {}
            Outcome::Broken(reason) => out.push_str(&format!("{}  could not be run: {reason}\n", heading())),
            Outcome::Differs(found) => out.push_str(&format!("{}{}", heading(), differences(ran, found))),
        }
    }
    let failed: usize = ran.iter().map(Ran::failed).sum();
    let passed = all().count() - failed;
    let left_out: usize = ran.iter().map(|ran| ran.left_out).sum();
    let word = if failed == 0 { shown(Style::Good, "ok") } else { shown(Style::Bad, "FAILED") };
    let seconds = took.as_secs_f64();
    out.push_str(&format!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {left_out} filtered out; finished in {seconds:.2}s\n"
    ));
    out
}

/// The differences of a test, those of one request together.
fn differences(ran: &Ran<'_>, found: &[Difference]) -> String {
    let mut out = String::new();
    let mut before = None;
    let width = found.iter().map(|difference| difference.what.chars().count()).max().unwrap_or(0);
    for difference in found {
        if before != Some(difference.place) {
            out.push_str(&format!("  {}, {}\n", difference.place, place(ran.path, difference.place.at)));
            before = Some(difference.place);
        }
        let Difference { what, expected, got, .. } = difference;
        out.push_str(&format!("    {what:<width$}  {}\n", shown(Style::Good, &format!("- expected {expected}"))));
        out.push_str(&format!("    {:<width$}  {}\n", "", shown(Style::Bad, &format!("+ got      {got}"))));
    }
    out
}

fn shown(style: Style, text: &str) -> String {
    if !stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return text.to_owned();
    }
    let code = match style {
        Style::Good => 32,
        Style::Bad => 31,
        Style::Strong => 1,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
