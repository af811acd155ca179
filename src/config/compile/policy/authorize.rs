// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.authorize]`.

use crate::base::NetworkSet;
use crate::cel::Program;
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::authorize::{self as spec, RequirementSpec, RuleSpec, Spec};
use crate::config::spec::shape::Many;
use crate::policy::authorize::{Case, Details, Otherwise, PathRule, Plan, Requirement, Rule, Verbosity};
use crate::route::PathPattern;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let before = compiler.faults.errors();
    let Spec { deny, rules, otherwise, verbose, .. } = &spec.value;
    let always = requirement(compiler, spec.value.requirement());
    let asks_nothing = spec.value == Spec { verbose: *verbose, otherwise: *otherwise, ..Spec::default() };
    if asks_nothing {
        compiler.absent(spec.location, Report::error(spec.location, "nothing is required: everybody would pass"));
    }
    let compiled = Plan {
        always,
        rules: rules.iter().map(|spec| rule(compiler, &spec.value)).collect(),
        otherwise: match otherwise {
            spec::Otherwise::Refuse => Otherwise::Refused,
            spec::Otherwise::Pass => Otherwise::Passes,
        },
        deny: expressions(compiler, deny),
        verbosity: if *verbose { Verbosity::Verbose } else { Verbosity::Terse },
    };
    (compiler.faults.errors() == before).then_some(compiled)
}

fn expressions(compiler: &mut Compiler<'_>, texts: &Many<Located<String>>) -> Box<[Program]> {
    texts.iter().filter_map(|text| compiler.expression(text)).collect()
}

fn requirement(compiler: &mut Compiler<'_>, spec: RequirementSpec<'_>) -> Requirement {
    let names = |list: &Many<Located<String>>| -> Box<[Box<str>]> {
        list.iter().map(|name| name.value.as_str().into()).collect()
    };
    let written = |list: &Many<Located<String>>| {
        let names: Vec<&str> = list.iter().map(|name| name.value.as_str()).collect();
        names.join(", ")
    };
    for scope in spec.scopes.iter().chain(spec.scopes_any.iter()) {
        // They stand in a quoted text of a header (RFC 6749 section 3.3).
        let good = |byte: u8| byte == 0x21 || (0x23..=0x5b).contains(&byte) || (0x5d..=0x7e).contains(&byte);
        if scope.value.is_empty() || !scope.value.bytes().all(good) {
            compiler.error(scope.location, format!("`{}` is no scope", scope.value));
        }
    }
    Requirement {
        groups: names(spec.groups),
        group_claim: spec.group_claim.map(|claim| claim.value.as_str().into()),
        scopes: names(spec.scopes),
        scopes_any: names(spec.scopes_any),
        consumers: names(spec.consumers),
        tenants: names(spec.tenants),
        networks: networks(compiler, spec),
        countries: compiler.country_codes(spec.countries).into(),
        countries_denied: compiler.country_codes(spec.deny_countries).into(),
        allow: expressions(compiler, spec.allow),
        details: Details {
            groups: format!("One of these groups is required: {}.", written(spec.groups)).into(),
            scopes: format!("These scopes are required: {}.", written(spec.scopes)).into(),
            scopes_any: format!("One of these scopes is required: {}.", written(spec.scopes_any)).into(),
        },
    }
}

fn networks(compiler: &mut Compiler<'_>, spec: RequirementSpec<'_>) -> Option<NetworkSet> {
    if spec.networks.is_empty() && spec.ip_sets.is_empty() {
        return None;
    }
    let own = NetworkSet::new(&spec.networks.iter().map(|network| network.0).collect::<Vec<_>>());
    let mut all = own;
    for name in spec.ip_sets.iter() {
        match compiler.expressions.sets.get(&name.value) {
            Some(set) => all = all.union(set),
            None => {
                let mut known: Vec<String> = compiler.expressions.sets.keys().cloned().collect();
                known.sort();
                let report = Report::error(name.location, format!("no `[ip_set.{}]` is there", name.value));
                compiler.faults.push(report.suggest(&name.value, known.iter().map(String::as_str)));
            }
        }
    }
    Some(all)
}

fn rule(compiler: &mut Compiler<'_>, spec: &RuleSpec) -> Rule {
    let case = if spec.ignore_case { Case::Ignored } else { Case::Compared };
    let mut paths = Vec::new();
    let templates = spec.path.iter().map(|text| (text, PathPattern::template as fn(&str) -> _));
    let prefixes = spec.path_prefix.iter().map(|text| (text, PathPattern::prefix as fn(&str) -> _));
    for (text, make) in templates.chain(prefixes) {
        let cased = if spec.ignore_case { text.value.to_ascii_lowercase() } else { text.value.clone() };
        match make(&cased) {
            Ok(pattern) => {
                compiler.check_normal(text);
                paths.push(PathRule { pattern, case });
            }
            Err(fault) => compiler.pattern_fault(text, &fault),
        }
    }
    let methods = spec.methods.iter().filter(|method| compiler.method(method));
    Rule {
        methods: methods.map(|method| method.value.as_str().into()).collect(),
        paths: paths.into(),
        requirement: requirement(compiler, spec.requirement()),
    }
}
