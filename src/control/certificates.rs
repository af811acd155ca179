// SPDX-License-Identifier: Apache-2.0
//! Watches how long the certificates of the plan in use are valid.

use crate::base::{Wall, date};
use crate::config::plan::{CertificatePlan, Plan, Validity};
use crate::control::metrics::ListenerCertificate;
use crate::control::plane::Plane;
use crate::net::machine;

/// The certificates of a plan's listeners, under names that may be shown.
pub(super) fn of_plan(plan: &Plan) -> Vec<ListenerCertificate> {
    let shown = |text: &str| plan.hidden.conceal(text);
    let tls = plan.listeners.iter().filter_map(|listener| Some((listener, listener.tls.as_ref()?)));
    let all = tls.flat_map(|(listener, tls)| tls.certificates.iter().map(move |certificate| (listener, certificate)));
    let shown = all.map(|(listener, certificate)| ListenerCertificate {
        listener: shown(&listener.name),
        certificate: CertificatePlan { file: shown(&certificate.file), ..certificate.clone() },
    });
    shown.collect()
}

/// What somebody should know of a certificate.
fn warning(certificate: &CertificatePlan, now: Wall) -> Option<&'static str> {
    match Validity::at(now, certificate.not_after) {
        Validity::Good => None,
        Validity::EndsSoon => Some("a certificate expires soon; a new one in its file is read without a restart"),
        Validity::Ended => Some("a certificate has expired; a new one in its file is read without a restart"),
    }
}

impl Plane {
    /// Writes a warning for each certificate of the plan in use that has expired or will soon.
    pub(super) fn warn_of_certificates(&self) {
        let now = machine::wall();
        let Some(current) = &self.current else { return };
        for ListenerCertificate { listener, certificate } in of_plan(&current.plan) {
            if let Some(words) = warning(&certificate, now) {
                let day = date::rfc3339(certificate.not_after);
                let not_after = String::from_utf8_lossy(&day[..10]);
                tracing::warn!(%listener, file = %certificate.file, %not_after, "{words}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_announced_two_weeks_before() {
        const DAY: u64 = 24 * 60 * 60 * 1_000_000;
        let certificate = CertificatePlan { file: "a.pem".to_owned(), not_after: Wall(100 * DAY) };
        let said = |day: u64| warning(&certificate, Wall(day * DAY + 2_000_000)).map(|words| &words[..18]);
        assert_eq!(said(85), None);
        assert_eq!((said(86), said(99)), (Some("a certificate expi"), Some("a certificate expi")));
        assert_eq!(said(100), Some("a certificate has "));
    }
}
