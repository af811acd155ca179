// SPDX-License-Identifier: Apache-2.0
//! What is known of one issuer: its endpoints and its keys. Both are asked for again now and then; while the issuer
//! does not answer, what was known stays in use.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;

use crate::base::Tick;
use crate::control::fetch::Client;
use crate::control::sources::keys::{keys_at, said_by, url_of};
use crate::net::machine;
use crate::policy::jwt::{IssuerKeys, KeySource};
use crate::policy::{Keys, SourceId};
use crate::wire::url::Url;

/// How long metadata and keys are used before they are asked for again.
const REFRESH: Duration = Duration::from_secs(900);
/// The shortest pause between two requests, also after a failure and for keys that are not known.
const COOL_DOWN: Duration = Duration::from_secs(5);

/// One issuer. Whoever needs it while it is asked waits for the same response.
pub(super) struct Provider {
    source: SourceId,
    issuer: Box<str>,
    metadata: Url,
    known: Mutex<Known>,
}

/// What is known.
struct Known {
    endpoints: Option<Arc<Endpoints>>,
    keys: IssuerKeys,
    asked_at: Option<Tick>,
    good_at: Option<Tick>,
}

/// Where what is asked for.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    /// Where browsers sign in.
    pub authorization: String,
    /// Where codes become tokens.
    pub token: Url,
    /// Where more claims are.
    pub userinfo: Option<Url>,
    /// Where browsers sign out.
    pub end_session: Option<String>,
    /// Must responses say whose they are (RFC 9207)?
    pub names_itself: Naming,
    jwks: Url,
}

/// Does an issuer say in each response whose it is?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// It does, so that one without is another's.
    Always,
    /// It may.
    Perhaps,
}

impl Provider {
    /// An issuer that nobody has asked yet.
    pub(super) fn new(source: SourceId, issuer: &str, metadata: Url) -> Provider {
        let keys = IssuerKeys::new(&KeySource::Asked(source), COOL_DOWN);
        let known = Mutex::new(Known { endpoints: None, keys, asked_at: None, good_at: None });
        Provider { source, issuer: issuer.into(), metadata, known }
    }

    /// Its endpoints.
    pub(super) async fn endpoints(&self, client: &Client) -> Result<Arc<Endpoints>, String> {
        let mut known = self.known.lock().await;
        let now = machine::now();
        if known.good_at.is_none_or(|at| now.since(at) >= REFRESH) {
            self.ask(&mut known, client, now).await?;
        }
        known.endpoints.clone().ok_or_else(|| "its metadata is not known".to_owned())
    }

    /// Calls `verify` with its keys; once more with newer ones where it says that one is not known.
    pub(super) async fn verify<T, E>(
        &self,
        client: &Client,
        mut verify: impl FnMut(&mut IssuerKeys) -> Result<T, E>,
        lacks_key: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let mut known = self.known.lock().await;
        match verify(&mut known.keys) {
            Err(fault) if lacks_key(&fault) => {
                // Where that fails, the keys are those from before.
                let _ = self.ask(&mut known, client, machine::now()).await;
                verify(&mut known.keys)
            }
            outcome => outcome,
        }
    }

    /// Asks, unless it was asked just now. Fails only where nothing is known.
    async fn ask(&self, known: &mut Known, client: &Client, now: Tick) -> Result<(), String> {
        let resting = known.asked_at.is_some_and(|at| now.since(at) < COOL_DOWN);
        let outcome = if resting { Err("it did not answer just now".to_owned()) } else { self.fetch(client).await };
        if !resting {
            known.asked_at = Some(machine::now());
        }
        match outcome {
            Ok((endpoints, keys)) => {
                known.keys.learn(&keys);
                known.endpoints = Some(Arc::new(endpoints));
                known.good_at = known.asked_at;
                Ok(())
            }
            Err(reason) if known.endpoints.is_none() => Err(reason),
            Err(_) => Ok(()),
        }
    }

    async fn fetch(&self, client: &Client) -> Result<(Endpoints, Keys), String> {
        let metadata = &self.metadata;
        let said = said_by(client, &self.issuer, metadata).await?;
        let optional = |member: &str| said.contains_key(member).then(|| url_of(&said, member, metadata)).transpose();
        let endpoints = Endpoints {
            authorization: url_of(&said, "authorization_endpoint", metadata)?.to_string(),
            token: url_of(&said, "token_endpoint", metadata)?,
            userinfo: optional("userinfo_endpoint")?,
            end_session: optional("end_session_endpoint")?.map(|url| url.to_string()),
            names_itself: match said.get("authorization_response_iss_parameter_supported") {
                Some(Value::Bool(true)) => Naming::Always,
                Some(_) | None => Naming::Perhaps,
            },
            jwks: url_of(&said, "jwks_uri", metadata)?,
        };
        let (set, _) = keys_at(client, &endpoints.jwks).await?;
        Ok((endpoints, Keys { source: self.source, set: Some(Arc::new(set)) }))
    }
}
