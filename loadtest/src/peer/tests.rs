// SPDX-License-Identifier: Apache-2.0
//! The configurations that the proxies get, as texts.

use std::net::SocketAddr;
use std::path::Path;

use super::{PeerFiles, Routes, Setup, Traffic, haproxy, nginx, turnpike};
use crate::certificate::Certificate;

fn setup(routes: Routes, traffic: Traffic) -> Setup {
    Setup { routes, traffic, ..Setup::plain(SocketAddr::from(([127, 0, 0, 1], 9000))) }
}

fn place(setup: &Setup) -> PeerFiles<'_> {
    PeerFiles { directory: Path::new("/tmp/x"), listen: SocketAddr::from(([127, 0, 0, 1], 8000)), setup }
}

#[test]
fn every_proxy_gets_every_route() {
    let setup = setup(Routes::Many(1_000), Traffic::Messages);
    let text = nginx::configuration(&place(&setup));
    assert_eq!(text.matches("location /api/service-").count(), 1_000);
    let text = turnpike::configuration(&place(&setup));
    assert_eq!(text.matches("[[route]]").count(), 1_000);
    assert!(text.contains("path = \"/api/service-999/{*rest}\""));
    assert!(haproxy::configuration(&place(&setup)).contains("map_beg(/tmp/x/routes.map,none)"));
}

#[test]
fn streams_are_not_buffered() {
    let streams = setup(Routes::One, Traffic::Streams);
    assert!(nginx::configuration(&place(&streams)).contains("proxy_buffering off"));
    assert!(haproxy::configuration(&place(&streams)).contains("http-no-delay"));
    let messages = setup(Routes::One, Traffic::Messages);
    assert!(!nginx::configuration(&place(&messages)).contains("proxy_buffering"));
}

#[test]
fn all_use_the_same_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let files = Certificate::make(directory.path()).unwrap();
    let mut setup = setup(Routes::One, Traffic::Messages);
    setup.certificate = Some(files.clone());
    let certificate = files.certificate.display().to_string();
    assert!(nginx::configuration(&place(&setup)).contains(&certificate));
    assert!(turnpike::configuration(&place(&setup)).contains(&certificate));
    assert!(haproxy::configuration(&place(&setup)).contains(&files.combined.display().to_string()));
}
