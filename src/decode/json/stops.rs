//! Where a string may stop: quotes, backslashes and control characters, as one bit for each byte of a record.
//!
//! Found 64 bytes at a time without a branch, so that walking a record costs by its names and values, not its bytes.

use crate::event::KEPT_BYTES_MAX;

/// Words that are kept for the next record: those of its text.
const KEPT_WORDS_MAX: usize = KEPT_BYTES_MAX / 64;

/// Bit `n % 64` of word `n / 64` is set where byte `n` stops a string. The storage is reused.
#[derive(Debug, Default)]
pub struct Stops(Vec<u64>);

impl Stops {
    pub fn find(&mut self, bytes: &[u8]) {
        self.0.clear();
        self.0.shrink_to(KEPT_WORDS_MAX);
        let (blocks, rest) = bytes.as_chunks::<64>();
        self.0.extend(blocks.iter().map(block));
        if !rest.is_empty() {
            let mut last = [b' '; 64];
            last[..rest.len()].copy_from_slice(rest);
            self.0.push(block(&last));
        }
    }

    /// The first stop at `at` or after it.
    pub fn next(&self, at: usize) -> Option<usize> {
        let mut word = at / 64;
        let mut bits = self.0.get(word)? & (u64::MAX << (at % 64));
        while bits == 0 {
            word += 1;
            bits = *self.0.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

#[cfg(target_arch = "x86_64")]
fn block(bytes: &[u8; 64]) -> u64 {
    // SAFETY: the only demand is a processor with SSE2, which every x86-64 has; nothing is read through pointers.
    unsafe { block_by_sse2(bytes) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn block_by_sse2(bytes: &[u8; 64]) -> u64 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };

    let (eights, _) = bytes.as_chunks::<8>();
    let eight = |index: usize| i64::from_le_bytes(eights[index]);
    let stops = |index: usize| {
        let these = _mm_set_epi64x(eight(index * 2 + 1), eight(index * 2));
        let quotes = _mm_cmpeq_epi8(these, _mm_set1_epi8(b'"' as i8));
        let backslashes = _mm_cmpeq_epi8(these, _mm_set1_epi8(b'\\' as i8));
        let controls = _mm_cmpeq_epi8(_mm_min_epu8(these, _mm_set1_epi8(0x1f)), these);
        let stops = _mm_or_si128(_mm_or_si128(quotes, backslashes), controls);
        u64::from(_mm_movemask_epi8(stops) as u16)
    };
    stops(0) | stops(1) << 16 | stops(2) << 32 | stops(3) << 48
}

#[cfg(not(target_arch = "x86_64"))]
fn block(bytes: &[u8; 64]) -> u64 {
    by_byte(bytes)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn by_byte(bytes: &[u8; 64]) -> u64 {
    let stop = |byte: &u8| u64::from(*byte == b'"') | u64::from(*byte == b'\\') | u64::from(*byte < 0x20);
    bytes.iter().rev().fold(0, |bits, byte| bits << 1 | stop(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_stop_is_found_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut stops = Stops::default();
            stops.find(&bytes);
            let mut at = 0;
            let mut found = Vec::new();
            while let Some(stop) = stops.next(at) {
                found.push(stop);
                at = stop + 1;
            }
            let expected: Vec<usize> = (0..bytes.len())
                .filter(|at| matches!(bytes[*at], b'"' | b'\\' | 0..=0x1f))
                .collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn all_ways_to_look_at_a_block_agree(bytes in proptest::array::uniform32(any::<u8>())) {
            let mut whole = [0; 64];
            whole[..32].copy_from_slice(&bytes);
            whole[32..].copy_from_slice(&bytes);
            prop_assert_eq!(block(&whole), by_byte(&whole));
        }
    }
}
