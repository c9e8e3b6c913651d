//! Which of many texts may stand somewhere in another: a bitmap of 4-byte pieces ("4-grams") decides without looking
//! at any of them.
//!
//! A needle of 7 bytes or more has four consecutive 4-grams, one of which lies at a multiple of four wherever the
//! needle stands; so the four are entered and the haystack is probed at each fourth byte. Needles of 4 to 6 bytes are
//! probed at each byte, those of 1 to 3 bytes have tables of their own, so that they don't make the bitmaps dense.
//! Needles and haystacks are folded (see [`super::super::text::fold`]).

use std::sync::Arc;

use super::lookup::{Lookup, spread};

/// The shortest needle that is found by every fourth byte: any four consecutive places hold a multiple of four.
const STRIDED_LEN: usize = 7;

/// Bits of bitmap for each 4-gram: with four times as many grams as needles about one probe in 30 passes by chance.
const BITS_PER_GRAM: usize = 32;

/// Finds needles by their identities; what it finds is verified.
#[derive(Debug)]
pub(super) struct Grams {
    strided: Option<Table>,
    dense: Option<Table>,
    short: Option<Short>,
    needles: Box<[(Arc<[u8]>, u32)]>,
}

/// A place in a needle.
#[derive(Debug, Clone, Copy)]
struct Part {
    needle: u32,
    offset: u32,
}

#[derive(Debug)]
struct Table {
    shift: u32,
    bits: Box<[u64]>,
    parts: Lookup<Part>,
}

/// Needles of one to three bytes, by their first two.
#[derive(Debug)]
struct Short {
    /// For each byte, whether a needle starts with it.
    first: Box<[bool; 256]>,
    single: Option<Lookup<u32>>,
    double: Option<Lookup<u32>>,
}

impl Grams {
    /// Of folded needles and their identities; an empty needle is in every text and not to be entered here.
    /// `None` without needles.
    pub(super) fn new(needles: Vec<(Arc<[u8]>, u32)>) -> Option<Self> {
        if needles.is_empty() {
            return None;
        }
        let common = Common::of(&needles);
        let (mut strided, mut dense, mut single, mut double) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (at, (bytes, _)) in needles.iter().enumerate() {
            let needle = at as u32;
            match bytes.len() {
                0 => {}
                1 => single.push((u64::from(bytes[0]), needle)),
                2 | 3 => double.push((pair(bytes[0], bytes[1]), needle)),
                4..STRIDED_LEN => {
                    let offset = common.rarest(bytes, 1);
                    dense.push((gram(&bytes[offset..]).into(), Part { needle, offset: offset as u32 }));
                }
                _ => {
                    let from = common.rarest(bytes, 4);
                    strided.extend(
                        (from..from + 4)
                            .map(|offset| (u64::from(gram(&bytes[offset..])), Part { needle, offset: offset as u32 })),
                    );
                }
            }
        }
        let short = Short::new(&needles, single, double);
        Some(Grams { strided: Table::new(strided), dense: Table::new(dense), short, needles: needles.into() })
    }

    /// Entries of the tables.
    pub(super) fn len(&self) -> usize {
        let tables = self.strided.iter().chain(&self.dense).map(|table| table.parts.len()).sum::<usize>();
        tables + self.needles.len()
    }

    /// Calls `found` with the identity of each needle that stands in the folded text, once or more.
    pub(super) fn scan(&self, text: &[u8], found: &mut impl FnMut(u32)) {
        if let Some(table) = &self.strided {
            for (at, chunk) in text.chunks_exact(4).enumerate() {
                let gram = gram(chunk);
                if table.may_have(gram) {
                    self.verify(table, gram, at * 4, text, found);
                }
            }
        }
        if let Some(table) = &self.dense {
            for (at, window) in text.windows(4).enumerate() {
                let gram = gram(window);
                if table.may_have(gram) {
                    self.verify(table, gram, at, text, found);
                }
            }
        }
        if let Some(short) = &self.short {
            self.scan_short(short, text, found);
        }
    }

    #[inline(never)]
    fn verify(&self, table: &Table, gram: u32, at: usize, text: &[u8], found: &mut impl FnMut(u32)) {
        for part in table.parts.get(gram.into()) {
            let (needle, id) = &self.needles[part.needle as usize];
            if at.checked_sub(part.offset as usize).is_some_and(|start| text[start..].starts_with(needle)) {
                found(*id);
            }
        }
    }

    fn scan_short(&self, short: &Short, text: &[u8], found: &mut impl FnMut(u32)) {
        for (at, byte) in text.iter().enumerate() {
            if !short.first[usize::from(*byte)] {
                continue;
            }
            let single = short.single.iter().flat_map(|lookup| lookup.get((*byte).into()));
            let next = text.get(at + 1).map(|next| pair(*byte, *next));
            let double = next.into_iter().flat_map(|pair| short.double.iter().flat_map(move |lookup| lookup.get(pair)));
            for needle in single.chain(double) {
                let (needle, id) = &self.needles[needle as usize];
                if text[at..].starts_with(needle) {
                    found(*id);
                }
            }
        }
    }
}

impl Table {
    fn new(parts: Vec<(u64, Part)>) -> Option<Self> {
        let bits = (parts.len() * BITS_PER_GRAM).next_power_of_two().max(1024);
        let mut table =
            Table { shift: 64 - bits.trailing_zeros(), bits: vec![0; bits / 64].into(), parts: Lookup::new(parts)? };
        let grams: Vec<u32> = table.parts.keys().map(|key| key as u32).collect();
        for gram in grams {
            let bit = table.bit(gram);
            table.bits[bit / 64] |= 1 << (bit % 64);
        }
        Some(table)
    }

    fn bit(&self, gram: u32) -> usize {
        (u64::from(gram).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    #[inline(always)]
    fn may_have(&self, gram: u32) -> bool {
        let bit = self.bit(gram);
        self.bits[bit / 64] >> (bit % 64) & 1 == 1
    }
}

impl Short {
    fn new(needles: &[(Arc<[u8]>, u32)], single: Vec<(u64, u32)>, double: Vec<(u64, u32)>) -> Option<Self> {
        let mut first = Box::new([false; 256]);
        for (_, needle) in single.iter().chain(&double) {
            first[usize::from(needles[*needle as usize].0[0])] = true;
        }
        let (single, double) = (Lookup::new(single), Lookup::new(double));
        (single.is_some() || double.is_some()).then_some(Short { first, single, double })
    }
}

/// How often each 4-gram occurs in the needles: what many rules ask for is common in what they look at.
struct Common {
    counts: Vec<u16>,
}

impl Common {
    fn of(needles: &[(Arc<[u8]>, u32)]) -> Self {
        let mut counts = vec![0u16; 1 << 14];
        for (bytes, _) in needles {
            for window in bytes.windows(4) {
                let at = Self::at(window);
                counts[at] = counts[at].saturating_add(1);
            }
        }
        Common { counts }
    }

    fn at(window: &[u8]) -> usize {
        (spread(gram(window).into()) >> 50) as usize
    }

    /// Where the `count` consecutive grams start that occur least.
    fn rarest(&self, bytes: &[u8], count: usize) -> usize {
        let counts: Vec<u32> = bytes.windows(4).map(|window| self.counts[Self::at(window)].into()).collect();
        let sums = counts.windows(count).map(|window| window.iter().sum::<u32>());
        sums.enumerate().min_by_key(|(_, sum)| *sum).map_or(0, |(at, _)| at)
    }
}

#[inline(always)]
fn gram(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn pair(first: u8, second: u8) -> u64 {
    u64::from(first) << 8 | u64::from(second)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(needles: &[String], text: &str) -> BTreeSet<u32> {
        let entered: Vec<_> = needles.iter().zip(0..).map(|(needle, id)| (needle.as_bytes().into(), id)).collect();
        let mut found = BTreeSet::new();
        if let Some(grams) = Grams::new(entered) {
            grams.scan(text.as_bytes(), &mut |id| {
                found.insert(id);
            });
        }
        found
    }

    proptest! {
        #[test]
        fn finds_exactly_the_needles_that_stand_in_the_text(
            needles in prop::collection::vec("[abé]{1,12}", 1..20),
            text in "[abé]{0,60}",
        ) {
            let really: BTreeSet<u32> =
                needles.iter().zip(0..).filter(|(needle, _)| text.contains(&**needle)).map(|(_, id)| id).collect();
            prop_assert_eq!(found(&needles, &text), really);
        }
    }
}
