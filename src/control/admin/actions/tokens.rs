// SPDX-License-Identifier: Apache-2.0
//! Tokens of the admin API in the store. A token is shown in the response that makes it and never again. Those that the
//! configuration declares are not listed here.

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::spec::scalar::{Moment, Time};
use crate::config::spec::server::AdminRole;
use crate::control::admin::actions::credentials::{end_of, last4, random};
use crate::control::admin::body::{decode, moment};
use crate::control::admin::call::Call;
use crate::control::admin::principal::PREFIX;
use crate::control::admin::problem::{BodyFault, Problem, Reason};
use crate::control::admin::query::Part;
use crate::control::admin::response::List;
use crate::control::admin::response::Reply;
use crate::control::admin::state::AdminState;
use crate::control::store::command::{Write, Written};
use crate::control::store::token::{self, NewToken, Token};
use crate::policy::key_format;

/// Longest name.
const NAME_BYTES_MAX: usize = 128;

/// A token that is to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenBody {
    /// Whose it is, for the audit; no other token has this name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,128}$"))]
    name: String,
    /// What it may do.
    role: AdminRole,
    /// Not valid from then on.
    #[serde(default)]
    expires: Option<Moment>,
    /// Not valid after this time, such as `90d`.
    #[serde(default)]
    expires_in: Option<Time>,
}

/// A token as it is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct TokenDocument {
    /// Whose it is.
    name: String,
    /// What it may do.
    role: String,
    /// Its last characters.
    last4: String,
    /// When it was made.
    created: Value,
    /// Not valid from then on.
    expires: Value,
    /// The token itself, in the response that makes it and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenDocument {
    fn of(token: Token) -> TokenDocument {
        let Token { name, role, last4, created, expires, hash: _ } = token;
        TokenDocument { name, role, last4, created: moment(Some(created)), expires: moment(expires), token: None }
    }
}

/// All tokens.
pub(crate) async fn list(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let Part { limit, after } = call.query.part()?;
    let page = state.read(move |connection, _| match connection {
        Some(connection) => token::list(connection, after.as_deref(), limit).map(Some),
        None => Ok(None),
    });
    let page = page.await?;
    let (items, next) = page.map_or((Vec::new(), None), |page| (page.items, page.next));
    let items: Vec<TokenDocument> = items.into_iter().map(TokenDocument::of).collect();
    Ok(Reply::json(StatusCode::OK, &List { items, next: next.map(|next| Part::cursor(&next)) }))
}

/// Makes one.
pub(crate) async fn create(mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let body: TokenBody = decode(call.take_body())?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if body.name.is_empty() || body.name.len() > NAME_BYTES_MAX || !body.name.bytes().all(allowed) {
        let detail = format!("has 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` and `-`");
        return Err(Problem::invalid(Reason::Invalid, vec![BodyFault::at("/name", detail)]));
    }
    let expires = end_of(body.expires.as_ref(), body.expires_in.as_ref())?;
    let text = key_format::make(PREFIX, random::<{ key_format::RANDOM_BYTES }>()?);
    let hash = key_format::hash_of(text.as_bytes());
    let (name, role, last4) = (body.name, body.role.word().to_owned(), last4(&text));
    let outcome = state.write(&call, Write::CreateToken(NewToken { name, hash, role, last4, expires })).await?;
    match outcome.written {
        Written::Token(made) => {
            let document = TokenDocument { token: Some(text), ..TokenDocument::of(made) };
            Ok(Reply::json(StatusCode::CREATED, &document).shown_once())
        }
        // It was made before this process began, and nobody can show it again.
        _ => {
            Err(Problem::new(Reason::AlreadyExists, "the token was made and shown before; revoke it and make another"))
        }
    }
}

/// Revokes one.
pub(crate) async fn revoke(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    state.write(call, Write::DeleteToken(call.segment(0).to_owned())).await?;
    Ok(Reply::nothing())
}
