// SPDX-License-Identifier: Apache-2.0
//! `[redis]`.

use std::sync::Arc;
use std::time::Duration;

use crate::config::compile::Compiler;
use crate::config::location::Located;
use crate::config::plan::RedisPlan;
use crate::config::report::Report;
use crate::wire::url::Url;

impl Compiler<'_> {
    /// The server in which gateways count together, where there is one.
    pub(super) fn redis(&mut self) -> Option<Arc<RedisPlan>> {
        let written = self.draft.spec.redis.clone()?;
        let (location, spec) = (written.location, written.value);
        let Some(text) = &spec.url else {
            let report = Report::error(location, "`url` is missing: where the server is");
            self.absent(location, report.help("such as `url = \"redis://10.0.0.7:6379/0\"`"));
            return None;
        };
        let timeout = spec.timeout.value.0;
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            self.error(spec.timeout.location, "this is more than nothing and at most 10s");
        }
        let prefix = &spec.prefix;
        if prefix.value.is_empty() || prefix.value.len() > PREFIX_MAX || !prefix.value.bytes().all(is_plain) {
            let title = format!("a prefix has 1 to {PREFIX_MAX} letters, digits, `-`, `_`, `.` and `:`");
            self.error(prefix.location, title);
        }
        let (url, database) = match url(&text.value) {
            Ok(found) => found,
            Err(reason) => {
                let report = Report::error(text.location, format!("this is no URL of a Redis: {reason}"));
                self.faults.push(report.help("such as \"redis://10.0.0.7:6379/0\" or \"rediss://redis.internal\""));
                return None;
            }
        };
        let tls = if url.secure { self.source_tls(&spec.ca, location) } else { None };
        if let Some(ca) = spec.ca.0.first().filter(|_| !url.secure) {
            self.error(ca.location, "`ca` is for TLS: the URL begins with `rediss://` then");
        }
        let is_near = url.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if let Some(Located { location, .. }) = spec.password.as_ref().filter(|_| !url.secure && !is_near) {
            let report = Report::warning(*location, "the password is sent without TLS");
            self.faults.push(report.help("`rediss://` in the URL"));
        }
        Some(Arc::new(RedisPlan {
            url,
            database,
            username: spec.username.as_deref().map(Box::from),
            password: spec.password.map(|password| password.value),
            tls,
            prefix: prefix.value.as_str().into(),
            timeout,
        }))
    }
}

/// A URL and the number of a database.
fn url(text: &str) -> Result<(Url, u32), &'static str> {
    let (scheme, rest) = match (text.strip_prefix("rediss://"), text.strip_prefix("redis://")) {
        (Some(rest), _) => ("https", rest),
        (None, Some(rest)) => ("http", rest),
        (None, None) => return Err("it does not begin with `redis://` or `rediss://`"),
    };
    let mut url = Url::parse(&format!("{scheme}://{rest}"))?;
    let bare = url.authority.rsplit_once(':').is_none_or(|(_, port)| port.contains(']'));
    if bare {
        url.port = PORT;
    }
    let number = &url.target[1..];
    let digits = number.len() <= 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    match number {
        "" => Ok((url, 0)),
        _ if digits => Ok((url.clone(), url.target[1..].parse().unwrap_or(0))),
        _ => Err("behind the host stands the number of a database, such as `/0`"),
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)
}

/// Where a Redis listens.
const PORT: u16 = 6379;
const PREFIX_MAX: usize = 64;
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_port_database_and_nothing_else() {
        /// Host, port, database, and whether it is TLS.
        type Place = (&'static str, u16, u32, bool);
        const CASES: &[(&str, Option<Place>)] = &[
            ("redis://a.test", Some(("a.test", 6379, 0, false))),
            ("redis://a.test:7000/12", Some(("a.test", 7000, 12, false))),
            ("rediss://a.test/3", Some(("a.test", 6379, 3, true))),
            ("rediss://[::1]/3", Some(("::1", 6379, 3, true))),
            ("redis://[::1]:6380", Some(("::1", 6380, 0, false))),
            ("redis://user:secret@a.test", None),
            ("redis://a.test/x", None),
            ("redis://a.test/0/1", None),
            ("redis://a.test/99999", None),
            ("http://a.test", None),
            ("redis:a.test", None),
            ("redis://", None),
        ];
        for (text, expected) in CASES {
            let found = url(text).ok();
            let found = found.as_ref().map(|(url, database)| (&*url.host, url.port, *database, url.secure));
            assert_eq!(found, *expected, "{text}");
        }
    }
}
