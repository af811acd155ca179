//! `[policy.NAME]`: finds out which kind it is. Each kind is compiled in its own file.

mod context;

use crate::config::compile::Compiler;
use crate::config::compile::consumer::Consumers;
use crate::config::compile::policy::context::Context;
use crate::config::place::{Place, Placed};
use crate::config::plan::PolicyPlan;
use crate::config::report::Report;
use crate::config::spec::policy::PolicySpec;
use crate::policy::{Policy, each_kind};

macro_rules! compilers {
    ($($(#[$doc:meta])* $Kind:ident($module:ident),)*) => {
        $(mod $module;)*

        /// The keys of which a policy has exactly one.
        const KINDS: &[&str] = &[$(stringify!($module)),*];

        /// Where the kinds that were written stand, in the order of the file.
        fn given(spec: &PolicySpec) -> Vec<Place> {
            let places = [$(spec.$module.as_ref().map(|kind| kind.place)),*];
            let mut given: Vec<Place> = places.into_iter().flatten().collect();
            given.sort_by_key(|place| (place.file, place.start));
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
    pub place: Place,
}

impl Compiler<'_> {
    /// Compiles every `[policy.NAME]` that is right so far.
    pub(super) fn policies(&mut self, consumers: &Consumers) -> Vec<CompiledPolicy> {
        let draft = self.draft;
        let mut policies = Vec::new();
        for (name, spec) in draft.spec.policy.iter() {
            let Some(policy) = self.policy(name, spec, consumers) else { continue };
            let plan = PolicyPlan { name: name.value.as_str().into(), policy };
            policies.push(CompiledPolicy { plan, place: name.place });
        }
        policies
    }

    fn policy(&mut self, name: &Placed<String>, spec: &PolicySpec, consumers: &Consumers) -> Option<Policy> {
        let given = given(spec);
        if given.len() == 1 {
            return compile(self, spec, &Context { name: &name.value, consumers });
        }
        let place = given.get(1).copied().unwrap_or(name.place);
        let report = Report::error(place, format!("policy `{}` is exactly one kind", name.value));
        let node = self.draft.root.child("policy").and_then(|section| section.child(&name.value));
        let around = node.map_or(name.place, |node| node.place);
        let kinds: Vec<String> = KINDS.iter().map(|kind| format!("`{kind}`")).collect();
        self.absent(around, report.help(kinds.join(", ")));
        None
    }
}
