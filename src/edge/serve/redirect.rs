//! Hot. Redirects.

use crate::base::{Fault, FaultKind};
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::response;
use crate::edge::exchange::vars::Vars;
use crate::edge::flow::stream::{Client, Source};
use crate::net::Net;
use crate::route::redirect::{Asked, Redirect};
use crate::route::rewrite::Original;

/// Sends the client elsewhere.
pub async fn send<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    redirect: &Redirect,
) -> Result<(), Fault> {
    let Context { request, peer, .. } = exchange.context;
    let asked = Asked {
        scheme: exchange.work.client.scheme,
        authority: request.authority(),
        listener_port: peer.local_port,
        original: Original { path: &exchange.work.path, query: request.head.query.map(|q| q.of(request.bytes)) },
    };
    let mut location = std::mem::take(&mut exchange.work.value);
    location.clear();
    let made = redirect.location(&asked, &Vars::new(exchange.context, exchange.work), &mut location);
    exchange.work.effects.to_client.add(b"Location", &location);
    exchange.work.value = location;
    if !made {
        return Err(Fault::last(FaultKind::BadRequest));
    }
    response::send(exchange, redirect.status, None, b"").await
}
