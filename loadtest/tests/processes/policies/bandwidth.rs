// SPDX-License-Identifier: Apache-2.0
//! Bodies that a policy slows down: they pass whole, at the rate, and nobody is cut off for it.

use std::time::{Duration, Instant};

use crate::harness::gateway::WEB;
use crate::harness::origin::ok;
use crate::harness::{Client, Gateway, Origin, Setup};

const BYTES: usize = 300 * 1024;

fn gateway(origin: &Origin, policy: &str) -> Gateway {
    Setup::new(format!(
        "{WEB}\nlimits = {{ min_download_rate = \"10MiB\", min_upload_rate = \"10MiB\" }}\n\
         timeouts = {{ rate_grace = \"300ms\" }}\n\
         [policy.slow]\nbandwidth = {{ {policy} }}\n\
         [[route]]\nto = \"http://{}\"\npolicies = [\"slow\"]\n",
        origin.address
    ))
    .shards(1)
    .log("")
    .start()
}

fn took(question: impl FnOnce()) -> Duration {
    let start = Instant::now();
    question();
    start.elapsed()
}

#[test]
fn a_download_passes_at_the_rate_and_its_beginning_at_once() {
    let origin = Origin::answering(|_| ok(vec![b'x'; BYTES]));
    for (policy, least_ms) in
        [("download = \"600KiB\"", 400), ("download = \"300KiB\", download_after = \"150KiB\"", 400)]
    {
        let gateway = gateway(&origin, policy);
        let time = took(|| assert_eq!(Client::to(gateway.here()).get("/").body.len(), BYTES));
        assert!(time >= Duration::from_millis(least_ms), "{policy}: {time:?}");
    }
}

#[test]
fn an_upload_passes_at_the_rate() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, "upload = \"600KiB\"");
    let mut request = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {BYTES}\r\n\r\n").into_bytes();
    request.resize(request.len() + BYTES, b'x');
    let mut client = Client::to(gateway.here());
    let time = took(|| {
        let answer = client.ask(&request);
        assert_eq!((answer.status, answer.body.len()), (200, BYTES));
    });
    assert!(time >= Duration::from_millis(350), "{time:?}");
}
