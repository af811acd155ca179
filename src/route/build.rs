// SPDX-License-Identifier: Apache-2.0
//! Compiles rules to a table. The order of the rules does not matter.

use std::sync::Arc;

use regex::bytes::Regex;

use crate::base::limits::PARAMS_MAX;
use crate::cel::Program;
use crate::route::condition::Conditions;
use crate::route::further::Further;
use crate::route::grow::TreeBuilder;
use crate::route::host::Hosts;
use crate::route::methods::{MethodSet, Methods};
use crate::route::precedence::{Precedence, order};
use crate::route::report::{Report, report};
use crate::route::rule::{HostPattern, Rule};
use crate::route::table::{Entry, NONE, Origin, Shared, Table};

/// A table and the reports about its rules.
#[derive(Debug)]
pub struct Built {
    /// The table. Rules with a reported fault are left out.
    pub table: Table,
    /// Conflicts, unreachable rules and faults, in order of precedence.
    pub reports: Vec<Report>,
}

impl Table {
    /// Compiles the rules of one listener. Their order does not matter.
    pub fn build(rules: Vec<Rule>) -> Built {
        let (mut faults, mut methods) = (Vec::new(), Methods::default());
        let (mut regexes, mut programs) = (Vec::new(), Vec::new());
        let mut kept = Vec::with_capacity(rules.len());
        let mut compiled = Compiled::default();
        for rule in rules {
            if rule.params.len() > PARAMS_MAX {
                faults.push(Report::TooManyParams { rule: rule.name });
                continue;
            }
            match methods.add(&rule.methods) {
                Some(set) => {
                    compiled.add(&rule, set, (&mut regexes, &mut programs));
                    kept.push(rule);
                }
                None => faults.push(Report::TooManyMethods { rule: rule.name }),
            }
        }
        let origins = sorted(&kept);
        let (mut hosts, mut grove) = (Hosts::default(), TreeBuilder::default());
        for (rank, origin) in origins.iter().enumerate() {
            let tree = hosts.tree_for(&origin.host, || grove.plant());
            grove.add(tree, &kept[origin.rule as usize].path, rank as u32);
        }
        let entries = origins.iter().map(|origin| compiled.entries[origin.rule as usize]).collect();
        let shared = Shared {
            hosts,
            forest: grove.harvest(),
            entries,
            conditions: compiled.conditions.into(),
            asks_body: compiled.further.iter().any(Further::asks_body),
            further: compiled.further.into(),
            orders: compiled.orders.into(),
            methods,
            origins: origins.into(),
            rules: kept.into(),
        };
        let table = Table { shared: Arc::new(shared), regexes: regexes.into(), programs: programs.into() };
        faults.extend(report(&table));
        Built { table, reports: faults }
    }
}

/// Entries by rule, before they are ranked, and what they point to.
#[derive(Default)]
struct Compiled {
    entries: Vec<Entry>,
    conditions: Vec<Conditions>,
    further: Vec<Further>,
    orders: Vec<Box<[u16]>>,
}

impl Compiled {
    fn add(&mut self, rule: &Rule, methods: MethodSet, (regexes, programs): (&mut Vec<Regex>, &mut Vec<Program>)) {
        let conditions = Conditions::compile(rule, regexes).map_or(NONE, |conditions| {
            self.conditions.push(conditions);
            self.conditions.len() as u32 - 1
        });
        let further = Further::compile(rule, regexes, programs).map_or(NONE, |further| {
            self.further.push(further);
            self.further.len() as u32 - 1
        });
        let order = order_of(rule).map_or(NONE, |order| {
            self.orders.push(order);
            self.orders.len() as u32 - 1
        });
        self.entries.push(Entry { methods, route: rule.route, conditions, further, order });
    }
}

/// For each parameter of the route its position in the pattern; `None` where the two orders are one.
fn order_of(rule: &Rule) -> Option<Box<[u16]>> {
    let names = rule.path.names();
    if *names == *rule.params {
        return None;
    }
    let position = |param: &str| names.iter().position(|name| **name == *param);
    Some(rule.params.iter().map(|param| position(param).map_or(u16::MAX, |at| at as u16)).collect())
}

/// Every rule with each of its hosts, by precedence.
fn sorted(rules: &[Rule]) -> Vec<Origin> {
    let mut origins = Vec::with_capacity(rules.len());
    for (number, rule) in rules.iter().enumerate() {
        let mut hosts = rule.hosts.clone();
        if hosts.is_empty() {
            hosts.push(HostPattern::Any);
        }
        hosts.sort();
        hosts.dedup();
        for host in hosts {
            let precedence = Precedence::of(rule, &host);
            origins.push(Origin { rule: number as u32, host, precedence });
        }
    }
    let key = |origin: &Origin| &rules[origin.rule as usize];
    origins.sort_by(|one, two| {
        let by_rule = order((&one.precedence, key(one)), (&two.precedence, key(two)));
        by_rule.then_with(|| one.host.cmp(&two.host))
    });
    origins
}
