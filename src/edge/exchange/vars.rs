// SPDX-License-Identifier: Apache-2.0
//! The values of template variables in one exchange.

use crate::base::ascii::push_decimal;
use crate::edge::exchange::context::Context;
use crate::edge::shard::attributes::Attributes;
use crate::edge::shard::record::Record;
use crate::net::Net;
use crate::policy::directory::Consumer;
use crate::wire::head::Response;
use crate::wire::query;
use crate::wire::template::{ConsumerVariable, Lookup, TlsVariable, Variable};

/// The variables of one exchange.
pub(crate) struct Vars<'a, N: Net> {
    context: Context<'a, N>,
    attributes: &'a Attributes,
    record: &'a Record,
    response: Option<Response<'a>>,
}

impl<'a, N: Net> Vars<'a, N> {
    /// On the request's side.
    pub(crate) fn new(context: Context<'a, N>, attributes: &'a Attributes, record: &'a Record) -> Vars<'a, N> {
        Vars { context, attributes, record, response: None }
    }

    /// On the response's side.
    pub(crate) fn with_response(
        context: Context<'a, N>,
        attributes: &'a Attributes,
        record: &'a Record,
        response: Response<'a>,
    ) -> Vars<'a, N> {
        Vars { context, attributes, record, response: Some(response) }
    }

    fn tls(&self, variable: TlsVariable) -> &[u8] {
        let Some(tls) = &self.context.peer.tls else { return b"" };
        match variable {
            TlsVariable::Sni => tls.server_name.as_deref().unwrap_or("").as_bytes(),
            TlsVariable::Version => tls.version.name().as_bytes(),
            TlsVariable::ClientSubject => tls.peer_subject.as_deref().unwrap_or("").as_bytes(),
        }
    }

    fn consumer(&self, variable: &ConsumerVariable, out: &mut Vec<u8>) {
        let attributes = self.attributes;
        let directory = self.context.shard.directory.borrow();
        let identity = &attributes.identity;
        let consumer = identity.consumer.and_then(|number| directory.consumer(number));
        let text = match variable {
            ConsumerVariable::Name => Some(&*attributes.consumer),
            ConsumerVariable::Id => consumer.map(Consumer::id),
            ConsumerVariable::Groups => {
                let groups = consumer.map_or(&[][..], |consumer| &consumer.profile.groups);
                for (at, group) in groups.iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b"," } else { b"" });
                    out.extend_from_slice(group.as_bytes());
                }
                None
            }
            ConsumerVariable::Method => identity.method,
            ConsumerVariable::Attribute(name) => consumer.and_then(|consumer| consumer.attribute(name)),
            ConsumerVariable::Tenant => {
                consumer.and_then(|consumer| directory.tenant(consumer)).map(|tenant| &*tenant.name)
            }
            ConsumerVariable::App => identity.app.and_then(|app| directory.app(app)).map(|app| &*app.name),
            ConsumerVariable::Plan => {
                let route = attributes.route.map_or("", |route| &*self.context.bound.plan.route(route).name);
                directory.in_force(identity, route).map(|in_force| &*in_force.plan.name)
            }
        };
        out.extend_from_slice(text.unwrap_or("").as_bytes());
    }

    fn upstream_address(&self, out: &mut Vec<u8>) {
        let record = self.record;
        let (Some(upstream), Some(index)) = (record.upstream, record.endpoint) else { return };
        let cluster = self.context.bound.upstream(upstream).load.cluster.borrow();
        if let Some(endpoint) = cluster.endpoint(index) {
            // Writing to a `Vec` cannot fail.
            let _ = std::io::Write::write_fmt(out, format_args!("{}", endpoint.address));
        }
    }
}

impl<N: Net> Lookup for Vars<'_, N> {
    fn text(&self, variable: &Variable) -> Option<&[u8]> {
        match variable {
            Variable::Host => Some(&self.attributes.host),
            Variable::ClientIp => Some(&self.attributes.client_text),
            Variable::RequestId => Some(&self.attributes.request_id),
            Variable::Tls(variable) => Some(self.tls(*variable)),
            _ => None,
        }
    }

    fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
        let Context { bound, peer, request, .. } = self.context;
        let (attributes, record) = (self.attributes, self.record);
        match variable {
            Variable::ClientIp => out.extend_from_slice(&attributes.client_text),
            Variable::ClientPort => push_decimal(out, u64::from(peer.port)),
            Variable::Host => out.extend_from_slice(&attributes.host),
            Variable::Authority => out.extend_from_slice(request.authority()),
            Variable::Method => out.extend_from_slice(request.method_text()),
            Variable::Scheme => out.extend_from_slice(if attributes.https() { b"https" } else { b"http" }),
            Variable::Path => out.extend_from_slice(&attributes.path),
            Variable::PathRaw => out.extend_from_slice(request.path()),
            Variable::Query => out.extend_from_slice(request.query()),
            Variable::Target => out.extend_from_slice(request.head.target.of(request.bytes)),
            Variable::ListenerPort => push_decimal(out, u64::from(peer.local_port)),
            Variable::Route => {
                let name = attributes.route.map_or("", |route| &*bound.plan.route(route).name);
                out.extend_from_slice(name.as_bytes());
            }
            Variable::RequestId => out.extend_from_slice(&attributes.request_id),
            Variable::Consumer(variable) => self.consumer(variable, out),
            Variable::Claim(name) => {
                attributes.identity.claims.iter().for_each(|claims| claims.append(name, out));
            }
            Variable::Version => {
                let version = record.version.and_then(|version| bound.plan.version(version));
                out.extend_from_slice(version.unwrap_or_default().as_bytes());
            }
            Variable::Country => {
                let country = bound.plan.countries.as_ref().zip(attributes.client.address);
                if let Some(country) = country.and_then(|(countries, address)| countries.of(address)) {
                    out.extend_from_slice(country.as_bytes());
                }
            }
            Variable::Tls(variable) => out.extend_from_slice(self.tls(*variable)),
            Variable::Param(position) => {
                out.extend_from_slice(attributes.params.value(*position, &attributes.path).unwrap_or(b""));
            }
            Variable::NamedParam(name) => {
                let names = attributes.route.map_or(&[][..], |route| &bound.plan.route(route).params);
                let position = names.iter().position(|known| **known == **name).map(|position| position as u16);
                let value = position.and_then(|position| attributes.params.value(position, &attributes.path));
                out.extend_from_slice(value.unwrap_or(b""));
            }
            Variable::Header(name) => request.head.fields.append_combined(request.bytes, name.as_bytes(), out),
            Variable::Cookie(name) => out.extend_from_slice(request.cookie(name.as_bytes()).unwrap_or(b"")),
            Variable::QueryValue(name) => {
                out.extend_from_slice(query::raw_value(request, name.as_bytes()).unwrap_or(b""));
            }
            Variable::Status if record.status != 0 => push_decimal(out, u64::from(record.status)),
            Variable::Status => {
                if let Some(response) = self.response {
                    push_decimal(out, u64::from(response.head.status));
                }
            }
            Variable::ResponseHeader(name) => {
                if let Some(Response { bytes, head }) = self.response {
                    head.fields.append_combined(bytes, name.as_bytes(), out);
                }
            }
            Variable::Upstream => {
                let name = record.upstream.map_or("", |upstream| &*bound.plan.upstream(upstream).name);
                out.extend_from_slice(name.as_bytes());
            }
            Variable::UpstreamAddress => self.upstream_address(out),
        }
    }
}
