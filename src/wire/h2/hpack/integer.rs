// SPDX-License-Identifier: Apache-2.0
//! Hot. Integers with a prefix (RFC 7541 section 5.1).

use crate::wire::h2::hpack::HpackError;

/// Octets behind the prefix that are read; four hold 28 bits, and no length or index here comes near that.
const CONTINUATIONS_MAX: u32 = 4;

/// Reads an integer whose prefix is the `bits` low bits of `first`; what follows is taken from the front of `rest`.
#[inline(always)]
pub(super) fn read(first: u8, bits: u32, rest: &mut &[u8]) -> Result<usize, HpackError> {
    let full = (1_usize << bits) - 1;
    let prefix = usize::from(first) & full;
    if prefix < full { Ok(prefix) } else { continued(full, rest) }
}

fn continued(prefix: usize, rest: &mut &[u8]) -> Result<usize, HpackError> {
    let mut value = prefix;
    for shift in 0..CONTINUATIONS_MAX {
        let (byte, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
        *rest = behind;
        value += usize::from(byte & 0x7F) << (7 * shift);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(HpackError::Integer)
}

/// Appends an integer with `bits` of prefix; `flags` are the bits above it.
#[inline(always)]
pub(super) fn write(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let full = (1_usize << bits) - 1;
    if value < full {
        return out.push(flags | value as u8);
    }
    out.push(flags | full as u8);
    continue_writing(out, value - full);
}

fn continue_writing(out: &mut Vec<u8>, mut left: usize) {
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}
