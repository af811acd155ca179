// SPDX-License-Identifier: Apache-2.0
//! gRPC messages become a response in JSON: one object, or a stream of them; and an error becomes one too.

use std::borrow::Cow;

use prost::Message;
use prost_reflect::{DynamicMessage, Value};

use crate::base::ascii::is_field_value;
use crate::base::limits::GRPC_DETAILS_BYTES_MAX;
use crate::wire::grpc::base64;
use crate::wire::grpc::json::answer::JsonResponseHead;
use crate::wire::grpc::json::binding::Binding;
use crate::wire::grpc::json::load::Transcoder;
use crate::wire::grpc::json::options::StreamForm;
use crate::wire::grpc::json::refusal::{JSON, Refusal, write_status};
use crate::wire::grpc::json::route::Route;
use crate::wire::grpc::json::weigh::Budget;
use crate::wire::grpc::json::write::Writer;
use crate::wire::grpc::message::{Dialect, Part, Prefix, Scanner};
use crate::wire::grpc::status::{Code, End, decode_message};

const BYTES: &str = "application/octet-stream";

impl Transcoder {
    /// Appends the body for a call that ended with `end` after the framed messages `body`, which should be one.
    pub fn answer(&self, route: &Route, body: &[u8], end: &End<'_>, out: &mut Vec<u8>) -> JsonResponseHead {
        if end.code != Code::Ok {
            return self.error(end, out);
        }
        let start = out.len();
        let shown = self.only(body).and_then(|payload| self.show(&self.bindings[route.binding], payload, out));
        match shown {
            Ok(content_type) => JsonResponseHead { status: 200, content_type },
            Err(refusal) => {
                out.truncate(start);
                refusal.answer(out)
            }
        }
    }

    /// Appends the body for a call that failed: code, message and details as `google.rpc.Status` in JSON.
    pub fn error(&self, end: &End<'_>, out: &mut Vec<u8>) -> JsonResponseHead {
        let mut message = Vec::new();
        decode_message(end.message, &mut message);
        write_status(end.code, &String::from_utf8_lossy(&message), &self.details(end.details), out);
        JsonResponseHead { status: end.code.http_status(), content_type: Cow::Borrowed(JSON) }
    }

    /// The payload of the only message.
    fn only<'a>(&self, body: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let mut scanner = Scanner::new(Dialect::Grpc, self.options.response_bytes_max);
        let wrong = || Refusal::internal("the server did not answer with exactly one message");
        let whole = scanner.advance(body).and_then(|()| scanner.finish());
        whole.map_err(|offence| Refusal::internal(offence.text()))?;
        if scanner.messages() != 1 {
            return Err(wrong());
        }
        let (prefix, payload) = body.split_first_chunk().ok_or_else(wrong)?;
        uncompressed(Prefix::read(*prefix))?;
        Ok(payload)
    }

    /// Appends what a message of a response is to the client.
    fn show(&self, binding: &Binding, payload: &[u8], out: &mut Vec<u8>) -> Result<Cow<'static, str>, Refusal> {
        let call = &self.calls[binding.call];
        let mut budget = Budget::new(&self.options);
        let message = budget.decode(&call.output, payload)?;
        if binding.raw_answer {
            return show_raw(binding, &message, out);
        }
        let mut writer = Writer::new(self, budget, out);
        match &binding.answer {
            None => writer.message(&message)?,
            Some(field) => writer.field(&message, field)?,
        }
        Ok(Cow::Borrowed(JSON))
    }

    /// The details of an error, each as JSON. What cannot be read is left out; of a kind that is not known, the bytes
    /// are kept.
    fn details(&self, text: &[u8]) -> Vec<Vec<u8>> {
        // The field's text may lack its padding.
        let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
        let unpadded = &text[..end];
        if unpadded.is_empty() || unpadded.len() > GRPC_DETAILS_BYTES_MAX {
            return Vec::new();
        }
        let mut padded = unpadded.to_vec();
        padded.resize(unpadded.len().next_multiple_of(4), b'=');
        let (mut decoder, mut bytes) = (base64::Decoder::new(), Vec::new());
        let Ok(()) = decoder.push(&padded, &mut bytes) else { return Vec::new() };
        let Ok(status) = RpcStatus::decode(bytes.as_slice()) else { return Vec::new() };
        status.details.iter().filter_map(|detail| self.detail(detail)).collect()
    }

    fn detail(&self, detail: &Detail) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut writer = Writer::new(self, Budget::new(&self.options), &mut out);
        writer.any(&detail.type_url, &detail.value).ok()?;
        Some(out)
    }
}

/// The messages of a server that streams.
#[derive(Debug)]
pub(crate) struct Responses {
    binding: usize,
    form: StreamForm,
    scanner: Scanner,
    payload: Vec<u8>,
    content_type: Cow<'static, str>,
    count: u64,
}

impl Responses {
    /// For a request that matched `route`.
    pub(crate) fn new(transcoder: &Transcoder, route: &Route, form: StreamForm) -> Responses {
        let raw = transcoder.bindings[route.binding].raw_answer;
        Responses {
            binding: route.binding,
            form,
            scanner: Scanner::new(Dialect::Grpc, transcoder.options.response_bytes_max),
            payload: Vec::new(),
            content_type: Cow::Borrowed(if raw { BYTES } else { form.content_type() }),
            count: 0,
        }
    }

    /// True before the first message: a call that fails then is answered with `Transcoder::error` and its own status.
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The media type. Where messages are bytes, it is known with the first of them.
    pub(crate) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Appends what `bytes` complete. After an error the body is ended with `break_off`.
    pub(crate) fn push(&mut self, transcoder: &Transcoder, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        loop {
            let next = self.scanner.next(bytes).map_err(|offence| Refusal::internal(offence.text()))?;
            let Some(piece) = next else { return Ok(()) };
            match piece.part {
                Part::Prefix => {}
                Part::Start(prefix) => {
                    uncompressed(prefix)?;
                    self.payload.clear();
                }
                Part::Payload => self.payload.extend_from_slice(&bytes[..piece.raw]),
            }
            if piece.last {
                self.message(transcoder, out)?;
            }
            bytes = &bytes[piece.raw..];
        }
    }

    /// Appends the end of the body for a call that ended with `end`: its error, if it is one, and what closes the form.
    pub(crate) fn finish(&mut self, transcoder: &Transcoder, end: &End<'_>, out: &mut Vec<u8>) {
        if end.code == Code::Ok && self.scanner.finish().is_err() {
            return self.break_off(transcoder, &Refusal::internal("the server's answer ended inside a message"), out);
        }
        if end.code != Code::Ok {
            let mut text = Vec::new();
            transcoder.error(end, &mut text);
            self.fail(transcoder, &text, out);
        }
        self.close(transcoder, out);
    }

    /// Appends the end of the body for a call that we broke off.
    pub(crate) fn break_off(&mut self, transcoder: &Transcoder, refusal: &Refusal, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        refusal.answer(&mut text);
        self.fail(transcoder, &text, out);
        self.close(transcoder, out);
    }

    fn message(&mut self, transcoder: &Transcoder, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let binding = &transcoder.bindings[self.binding];
        let start = out.len();
        if !binding.raw_answer {
            self.open(out);
        }
        match transcoder.show(binding, &self.payload, out) {
            Ok(content_type) if binding.raw_answer && self.count == 0 => self.content_type = content_type,
            Ok(_) => {}
            Err(refusal) => {
                out.truncate(start);
                return Err(refusal);
            }
        }
        if !binding.raw_answer {
            out.extend_from_slice(after(self.form));
        }
        self.count += 1;
        Ok(())
    }

    /// An error behind messages. Where they are bytes, there is no place for it.
    fn fail(&mut self, transcoder: &Transcoder, text: &[u8], out: &mut Vec<u8>) {
        if transcoder.bindings[self.binding].raw_answer {
            return;
        }
        if self.form == StreamForm::Events {
            out.extend_from_slice(b"event: error\n");
        }
        self.open(out);
        out.extend_from_slice(br#"{"error":"#);
        out.extend_from_slice(text);
        out.push(b'}');
        out.extend_from_slice(after(self.form));
        self.count += 1;
    }

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.form {
            StreamForm::Lines => b"",
            StreamForm::Events => b"data: ",
            StreamForm::Array if self.count == 0 => b"[",
            StreamForm::Array => b",",
        });
    }

    fn close(&mut self, transcoder: &Transcoder, out: &mut Vec<u8>) {
        if self.form == StreamForm::Array && !transcoder.bindings[self.binding].raw_answer {
            out.extend_from_slice(if self.count == 0 { b"[]" } else { b"]" });
        }
    }
}

const fn after(form: StreamForm) -> &'static [u8] {
    match form {
        StreamForm::Lines => b"\n",
        StreamForm::Events => b"\n\n",
        StreamForm::Array => b"",
    }
}

fn uncompressed(prefix: Prefix) -> Result<(), Refusal> {
    if prefix.is_compressed() { Err(Refusal::internal("the server compressed what was not to be")) } else { Ok(()) }
}

/// Appends the bytes of a `google.api.HttpBody`.
fn show_raw(binding: &Binding, message: &DynamicMessage, out: &mut Vec<u8>) -> Result<Cow<'static, str>, Refusal> {
    let held = binding.answer.as_ref().map(|field| message.get_field(field));
    let body = match &held {
        None => Some(message),
        Some(value) => value.as_message(),
    };
    let body = body.ok_or_else(|| Refusal::internal("the answer is no message"))?;
    if let Some(data) = body.get_field_by_name("data").as_deref().and_then(Value::as_bytes) {
        out.extend_from_slice(data);
    }
    let named = body.get_field_by_name("content_type");
    let named = named.as_deref().and_then(Value::as_str).unwrap_or_default();
    let fit = !named.is_empty() && named.is_ascii() && is_field_value(named.as_bytes());
    Ok(if fit { Cow::Owned(named.to_owned()) } else { Cow::Borrowed(BYTES) })
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}
