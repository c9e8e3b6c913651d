//! What most tests ask, for a text in a field whatever its case, in one piece of memory: of the tests of thousands of
//! rules each event asks a few others, so what counts is how much of each has to be fetched.

use memchr::{arch::all::packedpair::Pair, memchr, memmem};

use super::{
    super::{field_test::Asks, text::TextTest},
    atom::Atom,
};
use crate::event::Slot;

/// In longer texts a needle is looked for in a way whose cost is bounded by the text's length alone.
const SHORT_MAX: usize = 512;

/// The tests by atom; those of other atoms are elsewhere.
#[derive(Debug)]
pub(super) struct PackedTests {
    tests: Box<[Option<Packed>]>,
    needles: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    pub(super) slot: Slot,
    start: u32,
    length: u32,
    /// Which byte of the needle texts have least.
    rare: u8,
    test: TextTest,
}

impl PackedTests {
    pub(super) fn new(atoms: &[Atom]) -> Self {
        let mut needles = Vec::new();
        let mut packed = |atom: &Atom| {
            let Atom::Field(atom) = atom else { return None };
            let Asks::Text { test, wanted, .. } = &atom.asks else { return None };
            if !atom.is_packed() {
                return None;
            }
            let start = needles.len() as u32;
            needles.extend_from_slice(wanted.as_bytes());
            let rare = Pair::new(wanted.as_bytes()).map_or(0, |pair| pair.index1());
            Some(Packed { slot: atom.slot, start, length: wanted.len() as u32, rare, test: *test })
        };
        let tests = atoms.iter().map(&mut packed).collect();
        PackedTests { tests, needles: needles.into() }
    }

    #[inline]
    pub(super) fn get(&self, atom: u32) -> Option<Packed> {
        self.tests[atom as usize]
    }

    /// The answer for a folded text.
    #[inline]
    pub(super) fn holds(&self, packed: Packed, text: &[u8]) -> bool {
        let needle = &self.needles[packed.start as usize..][..packed.length as usize];
        match packed.test {
            TextTest::Contains => contains(text, needle, packed.rare.into()),
            TextTest::StartsWith => text.starts_with(needle),
            TextTest::EndsWith => text.ends_with(needle),
            TextTest::Equals => text == needle,
            TextTest::Like => false,
        }
    }
}

/// Looks for the needle's rare byte, and for the needle around it.
fn contains(text: &[u8], needle: &[u8], rare: usize) -> bool {
    let Some(byte) = needle.get(rare).filter(|_| text.len() <= SHORT_MAX) else {
        return memmem::find(text, needle).is_some();
    };
    let Some(starts) = (text.len() + 1).checked_sub(needle.len()) else { return false };
    let mut start = 0;
    while let Some(found) = memchr(*byte, &text[start + rare..starts + rare]) {
        start += found;
        if text[start..].starts_with(needle) {
            return true;
        }
        start += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_needle_is_found_wherever_it_stands(
            needle in "[ab]{0,4}|[abc]{1,9}",
            text in "[ab]{0,20}|[abc]{0,40}|[ab]{500,530}",
            rare in any::<prop::sample::Index>(),
        ) {
            let rare = if needle.is_empty() { 0 } else { rare.index(needle.len()) };
            prop_assert_eq!(contains(text.as_bytes(), needle.as_bytes(), rare), text.contains(&needle));
        }
    }
}
