// SPDX-License-Identifier: Apache-2.0
//! `turnpike test`: runs the tests of configurations and says what differs.

mod json;
mod junit;
mod ran;
mod text;

use std::process::ExitCode;
use std::time::Instant;

use crate::command::arguments::{TestArguments, TestOutput};
use crate::command::trial::ran::Ran;
use crate::config::Environment;
use crate::net::machine;
use crate::trial::{Suite, Test};

/// The exit status where a test failed.
const FAILED: u8 = 1;
/// The exit status where a file is wrong, so that nothing was run.
const WRONG: u8 = 2;

/// Runs the tests of all files.
pub(super) fn test(arguments: &TestArguments) -> ExitCode {
    let environment = Environment::of_process(machine::wall());
    let mut suites = Vec::new();
    let mut wrong = false;
    for file in &arguments.files {
        match Suite::load(file, &environment) {
            Ok(suite) => suites.push(suite),
            Err(reports) => {
                eprint!("{}", reports.for_stderr());
                wrong = true;
            }
        }
    }
    if wrong {
        return ExitCode::from(WRONG);
    }
    if let Some(filter) = &arguments.filter
        && !suites.iter().flat_map(|suite| &suite.tests).any(|test| test.name.contains(filter.as_str()))
    {
        // A filter that is misspelt must not look like tests that pass.
        eprintln!("error: no test has `{filter}` in its name");
        return ExitCode::from(WRONG);
    }
    let begun = Instant::now();
    let ran: Vec<Ran<'_>> = suites.iter().map(|suite| run(suite, arguments)).collect();
    match arguments.output {
        TestOutput::Text => print!("{}", text::summary(&ran, begun.elapsed())),
        TestOutput::Json => println!("{}", json::document(&ran)),
        TestOutput::Junit => print!("{}", junit::document(&ran)),
    }
    let failed = ran.iter().any(|ran| ran.failed() > 0);
    if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

fn run<'s>(suite: &'s Suite, arguments: &TestArguments) -> Ran<'s> {
    let chosen = |test: &&Test| arguments.filter.as_ref().is_none_or(|filter| test.name.contains(filter.as_str()));
    let tests: Vec<&Test> = suite.tests.iter().filter(chosen).collect();
    let left_out = suite.tests.len() - tests.len();
    if arguments.output == TestOutput::Text {
        print!("{}", text::heading(&suite.path, tests.len()));
    }
    let ran = tests.into_iter().map(|test| {
        let begun = Instant::now();
        let outcome = suite.run(test);
        if arguments.output == TestOutput::Text {
            print!("{}", text::line(test, &outcome));
        }
        (test, outcome, begun.elapsed())
    });
    Ran { path: &suite.path, tests: ran.collect(), left_out }
}
