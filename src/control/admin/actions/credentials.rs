// SPDX-License-Identifier: Apache-2.0
//! Credentials of consumers in the store: made, rotated, revoked, listed. A key is shown in the response that makes it
//! and never again.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::Wall;
use crate::config::spec::scalar::{Moment, Time};
use crate::control::admin::actions::credential_document::{CredentialDocument, OF_FILE, of_file};
use crate::control::admin::actions::objects::{applied, as_condition, replayed};
use crate::control::admin::body::decode;
use crate::control::admin::call::Call;
use crate::control::admin::problem::{BodyFault, Problem, Reason};
use crate::control::admin::query::Part;
use crate::control::admin::response::List;
use crate::control::admin::response::Reply;
use crate::control::admin::state::AdminState;
use crate::control::admin::store::problem;
use crate::control::random;
use crate::control::store::command::{Write, Written};
use crate::control::store::credential::{self, Credential, CredentialState, End, Filter, Kind, NewCredential};
use crate::control::store::fault::StoreFault;
use crate::net::machine;
use crate::policy::directory::{CredentialKind, certificate_lookup, jwt_lookup};
use crate::policy::key_format;
use crate::policy::password::PasswordHash;

/// Credentials that are read from the store at a time while a list is filtered.
const READ_COUNT: usize = 500;
/// How long an old key stays valid where a rotation does not say.
const OVERLAP: Duration = Duration::from_secs(60 * 60);
/// Longest texts of a credential, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;
/// Shorter secrets are refused.
const SECRET_BYTES_LOW: usize = 16;

/// The kinds, as a query names them.
pub(crate) const KINDS: &[&str] = &["key", "basic", "hmac", "jwt", "certificate"];
/// The states, as a query names them.
pub(crate) const STATES: &[&str] = &["active", "expired", "revoked"];

/// A kind of credentials.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum KindWord {
    /// An API key.
    Key,
    /// A user name with the hash of a password.
    Basic,
    /// A shared secret for signatures.
    Hmac,
    /// A subject of tokens.
    Jwt,
    /// A client certificate.
    Certificate,
}

/// A credential that is to be made. What a kind does not know is refused.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialBody {
    /// What it is.
    kind: KindWord,
    /// Whose.
    consumer: String,
    /// The app of the consumer that it belongs to.
    #[serde(default)]
    app: Option<String>,
    /// For people.
    #[serde(default)]
    description: String,
    /// Not valid from then on.
    #[serde(default)]
    expires: Option<Moment>,
    /// Not valid after this time, such as `90d`.
    #[serde(default)]
    expires_in: Option<Time>,
    /// Of a key: the SHA-256 of one that exists elsewhere, instead of a new one. Of a certificate: its fingerprint.
    #[serde(default)]
    sha256: Option<String>,
    /// Of basic: the user name.
    #[serde(default)]
    user: Option<String>,
    /// Of basic: the hash of the password, as `htpasswd` writes it, or a PHC string.
    #[serde(default)]
    hash: Option<String>,
    /// Of HMAC: what the client names the secret by.
    #[serde(default)]
    key_id: Option<String>,
    /// Of HMAC: the secret; without it one is made and shown.
    #[serde(default)]
    secret: Option<String>,
    /// Of JWT: the subject. Of a certificate: its subject.
    #[serde(default)]
    subject: Option<String>,
    /// Of JWT: only tokens of this issuer.
    #[serde(default)]
    issuer: Option<String>,
    /// Of a certificate: a subject alternative name.
    #[serde(default)]
    san: Option<String>,
}

/// How a key is rotated.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// How long the old key stays valid; an hour without it.
    overlap: Option<Time>,
    /// From when on the new key is not valid.
    expires: Option<Moment>,
    /// After which time the new key is not valid.
    expires_in: Option<Time>,
}

/// When a credential ends.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialPatch {
    /// Not valid from then on; `null` for ever.
    expires: Option<Moment>,
}

/// What was made, which is shown once.
#[derive(Default)]
struct Once {
    key: Option<String>,
    secret: Option<String>,
}

fn now() -> u64 {
    machine::wall().seconds()
}

fn fault(member: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(Reason::Invalid, vec![BodyFault::at(format!("/{member}"), detail)])
}

/// The credentials of all consumers, of one, or of an app.
pub(crate) async fn list(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let part = call.query.part()?;
    let filter = Filter {
        consumer: call.query.value("consumer").map(str::to_owned),
        app: call.query.value("app").map(str::to_owned),
    };
    let kind = call.query.word("kind", KINDS)?.map(str::to_owned);
    let wanted = call.query.word("state", STATES)?.map(str::to_owned);
    let (limit, now) = (part.limit, now());
    let found = state.read(move |database, declared| {
        let takes = |one: &Credential| {
            kind.as_deref().is_none_or(|kind| one.kind.name() == kind)
                && wanted.as_deref().is_none_or(|state| one.state(now).name() == state)
        };
        let mut found = Vec::new();
        // Those of the configuration come first; a cursor is the id of one, or the number of one in the store.
        let number = part.after.clone().filter(|after| !after.starts_with(OF_FILE));
        if number.is_none() {
            let of_file = of_file(declared, &filter).into_iter().filter(takes);
            found.extend(of_file.filter(|one| part.after.as_ref().is_none_or(|after| one.id > *after)));
        }
        let Some(database) = database else { return Ok(found) };
        let mut behind = Some(number);
        while let Some(after) = behind
            && found.len() <= limit
        {
            let page = credential::list(database, &filter, after.as_deref(), READ_COUNT)?;
            found.extend(page.items.into_iter().filter(takes));
            behind = page.next.map(Some);
        }
        Ok(found)
    });
    let mut found = found.await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let key = |last: &Credential| if last.revision == 0 { last.id.clone() } else { last.number.0.to_string() };
    let next = found.last().filter(|_| more).map(|last| Part::cursor(&key(last)));
    let items: Vec<CredentialDocument> = found.into_iter().map(|one| CredentialDocument::of(one, now)).collect();
    Ok(Reply::json(StatusCode::OK, &List { items, next }))
}

async fn find(id: &str, state: &AdminState) -> Result<Credential, Problem> {
    let id = id.to_owned();
    let missing = Problem::new(Reason::NotFound, format!("there is no credential `{id}`"));
    let found = state.read(move |database, declared| match database {
        _ if id.starts_with(OF_FILE) => Ok(of_file(declared, &Filter::default()).into_iter().find(|one| one.id == id)),
        Some(database) => credential::get(database, &id),
        None => Ok(None),
    });
    found.await?.ok_or(missing)
}

/// One that may be changed: not of the configuration.
async fn find_stored(id: &str, state: &AdminState) -> Result<Credential, Problem> {
    let found = find(id, state).await?;
    if found.revision == 0 { Err(problem(&StoreFault::Declared)) } else { Ok(found) }
}

/// One credential.
pub(crate) async fn show(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let found = find(call.segment(0), state).await?;
    let revision = found.revision;
    if call.precondition.is_known(revision) {
        return Ok(Reply::not_modified().tagged(revision));
    }
    Ok(Reply::json(StatusCode::OK, &CredentialDocument::of(found, now())).tagged(revision))
}

/// Makes one.
pub(crate) async fn create(mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let body: CredentialBody = decode(call.take_body())?;
    let (new, once) = new_of(body, &state.key_prefix.borrow())?;
    let outcome = state.write(&call, Write::Create(new)).await?;
    made(outcome.written, once, &call, state).await.map(|reply| applied(reply, outcome.reach))
}

/// The response for a credential that was made.
async fn made(written: Written, once: Once, call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let Written::Credential(made) = written else {
        // The request was served before this process began, and what it made is not known any more but by its hash.
        let Written::Repeated(known) = written else { return Err(Problem::no_answer()) };
        let found = find(known["id"].as_str().unwrap_or(""), state).await?;
        return Ok(replayed(Reply::json(StatusCode::CREATED, &CredentialDocument::of(found, now()))));
    };
    let revision = made.revision;
    let place = HeaderValue::from_str(&format!("/api/v1/credentials/{}", made.id));
    let mut document = CredentialDocument::of(*made, now());
    (document.key, document.secret) = (once.key, once.secret);
    tracing::debug!(id = document.id, by = call.principal.name, "admin: a credential was made");
    let reply = Reply::json(StatusCode::CREATED, &document).shown_once().tagged(revision);
    Ok(place.map_or_else(|_| Reply::nothing(), |place| reply.field(LOCATION, place)))
}

/// Makes another key in the place of one.
pub(crate) async fn rotate(mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let body: RotateBody = decode(call.take_body())?;
    let before = find_stored(call.segment(0), state).await?;
    if before.kind != Kind::Key {
        return Err(Problem::new(Reason::Refused, "only keys are rotated; make another credential instead"));
    }
    if before.state(now()) == CredentialState::Revoked {
        return Err(Problem::new(Reason::Refused, "the key is revoked; make another one instead"));
    }
    let expected = call.precondition.expected(Some(before.revision))?;
    let expires = end_of(body.expires.as_ref(), body.expires_in.as_ref())?;
    let (key, random_id) = (new_key(&state.key_prefix.borrow())?, new_id()?);
    let new = NewCredential {
        id: random_id,
        kind: Kind::Key,
        consumer: before.consumer,
        app: before.app,
        lookup: key_format::hash_of(key.as_bytes()).to_vec(),
        secret: Vec::new(),
        last4: Some(last4(&key)),
        description: before.description,
        expires: expires.or(before.expires.filter(|end| *end > now())),
    };
    let overlap = body.overlap.as_ref().map_or(OVERLAP, |overlap| overlap.0).as_secs();
    let write = Write::Rotate { id: before.id, expected, new, overlap };
    let outcome = state.write(&call, write).await.map_err(|refused| as_condition(refused, &call))?;
    let once = Once { key: Some(key), secret: None };
    made(outcome.written, once, &call, state).await.map(|reply| applied(reply, outcome.reach))
}

/// Revokes one. One that is revoked stays so.
pub(crate) async fn revoke(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let before = find_stored(call.segment(0), state).await?;
    let expected = call.precondition.expected(Some(before.revision))?;
    if before.state(now()) == CredentialState::Revoked {
        let revision = before.revision;
        return Ok(Reply::json(StatusCode::OK, &CredentialDocument::of(before, now())).tagged(revision));
    }
    end(End::Revoked, Write::End { id: before.id, expected, end: End::Revoked }, call, state).await
}

/// Changes when one ends.
pub(crate) async fn patch(mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let body = call.take_body();
    if body.get("expires").is_none() {
        return Err(fault("expires", "is missing: it is what can be changed"));
    }
    let CredentialPatch { expires } = decode(body)?;
    let before = find_stored(call.segment(0), state).await?;
    let expected = call.precondition.expected(Some(before.revision))?;
    let end_at = End::At(expires.map(|moment| moment.0.seconds()));
    end(end_at.clone(), Write::End { id: before.id, expected, end: end_at }, &call, state).await
}

async fn end(what: End, write: Write, call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let outcome = state.write(call, write).await.map_err(|refused| as_condition(refused, call))?;
    let Written::Credential(after) = outcome.written else { return show(call, state).await.map(replayed) };
    tracing::debug!(id = after.id, ?what, "admin: a credential ends");
    let revision = after.revision;
    let reply = Reply::json(StatusCode::OK, &CredentialDocument::of(*after, now())).tagged(revision);
    Ok(applied(reply, outcome.reach))
}

/// What a body asks for, and what of it is shown once.
fn new_of(body: CredentialBody, prefix: &str) -> Result<(NewCredential, Once), Problem> {
    let id = new_id()?;
    let expires = end_of(body.expires.as_ref(), body.expires_in.as_ref())?;
    let (mut once, mut last) = (Once::default(), None);
    let given = Given::of(&body);
    let (kind, lookup, secret) = match body.kind {
        KindWord::Key => {
            given.only(&["sha256"])?;
            let hash = match &body.sha256 {
                Some(text) => {
                    key_format::parse_hash(text).ok_or_else(|| fault("sha256", "is not 64 hexadecimal digits"))?
                }
                None => {
                    let key = new_key(prefix)?;
                    last = Some(last4(&key));
                    key_format::hash_of(once.key.insert(key).as_bytes())
                }
            };
            (Kind::Key, hash.to_vec(), Vec::new())
        }
        KindWord::Basic => {
            given.only(&["user", "hash"])?;
            let (user, hash) = (given.text("user")?, given.text("hash")?);
            if user.contains(':') {
                return Err(fault("user", "has no colon (RFC 7617)"));
            }
            // Nobody may have sent the password itself.
            PasswordHash::parse(hash).map_err(|reason| fault("hash", reason))?;
            (Kind::Named(CredentialKind::Basic), user.as_bytes().to_vec(), hash.as_bytes().to_vec())
        }
        KindWord::Hmac => {
            given.only(&["key_id", "secret"])?;
            let name = given.text("key_id")?.as_bytes().to_vec();
            let secret = match &body.secret {
                Some(secret) if secret.len() < SECRET_BYTES_LOW => {
                    return Err(fault("secret", format!("has at least {SECRET_BYTES_LOW} bytes")));
                }
                Some(secret) => secret.clone(),
                None => once.secret.insert(new_key(prefix)?).clone(),
            };
            (Kind::Named(CredentialKind::Hmac), name, secret.into_bytes())
        }
        KindWord::Jwt => {
            given.only(&["subject", "issuer"])?;
            let mut lookup = Vec::new();
            jwt_lookup(body.issuer.as_deref(), given.text("subject")?, &mut lookup);
            (Kind::Named(CredentialKind::Jwt), lookup, Vec::new())
        }
        KindWord::Certificate => {
            let what = given.one_of(&["subject", "san", "sha256"])?;
            let text = given.text(what)?;
            if what == "sha256" && key_format::parse_hash(text).is_none() {
                return Err(fault("sha256", "is not 64 hexadecimal digits"));
            }
            let mut lookup = Vec::new();
            certificate_lookup(what, text, &mut lookup);
            (Kind::Named(CredentialKind::Certificate), lookup, Vec::new())
        }
    };
    let CredentialBody { consumer, app, description, .. } = body;
    if description.len() > TEXT_BYTES_MAX {
        return Err(fault("description", format!("has {TEXT_BYTES_MAX} bytes at most")));
    }
    Ok((NewCredential { id, kind, consumer, app, lookup, secret, last4: last, description, expires }, once))
}

/// The members of a body that belong to some kinds only.
struct Given<'b>(Vec<(&'static str, &'b str)>);

impl<'b> Given<'b> {
    fn of(body: &'b CredentialBody) -> Given<'b> {
        let members = [
            ("sha256", &body.sha256),
            ("user", &body.user),
            ("hash", &body.hash),
            ("key_id", &body.key_id),
            ("secret", &body.secret),
            ("subject", &body.subject),
            ("issuer", &body.issuer),
            ("san", &body.san),
        ];
        Given(members.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect())
    }

    fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => Err(fault(name, "is nothing that this kind of credential has")),
            None => Ok(()),
        }
    }

    fn one_of(&self, names: &[&'static str]) -> Result<&'static str, Problem> {
        self.only(names)?;
        match self.0.as_slice() {
            [(name, _)] => Ok(name),
            _ => Err(fault(names[0], format!("exactly one of {} is needed", names.join(", ")))),
        }
    }

    fn text(&self, name: &'static str) -> Result<&'b str, Problem> {
        let text = self.0.iter().find(|(given, _)| *given == name).map(|(_, text)| *text);
        let text = text.ok_or_else(|| fault(name, "is missing"))?;
        let good = (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        good.then_some(text)
            .ok_or_else(|| fault(name, format!("has 1 to {TEXT_BYTES_MAX} bytes and no control characters")))
    }
}

/// The end that two members say, in seconds since 1970.
pub(crate) fn end_of(expires: Option<&Moment>, expires_in: Option<&Time>) -> Result<Option<u64>, Problem> {
    match (expires, expires_in) {
        (Some(_), Some(_)) => Err(fault("expires_in", "stands beside `expires`; one of them says it")),
        (Some(Moment(Wall(micros))), None) => Ok(Some(micros / 1_000_000)),
        (None, Some(Time(length))) => Ok(Some(now().saturating_add(length.as_secs()))),
        (None, None) => Ok(None),
    }
}

/// Random bytes. Without them nothing is made that must not be guessed.
pub(crate) fn random<const COUNT: usize>() -> Result<[u8; COUNT], Problem> {
    random::random().map_err(|_| Problem::new(Reason::NoAnswer, "the machine has no randomness"))
}

fn new_key(prefix: &str) -> Result<String, Problem> {
    Ok(key_format::make(prefix, random::<{ key_format::RANDOM_BYTES }>()?))
}

fn new_id() -> Result<String, Problem> {
    let digits: String = random::<10>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("cred_{digits}"))
}

pub(crate) fn last4(text: &str) -> String {
    text.chars().skip(text.chars().count().saturating_sub(4)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use serde_json::Value;

    use super::*;

    fn new(json: Value) -> Result<(NewCredential, Once), String> {
        let body = decode::<CredentialBody>(json).and_then(|body| new_of(body, "tpk"));
        body.map_err(|problem| problem.members["errors"][0]["pointer"].as_str().unwrap_or("?").to_owned())
    }

    #[test]
    fn each_kind_has_its_members_and_no_others() {
        let hash = "ab".repeat(32);
        for (json, expected) in [
            (json!({ "kind": "key", "consumer": "a" }), "key"),
            (json!({ "kind": "key", "consumer": "a", "sha256": hash }), "key"),
            (
                json!({ "kind": "basic", "consumer": "a", "user": "u", "hash": "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=" }),
                "basic",
            ),
            (json!({ "kind": "hmac", "consumer": "a", "key_id": "k" }), "hmac"),
            (json!({ "kind": "jwt", "consumer": "a", "subject": "s", "issuer": "i" }), "jwt"),
            (json!({ "kind": "certificate", "consumer": "a", "san": "a.test" }), "certificate"),
        ] {
            let (made, _) = new(json).unwrap_or_else(|pointer| panic!("{expected}: {pointer}"));
            assert_eq!(made.kind.name(), expected);
        }
        for (json, pointer) in [
            (json!({ "kind": "key" }), ""),
            (json!({ "kind": "keys", "consumer": "a" }), "/kind"),
            (json!({ "kind": "key", "consumer": "a", "user": "u" }), "/user"),
            (json!({ "kind": "key", "consumer": "a", "sha256": "ab" }), "/sha256"),
            (json!({ "kind": "basic", "consumer": "a", "user": "a:b", "hash": "x" }), "/user"),
            (json!({ "kind": "basic", "consumer": "a", "user": "u" }), "/hash"),
            (json!({ "kind": "basic", "consumer": "a", "user": "u", "hash": "secret" }), "/hash"),
            (json!({ "kind": "basic", "consumer": "a", "user": "u", "hash": "$2y$05$x" }), "/hash"),
            (json!({ "kind": "hmac", "consumer": "a", "key_id": "k", "secret": "short" }), "/secret"),
            (json!({ "kind": "jwt", "consumer": "a", "subject": "a\u{0}b" }), "/subject"),
            (json!({ "kind": "certificate", "consumer": "a", "san": "a", "subject": "b" }), "/subject"),
            (json!({ "kind": "certificate", "consumer": "a", "sha256": "zz" }), "/sha256"),
            (json!({ "kind": "key", "consumer": "a", "expires": "2030-01-01", "expires_in": "1d" }), "/expires_in"),
            (json!({ "kind": "key", "consumer": "a", "expires_in": "soon" }), "/expires_in"),
        ] {
            assert_eq!(new(json.clone()).err().as_deref(), Some(pointer), "{json}");
        }
    }

    #[test]
    fn a_key_is_shown_once_and_only_its_hash_is_kept() {
        let (made, once) = new(json!({ "kind": "key", "consumer": "a", "expires_in": "1d" })).expect("made");
        let key = once.key.expect("shown");
        assert!(key.starts_with("tpk_") && key.ends_with(made.last4.as_deref().expect("known")));
        assert_eq!(made.lookup, key_format::hash_of(key.as_bytes()));
        assert!(made.expires.is_some_and(|end| end > now() + 86_000));
    }
}
