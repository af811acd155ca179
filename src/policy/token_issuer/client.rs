// SPDX-License-Identifier: Apache-2.0
//! Hot. Who a client is, of those that the directory knows.

use crate::policy::directory::{Credential, CredentialKind};
use crate::policy::facts::Facts;
use crate::policy::identity::Identity;
use crate::policy::key_format::{KEY_BYTES_MAX, hash_of};
use crate::policy::token_issuer::request::Credentials;

/// What `Identity::method` says.
pub(super) const METHOD: &str = "token_issuer";

/// Who a client is.
#[derive(Debug)]
pub(super) enum Client<'d> {
    /// A consumer, by its name and one of its API keys. Nothing is left to check.
    Keyed(Identity),
    /// Whoever has this credential of the kind `basic`, if the password is right.
    Named(&'d Credential),
    /// Nobody here.
    Nobody,
}

impl<'d> Client<'d> {
    /// Looks for it. A key is found by its hash, so that nothing tells how much of it was right.
    pub(super) fn find<L>(credentials: &Credentials, facts: &Facts<'d, L>) -> Client<'d> {
        let Credentials { id, secret } = credentials;
        if let Some(identity) = keyed(id, secret.as_bytes(), facts) {
            return Client::Keyed(identity);
        }
        let named = facts.directory.credential(CredentialKind::Basic, id.as_bytes(), facts.wall);
        named.map_or(Client::Nobody, Client::Named)
    }

    /// The hash that its password must fit.
    pub(super) fn stored_hash(&self) -> Option<&[u8]> {
        match self {
            Client::Named(credential) => Some(&credential.secret),
            Client::Keyed(_) | Client::Nobody => None,
        }
    }

    /// Who it is; the secret was checked. Nobody is no consumer.
    pub(super) fn identity(self) -> Identity {
        match self {
            Client::Keyed(identity) => identity,
            Client::Named(credential) => Identity {
                consumer: Some(credential.consumer),
                app: credential.app,
                credential: Some(credential.number),
                method: Some(METHOD),
                ..Identity::default()
            },
            Client::Nobody => Identity::default(),
        }
    }
}

/// The consumer of that name, where the secret is one of its keys.
fn keyed<L>(id: &str, secret: &[u8], facts: &Facts<'_, L>) -> Option<Identity> {
    if secret.is_empty() || secret.len() > KEY_BYTES_MAX {
        return None;
    }
    let entry = facts.directory.key(&hash_of(secret)).filter(|entry| !entry.expires.is_over(facts.wall))?;
    let consumer = facts.directory.consumer(entry.consumer).filter(|consumer| *consumer.name == *id)?;
    let (app, credential) = (entry.app(), Some(entry.credential));
    Some(Identity { consumer: Some(consumer.number), app, credential, method: Some(METHOD), ..Identity::default() })
}
