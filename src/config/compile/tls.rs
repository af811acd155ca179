// SPDX-License-Identifier: Apache-2.0
//! Loads certificates and keys and makes the TLS configurations of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::config::compile::Compiler;
use crate::config::location::{Located, Location};
use crate::config::plan::{HttpVersions, TlsPlan, UpstreamTlsPlan};
use crate::config::report::Report;
use crate::config::spec::listener::{CertificateSpec, ClientAuthMode, ClientAuthSpec, ListenerTlsSpec, TlsVersion};
use crate::config::spec::shape::Many;
use crate::config::spec::upstream::UpstreamTlsSpec;
use crate::net::tls::{
    Certificate, CertificateNames, ClientAuth, ClientMaterial, MaterialError, Roots, ServerMaterial, Verify, Versions,
    certificates, client_config, private_key, server_config, server_name,
};

impl Compiler<'_> {
    /// TLS of a listener.
    pub(super) fn listener_tls(&mut self, listener: &str, spec: &Located<ListenerTlsSpec>) -> Option<TlsPlan> {
        let tls = &spec.value;
        if tls.certificates.is_empty() {
            self.absent(spec.location, Report::error(spec.location, "`certificates` is empty"));
            return None;
        }
        let mut files = Vec::new();
        let chosen: Vec<Option<Certificate>> =
            tls.certificates.iter().map(|certificate| self.certificate(&certificate.value, &mut files)).collect();
        let client_auth = match &tls.client_auth {
            Some(auth) => self.client_auth(auth, &mut files),
            None => Some(ClientAuth::Off),
        };
        let alpn = self.alpn(tls.alpn.as_ref());
        let (certificates, client_auth) = (chosen.into_iter().collect::<Option<Vec<_>>>()?, client_auth?);
        let watched = self.check_certificates(listener, tls, &certificates);
        let versions = match tls.min_version {
            TlsVersion::V12 => Versions::Both,
            TlsVersion::V13 => Versions::Tls13,
        };
        let names = match certificates.len() {
            1 => Ok(None),
            _ => CertificateNames::new(&certificates, Some(0)).map(|names| Some(Arc::new(names))),
        };
        let tickets = self.environment.tickets.of(purpose(listener, &client_auth));
        let made = tickets.and_then(|tickets| {
            server_config(&ServerMaterial { certificates, default: Some(0), client_auth, alpn, versions, tickets })
        });
        match made.and_then(|config| Ok((config, names?))) {
            Ok((config, names)) => Some(TlsPlan { config: Arc::new(config), names, files, certificates: watched }),
            Err(fault) => {
                self.error(spec.location, fault.to_string());
                None
            }
        }
    }

    /// TLS towards an upstream.
    pub(super) fn upstream_tls(
        &mut self,
        spec: &UpstreamTlsSpec,
        http: HttpVersions,
        location: Location,
    ) -> Option<UpstreamTlsPlan> {
        let mut files = Vec::new();
        let roots = match spec.ca.is_empty() {
            true => Some(Roots::System),
            false => self.authorities(&spec.ca, &mut files).map(Roots::Custom),
        };
        let certificate = match (&spec.client_cert, &spec.client_key) {
            (None, None) => Some(None),
            (Some(cert), Some(key)) => {
                let own = CertificateSpec { cert: cert.clone(), key: key.clone(), names: Many::default() };
                self.certificate(&own, &mut files).map(Some)
            }
            (Some(one), None) | (None, Some(one)) => {
                self.absent(location, Report::error(one.location, "`client_cert` and `client_key` belong together"));
                None
            }
        };
        if !spec.verify {
            self.faults
                .push(Report::warning(location, "the upstream's certificate is not verified: anybody could answer"));
        }
        let verify = if spec.verify { Verify::Full } else { Verify::Off };
        let name = spec.server_name.as_ref().and_then(|name| {
            server_name(&name.value).map_err(|fault| self.error(name.location, fault.to_string())).ok()
        });
        let (roots, certificate) = (roots?, certificate?);
        let offered = match http {
            HttpVersions::Http1 => &PROTOCOLS[1..],
            HttpVersions::Http2 => &PROTOCOLS[..1],
            HttpVersions::Both => &PROTOCOLS[..],
        };
        let alpn = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        match client_config(&ClientMaterial { roots, verify, certificate, alpn, versions: Versions::Both }) {
            Ok(config) => Some(UpstreamTlsPlan { config: Arc::new(config), server_name: name }),
            Err(fault) => {
                self.error(location, fault.to_string());
                None
            }
        }
    }

    fn certificate(&mut self, spec: &CertificateSpec, files: &mut Vec<PathBuf>) -> Option<Certificate> {
        let chain = self.material(&spec.cert, files, certificates);
        let key = self.material(&spec.key, files, private_key);
        let names = spec.names.iter().map(|name| name.value.clone()).collect();
        Some(Certificate { names, chain: chain?, key: key? })
    }

    fn client_auth(&mut self, spec: &ClientAuthSpec, files: &mut Vec<PathBuf>) -> Option<ClientAuth> {
        let roots = self.authorities(&spec.ca, files)?;
        Some(match spec.mode {
            ClientAuthMode::Required => ClientAuth::Required(roots),
            ClientAuthMode::Optional => ClientAuth::Optional(roots),
        })
    }

    fn authorities(
        &mut self,
        paths: &Many<Located<PathBuf>>,
        files: &mut Vec<PathBuf>,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let read: Vec<Option<Vec<CertificateDer<'static>>>> =
            paths.iter().map(|path| self.material(path, files, certificates)).collect();
        Some(read.into_iter().collect::<Option<Vec<_>>>()?.concat())
    }

    /// Reads a file and understands it.
    fn material<T>(
        &mut self,
        path: &Located<PathBuf>,
        files: &mut Vec<PathBuf>,
        understand: fn(&[u8]) -> Result<T, MaterialError>,
    ) -> Option<T> {
        let full = self.beside(path);
        let title = match self.environment.read(&full, PEM_BYTES_MAX) {
            Ok(bytes) => {
                files.push(full.clone());
                self.watched.push(full.clone());
                match understand(&bytes) {
                    Ok(material) => return Some(material),
                    Err(fault) => format!("`{}`: {fault}", full.display()),
                }
            }
            Err(fault) => format!("cannot read `{}`: {fault}", full.display()),
        };
        self.error(path.location, title);
        None
    }

    /// A path relative to the file that names it.
    pub(super) fn beside(&self, path: &Located<PathBuf>) -> PathBuf {
        let file = self.draft.files.get(usize::from(path.location.file)).and_then(|file| file.path.as_deref());
        file.and_then(Path::parent).unwrap_or(Path::new("")).join(&path.value)
    }

    fn alpn(&mut self, spec: Option<&Many<Located<String>>>) -> Vec<Vec<u8>> {
        let Some(spec) = spec else { return PROTOCOLS.map(|protocol| protocol.as_bytes().to_vec()).to_vec() };
        for protocol in spec.iter().filter(|protocol| !PROTOCOLS.contains(&protocol.value.as_str())) {
            let report = Report::error(protocol.location, format!("unknown protocol `{}`", protocol.value));
            self.faults.push(report.suggest(&protocol.value, PROTOCOLS));
        }
        spec.iter().map(|protocol| protocol.value.as_bytes().to_vec()).collect()
    }
}

/// The purpose of a session: the same listener with the same client certificate rules.
fn purpose(listener: &str, auth: &ClientAuth) -> u64 {
    let mut hasher = DefaultHasher::new();
    listener.hash(&mut hasher);
    let (mode, roots): (u8, &[CertificateDer<'_>]) = match auth {
        ClientAuth::Off => (0, &[]),
        ClientAuth::Optional(roots) => (1, roots),
        ClientAuth::Required(roots) => (2, roots),
    };
    mode.hash(&mut hasher);
    roots.iter().for_each(|root| root.as_ref().hash(&mut hasher));
    hasher.finish()
}

/// What ALPN offers, best first (RFC 7301, RFC 9113 section 3.2).
const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];
/// A bundle of all public authorities has about 250 KiB.
const PEM_BYTES_MAX: usize = 4 * 1024 * 1024;
