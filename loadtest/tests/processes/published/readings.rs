// SPDX-License-Identifier: Apache-2.0
//! What a stream of requests means, to two parsers that share nothing: the harness's own, and one over httparse.

use crate::harness::message::latin;
use crate::harness::strict::{self, Framing};

/// One request, as a parser reads it. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// The stream ended within the body.
    pub cut: bool,
}

/// The requests in a stream; a head that is cut off at the end counts as nothing.
pub fn ours(mut bytes: &[u8]) -> Result<Vec<Reading>, String> {
    let mut readings = Vec::new();
    while let Some(end) = strict::end_of_head(bytes) {
        let request = strict::request(&bytes[..end])?;
        let rest = &bytes[end..];
        let (body, trailers, len, cut) = match strict::framing(&request.fields)? {
            Framing::Nothing => (Vec::new(), Vec::new(), 0, false),
            Framing::Length(length) => {
                let len = rest.len().min(length);
                (rest[..len].to_vec(), Vec::new(), len, len < length)
            }
            Framing::Chunked => match strict::chunked(rest)? {
                Some((body, trailers, len)) => (body, lower(trailers.0), len, false),
                None => (Vec::new(), Vec::new(), rest.len(), true),
            },
        };
        let fields = lower(request.fields.0);
        readings.push(Reading { method: request.method, target: request.target, fields, body, trailers, cut });
        bytes = &rest[len..];
    }
    Ok(readings)
}

fn lower(fields: Vec<(String, String)>) -> Vec<(String, String)> {
    fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

/// The same, read with httparse.
pub fn theirs(mut bytes: &[u8]) -> Result<Vec<Reading>, String> {
    let mut readings = Vec::new();
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut head = httparse::Request::new(&mut fields);
        let length = match head.parse(bytes).map_err(|error| error.to_string())? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(readings),
        };
        let mut reading = Reading {
            method: head.method.unwrap_or("").to_owned(),
            target: head.path.unwrap_or("").to_owned(),
            fields: owned(head.headers),
            body: Vec::new(),
            trailers: Vec::new(),
            cut: false,
        };
        if head.version != Some(1) {
            return Err("a version other than 1.1".to_owned());
        }
        let used = body(&bytes[length..], &mut reading)?;
        readings.push(reading);
        bytes = &bytes[length + used..];
    }
}

fn owned(fields: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    fields.iter().map(|field| (field.name.to_ascii_lowercase(), latin(field.value))).collect()
}

/// Reads the body behind a head, and gives how long it is.
fn body(bytes: &[u8], reading: &mut Reading) -> Result<usize, String> {
    let all = |name: &str| -> Vec<String> {
        reading.fields.iter().filter(|(of, _)| of == name).map(|(_, value)| value.clone()).collect()
    };
    let (codings, lengths) = (all("transfer-encoding"), all("content-length"));
    if codings.len() + lengths.len() > 1 {
        return Err(format!("two ways to say a length: {codings:?} {lengths:?}"));
    }
    if let Some(coding) = codings.first() {
        return if coding == "chunked" { chunks(bytes, reading) } else { Err(format!("coding {coding:?}")) };
    }
    let Some(length) = lengths.first() else { return Ok(0) };
    let length: usize = length.parse().map_err(|_| format!("length {length:?}"))?;
    let len = length.min(bytes.len());
    reading.body = bytes[..len].to_vec();
    reading.cut = len < length;
    Ok(len)
}

fn chunks(bytes: &[u8], reading: &mut Reading) -> Result<usize, String> {
    let mut at = 0;
    let mut content = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(&bytes[at..]).map_err(|_| "a chunk size".to_owned())?;
        let httparse::Status::Complete((line, size)) = size else { return cut(bytes, reading) };
        at += line;
        if size == 0 {
            break;
        }
        let end = at + usize::try_from(size).map_err(|error| error.to_string())?;
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => {}
            Some(_) => return Err("a chunk that does not end where it should".to_owned()),
            None => return cut(bytes, reading),
        }
        content.extend_from_slice(&bytes[at..end]);
        at = end + 2;
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    match httparse::parse_headers(&bytes[at..], &mut fields).map_err(|error| error.to_string())? {
        httparse::Status::Complete((length, trailers)) => {
            (reading.body, reading.trailers) = (content, owned(trailers));
            Ok(at + length)
        }
        httparse::Status::Partial => cut(bytes, reading),
    }
}

fn cut(bytes: &[u8], reading: &mut Reading) -> Result<usize, String> {
    reading.cut = true;
    Ok(bytes.len())
}
