//! Which of many texts another one starts with, ends with or is: a look-up of its first or last bytes.
//!
//! A needle is entered under its first (or last) 8 bytes, or 4, 2 or 1 where it is shorter, so a text costs one
//! look-up for each width in use, however many needles there are. Needles and texts are folded.

use std::sync::Arc;

use super::{
    lookup::Lookup,
    texts::{Texts, number},
};

/// The widths by which needles are entered, widest first.
const WIDTHS: [usize; 4] = [8, 4, 2, 1];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Start,
    End,
}

/// Finds needles at one edge of a text by their identities; what it finds is verified.
#[derive(Debug)]
pub(super) struct Edges {
    edge: Edge,
    by_width: [Option<Lookup<u32>>; WIDTHS.len()],
    needles: Texts,
}

impl Edges {
    /// Of folded needles of at least one byte and their identities; `None` without needles.
    pub(super) fn new(edge: Edge, needles: Vec<(Arc<[u8]>, u32)>) -> Option<Self> {
        if needles.is_empty() {
            return None;
        }
        let mut by_width: [Vec<(u64, u32)>; WIDTHS.len()] = Default::default();
        for (at, (bytes, _)) in needles.iter().enumerate() {
            if let Some(width) = WIDTHS.iter().position(|width| *width <= bytes.len()) {
                by_width[width].extend(key(edge, bytes, WIDTHS[width]).map(|key| (key, at as u32)));
            }
        }
        Some(Edges { edge, by_width: by_width.map(Lookup::new), needles: Texts::new(&needles) })
    }

    pub(super) fn len(&self) -> usize {
        self.needles.len()
    }

    /// Calls `found` with the identity of each needle at this edge of the folded text.
    pub(super) fn scan(&self, text: &[u8], found: &mut impl FnMut(u32)) {
        for (lookup, width) in self.by_width.iter().zip(WIDTHS) {
            let (Some(lookup), Some(key)) = (lookup, key(self.edge, text, width)) else { continue };
            for at in lookup.get(key) {
                let needle = self.needles.text(at);
                let holds = match self.edge {
                    Edge::Start => text.starts_with(needle),
                    Edge::End => text.ends_with(needle),
                };
                if holds {
                    found(self.needles.id(at));
                }
            }
        }
    }
}

/// The first or last `width` bytes as a number.
fn key(edge: Edge, bytes: &[u8], width: usize) -> Option<u64> {
    let part = match edge {
        Edge::Start => bytes.get(..width)?,
        Edge::End => bytes.get(bytes.len().checked_sub(width)?..)?,
    };
    Some(number(part))
}

/// Finds the texts that a text is.
#[derive(Debug)]
pub(super) struct Wholes {
    lookup: Lookup<u32>,
    texts: Texts,
}

impl Wholes {
    /// Of texts and their identities; `None` without texts.
    pub(super) fn new(texts: Vec<(Arc<[u8]>, u32)>) -> Option<Self> {
        let keys = texts.iter().zip(0..).map(|((text, _), at)| (whole(text), at)).collect();
        Some(Wholes { lookup: Lookup::new(keys)?, texts: Texts::new(&texts) })
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The identities of those texts that equal this one.
    pub(super) fn get(&self, text: &[u8]) -> impl Iterator<Item = u32> {
        let found = self.lookup.get(whole(text)).filter(move |at| self.texts.text(*at) == text);
        found.map(|at| self.texts.id(at))
    }
}

/// Length and both ends of a text as a key: cheap however long the text is, and what shares it is compared.
fn whole(text: &[u8]) -> u64 {
    let first = number(&text[..text.len().min(8)]);
    let last = number(&text[text.len() - text.len().min(8)..]);
    (first ^ text.len() as u64).wrapping_mul(0xff51_afd7_ed55_8ccd) ^ last.rotate_left(29)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn entered(needles: &[String]) -> Vec<(Arc<[u8]>, u32)> {
        needles.iter().zip(0..).map(|(needle, id)| (needle.as_bytes().into(), id)).collect()
    }

    fn really(needles: &[String], holds: impl Fn(&str) -> bool) -> BTreeSet<u32> {
        needles.iter().zip(0..).filter(|(needle, _)| holds(needle)).map(|(_, id)| id).collect()
    }

    proptest! {
        #[test]
        fn finds_exactly_the_needles_at_the_edge(
            needles in prop::collection::vec("[ab]{1,11}", 1..20),
            text in "[ab]{0,14}",
        ) {
            for (edge, holds) in [
                (Edge::Start, really(&needles, |needle| text.starts_with(needle))),
                (Edge::End, really(&needles, |needle| text.ends_with(needle))),
            ] {
                let mut found = BTreeSet::new();
                Edges::new(edge, entered(&needles)).unwrap().scan(text.as_bytes(), &mut |id| {
                    found.insert(id);
                });
                prop_assert_eq!(found, holds);
            }
        }

        #[test]
        fn finds_exactly_the_texts_that_are_equal(
            texts in prop::collection::vec("[ab]{0,4}|[ab]{16,18}", 1..20),
            text in "[ab]{0,4}|[ab]{16,18}",
        ) {
            let found: BTreeSet<u32> = Wholes::new(entered(&texts)).unwrap().get(text.as_bytes()).collect();
            prop_assert_eq!(found, really(&texts, |own| own == text));
        }
    }
}
