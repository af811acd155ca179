// SPDX-License-Identifier: Apache-2.0
//! The gRPC part of `explain`: which method a JSON request calls, and by which rule.

use crate::config::explain::line::line;
use crate::config::plan::{Descriptors, GrpcPlan, Plan};
use crate::wire::field::Known;
use crate::wire::grpc::Media;
use crate::wire::grpc::json::{Lookup, Transcoder};
use crate::wire::head::Request;

/// Rules of a list; the rest is counted.
const RULES_SHOWN: usize = 10;

/// What a request in JSON calls.
pub(crate) enum Called {
    /// The request is no JSON call.
    None,
    /// The method with this path.
    Method(String),
    /// It is answered at once.
    Nothing,
}

/// Describes the call of a request with the rewritten target `target`.
pub(crate) fn explain(
    out: &mut String,
    plan: &Plan,
    grpc: &GrpcPlan,
    (request, target): (Request<'_>, &[u8]),
) -> Called {
    let framed = request.value(Known::ContentType).and_then(Media::of).is_some();
    let transcoder = grpc.json.filter(|_| !framed).map(|id| &plan.transcoders[id.0 as usize]);
    let Some(transcoder) = transcoder else { return Called::None };
    let descriptors = match &transcoder.descriptors {
        Descriptors::Known(descriptors) => descriptors,
        Descriptors::Asked(asked) => {
            line(out, "calls", &format!("what the servers of {} tell by reflection", asked.source.upstream));
            return Called::Method("(the method)".to_owned());
        }
    };
    let compiled = Transcoder::from_descriptor_set(descriptors, transcoder.options.clone());
    // The compiler has compiled this descriptor set; a plan with errors does not exist.
    let Ok(compiled) = compiled else { return Called::None };
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let none = match compiled.find(request.method_text(), path) {
        Lookup::Found(route) => {
            let (method, template) = compiled.rule(&route);
            let path = compiled.call(&route).path.clone();
            line(out, "calls", &format!("{path}, by the rule {method} {template}"));
            return Called::Method(path);
        }
        Lookup::OtherMethod => {
            format!("nothing: the rules have this path with {} only, so 405", compiled.allowed(path))
        }
        Lookup::None => "nothing: no rule has this path, so 404".to_owned(),
    };
    line(out, "calls", &none);
    for (method, template) in compiled.rules().take(RULES_SHOWN) {
        line(out, "", &format!("{method} {template}"));
    }
    let more = compiled.rules().count().saturating_sub(RULES_SHOWN);
    if more > 0 {
        line(out, "", &format!("and {more} more"));
    }
    Called::Nothing
}
