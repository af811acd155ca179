// SPDX-License-Identifier: Apache-2.0
//! Hot. Normalises paths before any rule looks at them (RFC 3986 section 6.2.2), and reads queries.
//!
//! A rule that protects `/admin` must also match `/x/../admin`, `/%61dmin`, `//admin` and `/x\..\admin`, and the origin
//! must get the path that the rule matched. So routes match the normalised path, and the same path is forwarded, but
//! for slashes: rules ignore repeated ones, and the origin gets them, unless they are to be merged for it too.
//!
//! | in the path | becomes |
//! |---|---|
//! | `%41`, `%7e` (unreserved) | `A`, `~` |
//! | `%e4`, `%3f` (others) | `%E4`, `%3F`: never decoded, so that no second decoding can happen |
//! | `%2F` | by `EncodedSlash` |
//! | `\`, `%5C` | by `Backslash` |
//! | `.`, `..` (after all this) | removed; above the root is refused |
//! | `//` | `/`, by `Slashes` |
//! | `"<>^{}` `` ` `` and the pipe | percent-encoded, as RFC 3986 demands |
//! | `%00`, other control characters, `%zz`, `/..;x/` | refused |
//! | `..%2F`, `%5C..` and the like | refused: readers differ about what they name |
//! | `;`, `%3B` | by `Semicolon` |
//!
//! Normalising twice gives what normalising once gave.

use crate::base::FaultKind;
use crate::base::ascii::{alphanumeric_and, hex_digit, push_percent};

/// What several slashes in a row are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slashes {
    /// One slash where rules look at the path; the origin gets all of them.
    #[default]
    Match,
    /// One slash.
    Merge,
    /// Empty segments between slashes.
    Keep,
}

/// What `%2F` in a path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlash {
    /// Data within a segment; it stays `%2F`. Many APIs put identifiers with slashes there.
    #[default]
    Keep,
    /// A slash, as most file servers will take it.
    Decode,
    /// A fault.
    Reject,
}

/// What a backslash, raw or as `%5C`, in a path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backslash {
    /// A fault: browsers and some origins take it for a slash, others for data.
    #[default]
    Reject,
    /// Data; it becomes `%5C`.
    Keep,
    /// A slash.
    Slash,
}

/// What a semicolon, raw or as `%3B`, in a path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Semicolon {
    /// Data. Some origins (servlets) take what is behind it for parameters, and ignore it where they look at the path.
    #[default]
    Keep,
    /// A fault.
    Reject,
}

/// How paths are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// What several slashes in a row are.
    pub slashes: Slashes,
    /// What `%2F` is.
    pub encoded_slash: EncodedSlash,
    /// What a backslash is.
    pub backslash: Backslash,
    /// What a semicolon is.
    pub semicolon: Semicolon,
}

/// Where the normal form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalised {
    /// The input was normal; nothing was written.
    Unchanged,
    /// It is in `out`.
    Written,
}

/// `unreserved`, `sub-delims`, `:` and `@`: what a segment of a path may hold as it is (RFC 3986 section 3.3).
const SEGMENT: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=:@");

/// The same and `/`: what a path may hold as it is.
const PATH: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=:@/");

/// `unreserved` (RFC 3986 section 2.3)
const UNRESERVED: [bool; 256] = alphanumeric_and(b"-._~");

/// Brings `path`, which starts with `/`, to its normal form. `out` is cleared, and holds the normal form only where it
/// differs from `path`.
///
/// Errors with `BadRequest` where the path is not one, or leads above the root.
pub fn normalise(path: &[u8], rules: &PathRules, out: &mut Vec<u8>) -> Result<Normalised, FaultKind> {
    out.clear();
    if rules.semicolon == Semicolon::Reject && has_semicolon(path) {
        return Err(FaultKind::BadRequest);
    }
    if is_normal(path, rules) {
        return Ok(Normalised::Unchanged);
    }
    rewrite(path, rules, out)?;
    if out == path {
        out.clear();
        return Ok(Normalised::Unchanged);
    }
    Ok(Normalised::Written)
}

#[cold]
fn has_semicolon(path: &[u8]) -> bool {
    path.contains(&b';') || path.windows(3).any(|part| part.eq_ignore_ascii_case(b"%3b"))
}

/// True for most normal paths; those with percent-encodings are looked at again.
fn is_normal(path: &[u8], rules: &PathRules) -> bool {
    let mut suspect = false;
    for (at, byte) in path.iter().enumerate() {
        if !SEGMENT[usize::from(*byte)] {
            if *byte != b'/' {
                return false;
            }
            suspect |= matches!(path.get(at + 1), Some(b'.' | b'/'));
        }
    }
    path.first() == Some(&b'/') && !(suspect && has_odd_segment(path, rules))
}

/// Is there a dot segment, or an empty one that is to be merged, in a path of allowed characters?
#[cold]
fn has_odd_segment(path: &[u8], rules: &PathRules) -> bool {
    let mut segments = path[1..].split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_empty = segment.is_empty() && segments.peek().is_some();
        if dots(segment) != Dots::None || (is_empty && rules.slashes != Slashes::Keep) {
            return true;
        }
    }
    false
}

#[cold]
fn rewrite(path: &[u8], rules: &PathRules, out: &mut Vec<u8>) -> Result<(), FaultKind> {
    if path.first() != Some(&b'/') {
        return Err(FaultKind::BadRequest);
    }
    if has_hidden_dots(path, rules) {
        return Err(FaultKind::BadRequest);
    }
    decode(path, rules, out)?;
    remove_dots(rules, out)
}

/// Appends the normal form of `path` with its repeated slashes, where that differs from `merged`, the form without
/// them, in nothing else. False where it does: `/a//../b` names different things with and without.
#[cold]
pub fn with_slashes(path: &[u8], rules: &PathRules, merged: &[u8], out: &mut Vec<u8>) -> bool {
    let keeping = PathRules { slashes: Slashes::Keep, ..*rules };
    let mut normal = Vec::new();
    let form = match normalise(path, &keeping, &mut normal) {
        Ok(Normalised::Unchanged) => path,
        Ok(Normalised::Written) => &normal,
        Err(_) => return false,
    };
    let repeated = |at: usize| at > 0 && form[at] == b'/' && form[at - 1] == b'/';
    let same = (0..form.len()).filter(|at| !repeated(*at)).map(|at| form[at]).eq(merged.iter().copied());
    if same {
        out.extend_from_slice(form);
    }
    same
}

/// Is there a dot segment of which one end is an encoded slash or backslash, or a backslash that counts as data?
fn has_hidden_dots(path: &[u8], rules: &PathRules) -> bool {
    let mut rest = path;
    let mut segment = DotScan { dots: 0, other: false, ended: false };
    let mut hidden = false;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        let value = match encoded(behind) {
            Some((value, behind)) if *byte == b'%' => {
                rest = behind;
                value
            }
            _ => *byte,
        };
        if matches!(value, b'/' | b'\\') {
            let encoded = *byte == b'%' || (*byte == b'\\' && rules.backslash == Backslash::Keep);
            if segment.is_dots() && (hidden || encoded) {
                return true;
            }
            hidden = encoded;
            segment = DotScan { dots: 0, other: false, ended: false };
        } else {
            segment.take(value);
        }
    }
    segment.is_dots() && hidden
}

/// Finds out whether a segment consists of one or two dots, with or without parameters.
struct DotScan {
    dots: u8,
    other: bool,
    /// Behind a `;`.
    ended: bool,
}

impl DotScan {
    fn take(&mut self, value: u8) {
        match value {
            _ if self.ended => {}
            b'.' => self.dots = self.dots.saturating_add(1),
            b';' => self.ended = true,
            _ => self.other = true,
        }
    }

    fn is_dots(&self) -> bool {
        !self.other && matches!(self.dots, 1 | 2)
    }
}

/// Decodes what may be decoded and encodes what must be encoded. Afterwards every `/` separates segments.
fn decode(path: &[u8], rules: &PathRules, out: &mut Vec<u8>) -> Result<(), FaultKind> {
    let mut rest = path;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match *byte {
            b'%' => {
                let (value, behind) = encoded(rest).ok_or(FaultKind::BadRequest)?;
                rest = behind;
                match (value, rules.encoded_slash) {
                    (b'/', EncodedSlash::Decode) => out.push(b'/'),
                    (b'/', EncodedSlash::Reject) => return Err(FaultKind::BadRequest),
                    (b'\\', _) => backslash(rules, out)?,
                    (value, _) if value.is_ascii_control() => return Err(FaultKind::BadRequest),
                    (value, _) if UNRESERVED[usize::from(value)] => out.push(value),
                    (value, EncodedSlash::Keep | EncodedSlash::Decode | EncodedSlash::Reject) => {
                        push_percent(out, value);
                    }
                }
            }
            b'\\' => backslash(rules, out)?,
            byte if PATH[usize::from(byte)] => out.push(byte),
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | b'[' | b']' => push_percent(out, *byte),
            _ => return Err(FaultKind::BadRequest),
        }
    }
    Ok(())
}

/// The value of two hexadecimal digits at the front of `rest`, and what is behind them.
fn encoded(rest: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, behind @ ..] = rest else { return None };
    Some((hex_digit(*high)? << 4 | hex_digit(*low)?, behind))
}

fn backslash(rules: &PathRules, out: &mut Vec<u8>) -> Result<(), FaultKind> {
    match rules.backslash {
        Backslash::Reject => return Err(FaultKind::BadRequest),
        Backslash::Keep => push_percent(out, b'\\'),
        Backslash::Slash => out.push(b'/'),
    }
    Ok(())
}

/// Removes dot segments (RFC 3986 section 5.2.4) and, by the rules, empty ones. Works in place: what is written never
/// passes what is read.
fn remove_dots(rules: &PathRules, out: &mut Vec<u8>) -> Result<(), FaultKind> {
    let mut read = 0;
    let mut write = 0;
    while read < out.len() {
        // `out[read]` is a slash; the segment is what follows up to the next.
        let start = read + 1;
        let end = start + out[start..].iter().position(|byte| *byte == b'/').unwrap_or(out.len() - start);
        let is_last = end == out.len();
        match dots(&out[start..end]) {
            Dots::Refused => return Err(FaultKind::BadRequest),
            Dots::One if is_last => write = put_slash(out, write),
            Dots::One => {}
            Dots::Two => {
                let parent = out[..write].iter().rposition(|byte| *byte == b'/').ok_or(FaultKind::BadRequest)?;
                write = if is_last { put_slash(out, parent) } else { parent };
            }
            Dots::None if start == end && rules.slashes != Slashes::Keep && !is_last => {}
            Dots::None => {
                out.copy_within(read..end, write);
                write += end - read;
            }
        }
        read = end;
    }
    out.truncate(write);
    Ok(())
}

/// A dot segment at the end leaves a slash: `/a/.` is `/a/`.
fn put_slash(out: &mut [u8], write: usize) -> usize {
    out[write] = b'/';
    write + 1
}

/// What a path segment is, as far as dots go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dots {
    /// Not a dot segment.
    None,
    /// `.`
    One,
    /// `..`
    Two,
    /// `.;x` or `..;x`: some origins drop what follows `;` and are left with a dot segment that we did not see.
    Refused,
}

fn dots(segment: &[u8]) -> Dots {
    match segment {
        b"." => Dots::One,
        b".." => Dots::Two,
        [b'.', b';', ..] | [b'.', b'.', b';', ..] => Dots::Refused,
        _ => Dots::None,
    }
}

/// The parameters of a query, still encoded: name and value, the value empty where there is no `=`. Empty parameters
/// are left out.
pub fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let parts = query.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    parts.map(|part| {
        let mark = part.iter().position(|byte| *byte == b'=');
        mark.map_or((part, &[][..]), |mark| (&part[..mark], &part[mark + 1..]))
    })
}

/// The bytes that a form-encoded text stands for: `+` is a space, `%XX` a byte, and a `%` that encodes nothing itself.
pub fn form_bytes(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, behind) = rest.split_first()?;
        if *byte == b'%'
            && let Some((value, behind)) = encoded(behind)
        {
            rest = behind;
            return Some(value);
        }
        rest = behind;
        Some(if *byte == b'+' { b' ' } else { *byte })
    })
}

/// Appends the bytes that a form-encoded text stands for.
pub fn form_decode(text: &[u8], out: &mut Vec<u8>) {
    out.extend(form_bytes(text));
}

#[cfg(test)]
mod tests;
