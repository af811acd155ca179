// SPDX-License-Identifier: Apache-2.0
//! A request to the admin server as actions see it: everything that is known of it, and nothing of HTTP.

use std::net::IpAddr;

use crate::control::admin::precondition::Precondition;
use crate::control::admin::principal::Principal;
use crate::control::admin::query::Query;
use crate::control::store::response::Idempotency;

/// A request as actions see it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Its id, for the audit.
    pub request_id: String,
    /// Who asks.
    pub principal: Principal,
    /// What must hold.
    pub precondition: Precondition,
    /// How the client marks a repetition, of a request that changes something.
    pub idempotency: Option<Idempotency>,
    /// Where it came from, where that is an address.
    pub from: Option<IpAddr>,
    /// The segments of the path that vary.
    pub segments: Vec<String>,
    /// Its query, of a route of the API.
    pub query: Query,
    /// The query as it was sent.
    pub raw_query: String,
    /// The media types that its client takes, as sent; empty for all.
    pub accept: String,
    /// Its body, where the route takes one.
    pub body: Option<serde_json::Value>,
}

impl Call {
    /// The segment of the path that varies at this place.
    pub(crate) fn segment(&self, at: usize) -> &str {
        // The router gives as many as the route's path has.
        self.segments.get(at).map_or("", String::as_str)
    }

    /// The body. A route that takes none has `null`.
    pub(crate) fn take_body(&mut self) -> serde_json::Value {
        self.body.take().unwrap_or_default()
    }
}
