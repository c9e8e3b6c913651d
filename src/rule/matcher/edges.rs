//! Which of many texts another one starts with, ends with or is: a look-up of its first or last bytes.
//!
//! A needle is entered under its first (or last) 8 bytes, or 4, 2 or 1 where it is shorter, so a text costs one
//! look-up for each width in use, however many needles there are. Many paths end in the same bytes (`hell.exe`), so
//! the next bytes stand beside those. Needles and texts are folded.

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
    by_width: [Option<Lookup<Entry>>; WIDTHS.len()],
    needles: Texts,
}

/// A needle beside its first (or last) bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The bytes that follow them (or that they follow): 8, or all where the needle has fewer.
    next: u64,
    needle: u32,
    /// How many bytes are next.
    width: u8,
    /// There are no others.
    is_all: bool,
}

impl Edges {
    /// Of folded needles of at least one byte and their identities; `None` without needles.
    pub(super) fn new(edge: Edge, needles: Vec<(Arc<[u8]>, u32)>) -> Option<Self> {
        if needles.is_empty() {
            return None;
        }
        let mut by_width: [Vec<(u64, Entry)>; WIDTHS.len()] = Default::default();
        for (needle, (bytes, _)) in (0..).zip(&needles) {
            if let Some(at) = WIDTHS.iter().position(|width| *width <= bytes.len())
                && let Some((key, rest)) = edge.split(bytes, WIDTHS[at])
            {
                let width = rest.len().min(8);
                let next = edge.nearest(edge.next(rest), width as u8);
                let entry = Entry { next, needle, width: width as u8, is_all: width == rest.len() };
                by_width[at].push((number(key), entry));
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
            let Some(lookup) = lookup else { continue };
            let Some((key, rest)) = self.edge.split(text, width) else { continue };
            let next = self.edge.next(rest);
            for entry in lookup.get(number(key)) {
                let is_next =
                    self.edge.nearest(next, entry.width) == entry.next && usize::from(entry.width) <= rest.len();
                if is_next && (entry.is_all || self.edge.holds(text, self.needles.text(entry.needle))) {
                    found(self.needles.id(entry.needle));
                }
            }
        }
    }
}

impl Edge {
    /// The first (or last) `width` bytes and the others; `None` of a shorter text.
    #[inline]
    fn split(self, text: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
        match self {
            Edge::Start => text.split_at_checked(width),
            Edge::End => text.split_at_checked(text.len().checked_sub(width)?).map(|(rest, own)| (own, rest)),
        }
    }

    /// The next 8 bytes of a text, or all where there are fewer, to be taken from with [`Edge::nearest`].
    #[inline]
    fn next(self, rest: &[u8]) -> u64 {
        let width = rest.len().min(8);
        let next = self.split(rest, width).map_or(0, |(next, _)| number(next));
        match self {
            Edge::Start => next,
            Edge::End => next.checked_shl(64 - 8 * width as u32).unwrap_or(0),
        }
    }

    /// The `width` nearest of the next bytes as a number.
    #[inline]
    fn nearest(self, next: u64, width: u8) -> u64 {
        let others = 64 - 8 * u32::from(width);
        match self {
            Edge::Start => next.checked_shl(others).map_or(0, |own| own >> others),
            Edge::End => next.checked_shr(others).unwrap_or(0),
        }
    }

    #[inline]
    fn holds(self, text: &[u8], needle: &[u8]) -> bool {
        match self {
            Edge::Start => text.starts_with(needle),
            Edge::End => text.ends_with(needle),
        }
    }
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
            needles in prop::collection::vec("[ab\0]{1,11}|b?a{12,18}b?", 1..20),
            text in "[ab\0]{0,14}|b?a{12,22}b?",
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
