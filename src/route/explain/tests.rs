// SPDX-License-Identifier: Apache-2.0
//! Explanations: who takes a request, and why the others do not.

use super::*;
use crate::route::rule::ValueMatch;
use crate::route::tests::{Sample, rule};

fn table() -> Table {
    let mut rules =
        vec![rule(0, "/users/{id}"), rule(1, "/users"), rule(2, "/"), rule(3, "/users/{id}"), rule(4, "= /x")];
    rules[0].methods = vec!["PUT".into()];
    let asked = ValueMatch::Exact("canary".into());
    rules[0].headers = vec![FieldMatch { name: "X-Env".into(), value: asked }];
    rules[2].hosts = vec![HostPattern::parse("*.example.com").unwrap()];
    rules[4].sources = vec!["10.0.0.0/8".parse().unwrap()];
    Table::build(rules).table
}

fn others(explanation: &Explanation) -> Vec<(String, Vec<String>)> {
    let words = |other: &Other| other.reasons.iter().map(ToString::to_string).collect();
    explanation.others.iter().map(|other| (other.name.to_string(), words(other))).collect()
}

#[test]
fn says_who_and_why_not() {
    let sample = Sample::new("GET", "www.example.org", "/users/7").header("x-env", "prod");
    let explanation = table().explain(&sample.wanted(), &crate::cel::Nobody);
    let chosen = explanation.chosen.as_ref().unwrap();
    assert_eq!(explanation.found, RouteMatch::Route(crate::base::RouteId(3)));
    assert_eq!((&*chosen.path, &chosen.host), ("/users/{id}", &HostPattern::Any));
    assert_eq!(chosen.params, [("id".into(), "7".to_owned())]);
    let expected: [(&str, &[&str]); 4] = [
        ("r001", &["matches, too, but comes later: its path is less specific"]),
        ("r000", &["is for method PUT", "wants header `X-Env` to be \"canary\", which is [\"prod\"]"]),
        ("r002", &["is for host *.example.com"]),
        ("r004", &["its path does not match", "is for other client addresses"]),
    ];
    let expected: Vec<(String, Vec<String>)> = expected
        .iter()
        .map(|(name, words)| ((*name).to_owned(), words.iter().map(ToString::to_string).collect()))
        .collect();
    assert_eq!(others(&explanation), expected);
}

#[test]
fn says_why_nobody() {
    let mut rules = vec![rule(0, "/a")];
    rules[0].methods = vec!["PUT".into()];
    rules[0].query = vec![FieldMatch { name: "q".into(), value: ValueMatch::Present }];
    let table = Table::build(rules).table;
    let explanation = table.explain(&Sample::new("GET", "", "/a").wanted(), &crate::cel::Nobody);
    assert!(explanation.chosen.is_none());
    assert_eq!(explanation.found, RouteMatch::None);
    let words = ["is for method PUT", "wants query parameter `q` to be present, which is not there"];
    assert_eq!(others(&explanation)[0].1, words);
}

#[test]
fn lists_no_more_than_the_cap() {
    let rules = (0..100).map(|number| rule(number, &format!("/r{number}"))).collect();
    let explanation =
        Table::build(rules).table.explain(&Sample::new("GET", "", "/r55/x").wanted(), &crate::cel::Nobody);
    assert_eq!(explanation.found, RouteMatch::Route(crate::base::RouteId(55)));
    assert_eq!(explanation.others.len(), EXPLAINED_MAX);
    assert_eq!(&*explanation.others[0].name, "r005", "the longest common beginning first");
}
