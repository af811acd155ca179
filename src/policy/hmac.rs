// SPDX-License-Identifier: Apache-2.0
//! Who calls, by an HMAC over parts of the request, as Kong's `hmac-auth` has it:
//! `Authorization: hmac username="…", algorithm="…", headers="…", signature="…"`.
//!
//! Stricter than Kong where leniency would let a signature mean two things: what is signed is there exactly once, the
//! date by which a request is judged is signed, and so is what was asked for.

use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::base::limits::SIGNED_COMPONENTS_MAX;
use crate::base::{Wall, date};
use crate::policy::api_key::Credential as Hiding;
use crate::policy::basic::Stored;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalResponse};
use crate::policy::directory::{Credential, CredentialKind};
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::refusal;
use crate::policy::tell::{self, ConsumerFields};
use crate::wire::field::Known;
use crate::wire::head::{BodyLength, Request, Version};
use crate::wire::template::Lookup;

/// Whose signatures are taken.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Secrets of the policy itself, in order of their names.
    pub secrets: Box<[Secret]>,
    /// Whether secrets of the directory count as well.
    pub stored: Stored,
    /// The algorithms that are taken.
    pub algorithms: Box<[Algorithm]>,
    /// What must be signed beside the date and the request's target, in lower case.
    pub required: Box<[Box<str>]>,
    /// How far the date may be from now.
    pub skew: Duration,
    /// The most bytes of a body whose `Digest` is compared; `None` compares none.
    pub body_bytes_max: Option<u64>,
    /// What the upstream sees of the signature.
    pub credential: Hiding,
    /// Whether the upstream is told which consumer it is.
    pub consumer_fields: ConsumerFields,
    /// The name of who a request without a signature counts as; `None` refuses it.
    pub anonymous: Option<Box<str>>,
    /// The value of `WWW-Authenticate` in a 401.
    pub challenge: Box<[u8]>,
}

/// A secret of the policy itself.
#[derive(Clone)]
pub struct Secret {
    /// What clients name it by, in `username`.
    pub name: Box<str>,
    /// The secret.
    pub secret: Box<[u8]>,
    /// The consumer's name; `None` where it passes as nobody in particular.
    pub consumer: Option<Box<str>>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A hash of the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `hmac-sha1`, for old clients.
    Sha1,
    /// `hmac-sha256`
    Sha256,
    /// `hmac-sha384`
    Sha384,
    /// `hmac-sha512`
    Sha512,
}

impl Algorithm {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Sha1 => "hmac-sha1",
            Algorithm::Sha256 => "hmac-sha256",
            Algorithm::Sha384 => "hmac-sha384",
            Algorithm::Sha512 => "hmac-sha512",
        }
    }

    fn hash(self) -> hmac::Algorithm {
        match self {
            Algorithm::Sha1 => HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => HMAC_SHA256,
            Algorithm::Sha384 => HMAC_SHA384,
            Algorithm::Sha512 => HMAC_SHA512,
        }
    }
}

/// Who signed, once the signature is known to be right and the body is waited for.
#[derive(Debug, Default)]
pub struct Memo(Option<Box<Identity>>);

/// Why a signature is refused: a reason and what the client reads.
type Refusal = (&'static str, &'static str);

const MISSING: Refusal = ("hmac_missing", "A signature is required.");
const AMBIGUOUS: Refusal = ("hmac_ambiguous", "Something that is signed was sent more than once.");
const MALFORMED: Refusal = ("hmac_malformed", "The signature is malformed.");
const ALGORITHM: Refusal = ("hmac_algorithm", "The algorithm is not taken here.");
const DATE: Refusal = ("hmac_date", "The date is absent, not signed, or too far from now.");
const UNCOVERED: Refusal = ("hmac_uncovered", "Not everything is signed that must be.");
const WRONG: Refusal = ("hmac_wrong", "The signature does not fit the request.");
const CONTENT: Refusal = ("hmac_content", "The content does not have the digest that was signed.");

/// What `Authorization` says.
#[derive(Debug, PartialEq, Eq)]
struct Signature<'a> {
    name: &'a str,
    algorithm: &'a str,
    signed: &'a str,
    bytes: &'a str,
}

impl Kind for Plan {
    type State = ();
    type Memo = Memo;

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn admits_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }

    fn needs_route(&self) -> Option<&'static str> {
        self.body_bytes_max.map(|_| "`body`")
    }

    fn reads_body(&self) -> bool {
        self.body_bytes_max.is_some()
    }

    fn protect(&self, names: &mut Protected) {
        tell::protect(names);
    }

    fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, .. } = call;
        match self.verify(facts) {
            Ok(identity) => match self.body_bytes_max {
                Some(bytes_max) if facts.request.head.body != BodyLength::None => {
                    *memo = Memo(Some(Box::new(identity)));
                    Decision::Ask(Ask::Body { bytes_max })
                }
                // A body that was taken away leaves the digest behind.
                Some(_) if facts.request.named(DIGEST).is_some() && !has_digest(facts.request, b"") => {
                    self.refuse(CONTENT, effects)
                }
                Some(_) | None => self.admit(identity, facts, effects),
            },
            Err(MISSING) => {
                let passes = tell::anonymous(self.anonymous.as_deref(), (self.consumer_fields, METHOD), facts, effects);
                passes.unwrap_or_else(|| self.refuse(MISSING, effects))
            }
            Err(refusal) => self.refuse(refusal, effects),
        }
    }

    fn resume<L: Lookup>(&self, (): &mut (), call: Call<'_, L, Memo>, outcome: AskOutcome<'_>) -> Decision<'_> {
        let Call { facts, effects, memo, .. } = call;
        let (Some(identity), AskOutcome::Woken) = (memo.0.take(), outcome) else {
            return Decision::Respond(LocalResponse::INTERNAL);
        };
        if has_digest(facts.request, facts.body.unwrap_or_default()) {
            self.admit(*identity, facts, effects)
        } else {
            self.refuse(CONTENT, effects)
        }
    }
}

impl Plan {
    /// Who signed the request.
    fn verify<L>(&self, facts: &Facts<'_, L>) -> Result<Identity, Refusal> {
        let request = facts.request;
        let mut fields = request.head.fields.values(request.bytes, Known::Authorization);
        let value = fields.next().ok_or(MISSING)?;
        if fields.next().is_some() {
            return Err(AMBIGUOUS);
        }
        let Signature { name, algorithm, signed, bytes } = read(value)?;
        let algorithm = self.algorithms.iter().find(|known| known.name() == algorithm).ok_or(ALGORITHM)?;
        let signed: Vec<String> = signed.split(' ').map(str::to_ascii_lowercase).collect();
        let twice = signed.iter().enumerate().any(|(at, name)| signed[..at].contains(name));
        if twice || signed.len() > SIGNED_COMPONENTS_MAX || signed.iter().any(String::is_empty) {
            return Err(MALFORMED);
        }
        let covers = |name: &str| signed.iter().any(|own| own == name);
        self.check_date(request, facts.wall, covers)?;
        let digested = self.body_bytes_max.is_some() && request.head.body != BodyLength::None;
        let all = self.required.iter().all(|name| covers(name));
        if !all || !(covers(TARGET) || covers(LINE)) || (digested && !covers("digest")) {
            return Err(UNCOVERED);
        }
        let text = signed_text(request, &signed)?;
        let signature = STANDARD.decode(bytes).map_err(|_| MALFORMED)?;
        let found = self.secret(name, facts);
        // Somebody who is not known costs as much as somebody who is.
        let secret = found.as_ref().map_or(&[0; 32][..], |(secret, _)| secret);
        let key = hmac::Key::new(algorithm.hash(), secret);
        let fits = hmac::verify(&key, &text, &signature).is_ok();
        found.filter(|_| fits).map(|(_, identity)| identity).ok_or(WRONG)
    }

    /// `X-Date` goes before `Date`, because browsers and proxies set that one; it is signed, and near enough.
    fn check_date(&self, request: Request<'_>, now: Wall, covers: impl Fn(&str) -> bool) -> Result<(), Refusal> {
        let name = if request.named(b"x-date").is_some() { "x-date" } else { "date" };
        let stated = request.only(name.as_bytes()).and_then(date::parse_imf).ok_or(DATE)?;
        let near = Duration::from_micros(now.0.abs_diff(stated.0)) <= self.skew;
        if near && covers(name) { Ok(()) } else { Err(DATE) }
    }

    fn secret<'a, L>(&'a self, name: &str, facts: &Facts<'a, L>) -> Option<(&'a [u8], Identity)> {
        if let Ok(at) = self.secrets.binary_search_by(|secret| (*secret.name).cmp(name)) {
            let Secret { secret, consumer, .. } = &self.secrets[at];
            let consumer = match consumer {
                Some(name) => Some(facts.directory.by_name(name)?.number),
                None => None,
            };
            return Some((secret, Identity { consumer, ..Identity::default() }));
        }
        let found = match self.stored {
            Stored::Known => facts.directory.credential(CredentialKind::Hmac, name.as_bytes(), facts.wall)?,
            Stored::Ignored => return None,
        };
        let Credential { number, consumer, app, ref secret, .. } = *found;
        facts.directory.consumer(consumer)?;
        let identity = Identity { consumer: Some(consumer), credential: Some(number), app, ..Identity::default() };
        Some((secret, identity))
    }

    fn admit<L>(&self, identity: Identity, facts: &Facts<'_, L>, effects: &mut Effects) -> Decision<'_> {
        if self.credential == Hiding::Removed {
            effects.to_upstream.remove_known(&facts.request.head.fields, Known::Authorization);
        }
        let consumer = identity.consumer.and_then(|number| facts.directory.consumer(number));
        let identity = Identity { method: Some(METHOD), ..identity };
        tell::consumer(self.consumer_fields, (&identity, consumer), facts, effects);
        effects.identified = Some(identity);
        Decision::Pass
    }

    fn refuse(&self, (reason, detail): Refusal, effects: &mut Effects) -> Decision<'_> {
        refusal::refuse_unidentified(&self.challenge, reason, detail, effects)
    }
}

/// Does the request state the digest of this content?
fn has_digest(request: Request<'_>, content: &[u8]) -> bool {
    let stated = request.only(DIGEST).and_then(|value| value.strip_prefix(DIGEST_START));
    let stated = stated.and_then(|encoded| STANDARD.decode(encoded).ok());
    let made = Sha256::digest(content);
    stated.is_some_and(|stated| made.as_slice().ct_eq(&stated).into())
}

/// Reads `hmac NAME="VALUE", …`, with each of the four parameters once and no other.
fn read(value: &[u8]) -> Result<Signature<'_>, Refusal> {
    let (scheme, rest) = value.split_at_checked(5).ok_or(MISSING)?;
    if !scheme.eq_ignore_ascii_case(b"hmac ") {
        return Err(MISSING);
    }
    let mut rest = std::str::from_utf8(rest).map_err(|_| MALFORMED)?.trim_start();
    let mut found: [Option<&str>; 4] = [None; 4];
    loop {
        let (name, after) = rest.split_once("=\"").ok_or(MALFORMED)?;
        let (text, after) = after.split_once('"').ok_or(MALFORMED)?;
        let at = PARAMETERS.iter().position(|known| *known == name).ok_or(MALFORMED)?;
        let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\');
        if !plain || found[at].replace(text).is_some() {
            return Err(MALFORMED);
        }
        match after.trim_start().strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if after.trim_start().is_empty() => break,
            None => return Err(MALFORMED),
        }
    }
    match found {
        [Some(name), Some(algorithm), Some(signed), Some(bytes)] => Ok(Signature { name, algorithm, signed, bytes }),
        _ => Err(MALFORMED),
    }
}

/// What is signed: a line for each name, without a line break behind the last.
fn signed_text(request: Request<'_>, signed: &[String]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    for (at, name) in signed.iter().enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        match name.as_str() {
            TARGET => {
                out.extend_from_slice(b"@request-target: ");
                out.extend(request.method_text().iter().map(u8::to_ascii_lowercase));
                out.push(b' ');
                append_target(request, &mut out);
            }
            LINE => {
                out.extend_from_slice(request.method_text());
                out.push(b' ');
                append_target(request, &mut out);
                out.extend_from_slice(match request.head.version {
                    Version::H10 => b" HTTP/1.0",
                    Version::H11 => b" HTTP/1.1",
                    Version::H2 => b" HTTP/2.0",
                });
            }
            // HTTP/2 has the host in the target.
            "host" => {
                out.extend_from_slice(b"host: ");
                out.extend_from_slice(request.authority());
            }
            name => {
                let mut lines = request.head.fields.named(request.bytes, name.as_bytes());
                let line = lines.next().ok_or(WRONG)?;
                if lines.next().is_some() {
                    return Err(AMBIGUOUS);
                }
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(line);
            }
        }
    }
    Ok(out)
}

/// Path and query as received.
fn append_target(request: Request<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(request.path());
    if let Some(query) = request.head.query {
        out.push(b'?');
        out.extend_from_slice(query.of(request.bytes));
    }
}

const PARAMETERS: [&str; 4] = ["username", "algorithm", "headers", "signature"];
const TARGET: &str = "@request-target";
const LINE: &str = "request-line";
/// The field with the digest of the content.
const DIGEST: &[u8] = b"digest";
const DIGEST_START: &[u8] = b"SHA-256=";
/// What `Identity::method` says.
const METHOD: &str = "hmac";

#[cfg(test)]
mod tests;
