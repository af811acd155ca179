// SPDX-License-Identifier: Apache-2.0
//! Why an upstream failed, in detail: for the access log, the metrics and the operator, never for the client.
//!
//! A `FaultKind` decides what the client gets; a `Cause` says what somebody should look at. It is one byte and all its
//! texts are constants, so a flood of failures allocates nothing.

macro_rules! causes {
    ($($(#[$meta:meta])* $cause:ident $reason:literal $detail:literal $remedy:literal,)*) => {
        /// Why an attempt failed. Causes with the same reason differ in their detail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Cause { $(#[doc = $detail] $cause,)* }

        impl Cause {
            /// All of them, by number. Those with the same reason stand together.
            pub const ALL: &'static [Cause] = &[$(Cause::$cause,)*];

            /// The name of its kind, in logs (`{reason}`) and metrics.
            pub const fn reason(self) -> &'static str {
                match self { $(Cause::$cause => $reason,)* }
            }

            /// What happened, in words (`{detail}`).
            pub const fn detail(self) -> &'static str {
                match self { $(Cause::$cause => $detail,)* }
            }

            /// What the operator should look at first.
            pub const fn remedy(self) -> &'static str {
                match self { $(Cause::$cause => $remedy,)* }
            }
        }
    };
}

causes! {
    Refused "refused" "the endpoint refused the connection: nothing listens at its address"
        "start the server, or correct the endpoint's address and port",
    NoSocket "refused" "the endpoint's Unix socket does not exist"
        "start the server, or correct the path of its socket",
    Unreachable "unreachable" "the endpoint's host or network cannot be reached"
        "check its address, the routes and the firewalls",
    NotPermitted "not_permitted" "the system does not permit the connection"
        "check the permissions of the socket and the local firewall",
    Descriptors "descriptors" "this process has no free file descriptors"
        "raise the limit on open files (`LimitNOFILE`), or lower `connections_max`",
    Ports "ports" "no local port is free for a connection to the endpoint"
        "keep more connections alive (`pool`), or widen `net.ipv4.ip_local_port_range`",
    ConnectFailed "connect_failed" "the connection could not be opened"
        "check whether the server accepts connections",
    ConnectTimeout "connect_timeout" "no connection to the endpoint in time"
        "check its address and the firewalls, or raise `connect` in `timeouts`",
    HandshakeTimeout "connect_timeout" "the endpoint did not finish the TLS handshake in time"
        "check whether its port speaks TLS, or raise `connect` in `timeouts`",
    CertificateExpired "tls_certificate" "the endpoint's certificate has expired"
        "renew the certificate of the endpoint",
    CertificateNotYetValid "tls_certificate" "the endpoint's certificate is not valid yet"
        "check the clocks of both machines",
    CertificateRevoked "tls_certificate" "the endpoint's certificate is revoked"
        "renew the certificate of the endpoint",
    CertificateIssuer "tls_certificate" "the endpoint's certificate is not signed by a trusted authority"
        "name its authority as `ca` in `tls`, and let the endpoint send its intermediate certificates",
    CertificateName "tls_certificate" "the endpoint's certificate is for another name"
        "set `server_name` in `tls` to a name of the certificate",
    CertificatePurpose "tls_certificate" "the endpoint's certificate is not for servers"
        "issue a certificate with the purpose `serverAuth`",
    CertificateInvalid "tls_certificate" "the endpoint's certificate is not valid"
        "look at it with `openssl s_client -connect ADDRESS`",
    ClientCertificate "tls_handshake" "the endpoint does not accept the client certificate, or asks for one"
        "set a client certificate in `tls` that the endpoint trusts",
    ServerName "tls_handshake" "the endpoint has no certificate for the requested name"
        "set `server_name` in `tls` to a name that the endpoint serves",
    NoCommonTls "tls_handshake" "the endpoint has no TLS version or cipher suite in common with this process"
        "enable TLS 1.2 or 1.3 on the endpoint",
    NoCommonProtocol "tls_handshake" "the endpoint speaks none of the HTTP versions that were offered"
        "set `http` to a version that the endpoint speaks",
    HandshakeClosed "tls_handshake" "the endpoint closed the connection during the TLS handshake"
        "read the log of the endpoint",
    HandshakeFailed "tls_handshake" "the TLS handshake with the endpoint failed"
        "look at it with `openssl s_client -connect ADDRESS`",
    PlainHttp "not_tls" "the endpoint answers TLS with plain HTTP: `tls` is set but its port speaks HTTP"
        "remove `tls`, or name the port that speaks TLS",
    NotTls "not_tls" "the endpoint answers TLS with bytes that are not TLS"
        "remove `tls`, or name the port that speaks TLS",
    SpeaksTls "not_http" "the endpoint answers plain HTTP with TLS: `tls` is not set but its port speaks TLS"
        "set `tls` for the upstream, or name the port that speaks plain HTTP",
    SpeaksHttp2 "not_http" "the endpoint answers HTTP/1.1 with HTTP/2"
        "set `http` to HTTP/2 for the upstream",
    NotHttp "not_http" "the endpoint answers with bytes that are not HTTP"
        "check that its port speaks HTTP",
    Malformed "upstream_protocol" "the endpoint's response breaks the rules of HTTP"
        "correct the server's responses",
    ChunkSize "upstream_protocol" "a chunk has no valid size line (RFC 9112 section 7.1)"
        "correct the server's chunked coding, or accept spaces there with `tolerate`",
    ChunkExtension "upstream_protocol" "a chunk extension is malformed or too long (RFC 9112 section 7.1.1)"
        "correct the server's chunked coding",
    ChunkEnd "upstream_protocol" "a chunk is longer or shorter than its size (RFC 9112 section 7.1)"
        "correct the server's chunked coding",
    ChunkTrailers "upstream_protocol" "the trailer section is malformed or too long (RFC 9112 section 7.1.2)"
        "correct the server's trailers",
    HeadTooLarge "upstream_head_too_large" "the endpoint's response headers are above the limit"
        "let the server send fewer or shorter headers, or raise `limits.response_head`",
    TooManyFields "upstream_too_many_fields" "the endpoint's response has more headers than the limit allows"
        "let the server send fewer headers, or raise `limits.response_fields`",
    ClosedBeforeHead "closed_before_head" "the endpoint closed the connection before its response"
        "look for a crash or a short timeout of the server",
    ResetBeforeHead "reset_before_head" "the endpoint reset the connection before its response"
        "look for a crash or a short timeout of the server",
    ClosedInHead "closed_in_head" "the endpoint closed the connection within the headers of its response"
        "look for a crash of the server",
    StreamRefused "stream_refused" "the endpoint refused the HTTP/2 stream before it processed the request"
        "raise the number of streams that the server allows, if this goes on",
    Closed "upstream_closed" "the endpoint closed the connection before the request was sent"
        "look for a limit or a short timeout of the server",
    FirstByteTimeout "first_byte_timeout" "the endpoint did not respond in time"
        "look for what slows the server down, or raise `first_byte` in `timeouts`",
    IdleTimeout "idle_timeout" "the endpoint stopped in the middle of an exchange"
        "look for what stalls the server, or raise `idle` in `timeouts`",
    Truncated "upstream_truncated" "the endpoint ended its response early"
        "look for a crash of the server",
    Dns "dns" "the upstream has no endpoint: its names do not resolve"
        "check the names and the DNS servers",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_manual_lists_every_cause() {
        let manual = include_str!("../../docs/operations.md");
        for cause in Cause::ALL {
            let row = format!("| `{}` | {} | {} |\n", cause.reason(), cause.detail(), cause.remedy());
            assert!(manual.contains(&row), "docs/operations.md lacks {row}");
        }
    }

    #[test]
    fn causes_with_one_reason_stand_together_and_have_texts_of_their_own() {
        let mut reasons: Vec<&str> = Cause::ALL.iter().map(|cause| cause.reason()).collect();
        reasons.dedup();
        let together = reasons.len();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), together, "a reason stands in two places");
        let mut details: Vec<&str> = Cause::ALL.iter().map(|cause| cause.detail()).collect();
        details.sort_unstable();
        details.dedup();
        assert_eq!(details.len(), Cause::ALL.len());
    }
}
