//! Hot. Field names that the gateway itself acts upon, recognised once when a head is parsed.
//!
//! Everything else is `Known::Other` and is compared by bytes where a rule names it.

macro_rules! known {
    ($($variant:ident $name:literal,)*) => {
        /// A field name the gateway acts upon.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known {
            /// Any other name.
            Other,
            $(#[doc = $name] $variant,)*
        }

        impl Known {
            /// The name in lower case; empty for `Other`.
            pub const fn name(self) -> &'static str {
                match self {
                    Known::Other => "",
                    $(Known::$variant => $name,)*
                }
            }

            /// All but `Other`.
            pub const ALL: &'static [Known] = &[$(Known::$variant,)*];

            /// Recognises `name` in any case.
            pub fn of(name: &[u8]) -> Known {
                // Length and first letter leave at most a few candidates; the match compiles to a jump table.
                let Some(first) = name.first() else { return Known::Other };
                match (name.len(), first | 0x20) {
                    $((len, letter) if len == $name.len() && letter == $name.as_bytes()[0]
                        && name.eq_ignore_ascii_case($name.as_bytes()) => Known::$variant,)*
                    _ => Known::Other,
                }
            }
        }
    };
}

known! {
    Host "host",
    Connection "connection",
    ContentLength "content-length",
    TransferEncoding "transfer-encoding",
    KeepAlive "keep-alive",
    ProxyConnection "proxy-connection",
    ProxyAuthorization "proxy-authorization",
    ProxyAuthenticate "proxy-authenticate",
    Te "te",
    Trailer "trailer",
    Upgrade "upgrade",
    Expect "expect",
    Http2Settings "http2-settings",
    MaxForwards "max-forwards",
    Via "via",
    Forwarded "forwarded",
    XForwardedFor "x-forwarded-for",
    XForwardedProto "x-forwarded-proto",
    XForwardedHost "x-forwarded-host",
    XForwardedPort "x-forwarded-port",
    XRealIp "x-real-ip",
    XRequestId "x-request-id",
    Traceparent "traceparent",
    Tracestate "tracestate",
    Authorization "authorization",
    Cookie "cookie",
    SetCookie "set-cookie",
    Origin "origin",
    Vary "vary",
    Date "date",
    Server "server",
    Location "location",
    ContentType "content-type",
    ContentEncoding "content-encoding",
    AcceptEncoding "accept-encoding",
    UserAgent "user-agent",
    Referer "referer",
    RetryAfter "retry-after",
    Range "range",
    SecWebsocketKey "sec-websocket-key",
    AccessControlRequestMethod "access-control-request-method",
    AccessControlRequestHeaders "access-control-request-headers",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_recognised_in_any_case() {
        for known in Known::ALL {
            assert_eq!(Known::of(known.name().as_bytes()), *known);
            assert_eq!(Known::of(known.name().to_uppercase().as_bytes()), *known);
            assert_eq!(Known::of(format!("{}x", known.name()).as_bytes()), Known::Other);
        }
        assert_eq!(Known::of(b""), Known::Other);
    }
}
