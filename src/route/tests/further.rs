// SPDX-License-Identifier: Apache-2.0
//! Text prefixes, hosts by regular expression, conditions and exclusions.

use bumpalo::Bump;
use proptest::prelude::{prop, prop_assert_eq, proptest};

use super::{Sample, pattern, rule, table};
use crate::base::RouteId;
use crate::cel::{Attribute, Environment, Failure, Program, Subject, Value};
use crate::route::{
    Exclusion, FieldMatch, HostPattern, Params, PathPattern, RouteMatch, Rule, Table, ValueMatch, WholeRegex,
};

fn program(text: &str) -> Program {
    Program::compile(text, &Environment::default()).unwrap()
}

/// A caller of whom only the name is known.
struct Caller(&'static str);

impl Subject for Caller {
    fn attribute<'v>(&'v self, attribute: Attribute, _: &'v Bump) -> Result<Value<'v>, Failure> {
        Ok(if attribute == Attribute::ConsumerName { Value::Text(self.0) } else { attribute.empty() })
    }
}

fn number(table: &Table, sample: &Sample, caller: &'static str) -> Option<u32> {
    match table.find_as(&sample.wanted(), &Caller(caller), &mut Params::default()) {
        RouteMatch::Route(RouteId(number)) => Some(number),
        RouteMatch::MethodNotAllowed(_) | RouteMatch::None => None,
    }
}

#[test]
fn a_text_prefix_does_not_end_at_a_slash() {
    let table = table(&["^ /api", "/api", "/ap{x}", "^ /", "= /apis"]);
    let cases =
        [("/api", 1), ("/api/x", 1), ("/apis", 4), ("/apix", 0), ("/apix/y", 0), ("/apo", 2), ("/x", 3), ("/", 3)];
    for (path, expected) in cases {
        assert_eq!(number(&table, &Sample::new("GET", "", path), ""), Some(expected), "{path}");
    }
}

proptest! {
    #[test]
    fn the_longest_text_prefix_takes_a_path(
        prefixes in prop::collection::btree_set("/[ab/]{0,4}", 1..8),
        paths in prop::collection::vec("/[ab/]{0,6}", 20),
    ) {
        let prefixes: Vec<String> = prefixes.into_iter().collect();
        let rules = prefixes.iter().zip(0..).map(|(text, number)| rule(number, &format!("^ {text}"))).collect();
        let table = Table::build(rules).table;
        for path in paths {
            let taking = prefixes.iter().zip(0_u32..).filter(|(text, _)| path.starts_with(text.as_str()));
            let longest = taking.max_by_key(|(text, _)| text.len()).map(|(_, number)| number);
            prop_assert_eq!(number(&table, &Sample::new("GET", "", &path), ""), longest, "{}", path);
        }
    }
}

#[test]
fn a_regular_expression_stands_between_wildcards_and_any_host() {
    let regex = |number, text: &str| Rule { host_regex: Some(WholeRegex::new(text).unwrap()), ..rule(number, "/") };
    let host = |number, text: &str| Rule { hosts: vec![HostPattern::parse(text).unwrap()], ..rule(number, "/") };
    let rules =
        vec![rule(0, "/a"), regex(1, r"api-\d+\.test"), regex(2, r"a.*"), host(3, "*.x.test"), host(4, "api-7.test")];
    let table = Table::build(rules).table;
    let cases =
        [("api-1.test", 1), ("api-7.test", 4), ("api-1.test.", 1), ("api-x.test", 2), ("a.x.test", 3), ("b", 0)];
    for (host, expected) in cases {
        assert_eq!(number(&table, &Sample::new("GET", host, "/a"), ""), Some(expected), "{host}");
    }
}

#[test]
fn a_condition_asks_who_calls_and_steps_aside() {
    let mine =
        |number, name| Rule { condition: Some(program(&format!("consumer.name == '{name}'"))), ..rule(number, "/") };
    let failing = Rule { condition: Some(program("claims.missing == 1")), ..rule(3, "/") };
    let table = Table::build(vec![rule(0, "/"), mine(1, "anna"), mine(2, "bob"), failing]).table;
    assert!(table.asks_subject());
    for (caller, expected) in [("anna", 1), ("bob", 2), ("eve", 0), ("", 0)] {
        assert_eq!(number(&table, &Sample::new("GET", "", "/x"), caller), Some(expected), "{caller}");
    }
    assert_eq!(number(&Table::build(vec![mine(1, "anna")]).table, &Sample::new("GET", "", "/x"), "eve"), None);
}

#[test]
fn what_is_excluded_goes_on_to_the_next() {
    let text = |name: &str, value: &str| FieldMatch { name: name.into(), value: ValueMatch::Exact(value.into()) };
    let not = vec![
        Exclusion { methods: vec!["DELETE".into()], paths: vec![pattern("/api/admin")], ..Exclusion::default() },
        Exclusion { headers: vec![text("x-env", "test")], ..Exclusion::default() },
        Exclusion {
            paths: vec![PathPattern::Regex(WholeRegex::new("/api/v[0-9]/old").unwrap())],
            ..Exclusion::default()
        },
        Exclusion { condition: Some(program("consumer.name == 'eve'")), ..Exclusion::default() },
        Exclusion { sources: vec!["10.0.0.0/8".parse().unwrap()], ..Exclusion::default() },
        Exclusion { hosts: vec![HostPattern::parse("*.old.test").unwrap()], ..Exclusion::default() },
    ];
    let table = Table::build(vec![rule(0, "/"), Rule { not, ..rule(1, "/api") }]).table;
    let get = |target: &str| Sample::new("GET", "", target);
    let cases = [
        (get("/api/x"), "anna", 1),
        (get("/api/admin"), "anna", 1),
        (Sample::new("DELETE", "", "/api/x"), "anna", 1),
        (Sample::new("DELETE", "", "/api/admin/x"), "anna", 0),
        (get("/api/x").header("X-Env", "test"), "anna", 0),
        (get("/api/x").header("X-Env", "tests"), "anna", 1),
        (get("/api/v1/old"), "anna", 0),
        (get("/api/x"), "eve", 0),
        (get("/api/x").from("10.1.2.3"), "anna", 0),
        (Sample::new("GET", "a.old.test", "/api/x"), "anna", 0),
    ];
    for (sample, caller, expected) in cases {
        assert_eq!(number(&table, &sample, caller), Some(expected), "{sample:?}");
    }
    let failing = vec![Exclusion { condition: Some(program("claims.a == 1")), ..Exclusion::default() }];
    let table = Table::build(vec![Rule { not: failing, ..rule(1, "/") }]).table;
    assert_eq!(number(&table, &get("/"), ""), None, "what cannot be judged is excluded");
}

#[test]
fn more_conditions_go_first() {
    let condition = || Some(program("consumer.name != 'x'"));
    let not = vec![Exclusion { methods: vec!["PUT".into()], ..Exclusion::default() }];
    let rules = vec![
        rule(0, "/"),
        Rule { condition: condition(), ..rule(1, "/") },
        Rule { condition: condition(), not, ..rule(2, "/") },
        Rule { sources: vec!["127.0.0.0/8".parse().unwrap()], ..rule(3, "/") },
    ];
    let table = Table::build(rules.clone()).table;
    assert_eq!(number(&table, &Sample::new("GET", "", "/"), "a"), Some(3), "a network goes before conditions");
    let table = Table::build(rules[..3].to_vec()).table;
    assert_eq!(number(&table, &Sample::new("GET", "", "/"), "a"), Some(2));
    assert_eq!(number(&table, &Sample::new("PUT", "", "/"), "a"), Some(1));
    assert_eq!(number(&table, &Sample::new("PUT", "", "/"), "x"), Some(0));
}
