//! Which of many texts may stand somewhere in another: bitmaps of short pieces ("grams") decide without looking at any
//! of them.
//!
//! A needle of 11 bytes or more has four consecutive pieces of 8 bytes, one of which lies at a multiple of four wherever
//! the needle stands; so the four are entered and the haystack is probed at each fourth byte. Shorter needles are entered
//! by pieces of 4 bytes: of 7 bytes or more they are probed for at each fourth byte, of 5 or 6 at every second, of 4 at
//! each. Where there are some of these last, each place is probed in any case, so all that are entered by 4 bytes are
//! entered once, with them. Those of 2 or 3 bytes have a table of their own, so that they don't make the bitmaps dense,
//! and where there are only a few short ones, these are looked for one by one. Of a longer needle the parts that the
//! events have least are entered. Needles and haystacks are folded (see [`super::super::text::fold`]).
//!
//! Needles beyond ASCII stand apart: most haystacks are ASCII and have none of them. Rules have many, each a common one
//! with another dash.

use std::sync::Arc;

use memchr::memmem::Finder;

use super::{
    frequency::Frequencies,
    lookup::{Lookup, spread},
    texts::{Texts, number},
};

/// Who is entered in a table, and how.
#[derive(Debug, Clone, Copy)]
struct Class {
    /// How far the probes are apart: as many consecutive grams of a needle are entered.
    stride: usize,
    /// Bytes of a gram.
    width: usize,
    /// So many needles at most are cheaper to look for one by one than to probe for.
    few: usize,
}

const CLASSES: [Class; 4] = [
    Class { stride: 4, width: 8, few: 0 },
    Class { stride: 4, width: 4, few: 1 },
    Class { stride: 2, width: 4, few: 2 },
    Class { stride: 1, width: 4, few: 4 },
];

/// As [`Class::few`], of needles of two or three bytes.
const FEW_SHORT: usize = 4;

/// Bits of bitmap for each gram, two of which are set: about one probe in 64 passes by chance.
const BITS_PER_GRAM: usize = 16;

/// Finds needles by their identities; what it finds is verified.
#[derive(Debug)]
pub(super) struct Grams {
    ascii: Option<Sieve>,
    beyond: Option<Sieve>,
}

#[derive(Debug)]
struct Sieve {
    tables: [Option<Table>; CLASSES.len()],
    pairs: Option<Pairs>,
    /// Needles that are looked for one by one.
    single: Vec<(Finder<'static>, u32)>,
    needles: Texts,
}

/// A place in a needle, where one of its grams stands.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// The needle's bytes around the gram: 8, or all where it has fewer.
    around: u64,
    needle: u32,
    /// How far after the needle's start the gram stands.
    offset: u32,
    /// How far after the first byte of `around`.
    back: u8,
    /// How many bytes are around.
    width: u8,
    /// They are the needle.
    is_all: bool,
}

#[derive(Debug)]
struct Table {
    shift: u32,
    bits: Box<[u64]>,
    parts: Lookup<Part>,
}

/// Needles of two or three bytes.
#[derive(Debug)]
struct Pairs {
    /// For each pair of bytes, whether a needle starts with it.
    starts: Box<[u64]>,
    needles: Lookup<u32>,
}

impl Grams {
    /// Of folded needles and their identities; an empty needle is in every text and not to be entered here.
    /// `None` without needles.
    pub(super) fn new(needles: Vec<(Arc<[u8]>, u32)>, frequencies: &Frequencies) -> Option<Self> {
        let (ascii, beyond): (Vec<_>, Vec<_>) = needles.into_iter().partition(|(needle, _)| needle.is_ascii());
        let grams = Grams { ascii: Sieve::new(&ascii, frequencies), beyond: Sieve::new(&beyond, frequencies) };
        (grams.len() > 0).then_some(grams)
    }

    /// Entries of the tables.
    pub(super) fn len(&self) -> usize {
        self.ascii.iter().chain(&self.beyond).map(Sieve::len).sum()
    }

    /// Calls `found` with the identity of each needle that stands in the folded text, once or more.
    pub(super) fn scan(&self, text: &[u8], found: &mut impl FnMut(u32)) {
        if let Some(ascii) = &self.ascii {
            ascii.scan(text, found);
        }
        if let Some(beyond) = &self.beyond
            && !text.is_ascii()
        {
            beyond.scan(text, found);
        }
    }
}

impl Sieve {
    fn new(needles: &[(Arc<[u8]>, u32)], frequencies: &Frequencies) -> Option<Self> {
        if needles.is_empty() {
            return None;
        }
        let (mut by_class, mut short, mut single): ([Vec<u32>; CLASSES.len()], _, _) = Default::default();
        for (needle, (bytes, _)) in (0..).zip(needles) {
            let numbers: &mut Vec<u32> = match bytes.len() {
                0 => continue,
                1 => &mut single,
                2 | 3 => &mut short,
                length => {
                    let fits = |class: &Class| class.width + class.stride - 1 <= length;
                    &mut by_class[CLASSES.iter().position(fits).unwrap_or(CLASSES.len() - 1)]
                }
            };
            numbers.push(needle);
        }
        let few = CLASSES.map(|class| class.few);
        for (numbers, few) in by_class.iter_mut().zip(few).chain([(&mut short, FEW_SHORT)]) {
            if numbers.len() <= few {
                single.append(numbers);
            }
        }
        let [_, fourth, second, each] = &mut by_class;
        if !each.is_empty() {
            each.append(fourth);
            each.append(second);
        }
        let bytes = |needle: u32| &*needles[needle as usize].0;
        let table = |class: usize| {
            let entered = by_class[class].iter();
            Table::new(entered.flat_map(|needle| parts(*needle, bytes(*needle), CLASSES[class], frequencies)).collect())
        };
        let pair_of = |needle: &u32| (pair(bytes(*needle)[0], bytes(*needle)[1]), *needle);
        let finder = |needle: &u32| (Finder::new(bytes(*needle)).into_owned(), needles[*needle as usize].1);
        Some(Sieve {
            tables: [0, 1, 2, 3].map(table),
            pairs: Pairs::new(short.iter().map(pair_of).collect()),
            single: single.iter().map(finder).collect(),
            needles: Texts::new(needles),
        })
    }

    fn len(&self) -> usize {
        let tables = self.tables.iter().flatten().map(|table| table.parts.len()).sum::<usize>();
        tables + self.needles.len()
    }

    fn scan(&self, text: &[u8], found: &mut impl FnMut(u32)) {
        let [long, fourth, second, each] = &self.tables;
        if let Some(table) = long {
            self.probe::<8>(table, text.windows(8).step_by(4), 4, text, found);
        }
        if let Some(table) = fourth {
            self.probe::<4>(table, text.chunks_exact(4), 4, text, found);
        }
        if let Some(table) = second {
            self.probe::<4>(table, text.windows(4).step_by(2), 2, text, found);
        }
        if let Some(table) = each {
            self.probe::<4>(table, text.windows(4), 1, text, found);
        }
        if let Some(pairs) = &self.pairs {
            self.scan_pairs(pairs, text, found);
        }
        for (finder, id) in &self.single {
            if finder.find(text).is_some() {
                found(*id);
            }
        }
    }

    #[inline(always)]
    fn probe<'t, const WIDTH: usize>(
        &self,
        table: &Table,
        probes: impl Iterator<Item = &'t [u8]>,
        stride: usize,
        text: &[u8],
        found: &mut impl FnMut(u32),
    ) {
        for (at, bytes) in probes.enumerate() {
            let gram = gram::<WIDTH>(bytes);
            if table.may_have(gram) {
                self.verify(table, gram, at * stride, text, found);
            }
        }
    }

    #[inline(never)]
    fn verify(&self, table: &Table, gram: u64, at: usize, text: &[u8], found: &mut impl FnMut(u32)) {
        for part in table.parts.get(gram) {
            let Some(start) = at.checked_sub(part.offset as usize) else { continue };
            if part.stands(at, text) && (part.is_all || text[start..].starts_with(self.needles.text(part.needle))) {
                found(self.needles.id(part.needle));
            }
        }
    }

    fn scan_pairs(&self, pairs: &Pairs, text: &[u8], found: &mut impl FnMut(u32)) {
        for (at, bytes) in text.windows(2).enumerate() {
            let pair = pair(bytes[0], bytes[1]);
            if pairs.starts[pair as usize / 64] >> (pair % 64) & 1 == 0 {
                continue;
            }
            for needle in pairs.needles.get(pair) {
                if text[at..].starts_with(self.needles.text(needle)) {
                    found(self.needles.id(needle));
                }
            }
        }
    }
}

/// What is entered of a needle: as many grams as the stride, where the events have them least.
fn parts(needle: u32, bytes: &[u8], class: Class, frequencies: &Frequencies) -> impl Iterator<Item = (u64, Part)> {
    let from = frequencies.rarest(bytes, class.stride, class.width);
    (from..from + class.stride).map(move |offset| {
        let first = offset.min(bytes.len().saturating_sub(8));
        let around = &bytes[first..bytes.len().min(first + 8)];
        let part = Part {
            around: number(around),
            needle,
            offset: offset as u32,
            back: (offset - first) as u8,
            width: around.len() as u8,
            is_all: around.len() == bytes.len(),
        };
        (number(&bytes[offset..offset + class.width]), part)
    })
}

impl Part {
    /// Whether the bytes around the gram stand in the text, which has the gram there; the needle may start before
    /// the text does.
    #[inline]
    fn stands(&self, at: usize, text: &[u8]) -> bool {
        let Some(from) = at.checked_sub(self.back.into()) else { return false };
        text.get(from..from + usize::from(self.width)).is_some_and(|around| number(around) == self.around)
    }
}

impl Table {
    fn new(parts: Vec<(u64, Part)>) -> Option<Self> {
        let bits = (parts.len() * BITS_PER_GRAM).next_power_of_two().max(1024);
        let words = bits / 64;
        let mut table =
            Table { shift: 64 - words.trailing_zeros(), bits: vec![0; words].into(), parts: Lookup::new(parts)? };
        let grams: Vec<u64> = table.parts.keys().collect();
        for gram in grams {
            let (word, marks) = table.marks(gram);
            table.bits[word] |= marks;
        }
        Some(table)
    }

    /// The word of the bitmap that a gram marks, and its two bits there.
    #[inline(always)]
    fn marks(&self, gram: u64) -> (usize, u64) {
        let spread = spread(gram);
        ((spread >> self.shift) as usize, 1 << (spread >> 40 & 63) | 1 << (spread >> 34 & 63))
    }

    #[inline(always)]
    fn may_have(&self, gram: u64) -> bool {
        let (word, marks) = self.marks(gram);
        self.bits[word] & marks == marks
    }
}

impl Pairs {
    fn new(pairs: Vec<(u64, u32)>) -> Option<Self> {
        let mut starts = vec![0; (1 << 16) / 64];
        for (pair, _) in &pairs {
            starts[*pair as usize / 64] |= 1 << (pair % 64);
        }
        Some(Pairs { needles: Lookup::new(pairs)?, starts: starts.into() })
    }
}

/// The first 4 or 8 bytes as a number.
#[inline(always)]
fn gram<const WIDTH: usize>(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight[..WIDTH].copy_from_slice(&bytes[..WIDTH]);
    u64::from_le_bytes(eight)
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
            needles in prop::collection::vec("[abé\0]{1,5}|[ab\0]{1,12}|[ab]{6,20}|[abé]{6,20}", 1..24),
            text in "[abé\0]{0,60}|[ab\0]{0,60}",
        ) {
            let really: BTreeSet<u32> =
                needles.iter().zip(0..).filter(|(needle, _)| text.contains(&**needle)).map(|(_, id)| id).collect();
            prop_assert_eq!(found(&needles, &text), really);
        }
    }
}
