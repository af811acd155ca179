// SPDX-License-Identifier: Apache-2.0
//! Absolute URLs of services that the gateway itself asks: `http` or `https`, a host, perhaps a port, a path.
//!
//! Much less than RFC 3986 allows, and whatever two readers could take differently is refused: user names, fragments,
//! backslashes, white space, and anything beyond ASCII.

use crate::base::Scheme;

/// An absolute URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Url {
    /// `https`, or not.
    pub secure: bool,
    /// The host without brackets, in small letters.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Host and port as they stand in `Host`.
    pub authority: Box<str>,
    /// Path and query, with the `/` that they begin with.
    pub target: Box<str>,
}

impl Url {
    /// Reads one; an error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Url, &'static str> {
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("it does not begin with `https://` or `http://`"),
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&byte)) {
            return Err("it has a character that a URL may not have, or a fragment");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("it has a user name; credentials do not belong into a URL");
        }
        let (host, port) = split_port(authority)?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let default = if secure { Scheme::Https } else { Scheme::Http }.default_port();
        Ok(Url {
            secure,
            host: host.to_ascii_lowercase().into(),
            port: port.unwrap_or(default),
            authority: authority.to_ascii_lowercase().into(),
            target: target.into(),
        })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority, self.target)
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']').ok_or("a bracket is not closed")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "what stands in brackets is no IPv6 address")?;
            (host, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() || !host.bytes().all(letters) {
        return Err("it has no host");
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        None => Err("it has no host"),
        Some(port) => match port.parse() {
            Ok(number) if number != 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => Ok((host, Some(number))),
            _ => Err("its port is none"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_url() {
        for (text, secure, host, port, authority, target) in [
            ("https://a.test", true, "a.test", 443, "a.test", "/"),
            ("https://A.test/x/y?z=1", true, "a.test", 443, "a.test", "/x/y?z=1"),
            ("http://a.test:8080?x", false, "a.test", 8080, "a.test:8080", "/?x"),
            ("http://[::1]:81/", false, "::1", 81, "[::1]:81", "/"),
            ("http://127.0.0.1/", false, "127.0.0.1", 80, "127.0.0.1", "/"),
        ] {
            let url = Url::parse(text).expect(text);
            let shown = (url.secure, &*url.host, url.port, &*url.authority, &*url.target);
            assert_eq!(shown, (secure, host, port, authority, target));
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "a.test",
            "ftp://a.test",
            "HTTPS://a.test",
            "https://",
            "https:///x",
            "https://a b/",
            "https://a/\n",
            "https://u@a.test/",
            "https://u:p@a.test/",
            "https://a.test:0/",
            "https://a.test:99999/",
            "https://a.test:/",
            "https://a.test:+1/",
            "https://[::1/",
            "https://[a]/",
            "https://a.test/#f",
            "https://a\\b/",
            "https://é/",
            "https://[::1]x/",
            "https://%61/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
