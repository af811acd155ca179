// SPDX-License-Identifier: Apache-2.0
//! What changed between two configurations, by name, for the line that a reload logs.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::config::location::Located;
use crate::config::plan::ProcessPlan;
use crate::config::spec::Spec;

/// What changed, in one line: `routes: +a -b ~c; server: drain_timeout`. Added is `+`, removed `-`, changed `~`.
pub(crate) fn describe(before: &Spec, after: &Spec) -> String {
    let mut parts = Vec::new();
    section(&mut parts, "listeners", &listeners(before), &listeners(after));
    section(&mut parts, "routes", &routes(before), &routes(after));
    section(&mut parts, "upstreams", &named(before.upstream.iter()), &named(after.upstream.iter()));
    section(&mut parts, "policies", &named(before.policy.iter()), &named(after.policy.iter()));
    section(&mut parts, "consumers", &consumers(before), &consumers(after));
    section(&mut parts, "tenants", &named(before.tenant.iter()), &named(after.tenant.iter()));
    section(&mut parts, "groups", &named(before.group.iter()), &named(after.group.iter()));
    section(&mut parts, "plans", &named(before.plan.iter()), &named(after.plan.iter()));
    section(&mut parts, "products", &named(before.product.iter()), &named(after.product.iter()));
    section(&mut parts, "apps", &named(before.app.iter()), &named(after.app.iter()));
    keys(&mut parts, "store", value(&before.store), value(&after.store));
    keys(&mut parts, "usage", value(&before.usage), value(&after.usage));
    keys(&mut parts, "server", value(&before.server), value(&after.server));
    keys(&mut parts, "admin", value(&before.admin), value(&after.admin));
    keys(&mut parts, "log", value(&before.log), value(&after.log));
    keys(&mut parts, "metrics", value(&before.metrics), value(&after.metrics));
    keys(&mut parts, "defaults", value(&before.defaults), value(&after.defaults));
    if parts.is_empty() {
        return "the text says the same as before; files that it names were read again".to_owned();
    }
    parts.join("; ")
}

/// Changes that need a restart or a binary upgrade, one sentence each.
pub(crate) fn restart_needed(running: &ProcessPlan, wanted: &ProcessPlan) -> Vec<String> {
    let mut sentences = Vec::new();
    if running.shards != wanted.shards {
        let (running, wanted) = (running.shards, wanted.shards);
        sentences.push(format!("`server.shards` is {wanted}, but {running} run until a restart or a binary upgrade"));
    }
    if running.pin != wanted.pin {
        sentences.push("`server.pin` takes effect at a restart or a binary upgrade".to_owned());
    }
    if running.control_socket != wanted.control_socket {
        sentences.push("`server.control_socket` takes effect at a restart or a binary upgrade".to_owned());
    }
    if running.store != wanted.store {
        sentences.push("`store` takes effect at a restart".to_owned());
    }
    if running.user != wanted.user {
        sentences.push("`server.user` takes effect at a restart".to_owned());
    }
    sentences
}

/// A name and its table as text.
struct Item<T> {
    name: String,
    value: T,
}

fn listeners(spec: &Spec) -> Vec<Item<&impl PartialEq>> {
    let items = spec.listener.iter();
    items.map(|listener| Item { name: listener.value.shown_name(), value: &listener.value }).collect()
}

/// Routes without a name are known by their path.
fn routes(spec: &Spec) -> Vec<Item<&impl PartialEq>> {
    let items = spec.route.iter().map(|route| {
        let route = &route.value;
        let paths = [&route.name, &route.path, &route.path_prefix, &route.path_exact, &route.path_regex];
        let name = paths.into_iter().flatten().next().map_or_else(|| "/*".to_owned(), |name| name.value.clone());
        Item { name, value: route }
    });
    items.collect()
}

fn consumers(spec: &Spec) -> Vec<Item<&impl PartialEq>> {
    let items = spec.consumer.iter();
    items.map(|consumer| Item { name: consumer.value.name.value.clone(), value: &consumer.value }).collect()
}

fn named<'s, T: PartialEq + 's>(items: impl Iterator<Item = (&'s Located<String>, &'s T)>) -> Vec<Item<&'s T>> {
    items.map(|(name, value)| Item { name: name.value.clone(), value }).collect()
}

fn section<T: PartialEq>(parts: &mut Vec<String>, what: &str, before: &[Item<T>], after: &[Item<T>]) {
    let (old, new) = (by_name(before), by_name(after));
    let mut words: Vec<String> = Vec::new();
    for item in first_of_each_name(after) {
        match old.get(&*item.name) {
            None => words.push(format!("+{}", item.name)),
            Some(values) if *values != new[&*item.name] => words.push(format!("~{}", item.name)),
            Some(_) => {}
        }
    }
    let gone = first_of_each_name(before).filter(|item| !new.contains_key(&*item.name));
    words.extend(gone.map(|item| format!("-{}", item.name)));
    if words.is_empty() {
        return;
    }
    let more = words.len().saturating_sub(NAMES_MAX);
    words.truncate(NAMES_MAX);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    parts.push(format!("{what}: {}", words.join(" ")));
}

/// The values of each name, in order: several routes may have the same name here, and are the same where all of them
/// are.
fn by_name<T>(items: &[Item<T>]) -> HashMap<&str, Vec<&T>> {
    let mut values: HashMap<&str, Vec<&T>> = HashMap::with_capacity(items.len());
    for item in items {
        values.entry(&item.name).or_default().push(&item.value);
    }
    values
}

fn first_of_each_name<T>(items: &[Item<T>]) -> impl Iterator<Item = &Item<T>> {
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().filter(move |item| seen.insert(&*item.name))
}

fn value(part: &impl serde::Serialize) -> Value {
    // Every part of a spec is plain data, which JSON can hold.
    serde_json::to_value(part).unwrap_or(Value::Null)
}

/// The keys of a section that differ.
fn keys(parts: &mut Vec<String>, what: &str, before: Value, after: Value) {
    if before == after {
        return;
    }
    let mut changed = Vec::new();
    if let (Value::Object(before), Value::Object(after)) = (&before, &after) {
        for (key, value) in after {
            if before.get(key) != Some(value) {
                changed.push(key.as_str());
            }
        }
    }
    let words = if changed.is_empty() { "changed".to_owned() } else { changed.join(", ") };
    parts.push(format!("{what}: {words}"));
}

/// Names of one section in the line; the rest is counted.
const NAMES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::draft::Draft;
    use crate::config::report::Faults;
    use crate::config::{ConfigSource, Environment};

    fn spec(text: &str) -> Spec {
        let mut faults = Faults::default();
        let source = ConfigSource::Text { name: "a".to_owned(), text: text.to_owned() };
        let draft = Draft::read(&source, &Environment::sealed(), None, &mut faults);
        assert_eq!(faults.errors(), 0, "{faults:?}");
        draft.spec
    }

    #[test]
    fn says_what_changed_by_name() {
        let before = "server.shards = 1\n[upstream.a]\nendpoints = 'a'\n[upstream.b]\nendpoints = 'b'\n\
                      [[route]]\npath = '/x'\necho = true";
        let after = "server.shards = 2\n[upstream.a]\nendpoints = 'c'\n[upstream.c]\nendpoints = 'b'\n\
                     [[route]]\npath = '/x'\necho = true\n[admin]\nbind = '127.0.0.1:1'";
        let said = describe(&spec(before), &spec(after));
        assert_eq!(said, "upstreams: ~a +c -b; server: shards; admin: changed");
        assert!(
            describe(&spec(before), &spec(&format!("# a comment\n{before}"))).starts_with("the text says the same")
        );
    }
    #[test]
    fn routes_of_one_name_are_compared_together_and_said_once() {
        let route = |path: &str, echo: &str| format!("[[route]]\npath = '{path}'\n{echo}\n");
        let (echo, answer) = ("echo = true", "answer = { body = 'x' }");
        let before = [route("/x", echo), route("/x", echo), route("/y", echo), route("/y", echo)].concat();
        let after = [route("/x", answer), route("/x", answer), route("/z", echo), route("/z", echo)].concat();
        assert_eq!(describe(&spec(&before), &spec(&after)), "routes: ~/x +/z -/y");
    }
}
