//! Which pairs of bytes stand in a text, roughly: marks that tell of most tests that they are false before the test, or
//! the text that it looks for, is touched. What is touched of ten thousand tests lies far apart in memory, and that is
//! what asking them costs.

use super::atom::{Atom, Cue};
use crate::event::Slot;

/// Marks of a text. Pairs that share one are taken for each other.
const MARKS: usize = 1 << 8;

/// Pairs of a test that are looked for.
const PAIRS: usize = 4;

/// Longer texts have nearly every mark.
const BYTES_MAX: usize = 1024;

/// The marks of a field's folded texts.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    /// The event that they are of.
    pub(super) event: u32,
    /// The texts are short enough to tell.
    tell: bool,
    has: [bool; MARKS],
}

/// What the texts of a field have where a test of it is true.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hint {
    pub(super) slot: Slot,
    marks: [u8; PAIRS],
}

impl Default for Marks {
    fn default() -> Self {
        Marks { event: 0, tell: false, has: [false; MARKS] }
    }
}

impl Marks {
    /// Takes in the texts of an event instead of those before.
    pub(super) fn take<'t>(&mut self, event: u32, texts: impl Iterator<Item = &'t [u8]> + Clone) {
        self.event = event;
        self.tell = texts.clone().map(<[u8]>::len).sum::<usize>() <= BYTES_MAX;
        if self.tell {
            self.has = [false; MARKS];
            for text in texts {
                text.windows(2).for_each(|pair| self.has[usize::from(mark(pair))] = true);
            }
        }
    }

    /// Whether the texts may have what the hint says.
    #[inline]
    pub(super) fn may_have(&self, hint: Hint) -> bool {
        !self.tell || hint.marks.iter().all(|mark| self.has[usize::from(*mark)])
    }
}

impl Hint {
    /// Of a test that is true only where one certain text of two bytes or more stands in the field.
    pub(super) fn of(atom: &Atom) -> Option<Self> {
        let Atom::Field(atom) = atom else { return None };
        let Cue::Signs(signs) = atom.cue() else { return None };
        let only_texts = signs.numbers.is_empty() && signs.networks.is_none() && !signs.everywhere;
        let ([needle], true) = (&signs.needles[..], only_texts) else { return None };
        let pairs = needle.text.len().checked_sub(1).filter(|pairs| *pairs > 0)?;
        // spread over the text
        let pair = |at: usize| mark(&needle.text[at * (pairs - 1) / (PAIRS - 1)..]);
        Some(Hint { slot: atom.slot, marks: std::array::from_fn(pair) })
    }
}

#[inline(always)]
fn mark(pair: &[u8]) -> u8 {
    (u16::from_le_bytes([pair[0], pair[1]]).wrapping_mul(0x9e37) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        event::Wanted,
        rule::{
            field_test::{Asks, FieldTest},
            matcher::atom::Atoms,
            predicate::Predicate,
            text::TextTest,
        },
    };

    fn hint(wanted: &str) -> Option<Hint> {
        let fields = Wanted::new(["f"]);
        let mut atoms = Atoms::new(&fields);
        let asks = Asks::text(TextTest::Contains, true, wanted);
        atoms.node(&Predicate::Field(FieldTest { path: "f".into(), asks }));
        Hint::of(atoms.list.last()?)
    }

    fn may_have(texts: &[&str], wanted: &str) -> bool {
        let mut marks = Marks::default();
        marks.take(1, texts.iter().map(|text| text.as_bytes()));
        hint(wanted).is_none_or(|hint| marks.may_have(hint))
    }

    proptest! {
        #[test]
        fn what_stands_in_a_text_is_never_denied(before in "[a-dé]{0,9}", wanted in "[a-dé]{0,9}", after in "[a-d]{0,9}") {
            let text = [before, wanted.clone(), after].concat();
            prop_assert!(may_have(&["", &text], &wanted));
        }
    }

    #[test]
    fn what_does_not_is_denied_mostly() {
        assert!(!may_have(&[r"c:\windows\system32\cmd.exe", "x"], r"\powershell.exe"));
        assert!(may_have(&[&r"c:\windows\".repeat(BYTES_MAX)], r"\powershell.exe"));
        assert!(hint("a").is_none() && hint("ab").is_some());
    }
}
