// SPDX-License-Identifier: Apache-2.0
//! `[[listener]]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::authenticate::AuthenticateSpec;
use crate::config::spec::scalar::{Bind, FileMode, Network, Scalar, Size};
use crate::config::spec::server::{ListenerLimits, ListenerTimeouts};
use crate::config::spec::shape::{Many, Short, ShortOr, table};

/// Sockets with the same protocol and the same routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSpec {
    /// Its name, for routes and logs; without one its first address.
    #[serde(default)]
    pub name: Option<Located<String>>,
    /// Where it listens: `"0.0.0.0:8080"`, `"[::]:8080"`, `"unix:/run/x.sock"`; one or a list.
    pub bind: Many<Located<Bind>>,
    /// Permissions of Unix sockets; without it those that the umask gives.
    #[serde(default)]
    pub unix_mode: Option<FileMode>,
    /// The listen backlog: connections that wait to be accepted, for each thread. The kernel caps it at
    /// `net.core.somaxconn`.
    #[serde(default)]
    #[schemars(extend("x-default" = 4096))]
    pub backlog: Option<u32>,
    /// TLS. Without it the listener speaks plain HTTP.
    #[serde(default)]
    pub tls: Option<Located<ListenerTlsSpec>>,
    /// Policies by name that are asked before routing, about every request of this listener, also where no route takes
    /// it; they run by phase, then in this order. `{route}` is not known then, so a policy that needs it is refused, as
    /// is one that a route of the listener names as well.
    #[serde(default)]
    pub policies: Many<Located<String>>,
    /// Authentications of which one must say who calls, before routing, in order: the first that does counts. Without
    /// it, all that `policies` names must.
    #[serde(default)]
    pub authenticate: Option<Located<AuthenticateSpec>>,
    /// PROXY protocol, version 1 or 2, in front of each connection.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocolSpec>,
    /// Trusted proxies: networks whose `X-Forwarded-For`, `X-Forwarded-Proto` and similar headers are believed. The
    /// client's address is the last one that is not in these networks.
    #[serde(default)]
    pub trusted_proxies: Many<Network>,
    /// The headers that tell upstreams about the client (`X-Forwarded-*`, `Forwarded`).
    #[serde(default)]
    pub forward: ForwardSpec,
    /// How paths are normalised before routing. `"strict"` refuses all that origins may read in another way: `%2F`,
    /// backslashes and semicolons; and it merges slashes.
    #[serde(default)]
    pub paths: ShortOr<PathsSpec>,
    /// Keep a well-formed `X-Request-Id`, or generate one, and send it to upstreams.
    #[serde(default = "yes")]
    pub request_id: bool,
    /// Distributed tracing: continue a `traceparent` (W3C Trace Context) with a span of the gateway, or begin a trace.
    /// Without it, the header is forwarded unchanged.
    #[serde(default)]
    pub traceparent: bool,
    /// Add a `Via` header to requests (RFC 9110 section 7.6.3).
    #[serde(default = "yes")]
    pub via: bool,
    /// Keep request headers whose names have a `_`. They are dropped otherwise: many origins (CGI, WSGI, PHP, Rack)
    /// read `X_User` as `X-User`. Where they are kept, what sets or removes a header also removes those that differ
    /// from it only by `_` in place of `-`.
    #[serde(default)]
    pub underscores_in_headers: bool,
    /// The `Server` header of every response. Without it the upstream's own is kept.
    #[serde(default)]
    pub server_header: Option<Located<String>>,
    /// HTTP/2. With TLS the client chooses it by ALPN, see `tls.alpn`.
    #[serde(default)]
    pub http2: Located<Http2Spec>,
    /// Limits on the client's side.
    #[serde(default)]
    pub limits: Located<ListenerLimits>,
    /// Waits on the client's side.
    #[serde(default)]
    pub timeouts: ListenerTimeouts,
}

fn yes() -> bool {
    true
}

impl ListenerSpec {
    /// Its name, or its first address where it has none.
    pub fn shown_name(&self) -> String {
        let first = || self.bind.iter().next().map_or_else(String::new, |bind| bind.value.show());
        self.name.as_ref().map_or_else(first, |name| name.value.clone())
    }
}

/// HTTP/2 (RFC 9113) of a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http2Spec {
    /// Without TLS: accept HTTP/2 with prior knowledge (h2c). `Upgrade: h2c` is never accepted.
    #[serde(default)]
    pub cleartext: bool,
    /// Concurrent streams of one connection, 1 to 1024.
    #[serde(default)]
    #[schemars(extend("x-default" = 128))]
    pub streams: Option<u32>,
    /// The flow-control window of one request's body, 64KiB to 16MiB.
    #[serde(default)]
    #[schemars(extend("x-default" = "256KiB"))]
    pub stream_window: Option<Size>,
    /// The same for all streams of a connection together, 64KiB to 64MiB. Bodies that no upstream has taken are held up
    /// to 512MiB in the whole process, each thread having its share; above it the stream that brings more is reset.
    #[serde(default)]
    #[schemars(extend("x-default" = "4MiB"))]
    pub connection_window: Option<Size>,
}

/// PROXY protocol in front of connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolSpec {
    /// Networks whose connections must begin with it. From elsewhere a connection is plain, and a PROXY header in it
    /// is an error.
    pub from: Many<Network>,
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTlsSpec {
    /// Certificates. The client's SNI picks one; the first is the default for all other names. A request for a host
    /// that has another certificate than its connection gets 421 (RFC 9110 section 15.5.20), unless the connection's
    /// certificate is valid for that host too.
    pub certificates: Many<Located<CertificateSpec>>,
    /// Client certificates (mTLS).
    #[serde(default)]
    pub client_auth: Option<ClientAuthSpec>,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Protocols that are offered (ALPN), best first.
    #[serde(default)]
    #[schemars(extend("x-default" = ["h2", "http/1.1"]))]
    pub alpn: Option<Many<Located<String>>>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateSpec {
    /// A PEM file with the certificate and its chain, relative to this configuration file.
    pub cert: Located<PathBuf>,
    /// A PEM file with its private key, relative to this configuration file.
    pub key: Located<PathBuf>,
    /// The names it is for, `*.example.com` too; without them those that the certificate holds.
    #[serde(default)]
    pub names: Many<Located<String>>,
}

/// Client certificates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuthSpec {
    /// Client certificates (mTLS): `"required"` refuses clients without one; `"optional"` only verifies those that are
    /// sent.
    #[serde(default)]
    pub mode: ClientAuthMode,
    /// PEM files with the trusted certificate authorities (CAs), relative to this configuration file.
    pub ca: Many<Located<PathBuf>>,
}

/// Must a client have a certificate?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ClientAuthMode {
    /// It must.
    #[default]
    Required,
    /// It may.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TlsVersion {
    /// TLS 1.2
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3
    #[serde(rename = "1.3")]
    V13,
}

table! {
    /// The forwarding headers, to upstreams and from trusted proxies. What peers that are not trusted send of these is
    /// removed.
    pub struct ForwardSpec {
        /// The header in which a trusted proxy sends the client's address: `"x-forwarded-for"`, `"forwarded"`,
        /// `"x-real-ip"`, another header with one address such as `"cf-connecting-ip"`, or `"none"`.
        client_from: Located<String> = Located::nowhere("x-forwarded-for".to_owned()),
        /// Peers on Unix sockets are trusted.
        trust_unix: bool = false,
        /// `X-Forwarded-For`.
        x_forwarded_for: Treatment = Treatment::Write,
        /// `X-Forwarded-Proto`.
        x_forwarded_proto: Treatment = Treatment::Write,
        /// `X-Forwarded-Host`.
        x_forwarded_host: Treatment = Treatment::Write,
        /// `X-Forwarded-Port`.
        x_forwarded_port: Treatment = Treatment::Write,
        /// `X-Real-IP`.
        x_real_ip: Treatment = Treatment::Write,
        /// `Forwarded` (RFC 7239).
        forwarded: Treatment = Treatment::Keep,
    }
}

/// What happens to a forwarding field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Treatment {
    /// Written; what a trusted proxy sent is kept or appended to.
    #[default]
    Write,
    /// Forwarded from a trusted proxy, removed from others.
    Keep,
    /// Always removed.
    Drop,
}

table! {
    /// How paths are normalised before routing. Dot segments are always resolved, and refused next to `%2F` and `%5C`.
    pub struct PathsSpec {
        /// Without it, rules take `//` for `/`, and the origin gets it as sent (a route that rewrites the path starts
        /// from `/`). `true`: the origin gets `/` too. `false`: rules see every slash.
        merge_slashes: Option<bool> = None,
        /// What happens to `%2F`.
        encoded_slash: EncodedSlash = EncodedSlash::Keep,
        /// What happens to `\` and `%5C`, which browsers and some origins take for a slash.
        backslash: Backslash = Backslash::Reject,
        /// What happens to `;` and `%3B`. Origins that know path parameters (servlets, Rails) take `/admin;x` for
        /// `/admin`.
        semicolon: Semicolon = Semicolon::Keep,
        /// What happens to bytes above ASCII in path and query that are valid UTF-8. Others are refused with 400. The
        /// limits of the listener hold for the encoded form.
        raw_utf8: RawUtf8 = RawUtf8::Encode,
    }
}

impl Short for PathsSpec {
    const EXPECTED: &'static str = "`\"strict\"` or a table such as `{ encoded_slash = \"reject\" }`";

    fn of_text(text: &str) -> Result<PathsSpec, String> {
        match text {
            "strict" => Ok(PathsSpec {
                merge_slashes: Some(true),
                encoded_slash: EncodedSlash::Reject,
                backslash: Backslash::Reject,
                semicolon: Semicolon::Reject,
                raw_utf8: RawUtf8::Reject,
            }),
            _ => Err("no such preset".to_owned()),
        }
    }
}

/// What happens to a semicolon in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Semicolon {
    /// It stays, as data.
    #[default]
    Keep,
    /// The request is refused with 400.
    Reject,
}

/// What happens to an encoded slash in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum EncodedSlash {
    /// It stays as it is, and separates nothing.
    #[default]
    Keep,
    /// It becomes a slash.
    Decode,
    /// The request is refused with 400.
    Reject,
}

/// What happens to UTF-8 in a path or query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum RawUtf8 {
    /// It is percent-encoded before anything looks at it: `/ö` is `/%C3%B6` everywhere.
    #[default]
    Encode,
    /// The request is refused with 400.
    Reject,
}

/// What happens to a backslash in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Backslash {
    /// The request is refused with 400.
    #[default]
    Reject,
    /// It becomes `%5C`, and separates nothing.
    Keep,
    /// It becomes a slash.
    Slash,
}
