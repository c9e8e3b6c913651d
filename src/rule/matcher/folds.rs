//! The texts of an event with case folded away: made once for each field that something asks for.

use super::{
    super::text::fold_into,
    shown::{ALL_VALUES, Shown},
};
use crate::event::Slot;

/// Room that is kept for the next event: one huge record does not hold its memory for ever.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Folded scalars of one event's fields, in storage that every event reuses.
#[derive(Debug, Default)]
pub(super) struct Folds {
    bytes: Vec<u8>,
    /// Of each scalar, where it is in `bytes`.
    ends: Vec<(u32, u32)>,
    /// By slot, [`ALL_VALUES`] last: the event that it was folded for, and where its scalars are in `ends`.
    slots: Vec<(u32, u32, u32)>,
}

impl Folds {
    pub(super) fn new(slots: usize) -> Self {
        Folds { slots: vec![(0, 0, 0); slots + 1], ..Folds::default() }
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

    /// The folded scalars of a field, in order; numbers and booleans as they are written.
    pub(super) fn of(&mut self, event: u32, seen: Shown<'_>, slot: Slot) -> impl ExactSizeIterator<Item = &[u8]> {
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
        let bytes = &self.bytes;
        self.ends[first as usize..end as usize].iter().map(move |(start, end)| &bytes[*start as usize..*end as usize])
    }
}
