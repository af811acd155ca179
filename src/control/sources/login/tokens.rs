// SPDX-License-Identifier: Apache-2.0
//! Requests to an issuer that bring tokens and claims (RFC 6749 sections 4.1.3 and 6, OpenID Connect Core section 5.3).

use http_body_util::Full;
use hyper::Request;
use hyper::header::{ACCEPT, AUTHORIZATION};
use serde_json::Value;

use crate::base::limits::{INTROSPECTION_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::config::plan::ClientCredentials;
use crate::control::fetch::Client;
use crate::control::sources::client;
use crate::wire::form;
use crate::wire::jose::{self, Members};
use crate::wire::url::Url;

/// What a token endpoint gave.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// The access token.
    pub access: String,
    /// How many seconds it is valid.
    pub expires_in: Option<u64>,
    /// What gets another one.
    pub refresh: Option<String>,
    /// The ID token.
    pub id: Option<String>,
    /// What was granted, where that is not what was asked for.
    pub scope: Option<String>,
}

/// Why there are none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoTokens {
    /// What was shown for them is not good, or no longer.
    Refused,
    /// Anything else. The text is for the log.
    Failed(String),
}

/// What is shown for tokens.
#[derive(Clone, Copy)]
pub(super) enum Shown<'s> {
    /// A code, with the URL that it was sent to, and what proves who began.
    Code(&'s str, &'s str, &'s str),
    /// A refresh token.
    Refresh(&'s str),
}

/// Gets tokens.
pub(super) async fn get(
    client: &Client,
    url: &Url,
    who: &ClientCredentials,
    shown: Shown<'_>,
) -> Result<Tokens, NoTokens> {
    let mut fields = String::new();
    let mut field = |name: &str, value: &str| form::append(name, value, &mut fields);
    match shown {
        Shown::Code(code, redirect, verifier) => {
            field("grant_type", "authorization_code");
            field("code", code);
            field("redirect_uri", redirect);
            field("code_verifier", verifier);
        }
        Shown::Refresh(token) => {
            field("grant_type", "refresh_token");
            field("refresh_token", token);
        }
    }
    let request = client::post(url, who, fields).map_err(NoTokens::Failed)?;
    let mut connection = client.connect(url).await.map_err(NoTokens::Failed)?;
    let fetched = connection.exchange(url, request, INTROSPECTION_BYTES_MAX).await.map_err(NoTokens::Failed)?;
    let members = jose::members(&fetched.body);
    let text = |name: &str| members.as_ref().and_then(|members| members.get(name)?.as_str());
    match (fetched.status, text("error")) {
        (200, _) => {
            members.as_ref().and_then(read).ok_or_else(|| NoTokens::Failed("its tokens cannot be read".to_owned()))
        }
        (400, Some("invalid_grant")) => Err(NoTokens::Refused),
        (status, error) => {
            // A word of the issuer's own, which ends up in the log.
            let word = error.unwrap_or_default().chars().take(64).filter(char::is_ascii_graphic).collect::<String>();
            Err(NoTokens::Failed(format!("status {status} {word}")))
        }
    }
}

/// What the userinfo endpoint says of whoever has the access token.
pub(super) async fn userinfo(client: &Client, url: &Url, access: &str) -> Result<Members, String> {
    let head = Request::get(&*url.target).header(ACCEPT, "application/json");
    let request = head.header(AUTHORIZATION, format!("Bearer {access}")).body(Full::default());
    let request = request.map_err(|error| error.to_string())?;
    let fetched = client.connect(url).await?.exchange(url, request, INTROSPECTION_BYTES_MAX).await?;
    match fetched.status {
        200 => jose::members(&fetched.body).ok_or_else(|| format!("{url}: it is no JSON object")),
        status => Err(format!("{url}: status {status}")),
    }
}

/// Tokens are visible ASCII (RFC 6749 appendix A), and those that are none make the whole response none.
fn read(members: &Members) -> Option<Tokens> {
    let token = |name: &str| match members.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => {
            let good =
                !text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
            good.then(|| Some(text.clone()))
        }
        Some(_) => None,
    };
    let kind = members.get("token_type").and_then(Value::as_str)?;
    if !kind.eq_ignore_ascii_case("bearer") {
        return None;
    }
    Some(Tokens {
        access: token("access_token")??,
        expires_in: members.get("expires_in").and_then(Value::as_u64),
        refresh: token("refresh_token")?,
        id: token("id_token")?,
        scope: members.get("scope").and_then(Value::as_str).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_tokens_are_tokens() {
        let read = |json: &str| read(&serde_json::from_str(json).expect("JSON"));
        let whole =
            r#"{"access_token":"a","token_type":"bearer","expires_in":60,"refresh_token":"r","id_token":"i.d.t"}"#;
        let tokens = read(whole).expect("tokens");
        assert_eq!((tokens.access.as_str(), tokens.expires_in), ("a", Some(60)));
        assert_eq!((tokens.refresh.as_deref(), tokens.id.as_deref()), (Some("r"), Some("i.d.t")));
        for bad in [
            "{}",
            r#"{"access_token":"a"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":7,"token_type":"Bearer"}"#,
            r#"{"access_token":"a b","token_type":"Bearer"}"#,
            r#"{"access_token":"","token_type":"Bearer"}"#,
            r#"{"access_token":"a\r\nX: y","token_type":"Bearer"}"#,
            r#"{"access_token":"a","token_type":"Bearer","refresh_token":{}}"#,
            r#"{"access_token":"a","token_type":"Bearer","id_token":"é"}"#,
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
