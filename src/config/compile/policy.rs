// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME]`: finds out which kind it is. Each kind is compiled in its own file.

mod context;
mod counted_in;
mod limit_key;
mod limit_tiers;

use crate::base::PolicyId;
use crate::base::limits::POLICIES_MAX;
use crate::config::compile::policy::context::Context;
use crate::config::compile::{Compiler, Section};
use crate::config::location::{Located, Location};
use crate::config::plan::{Alternatives, Condition, PolicyPlan};
use crate::config::report::Report;
use crate::config::spec::authenticate::AuthenticateSpec;
use crate::config::spec::listener::ListenerSpec;
use crate::config::spec::policy::PolicySpec;
use crate::config::spec::shape::Many;
use crate::policy::protected::Protected;
use crate::policy::{Phase, Policy, each_kind};

macro_rules! compilers {
    ($($(#[$doc:meta])* $Kind:ident($module:ident),)*) => {
        $(mod $module;)*

        /// The keys of which a policy has exactly one.
        const KINDS: &[&str] = &[$(stringify!($module)),*];

        /// Where the kinds that were written stand, in the order of the file.
        fn given(spec: &PolicySpec) -> Vec<Location> {
            let locations = [$(spec.$module.as_ref().map(|kind| kind.location)),*];
            let mut given: Vec<Location> = locations.into_iter().flatten().collect();
            given.sort_by_key(|location| (location.file, location.start));
            given
        }

        fn compile(compiler: &mut Compiler<'_>, spec: &PolicySpec, context: &Context<'_>) -> Option<Policy> {
            $(if let Some(spec) = &spec.$module {
                return $module::compile(compiler, spec, context).map(Policy::$Kind);
            })*
            None
        }
    };
}
each_kind!(compilers);

/// A compiled policy and where it came from.
pub(super) struct CompiledPolicy {
    /// What it does.
    pub plan: PolicyPlan,
    /// Where its name stands.
    pub location: Location,
}

impl Compiler<'_> {
    /// Compiles every `[policy.NAME]` that is right so far.
    pub(super) fn policies(&mut self) -> Vec<CompiledPolicy> {
        let draft = self.draft;
        let mut policies = Vec::with_capacity(draft.spec.policy.0.len());
        for (name, spec) in draft.spec.policy.iter() {
            let Some(policy) = self.policy(name, spec) else { continue };
            let Some(condition) = self.condition(spec, &policy) else { continue };
            let plan = PolicyPlan { name: name.value.as_str().into(), condition, policy };
            policies.push(CompiledPolicy { plan, location: name.location });
        }
        policies
    }

    /// When a policy is asked; `None` where that was reported.
    fn condition(&mut self, spec: &PolicySpec, policy: &Policy) -> Option<Condition> {
        let Some(text) = &spec.when else { return Some(Condition::Always) };
        let program = self.expression(text)?;
        if program.names_consumer() && policy.phase() == Phase::Screen {
            let report = Report::warning(text.location, "nobody is identified yet when this policy is asked");
            self.faults.push(report.label("`consumer` and `claims` are empty in the phase `screen`"));
        }
        Some(match program.constant() {
            Some(true) => Condition::Always,
            Some(false) => Condition::Never,
            None => Condition::When(program),
        })
    }

    /// The policies that a route or a listener names, by phase, then as written.
    pub(super) fn named_policies<'n>(
        &mut self,
        names: impl Iterator<Item = &'n Located<String>>,
        policies: &[CompiledPolicy],
        whose: &str,
    ) -> Vec<(Phase, PolicyId)> {
        let mut list: Vec<(Phase, PolicyId)> = Vec::new();
        let mut last = None;
        for name in names {
            last = Some(name.location);
            let Some(id) = self.policy_ids.get(&*name.value).copied() else {
                self.known(name, Section::Policy);
                continue;
            };
            let policy = &policies[id.0 as usize];
            self.used.insert(policy.location);
            if policy.plan.condition == Condition::Never {
                continue;
            }
            // One with a condition may not hold for a request, so it replaces none.
            if policy.plan.policy.codes_content() && policy.plan.condition == Condition::Always {
                // Of several the last holds, so that a route's own replaces that of the defaults.
                list.retain(|(_, PolicyId(at))| !policies[*at as usize].plan.policy.codes_content());
            }
            if policy.plan.policy.is_sole() {
                let kind = policy.plan.policy.kind();
                list.retain(|(_, PolicyId(at))| policies[*at as usize].plan.policy.kind() != kind);
            }
            let entry = (policy.plan.policy.phase(), id);
            if !list.contains(&entry) {
                list.push(entry);
                if policy.plan.policy.answers() {
                    list.push((Phase::Answer, id));
                }
            }
        }
        if let Some(location) = last.filter(|_| list.len() > POLICIES_MAX) {
            self.error(location, format!("a {whose} has at most {POLICIES_MAX} policies"));
        }
        list.sort_by_key(|(phase, _)| *phase);
        list
    }

    /// The fields that policies of these names may set, whether they are ever asked or not.
    pub(super) fn protected_by<'n>(
        &self,
        names: impl Iterator<Item = &'n Located<String>>,
        policies: &[CompiledPolicy],
    ) -> Protected {
        let mut protected = Protected::default();
        for id in names.filter_map(|name| self.policy_ids.get(&*name.value)) {
            policies[id.0 as usize].plan.policy.protect(&mut protected);
        }
        protected
    }

    /// Adds the authentications of which one must say who calls to a list of policies: behind the other policies of
    /// their phase, side by side.
    pub(super) fn alternatives(
        &mut self,
        spec: Option<&Located<AuthenticateSpec>>,
        list: &mut Vec<(Phase, PolicyId)>,
        policies: &[CompiledPolicy],
        whose: &str,
    ) -> Alternatives {
        let Some(spec) = spec else { return Alternatives::default() };
        if spec.value.any.is_empty() {
            let report = Report::error(spec.location, "`any` names the policies of which one must say who calls");
            self.absent(spec.location, report.help("`authenticate = { any = [\"jwt\", \"key\"] }`"));
        }
        let first = list.partition_point(|(phase, _)| *phase <= Phase::Identify);
        let mut end = first;
        let mut open: Option<&Located<String>> = None;
        for name in spec.value.any.iter() {
            let Some(id) = self.policy_ids.get(&*name.value).copied() else {
                self.known(name, Section::Policy);
                continue;
            };
            let policy = &policies[id.0 as usize];
            self.used.insert(policy.location);
            let phase = policy.plan.policy.phase();
            if phase != Phase::Identify {
                let title = format!("`{}` does not say who calls", name.value);
                self.faults.push(Report::error(name.location, title).help("name it in `policies`"));
                continue;
            }
            if policy.plan.policy.answers() {
                let title = format!("`{}` serves paths of its own and says of no other request who calls", name.value);
                self.faults.push(Report::error(name.location, title).help("name it in `policies`"));
                continue;
            }
            if list.contains(&(phase, id)) {
                self.error(name.location, format!("`{}` is named twice", name.value));
                continue;
            }
            if let Some(open) = open.replace(name).filter(|_| end > first)
                && policies[list[end - 1].1.0 as usize].plan.policy.admits_anonymous()
            {
                let title = format!("`{}` lets requests without credentials pass", open.value);
                let report = Report::error(open.location, title).label("those behind it would not be asked");
                self.faults.push(report.help("name it last"));
            }
            list.insert(end, (phase, id));
            end += 1;
        }
        if list.len() > POLICIES_MAX {
            self.error(spec.location, format!("a {whose} has at most {POLICIES_MAX} policies"));
        }
        Alternatives::new(first, end)
    }

    /// Does one of the named policies find out who the caller is?
    pub(super) fn identifies(&self, spec: &ListenerSpec, policies: &[CompiledPolicy]) -> bool {
        let alternatives = spec.authenticate.iter().flat_map(|spec| spec.value.any.iter());
        spec.policies.iter().chain(alternatives).any(|name| {
            let named = self.policy_ids.get(&*name.value).map(|id| &policies[id.0 as usize]);
            named.is_some_and(|policy| policy.plan.policy.phase() == Phase::Identify)
        })
    }

    /// A limit by consumer counts by address where no policy identifies the consumer.
    pub(super) fn check_identity(
        &mut self,
        names: &Many<Located<String>>,
        policies: &[CompiledPolicy],
        list: &[(Phase, PolicyId)],
        whose: &str,
    ) {
        if list.iter().any(|(phase, _)| *phase == Phase::Identify) {
            return;
        }
        for name in names.iter() {
            let named = self.policy_ids.get(&*name.value).map(|id| &policies[id.0 as usize]);
            if named.is_some_and(|policy| policy.plan.policy.needs_consumer()) {
                let title =
                    format!("`{}` counts by consumer, but no policy of this {whose} says who that is", name.value);
                self.faults.push(Report::warning(name.location, title).label("it will count by address"));
            }
        }
    }

    /// The policies that a listener names.
    pub(super) fn listener_policies(
        &mut self,
        spec: &ListenerSpec,
        policies: &[CompiledPolicy],
    ) -> (Vec<(Phase, PolicyId)>, Alternatives) {
        let names = &spec.policies;
        let alternatives = spec.authenticate.iter().flat_map(|spec| spec.value.any.iter());
        for name in names.iter().chain(alternatives) {
            let named = self.policy_ids.get(&*name.value).map(|id| &policies[id.0 as usize]);
            let conditional = |policy: &&CompiledPolicy| match &policy.plan.condition {
                Condition::When(program) => program.names_route(),
                Condition::Always | Condition::Never => false,
            };
            let by_condition = named.filter(conditional).map(|_| "`when`");
            if let Some(what) = named.and_then(|policy| policy.plan.policy.needs_route()).or(by_condition) {
                let title = format!("`{}` cannot be a policy of a listener: {what} needs a route", name.value);
                let report = Report::error(name.location, title).label("asked before a route is found");
                self.faults.push(report.help("name it in `policies` of the routes"));
            }
        }
        let mut list = self.named_policies(names.iter(), policies, "listener");
        let alternatives = self.alternatives(spec.authenticate.as_ref(), &mut list, policies, "listener");
        self.check_identity(names, policies, &list, "listener");
        (list, alternatives)
    }

    fn policy(&mut self, name: &Located<String>, spec: &PolicySpec) -> Option<Policy> {
        let given = given(spec);
        if given.len() == 1 {
            return compile(self, spec, &Context { name: &name.value });
        }
        let location = given.get(1).copied().unwrap_or(name.location);
        let report = Report::error(location, format!("policy `{}` is exactly one kind", name.value));
        let node = self.draft.root.child("policy").and_then(|section| section.child(&name.value));
        let around = node.map_or(name.location, |node| node.location);
        let kinds: Vec<String> = KINDS.iter().map(|kind| format!("`{kind}`")).collect();
        self.absent(around, report.help(kinds.join(", ")));
        None
    }
}
