// SPDX-License-Identifier: Apache-2.0
//! Which certificates belong to which host name: the ones to show to a client that asks for it, and whether a
//! connection that one of them opened may carry requests for another host.

use ahash::AHashMap;
use rustls::pki_types::DnsName;

use super::material::{Certificate, MaterialError, certificate_facts};

/// The names of a listener's certificates, which are known by their number.
#[derive(Debug)]
pub struct CertificateNames {
    /// Which to show for a name.
    shown: Table,
    /// Which are valid for a name: those to show, and those that hold the name as a subject alternative name.
    valid: Table,
    default: Option<usize>,
}

/// Certificates by name.
#[derive(Debug, Default)]
struct Table {
    exact: AHashMap<Box<str>, Vec<usize>>,
    /// By what follows `*.`; a wildcard stands for exactly one label (RFC 6125 section 6.4.3).
    wildcard: AHashMap<Box<str>, Vec<usize>>,
}

impl CertificateNames {
    /// The names of these certificates. One without a name is of use only as the default.
    pub fn new(certificates: &[Certificate], default: Option<usize>) -> Result<CertificateNames, MaterialError> {
        let mut names = CertificateNames { shown: Table::default(), valid: Table::default(), default };
        for (certificate, index) in certificates.iter().zip(0..) {
            let first = certificate.chain.first().ok_or(MaterialError::NoCertificate)?;
            let own = certificate_facts(first)?.names;
            let given = if certificate.names.is_empty() { &own } else { &certificate.names };
            if given.is_empty() && default.is_none() {
                return Err(MaterialError::NoNames);
            }
            for name in given {
                names.shown.add(name, index)?;
                names.valid.add(name, index)?;
            }
            if !certificate.names.is_empty() {
                // A certificate may hold names that are no host's; nobody asks for them.
                own.iter().for_each(|name| drop(names.valid.add(name, index)));
            }
        }
        Ok(names)
    }

    /// The certificates to show for a name in lower case: of an exact name, else of a wildcard, else the default.
    pub(super) fn shown(&self, name: Option<&str>) -> &[usize] {
        // A name may be written with the dot of the root (RFC 1034 section 3.1), though RFC 6066 section 3 forbids it.
        let of_name = name.and_then(|name| self.shown.find(name.strip_suffix('.').unwrap_or(name)));
        of_name.unwrap_or(self.default.as_slice())
    }

    /// May a connection whose client asked for `server_name` carry requests for `host`? Yes where both have the same
    /// certificate, and where the one that was shown is valid for `host` as well: HTTP/2 clients reuse connections so
    /// (RFC 9113 section 9.1.1). Both are in lower case.
    pub fn cover(&self, server_name: Option<&str>, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(host) else { return false };
        let host = host.strip_suffix('.').unwrap_or(host);
        let wanted = self.shown(Some(host));
        self.shown(server_name).iter().any(|index| wanted.contains(index) || self.valid.holds(host, *index))
    }
}

impl Table {
    fn add(&mut self, name: &str, index: usize) -> Result<(), MaterialError> {
        let lower = name.to_ascii_lowercase();
        let (table, key) = match lower.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, lower.as_str()),
        };
        if DnsName::try_from(key).is_err() {
            return Err(MaterialError::BadName(name.to_owned()));
        }
        table.entry(key.into()).or_default().push(index);
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&[usize]> {
        let exact = self.exact.get(name);
        let found = exact.or_else(|| self.wildcard.get(name.split_once('.')?.1))?;
        Some(found)
    }

    fn holds(&self, name: &str, index: usize) -> bool {
        let of_wildcard = name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(name).into_iter().chain(of_wildcard).any(|indexes| indexes.contains(&index))
    }
}
