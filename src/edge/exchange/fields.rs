//! Hot. A route's own changes to the fields of requests and responses.

use crate::config::plan::{FieldChange, FieldOp};
use crate::edge::exchange::context::Context;
use crate::edge::exchange::vars::Vars;
use crate::edge::shard::scratch::Work;
use crate::net::Net;
use crate::wire::head::{Fields, Response};
use crate::wire::patch::Patch;
use crate::wire::template::Lookup;

/// The route's changes to the request's fields.
pub fn request_fields<N: Net>(context: Context<'_, N>, work: &mut Work, operations: &[FieldOp]) {
    if operations.is_empty() {
        return;
    }
    let Work { attributes, record, effects, value, .. } = work;
    let fields = &context.request.head.fields;
    let vars = Vars::new(context, attributes, record);
    apply(operations, fields, context.request.bytes, &mut effects.to_upstream, value, &vars);
}

/// The route's changes to the response's fields. `bytes` are those of the response's head.
pub fn response_fields<N: Net>(context: Context<'_, N>, work: &mut Work, operations: &[FieldOp], bytes: &[u8]) {
    if operations.is_empty() {
        return;
    }
    let Work { attributes, record, response, effects, value, .. } = work;
    let vars = Vars::with_response(context, attributes, record, Response { bytes, head: response });
    apply(operations, &response.fields, bytes, &mut effects.to_client, value, &vars);
}

fn apply(
    operations: &[FieldOp],
    fields: &Fields,
    bytes: &[u8],
    patch: &mut Patch,
    value: &mut Vec<u8>,
    lookup: &impl Lookup,
) {
    for FieldOp { name, change } in operations {
        let name = name.as_bytes();
        value.clear();
        match change {
            FieldChange::Remove => patch.remove(fields, bytes, name),
            FieldChange::Set(template) => {
                template.render(lookup, value);
                clean(value);
                patch.set(fields, bytes, name, value);
            }
            FieldChange::Add(template) => {
                template.render(lookup, value);
                clean(value);
                patch.add(name, value);
            }
            FieldChange::Default(template) => {
                let present = fields.named(bytes, name).next().is_some()
                    || patch.added().any(|(added, _)| added.eq_ignore_ascii_case(name));
                if !present {
                    template.render(lookup, value);
                    clean(value);
                    patch.add(name, value);
                }
            }
        }
    }
}

/// What variables brought in may hold bytes that no field value has (a path parameter is never decoded, but a
/// certificate's subject may hold anything): they become spaces, so that no line can be made.
fn clean(value: &mut [u8]) {
    value.iter_mut().filter(|byte| byte.is_ascii_control() && **byte != b'\t').for_each(|byte| *byte = b' ');
}
