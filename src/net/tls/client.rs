// SPDX-License-Identifier: Apache-2.0
//! TLS towards upstreams: makes a client configuration from parsed material.
//!
//! A configuration keeps the sessions for resumption in a table behind a lock, so each shard should have its own table.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::material::{Certificate, MaterialError, certificate_facts};
use super::server::{Versions, certified, provider, refused, root_store};

/// The parts of a client configuration.
#[derive(Debug)]
pub(crate) struct ClientMaterial {
    /// The trusted certificate authorities.
    pub roots: Roots,
    /// Whether to check the server's certificate.
    pub verify: Verify,
    /// The certificate to show where the server asks for one; its names are not used.
    pub certificate: Option<Certificate>,
    /// Application protocols, the preferred one first.
    pub alpn: Vec<Vec<u8>>,
    /// Versions of the protocol.
    pub versions: Versions,
}

/// Certificate authorities to trust.
#[derive(Clone, Debug)]
pub(crate) enum Roots {
    /// Those of the machine, read once.
    System,
    /// These only.
    Custom(Vec<CertificateDer<'static>>),
}

/// Whether a server has to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Yes: chain, validity and name.
    Full,
    /// No. It still has to own the key of the certificate that it shows.
    Off,
}

/// The configuration that `material` describes.
pub(crate) fn client_config(material: &ClientMaterial) -> Result<ClientConfig, MaterialError> {
    let verifier: Arc<dyn ServerCertVerifier> = match material.verify {
        Verify::Full => {
            let builder = WebPkiServerVerifier::builder_with_provider(roots(&material.roots)?, provider());
            let chains = builder.build().map_err(|error| MaterialError::Refused(error.to_string()))?;
            match &material.roots {
                Roots::System => chains,
                Roots::Custom(certificates) => Arc::new(Chosen { chains, certificates: certificates.clone() }),
            }
        }
        Verify::Off => Arc::new(Anybody),
    };
    // rustls accepts a verifier that was made outside of its builder only through `dangerous`. The verifier itself is
    // chosen above.
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(material.versions.list())
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &material.certificate {
        None => builder.with_no_client_auth(),
        Some(own) => {
            // Checked here, because rustls itself does not say that key and certificate differ.
            certified(&own.chain, &own.key)?;
            builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key()).map_err(refused)?
        }
    };
    config.alpn_protocols.clone_from(&material.alpn);
    Ok(config)
}

/// A host name or address as the name of a server.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, MaterialError> {
    ServerName::try_from(host.to_owned()).map_err(|_| MaterialError::BadName(host.to_owned()))
}

fn roots(wanted: &Roots) -> Result<Arc<RootCertStore>, MaterialError> {
    match wanted {
        Roots::System => system_roots(),
        Roots::Custom(certificates) => root_store(certificates).map(Arc::new),
    }
}

/// The machine's authorities. Those that cannot be parsed are left out, as every TLS client does.
fn system_roots() -> Result<Arc<RootCertStore>, MaterialError> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let store = SYSTEM.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    });
    if store.is_empty() { Err(MaterialError::NoRoots) } else { Ok(store.clone()) }
}

/// Takes what an authority among the chosen certificates signed, and each of these certificates itself: somebody who
/// names a server's own certificate trusts exactly that, although it is no authority.
#[derive(Debug)]
struct Chosen {
    chains: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Chosen {
    /// Is it valid for that name at this time? Whoever made it is not asked.
    fn holds(certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), rustls::Error> {
        let refused = |reason: CertificateError| rustls::Error::InvalidCertificate(reason);
        let facts = certificate_facts(certificate).map_err(|_| refused(CertificateError::BadEncoding))?;
        if now.as_secs() > facts.not_after.seconds() {
            return Err(refused(CertificateError::Expired));
        }
        if now.as_secs() < facts.not_before.seconds() {
            return Err(refused(CertificateError::NotValidYet));
        }
        // Old tools leave out the list of names.
        let common_name = format!("CN={}", name.to_str());
        if facts.names.is_empty() && facts.subject.split(", ").any(|part| part.eq_ignore_ascii_case(&common_name)) {
            return Ok(());
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
    }
}

impl ServerCertVerifier for Chosen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.iter().any(|chosen| chosen == certificate) {
            return Chosen::holds(certificate, name, now).map(|()| ServerCertVerified::assertion());
        }
        self.chains.verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
/// The same configuration with its own table of sessions. rustls keeps the table behind a lock, which shards must not
/// share.
pub(crate) fn with_own_sessions(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut own = config.clone();
    own.resumption = Resumption::in_memory_sessions(SESSIONS);
    Arc::new(own)
}

/// Servers whose sessions one shard remembers for one upstream.
const SESSIONS: usize = 64;
