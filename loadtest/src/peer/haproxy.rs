// SPDX-License-Identifier: Apache-2.0
//! HAProxy: one thread, connections to the origin always reused, its log written to a ring in memory.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use super::{PeerFiles, Routes, Traffic, route_prefix};
use crate::failure::{Context, Failure};

/// Writes the configuration and completes the command.
pub(super) fn configure(place: &PeerFiles<'_>, command: &mut Command) -> Result<(), Failure> {
    let file = place.directory.join("haproxy.cfg");
    fs::write(&file, configuration(place)).context("writing the configuration of haproxy")?;
    if let Routes::Many(count) = place.setup.routes {
        fs::write(place.directory.join(MAP), map(count)).context("writing the map of haproxy")?;
    }
    command.arg("-db").arg("-f").arg(file);
    Ok(())
}

/// The configuration, one string to be read from top to bottom.
pub(super) fn configuration(place: &PeerFiles<'_>) -> String {
    let mut text = format!(
        "global\n  nbthread {shards}\n  maxconn {connections}\n  no strict-limits\n  log ring@log local0 info\n\
         ring log\n  format rfc5424\n  maxlen 1200\n  size 1048576\n\
         defaults\n  mode http\n  log global\n  option httplog\n  http-reuse always\n\
         \x20 timeout connect 5s\n  timeout client 300s\n  timeout server 300s\n  timeout http-keep-alive 300s\n",
        shards = place.setup.shards,
        connections = place.setup.connections_max,
    );
    match place.setup.traffic {
        Traffic::Messages => text.push_str("  option splice-auto\n"),
        Traffic::Calls => {}
        Traffic::Streams => text.push_str("  option http-no-delay\n"),
    }
    // Writing to a string cannot fail.
    let _ = write!(text, "frontend web\n  bind {}", place.listen);
    if let Some(files) = &place.setup.certificate {
        let _ = write!(text, " ssl crt {} alpn h2,http/1.1", files.combined.display());
    }
    if place.setup.traffic == Traffic::Calls {
        text.push_str(" proto h2");
    }
    text.push_str(" backlog 4096\n");
    match place.setup.routes {
        Routes::One => text.push_str("  default_backend origin\n"),
        Routes::Many(_) => {
            let map = place.directory.join(MAP);
            let _ = writeln!(text, "  use_backend %[path,map_beg({},none)]", map.display());
            text.push_str("backend none\n  http-request deny deny_status 404\n");
        }
    }
    let protocol = if place.setup.traffic == Traffic::Calls { " proto h2" } else { "" };
    let _ = writeln!(text, "backend origin\n  server origin {}{protocol}", place.setup.origin);
    text
}

/// The map from the beginning of a path to a backend, which HAProxy keeps as a tree.
fn map(count: usize) -> String {
    (0..count).map(|number| format!("{}/ origin\n", route_prefix(number))).collect()
}

const MAP: &str = "routes.map";
