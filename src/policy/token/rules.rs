// SPDX-License-Identifier: Apache-2.0
//! What the claims of a token must say (RFC 7519 section 4.1), whoever has signed it.

use std::time::Duration;

use serde_json::Value;

use crate::base::Wall;
use crate::policy::identity::Claims;
use crate::policy::token::challenge::Refusal;
use crate::policy::token::claim::{self, ClaimPath};
use crate::wire::jose::Members;

/// What claims must say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// One of them must be in `aud`; where there is none, `aud` is not looked at.
    pub audiences: Box<[Box<str>]>,
    /// What `typ` of the header must say, without `application/` and in any case; `None` for anything.
    pub kind: Option<Box<str>>,
    /// Claims that must be there.
    pub required: Box<[ClaimPath]>,
    /// Claims that must be one of these texts, or a list that has one of them.
    pub equal: ClaimDemands,
    /// Scopes that the token must have, all of them.
    pub scopes: Box<[Box<str>]>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// The age from `iat` on at which a token is too old; `None` for none.
    pub age_max: Option<Duration>,
}

/// Claims, each with the texts of which it must say one.
pub(crate) type ClaimDemands = Box<[(ClaimPath, Box<[Box<str>]>)]>;

/// It is none that can be read.
pub(crate) const MALFORMED: Refusal = Refusal::Invalid("token_malformed", "The token is malformed.");
/// Its algorithm is not one of its issuer.
pub(crate) const ALGORITHM: Refusal = Refusal::Invalid("token_algorithm", "The token's algorithm is not allowed.");
/// Nobody here knows its issuer.
pub(crate) const ISSUER: Refusal = Refusal::Invalid("token_issuer", "The token's issuer is not known.");
/// Its issuer has no such key.
pub(crate) const KEY: Refusal = Refusal::Invalid("token_key_unknown", "The token's key is not known.");
/// Its signature is wrong.
pub(crate) const SIGNATURE: Refusal = Refusal::Invalid("token_signature", "The token's signature is not valid.");
/// Its time is over.
pub(crate) const EXPIRED: Refusal = Refusal::Invalid("token_expired", "The token has expired.");
/// Its time has not come.
const EARLY: Refusal = Refusal::Invalid("token_not_yet_valid", "The token is not valid yet.");
/// The authorisation server says that it is not valid, and not why.
pub(crate) const INACTIVE: Refusal = Refusal::Invalid("token_inactive", "The token is not active.");
/// It is for somebody else.
const AUDIENCE: Refusal = Refusal::Invalid("token_audience", "The token is for another audience.");
/// A claim is missing or says something else.
const CLAIMS: Refusal = Refusal::Invalid("token_claims", "The token's claims do not meet the requirements.");

impl Rules {
    /// Until when the token is valid.
    pub(crate) fn judge(&self, kind: Option<&str>, claims: &Members, wall: Wall) -> Result<Wall, Refusal> {
        let wanted = |wanted: &str| kind.is_some_and(|kind| plain(kind).eq_ignore_ascii_case(wanted));
        if self.kind.as_deref().is_some_and(|kind| !wanted(kind)) {
            return Err(CLAIMS);
        }
        let until = self.judge_times(claims, wall)?;
        judge_audience(&self.audiences, claims)?;
        self.judge_claims(claims)?;
        Ok(until)
    }

    /// Do the claims say what they must, whoever is meant and whatever time it is?
    pub(crate) fn judge_claims(&self, claims: &Members) -> Result<(), Refusal> {
        let lacks = |path: &ClaimPath| path.of(claims).is_none_or(Value::is_null);
        if self.required.iter().any(lacks) {
            return Err(CLAIMS);
        }
        for (path, values) in &self.equal {
            let value = path.of(claims).ok_or(CLAIMS)?;
            if !values.iter().any(|wanted| claim::holds(value, wanted)) {
                return Err(CLAIMS);
            }
        }
        Ok(())
    }

    /// Does the token have the scopes?
    pub(crate) fn judge_scopes(&self, claims: &Claims) -> Result<(), Refusal> {
        match self.scopes.iter().all(|scope| claims.allows(scope)) {
            true => Ok(()),
            false => Err(Refusal::Scope("token_scope")),
        }
    }

    fn judge_times(&self, claims: &Members, wall: Wall) -> Result<Wall, Refusal> {
        let leeway = micros(self.leeway);
        let expires = date(claims, "exp")?.map(|at| at.saturating_add(leeway));
        if let Some(begins) = date(claims, "nbf")?
            && wall.0.saturating_add(leeway) < begins
        {
            return Err(EARLY);
        }
        let issued = date(claims, "iat")?;
        if issued.is_some_and(|at| wall.0.saturating_add(leeway) < at) {
            return Err(EARLY);
        }
        let aged = match self.age_max {
            None => None,
            Some(age) => Some(issued.ok_or(CLAIMS)?.saturating_add(micros(age)).saturating_add(leeway)),
        };
        let until = expires.unwrap_or(u64::MAX).min(aged.unwrap_or(u64::MAX));
        if wall.0 >= until { Err(EXPIRED) } else { Ok(Wall(until)) }
    }
}

/// Is the token for one of these? Where there is none, `aud` is not looked at.
pub(crate) fn judge_audience(audiences: &[Box<str>], claims: &Members) -> Result<(), Refusal> {
    if audiences.is_empty() {
        return Ok(());
    }
    let audience = claims.get("aud").ok_or(AUDIENCE)?;
    if audiences.iter().any(|wanted| claim::holds(audience, wanted)) { Ok(()) } else { Err(AUDIENCE) }
}

/// A point in time in microseconds since 1970: seconds as a number, perhaps with a fraction (RFC 7519 section 2). What
/// lies before 1970 counts as then. Anything else is no token.
fn date(claims: &Members, name: &str) -> Result<Option<u64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            let whole = number.as_u64().map(|seconds| seconds.saturating_mul(MICROS));
            // The conversion of a float to an integer ends at the integer's bounds.
            let parts = || number.as_f64().map(|seconds| (seconds * MICROS as f64) as u64);
            Ok(Some(whole.or_else(parts).ok_or(MALFORMED)?))
        }
        Some(Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => Err(MALFORMED),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A media type without `application/` in front (RFC 7515 section 4.1.9).
fn plain(kind: &str) -> &str {
    match kind.split_at_checked(APPLICATION.len()) {
        Some((first, rest)) if first.eq_ignore_ascii_case(APPLICATION) => rest,
        Some(_) | None => kind,
    }
}

const APPLICATION: &str = "application/";
const MICROS: u64 = 1_000_000;
