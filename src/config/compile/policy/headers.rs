//! `[policy.NAME.headers]`.

use crate::config::compile::Compiler;
use crate::config::compile::fields::Head;
use crate::config::compile::policy::context::Context;
use crate::config::place::Placed;
use crate::config::plan::{FieldChange, FieldOp};
use crate::config::spec::policy::headers::Spec;
use crate::policy::headers::{Change, Plan};
use crate::wire::template::Template;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Placed<Spec>, _: &Context<'_>) -> Option<Plan> {
    let request = compiler.field_ops(&spec.value.request, Head::Request, &[]);
    let response = compiler.field_ops(&spec.value.response, Head::Response, &[]);
    Some(Plan { request: changes(request), response: changes(response) })
}

fn changes(ops: Vec<FieldOp>) -> Box<[Change]> {
    let changes = ops.into_iter().map(|FieldOp { name, change }| {
        let name: Box<[u8]> = name.as_bytes().into();
        let make = |with: fn(Box<[u8]>, Template) -> Change, value: Template| with(name.clone(), value);
        match change {
            FieldChange::Remove => Change::Remove(name),
            FieldChange::Set(value) => make(Change::Set, value),
            FieldChange::Add(value) => make(Change::Add, value),
            FieldChange::Default(value) => make(Change::SetIfMissing, value),
        }
    });
    changes.collect()
}
