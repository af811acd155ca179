// SPDX-License-Identifier: Apache-2.0
//! Hot. Is a request that of a person who opens a page? Only such a one is sent to sign in; a script, an image or a
//! client of an API would follow the redirect and get a page that it cannot use.

use crate::wire::field::Known;
use crate::wire::head::{Method, Request};

/// Does a browser open a page with it?
pub(super) fn opens_page(request: Request<'_>) -> bool {
    let reads = matches!(request.head.method, Method::Get | Method::Head);
    let by_script = request.value(Known::Authorization).is_some()
        || request.named(b"X-Requested-With").is_some()
        || request.named(b"Upgrade").is_some()
        || [&b"Sec-Purpose"[..], b"Purpose"].iter().any(|name| {
            // Nobody has asked for the page yet.
            request.named(name).is_some_and(|value| value.starts_with(b"prefetch"))
        });
    if !reads || by_script {
        return false;
    }
    match request.named(b"Sec-Fetch-Mode") {
        Some(mode) => mode == b"navigate" && request.named(b"Sec-Fetch-Dest").is_none_or(|kind| kind == b"document"),
        // Browsers without Fetch Metadata, which ask for pages by name.
        None => reads_pages(request),
    }
}

/// Does the client take pages at all?
pub(super) fn reads_pages(request: Request<'_>) -> bool {
    let mut lines = request.head.fields.named(request.bytes, b"Accept");
    lines.any(|line| line.split(|byte| *byte == b',').any(|kind| kind.trim_ascii().starts_with(b"text/html")))
}

/// Does a page of another site send the browser here?
pub(super) fn is_cross_site(request: Request<'_>) -> bool {
    request.named(b"Sec-Fetch-Site") == Some(b"cross-site")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::Fixture;

    const PAGE: (&str, &str) = ("Accept", "application/xml, text/html;q=0.9");

    #[test]
    fn only_pages_are_navigations() {
        /// Method, fields, and whether a page is opened.
        type Case = (&'static str, &'static [(&'static str, &'static str)], bool);
        const CASES: &[Case] = &[
            ("GET", &[PAGE], true),
            ("HEAD", &[PAGE], true),
            ("POST", &[PAGE], false),
            ("PUT", &[PAGE], false),
            ("GET", &[], false),
            ("GET", &[("Accept", "*/*")], false),
            ("GET", &[("Accept", "application/json")], false),
            ("GET", &[PAGE, ("X-Requested-With", "XMLHttpRequest")], false),
            ("GET", &[PAGE, ("Authorization", "Bearer x")], false),
            ("GET", &[PAGE, ("Upgrade", "websocket")], false),
            ("GET", &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")], true),
            ("GET", &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe"), PAGE], false),
            ("GET", &[("Sec-Fetch-Mode", "cors"), PAGE], false),
            ("GET", &[("Sec-Fetch-Mode", "no-cors"), PAGE], false),
            ("GET", &[("Sec-Fetch-Mode", "websocket"), PAGE], false),
            ("GET", &[("Sec-Fetch-Mode", "navigate"), ("Sec-Purpose", "prefetch;prerender")], false),
        ];
        for (method, fields, opens) in CASES {
            let fixture =
                fields.iter().fold(Fixture::new(method, "/"), |fixture, (name, value)| fixture.field(name, value));
            assert_eq!(opens_page(fixture.request()), *opens, "{method} {fields:?}");
        }
    }
}
