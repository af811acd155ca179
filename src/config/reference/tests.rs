// SPDX-License-Identifier: Apache-2.0
//! The generated files are those in the tree, and what they say is true.

use std::path::Path;

use super::*;
use crate::config::check_text;
use crate::config::compile::LOG_ONLY;
use crate::config::draft::Draft;
use crate::config::report::Faults;
use crate::config::{ConfigSource, Environment};
use crate::wire::template::Template;

#[test]
fn generated_files_are_up_to_date() {
    let made = [
        ("docs/config.md", markdown()),
        ("config/full.toml", full_toml()),
        ("config/turnpike.schema.json", schema()),
        ("docs/policies/README.md", pages::policies()),
        ("docs/problems.md", pages::problems()),
    ];
    for (name, text) in made {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var("TURNPIKE_BLESS").is_ok_and(|value| value == "1") {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        } else {
            let same = std::fs::read_to_string(&path).is_ok_and(|there| there == text);
            assert!(same, "{name} is out of date; run: TURNPIKE_BLESS=1 cargo test config::reference");
        }
    }
}

#[test]
fn the_full_file_reads_when_its_marks_are_removed() {
    let uncommented = full_toml();
    let lines =
        uncommented.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut faults = Faults::default();
    let environment = Environment::sealed();
    let source = ConfigSource::Text { name: "full.toml".to_owned(), text };
    let draft = Draft::read(&source, &environment, None, &mut faults);
    // An include cannot be read here; everything else must be known and of the right type.
    let reports = faults.into_reports(draft.files);
    let wrong: Vec<_> = reports.list.iter().filter(|report| !report.title.contains("cannot read")).collect();
    assert!(wrong.is_empty(), "{reports}");
    assert_eq!(draft.spec.route.len(), 1);
}

#[test]
fn every_variable_of_the_reference_compiles() {
    for (name, _) in variables::TABLE {
        let logged = LOG_ONLY.iter().any(|(known, _)| known == name);
        assert!(logged || Template::compile(&format!("{{{name}}}"), &["NAME"]).is_ok(), "{name}");
    }
    let known: Vec<&str> = variables::TABLE.iter().map(|(name, _)| *name).collect();
    for (name, _) in crate::wire::template::PLAIN {
        assert!(known.contains(name), "{name} is not in the reference");
    }
    for (name, _) in LOG_ONLY {
        assert!(known.contains(name), "{name} is not in the reference");
    }
}

/// The pages of `docs/policies`: name and text.
fn policy_pages() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policies");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<(String, String)> = paths
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    pages.sort();
    pages
}

#[test]
fn each_policy_has_a_page_with_an_example() {
    let pages = policy_pages();
    for kind in pages::KINDS {
        let page = pages.iter().find(|(name, _)| name == kind);
        let text = page.map_or("", |(_, text)| text.as_str());
        assert!(text.starts_with(&format!("# `{kind}`\n")), "docs/policies/{kind}.md is missing, or has another title");
        assert!(
            text.contains(&format!(".{kind}")) || text.contains(&format!("\n{kind} = ")),
            "docs/policies/{kind}.md shows no `[policy.X.{kind}]`"
        );
        for section in ["## Example", "## Keys that matter", "## Refusals", "## Elsewhere"] {
            assert!(text.contains(&format!("\n{section}\n")), "docs/policies/{kind}.md lacks {section}");
        }
    }
}

#[test]
fn each_example_of_a_policy_is_a_configuration() {
    let mut examples = 0;
    for (name, text) in policy_pages() {
        for block in text.split("\n```toml\n").skip(1) {
            let example = block.split("\n```").next().unwrap();
            let reports = check_text(example).map_or(Vec::new(), |reports| reports.list);
            // Files that an example names are not here.
            let wrong: Vec<&str> =
                reports.iter().map(|report| &*report.title).filter(|title| !title.contains("cannot read")).collect();
            assert!(wrong.is_empty(), "docs/policies/{name}.md: {wrong:?} in\n{example}");
            examples += 1;
        }
    }
    assert!(examples >= pages::KINDS.len(), "an example each");
}
