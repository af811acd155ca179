// SPDX-License-Identifier: Apache-2.0
//! What a client's certificate says, read once per connection, and the texts that stand for it in fields and look-ups.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The parts of a distinguished name in their order: `CN` and the like, or the dotted number of an attribute without a
/// short name; and the value.
pub(crate) type NameParts = Box<[(Box<str>, Box<str>)]>;

/// A client's certificate that TLS has verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject.
    pub subject: NameParts,
    /// The same as one text (RFC 4514): the last part first, `CN=client,O=Acme,C=DE`.
    pub subject_text: Box<str>,
    /// The issuer, likewise.
    pub issuer_text: Box<str>,
    /// The serial number in hexadecimal.
    pub serial: Box<str>,
    /// Names of the subject alternative name extension.
    pub names: Box<[SubjectName]>,
    /// The whole certificate.
    pub der: Box<[u8]>,
    /// SHA-256 of it, in hexadecimal.
    pub fingerprint: Box<str>,
}

/// A name of the subject alternative name extension (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectName {
    /// Of which kind.
    pub kind: NameKind,
    /// Itself; a host name in lower case.
    pub text: Box<str>,
}

/// A kind of name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A host name, which may be `*.example.com`.
    Dns,
    /// A URI, such as a SPIFFE id.
    Uri,
    /// A mail address.
    Email,
}

impl NameKind {
    /// What stands in front of such a name where names of all kinds are looked up.
    pub const fn prefix(self) -> &'static str {
        match self {
            NameKind::Dns => "dns:",
            NameKind::Uri => "uri:",
            NameKind::Email => "email:",
        }
    }
}

impl ClientCertificate {
    /// Appends the value of `Client-Cert` (RFC 9440 section 2.1): the certificate as a byte sequence of structured
    /// fields.
    pub fn append_field(&self, out: &mut Vec<u8>) {
        out.push(b':');
        let start = out.len();
        out.resize(start + self.der.len().div_ceil(3) * 4, 0);
        // The room is exact, so that this cannot fail.
        let written = STANDARD.encode_slice(&self.der, &mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
        out.push(b':');
    }

    /// The value of a part of the subject, where it has exactly one of that name.
    pub fn part(&self, name: &str) -> Option<&str> {
        let mut found = self.subject.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let (_, value) = found.next()?;
        if found.next().is_some() { None } else { Some(value) }
    }
}

/// A distinguished name as one text (RFC 4514): the last part first, with everything escaped that has a meaning there.
pub(crate) fn distinguished_name(parts: &[(Box<str>, Box<str>)]) -> String {
    let mut out = String::new();
    for (name, value) in parts.iter().rev() {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push('=');
        let last = value.chars().count().saturating_sub(1);
        for (at, letter) in value.chars().enumerate() {
            let outer = (letter == ' ' && (at == 0 || at == last)) || (letter == '#' && at == 0);
            if letter.is_control() {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
                    out.extend(['\\', digit(byte >> 4), digit(byte & 15)]);
                }
            } else {
                if outer || ",+\"\\<>;=".contains(letter) {
                    out.push('\\');
                }
                out.push(letter);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(list: &[(&str, &str)]) -> Box<[(Box<str>, Box<str>)]> {
        list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_name_cannot_look_like_several() {
        const CASES: &[(&[(&str, &str)], &str)] = &[
            (&[("C", "DE"), ("O", "Acme"), ("CN", "client")], "CN=client,O=Acme,C=DE"),
            (&[("CN", "client,O=Acme")], "CN=client\\,O\\=Acme"),
            (&[("CN", " #a ")], "CN=\\ #a\\ "),
            (&[("CN", "#a+b\"c\\<>;")], "CN=\\#a\\+b\\\"c\\\\\\<\\>\\;"),
            (&[("CN", "a\nb\u{85}")], "CN=a\\0Ab\\C2\\85"),
            (&[("CN", "ä")], "CN=ä"),
            (&[], ""),
        ];
        for (list, text) in CASES {
            assert_eq!(distinguished_name(&parts(list)), *text);
        }
    }

    #[test]
    fn a_part_that_comes_twice_is_none() {
        let subject = parts(&[("O", "Acme"), ("CN", "a"), ("cn", "b")]);
        let certificate = ClientCertificate { subject, ..ClientCertificate::default() };
        assert_eq!((certificate.part("o"), certificate.part("CN"), certificate.part("C")), (Some("Acme"), None, None));
    }

    #[test]
    fn fields_hold_the_certificate() {
        for len in 0..8 {
            let der: Box<[u8]> = (0..len).collect();
            let certificate = ClientCertificate { der: der.clone(), ..ClientCertificate::default() };
            let mut out = b"x".to_vec();
            certificate.append_field(&mut out);
            assert_eq!(out, format!("x:{}:", STANDARD.encode(&der)).as_bytes());
        }
    }
}
