// SPDX-License-Identifier: Apache-2.0
//! What an issuer says of a login and of a logout: ID tokens (OpenID Connect Core section 3.1.3.7) and logout tokens
//! (Back-Channel Logout section 2.6). Keys and signatures are those of the policy `jwt`.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::base::Wall;
use crate::policy::jwt::{IssuerKeys, Lacking};
use crate::policy::token::{ClaimPath, Refusal, Rules};
use crate::wire::jose::{Algorithm, AlgorithmSet, Members, Token};

/// Who must have made a token, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Expected<'e> {
    /// `iss`.
    pub issuer: &'e str,
    /// One of `aud`.
    pub client: &'e str,
    /// Algorithms that the issuer may use.
    pub algorithms: AlgorithmSet,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// What an ID token must fit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fits<'e> {
    /// The login's nonce; of a renewal there is none.
    pub nonce: Option<&'e str>,
    /// The access token that came with it.
    pub access_token: Option<&'e str>,
}

/// Why a token does not do. The text is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    /// Its key is not known; there may be a newer set.
    Key,
    /// It is wrong.
    Wrong(&'static str),
}

/// Who signed out at the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The issuer's session.
    pub sid: Option<String>,
    /// The subject; all its sessions where there is no `sid`.
    pub subject: Option<String>,
    /// What the token is known by.
    pub id: String,
}

/// The claims of an ID token that does.
pub(crate) fn id_token(
    text: &str,
    keys: &mut IssuerKeys,
    expected: &Expected<'_>,
    fits: Fits<'_>,
    wall: Wall,
) -> Result<Members, TokenFault> {
    let (token, claims) = verified(text, keys, expected)?;
    // A token of another kind that the same issuer made for the same client is no ID token.
    if token.kind.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("jwt")) {
        return Err(TokenFault::Wrong("`typ` is not that of an ID token"));
    }
    judge(&claims, expected, &["sub", "exp", "iat"], wall)?;
    if subject(&claims).is_none() {
        return Err(TokenFault::Wrong("`sub` is none"));
    }
    match claims.get("azp") {
        Some(party) if party.as_str() != Some(expected.client) => return Err(TokenFault::Wrong("`azp` is another")),
        None if claims.get("aud").and_then(Value::as_array).is_some_and(|list| list.len() > 1) => {
            return Err(TokenFault::Wrong("several audiences and no `azp`"));
        }
        Some(_) | None => {}
    }
    if fits.nonce.is_some() && claims.get("nonce").and_then(Value::as_str) != fits.nonce {
        return Err(TokenFault::Wrong("`nonce` is another"));
    }
    if let (Some(hash), Some(access_token)) = (claims.get("at_hash"), fits.access_token)
        && hash.as_str() != Some(&*half_hash(token.algorithm, access_token))
    {
        return Err(TokenFault::Wrong("`at_hash` is that of another access token"));
    }
    Ok(claims)
}

/// What a logout token says.
pub(crate) fn logout_token(
    text: &str,
    keys: &mut IssuerKeys,
    expected: &Expected<'_>,
    wall: Wall,
) -> Result<Notice, TokenFault> {
    let (token, claims) = verified(text, keys, expected)?;
    let named = |kind: &str| ["logout+jwt", "jwt"].iter().any(|known| kind.eq_ignore_ascii_case(known));
    if token.kind.as_deref().is_some_and(|kind| !named(kind)) {
        return Err(TokenFault::Wrong("`typ` is not that of a logout token"));
    }
    judge(&claims, expected, &["iat", "jti", "events"], wall)?;
    // One without `exp` is good for a while after it was made.
    let issued = claims.get("iat").and_then(Value::as_f64).unwrap_or_default();
    let age = wall.seconds() as f64 - issued;
    if !claims.contains_key("exp") && age > AGE_MAX.as_secs_f64() + expected.leeway.as_secs_f64() {
        return Err(TokenFault::Wrong("it is too old"));
    }
    if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(TokenFault::Wrong("`events` names no logout"));
    }
    if claims.contains_key("nonce") {
        return Err(TokenFault::Wrong("it has a `nonce`: it is an ID token"));
    }
    let text_of = |name: &str| claims.get(name).map(|value| value.as_str().filter(|text| !text.is_empty()));
    let (sid, subject, id) = (text_of("sid"), text_of("sub"), text_of("jti"));
    match (sid, subject, id) {
        (Some(None), _, _) | (_, Some(None), _) | (None, None, _) => Err(TokenFault::Wrong("it names nobody")),
        (sid, subject, Some(Some(id))) => Ok(Notice {
            sid: sid.flatten().map(str::to_owned),
            subject: subject.flatten().map(str::to_owned),
            id: id.to_owned(),
        }),
        _ => Err(TokenFault::Wrong("`jti` is none")),
    }
}

/// The subject of claims.
pub(crate) fn subject(claims: &Members) -> Option<&str> {
    claims.get("sub")?.as_str().filter(|text| !text.is_empty() && text.len() <= SUBJECT_BYTES_MAX)
}

fn verified<'t>(
    text: &'t str,
    keys: &mut IssuerKeys,
    expected: &Expected<'_>,
) -> Result<(Token<'t>, Members), TokenFault> {
    let token = Token::read(text.as_bytes()).map_err(|_| TokenFault::Wrong("it cannot be read"))?;
    if !expected.algorithms.has(token.algorithm) {
        return Err(TokenFault::Wrong("its algorithm is not allowed"));
    }
    let claims = token.claims().map_err(|_| TokenFault::Wrong("its claims cannot be read"))?;
    match keys.verify(&token) {
        Ok(Some(_)) => Ok((token, claims)),
        Ok(None) => Err(TokenFault::Wrong("its signature is wrong")),
        Err(Lacking::All | Lacking::This) => Err(TokenFault::Key),
    }
}

fn judge(claims: &Members, expected: &Expected<'_>, required: &[&str], wall: Wall) -> Result<(), TokenFault> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(TokenFault::Wrong("`iss` is another"));
    }
    let rules = Rules {
        audiences: [expected.client.into()].into(),
        required: required.iter().map(|name| ClaimPath::new(name)).collect(),
        leeway: expected.leeway,
        ..Rules::default()
    };
    rules.judge(None, claims, wall).map(|_| ()).map_err(|refusal| match refusal {
        Refusal::Invalid(reason, _) => TokenFault::Wrong(reason),
        Refusal::Missing(_)
        | Refusal::Ambiguous(_)
        | Refusal::Scope(_)
        | Refusal::Forbidden(..)
        | Refusal::Unavailable(_) => TokenFault::Wrong("its claims do not do"),
    })
}

/// The left half of a text's hash, in base64url, by the algorithm of the token's signature.
fn half_hash(algorithm: Algorithm, text: &str) -> String {
    let hash = match algorithm {
        Algorithm::Hs256 | Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => &SHA256,
        Algorithm::Hs384 | Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => &SHA384,
        Algorithm::Hs512 | Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::Es512 | Algorithm::EdDsa => &SHA512,
    };
    let digest = digest(hash, text.as_bytes());
    let (half, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(half)
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// OpenID Connect Core section 2: `sub` has at most 255 characters.
const SUBJECT_BYTES_MAX: usize = 255;
/// How old a logout token without `exp` may be.
const AGE_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
