// SPDX-License-Identifier: Apache-2.0
//! TLS of a listener as shards run it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Wall;
use crate::net::tls::CertificateNames;

/// TLS of a listener: the configuration is shared by all shards and replaced when a file changes.
#[derive(Clone)]
pub struct TlsPlan {
    /// What handshakes use.
    pub config: Arc<rustls::ServerConfig>,
    /// Which certificate is for which host, where there are several.
    pub names: Option<Arc<CertificateNames>>,
    /// The files it was made from; a change of one makes a new plan.
    pub files: Vec<PathBuf>,
    /// What the control plane watches of its certificates.
    pub certificates: Vec<CertificatePlan>,
}

/// A certificate that is valid for less than this is warned of. Programs that renew certificates do so earlier.
pub(crate) const CERTIFICATE_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A certificate of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePlan {
    /// Its file as the configuration names it.
    pub file: String,
    /// The last moment at which it is valid.
    pub not_after: Wall,
}

/// How much longer a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// Long enough.
    Good,
    /// Less than `CERTIFICATE_SOON`.
    EndsSoon,
    /// Not any more.
    Ended,
}

impl Validity {
    /// Of a certificate that is valid until `not_after`.
    pub(crate) fn at(now: Wall, not_after: Wall) -> Validity {
        match not_after.seconds().checked_sub(now.seconds()) {
            _ if not_after < now => Validity::Ended,
            Some(left) if left >= CERTIFICATE_SOON.as_secs() => Validity::Good,
            Some(_) | None => Validity::EndsSoon,
        }
    }
}

impl TlsPlan {
    /// May a connection whose client asked for `server_name` carry requests for `host`? Both are in lower case.
    pub fn covers(&self, server_name: Option<&str>, host: &[u8]) -> bool {
        let Some(names) = &self.names else { return true };
        server_name.is_some_and(|name| name.as_bytes() == host) || names.cover(server_name, host)
    }
}

impl std::fmt::Debug for TlsPlan {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TlsPlan").field("files", &self.files).finish_non_exhaustive()
    }
}
