// SPDX-License-Identifier: Apache-2.0
//! TLS towards clients: makes a server configuration from parsed material, and chooses a certificate by server name.
//!
//! The control plane makes a configuration, and all shards share it. The keys of session tickets rotate by themselves.
//! A new configuration takes over the `Tickets` of the old one, so that sessions can be resumed after a reload.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::material::{Certificate, MaterialError};
use super::names::CertificateNames;

/// What a server shows and asks for.
#[derive(Debug)]
pub(crate) struct ServerMaterial {
    /// The certificates to choose from. Of several for one name, the first that the client can use is shown (one with
    /// an RSA key beside one with an EC key).
    pub certificates: Vec<Certificate>,
    /// Which of them to show to clients that name no host, or one without a certificate. None refuses them.
    pub default: Option<usize>,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
    /// Application protocols, the preferred one first.
    pub alpn: Vec<Vec<u8>>,
    /// Versions of the protocol.
    pub versions: Versions,
    /// Keys of session tickets; the same ones for as long as sessions are to be taken up again.
    pub tickets: Tickets,
}

/// Whether clients show certificates, and whose are accepted.
#[derive(Clone, Debug)]
pub(crate) enum ClientAuth {
    /// They are not asked.
    Off,
    /// They are asked; one that is shown must be valid.
    Optional(Vec<CertificateDer<'static>>),
    /// Without a valid one there is no connection.
    Required(Vec<CertificateDer<'static>>),
}

/// Which versions of TLS are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Versions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 only.
    #[cfg(test)]
    Tls12,
    /// 1.3 only.
    Tls13,
}

impl Versions {
    pub(super) fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
        match self {
            Versions::Both => &BOTH,
            #[cfg(test)]
            Versions::Tls12 => &BOTH[1..],
            Versions::Tls13 => &BOTH[..1],
        }
    }
}

/// The keys of session tickets. A new key every six hours; a ticket lives for twelve. Clones share the keys.
#[derive(Clone)]
pub(crate) struct Tickets {
    producer: Arc<dyn ProducesTickets>,
}

impl Tickets {
    /// Fresh keys, known to this process only.
    pub(crate) fn new() -> Result<Tickets, MaterialError> {
        let producer = aws_lc_rs::Ticketer::new().map_err(refused)?;
        Ok(Tickets { producer })
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tickets")
    }
}

/// The configuration that `material` describes.
pub(crate) fn server_config(material: &ServerMaterial) -> Result<ServerConfig, MaterialError> {
    let resolver = ByName::new(material)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(material.versions.list())
        .map_err(refused)?;
    let verifier = |roots: &[CertificateDer<'static>]| {
        let roots = Arc::new(root_store(roots)?);
        Ok(WebPkiClientVerifier::builder_with_provider(roots, provider()))
    };
    let verifier = match &material.client_auth {
        ClientAuth::Off => Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::Optional(roots) => verifier(roots)?.allow_unauthenticated().build(),
        ClientAuth::Required(roots) => verifier(roots)?.build(),
    };
    let verifier = verifier.map_err(|error| MaterialError::Refused(error.to_string()))?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols.clone_from(&material.alpn);
    // Tickets hold the sessions; a table of them would be shared by all shards under a lock.
    config.ticketer = material.tickets.producer.clone();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The cryptography that everything here uses.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())).clone()
}

/// Certificate authorities to trust.
pub(super) fn root_store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, MaterialError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|error| MaterialError::BadRoot(error.to_string()))?;
    }
    if store.is_empty() { Err(MaterialError::NoRoots) } else { Ok(store) }
}

/// A certificate chain with its key, checked to belong together.
pub(super) fn certified(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<CertifiedKey, MaterialError> {
    if chain.is_empty() {
        return Err(MaterialError::NoCertificate);
    }
    let key = provider().key_provider.load_private_key(key.clone_key());
    let key = key.map_err(|error| MaterialError::BadKey(error.to_string()))?;
    let certified = CertifiedKey::new(chain.to_vec(), key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(MaterialError::KeyMismatch),
        Err(error) => Err(MaterialError::BadCertificate(error.to_string())),
    }
}

pub(super) fn refused(error: rustls::Error) -> MaterialError {
    MaterialError::Refused(error.to_string())
}

/// Chooses a certificate by the name that the client asks for: exact, then wildcard, then the default.
#[derive(Debug)]
struct ByName {
    keys: Vec<Arc<CertifiedKey>>,
    names: CertificateNames,
}

impl ByName {
    fn new(material: &ServerMaterial) -> Result<ByName, MaterialError> {
        if material.certificates.is_empty() {
            return Err(MaterialError::NoCertificate);
        }
        let keys = material.certificates.iter().map(|own| Ok(Arc::new(certified(&own.chain, &own.key)?)));
        let keys = keys.collect::<Result<Vec<_>, MaterialError>>()?;
        match material.default {
            Some(default) if default >= keys.len() => Err(MaterialError::BadDefault),
            Some(_) | None => {
                Ok(ByName { keys, names: CertificateNames::new(&material.certificates, material.default)? })
            }
        }
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives the name in lower case.
        let candidates = self.names.shown(hello.server_name());
        let usable = |index: &&usize| self.keys[**index].key.choose_scheme(hello.signature_schemes()).is_some();
        let chosen = candidates.iter().find(usable).or(candidates.first())?;
        Some(self.keys[*chosen].clone())
    }
}
