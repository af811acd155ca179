// SPDX-License-Identifier: Apache-2.0
//! What a policy asks the control plane: what only that plane can know, or what takes longer than a shard may work at a
//! time. A question lies in the policy's state (`ShardState::next_question`) until the edge sends it; the answer comes
//! back to the same state (`ShardState::receive`), and requests that wait for the key are woken.
//!
//! Keys of issuers are told to all shards, asked or not (`ShardState::learn`): when they are first known, when they
//! change, and when they are too old to be used.

use std::fmt;
use std::sync::Arc;

use crate::wire::jose::{KeySet, Members};

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

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The keys that the shard knows are those that the issuer has.
    Keys,
    /// What the server said of a token: its claims where it is active.
    Token(Option<Arc<Members>>),
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
