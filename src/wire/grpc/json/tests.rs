// SPDX-License-Identifier: Apache-2.0
//! Requests and responses of the sample service, by the rules and against what breaks them.

mod hostile;
mod loading;
mod mapping;
mod oracle;
mod requests;
mod responses;

use prost_reflect::DynamicMessage;

use super::sample;
use super::*;
use crate::wire::grpc::message;

/// A request as messages in JSON, with the path of its call.
fn sent(transcoder: &Transcoder, line: &str, body: &str) -> Result<(String, String), Refusal> {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Lookup::Found(route) = transcoder.find(method.as_bytes(), path.as_bytes()) else {
        panic!("no rule for {line}");
    };
    let incoming = Incoming { path: path.as_bytes(), query: query.as_bytes(), content_type: b"text/plain" };
    let mut out = Vec::new();
    transcoder.request(&route, &incoming, body.as_bytes(), &mut out)?;
    let call = transcoder.call(&route);
    Ok((call.path.clone(), shown(call, &out)))
}

/// Framed request messages in JSON, separated by spaces.
fn shown(call: &super::binding::Call, mut frames: &[u8]) -> String {
    let mut texts = Vec::new();
    while let Some((prefix, rest)) = frames.split_first_chunk::<5>() {
        let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        let (payload, rest) = rest.split_at(len);
        let message = DynamicMessage::decode(call.input.clone(), payload).unwrap();
        texts.push(serde_json::to_string(&message).unwrap());
        frames = rest;
    }
    texts.join(" ")
}

/// The one message of a response to `line`, made from JSON of its output.
fn framed(transcoder: &Transcoder, line: &str, json: &str) -> (Route, Vec<u8>) {
    let (method, path) = line.split_once(' ').unwrap();
    let Lookup::Found(route) = transcoder.find(method.as_bytes(), path.as_bytes()) else {
        panic!("no rule for {line}");
    };
    let output = transcoder.call(&route).output.clone();
    let mut reader = serde_json::Deserializer::from_str(json);
    let mut out = Vec::new();
    message::write(
        &prost::Message::encode_to_vec(&DynamicMessage::deserialize(output, &mut reader).unwrap()),
        &mut out,
    );
    (route, out)
}
