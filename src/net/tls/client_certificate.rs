// SPDX-License-Identifier: Apache-2.0
//! Reads the certificate that a client has shown, once per connection.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::X509Name;

use crate::wire::certificate::{ClientCertificate, NameKind, NameParts, SubjectName, distinguished_name};

/// Longest list of alternative names that is looked at; those behind it are nobody's.
const NAMES_MAX: usize = 256;

/// What a verified certificate says; `None` where it cannot be read.
pub(super) fn client_certificate(der: &CertificateDer<'_>) -> Option<Box<ClientCertificate>> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let subject = parts(parsed.subject())?;
    let alternatives = parsed.subject_alternative_name().ok()?;
    let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    Some(Box::new(ClientCertificate {
        subject_text: distinguished_name(&subject).into(),
        subject,
        issuer_text: distinguished_name(&parts(parsed.issuer())?).into(),
        serial: hexadecimal(parsed.raw_serial()),
        names: names.take(NAMES_MAX).filter_map(name).collect(),
        der: der.as_ref().into(),
        fingerprint: hexadecimal(&Sha256::digest(der)),
    }))
}

fn hexadecimal(bytes: &[u8]) -> Box<str> {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// The parts of a distinguished name. A value that is no text makes it unreadable: nobody could say what it equals.
fn parts(name: &X509Name<'_>) -> Option<NameParts> {
    let part = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let oid = attribute.attr_type();
        let name = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
        let value = attribute.as_str().map(str::to_owned).ok()?;
        Some((name.into(), value.into()))
    };
    name.iter_attributes().map(part).collect()
}

fn name(name: &GeneralName<'_>) -> Option<SubjectName> {
    let (kind, text) = match name {
        GeneralName::DNSName(name) => (NameKind::Dns, name.to_ascii_lowercase()),
        GeneralName::URI(uri) => (NameKind::Uri, (*uri).to_owned()),
        GeneralName::RFC822Name(address) => (NameKind::Email, (*address).to_owned()),
        _ => return None,
    };
    Some(SubjectName { kind, text: text.into() })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn subject_names_and_fingerprint_are_read() {
        let mut params = CertificateParams::new(vec!["A.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc");
        params.distinguished_name.push(DnType::CommonName, "client");
        params.subject_alt_names.push(SanType::URI("spiffe://acme/a".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("a@acme.example".try_into().unwrap()));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = client_certificate(made.der()).unwrap();
        assert!(read.subject_text.contains("O=Acme\\, Inc"), "{}", read.subject_text);
        assert_eq!((read.part("CN"), read.part("O")), (Some("client"), Some("Acme, Inc")));
        let names: Vec<(NameKind, &str)> = read.names.iter().map(|name| (name.kind, &*name.text)).collect();
        let expected =
            [(NameKind::Dns, "a.example"), (NameKind::Uri, "spiffe://acme/a"), (NameKind::Email, "a@acme.example")];
        assert_eq!(names, expected);
        assert_eq!(read.fingerprint, hexadecimal(&Sha256::digest(made.der())));
        assert!(client_certificate(&CertificateDer::from(vec![0x30, 0x03, 1, 1, 0])).is_none());
    }
}
