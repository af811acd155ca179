// SPDX-License-Identifier: Apache-2.0
//! The signature base of a request (RFC 9421 section 2). What cannot be signed unambiguously, or is not known here, is
//! refused and never left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::Scheme;
use crate::base::limits::SIGNED_COMPONENTS_MAX;
use crate::wire::head::Request;
use crate::wire::structured::{self, Bare, InnerList, Item, Member, Parameters};

/// A request as a signature sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    /// The request as received.
    pub request: Request<'a>,
    /// How the client spoke to us.
    pub scheme: Scheme,
}

/// Why there is no signature base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BaseError {
    /// A component is no string, comes twice, or has a name with a capital letter.
    Malformed,
    /// A derived component or parameter that is not known here, or does not belong to a request.
    Unsupported,
    /// The request does not have the component, or has it several times where it may be there once.
    Absent,
    /// More components than `SIGNED_COMPONENTS_MAX`.
    TooMany,
}

/// Does a signature cover this component? `name` is a field in lower case or a derived component, without parameters.
pub(crate) fn is_covered(covered: &InnerList, name: &str) -> bool {
    covered.items.iter().any(|item| item.parameters.is_empty() && item.value.string() == Some(name))
}

impl Signed<'_> {
    /// Appends the signature base for what a signature covers (section 2.5).
    pub(crate) fn append_base(&self, covered: &InnerList, out: &mut Vec<u8>) -> Result<(), BaseError> {
        if covered.items.len() > SIGNED_COMPONENTS_MAX {
            return Err(BaseError::TooMany);
        }
        for (at, item) in covered.items.iter().enumerate() {
            let name = item.value.string().ok_or(BaseError::Malformed)?;
            if covered.items[..at].iter().any(|other| is_same(other, item)) {
                return Err(BaseError::Malformed);
            }
            item.append(out);
            out.extend_from_slice(b": ");
            let start = out.len();
            match name.strip_prefix('@') {
                Some(derived) => self.append_derived(derived, &item.parameters, out)?,
                None => self.append_field(name, &item.parameters, out)?,
            }
            // A value with a line break could end its line and begin another.
            if out[start..].iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                return Err(BaseError::Malformed);
            }
            out.push(b'\n');
        }
        out.extend_from_slice(b"\"@signature-params\": ");
        covered.append(out);
        Ok(())
    }

    /// Section 2.2.
    fn append_derived(&self, name: &str, parameters: &Parameters, out: &mut Vec<u8>) -> Result<(), BaseError> {
        let request = self.request;
        if name == "query-param" {
            let [(parameter, Bare::String(wanted))] = parameters.as_slice() else { return Err(BaseError::Unsupported) };
            if parameter != "name" {
                return Err(BaseError::Unsupported);
            }
            return append_query_parameter(request.query(), wanted, out);
        }
        if !parameters.is_empty() {
            return Err(BaseError::Unsupported);
        }
        let path: &[u8] = if request.path().is_empty() { b"/" } else { request.path() };
        match name {
            "method" => out.extend_from_slice(request.method_text()),
            "authority" => self.append_authority(out)?,
            "scheme" => out.extend_from_slice(self.scheme.name().as_bytes()),
            "target-uri" => {
                out.extend_from_slice(self.scheme.name().as_bytes());
                out.extend_from_slice(b"://");
                self.append_authority(out)?;
                out.extend_from_slice(path);
                if let Some(query) = request.head.query {
                    out.push(b'?');
                    out.extend_from_slice(query.of(request.bytes));
                }
            }
            "request-target" => out.extend_from_slice(request.head.target.of(request.bytes)),
            "path" => out.extend_from_slice(path),
            "query" => {
                out.push(b'?');
                out.extend_from_slice(request.query());
            }
            _ => return Err(BaseError::Unsupported),
        }
        Ok(())
    }

    /// In lower case and without the port that the scheme has anyway (section 2.2.3).
    fn append_authority(&self, out: &mut Vec<u8>) -> Result<(), BaseError> {
        let authority = self.request.authority();
        if authority.is_empty() {
            return Err(BaseError::Absent);
        }
        let port: &[u8] = match self.scheme {
            Scheme::Http => b":80",
            Scheme::Https => b":443",
        };
        let shown = authority.strip_suffix(port).unwrap_or(authority);
        out.extend(shown.iter().map(u8::to_ascii_lowercase));
        Ok(())
    }

    /// Section 2.1.
    fn append_field(&self, name: &str, parameters: &Parameters, out: &mut Vec<u8>) -> Result<(), BaseError> {
        let request = self.request;
        if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(BaseError::Malformed);
        }
        let lines = || request.head.fields.named(request.bytes, name.as_bytes());
        if lines().next().is_none() {
            return Err(BaseError::Absent);
        }
        let mut combined = Vec::new();
        for (at, line) in lines().enumerate() {
            if at > 0 {
                combined.extend_from_slice(b", ");
            }
            combined.extend_from_slice(line);
        }
        match parameters.as_slice() {
            [] => out.extend_from_slice(&combined),
            [(parameter, Bare::Boolean(true))] if parameter == "bs" => {
                for (at, line) in lines().enumerate() {
                    out.extend_from_slice(if at > 0 { b", :" } else { b":" });
                    out.extend_from_slice(STANDARD.encode(line).as_bytes());
                    out.push(b':');
                }
            }
            [(parameter, Bare::Boolean(true))] if parameter == "sf" => {
                // How a field is written canonically depends on its type.
                if !DICTIONARIES.contains(&name) {
                    return Err(BaseError::Unsupported);
                }
                let dictionary = structured::dictionary(&combined).ok_or(BaseError::Malformed)?;
                structured::append_dictionary(&dictionary, out);
            }
            [(parameter, Bare::String(key))] if parameter == "key" => {
                let dictionary = structured::dictionary(&combined).ok_or(BaseError::Malformed)?;
                let member = structured::find(&dictionary, key).ok_or(BaseError::Absent)?;
                Member::append(member, out);
            }
            // `req` is for responses, `tr` for trailers, which have not come yet.
            _ => return Err(BaseError::Unsupported),
        }
        Ok(())
    }
}

/// Fields that are known to be dictionaries.
const DICTIONARIES: [&str; 5] = ["content-digest", "priority", "repr-digest", "signature", "signature-input"];

/// Section 2: the order of parameters does not make two components different.
fn is_same(one: &Item, other: &Item) -> bool {
    let within = |some: &Parameters, others: &Parameters| some.iter().all(|entry| others.contains(entry));
    one.value == other.value
        && one.parameters.len() == other.parameters.len()
        && within(&one.parameters, &other.parameters)
}

/// The value of the one parameter whose name, written canonically, is this (section 2.2.8).
fn append_query_parameter(query: &[u8], wanted: &str, out: &mut Vec<u8>) -> Result<(), BaseError> {
    let mut found = None;
    let mut name = Vec::new();
    for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        name.clear();
        append_encoded(&pair[..end], &mut name);
        if name == wanted.as_bytes() && found.replace(pair.get(end + 1..).unwrap_or_default()).is_some() {
            return Err(BaseError::Absent);
        }
    }
    append_encoded(found.ok_or(BaseError::Absent)?, out);
    Ok(())
}

/// Decodes as forms are (`+` is a space), and encodes everything but letters, digits and `*-._`.
fn append_encoded(text: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let mut decoded = *byte;
        at += 1;
        if *byte == b'+' {
            decoded = b' ';
        } else if let (b'%', Some(high), Some(low)) = (*byte, digit(text.get(at)), digit(text.get(at + 1))) {
            decoded = (high * 16 + low) as u8;
            at += 2;
        }
        if decoded.is_ascii_alphanumeric() || b"*-._".contains(&decoded) {
            out.push(decoded);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            out.extend_from_slice(&[b'%', digit(decoded >> 4), digit(decoded & 15)]);
        }
    }
}
