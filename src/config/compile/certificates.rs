// SPDX-License-Identifier: Apache-2.0
//! Warns of certificates that clients will not accept: out of their time, without a name, or for other hosts than the
//! listener's routes have.

use crate::base::date;
use crate::config::compile::Compiler;
use crate::config::compile::route::is_of;
use crate::config::location::{Located, Location};
use crate::config::plan::{CertificatePlan, Validity};
use crate::config::report::Report;
use crate::config::spec::listener::ListenerTlsSpec;
use crate::net::tls::{Certificate, CertificateFacts, certificate_facts};

impl Compiler<'_> {
    /// Warns of a listener's certificates, which stand in the order of the file.
    pub(super) fn check_certificates(
        &mut self,
        listener: &str,
        spec: &ListenerTlsSpec,
        certificates: &[Certificate],
    ) -> Vec<CertificatePlan> {
        let mut plans = Vec::new();
        let mut names = Vec::new();
        for (spec, certificate) in spec.certificates.iter().zip(certificates) {
            let first = certificate.chain.first();
            let Some(facts) = first.and_then(|first| certificate_facts(first).ok()) else { continue };
            let path = &spec.value.cert;
            self.check_validity(path.location, &facts);
            if facts.names.is_empty() && !facts.has_addresses {
                let title = "the certificate holds no host name, so clients do not accept it";
                let report = Report::warning(path.location, title).label("no subject alternative name");
                self.faults.push(report.help("clients ignore its common name (RFC 9525 section 2)"));
            }
            let file = path.value.display().to_string();
            plans.push(CertificatePlan { file, not_after: facts.not_after });
            names.extend(facts.names);
        }
        if !names.is_empty() {
            self.check_hosts(listener, &names);
        }
        plans
    }

    fn check_validity(&mut self, location: Location, facts: &CertificateFacts) {
        let now = self.environment.now;
        let day = |wall| String::from_utf8_lossy(&date::rfc3339(wall)[..10]).into_owned();
        let title = match Validity::at(now, facts.not_after) {
            Validity::Ended => format!("the certificate expired on {}", day(facts.not_after)),
            _ if facts.not_before > now => format!("the certificate is not valid before {}", day(facts.not_before)),
            Validity::EndsSoon => format!("the certificate expires on {}", day(facts.not_after)),
            Validity::Good => return,
        };
        self.faults.push(Report::warning(location, title));
    }

    /// Warns of each host of the listener's routes that none of its certificates is for.
    fn check_hosts(&mut self, listener: &str, names: &[String]) {
        let draft = self.draft;
        let routes = draft.spec.route.iter().filter(|route| is_of(&route.value.listeners.0, listener));
        let hosts: Vec<&Located<String>> = routes.flat_map(|route| route.value.hosts.iter()).collect();
        for host in hosts {
            let lower = host.value.to_ascii_lowercase();
            let plain = lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'*'));
            // Clients send no SNI for an IP address.
            if !plain || lower.parse::<std::net::IpAddr>().is_ok() || covers(names, &lower) {
                continue;
            }
            let title = format!("no certificate of listener `{listener}` is for the host `{}`", host.value);
            let report = Report::warning(host.location, title);
            self.faults.push(report.label("clients that use TLS do not accept another certificate"));
        }
    }
}

/// Is one of the names for this host? A wildcard stands for exactly one label.
fn covers(names: &[String], host: &str) -> bool {
    let wild = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    names.iter().any(|name| name == host || Some(name) == wild.as_ref())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use crate::config::source::FileAccess;
    use crate::config::{ConfigSource, Environment, load};

    /// The titles of warnings about a listener with this certificate and a route for these hosts.
    fn warned(names: &[&str], (year, month, day): (i32, u8, u8), hosts: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a.example");
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("a.pem"), certificate.pem()).unwrap();
        std::fs::write(directory.path().join("a.key"), key.serialize_pem()).unwrap();
        let text = format!(
            "[[listener]]\nname = 'web'\nbind = '127.0.0.1:1'\n\
             tls = {{ certificates = {{ cert = 'a.pem', key = 'a.key' }} }}\n\
             [[route]]\nhosts = [{hosts}]\necho = true\n"
        );
        let file = directory.path().join("c.toml");
        std::fs::write(&file, text).unwrap();
        let environment = Environment { files: FileAccess::Allowed, ..Environment::sealed() };
        let loaded = load(&ConfigSource::File(file), &environment).unwrap();
        assert_eq!(loaded.plan.listeners[0].tls.as_ref().unwrap().certificates[0].file, "a.pem");
        loaded.warnings.list.into_iter().map(|report| report.title).collect()
    }

    #[test]
    fn certificates_that_clients_refuse_are_said() {
        let none: [&str; 0] = [];
        assert_eq!(warned(&["a.example"], (2026, 1, 1), "'a.example'"), none);
        assert_eq!(warned(&["a.example"], (2025, 6, 1), ""), ["the certificate expired on 2025-06-01"]);
        assert_eq!(warned(&["a.example"], (2025, 6, 20), ""), ["the certificate expires on 2025-06-20"]);
        let unnamed = "the certificate holds no host name, so clients do not accept it";
        assert_eq!(warned(&[], (2026, 1, 1), "'a.example'"), [unnamed]);
        assert_eq!(warned(&["127.0.0.1"], (2026, 1, 1), "'a.example'"), none);
        let hosts = "'x.a.example', '*.a.example', 'b.example', '127.0.0.1'";
        let other = "no certificate of listener `web` is for the host `b.example`";
        assert_eq!(warned(&["*.a.example"], (2026, 1, 1), hosts), [other]);
    }
}
