// SPDX-License-Identifier: Apache-2.0
//! Hot. Requests that an origin may read otherwise than a rule on methods or paths does: whoever decides by one of
//! these looks here first.

use crate::base::Span;
use crate::base::ascii::is_same_to_origin;
use crate::policy::facts::Effects;
use crate::wire::head::Request;
use crate::wire::query;

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

/// Removes what changes the method at many origins, wherever it is in the head.
pub(super) fn remove_overrides(request: Request<'_>, effects: &mut Effects) {
    remove_override_fields(request, effects);
    let Some(query) = request.head.query else { return };
    let mut start = usize::from(query.start);
    for pair in query.of(request.bytes).split(|byte| *byte == b'&') {
        if is_override(pair) {
            effects.query_removed.push(Span::new(start, start + pair.len()));
        }
        start += pair.len() + 1;
    }
}

/// Removes the fields that name another method. Says whether there was one.
pub(super) fn remove_override_fields(request: Request<'_>, effects: &mut Effects) -> bool {
    let mut found = false;
    for (index, field) in request.head.fields.list.iter().enumerate() {
        let name = field.name.of(request.bytes);
        if OVERRIDE_FIELDS.iter().any(|known| is_same_to_origin(name, known)) {
            effects.to_upstream.remove_at(index);
            found = true;
        }
    }
    found
}

/// Fields that name another method.
const OVERRIDE_FIELDS: [&[u8]; 4] =
    [b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-original-http-method"];

/// Is it the parameter `_method`, however it is encoded and in any case? Its name may also have a part in brackets.
fn is_override(pair: &[u8]) -> bool {
    let name = query::decoded(pair.split(|byte| *byte == b'=').next().unwrap_or_default());
    let (start, behind) = name.split_at(name.len().min(METHOD_PARAMETER.len()));
    start.eq_ignore_ascii_case(METHOD_PARAMETER) && matches!(behind, [] | [b'[', ..])
}

const METHOD_PARAMETER: &[u8] = b"_method";
