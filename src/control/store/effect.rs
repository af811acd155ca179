// SPDX-License-Identifier: Apache-2.0
//! What a change of the store means for the directory of the shards.

use crate::base::CredentialId;
use crate::config::directory::{CredentialObject, KeyObject};
use crate::control::store::object::{Body, ObjectKind};
use crate::policy::directory::{CredentialKind, KeyHash};

/// What a change of the store means for the directory of the shards.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// An object says this now.
    Put(String, Body),
    /// An object is gone.
    Gone(ObjectKind, String),
    /// A key is valid, at most until it expires.
    Key(KeyObject, CredentialId),
    /// A key is not valid any more.
    KeyGone(KeyHash),
    /// A credential is valid, at most until it expires.
    Credential(CredentialObject, CredentialId),
    /// A credential is not valid any more.
    CredentialGone(CredentialKind, Box<[u8]>),
}

impl Effect {
    /// Makes of a credential that is valid one that is not.
    pub(super) fn undo(&mut self) {
        *self = match self {
            Effect::Key(key, _) => Effect::KeyGone(key.hash),
            Effect::Credential(credential, _) => {
                Effect::CredentialGone(credential.kind, std::mem::take(&mut credential.lookup))
            }
            Effect::Put(..) | Effect::Gone(..) | Effect::KeyGone(_) | Effect::CredentialGone(..) => return,
        };
    }
}
