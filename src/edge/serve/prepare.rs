//! Hot. Makes ready what goes to the upstream: the target, the forwarding fields, the route's own changes to fields.

use crate::base::{Fault, FaultKind};
use crate::config::plan::{FieldChange, FieldOp, ProxyPlan, RoutePlan};
use crate::edge::exchange::context::{Exchange, Scene};
use crate::edge::exchange::vars::Vars;
use crate::edge::forward::upgrade;
use crate::edge::shard::scratch::Work;
use crate::net::Net;
use crate::route::rewrite::Original;
use crate::wire::field::Known;
use crate::wire::head::Fields;
use crate::wire::patch::Patch;
use crate::wire::template::Lookup;
use crate::wire::trace::{Sampling, Trace};

/// Fills `work.target` and `work.effects.to_upstream`.
pub fn prepare<N: Net, S, K>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
    proxy: &ProxyPlan,
) -> Result<(), Fault> {
    let scene = exchange.scene;
    write_target(scene, exchange.work, proxy)?;
    let listener = scene.listener_plan();
    let Work { effects, client, request_id, .. } = &mut *exchange.work;
    let patch = &mut effects.to_upstream;
    listener.forwarded.apply(&scene.peer.inbound, client, scene.request, patch);
    if listener.ids.request_id && scene.request.value(Known::XRequestId) != Some(request_id) {
        patch.remove_known(&scene.request.head.fields, Known::XRequestId);
        patch.add_known(Known::XRequestId, b"X-Request-Id", |value| value.extend_from_slice(request_id));
    }
    if listener.ids.traceparent {
        trace_context(scene, patch);
    }
    request_fields(scene, exchange.work, &route.request_fields);
    if scene.request.head.upgrade {
        upgrade::prepare(scene, exchange.work);
    }
    Ok(())
}

/// Continues the client's trace with a span of ours, or begins one.
fn trace_context<N: Net>(scene: Scene<'_, N>, patch: &mut Patch) {
    let net = &scene.shard.net;
    let received = scene.request.value(Known::Traceparent).and_then(Trace::parse);
    let ours = match received {
        Some(trace) => trace.child(net.random()),
        None => Trace::start([net.random(), net.random(), net.random()], Sampling::Recorded),
    };
    patch.remove_known(&scene.request.head.fields, Known::Traceparent);
    patch.add_known(Known::Traceparent, b"traceparent", |value| value.extend_from_slice(&ours.text()));
}

/// The target as the upstream gets it: the normalised path, so that it reads what we routed by, and the query as sent.
fn write_target<N: Net>(scene: Scene<'_, N>, work: &mut Work, proxy: &ProxyPlan) -> Result<(), Fault> {
    let mut target = std::mem::take(&mut work.target);
    let mut value = std::mem::take(&mut work.value);
    target.clear();
    value.clear();
    let has_query = work.effects.append_query(scene.request, &mut value);
    let query = has_query.then_some(&value[..]);
    let mut written = true;
    match &proxy.rewrite {
        Some(rewrite) => {
            let original = Original { path: &work.path, query };
            written = rewrite.write(original, &Vars::new(scene, work), &mut target);
        }
        None => {
            target.extend_from_slice(&work.path);
            if let Some(query) = query {
                target.push(b'?');
                target.extend_from_slice(query);
            }
        }
    }
    work.target = target;
    work.value = value;
    if written { Ok(()) } else { Err(Fault::last(FaultKind::BadRequest)) }
}

fn request_fields<N: Net>(scene: Scene<'_, N>, work: &mut Work, operations: &[FieldOp]) {
    if operations.is_empty() {
        return;
    }
    let mut patch = std::mem::take(&mut work.effects.to_upstream);
    let mut value = std::mem::take(&mut work.value);
    let fields = &scene.request.head.fields;
    apply(operations, fields, scene.request.bytes, &mut patch, &mut value, &Vars::new(scene, work));
    work.effects.to_upstream = patch;
    work.value = value;
}

/// The route's changes to the response's fields. `bytes` are those of the response's head.
pub fn response_fields<N: Net>(scene: Scene<'_, N>, work: &mut Work, operations: &[FieldOp], bytes: &[u8]) {
    if operations.is_empty() {
        return;
    }
    let mut patch = std::mem::take(&mut work.effects.to_client);
    let mut value = std::mem::take(&mut work.value);
    let vars = Vars::with_response(scene, work, bytes);
    apply(operations, &work.response.fields, bytes, &mut patch, &mut value, &vars);
    work.effects.to_client = patch;
    work.value = value;
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
