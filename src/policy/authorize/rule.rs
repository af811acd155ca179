// SPDX-License-Identifier: Apache-2.0
//! Hot. Which requests a rule of `authorize` takes: by method, and by the normalised path.

use crate::base::Span;
use crate::policy::authorize::requirement::Requirement;
use crate::policy::facts::Effects;
use crate::route::PathPattern;
use crate::wire::head::Request;

/// What is required of some requests.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Methods, of which `GET` includes `HEAD`; empty for all.
    pub methods: Box<[Box<str>]>,
    /// Paths; empty for all.
    pub paths: Box<[PathRule]>,
    /// What is required.
    pub requirement: Requirement,
}

/// Which paths.
#[derive(Clone, Debug)]
pub struct PathRule {
    /// The pattern, in lower case where case is ignored.
    pub pattern: PathPattern,
    /// Is the case of letters compared?
    pub case: Case,
}

/// Is the case of letters compared?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// It is.
    Compared,
    /// It is not: for origins that take `/Admin` for `/admin`.
    Ignored,
}

impl Rule {
    /// Does it take the request? `lower` is its path in lower case, where a rule ignores case.
    pub fn takes(&self, request: Request<'_>, path: &[u8], lower: &[u8]) -> bool {
        let method = request.method_text();
        let named = |own: &str| own.as_bytes() == method || (own == "GET" && method == b"HEAD");
        let of_path = |rule: &PathRule| match rule.case {
            Case::Compared => rule.pattern.takes(path),
            Case::Ignored => rule.pattern.takes(lower),
        };
        (self.methods.is_empty() || self.methods.iter().any(|own| named(own)))
            && (self.paths.is_empty() || self.paths.iter().any(of_path))
    }

    /// Does it depend on the method?
    pub fn looks_at_method(&self) -> bool {
        !self.methods.is_empty()
    }

    /// Does it depend on the path?
    pub fn looks_at_path(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Does it compare without regard to case?
    pub fn ignores_case(&self) -> bool {
        self.paths.iter().any(|path| path.case == Case::Ignored)
    }
}

/// May an origin read another path than rules do? It may decode `%2F`, `%5C`, `%2E` or `%25` (then decode again), cut
/// at `;`, take a backslash for a slash, or merge slashes that the listener keeps.
pub(super) fn is_ambiguous(path: &[u8]) -> bool {
    let odd = |at: usize| match &path[at..] {
        [b';' | b'\\', ..] | [b'/', b'/', ..] => true,
        [b'%', high, low, ..] => {
            let code = [high.to_ascii_lowercase(), low.to_ascii_lowercase()];
            matches!(&code, b"2f" | b"5c" | b"2e" | b"3b" | b"00")
                || (code == *b"25" && path[at + 3..].first().is_some_and(u8::is_ascii_hexdigit))
        }
        _ => false,
    };
    memchr::memchr3_iter(b'%', b';', b'\\', path).any(odd) || path.windows(2).any(|pair| pair == b"//")
}

/// Removes what changes the method at many origins.
pub(super) fn remove_overrides(request: Request<'_>, effects: &mut Effects) {
    for name in OVERRIDE_FIELDS {
        effects.to_upstream.remove(&request.head.fields, request.bytes, name);
    }
    let Some(query) = request.head.query else { return };
    let mut start = usize::from(query.start);
    for pair in query.of(request.bytes).split(|byte| *byte == b'&') {
        if is_override(pair) {
            effects.query_removed.push(Span::new(start, start + pair.len()));
        }
        start += pair.len() + 1;
    }
}

/// Fields that name another method.
const OVERRIDE_FIELDS: [&[u8]; 3] = [b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"];

/// Is it the parameter `_method`, however it is encoded? Its name may also have a part in brackets.
fn is_override(pair: &[u8]) -> bool {
    let mut name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    for wanted in b"_method" {
        let (byte, len) = match name {
            [b'%', high, low, ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                match digit(*high).zip(digit(*low)) {
                    Some((high, low)) => ((high * 16 + low) as u8, 3),
                    None => (b'%', 1),
                }
            }
            [byte, ..] => (*byte, 1),
            [] => return false,
        };
        if !byte.eq_ignore_ascii_case(wanted) {
            return false;
        }
        name = &name[len..];
    }
    matches!(name, [] | [b'[', ..])
}
