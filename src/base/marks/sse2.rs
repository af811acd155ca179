// SPDX-License-Identifier: Apache-2.0
//! Hot. Sixteen bytes in a register, with SSE2, which every processor of this architecture has.
#![expect(unsafe_code, reason = "the compiler wants to be told that SSE2 is there")]

use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
};

use super::{BLOCK, ByteClass, Colons, Controls};

impl ByteClass for Controls {
    fn marks(block: &[u8; BLOCK]) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { controls(block) }
    }
}

impl ByteClass for Colons {
    fn marks(block: &[u8; BLOCK]) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { colons(block) }
    }
}

#[target_feature(enable = "sse2")]
fn controls(block: &[u8; BLOCK]) -> u64 {
    let (last, delete) = (_mm_set1_epi8(0x1F), _mm_set1_epi8(0x7F));
    let mut marks = 0;
    for (at, part) in block.as_chunks::<16>().0.iter().enumerate() {
        let bytes = load(part);
        let low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last), bytes);
        marks |= bits(_mm_or_si128(low, _mm_cmpeq_epi8(bytes, delete))) << (16 * at);
    }
    marks
}

#[target_feature(enable = "sse2")]
fn colons(block: &[u8; BLOCK]) -> u64 {
    let colon = _mm_set1_epi8(b':' as i8);
    let mut marks = 0;
    for (at, part) in block.as_chunks::<16>().0.iter().enumerate() {
        marks |= bits(_mm_cmpeq_epi8(load(part), colon)) << (16 * at);
    }
    marks
}

#[target_feature(enable = "sse2")]
fn load(part: &[u8; 16]) -> __m128i {
    let halves = u128::from_le_bytes(*part);
    _mm_set_epi64x((halves >> 64) as i64, halves as i64)
}

#[target_feature(enable = "sse2")]
fn bits(mask: __m128i) -> u64 {
    u64::from(_mm_movemask_epi8(mask) as u32)
}
