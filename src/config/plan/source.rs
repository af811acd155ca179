// SPDX-License-Identifier: Apache-2.0
//! Servers outside that the control plane asks for policies: for the keys of issuers, about tokens, and for logins.

use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::UpstreamTlsPlan;
use crate::config::spec::shape::Secret;
use crate::policy::SourceId;
use crate::policy::login::SealingKeys;
use crate::policy::login::session::Lifetime;
use crate::wire::jose::AlgorithmSet;
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
    /// Logins of browsers.
    Logins(Arc<LoginPlan>),
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
    pub client: ClientCredentials,
}

/// Who a server knows the gateway as.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// Its name.
    pub id: Box<str>,
    /// What proves it; empty where nothing does.
    pub secret: Secret,
    /// How that is sent.
    pub authentication: ClientAuthentication,
}

/// How browsers sign in at an issuer.
#[derive(Debug)]
pub struct LoginPlan {
    /// What the issuer calls itself.
    pub issuer: Box<str>,
    /// Where its metadata is.
    pub metadata: Url,
    /// Who the issuer knows the gateway as.
    pub client: ClientCredentials,
    /// The issuer and the client, as revocations know them.
    pub scope: Box<str>,
    /// Where the issuer sends browsers back.
    pub redirect: Box<str>,
    /// What is asked for, separated by spaces.
    pub scopes: Box<str>,
    /// Further parameters of the request to sign in.
    pub parameters: Box<[(Box<str>, Box<str>)]>,
    /// The algorithms that the issuer may use.
    pub algorithms: AlgorithmSet,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Whether claims come from the userinfo endpoint as well.
    pub userinfo: Userinfo,
    /// Whether sessions hold the access token.
    pub access_token: Tokens,
    /// Whether they hold the ID token, and the issuer is told who signs out.
    pub id_token: Tokens,
    /// Where the issuer sends a browser that has signed out.
    pub after_logout: Option<Box<str>>,
    /// How long sessions last.
    pub lifetime: Lifetime,
    /// What seals them.
    pub keys: SealingKeys,
}

/// Are claims asked for at the userinfo endpoint?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Userinfo {
    /// They are, once a login.
    Asked,
    /// Those of the ID token are all.
    Unasked,
}

/// Does a session hold a token?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tokens {
    /// It does.
    Held,
    /// It does not.
    Dropped,
}

/// How a client proves who it is (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAuthentication {
    /// In `Authorization: Basic`.
    Basic,
    /// In the form, beside the token.
    Post,
    /// It cannot: it has no secret.
    Nothing,
}
