// SPDX-License-Identifier: Apache-2.0
//! Where a redirect sends the client: a whole URL from a template, or the request's own URL with parts replaced by the
//! rules of the Gateway API.

use crate::base::Scheme;
use crate::route::escape::{Escaping, Keep, escape_from};
use crate::route::rewrite::{Original, PathRewrite, write_host};
use crate::wire::template::{Lookup, Template};

/// A redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where to.
    pub to: Target,
}

/// Where a redirect goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// This URL. Values are escaped so that none ends the line or leaves the URL.
    Url(Template),
    /// The request's own URL with other parts.
    Parts(Parts),
}

/// What is other in a URL; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The scheme.
    pub scheme: Option<Scheme>,
    /// The host, without port.
    pub host: Option<Template>,
    /// The port.
    pub port: Port,
    /// The path, and by the rules of rewrites the query.
    pub path: Option<PathRewrite>,
}

/// The port of a redirect. It is left out of the URL where it is the scheme's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// That of a given scheme; else the one that the client sent, because only the client knows its way through what
    /// stands before us.
    #[default]
    Sent,
    /// That of a given scheme; else the listener's, as the Gateway API has it.
    Listener,
    /// This one.
    Fixed(u16),
}

/// The request that is redirected.
#[derive(Clone, Copy, Debug)]
pub struct RedirectRequest<'a> {
    /// Its scheme, as the client sees it.
    pub scheme: Scheme,
    /// Host and port as sent; may be empty.
    pub authority: &'a [u8],
    /// The listener's port.
    pub listener_port: u16,
    /// Path and query.
    pub original: Original<'a>,
}

impl Redirect {
    /// Is it a status that redirects (RFC 9110 section 15.4) and is in use?
    pub const fn is_status(status: u16) -> bool {
        matches!(status, 301 | 302 | 303 | 307 | 308)
    }

    /// Appends the value of `Location` to `out`. False, and nothing appended, where values make no URL; the request
    /// must be refused.
    #[must_use]
    pub fn location(&self, asked: &RedirectRequest<'_>, lookup: &impl Lookup, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let written = match &self.to {
            Target::Url(template) => {
                template.render(&Escaping { inner: lookup, within: Keep::Url }, out);
                out.len() > start
            }
            Target::Parts(parts) => parts.write(asked, lookup, out),
        };
        if written {
            // Also literal text and what came through unescaped: nothing may end the line.
            escape_from(out, start, Keep::Url);
        } else {
            out.truncate(start);
        }
        written
    }
}

impl Parts {
    fn write(&self, asked: &RedirectRequest<'_>, lookup: &impl Lookup, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let (sent_host, sent_port) = split_authority(asked.authority);
        let scheme = self.scheme.unwrap_or(asked.scheme);
        if self.host.is_some() || !sent_host.is_empty() {
            out.extend_from_slice(scheme.name().as_bytes());
            out.extend_from_slice(b"://");
            match &self.host {
                Some(host) if !write_host(host, lookup, out) => return false,
                Some(_) => {}
                None => out.extend_from_slice(sent_host),
            }
            let port = self.port(asked, sent_port);
            if port != scheme.default_port() {
                push_port(port, out);
            }
        }
        let path = out.len();
        if !self.write_path(asked.original, lookup, out) {
            return false;
        }
        // Without a host, two slashes would begin one (RFC 3986 section 4.2), and the client would be sent there.
        let slashes = out[path..].iter().take_while(|byte| **byte == b'/').count();
        if path == start && slashes > 1 {
            out.drain(path..path + slashes - 1);
        }
        true
    }

    fn port(&self, asked: &RedirectRequest<'_>, sent: Option<u16>) -> u16 {
        match (self.port, self.scheme) {
            (Port::Fixed(port), _) => port,
            (Port::Sent | Port::Listener, Some(scheme)) => scheme.default_port(),
            (Port::Sent, None) => sent.unwrap_or(asked.scheme.default_port()),
            (Port::Listener, None) => asked.listener_port,
        }
    }

    fn write_path(&self, original: Original<'_>, lookup: &impl Lookup, out: &mut Vec<u8>) -> bool {
        let Some(rewrite) = &self.path else {
            out.extend_from_slice(original.path);
            if let Some(query) = original.query {
                out.push(b'?');
                out.extend_from_slice(query);
            }
            return true;
        };
        rewrite.write(original, lookup, out)
    }
}

/// Host and port of an authority without user information. A port that is none is as if not there.
fn split_authority(authority: &[u8]) -> (&[u8], Option<u16>) {
    // The last colon, but not one inside of `[…]`.
    let colon = authority.iter().rposition(|byte| *byte == b':' || *byte == b']').filter(|at| authority[*at] == b':');
    let Some(colon) = colon else { return (authority, None) };
    let digits = std::str::from_utf8(&authority[colon + 1..]).ok();
    (&authority[..colon], digits.and_then(|digits| digits.parse().ok()))
}

fn push_port(port: u16, out: &mut Vec<u8>) {
    out.push(b':');
    let mut place = 10_000;
    while place > 1 && port < place {
        place /= 10;
    }
    while place > 0 {
        out.push(b'0' + (port / place % 10) as u8);
        place /= 10;
    }
}

#[cfg(test)]
#[path = "redirect/tests.rs"]
mod tests;
