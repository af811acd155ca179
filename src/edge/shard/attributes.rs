// SPDX-License-Identifier: Apache-2.0
//! Hot. What is known of a request before anything is done about it.
//!
//! `serve/path` writes it when it looks at the request and finds its route, and `exchange/policies` writes who it is.
//! From then on it is only read, so that whoever reads it can change the rest of an exchange's memory meanwhile.

use crate::base::{RouteId, Scheme};
use crate::edge::adapt::grpc::Caller;
use crate::policy::Identity;
use crate::route::Params;
use crate::wire::forwarded;

/// What is known of one request.
#[derive(Debug)]
pub(crate) struct Attributes {
    /// The host, lower case, without its port.
    pub host: Vec<u8>,
    /// The normalised path.
    pub path: Vec<u8>,
    /// The received path has repeated slashes, which `path` has not.
    pub merged: bool,
    /// The client's address as text, after trusted proxies were taken into account.
    pub client_text: Vec<u8>,
    /// The request's id.
    pub request_id: Vec<u8>,
    /// Path parameters.
    pub params: Params,
    /// Who the client is, after trusted proxies were taken into account.
    pub client: forwarded::Client,
    /// The route it takes.
    pub route: Option<RouteId>,
    /// It is a gRPC call, and who calls.
    pub caller: Option<Caller>,
    /// Who sent it, as far as policies have found.
    pub identity: Identity,
    /// The name of the consumer that sent it. It stays known where the consumer is removed meanwhile.
    pub consumer: String,
}

/// Before the request was looked at.
const NOBODY: forwarded::Client = forwarded::Client { address: None, scheme: Scheme::Http, peer_trusted: false };

impl Default for Attributes {
    fn default() -> Attributes {
        Attributes {
            host: Vec::new(),
            path: Vec::new(),
            merged: false,
            client_text: Vec::new(),
            request_id: Vec::new(),
            params: Params::default(),
            client: NOBODY,
            route: None,
            caller: None,
            identity: Identity::default(),
            consumer: String::new(),
        }
    }
}

impl Attributes {
    /// The client spoke TLS, to us or to a trusted proxy before us.
    pub(crate) fn https(&self) -> bool {
        self.client.scheme == Scheme::Https
    }

    /// Ready for the next request; keeps its memory.
    pub(crate) fn clear(&mut self) {
        for text in [&mut self.host, &mut self.path, &mut self.client_text, &mut self.request_id] {
            text.clear();
        }
        self.merged = false;
        self.client = NOBODY;
        self.route = None;
        self.caller = None;
        self.identity = Identity::default();
        self.consumer.clear();
    }
}
