// SPDX-License-Identifier: Apache-2.0
//! Who calls, by an HMAC over the body, as services sign their webhooks: `sha256=HEX` in a field of GitHub's or of any
//! other name, with a timestamp in another field or without one; or Stripe's `t=…,v1=…`.

use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::base::Wall;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::tell::{self, ConsumerFields};
use crate::wire::head::Request;
use crate::wire::template::Lookup;

/// How webhooks are signed, and with which secrets.
#[derive(Clone)]
pub struct Plan {
    /// Where the signature stands, and what is signed.
    pub form: Form,
    /// Secrets, of which one fits: more than one while they are exchanged.
    pub secrets: Box<[Box<[u8]>]>,
    /// How far a timestamp may be from now.
    pub skew: Duration,
    /// The most bytes of a body.
    pub body_bytes_max: u64,
    /// The consumer's name; `None` where it passes as nobody in particular.
    pub consumer: Option<Box<str>>,
    /// Whether the upstream is told which consumer it is.
    pub consumer_fields: ConsumerFields,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Plan").field("form", &self.form).finish_non_exhaustive()
    }
}

/// Where a signature stands, and what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `sha256=HEX` in this field, over the body.
    Body(Box<[u8]>),
    /// The same in the first field, over the Unix time of the second, a point, and the body.
    Timed(Box<[u8]>, Box<[u8]>),
    /// `t=TIME,v1=HEX` in `Stripe-Signature`, over the time, a point, and the body.
    Stripe,
}

/// What a request says of its signature.
struct Claim<'a> {
    /// As it is signed; empty where there is none.
    time: &'a [u8],
    signatures: Vec<[u8; 32]>,
}

/// Why a signature is refused: a reason and what the client reads.
type Refusal = (&'static str, &'static str);

const MISSING: Refusal = ("webhook_missing", "A signature is required.");
const MALFORMED: Refusal = ("webhook_malformed", "The signature is malformed.");
const EXPIRED: Refusal = ("webhook_expired", "The timestamp is too far from now.");
const WRONG: Refusal = ("webhook_wrong", "The signature does not fit the content.");

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn needs_route(&self) -> Option<&'static str> {
        Some("the body")
    }

    fn reads_body(&self) -> bool {
        true
    }

    fn protect(&self, names: &mut Protected) {
        tell::protect(names);
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        // The body is only read where there is something to compare.
        match self.claim(call.facts) {
            Ok(_) => Decision::Ask(Ask::Body { bytes_max: self.body_bytes_max }),
            Err(refusal) => refuse(refusal),
        }
    }

    fn resume<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>, _: AskOutcome<'_>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let body = facts.body.unwrap_or_default();
        match self.claim(facts) {
            Ok(claim) if self.fits(&claim, body) => self.admit(facts, effects),
            Ok(_) => refuse(WRONG),
            Err(refusal) => refuse(refusal),
        }
    }
}

impl Plan {
    /// What the request says, where that can be right.
    fn claim<'a, L>(&self, facts: &Facts<'a, L>) -> Result<Claim<'a>, Refusal> {
        let request = facts.request;
        let claim = match &self.form {
            Form::Body(field) => Claim { time: b"", signatures: vec![prefixed(only(request, field)?)?] },
            Form::Timed(field, time) => {
                let signatures = vec![prefixed(only(request, field)?)?];
                Claim { time: only(request, time)?, signatures }
            }
            Form::Stripe => stripe(only(request, b"stripe-signature")?)?,
        };
        match &self.form {
            Form::Body(_) => {}
            Form::Timed(..) | Form::Stripe => check_time(claim.time, facts.wall, self.skew)?,
        }
        Ok(claim)
    }

    fn fits(&self, claim: &Claim<'_>, body: &[u8]) -> bool {
        self.secrets.iter().any(|secret| {
            let key = hmac::Key::new(HMAC_SHA256, secret);
            let mut context = hmac::Context::with_key(&key);
            if !claim.time.is_empty() {
                context.update(claim.time);
                context.update(b".");
            }
            context.update(body);
            let made = context.sign();
            claim.signatures.iter().any(|signature| subtle::ConstantTimeEq::ct_eq(made.as_ref(), &signature[..]).into())
        })
    }

    fn admit<L>(&self, facts: &Facts<'_, L>, effects: &mut Effects) -> Decision<'_> {
        let consumer = match &self.consumer {
            Some(name) => match facts.directory.by_name(name) {
                Some(consumer) => Some(consumer),
                None => return refuse(WRONG),
            },
            None => None,
        };
        let number = consumer.map(|consumer| consumer.number);
        let found = Identity { consumer: number, method: Some(METHOD), ..Identity::default() };
        tell::consumer(self.consumer_fields, (&found, consumer), facts, effects);
        effects.identified = Some(found);
        Decision::Pass
    }
}

/// The value of a field that is there once.
fn only<'a>(request: Request<'a>, name: &[u8]) -> Result<&'a [u8], Refusal> {
    match (request.named(name), request.only(name)) {
        (None, _) => Err(MISSING),
        (Some(_), Some(value)) => Ok(value),
        (Some(_), None) => Err(MALFORMED),
    }
}

/// `sha256=HEX`
fn prefixed(value: &[u8]) -> Result<[u8; 32], Refusal> {
    value.strip_prefix(b"sha256=").and_then(hexadecimal).ok_or(MALFORMED)
}

/// `t=TIME,v1=HEX`, with several `v1` while a secret is exchanged; other versions are not looked at.
fn stripe(value: &[u8]) -> Result<Claim<'_>, Refusal> {
    let (mut time, mut signatures) = (None, Vec::new());
    for part in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if let Some(stated) = part.strip_prefix(b"t=") {
            if time.replace(stated).is_some() {
                return Err(MALFORMED);
            }
        } else if let Some(digits) = part.strip_prefix(b"v1=") {
            signatures.push(hexadecimal(digits).ok_or(MALFORMED)?);
        }
    }
    let some = (1..=SIGNATURES_MAX).contains(&signatures.len());
    Ok(Claim { time: time.filter(|_| some).ok_or(MALFORMED)?, signatures })
}

/// Is a Unix time in seconds near enough?
fn check_time(time: &[u8], now: Wall, skew: Duration) -> Result<(), Refusal> {
    let plain = (1..=12).contains(&time.len()) && time.iter().all(u8::is_ascii_digit);
    let stated = std::str::from_utf8(time).ok().filter(|_| plain).and_then(|text| text.parse::<u64>().ok());
    let stated = stated.ok_or(MALFORMED)?;
    let near = stated.abs_diff(now.0 / 1_000_000) <= skew.as_secs();
    if near { Ok(()) } else { Err(EXPIRED) }
}

fn hexadecimal(digits: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (char::from(pair[0]).to_digit(16)?, char::from(pair[1]).to_digit(16)?);
        *byte = (high * 16 + low) as u8;
    }
    Some(bytes)
}

/// Services sign webhooks without being asked, so that a challenge would be of no use to them: 401 needs one, and this
/// is 403.
fn refuse<'p>((reason, detail): Refusal) -> Decision<'p> {
    let problem = Problem { kind: "", title: "Forbidden", detail, violated_policy: "" };
    Decision::Respond(LocalResponse { status: 403, reason, body: LocalBody::Problem(problem) })
}

/// Signatures of one request that are compared.
const SIGNATURES_MAX: usize = 8;
/// What `Identity::method` says.
const METHOD: &str = "webhook";

#[cfg(test)]
mod tests;
