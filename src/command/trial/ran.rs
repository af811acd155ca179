// SPDX-License-Identifier: Apache-2.0
//! What came of the tests of one file.

use std::path::Path;
use std::time::Duration;

use crate::trial::{Outcome, Test};

/// What came of the tests of a file.
pub(super) struct Ran<'s> {
    /// The file.
    pub path: &'s Path,
    /// Those that were run.
    pub tests: Vec<(&'s Test, Outcome, Duration)>,
    /// Those that `--filter` left out.
    pub left_out: usize,
}

impl Ran<'_> {
    /// How many did not pass.
    pub(super) fn failed(&self) -> usize {
        self.tests.iter().filter(|(_, outcome, _)| !matches!(outcome, Outcome::Passed)).count()
    }
}

/// Where a test stands: `FILE:LINE:COLUMN`.
pub(super) fn place(path: &Path, (line, column): (usize, usize)) -> String {
    format!("{}:{line}:{column}", path.display())
}
