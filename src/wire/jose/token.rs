// SPDX-License-Identifier: Apache-2.0
//! A token as it was sent: header read, signature and claims not looked at.
//!
//! Of the header only `alg`, `kid`, `typ` and `cty` mean something here. `jku`, `x5u`, `jwk` and `x5c` name a key that
//! the sender chose, so nobody asks for them. `crit` lists members that must be understood (RFC 7515 section 4.1.11);
//! none is, so a token with it is refused.

use serde_json::Value;

use crate::base::limits::TOKEN_BYTES_MAX;
use crate::wire::jose::algorithm::Algorithm;
use crate::wire::jose::base64url;
use crate::wire::jose::json::{self, Members};

/// A token in compact form.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    /// How it says that it is signed.
    pub algorithm: Algorithm,
    /// With which key.
    pub key: Option<Box<str>>,
    /// What it says that it is, such as `JWT` or `at+jwt`.
    pub kind: Option<Box<str>>,
    /// What is signed: header, dot, claims.
    pub signed: &'t [u8],
    /// The signature's bytes.
    pub signature: Vec<u8>,
    claims: &'t [u8],
}

/// Why something is no token that can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// More than `TOKEN_BYTES_MAX` bytes.
    Long,
    /// It has not three parts.
    Parts,
    /// A part is not strict base64url.
    Base64,
    /// The header or the claims are no strict JSON object.
    Json,
    /// `alg` is missing, is no text, or is none that is known; `none` among them.
    Algorithm,
    /// It has `crit`.
    Critical,
    /// A member of the header has the wrong type.
    Header,
}

impl<'t> Token<'t> {
    /// Reads the header of a token.
    pub(crate) fn read(text: &'t [u8]) -> Result<Token<'t>, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Long);
        }
        let mut dots = memchr::memchr_iter(b'.', text);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(TokenError::Parts);
        };
        let header = base64url::decode(&text[..first]).ok_or(TokenError::Base64)?;
        let header = json::members(&header).ok_or(TokenError::Json)?;
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::of);
        let signature = base64url::decode(&text[second + 1..]).ok_or(TokenError::Base64)?;
        Ok(Token {
            algorithm: algorithm.ok_or(TokenError::Algorithm)?,
            key: text_of(&header, "kid")?,
            kind: text_of(&header, "typ")?,
            signed: &text[..second],
            signature,
            claims: &text[first + 1..second],
        })
    }

    /// What it claims. That means nothing before the signature is verified.
    pub(crate) fn claims(&self) -> Result<Members, TokenError> {
        let claims = base64url::decode(self.claims).ok_or(TokenError::Base64)?;
        json::members(&claims).ok_or(TokenError::Json)
    }
}

fn text_of(header: &Members, name: &str) -> Result<Option<Box<str>>, TokenError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str().into())),
        Some(_) => Err(TokenError::Header),
    }
}
