// SPDX-License-Identifier: Apache-2.0
//! A small parser of requests without mercy: what it takes has one meaning for everybody.
//!
//! It shares no line with the gateway, so that both would have to be wrong in the same way.

use super::message::{Fields, Request, latin};

/// How the length of a body is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Nothing,
    Length(usize),
    Chunked,
}

/// Where `head` ends, behind its empty line.
pub fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The lines of a complete head: the first, and the fields.
pub fn head(bytes: &[u8]) -> Result<(String, Fields), String> {
    let text = latin(bytes.strip_suffix(b"\r\n\r\n").ok_or("no empty line at the end")?);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or("").to_owned();
    clean(&first)?;
    let fields = lines.map(field).collect::<Result<_, _>>()?;
    Ok((first, Fields(fields)))
}

/// A request's head.
pub fn request(bytes: &[u8]) -> Result<Request, String> {
    let (first, fields) = head(bytes)?;
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!("request line {first:?}"));
    };
    if !is_token(method) || target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("request line {first:?}"));
    }
    if version != "HTTP/1.1" {
        return Err(format!("version {version:?}"));
    }
    if fields.all("host").count() != 1 {
        return Err("not exactly one Host".to_owned());
    }
    Ok(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        version: version.to_owned(),
        fields,
        head: bytes.to_vec(),
        ..Request::default()
    })
}

/// How long a request's body is.
pub fn framing(fields: &Fields) -> Result<Framing, String> {
    let codings: Vec<&str> = fields.all("transfer-encoding").collect();
    let lengths: Vec<&str> = fields.all("content-length").collect();
    match (&codings[..], &lengths[..]) {
        ([], []) => Ok(Framing::Nothing),
        ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Framing::Length).map_err(|_| format!("length {length:?}"))
        }
        (["chunked"], []) => Ok(Framing::Chunked),
        _ => Err(format!("codings {codings:?} with lengths {lengths:?}")),
    }
}

/// The content and trailers of a body in chunked coding, and its coded length; `None` where it is not complete.
pub fn chunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, Fields, usize)>, String> {
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = line(&bytes[at..]) else { return Ok(None) };
        let size = chunk_size(line)?;
        at += line.len() + 2;
        if size == 0 {
            return trailers(&bytes[at..]).map(|found| found.map(|(fields, len)| (content, fields, at + len)));
        }
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
        let chunk = chunk.strip_suffix(b"\r\n").ok_or("a chunk without its end")?;
        content.extend_from_slice(chunk);
        at += size + 2;
    }
}

fn trailers(bytes: &[u8]) -> Result<Option<(Fields, usize)>, String> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = line(&bytes[at..]) else { return Ok(None) };
        at += line.len() + 2;
        if line.is_empty() {
            return Ok(Some((Fields(fields), at)));
        }
        fields.push(field(&latin(line))?);
    }
}

fn line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(2).position(|window| window == b"\r\n").map(|end| &bytes[..end])
}

fn chunk_size(line: &[u8]) -> Result<usize, String> {
    let text = latin(line);
    clean(&text)?;
    let size = text.split(';').next().unwrap_or("");
    if size.is_empty() || size.len() > 8 || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("chunk size {text:?}"));
    }
    usize::from_str_radix(size, 16).map_err(|error| error.to_string())
}

fn field(line: &str) -> Result<(String, String), String> {
    clean(line)?;
    let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon: {line:?}"))?;
    if !is_token(name) {
        return Err(format!("field name {name:?}"));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn clean(line: &str) -> Result<(), String> {
    let dirty = |letter: char| letter != '\t' && letter.is_ascii_control();
    if line.contains(dirty) { Err(format!("control characters: {line:?}")) } else { Ok(()) }
}

fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}
