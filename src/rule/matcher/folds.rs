//! The texts of an event with case folded away: made once for each field that something asks for.

use std::ops::Range;

use super::{
    super::text::fold_into,
    marks::Marks,
    shown::{ALL_VALUES, Shown},
};
use crate::event::{KEPT_BYTES_MAX, Slot, escape};

/// Folded scalars of one event's fields, in storage that every event reuses.
#[derive(Debug, Default)]
pub(super) struct Folds {
    bytes: Vec<u8>,
    /// Of each scalar, where it is in `bytes`.
    ends: Vec<(u32, u32)>,
    /// By slot, [`ALL_VALUES`] last: the event that it was folded for, and where its scalars are in `ends`.
    slots: Vec<(u32, u32, u32)>,
    /// By slot.
    marks: Vec<Marks>,
    /// The event whose text as a whole is in `bytes`, and where.
    whole: (u32, u32, u32),
    /// Storage for one escaped text.
    escaped: String,
}

impl Folds {
    pub(super) fn new(slots: usize) -> Self {
        Folds { slots: vec![(0, 0, 0); slots + 1], marks: vec![Marks::default(); slots], ..Folds::default() }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots.len() - 1
    }

    /// All that was folded for this event, one text after the other.
    pub(super) fn texts(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the event before.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.ends.shrink_to(KEPT_BYTES_MAX / size_of::<(u32, u32)>());
    }

    /// All values of the event as one folded text: its record where that is JSON, else one value after the other,
    /// escaped as they would be there. A text that is not in it, escaped and folded, is in no value.
    ///
    /// So a record that is no JSON is decoded in full for each event that a rule of keywords sees: formats and extracts
    /// give fields texts that its line does not have as they are (a level for a number, a pair that was unescaped).
    pub(super) fn whole(&mut self, event: u32, seen: Shown<'_>) -> &[u8] {
        if self.whole.0 != event {
            let Folds { bytes, escaped, .. } = self;
            let start = bytes.len() as u32;
            if let Some(json) = seen.view.json_text() {
                json.each_piece(&mut |piece| fold_into(piece, bytes));
            } else {
                seen.any_of(ALL_VALUES, |scalar| {
                    escaped.clear();
                    escape(scalar.as_text(), escaped);
                    fold_into(escaped, bytes);
                    // which no escaped text has
                    bytes.push(b'\n');
                    false
                });
                escaped.shrink_to(KEPT_BYTES_MAX);
            }
            self.whole = (event, start, self.bytes.len() as u32);
        }
        let (_, start, end) = self.whole;
        &self.bytes[start as usize..end as usize]
    }

    /// The marks of a field's folded scalars.
    #[inline]
    pub(super) fn marks(&mut self, event: u32, seen: Shown<'_>, slot: Slot) -> &Marks {
        if self.marks[slot.index()].event != event {
            let scalars = self.folded(event, seen, slot);
            let Folds { bytes, ends, marks, .. } = self;
            marks[slot.index()].take(event, ends[scalars].iter().map(|scalar| text(bytes, *scalar)));
        }
        &self.marks[slot.index()]
    }

    /// The folded scalars of a field, in order; numbers and booleans as they are written.
    pub(super) fn of(&mut self, event: u32, seen: Shown<'_>, slot: Slot) -> impl ExactSizeIterator<Item = &[u8]> {
        let scalars = self.folded(event, seen, slot);
        let bytes = &self.bytes;
        self.ends[scalars].iter().map(move |scalar| text(bytes, *scalar))
    }

    /// Folds a field, and says where its scalars are in `ends`.
    #[inline]
    fn folded(&mut self, event: u32, seen: Shown<'_>, slot: Slot) -> Range<usize> {
        let at = if slot == ALL_VALUES { self.slots() } else { slot.index() };
        if self.slots[at].0 != event {
            let first = self.ends.len() as u32;
            seen.any_of(slot, |scalar| {
                let start = self.bytes.len() as u32;
                fold_into(scalar.as_text(), &mut self.bytes);
                self.ends.push((start, self.bytes.len() as u32));
                false
            });
            self.slots[at] = (event, first, self.ends.len() as u32);
        }
        let (_, first, end) = self.slots[at];
        first as usize..end as usize
    }
}

fn text(bytes: &[u8], (start, end): (u32, u32)) -> &[u8] {
    &bytes[start as usize..end as usize]
}
