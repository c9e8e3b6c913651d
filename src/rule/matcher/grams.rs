//! Which of many texts may stand somewhere in another: a bitmap of 4-byte pieces ("4-grams") decides without looking
//! at any of them.
//!
//! A needle of 7 bytes or more has four consecutive 4-grams, one of which lies at a multiple of four wherever the
//! needle stands; so the four are entered and the haystack is probed at each fourth byte. Needles of 5 or 6 bytes are
//! probed at every second byte, those of 4 at each; those of 1 to 3 bytes have tables of their own, so that they don't
//! make the bitmaps dense. Of a longer needle the parts that the events have least are entered. Needles and haystacks
//! are folded (see [`super::super::text::fold`]).

use std::sync::Arc;

use super::{
    frequency::Frequencies,
    lookup::{Lookup, spread},
};

/// How far the probes of a table are apart: as many consecutive 4-grams of a needle are entered, and the needle has
/// that many.
const STRIDES: [usize; 3] = [4, 2, 1];

/// Bits of bitmap for each 4-gram: about one probe in 30 passes by chance.
const BITS_PER_GRAM: usize = 32;

/// Finds needles by their identities; what it finds is verified.
#[derive(Debug)]
pub(super) struct Grams {
    by_stride: [Option<Table>; STRIDES.len()],
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

/// Needles of one to three bytes.
#[derive(Debug)]
struct Short {
    /// Those of one byte, looked for one by one.
    single: Vec<u32>,
    /// For each pair of bytes, whether a needle starts with it.
    pairs: Box<[u64]>,
    double: Option<Lookup<u32>>,
}

impl Grams {
    /// Of folded needles and their identities; an empty needle is in every text and not to be entered here.
    /// `None` without needles.
    pub(super) fn new(needles: Vec<(Arc<[u8]>, u32)>, frequencies: &Frequencies) -> Option<Self> {
        if needles.is_empty() {
            return None;
        }
        let mut parts: [Vec<(u64, Part)>; STRIDES.len()] = Default::default();
        let (mut single, mut double) = (Vec::new(), Vec::new());
        for (needle, (bytes, _)) in (0..).zip(&needles) {
            match bytes.len() {
                0 => {}
                1 => single.push(needle),
                2 | 3 => double.push((pair(bytes[0], bytes[1]), needle)),
                length => {
                    let table = STRIDES.iter().position(|stride| stride + 3 <= length).unwrap_or(STRIDES.len() - 1);
                    let from = frequencies.rarest(bytes, STRIDES[table]);
                    let offsets = from..from + STRIDES[table];
                    let part = |offset: usize| Part { needle, offset: offset as u32 };
                    parts[table].extend(offsets.map(|offset| (gram(&bytes[offset..]).into(), part(offset))));
                }
            }
        }
        let short = Short::new(single, double);
        Some(Grams { by_stride: parts.map(Table::new), short, needles: needles.into() })
    }

    /// Entries of the tables.
    pub(super) fn len(&self) -> usize {
        let tables = self.by_stride.iter().flatten().map(|table| table.parts.len()).sum::<usize>();
        tables + self.needles.len()
    }

    /// Calls `found` with the identity of each needle that stands in the folded text, once or more.
    pub(super) fn scan(&self, text: &[u8], found: &mut impl FnMut(u32)) {
        let [fourth, second, each] = &self.by_stride;
        if let Some(table) = fourth {
            self.probe(table, text.chunks_exact(4), 4, text, found);
        }
        if let Some(table) = second {
            self.probe(table, text.windows(4).step_by(2), 2, text, found);
        }
        if let Some(table) = each {
            self.probe(table, text.windows(4), 1, text, found);
        }
        if let Some(short) = &self.short {
            self.scan_short(short, text, found);
        }
    }

    #[inline(always)]
    fn probe<'t>(
        &self,
        table: &Table,
        probes: impl Iterator<Item = &'t [u8]>,
        stride: usize,
        text: &[u8],
        found: &mut impl FnMut(u32),
    ) {
        for (at, bytes) in probes.enumerate() {
            let gram = gram(bytes);
            if table.may_have(gram) {
                self.verify(table, gram, at * stride, text, found);
            }
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
        for needle in &short.single {
            let (needle, id) = &self.needles[*needle as usize];
            if memchr::memchr(needle[0], text).is_some() {
                found(*id);
            }
        }
        let Some(double) = &short.double else { return };
        for (at, bytes) in text.windows(2).enumerate() {
            let pair = pair(bytes[0], bytes[1]);
            if short.pairs[pair as usize / 64] >> (pair % 64) & 1 == 0 {
                continue;
            }
            for needle in double.get(pair) {
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
        (spread(gram.into()) >> self.shift) as usize
    }

    #[inline(always)]
    fn may_have(&self, gram: u32) -> bool {
        let bit = self.bit(gram);
        self.bits[bit / 64] >> (bit % 64) & 1 == 1
    }
}

impl Short {
    fn new(single: Vec<u32>, double: Vec<(u64, u32)>) -> Option<Self> {
        let mut pairs = vec![0; (1 << 16) / 64];
        for (pair, _) in &double {
            pairs[*pair as usize / 64] |= 1 << (pair % 64);
        }
        let double = Lookup::new(double);
        (double.is_some() || !single.is_empty()).then_some(Short { single, pairs: pairs.into(), double })
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
        if let Some(grams) = Grams::new(entered, &Frequencies::default()) {
            grams.scan(text.as_bytes(), &mut |id| {
                found.insert(id);
            });
        }
        found
    }

    proptest! {
        #[test]
        fn finds_exactly_the_needles_that_stand_in_the_text(
            needles in prop::collection::vec("[abé]{1,5}|[abé]{1,12}", 1..20),
            text in "[abé]{0,60}",
        ) {
            let really: BTreeSet<u32> =
                needles.iter().zip(0..).filter(|(needle, _)| text.contains(&**needle)).map(|(_, id)| id).collect();
            prop_assert_eq!(found(&needles, &text), really);
        }
    }
}
