// SPDX-License-Identifier: Apache-2.0
//! A credential as the admin API shows it, whether it stands in the store or the configuration declares it. Neither
//! shows what is secret.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::base::CredentialId;
use crate::config::directory::Declared;
use crate::control::admin::body::moment;
use crate::control::store::credential::{Credential, Filter, Kind, shown_lookup};
use crate::policy::directory::Expiry;

/// What the ids of credentials begin with that the configuration declares.
pub(super) const OF_FILE: &str = "file_";

/// A credential as it is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CredentialDocument {
    /// Its id.
    pub id: String,
    /// `file` where the configuration declares it, else `store`.
    source: &'static str,
    /// What it is.
    kind: &'static str,
    /// Whose.
    consumer: String,
    /// The app that it belongs to.
    app: Option<String>,
    /// What clients name it by; a key has none.
    lookup: Option<String>,
    /// The last characters of a key.
    last4: Option<String>,
    /// For people.
    description: String,
    /// `active`, `expired` or `revoked`.
    state: &'static str,
    /// Not valid from then on.
    expires: Value,
    /// When it was made; `null` of one that the configuration declares.
    created: Value,
    /// When it was changed last; `null` of one that the configuration declares.
    updated: Value,
    /// Counts its changes, from 1; 0 of one that the configuration declares.
    revision: u64,
    /// What has taken its place.
    successor: Option<String>,
    /// The key itself, in the response that makes it and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The secret that was made, in the response that makes it and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl CredentialDocument {
    /// The document of a credential, without what is shown once.
    pub(super) fn of(credential: Credential, now: u64) -> CredentialDocument {
        let state = credential.state(now).name();
        let stored = credential.revision > 0;
        CredentialDocument {
            source: if stored { "store" } else { "file" },
            kind: credential.kind.name(),
            state,
            expires: moment(credential.expires),
            created: moment(Some(credential.created).filter(|_| stored)),
            updated: moment(Some(credential.updated).filter(|_| stored)),
            revision: credential.revision,
            id: credential.id,
            consumer: credential.consumer,
            app: credential.app,
            lookup: credential.lookup,
            last4: credential.last4,
            description: credential.description,
            successor: credential.successor,
            key: None,
            secret: None,
        }
    }
}

/// The credentials that the configuration declares, in the order of their ids. Their revision is 0. An id is made of
/// what a credential is found by, so that it stays the same while that does.
pub(super) fn of_file(declared: &Declared, filter: &Filter) -> Vec<Credential> {
    let keys = declared.keys.iter().map(|key| {
        let found_by = (Kind::Key, &key.hash[..]);
        credential(found_by, (&key.consumer, key.app.as_deref()), key.expires)
    });
    let others = declared.credentials.iter().map(|held| {
        let found_by = (Kind::Named(held.kind), &held.lookup[..]);
        credential(found_by, (&held.consumer, held.app.as_deref()), held.expires)
    });
    let mut all: Vec<Credential> = keys.chain(others).filter(|one| filter.takes(one)).collect();
    all.sort_by(|one, other| one.id.cmp(&other.id));
    all
}

fn credential((kind, lookup): (Kind, &[u8]), (consumer, app): (&str, Option<&str>), expires: Expiry) -> Credential {
    let digest = Sha256::new().chain_update(kind.name()).chain_update([0]).chain_update(lookup).finalize();
    let digits: String = digest[..10].iter().map(|byte| format!("{byte:02x}")).collect();
    Credential {
        number: CredentialId(0),
        id: format!("{OF_FILE}{digits}"),
        kind,
        consumer: consumer.to_owned(),
        app: app.map(str::to_owned),
        lookup: (kind != Kind::Key).then(|| shown_lookup(lookup)),
        last4: None,
        description: String::new(),
        revision: 0,
        created: 0,
        updated: 0,
        expires: expires.seconds().map(u64::from),
        revoked: None,
        successor: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;
    use crate::config::directory::{CredentialObject, KeyObject};
    use crate::policy::directory::CredentialKind;

    #[test]
    fn what_the_configuration_declares_is_shown_without_secrets() {
        let expires = Expiry::of(Some(Wall(1_800_000_000_000_000)));
        let key = KeyObject { hash: [7; 32], consumer: "acme".into(), app: Some("web".into()), expires };
        let hmac = CredentialObject {
            kind: CredentialKind::Hmac,
            lookup: b"client".as_slice().into(),
            secret: b"hunter2".as_slice().into(),
            consumer: "beta".into(),
            app: None,
            expires: Expiry::of(None),
        };
        let declared = Declared { keys: vec![key], credentials: vec![hmac], ..Declared::default() };
        let all = of_file(&declared, &Filter::default());
        assert!(all.is_sorted_by(|one, next| one.id < next.id) && all.len() == 2);
        let shown: Vec<Value> = all
            .into_iter()
            .map(|one| serde_json::to_value(CredentialDocument::of(one, 1_800_000_001)).expect("JSON"))
            .collect();
        let of = |kind: &str| shown.iter().find(|one| one["kind"] == kind).expect("it is there");
        let (key, hmac) = (of("key"), of("hmac"));
        assert_eq!((&key["source"], &key["state"], &key["app"]), (&"file".into(), &"expired".into(), &"web".into()));
        assert_eq!((&hmac["lookup"], &hmac["created"]), (&"client".into(), &Value::Null));
        assert!(!format!("{shown:?}").contains("hunter2"));
        let filter = Filter { consumer: Some("beta".to_owned()), app: None };
        assert_eq!(of_file(&declared, &filter).len(), 1);
    }
}
