// SPDX-License-Identifier: Apache-2.0
//! Parses certificates and private keys. Errors say what is wrong with them.

use std::fmt;

use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::base::Wall;

/// Why a certificate, a key, or a configuration made of them is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaterialError {
    /// There is no certificate in it.
    NoCertificate,
    /// There is no private key in it.
    NoKey,
    /// The private key is protected by a pass phrase.
    EncryptedKey,
    /// It is neither PEM nor DER.
    NotPem(&'static str),
    /// A certificate cannot be read.
    BadCertificate(String),
    /// The key is of a kind that TLS here cannot use, or broken.
    BadKey(String),
    /// The key does not belong to the first certificate.
    KeyMismatch,
    /// The certificate names no host, and no names were given.
    NoNames,
    /// A name is no host name.
    BadName(String),
    /// There is no certificate authority to trust.
    NoRoots,
    /// A certificate authority cannot be used.
    BadRoot(String),
    /// The default is not one of the certificates.
    BadDefault,
    /// Anything else that rustls refuses.
    Refused(String),
}

impl fmt::Display for MaterialError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaterialError::NoCertificate => out.write_str("no certificate in file"),
            MaterialError::NoKey => out.write_str("no private key in file"),
            MaterialError::EncryptedKey => out.write_str("the private key is encrypted; decrypt it first"),
            MaterialError::NotPem(why) => write!(out, "not valid PEM: {why}"),
            MaterialError::BadCertificate(why) => write!(out, "the certificate cannot be read: {why}"),
            MaterialError::BadKey(why) => write!(out, "the private key cannot be used: {why}"),
            MaterialError::KeyMismatch => out.write_str("the private key does not match the first certificate"),
            MaterialError::NoNames => out.write_str("the certificate names no host and no names are given"),
            MaterialError::BadName(name) => write!(out, "`{name}` is not a host name"),
            MaterialError::NoRoots => out.write_str("no certificate authority to trust"),
            MaterialError::BadRoot(why) => write!(out, "a certificate authority cannot be used: {why}"),
            MaterialError::BadDefault => out.write_str("the default certificate is not one of the certificates"),
            MaterialError::Refused(why) => write!(out, "TLS cannot be set up: {why}"),
        }
    }
}

impl std::error::Error for MaterialError {}

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

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFacts {
    /// The subject, as `C=..., O=..., CN=...`.
    pub subject: String,
    /// The issuer, likewise.
    pub issuer: String,
    /// DNS names of the subject alternative name, in lower case; a wildcard as `*.example.com`.
    pub names: Vec<String>,
    /// Does it name IP addresses?
    pub has_addresses: bool,
    /// First moment at which it is valid.
    pub not_before: Wall,
    /// Last moment at which it is valid.
    pub not_after: Wall,
}

/// The certificates in a PEM file (all of them, in order) or a DER file (one).
pub(crate) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    if !is_pem(bytes) {
        let certificate = CertificateDer::from(bytes.to_vec());
        return match certificate_facts(&certificate) {
            Ok(_) => Ok(vec![certificate]),
            Err(_) => Err(MaterialError::NoCertificate),
        };
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| MaterialError::NotPem(pem_words(&error)))?;
    for certificate in &found {
        certificate_facts(certificate)?;
    }
    if found.is_empty() { Err(MaterialError::NoCertificate) } else { Ok(found) }
}

/// The first private key in a PEM file, or the one in a DER file: PKCS#8, PKCS#1 (RSA) or SEC1 (EC).
pub(crate) fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, MaterialError> {
    if !is_pem(bytes) {
        return PrivateKeyDer::try_from(bytes.to_vec()).map_err(|_| MaterialError::NoKey);
    }
    if contains(bytes, b"ENCRYPTED") {
        return Err(MaterialError::EncryptedKey);
    }
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|error| MaterialError::NotPem(pem_words(&error)))?;
        if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
            return Ok(key);
        }
    }
    Err(MaterialError::NoKey)
}

/// Reads a certificate.
pub(crate) fn certificate_facts(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, MaterialError> {
    let bad = |error: &dyn fmt::Display| MaterialError::BadCertificate(error.to_string());
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| bad(&error))?;
    let alternatives = parsed.subject_alternative_name().map_err(|error| bad(&error))?;
    let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    let has_addresses = names.clone().any(|name| matches!(name, GeneralName::IPAddress(_)));
    Ok(CertificateFacts {
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        names: names.filter_map(dns_name).collect(),
        has_addresses,
        not_before: wall_of(parsed.validity().not_before.timestamp()),
        not_after: wall_of(parsed.validity().not_after.timestamp()),
    })
}

/// What is wrong with a PEM file. The error's own words quote it, and it may be a private key.
fn pem_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        _ => "a section is missing or cannot be read",
    }
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    }
}

fn wall_of(seconds: i64) -> Wall {
    Wall(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000))
}

fn is_pem(bytes: &[u8]) -> bool {
    contains(bytes, b"-----BEGIN ")
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(bytes, word).is_some()
}
