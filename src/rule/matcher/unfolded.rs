//! Whether a record as it stands holds one of some needles: told without a folded copy of it, which is dearer than all
//! other work for an event that has none of them.
//!
//! With one bit (`0x20`) set in every byte both cases of an ASCII letter are the same. So pieces of 4 bytes ("grams") of
//! needles and records are compared with that bit set; what stands under a gram is then compared letter by letter. A
//! needle is entered by as many consecutive grams as the probes are apart (as in [`super::grams`]).

use std::sync::Arc;

use super::{
    frequency::Frequencies,
    lookup::{Lookup, spread},
    texts::Texts,
};

/// Bytes of a gram.
const WIDTH: usize = 4;

/// How far probes are apart at most: a needle is entered by as many grams.
const STRIDE_MAX: usize = 12;

/// The bit that tells the cases of an ASCII letter apart, in every byte.
const CASE: u32 = 0x2020_2020;

/// Bits of bitmap for each gram, one of which is set: about one probe in 64 passes by chance.
const BITS_PER_GRAM: usize = 64;

/// The characters beyond ASCII that fold to one of ASCII, or to several of which one is.
const FOLD_TO_ASCII: [char; 2] = ['\u{130}', '\u{212a}'];

/// Needles that are looked for in records.
#[derive(Debug)]
pub(super) struct Unfolded {
    stride: usize,
    shift: u32,
    bits: Box<[u64]>,
    parts: Lookup<Part>,
    needles: Texts,
}

/// Where in a needle a gram stands.
#[derive(Debug, Clone, Copy)]
struct Part {
    needle: u32,
    offset: u32,
}

impl Unfolded {
    /// Of folded needles; `None` where one of them is too short, or not ASCII.
    pub(super) fn new(needles: &[(Arc<[u8]>, u32)], frequencies: &Frequencies) -> Option<Self> {
        let shortest = needles.iter().map(|(needle, _)| needle.len()).min()?;
        let stride = (shortest + 1).checked_sub(WIDTH)?.min(STRIDE_MAX);
        if stride == 0 || !needles.iter().all(|(needle, _)| needle.is_ascii()) {
            return None;
        }
        let mut parts = Vec::new();
        for (needle, (bytes, _)) in (0..).zip(needles) {
            let from = frequencies.rarest(bytes, stride, WIDTH);
            for offset in from..from + stride {
                let gram = gram(&bytes[offset..]);
                parts.push((u64::from(gram), Part { needle, offset: offset as u32 }));
            }
        }
        let bits = (parts.len() * BITS_PER_GRAM).next_power_of_two();
        let shift = 64 - bits.trailing_zeros();
        let mut words = vec![0; bits / 64];
        for (gram, _) in &parts {
            let bit = spread(*gram) >> shift;
            words[bit as usize / 64] |= 1 << (bit % 64);
        }
        let (parts, needles) = (Lookup::new(parts)?, Texts::new(needles));
        Some(Unfolded { stride, shift, bits: words.into(), parts, needles })
    }

    /// Whether a needle stands in the record, or a record of such letters can't be told without folding it.
    pub(super) fn may_stand_in(&self, record: &str) -> bool {
        let text = record.as_bytes();
        self.any_stands_in(text) || folds_to_ascii(text)
    }

    fn any_stands_in(&self, text: &[u8]) -> bool {
        let mut at = 0;
        while let Some(bytes) = text.get(at..at + WIDTH) {
            let gram = gram(bytes).into();
            let bit = spread(gram) >> self.shift;
            if self.bits[bit as usize / 64] >> (bit % 64) & 1 == 1 && self.stands(gram, at, text) {
                return true;
            }
            at += self.stride;
        }
        false
    }

    /// Whether a needle with this gram stands around the place where the text has it.
    #[inline(never)]
    fn stands(&self, gram: u64, at: usize, text: &[u8]) -> bool {
        self.parts.get(gram).any(|part| {
            let needle = self.needles.text(part.needle);
            let from = at.checked_sub(part.offset as usize);
            from.and_then(|from| text.get(from..from + needle.len()))
                .is_some_and(|own| own.eq_ignore_ascii_case(needle))
        })
    }
}

/// The first four bytes as a number, both cases of a letter the same.
#[inline(always)]
fn gram(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) | CASE
}

/// Whether the text, which is UTF-8, has one of [`FOLD_TO_ASCII`].
fn folds_to_ascii(text: &[u8]) -> bool {
    let [first, second] = FOLD_TO_ASCII.map(|char| {
        let mut bytes = [0; 3];
        char.encode_utf8(&mut bytes);
        bytes
    });
    let starts = |at: usize, char: [u8; 3]| {
        let length = if char[2] == 0 { 2 } else { 3 };
        text[at..].starts_with(&char[..length])
    };
    memchr::memchr2_iter(first[0], second[0], text).any(|at| starts(at, first) || starts(at, second))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rule::text::fold;

    fn may_stand(needles: &[&str], text: &str) -> Option<bool> {
        let entered: Vec<_> = needles.iter().zip(0..).map(|(needle, id)| (needle.as_bytes().into(), id)).collect();
        Unfolded::new(&entered, &Frequencies::default()).map(|unfolded| unfolded.may_stand_in(text))
    }

    #[test]
    fn no_other_character_folds_to_ascii() {
        for char in (char::from_u32(0x80).unwrap()..=char::MAX).filter(|char| !FOLD_TO_ASCII.contains(char)) {
            assert!(!char.to_lowercase().any(|lower| lower.is_ascii()), "{char:?}");
        }
        for char in FOLD_TO_ASCII {
            assert!(fold(&char.to_string()).bytes().any(|byte| byte.is_ascii()));
            assert_eq!(may_stand(&["zzzz"], &format!("a{char}b")), Some(true));
        }
        assert_eq!(may_stand(&["zzzz"], "ı – Ā ſ"), Some(false));
    }

    #[test]
    fn short_needles_and_those_beyond_ascii_are_refused() {
        assert_eq!(
            (may_stand(&["abcd", "abc"], ""), may_stand(&["abcdé"], ""), may_stand(&[], "")),
            (None, None, None)
        );
    }

    proptest! {
        #[test]
        fn tells_exactly_whether_one_stands_in_the_folded_text(
            needles in prop::collection::vec("[ab@`]{4,5}|[ab@]{6,12}|[ab@]{10,16}", 1..6),
            text in "[abAB@`é]{0,40}",
        ) {
            let folded = fold(&text).into_owned();
            let needles: Vec<&str> = needles.iter().map(|needle| &**needle).collect();
            let really = needles.iter().any(|needle| folded.contains(*needle));
            prop_assert_eq!(may_stand(&needles, &text), Some(really));
        }
    }
}
