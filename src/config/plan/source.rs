// SPDX-License-Identifier: Apache-2.0
//! Servers outside that the control plane asks for policies: for the keys of issuers, and about tokens.

use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::UpstreamTlsPlan;
use crate::config::spec::shape::Secret;
use crate::policy::SourceId;
use crate::wire::url::Url;

/// A server that is asked.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// What policies know it by: a hash of everything else here that may be compared.
    pub id: SourceId,
    /// The policy that named it first, for messages.
    pub policy: Arc<str>,
    /// How `https` is spoken.
    pub tls: Option<UpstreamTlsPlan>,
    /// Longest wait for one response, from the look-up of the name to its end.
    pub timeout: Duration,
    /// What it is asked for.
    pub asked_for: AskedFor,
}

/// A server that several gateways count quotas in.
#[derive(Clone, Debug)]
pub struct RedisPlan {
    /// Where it is; the path is not used.
    pub url: Url,
    /// Which of its databases.
    pub database: u32,
    /// Who logs in.
    pub username: Option<Box<str>>,
    /// With what.
    pub password: Option<Secret>,
    /// How TLS is spoken.
    pub tls: Option<UpstreamTlsPlan>,
    /// What keys begin with.
    pub prefix: Box<str>,
    /// Longest wait.
    pub timeout: Duration,
}

/// What a server is asked for.
#[derive(Clone, Debug)]
pub enum AskedFor {
    /// Keys of an issuer.
    Keys(KeysPlan),
    /// Tokens.
    Tokens(IntrospectionPlan),
}

/// How the keys of an issuer are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeysPlan {
    /// Where they are.
    pub place: KeysPlace,
    /// The longest pause between two requests for them. `Cache-Control` may make it shorter.
    pub refresh: Duration,
    /// How long they are used while they cannot be had anew.
    pub stale: Duration,
    /// The shortest pause between two requests for keys that are not known.
    pub cool_down: Duration,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeysPlace {
    /// At this URL.
    Url(Url),
    /// Where the metadata of this issuer says (OpenID Connect Discovery section 4).
    Issuer {
        /// What the metadata must call itself.
        name: Box<str>,
        /// Where the metadata is.
        metadata: Url,
    },
}

/// How an authorisation server is asked about tokens.
#[derive(Clone, Debug)]
pub struct IntrospectionPlan {
    /// Where.
    pub url: Url,
    /// Who asks.
    pub client: Box<str>,
    /// What proves it.
    pub secret: Secret,
    /// How that is sent.
    pub authentication: ClientAuthentication,
}

/// How a client proves who it is (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAuthentication {
    /// In `Authorization: Basic`.
    Basic,
    /// In the form, beside the token.
    Post,
}
