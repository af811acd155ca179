// SPDX-License-Identifier: Apache-2.0
//! Hot. Sixteen bytes in a register, with SSE2, which every processor of this architecture has.
#![expect(unsafe_code, reason = "the compiler wants to be told that SSE2 is there")]

use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
    _mm_set1_epi8, _mm_sub_epi8,
};

use super::{ByteClass, Colons, Controls, Escaped, OutsideName, OutsideTarget, PART};

impl ByteClass for Controls {
    #[inline]
    fn marks(part: &[u8; PART]) -> u16 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { controls(part) }
    }
}

impl ByteClass for Colons {
    #[inline]
    fn marks(part: &[u8; PART]) -> u16 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { colons(part) }
    }
}

impl ByteClass for OutsideName {
    #[inline]
    fn marks(part: &[u8; PART]) -> u16 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { outside_name(part) }
    }
}

impl ByteClass for OutsideTarget {
    #[inline]
    fn marks(part: &[u8; PART]) -> u16 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { outside_target(part) }
    }
}

impl ByteClass for Escaped {
    #[inline]
    fn marks(part: &[u8; PART]) -> u16 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { escaped(part) }
    }
}

#[target_feature(enable = "sse2")]
#[inline]
fn controls(part: &[u8; PART]) -> u16 {
    let (bytes, last) = (load(part), _mm_set1_epi8(0x1F));
    let low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last), bytes);
    bits(_mm_or_si128(low, equal(bytes, 0x7F)))
}

#[target_feature(enable = "sse2")]
#[inline]
fn colons(part: &[u8; PART]) -> u16 {
    bits(equal(load(part), b':'))
}

#[target_feature(enable = "sse2")]
#[inline]
fn outside_name(part: &[u8; PART]) -> u16 {
    let bytes = load(part);
    // The place in the alphabet, in either case; other bytes wrap round to above it.
    let place = _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8(b'a' as i8));
    let letters = _mm_cmpeq_epi8(_mm_min_epu8(place, _mm_set1_epi8(25)), place);
    !bits(_mm_or_si128(letters, equal(bytes, b'-')))
}

#[target_feature(enable = "sse2")]
#[inline]
fn outside_target(part: &[u8; PART]) -> u16 {
    let bytes = load(part);
    let spoilt = _mm_or_si128(equal(bytes, b'#'), equal(bytes, 0x7F));
    bits(_mm_or_si128(spoilt, below_or_high(bytes, 0x21)))
}

#[target_feature(enable = "sse2")]
#[inline]
fn escaped(part: &[u8; PART]) -> u16 {
    let bytes = load(part);
    let listed = _mm_or_si128(_mm_or_si128(equal(bytes, b'"'), equal(bytes, b'\\')), equal(bytes, 0x7F));
    bits(_mm_or_si128(listed, below_or_high(bytes, 0x20)))
}

/// The bytes below `limit`, and those from 0x80 up: the comparison is one of signed numbers.
#[target_feature(enable = "sse2")]
#[inline]
fn below_or_high(bytes: __m128i, limit: u8) -> __m128i {
    _mm_cmplt_epi8(bytes, _mm_set1_epi8(limit as i8))
}

#[target_feature(enable = "sse2")]
#[inline]
fn equal(bytes: __m128i, byte: u8) -> __m128i {
    _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8))
}

#[target_feature(enable = "sse2")]
#[inline]
fn load(part: &[u8; PART]) -> __m128i {
    let halves = u128::from_le_bytes(*part);
    _mm_set_epi64x((halves >> 64) as i64, halves as i64)
}

#[target_feature(enable = "sse2")]
#[inline]
fn bits(mask: __m128i) -> u16 {
    _mm_movemask_epi8(mask) as u16
}
