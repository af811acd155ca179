// SPDX-License-Identifier: Apache-2.0
//! One line of an explanation.

use std::fmt::Write;

/// Appends a line: what it is about, padded to a column, and what there is to say.
pub(super) fn line(out: &mut String, what: &str, words: &str) {
    let _ = writeln!(out, "{what:<10}{words}");
}
