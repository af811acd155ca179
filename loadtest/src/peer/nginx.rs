// SPDX-License-Identifier: Apache-2.0
//! nginx: one worker, keep-alive to the origin, buffered access log, no limit on requests per connection.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use super::{ACCESS_LOG, PeerFiles, Routes, Traffic, route_prefix};
use crate::certificate::HOST;
use crate::failure::{Context, Failure};

/// Writes the configuration and completes the command.
pub(super) fn configure(place: &PeerFiles<'_>, command: &mut Command) -> Result<(), Failure> {
    let file = place.directory.join("nginx.conf");
    fs::write(&file, configuration(place)).context("writing the configuration of nginx")?;
    command.arg("-p").arg(place.directory).arg("-c").arg(file).arg("-e").arg(place.directory.join("error.log"));
    Ok(())
}

/// The configuration, one string to be read from top to bottom.
pub(super) fn configuration(place: &PeerFiles<'_>) -> String {
    let directory = place.directory.display();
    let origin = place.setup.origin;
    // As root the workers would otherwise become a user who may not enter the directory.
    let user = if rustix::process::geteuid().is_root() { "user root root;\n" } else { "" };
    let mut text = format!(
        "{user}daemon off;\nworker_processes {shards};\nworker_rlimit_nofile 65536;\npid {directory}/nginx.pid;\n\
         events {{ worker_connections {connections}; use epoll; }}\n\
         http {{\n\
         access_log {directory}/{ACCESS_LOG} combined buffer=64k flush=1s;\n\
         sendfile on; tcp_nopush on; tcp_nodelay on;\n\
         keepalive_timeout 300s; keepalive_requests 1000000000;\n\
         client_body_temp_path {directory}/client; proxy_temp_path {directory}/proxy;\n\
         fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;\n\
         upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000000; }}\n\
         proxy_http_version 1.1;\nproxy_set_header Connection \"\";\n",
        shards = place.setup.shards,
        connections = place.setup.connections_max,
    );
    match place.setup.traffic {
        // Spilling to a file would compare disks; the buffers in memory stay as they are by default.
        Traffic::Messages | Traffic::Calls => text.push_str("proxy_max_temp_file_size 0;\n"),
        Traffic::Streams => text.push_str("proxy_buffering off;\n"),
    }
    push_server(place, &mut text);
    text.push_str("}\n");
    text
}

fn push_server(place: &PeerFiles<'_>, text: &mut String) {
    // Writing to a string cannot fail.
    let parameters = match &place.setup.certificate {
        None if place.setup.traffic == Traffic::Calls => "http2",
        None => "",
        Some(files) => {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            let _ = writeln!(text, "ssl_protocols TLSv1.2 TLSv1.3;");
            let _ = writeln!(text, "ssl_certificate {certificate};\nssl_certificate_key {key};");
            "ssl http2"
        }
    };
    let listen = place.listen;
    let _ = writeln!(text, "server {{ listen {listen} {parameters} reuseport backlog=4096; server_name {HOST};");
    match place.setup.routes {
        Routes::One if place.setup.traffic == Traffic::Calls => {
            text.push_str("location / { grpc_pass grpc://origin; }\n");
        }
        Routes::One => text.push_str("location / { proxy_pass http://origin; }\n"),
        Routes::Many(count) => {
            for number in 0..count {
                let _ = writeln!(text, "location {}/ {{ proxy_pass http://origin; }}", route_prefix(number));
            }
            text.push_str("location / { return 404; }\n");
        }
    }
    text.push_str("}\n");
}
