// SPDX-License-Identifier: Apache-2.0
//! What is measured: the workloads by name, and the cases of which each is made.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::certificate::HOST;
use crate::client::Lifetime;
use crate::guard::Guard;
use crate::h2::Calls;
use crate::peer::{Routes, route_prefix};

/// A workload as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// GET of 100 bytes on 64 connections.
    #[value(name = "get-100")]
    Get100,
    /// GET of 10 KiB on 64 connections.
    #[value(name = "get-10k")]
    Get10k,
    /// GET of 1 MiB on 8 connections.
    #[value(name = "get-1m")]
    Get1m,
    /// POST of 4 KiB on 64 connections.
    #[value(name = "post-4k")]
    Post4k,
    /// GET of 100 bytes over TLS on 64 connections that stay open.
    #[value(name = "https-100")]
    Https100,
    /// A connection with a full TLS 1.3 handshake for each GET of 100 bytes, 32 at a time.
    #[value(name = "tls-handshake")]
    TlsHandshake,
    /// GET of 100 bytes through 1 000 routes: the last one and random ones, beside a single route.
    #[value(name = "routes-1000")]
    Routes1000,
    /// GET of 100 bytes over HTTP/2 and TLS, 32 streams on each of 4 connections, from an origin of HTTP/1.1.
    #[value(name = "h2-100")]
    H2Get100,
    /// GET of 100 bytes through what an API gateway does, beside the plain route: an API key with the limits of a plan,
    /// CORS and changed fields; a monthly quota counted in the store; and JWTs, known ones and such as come for the
    /// first time. nginx forwards the same requests and looks at none of it.
    #[value(name = "gateway")]
    Gateway,
    /// Unary gRPC calls, HTTP/2 on both sides.
    #[value(name = "grpc-echo")]
    GrpcEcho,
    /// 200 event streams of small chunks at a fixed total rate.
    #[value(name = "sse")]
    Sse,
    /// 9 000 connections that are idle after one request.
    #[value(name = "idle")]
    Idle,
    /// As many of HTTP/2 over TLS.
    #[value(name = "h2-idle")]
    H2Idle,
}

/// One thing that is measured for each proxy in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Its name in the records.
    pub name: &'static str,
    /// What it is made of.
    pub kind: Kind,
}

/// The kinds of cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Requests and responses.
    Exchanges(Exchanges),
    /// Calls over HTTP/2.
    Calls(Calls),
    /// Event streams.
    Streams,
    /// Memory of idle connections.
    Idle(Speech),
}

/// What an idle connection spoke before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speech {
    /// HTTP/1.1 in plain TCP.
    #[default]
    Http1,
    /// HTTP/2 in TLS 1.3.
    Http2Tls,
}

/// Requests and responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchanges {
    /// What is asked for.
    pub ask: Ask,
    /// On how many connections.
    pub connections: usize,
    /// How long each lives.
    pub lifetime: Lifetime,
    /// With or without TLS.
    pub security: Security,
    /// Through how many routes, and through which of them.
    pub path: PathChoice,
    /// Who may call.
    pub guard: Guard,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A body of this many bytes.
    Get(u64),
    /// The count of a body of this many bytes.
    Post(u64),
}

/// Whether connections use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain TCP.
    Plain,
    /// TLS 1.3.
    Tls,
}

/// Through which routes requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathChoice {
    /// There is only one route.
    Single,
    /// The last of many.
    Last,
    /// Random ones of many, drawn beforehand.
    Random,
}

impl Workload {
    /// The cases, in the order in which they are measured.
    pub fn cases(self) -> Vec<Case> {
        let case = |name, ask, connections| Case { name, kind: Kind::Exchanges(Exchanges::new(ask, connections)) };
        let routes = |name, path| {
            let exchanges = Exchanges { path, ..Exchanges::new(Ask::Get(100), 64) };
            Case { name, kind: Kind::Exchanges(exchanges) }
        };
        let tls = |name, connections, lifetime| {
            let plain = Exchanges::new(Ask::Get(100), connections);
            Case { name, kind: Kind::Exchanges(Exchanges { security: Security::Tls, lifetime, ..plain }) }
        };
        match self {
            Workload::Get100 => vec![case("get-100", Ask::Get(100), 64)],
            Workload::Get10k => vec![case("get-10k", Ask::Get(10 << 10), 64)],
            Workload::Get1m => vec![case("get-1m", Ask::Get(1 << 20), 8)],
            Workload::Post4k => vec![case("post-4k", Ask::Post(4 << 10), 64)],
            Workload::Https100 => vec![tls("https-100", 64, Lifetime::KeepAlive)],
            Workload::TlsHandshake => vec![tls("tls-handshake", 32, Lifetime::PerRequest)],
            Workload::Routes1000 => vec![
                routes("routes-1", PathChoice::Single),
                routes("routes-1000-last", PathChoice::Last),
                routes("routes-1000-random", PathChoice::Random),
            ],
            Workload::Gateway => [
                ("gateway-plain", Guard::Anyone),
                ("gateway-key", Guard::Key),
                ("gateway-quota", Guard::Quota),
                ("gateway-jwt-es256", Guard::Es256),
                ("gateway-jwt-rs256", Guard::Rs256),
                ("gateway-jwt-cold", Guard::Es256Cold),
            ]
            .into_iter()
            .map(|(name, guard)| {
                let exchanges = Exchanges { guard, ..Exchanges::new(Ask::Get(100), 64) };
                Case { name, kind: Kind::Exchanges(exchanges) }
            })
            .collect(),
            Workload::H2Get100 => vec![Case { name: "h2-100", kind: Kind::Calls(Calls::Get100) }],
            Workload::GrpcEcho => vec![Case { name: "grpc-echo", kind: Kind::Calls(Calls::Echo) }],
            Workload::Sse => vec![Case { name: "sse", kind: Kind::Streams }],
            Workload::Idle => vec![Case { name: "idle", kind: Kind::Idle(Speech::Http1) }],
            Workload::H2Idle => vec![Case { name: "h2-idle", kind: Kind::Idle(Speech::Http2Tls) }],
        }
    }
}

impl fmt::Display for Speech {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Speech::Http1 => "idle",
            Speech::Http2Tls => "h2-idle",
        })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

impl Exchanges {
    fn new(ask: Ask, connections: usize) -> Exchanges {
        Exchanges {
            ask,
            connections,
            lifetime: Lifetime::KeepAlive,
            security: Security::Plain,
            path: PathChoice::Single,
            guard: Guard::None,
        }
    }

    /// The routes that the proxy needs.
    pub fn routes(&self) -> Routes {
        match self.path {
            PathChoice::Single => Routes::One,
            PathChoice::Last | PathChoice::Random => Routes::Many(ROUTES),
        }
    }

    /// The requests, to be sent in turn.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        let numbers: Vec<usize> = match self.path {
            // The paths are the same with one route and with many, so that only the count of routes differs.
            PathChoice::Single | PathChoice::Last => vec![ROUTES - 1],
            PathChoice::Random => (0..RANDOM_PATHS as u64).map(|at| (scatter(at) % ROUTES as u64) as usize).collect(),
        };
        let plain = numbers.into_iter().map(|number| self.request(&route_prefix(number)));
        let fields = self.guard.fields();
        plain.flat_map(|request| fields.iter().map(move |fields| with(&request, fields)).collect::<Vec<_>>()).collect()
    }

    /// The length of every response's body.
    pub fn answer_bytes(&self) -> u64 {
        match self.ask {
            Ask::Get(bytes) => bytes,
            // The count comes as ten digits.
            Ask::Post(_) => 10,
        }
    }

    fn request(&self, prefix: &str) -> Vec<u8> {
        match self.ask {
            Ask::Get(bytes) => get(&format!("{prefix}/b/{bytes}")),
            Ask::Post(bytes) => {
                let head = format!(
                    "POST {prefix}/count HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: loadtest\r\nAccept: */*\r\n\
                     Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n"
                );
                let mut request = head.into_bytes();
                request.resize(request.len() + bytes as usize, b'x');
                request
            }
        }
    }
}

/// A request with more fields, each with its line end.
fn with(request: &[u8], fields: &str) -> Vec<u8> {
    let head = memchr::memmem::find(request, b"\r\n\r\n").map_or(request.len(), |end| end + 2);
    [&request[..head], fields.as_bytes(), &request[head..]].concat()
}

/// A GET request for `path`.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: loadtest\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// A fixed sequence of numbers that look random (the finaliser of SplitMix64): every run asks for the same paths.
fn scatter(at: u64) -> u64 {
    let mixed = (at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Event streams of the `sse` case.
pub const STREAMS: usize = 200;

/// Events a second over all streams together.
pub const EVENTS_PER_SECOND: u64 = 20_000;

/// Connections of the cases of idle connections.
pub const IDLE_CONNECTIONS: usize = 9_000;

/// Routes of the `routes-1000` cases.
const ROUTES: usize = 1_000;

/// Paths drawn from them; a number without common factor with the connections, so that each sees all.
const RANDOM_PATHS: usize = 1_021;

#[cfg(test)]
mod tests {
    use super::{Kind, Workload};
    use clap::ValueEnum;

    #[test]
    fn requests_are_complete() {
        for workload in Workload::value_variants() {
            for case in workload.cases() {
                let Kind::Exchanges(exchanges) = case.kind else { continue };
                for request in exchanges.requests() {
                    let text = String::from_utf8(request).unwrap();
                    let (head, body) = text.split_once("\r\n\r\n").unwrap();
                    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                    assert_eq!(length.map_or(0, |length| length.parse().unwrap()), body.len(), "{}", case.name);
                }
            }
        }
    }

    #[test]
    fn names_are_what_the_command_line_takes() {
        let names: Vec<String> = Workload::value_variants().iter().map(Workload::to_string).collect();
        assert_eq!(
            names.join(" "),
            "get-100 get-10k get-1m post-4k https-100 tls-handshake routes-1000 h2-100 gateway grpc-echo sse idle \
             h2-idle"
        );
    }
}
