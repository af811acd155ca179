// SPDX-License-Identifier: Apache-2.0
//! Turnpike: access log to a file and metrics on, as it would run in production. The only place that knows its
//! configuration.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use super::{ACCESS_LOG, PeerFiles, Routes, Traffic, route_prefix};
use crate::failure::{Context, Failure};

/// Writes the configuration and completes the command.
pub(super) fn configure(place: &PeerFiles<'_>, command: &mut Command) -> Result<(), Failure> {
    let file = place.directory.join("turnpike.toml");
    fs::write(&file, configuration(place)).context("writing the configuration of turnpike")?;
    command.arg("run").arg("-c").arg(file);
    Ok(())
}

/// The configuration, one string to be read from top to bottom.
pub(super) fn configuration(place: &PeerFiles<'_>) -> String {
    let mut text = format!(
        "[server]\nshards = {shards}\n\n[admin]\nbind = \"127.0.0.1:0\"\n\n\
         [log.access]\npath = \"{directory}/{ACCESS_LOG}\"\nformat = \"{format}\"\n\n\
         [[listener]]\nname = \"web\"\nbind = [\"{listen}\"]\n",
        shards = place.setup.shards,
        format = place.setup.guard.log_format(),
        directory = place.directory.display(),
        listen = place.listen,
    );
    if let Some(files) = &place.setup.certificate {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "tls = {{ certificates = [ {{ cert = \"{certificate}\", key = \"{key}\" }} ] }}");
    }
    let calls = place.setup.traffic == Traffic::Calls;
    if calls {
        text.push_str("http2 = { cleartext = true }\n");
    }
    let _ = write!(text, "\n[upstream.origin]\nendpoints = [\"{}\"]\n", place.setup.origin);
    if calls {
        text.push_str("http = \"2\"\n");
    }
    let guard = place.setup.guard;
    text.push_str(&guard.tables(place.directory));
    match place.setup.routes {
        Routes::One => push_route(&mut text, "all", "/{*rest}"),
        Routes::Many(count) => {
            for number in 0..count {
                push_route(&mut text, &format!("service-{number}"), &format!("{}/{{*rest}}", route_prefix(number)));
            }
        }
    }
    // There is one route where somebody guards it.
    text.push_str(guard.route());
    text
}

fn push_route(text: &mut String, name: &str, path: &str) {
    let _ = write!(text, "\n[[route]]\nname = \"{name}\"\npath = \"{path}\"\nto = \"origin\"\n");
}
