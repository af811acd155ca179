// SPDX-License-Identifier: Apache-2.0
//! What a client sends for a token (RFC 6749 section 4.4.2), read strictly: one form, no parameter twice, one way to
//! prove who it is.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::policy::basic;
use crate::policy::token_issuer::reply::{self, Said};
use crate::wire::field::Known;
use crate::wire::form::{self, Form};
use crate::wire::head::{Method, Request};

/// The form.
#[derive(Debug)]
pub(super) struct TokenRequest {
    form: Form,
}

/// What a client says that it is, and what proves it.
pub(super) struct Credentials {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Parameters that may stand more than once (RFC 8707 section 2, RFC 8693 section 2.1).
const REPEATED: [&str; 2] = ["resource", "audience"];

impl TokenRequest {
    /// Reads the form.
    pub(super) fn read(body: Option<&[u8]>) -> Result<TokenRequest, Said> {
        match Form::read_repeating(body.unwrap_or_default(), &REPEATED) {
            Some(form) => Ok(TokenRequest { form }),
            None => Err(reply::FORM),
        }
    }

    /// The value of a parameter; one without a value counts as absent (RFC 6749 section 3.2).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.form.get(name).filter(|value| !value.is_empty())
    }

    /// Whom the token is to be for.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        REPEATED.into_iter().flat_map(|name| self.form.all(name)).filter(|value| !value.is_empty())
    }
}

/// Can the request bring a form with what is needed for a token?
pub(super) fn check(request: Request<'_>) -> Result<(), Said> {
    if request.head.method != Method::Post {
        return Err(reply::POST);
    }
    if request.head.query.is_some_and(|query| !query.of(request.bytes).is_empty()) {
        // RFC 6749 section 2.3.1: a URL ends up in logs.
        return Err(reply::QUERY);
    }
    let mut types = request.head.fields.values(request.bytes, Known::ContentType);
    let (Some(media), None) = (types.next(), types.next()) else { return Err(reply::MEDIA_TYPE) };
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if media.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") { Ok(()) } else { Err(reply::MEDIA_TYPE) }
}

/// Who a client says that it is (RFC 6749 section 2.3.1), in one way.
pub(super) fn credentials(request: Request<'_>, form: &TokenRequest) -> Result<Credentials, Said> {
    if form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some() {
        return Err(reply::ASSERTION);
    }
    let (id, secret) = (form.get("client_id"), form.get("client_secret"));
    let mut fields = request.head.fields.values(request.bytes, Known::Authorization);
    match (fields.next(), fields.next()) {
        (None, _) => match (id, secret) {
            (Some(id), Some(secret)) => Ok(Credentials { id: id.to_owned(), secret: secret.to_owned() }),
            (_, _) => Err(reply::NO_CLIENT),
        },
        (Some(_), Some(_)) => Err(reply::TWO_WAYS),
        (Some(_), None) if secret.is_some() => Err(reply::TWO_WAYS),
        (Some(value), None) => {
            let found = of_basic(value).ok_or(reply::CLIENT)?;
            // Many clients name themselves in the form as well; that proves nothing, and must not say another name.
            if id.is_some_and(|id| id != found.id) { Err(reply::TWO_CLIENTS) } else { Ok(found) }
        }
    }
}

/// Name and secret of `Authorization: Basic`, each encoded as a form has it, so that a name may have a colon.
fn of_basic(value: &[u8]) -> Option<Credentials> {
    let pair = STANDARD.decode(basic::credentials(value)?).ok()?;
    let colon = memchr::memchr(b':', &pair)?;
    let text = |part: &[u8]| String::from_utf8(form::decode(part)?).ok().filter(|text| !text.is_empty());
    Some(Credentials { id: text(&pair[..colon])?, secret: text(&pair[colon + 1..])? })
}
