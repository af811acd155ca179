// SPDX-License-Identifier: Apache-2.0
//! Hot. Basic authentication (RFC 7617): a user name and a password in `Authorization`.
//!
//! Checking a password takes long by design, so a thread of the control plane does it (`password/verdicts`), and the
//! verdict is remembered. A name that nobody has is checked against the hash of somebody who exists, so that it takes
//! as long as any other name.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::Tick;
use crate::base::limits::PASSWORD_BYTES_MAX;
use crate::policy::api_key::Credential as Hiding;
use crate::policy::decision::{Ask, AskOutcome, Decision};
use crate::policy::directory::{Consumer, Credential, CredentialKind};
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::password::{Asked, Pair, PasswordHash, Verdict, Verdicts};
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::question::{Answer, Question};
use crate::policy::refusal;
use crate::policy::tell::{self, ConsumerFields};
use crate::wire::field::Known;
use crate::wire::head::Request;
use crate::wire::template::Lookup;

/// Who may pass with which password.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All users.
    pub users: Users,
    /// Whether the directory's credentials count as well.
    pub stored: Stored,
    /// The names of the consumers that may pass, in order; `None` for all users, consumers or not.
    pub consumers: Option<Box<[Box<str>]>>,
    /// In which encoding clients send names and passwords.
    pub charset: Charset,
    /// What the upstream sees of `Authorization`.
    pub credential: Hiding,
    /// Whether the upstream is told which consumer it is.
    pub consumer_fields: ConsumerFields,
    /// The field in which the upstream gets the user's name; always removed from the client's request.
    pub user_field: Option<Box<[u8]>>,
    /// The name of who a request without such credentials counts as; `None` refuses it. A wrong password is refused in
    /// any case.
    pub anonymous: Option<Box<str>>,
    /// The value of `WWW-Authenticate` in a 401.
    pub challenge: Box<[u8]>,
    /// How long a verdict is remembered.
    pub keep: Duration,
    /// The longest wait for a password to be checked.
    pub timeout: Duration,
}

/// In which encoding clients send names and passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, which the challenge asks for; anything else is refused.
    Utf8,
    /// Whatever they send; bytes are compared.
    Any,
}

/// Whether credentials of the directory count beside the users of the policy itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// They do, where the policy has no user of that name.
    Known,
    /// They do not.
    Ignored,
}

/// A user of the policy itself. Where a consumer has the same name, the user is that consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, not empty, without a colon and control characters.
    pub name: Box<str>,
    /// The password's hash.
    pub hash: Arc<PasswordHash>,
}

/// Users in order of their names.
#[derive(Clone, Debug)]
pub struct Users {
    list: Box<[User]>,
    /// Chooses whose hash stands for an unknown name. Its keys are random, so nobody outside can tell.
    choose: RandomState,
    /// For a policy without users.
    nobody: Arc<PasswordHash>,
}

impl Users {
    /// These users. Of those with the same name the first counts; `check` refuses that.
    pub fn new(mut list: Vec<User>) -> Users {
        list.sort_by(|one, other| one.name.cmp(&other.name));
        list.dedup_by(|later, first| later.name == first.name);
        Users { list: list.into(), choose: RandomState::new(), nobody: Arc::new(PasswordHash::of_nobody()) }
    }

    fn find(&self, name: &[u8]) -> Option<&User> {
        let at = self.list.binary_search_by(|user| user.name.as_bytes().cmp(name)).ok()?;
        Some(&self.list[at])
    }

    /// The hash that an unknown name is checked against: the same for a name each time.
    fn stand_in(&self, name: &[u8]) -> &Arc<PasswordHash> {
        let mut hasher = self.choose.build_hasher();
        hasher.write(name);
        let at = hasher.finish() % (self.list.len() as u64).max(1);
        self.list.get(at as usize).map_or(&self.nobody, |user| &user.hash)
    }
}

/// What a shard keeps.
#[derive(Debug)]
pub struct State {
    verdicts: Verdicts,
    keep: Duration,
}

impl ShardState<Plan> for State {
    fn new(plan: &Plan, _: Shards, _: u32) -> State {
        State { verdicts: Verdicts::new(), keep: plan.keep }
    }

    fn next_question(&mut self) -> Option<(u64, Question)> {
        self.verdicts.next_question()
    }

    fn receive(&mut self, key: u64, answer: Answer, now: Tick) {
        self.verdicts.receive(key, &answer, self.keep, now);
    }
}

/// Where the user's name ends in `Effects::credentials`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memo {
    name_end: usize,
}

/// What is wrong with `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Absent,
    Ambiguous,
    Malformed,
}

impl Kind for Plan {
    type State = State;
    type Memo = Memo;

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn admits_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }

    fn keeps_state_of(&self, before: &Plan) -> bool {
        self.keep == before.keep
    }

    fn protect(&self, names: &mut Protected) {
        tell::protect(names);
        self.user_field.iter().for_each(|name| names.add(name));
    }

    fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    fn decide<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        match self.read(facts.request, &mut effects.credentials) {
            Ok(end) => memo.name_end = end,
            Err(Wrong::Absent) => {
                let passes = tell::anonymous(self.anonymous.as_deref(), (self.consumer_fields, METHOD), facts, effects);
                return passes.unwrap_or_else(|| {
                    self.refuse("basic_missing", "A user name and a password are required.", effects)
                });
            }
            Err(Wrong::Ambiguous) => {
                return self.refuse("basic_ambiguous", "More than one Authorization header was sent.", effects);
            }
            Err(Wrong::Malformed) => {
                return self.refuse("basic_malformed", "The credentials are malformed.", effects);
            }
        }
        self.judge(state, facts, (effects, memo.name_end), now, Round::First)
    }

    fn resume<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>, outcome: AskOutcome<'_>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        match outcome {
            AskOutcome::Woken => self.judge(state, facts, (effects, memo.name_end), now, Round::Answered),
            AskOutcome::Expired | AskOutcome::Failed | AskOutcome::Subrequest(_) => busy(effects),
        }
    }
}

/// Is it the first look at a request?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    First,
    Answered,
}

impl Plan {
    /// Decodes the credentials into `out`: name and password without the colon. Says where the name ends.
    fn read(&self, request: Request<'_>, out: &mut Vec<u8>) -> Result<usize, Wrong> {
        out.clear();
        let mut fields = request.head.fields.values(request.bytes, Known::Authorization);
        let value = fields.next().ok_or(Wrong::Absent)?;
        if fields.next().is_some() {
            return Err(Wrong::Ambiguous);
        }
        let encoded = credentials(value).ok_or(Wrong::Absent)?;
        STANDARD.decode_vec(encoded, out).map_err(|_| Wrong::Malformed)?;
        let end = out.iter().position(|byte| *byte == b':').ok_or(Wrong::Malformed)?;
        out.remove(end);
        let allowed = match (self.charset, std::str::from_utf8(out)) {
            (Charset::Utf8, Err(_)) => false,
            (_, Ok(text)) => !text.chars().any(char::is_control),
            // RFC 7617 section 2 forbids control characters; of an unknown encoding those of ASCII are known.
            (Charset::Any, Err(_)) => !out.iter().any(u8::is_ascii_control),
        };
        if end == 0 || !allowed { Err(Wrong::Malformed) } else { Ok(end) }
    }

    fn judge<L>(
        &self,
        state: &mut State,
        facts: &Facts<'_, L>,
        (effects, name_end): (&mut Effects, usize),
        now: Tick,
        round: Round,
    ) -> Decision<'_> {
        let (name, password) = effects.credentials.split_at(name_end);
        if password.len() > PASSWORD_BYTES_MAX {
            return self.refuse("basic_wrong", WRONG, effects);
        }
        let held = self.held(name, facts);
        let pair = match &held {
            Held::Own(user) => Pair::of(user.hash.text().as_bytes(), password),
            Held::Stored(credential) => Pair::of(&credential.secret, password),
            Held::Nobody => Pair::of(self.users.stand_in(name).text().as_bytes(), password),
        };
        match state.verdicts.find(pair, now) {
            Some(Verdict::Fits) => self.admit(held, facts, (effects, name_end)),
            Some(Verdict::Differs) => self.refuse("basic_wrong", WRONG, effects),
            // It was answered that too many wait.
            None if round == Round::Answered => busy(effects),
            None => {
                let until = now.after(self.timeout);
                match state.verdicts.ask(pair, self.hash_of(&held, name), password, (now, until)) {
                    Asked::Waiting(key) => Decision::Ask(Ask::Control { key, until }),
                    Asked::Full => busy(effects),
                }
            }
        }
    }

    /// Who has that name.
    fn held<'a, L>(&'a self, name: &[u8], facts: &Facts<'a, L>) -> Held<'a> {
        if let Some(user) = self.users.find(name) {
            return Held::Own(user);
        }
        let stored = match self.stored {
            Stored::Known => facts.directory.credential(CredentialKind::Basic, name, facts.wall),
            Stored::Ignored => None,
        };
        stored.map_or(Held::Nobody, Held::Stored)
    }

    /// The hash that a password is checked against, where no verdict is remembered. A stored one that cannot be read
    /// fits nothing, and takes as long as another.
    fn hash_of(&self, held: &Held<'_>, name: &[u8]) -> Arc<PasswordHash> {
        let own = match held {
            Held::Own(user) => &user.hash,
            Held::Stored(credential) => match PasswordHash::of_stored(&credential.secret) {
                Some(hash) => return Arc::from(hash),
                None => self.users.stand_in(name),
            },
            Held::Nobody => self.users.stand_in(name),
        };
        // tidy(hot): only where no verdict is remembered.
        Arc::clone(own)
    }

    /// The password fits the hash that the name was checked against.
    fn admit<L>(
        &self,
        held: Held<'_>,
        facts: &Facts<'_, L>,
        (effects, name_end): (&mut Effects, usize),
    ) -> Decision<'_> {
        let (consumer, identity) = match held {
            Held::Own(user) => {
                let consumer = facts.directory.by_name(&user.name);
                (consumer, Identity { consumer: consumer.map(|consumer| consumer.number), ..Identity::default() })
            }
            Held::Stored(credential) => {
                // It may have been removed since.
                let Some(consumer) = facts.directory.consumer(credential.consumer) else {
                    return self.refuse("basic_wrong", WRONG, effects);
                };
                let Credential { number, app, .. } = *credential;
                let consumer_number = Some(consumer.number);
                let identity =
                    Identity { consumer: consumer_number, credential: Some(number), app, ..Identity::default() };
                (Some(consumer), identity)
            }
            // Whoever guesses the password of the one whose hash stands in.
            Held::Nobody => return self.refuse("basic_wrong", WRONG, effects),
        };
        let named = |consumer: &Consumer| {
            let allowed = self.consumers.as_ref();
            allowed.is_none_or(|allowed| allowed.binary_search_by(|name| (**name).cmp(&consumer.name)).is_ok())
        };
        if !consumer.map_or(self.consumers.is_none(), named) {
            return self.refuse("basic_wrong", WRONG, effects);
        }
        if let Some(field) = &self.user_field {
            effects.to_upstream.remove_added(field);
            effects.to_upstream.add(field, &effects.credentials[..name_end]);
        }
        if self.credential == Hiding::Removed {
            effects.to_upstream.remove_known(&facts.request.head.fields, Known::Authorization);
        }
        let identity = Identity { method: Some(METHOD), ..identity };
        tell::consumer(self.consumer_fields, (&identity, consumer), facts, effects);
        effects.identified = Some(identity);
        Decision::Pass
    }

    fn refuse(&self, reason: &'static str, detail: &'static str, effects: &mut Effects) -> Decision<'_> {
        refusal::refuse_unidentified(&self.challenge, reason, detail, effects)
    }
}

/// Who has a name.
enum Held<'a> {
    /// A user of the policy itself.
    Own(&'a User),
    /// A consumer of the directory, by this credential.
    Stored(&'a Credential),
    /// Nobody.
    Nobody,
}

/// What `Identity::method` says.
const METHOD: &str = "basic";

/// Nobody could check the password in time.
fn busy<'p>(effects: &mut Effects) -> Decision<'p> {
    refusal::refuse_busy("basic_busy", "Too many passwords are being checked.", effects)
}

/// The base64 behind the scheme's name, which is compared without case (RFC 9110 section 11.1).
pub(super) fn credentials(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    match rest {
        [] => Some(rest),
        [b' ', ..] => Some(rest.trim_ascii_start()),
        _ => None,
    }
}

const WRONG: &str = "The user name or the password is wrong.";

#[cfg(test)]
mod tests;
