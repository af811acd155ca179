// SPDX-License-Identifier: Apache-2.0
//! The text that `run` prints when it serves: the listeners, and for the built-in example three `curl` lines.

use std::fmt::Write;

use crate::config::ConfigSource;
use crate::control::status::{ListenerStatus, Status};

/// Paths of the built-in example, and what each one shows.
const TRY: [(&str, &str); 3] = [
    ("/anything?x=1", "what the request looks like here"),
    ("/hello/world", "a path with a parameter"),
    ("/old/page", "a redirect (add -i)"),
];

/// The words.
pub(super) fn words(status: &Status, source: &ConfigSource) -> String {
    let mut out = format!(
        "turnpike {}: {} {}, {}, {}\n",
        status.version,
        status.shards,
        if status.shards == 1 { "shard" } else { "shards" },
        status.driver,
        match source {
            ConfigSource::File(path) => path.display().to_string(),
            ConfigSource::Quickstart => "built-in example".to_owned(),
            ConfigSource::Text { name, .. } => name.clone(),
        },
    );
    for listener in &status.listeners {
        for address in &listener.addresses {
            let name = if listener.name == *address { "" } else { listener.name.as_str() };
            let _ = writeln!(out, "  {:<36} {name}", url(listener, address));
        }
    }
    if let Some(admin) = &status.admin {
        let plain = ListenerStatus::default();
        let _ = writeln!(out, "  {:<36} admin: /healthz /readyz /metrics /status", url(&plain, admin));
    }
    let first = status.listeners.first().and_then(|listener| Some((listener, listener.addresses.first()?)));
    if let (ConfigSource::Quickstart, Some((listener, address))) = (source, first) {
        out.push_str("\nTry:\n");
        for (path, shows) in TRY {
            let _ = writeln!(out, "  curl '{}{path}'   # {shows}", url(listener, address));
        }
        out.push_str("\nYour own: turnpike run --to http://127.0.0.1:9000, or turnpike run -c FILE\n");
    }
    // Trailing blanks are for columns that are empty.
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn url(listener: &ListenerStatus, address: &str) -> String {
    match (address.starts_with("unix:"), listener.tls) {
        (true, _) => address.to_owned(),
        (false, true) => format!("https://{address}"),
        (false, false) => format!("http://{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::explain::{ExplainRequest, explain};
    use crate::config::{Environment, load};

    #[test]
    fn says_what_listens_where() {
        let listener = |name: &str, addresses: &[&str], tls| ListenerStatus {
            name: name.into(),
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            tls,
        };
        let status = Status {
            version: "1.0".into(),
            shards: 1,
            driver: "epoll".into(),
            admin: Some("127.0.0.1:9".into()),
            listeners: vec![
                listener("web", &["0.0.0.0:443", "unix:/x"], true),
                listener("[::]:80", &["[::]:80"], false),
            ],
            ..Status::default()
        };
        let words = words(&status, &ConfigSource::File("a.toml".into()));
        let expected = "turnpike 1.0: 1 shard, epoll, a.toml\n  \
            https://0.0.0.0:443                  web\n  \
            unix:/x                              web\n  \
            http://[::]:80\n  \
            http://127.0.0.1:9                   admin: /healthz /readyz /metrics /status\n";
        assert_eq!(words, expected);
    }

    #[test]
    fn the_lines_to_try_have_routes_of_their_own() {
        let plan = load(&ConfigSource::Quickstart, &Environment::sealed()).expect("compiles").plan;
        let routes = TRY.map(|(path, _)| {
            let question = ExplainRequest {
                method: "GET".into(),
                url: format!("http://127.0.0.1:8080{path}"),
                headers: Vec::new(),
                source: "127.0.0.1".parse().expect("an address"),
                body: None,
            };
            let said = explain(&plan, &question).expect("explained");
            said.lines().find_map(|line| line.strip_prefix("route")).expect("a route").trim().to_owned()
        });
        for (route, name) in routes.iter().zip(["echo", "hello", "moved"]) {
            assert!(route.starts_with(name), "{route}");
        }
        let status = Status {
            listeners: vec![ListenerStatus { addresses: vec!["1:1".into()], ..Default::default() }],
            ..Status::default()
        };
        assert_eq!(words(&status, &ConfigSource::Quickstart).matches("  curl ").count(), 3);
    }
}
