// SPDX-License-Identifier: Apache-2.0
//! What a policy asks the control plane: what only that plane can know, or what takes longer than a shard may work at a
//! time. A question lies in the policy's state (`ShardState::next_question`) until the edge sends it; the answer comes
//! back to the same state (`ShardState::receive`), and requests that wait for the key are woken.
//!
//! Keys of issuers are told to all shards, asked or not (`ShardState::learn`): when they are first known, when they
//! change, and when they are too old to be used.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::login::{LoginAnswer, LoginStep};
use crate::policy::password::{PasswordHash, Verdict};
use crate::wire::jose::{KeySet, Members, SigningKey};

/// Which state asked, and about which of its keys. Both mean something to the shard that asked only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The state.
    pub owner: u64,
    /// The key.
    pub key: u64,
}

/// Somebody outside whom only the control plane can ask: a hash of where and how. Policies that ask the same in the
/// same way have the same source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u64);

/// A question.
#[derive(Debug)]
pub enum Question {
    /// Are there newer keys of an issuer? The keys themselves are told to all shards, before the answer.
    Keys(SourceId),
    /// What does an authorisation server say of a token?
    Token(TokenQuestion),
    /// Does a password fit a hash? That takes tens of milliseconds by design.
    Password(PasswordQuestion),
    /// Was a nonce used before? From now on it was.
    Nonce(NonceQuestion),
    /// Does an address belong to one of these domains?
    Address(AddressQuestion),
    /// A step of the login of a browser, which this source takes.
    Login(SourceId, Box<LoginStep>),
    /// A token that is to be signed. It gets a random identifier, and RSA takes a millisecond.
    Sign(SignQuestion),
}

/// An address, and the domains of which it should have a name.
#[derive(Clone, Debug)]
pub struct AddressQuestion {
    /// The address.
    pub address: IpAddr,
    /// The domains, in lower case.
    pub domains: Arc<[Box<str>]>,
}

/// Does an address belong to a domain? It does where it has a name there (PTR), and that name has the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belonging {
    /// It does.
    Confirmed,
    /// DNS says that it does not.
    Denied,
}

/// A token that an authorisation server is to judge.
pub struct TokenQuestion {
    /// Who is asked.
    pub source: SourceId,
    /// The token.
    pub token: Box<str>,
}

impl fmt::Debug for TokenQuestion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TokenQuestion").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A nonce, as the digest of what makes it one of a kind.
#[derive(Clone, Copy, Debug)]
pub struct NonceQuestion {
    /// The digest.
    pub nonce: u128,
    /// How long it must be kept: longer than what it belongs to can be good.
    pub keep: Duration,
}

/// Was a nonce used before?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It was not.
    Fresh,
    /// It was.
    Seen,
}

/// A password and the hash that it may fit.
pub struct PasswordQuestion {
    /// The hash.
    pub hash: Arc<PasswordHash>,
    /// What the client sent.
    pub password: Box<[u8]>,
}

impl fmt::Debug for PasswordQuestion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PasswordQuestion(hidden)")
    }
}

/// A token that is to be signed.
#[derive(Debug)]
pub struct SignQuestion {
    /// With which key.
    pub key: Arc<SigningKey>,
    /// What `typ` of its header says.
    pub kind: &'static str,
    /// Its claims, without `jti`.
    pub claims: Members,
}

impl SignQuestion {
    /// Signs it. `id` is random: nobody can guess the identifier of another token, and no two have the same.
    pub(crate) fn answer(mut self, id: [u8; 16]) -> Answer {
        let id = format!("{:032x}", u128::from_be_bytes(id));
        self.claims.insert("jti".to_owned(), id.into());
        Answer::Signed(self.key.sign(self.kind, &self.claims).map(|token| SignedToken(token.into())))
    }
}

/// A token that the gateway has signed. Whoever has it is let in, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedToken(pub Arc<str>);

impl fmt::Debug for SignedToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SignedToken(hidden)")
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The keys that the shard knows are those that the issuer has.
    Keys,
    /// What the server said of a token: its claims where it is active.
    Token(Option<Arc<Members>>),
    /// Whether the password fits.
    Password(Verdict),
    /// Whether the nonce was used before.
    Nonce(Freshness),
    /// Whether an address belongs to a domain.
    Address(Belonging),
    /// What came of a step of a login.
    Login(Arc<LoginAnswer>),
    /// A signed token; `None` where the machine has no randomness.
    Signed(Option<SignedToken>),
    /// The server of the question cannot be asked, or does not answer as it should.
    Unavailable,
    /// Too many questions wait for the control plane, so this one was dropped.
    Busy,
}

/// The keys of an issuer, for all shards.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Whose.
    pub source: SourceId,
    /// All of them; `None` where none may be used any more.
    pub set: Option<Arc<KeySet>>,
}
