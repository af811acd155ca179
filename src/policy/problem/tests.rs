// SPDX-License-Identifier: Apache-2.0
//! Every reason in the code has a row, and every row has a reason in the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::*;
use crate::policy::each_kind;

macro_rules! modules {
    ($($(#[$doc:meta])* $Kind:ident($module:ident),)*) => {
        const KINDS: &[&str] = &[$(stringify!($module)),*];
    };
}
each_kind!(modules);

/// The sources that refuse requests, without their tests.
fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![root.join("policy"), root.join("edge")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("tests.rs") && !path.ends_with("policy/problem.rs") {
                let source = fs::read_to_string(path).unwrap();
                text.push_str(source.split("#[cfg(test)]\nmod tests {").next().unwrap());
            }
        }
    }
    text
}

/// The words that stand where a reason stands: as the field, as what a function that refuses is called with, as what
/// is only reported, and all that begin with the name of a kind.
fn reasons(source: &str) -> BTreeSet<String> {
    let word = r#""([a-z]+(?:_[a-z]+)+)""#;
    let kinds = KINDS.join("|");
    let patterns = [
        format!(r"\breason: {word}"),
        format!(r"\b(?:refuse|deny|fail|trouble|unverified)\w*\(\s*{word}"),
        format!(r"\b(?:reported|refused) = Some\({word}\)"),
        format!(r#""((?:{kinds})_[a-z_]+)""#),
    ];
    let found = patterns.iter().flat_map(|pattern| {
        let pattern = Regex::new(pattern).unwrap();
        pattern.captures_iter(source).map(|found| found[1].to_owned()).collect::<Vec<_>>()
    });
    found.collect()
}

#[test]
fn every_reason_has_a_row() {
    let source = sources();
    let missing: Vec<String> = reasons(&source).into_iter().filter(|word| find(word).is_none()).collect();
    assert!(missing.is_empty(), "add rows to REASONS in src/policy/problem.rs: {missing:?}");
    let unused = REASONS.iter().filter(|row| !source.contains(&format!("\"{}\"", row.word)));
    let unused: Vec<&str> = unused.map(|row| row.word).collect();
    assert!(unused.is_empty(), "no code has these reasons: {unused:?}");
}

#[test]
fn a_reason_is_found_wherever_it_stands() {
    let source = r#"LocalResponse { status, reason: "one_a", body } self.refuse("two_b", x) return fail(
        "three_c", ) effects.reported = Some("four_d"); let x = "cors_e"; name("five_f") reason: word"#;
    assert_eq!(Vec::from_iter(reasons(source)), ["cors_e", "four_d", "one_a", "three_c", "two_b"]);
}

#[test]
fn rows_are_in_order_and_say_what_is_needed() {
    assert!(REASONS.is_sorted_by(|one, next| one.word < next.word), "they are found by halving");
    for row in REASONS {
        assert!(row.word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", row.word);
        assert!(
            row.when.ends_with('.') && row.status.starts_with(|digit: char| digit.is_ascii_digit()),
            "{}",
            row.word
        );
    }
}

#[test]
fn a_type_hides_what_a_client_should_not_know() {
    let shown = |reason| {
        let mut out = Vec::new();
        append_type(reason, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(shown("network_denied"), "\"urn:turnpike:problem:network_denied\"");
    assert_eq!(shown("external_auth_failed"), shown("external_auth_status"));
    assert_eq!(shown("rate_limited"), format!("\"{QUOTA_EXCEEDED}\""));
}
