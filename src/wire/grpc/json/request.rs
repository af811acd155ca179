// SPDX-License-Identifier: Apache-2.0
//! A request in JSON becomes gRPC messages: the body first, then what the path says, then the query.
//!
//! The path wins over the body. The query can set neither what the path sets nor what the body is.

use std::fmt::Display;
use std::ops::ControlFlow;
use std::str;

use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use crate::base::ascii::hex_digit;
use crate::base::limits::{QUERY_PARAMETERS_MAX, TRANSCODED_BATCH_BYTES};
use crate::wire::grpc::json::binding::{Binding, Body};
use crate::wire::grpc::json::fields;
use crate::wire::grpc::json::load::Transcoder;
use crate::wire::grpc::json::measure;
use crate::wire::grpc::json::options::Unknown;
use crate::wire::grpc::json::read::Reader;
use crate::wire::grpc::json::refusal::Refusal;
use crate::wire::grpc::json::route::Route;
use crate::wire::grpc::json::split::Splitter;
use crate::wire::grpc::json::value::Json;
use crate::wire::grpc::message;
use crate::wire::target;

/// The parts of a request that become messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incoming<'a> {
    /// The path that the route was found with.
    pub path: &'a [u8],
    /// The query, without `?`.
    pub query: &'a [u8],
    /// The `content-type`; only of interest where the body is bytes.
    pub content_type: &'a [u8],
}

impl Transcoder {
    /// Appends the one message of a request with its prefix. For calls where the client streams, see `Requests`.
    pub fn request(
        &self,
        route: &Route,
        incoming: &Incoming<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let binding = &self.bindings[route.binding];
        let message = if binding.raw_request {
            if body.len() > self.options.request_bytes_max {
                return Err(Refusal::too_much("the body is larger than allowed"));
            }
            self.raw(binding, incoming.content_type, body)?
        } else {
            self.parsed(binding, body)?
        };
        self.complete(message, route, incoming, out)
    }

    /// The message that a JSON text is for this binding.
    fn parsed(&self, binding: &Binding, text: &[u8]) -> Result<DynamicMessage, Refusal> {
        let input = &self.calls[binding.call].input;
        let empty = text.iter().all(u8::is_ascii_whitespace);
        if empty || matches!(binding.body, Body::None) {
            return Ok(DynamicMessage::new(input.clone()));
        }
        measure::check(text, &self.options)?;
        let json: Json = serde_json::from_slice(text).map_err(|error| unexpected(&error))?;
        let reader = Reader { unknown: self.options.unknown_fields };
        match &binding.body {
            Body::None | Body::Whole => reader.message(input, json).map_err(unexpected),
            Body::Field(field) => {
                let mut message = DynamicMessage::new(input.clone());
                if let Some(value) = reader.field(field, json).map_err(unexpected)? {
                    message.set_field(field, value);
                }
                Ok(message)
            }
        }
    }

    /// The message whose body is bytes.
    fn raw(&self, binding: &Binding, content_type: &[u8], body: &[u8]) -> Result<DynamicMessage, Refusal> {
        let mut message = DynamicMessage::new(self.calls[binding.call].input.clone());
        let place = match &binding.body {
            Body::None | Body::Whole => Some(&mut message),
            Body::Field(field) => message.get_field_mut(field).as_message_mut(),
        };
        let wrong = || Refusal::internal("google.api.HttpBody is not what it should be");
        let place = place.ok_or_else(wrong)?;
        let content_type = str::from_utf8(content_type).unwrap_or_default().to_owned();
        let values = [("content_type", Value::String(content_type)), ("data", Value::Bytes(body.to_vec().into()))];
        for (name, value) in values {
            place.try_set_field_by_name(name, value).map_err(|_| wrong())?;
        }
        Ok(message)
    }

    /// Adds path and query, and appends the message.
    fn complete(
        &self,
        mut message: DynamicMessage,
        route: &Route,
        incoming: &Incoming<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let binding = &self.bindings[route.binding];
        self.query(binding, incoming.query, &mut message)?;
        let template = &binding.template;
        for ((variable, fields), span) in template.variables.iter().zip(&binding.variables).zip(&route.captures) {
            let mut text = Vec::new();
            let slash = if template.is_multiple(variable) { Slash::Keep } else { Slash::Decode };
            decode_segments(span.of(incoming.path), slash, &mut text);
            let text = str::from_utf8(&text).map_err(|_| Refusal::invalid("the path is not UTF-8"))?;
            fields::set(&mut message, fields, text).map_err(Refusal::invalid)?;
        }
        let at = message::begin(out);
        // A vector grows as it has to.
        let _ = message.encode(out);
        message::end(at, out);
        Ok(())
    }

    fn query(&self, binding: &Binding, query: &[u8], message: &mut DynamicMessage) -> Result<(), Refusal> {
        let mut set: Vec<Vec<FieldDescriptor>> = Vec::new();
        for (count, (name, value)) in target::parameters(query).enumerate() {
            if count == QUERY_PARAMETERS_MAX {
                return Err(Refusal::too_much("the query has more parameters than allowed"));
            }
            let (name, value) = (form(name)?, form(value)?);
            if self.options.ignored_query.contains(&name) {
                continue;
            }
            let fields = match self.query_fields(binding, &name) {
                Ok(fields) => fields,
                Err(_) if self.options.unknown_query == Unknown::Ignore => continue,
                Err(what) => return Err(Refusal::invalid(format!("query parameter `{name}`: {what}"))),
            };
            let single = fields.last().is_some_and(|field| !fields::adds_up(field));
            if single && set.contains(&fields) {
                return Err(Refusal::invalid(format!("query parameter `{name}` stands twice")));
            }
            let what = |what| Refusal::invalid(format!("query parameter `{name}`: {what}"));
            fields::set(message, &fields, &value).map_err(what)?;
            if single {
                set.push(fields);
            }
        }
        Ok(())
    }

    /// The fields that a query parameter names, if it may set them.
    fn query_fields(&self, binding: &Binding, name: &str) -> Result<Vec<FieldDescriptor>, String> {
        let found = fields::resolve(&self.calls[binding.call].input, name.split('.'))?;
        let by_body = match &binding.body {
            Body::None => false,
            Body::Whole => true,
            Body::Field(field) => found.first() == Some(field),
        };
        let by_path = binding.variables.iter().any(|fields| found.starts_with(fields) || fields.starts_with(&found));
        if by_body || by_path {
            return Err(format!("it is set by the {}", if by_path { "path" } else { "body" }));
        }
        Ok(found)
    }
}

/// The messages of a client that streams: lines of JSON, or elements of one array. Where the body is bytes, each piece
/// that comes is one message.
#[derive(Debug)]
pub(crate) struct Requests {
    route: Route,
    path: Vec<u8>,
    query: Vec<u8>,
    content_type: Vec<u8>,
    splitter: Splitter,
    /// A piece of a body of bytes came.
    begun: bool,
}

impl Requests {
    /// For a request that matched `route`.
    pub(crate) fn new(transcoder: &Transcoder, route: &Route, incoming: &Incoming<'_>) -> Requests {
        Requests {
            route: route.clone(),
            path: incoming.path.to_vec(),
            query: incoming.query.to_vec(),
            content_type: incoming.content_type.to_vec(),
            splitter: Splitter::new(transcoder.options.request_bytes_max),
            begun: false,
        }
    }

    /// Appends messages that are complete with `bytes`, and returns how many of them it read: not all, where so much
    /// was appended that it should leave first, because the path goes into every message, however short its text. The
    /// query goes into the first message only. After an error the body is over.
    pub(crate) fn push(&mut self, transcoder: &Transcoder, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Refusal> {
        let binding = &transcoder.bindings[self.route.binding];
        let Requests { route, path, query, content_type, splitter, begun } = self;
        let mut send = |text: &[u8]| {
            transcoder.request(route, &Incoming { path, query, content_type }, text, out)?;
            query.clear();
            Ok(if out.len() < TRANSCODED_BATCH_BYTES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        match (&binding.body, binding.raw_request) {
            (Body::None, _) => Ok(bytes.len()),
            (Body::Whole | Body::Field(_), true) => {
                let piece = &bytes[..bytes.len().min(transcoder.options.request_bytes_max.max(1))];
                *begun = true;
                send(piece).map(|_| piece.len())
            }
            (Body::Whole | Body::Field(_), false) => splitter.push(bytes, &mut send),
        }
    }

    /// The body ended here. Appends what is left; where the body goes nowhere, or is no byte of those that it could be,
    /// that is the only message.
    pub(crate) fn finish(&mut self, transcoder: &Transcoder, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let incoming = Incoming { path: &self.path, query: &self.query, content_type: &self.content_type };
        let binding = &transcoder.bindings[self.route.binding];
        match binding.body {
            Body::None => transcoder.request(&self.route, &incoming, b"", out),
            Body::Whole | Body::Field(_) if binding.raw_request && !self.begun => {
                transcoder.request(&self.route, &incoming, b"", out)
            }
            Body::Whole | Body::Field(_) => match self.splitter.finish()? {
                Some(text) => transcoder.request(&self.route, &incoming, text, out),
                None => Ok(()),
            },
        }
    }
}

fn unexpected(what: impl Display) -> Refusal {
    Refusal::invalid(format!("the body is not the JSON that is expected: {what}"))
}

fn form(text: &[u8]) -> Result<String, Refusal> {
    let mut out = Vec::new();
    target::form_decode(text, &mut out);
    String::from_utf8(out).map_err(|_| Refusal::invalid("the query is not UTF-8"))
}

/// What becomes of an encoded slash in the path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slash {
    /// It is decoded: a single segment is a text of its own.
    Decode,
    /// It stays encoded: among several segments it must not be taken for one that separates them.
    Keep,
}

/// Decodes a part of the path.
fn decode_segments(mut text: &[u8], slash: Slash, out: &mut Vec<u8>) {
    while let Some((byte, rest)) = text.split_first() {
        let encoded = match (byte, rest) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match encoded {
            Some(decoded) if decoded != b'/' || slash == Slash::Decode => {
                out.push(decoded);
                text = &rest[2..];
            }
            Some(_) | None => {
                out.push(*byte);
                text = rest;
            }
        }
    }
}
