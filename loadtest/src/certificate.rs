// SPDX-License-Identifier: Apache-2.0
//! The certificate of a run: ECDSA on P-256, made afresh, used by every proxy under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::failure::{Context, Failure};

/// The name in the certificate, and the name the client asks for.
pub const HOST: &str = "loadtest.example";

/// Files of one certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate in PEM.
    pub certificate: PathBuf,
    /// Its key in PEM.
    pub key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub combined: PathBuf,
}

impl Certificate {
    /// Makes a certificate and writes it to `directory`.
    pub fn make(directory: &Path) -> Result<Certificate, Failure> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("making a key")?;
        let parameters = CertificateParams::new(vec![HOST.to_owned()]).context("naming the certificate")?;
        let signed = parameters.self_signed(&key).context("signing the certificate")?;
        let files = Certificate {
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
            combined: directory.join("combined.pem"),
        };
        let (certificate, key) = (signed.pem(), key.serialize_pem());
        fs::write(&files.certificate, &certificate).context("writing the certificate")?;
        fs::write(&files.key, &key).context("writing the key")?;
        fs::write(&files.combined, certificate + &key).context("writing the certificate with its key")?;
        Ok(files)
    }

    /// A TLS 1.3 client that trusts only this certificate and never resumes a session: each handshake is a full one.
    pub fn client(&self) -> Result<Arc<ClientConfig>, Failure> {
        let pem = fs::read(&self.certificate).context("reading the certificate")?;
        client_trusting(&pem)
    }
}

/// A TLS 1.3 client that trusts the certificates in `pem` and never resumes a session.
pub fn client_trusting(pem: &[u8]) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.context("reading a certificate")?).context("trusting a certificate")?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).context("choosing TLS 1.3")?;
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(client))
}
