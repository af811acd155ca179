// SPDX-License-Identifier: Apache-2.0
//! Which rules are reported against which, and which are silent neighbours.

use super::*;
use crate::route::tests::rule as any_host;

fn field(name: &str, value: ValueMatch) -> FieldMatch {
    FieldMatch { name: name.into(), value }
}

fn exact(text: &str) -> ValueMatch {
    ValueMatch::Exact(text.into())
}

fn reports(rules: Vec<Rule>) -> Vec<String> {
    let said = |report: &Report| match report {
        Report::Conflict { first, second } => format!("{first} = {second}"),
        Report::Overlap { first, second } => format!("{first} ~ {second}"),
        Report::Unreachable { rule, host, by } => format!("{rule} on {host} behind {by}"),
        Report::TooManyMethods { rule } => format!("{rule}: methods"),
        Report::TooManyParams { rule } => format!("{rule}: parameters"),
    };
    Table::build(rules).reports.iter().map(said).collect()
}

fn of_paths(paths: &[&str]) -> Vec<String> {
    reports(paths.iter().zip(0..).map(|(path, number)| any_host(number, path)).collect())
}

#[test]
fn good_neighbours_are_silent() {
    assert!(of_paths(&["/", "/a", "= /a", "/a/{x}", "/a/{x}/y", "/{*rest}", "~ /a/[0-9]+", "/a/{x}.js"]).is_empty());
    let mut variants = vec![any_host(0, "/"), any_host(1, "/"), any_host(2, "/"), any_host(3, "/"), any_host(4, "/")];
    variants[1].headers = vec![field("X-Env", exact("a"))];
    variants[2].headers = vec![field("x-env", exact("b"))];
    variants[3].headers = vec![field("x-env", ValueMatch::Absent), field("y", ValueMatch::Present)];
    variants[4].methods = vec!["GET".into()];
    assert!(reports(variants).is_empty());
}

#[test]
fn equals_are_in_conflict() {
    assert_eq!(of_paths(&["/a/{x}", "/a/{y}"]), ["r000 = r001"]);
    assert_eq!(of_paths(&["/a", "/a/"]), ["r000 = r001"]);
    assert_eq!(of_paths(&["~ /a+", "~ /a+"]), ["r000 = r001"]);
    let mut rules = vec![any_host(0, "/a"), any_host(1, "/a")];
    rules[0].methods = vec!["GET".into(), "PUT".into()];
    rules[1].methods = vec!["PUT".into(), "GET".into()];
    assert_eq!(reports(rules.clone()), ["r000 = r001"]);
    rules[1].methods = vec!["PUT".into(), "POST".into()];
    assert_eq!(reports(rules.clone()), ["r000 ~ r001"]);
    rules[1].methods = vec!["DELETE".into(), "POST".into()];
    assert!(reports(rules.clone()).is_empty());
    rules[1].route = rules[0].route;
    rules[1].methods = rules[0].methods.clone();
    assert!(reports(rules).is_empty(), "one route may say a thing twice");
}

#[test]
fn different_headers_may_overlap() {
    let mut rules = vec![any_host(0, "/"), any_host(1, "/")];
    rules[0].headers = vec![field("x", exact("1"))];
    rules[1].headers = vec![field("y", exact("1"))];
    assert_eq!(reports(rules.clone()), ["r000 ~ r001"]);
    rules[1].headers = vec![field("X", ValueMatch::Prefix("2".into()))];
    assert!(reports(rules.clone()).is_empty());
    rules[1].headers = vec![field("X", ValueMatch::Regex(crate::route::WholeRegex::new("[0-9]").unwrap()))];
    assert_eq!(reports(rules), ["r000 ~ r001"]);
}

#[test]
fn networks_are_compared() {
    let mut rules = vec![any_host(0, "/"), any_host(1, "/")];
    rules[0].sources = vec!["10.0.0.0/8".parse().unwrap()];
    rules[1].sources = vec!["11.0.0.0/8".parse().unwrap()];
    assert!(reports(rules.clone()).is_empty());
    rules[1].sources = vec!["::ffff:10.0.0.0/104".parse().unwrap()];
    assert_eq!(reports(rules), ["r000 = r001"]);
}

#[test]
fn what_stands_behind_a_priority_is_unreachable() {
    let mut rules = vec![any_host(0, "/api"), any_host(1, "/api/{x}"), any_host(2, "= /api"), any_host(3, "/apix")];
    rules[0].priority = 1;
    assert_eq!(reports(rules.clone()), ["r002 on * behind r000", "r001 on * behind r000"]);
    rules[0].methods = vec!["GET".into()];
    assert!(reports(rules.clone()).is_empty());
    rules[1].methods = vec!["GET".into()];
    rules[1].headers = vec![field("x", ValueMatch::Present)];
    assert_eq!(reports(rules), ["r001 on * behind r000"]);
}

#[test]
fn hosts_count_one_by_one() {
    let host = |text: &str| HostPattern::parse(text).unwrap();
    let mut rules = vec![any_host(0, "/"), any_host(1, "/a")];
    rules[0].hosts = vec![host("*.x")];
    rules[0].priority = 1;
    rules[1].hosts = vec![host("a.x"), host("*.b.x"), host("x"), host("*.y"), host("*")];
    assert_eq!(reports(rules), ["r001 on a.x behind r000", "r001 on *.b.x behind r000"]);
}

#[test]
fn expressions_hide_what_they_take() {
    assert_eq!(of_paths(&["~ /.*", "/a", "/b/{x}", "= /c"]), ["r002 on * behind r000", "r001 on * behind r000"]);
    assert_eq!(of_paths(&["~ /b/[^/]+", "/a", "/b/{x}"]), ["r002 on * behind r000"]);
    assert!(of_paths(&["~ /b/[0-9a-z]+", "/a", "/b/{x}"]).is_empty());
    assert_eq!(of_paths(&["~ /a/[0-9]+.*", "~ /a/[0-9]+"]), [""; 0]);
    let mut rules =
        vec![any_host(0, "/a"), any_host(1, "~ /a/[0-9]+"), any_host(2, "~ (?i)/A/x"), any_host(3, "/a/{*r}")];
    rules[0].priority = 1;
    assert_eq!(reports(rules), ["r001 on * behind r000", "r003 on * behind r000"]);
}

#[test]
fn implied_values_are_implied() {
    let regex = ValueMatch::Regex(crate::route::WholeRegex::new("a.*").unwrap());
    let prefix = |text: &str| ValueMatch::Prefix(text.into());
    let suffix = |text: &str| ValueMatch::Suffix(text.into());
    let contains = |text: &str| ValueMatch::Contains(text.into());
    for (given, asked) in [
        (exact("abc"), prefix("ab")),
        (exact("abc"), suffix("bc")),
        (exact("abc"), contains("b")),
        (exact("abc"), regex.clone()),
        (exact("abc"), ValueMatch::Present),
        (prefix("abc"), prefix("ab")),
        (prefix("abc"), contains("bc")),
        (suffix("abc"), suffix("bc")),
        (regex.clone(), regex.clone()),
        (ValueMatch::Absent, ValueMatch::Absent),
    ] {
        assert!(implies(&given, &asked), "{given:?} implies {asked:?}");
        assert!(!excludes(&given, &asked), "{given:?} excludes {asked:?}");
        assert!(given == asked || !implies(&asked, &given), "{asked:?} implies {given:?}");
    }
    assert!(!implies(&ValueMatch::Absent, &ValueMatch::Present) && excludes(&ValueMatch::Absent, &exact("")));
    assert!(!implies(&regex, &exact("a")) && !excludes(&regex, &exact("a")) && excludes(&regex, &exact("b")));
    assert!(excludes(&suffix("a"), &suffix("b")) && !excludes(&suffix("a"), &prefix("b")));
}

#[test]
fn too_many_methods_are_a_fault() {
    let mut rules = vec![any_host(0, "/"), any_host(1, "/m")];
    rules[1].methods = (0..80).map(|number| format!("M{number}").into()).collect();
    rules.push(any_host(2, "/p"));
    rules[2].params = (0..40).map(|number| format!("p{number}").into()).collect();
    let built = Table::build(rules);
    let rule = |name: &str| name.into();
    let expected = [Report::TooManyMethods { rule: rule("r001") }, Report::TooManyParams { rule: rule("r002") }];
    assert_eq!(built.reports, expected);
    assert!(built.reports[0].is_fault());
    assert!(built.reports[0].to_string().contains("r001"));
}

#[test]
fn reports_are_sentences_and_capped() {
    let rules: Vec<Rule> = (0..60).map(|number| any_host(number, "/")).collect();
    let built = Table::build(rules);
    assert!(built.reports.len() <= ROUTE_REPORTS_MAX && built.reports.len() > 900);
    assert!(built.reports.iter().all(|report| !report.is_fault()));
    assert!(built.reports[0].to_string().starts_with("routes `r000` and `r001` match the same requests"));
}
