//! TLS towards clients: makes a server configuration from parsed material, and chooses a certificate by server name.
//!
//! The control plane makes a configuration, and all shards share it. The keys of session tickets rotate by themselves.
//! A new configuration takes over the `Tickets` of the old one, so that sessions can be resumed after a reload.

use std::fmt;
use std::sync::{Arc, OnceLock};

use ahash::AHashMap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::material::{MaterialError, certificate_facts};

/// What a server shows and asks for.
#[derive(Debug)]
pub struct ServerMaterial {
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

/// A certificate with its chain and key.
#[derive(Debug)]
pub struct Certificate {
    /// Host names to show it for, exact or as `*.example.com`; empty takes those in the certificate.
    pub names: Vec<String>,
    /// The certificate, followed by those of its issuers.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// Whether clients show certificates, and whose are accepted.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// They are not asked.
    Off,
    /// They are asked; one that is shown must be valid.
    Optional(Vec<CertificateDer<'static>>),
    /// Without a valid one there is no connection.
    Required(Vec<CertificateDer<'static>>),
}

/// Which versions of TLS are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
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
pub struct Tickets {
    producer: Arc<dyn ProducesTickets>,
}

impl Tickets {
    /// Fresh keys, known to this process only.
    pub fn new() -> Result<Tickets, MaterialError> {
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
pub fn server_config(material: &ServerMaterial) -> Result<ServerConfig, MaterialError> {
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
    exact: AHashMap<Box<str>, Vec<usize>>,
    /// By what follows `*.`; a wildcard stands for exactly one label (RFC 6125 section 6.4.3).
    wildcard: AHashMap<Box<str>, Vec<usize>>,
    default: Option<usize>,
}

impl ByName {
    fn new(material: &ServerMaterial) -> Result<ByName, MaterialError> {
        if material.certificates.is_empty() {
            return Err(MaterialError::NoCertificate);
        }
        let mut by_name =
            ByName { keys: Vec::new(), exact: AHashMap::new(), wildcard: AHashMap::new(), default: material.default };
        for certificate in &material.certificates {
            by_name.add(certificate)?;
        }
        match material.default {
            Some(default) if default >= by_name.keys.len() => Err(MaterialError::BadDefault),
            Some(_) | None => Ok(by_name),
        }
    }

    /// A certificate without a name is of use only where there is a default.
    fn add(&mut self, certificate: &Certificate) -> Result<(), MaterialError> {
        let index = self.keys.len();
        self.keys.push(Arc::new(certified(&certificate.chain, &certificate.key)?));
        let mut names = certificate.names.clone();
        if names.is_empty() {
            names = certificate_facts(&certificate.chain[0])?.names;
        }
        if names.is_empty() && self.default.is_none() {
            return Err(MaterialError::NoNames);
        }
        for name in names {
            let lower = name.to_ascii_lowercase();
            let (table, key) = match lower.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, lower.as_str()),
            };
            if DnsName::try_from(key).is_err() {
                return Err(MaterialError::BadName(name));
            }
            table.entry(key.into()).or_default().push(index);
        }
        Ok(())
    }

    fn of_name(&self, name: &str) -> Option<&[usize]> {
        let exact = self.exact.get(name);
        let found = exact.or_else(|| self.wildcard.get(name.split_once('.')?.1))?;
        Some(found)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives the name in lower case.
        let of_name = hello.server_name().and_then(|name| self.of_name(name));
        let candidates = match of_name {
            Some(indexes) => indexes,
            None => self.default.as_slice(),
        };
        let usable = |index: &&usize| self.keys[**index].key.choose_scheme(hello.signature_schemes()).is_some();
        let chosen = candidates.iter().find(usable).or(candidates.first())?;
        Some(self.keys[*chosen].clone())
    }
}
