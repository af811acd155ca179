// SPDX-License-Identifier: Apache-2.0
//! Hot. Redirects.

use crate::base::{Fault, FaultKind};
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::response;
use crate::edge::exchange::vars::Vars;
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::shard::scratch::RequestState;
use crate::net::Net;
use crate::route::redirect::{Redirect, RedirectRequest};
use crate::route::rewrite::Original;

/// Sends the client elsewhere.
pub(crate) async fn send<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    redirect: &Redirect,
) -> Result<(), Fault> {
    let Context { request, peer, .. } = exchange.context;
    let RequestState { attributes, record, effects, value, .. } = &mut *exchange.state;
    let asked = RedirectRequest {
        scheme: attributes.client.scheme,
        authority: request.authority(),
        listener_port: peer.local_port,
        original: Original { path: &attributes.path, query: request.head.query.map(|q| q.of(request.bytes)) },
    };
    value.clear();
    let made = redirect.location(&asked, &Vars::new(exchange.context, attributes, record), value);
    effects.to_client.add(b"Location", value);
    if !made {
        return Err(Fault::last(FaultKind::BadRequest));
    }
    response::send(exchange, redirect.status, None, b"").await
}
