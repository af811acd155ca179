// SPDX-License-Identifier: Apache-2.0
//! Hot. A route's own changes to the fields of requests and responses.

use crate::edge::exchange::context::Context;
use crate::edge::exchange::vars::Vars;
use crate::edge::shard::scratch::RequestState;
use crate::net::Net;
use crate::wire::change::{self, Change, Received};
use crate::wire::head::Response;

/// The route's changes to the request's fields.
pub(crate) fn request_fields<N: Net>(context: Context<'_, N>, state: &mut RequestState, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    let RequestState { attributes, record, effects, value, .. } = state;
    let received = Received { fields: &context.request.head.fields, bytes: context.request.bytes };
    let vars = Vars::new(context, attributes, record);
    change::apply(changes, received, &vars, &mut effects.to_upstream, value);
}

/// The route's changes to the response's fields. `bytes` are those of the response's head.
pub(crate) fn response_fields<N: Net>(
    context: Context<'_, N>,
    state: &mut RequestState,
    changes: &[Change],
    bytes: &[u8],
) {
    if changes.is_empty() {
        return;
    }
    let RequestState { attributes, record, response, effects, value, .. } = state;
    let vars = Vars::with_response(context, attributes, record, Response { bytes, head: response });
    let received = Received { fields: &response.fields, bytes };
    change::apply(changes, received, &vars, &mut effects.to_client, value);
}
