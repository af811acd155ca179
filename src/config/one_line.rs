// SPDX-License-Identifier: Apache-2.0
//! A configuration from the command line: `turnpike run --to URL --listen ADDRESS`.
//!
//! It becomes a TOML text, so errors are shown in it with a caret, and a reload reads it again.

use std::fmt::Write;
use std::path::PathBuf;

use crate::config::source::ConfigSource;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OneLine {
    /// Where requests go: `http://HOST:PORT`, `https://HOST:PORT`, or several of one kind, which are balanced.
    pub to: Vec<String>,
    /// Where to listen: `ADDRESS`, `http://ADDRESS` or `https://ADDRESS`. None is `127.0.0.1:8080`.
    pub listen: Vec<String>,
    /// Certificate and key for `https://`.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The admin listener.
    pub admin: Option<String>,
    /// The access log: a path, `stdout` or `off`.
    pub access_log: Option<String>,
    /// The access log's format.
    pub access_format: Option<String>,
    /// Collect metrics; `None` is yes.
    pub metrics: Option<bool>,
}

impl OneLine {
    /// The configuration that it stands for.
    pub(crate) fn source(&self) -> ConfigSource {
        ConfigSource::Text { name: "command line".to_owned(), text: self.text() }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        if let Some(admin) = &self.admin {
            let _ = writeln!(out, "[admin]\nbind = {}\n", quoted(admin));
        }
        if self.access_log.is_some() || self.access_format.is_some() {
            let _ = writeln!(out, "[log.access]\npath = {}", quoted(self.access_log.as_deref().unwrap_or("stdout")));
            if let Some(format) = &self.access_format {
                let _ = writeln!(out, "format = {}", quoted(format));
            }
            out.push('\n');
        }
        if let Some(metrics) = self.metrics {
            let _ = writeln!(out, "[metrics]\nenabled = {metrics}\n");
        }
        let usual = [USUAL.to_owned()];
        let listen = if self.listen.is_empty() { &usual[..] } else { &self.listen };
        for address in listen {
            self.listener(address, &mut out);
        }
        self.target(&mut out);
        out
    }

    fn listener(&self, address: &str, out: &mut String) {
        let (scheme, bare) = address.split_once("://").unwrap_or(("http", address));
        let bare = bare.trim_end_matches('/');
        let _ = writeln!(out, "[[listener]]\nbind = {}", quoted(bare));
        match (scheme, &self.certificate) {
            ("https", Some((cert, key))) => {
                let (cert, key) = (quoted(&cert.to_string_lossy()), quoted(&key.to_string_lossy()));
                let _ = writeln!(out, "tls = {{ certificates = [{{ cert = {cert}, key = {key} }}] }}");
            }
            ("https", None) => out.push_str("tls = { certificates = [] } # --cert and --key are missing\n"),
            // Another scheme is shown as it was written, and refused there.
            (other, _) if other != "http" => {
                let _ = writeln!(out, "# {} is neither http:// nor https://\nscheme = {}", bare, quoted(other));
            }
            _ => {}
        }
        out.push('\n');
    }

    fn target(&self, out: &mut String) {
        match self.to.as_slice() {
            [one] if one.contains("://") => {
                let _ = writeln!(out, "[[route]]\nname = \"all\"\nto = {}", quoted(one.trim_end_matches('/')));
            }
            [] => out.push_str("[[route]]\nname = \"all\"\necho = true\n"),
            many => {
                let endpoints: Vec<String> = many.iter().map(|to| quoted(to.trim_end_matches('/'))).collect();
                let _ = writeln!(out, "[upstream.to]\nendpoints = [{}]", endpoints.join(", "));
                if many.iter().all(|to| to.starts_with("https://")) {
                    out.push_str("tls = true\n");
                }
                out.push_str("\n[[route]]\nname = \"all\"\nto = \"to\"\n");
            }
        }
    }
}

/// A TOML string, in which nothing is filled in.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.replace("${", "$${").chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04X}", letter as u32);
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

const USUAL: &str = "127.0.0.1:8080";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};

    #[test]
    fn a_line_is_a_configuration() {
        let line = OneLine {
            to: vec!["http://127.0.0.1:9000/".to_owned()],
            listen: vec!["127.0.0.1:8080".to_owned(), "http://127.0.0.1:8081".to_owned()],
            admin: Some("127.0.0.1:9180".to_owned()),
            access_log: Some("off".to_owned()),
            metrics: Some(false),
            ..OneLine::default()
        };
        let loaded = load(&line.source(), &Environment::sealed()).unwrap();
        let plan = loaded.plan;
        assert_eq!((plan.listeners.len(), plan.process.shards, plan.metrics), (2, 1, false));
        assert_eq!(&*plan.upstreams[0].name, "http://127.0.0.1:9000");
        assert!(plan.access_log.is_none() && loaded.warnings.list.is_empty());
    }

    #[test]
    fn several_targets_are_balanced_and_odd_texts_stay_texts() {
        let line = OneLine { to: vec!["http://127.0.0.1:1".to_owned(), "10.0.0.1:2".to_owned()], ..OneLine::default() };
        let loaded = load(&line.source(), &Environment::sealed()).unwrap();
        assert_eq!(loaded.plan.upstreams[0].fixed.len(), 2);
        let odd = OneLine { to: vec!["http://\"\n${HOME}\\://".to_owned()], ..OneLine::default() };
        let reports = load(&odd.source(), &Environment::sealed()).unwrap_err();
        assert_eq!(reports.errors(), 1, "{reports}");
        let insecure = OneLine { listen: vec!["https://127.0.0.1:1".to_owned()], ..OneLine::default() };
        assert_eq!(load(&insecure.source(), &Environment::sealed()).unwrap_err().errors(), 1);
        let strange = OneLine { listen: vec!["ftp://127.0.0.1:1".to_owned()], ..OneLine::default() };
        assert_eq!(load(&strange.source(), &Environment::sealed()).unwrap_err().errors(), 1);
    }
}
