// SPDX-License-Identifier: Apache-2.0
//! The subrequest of a policy: fetches what the policy left in `effects.subrequest` and gives it the response.

use std::time::Duration;

use crate::base::UpstreamId;
use crate::edge::exchange::context::Context;
use crate::edge::exchange::policies::{self, Asked};
use crate::edge::forward::fetch::{Fetch, fetch};
use crate::edge::shard::scratch::RequestState;
use crate::net::Net;
use crate::policy::facts::{Carried, Subrequest};
use crate::policy::{self, AskOutcome, Decision};
use crate::wire::head::ResponseHead;

/// Sends the subrequest, and resumes the policy with the head of the response, or with why there is none.
pub(crate) async fn ask<'p, N: Net>(
    context: Context<'p, N>,
    state: &mut RequestState,
    asked: Asked,
    upstream: UpstreamId,
    timeout: Duration,
) -> Decision<'p> {
    let until = context.shard.thread.net.now().after(timeout);
    let mut head = ResponseHead::default();
    let RequestState { effects, out, replay, .. } = state;
    let Subrequest { method, target, host, body, kept_bytes_max, kept, fields } = &mut effects.subrequest;
    let body: &[u8] = match body {
        Carried::Nothing => b"",
        Carried::Body => replay,
    };
    let method: &[u8] = if method.is_empty() { b"GET" } else { method };
    let request = Fetch { upstream, method, target, host, fields, body, kept_bytes_max: *kept_bytes_max, until };
    kept.clear();
    match fetch(context, &request, out, (&mut head, kept)).await {
        Ok(bytes) => {
            let outcome = AskOutcome::Subrequest(policy::Response { bytes: bytes.filled(), head: &head });
            let decision = policies::resume(context, state, asked, outcome);
            context.shard.thread.pool.put(bytes);
            decision
        }
        Err(_) => policies::resume(context, state, asked, AskOutcome::Failed),
    }
}
