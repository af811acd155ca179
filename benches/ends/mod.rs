// SPDX-License-Identifier: Apache-2.0
//! Clients and origins of the exchange benches that speak more than plain HTTP/1.1. They do as little as the protocol
//! allows, and nothing of the gateway's own code, so that a cheaper gateway shows in the counts.

pub(crate) mod http2;
pub(crate) mod tls;

use std::io;

use turnpike::bench::base::{Buf, Tick};
use turnpike::bench::net::Stream;
use turnpike::bench::net::sim::SimStream;

/// What HTTP/1.1 is spoken over.
pub(crate) trait Line {
    async fn receive(&self, buf: Buf) -> (io::Result<usize>, Buf);
    async fn send(&self, buf: Buf) -> (io::Result<()>, Buf);
}

impl Line for SimStream {
    async fn receive(&self, buf: Buf) -> (io::Result<usize>, Buf) {
        Stream::read(self, buf, Tick::NEVER).await
    }

    async fn send(&self, buf: Buf) -> (io::Result<()>, Buf) {
        Stream::write(self, buf, Tick::NEVER).await
    }
}
