//! The event that is being matched, as tests read it.

use std::borrow::Cow;

use super::super::predicate::{EVERYWHERE, Reads};
use crate::event::{Scalar, SharedEvent, Slot, Timestamp, Value, View};

/// The wanted fields of an event, its time, and all of it for those who ask.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    pub view: View<'a>,
    pub time: Timestamp,
    /// The event in full. It is asked for only where a test of all values has to be, so it may be dear; it has to give
    /// the same event each time.
    pub whole: &'a dyn Fn() -> SharedEvent,
}

/// The slot of tests of all values: that of no wanted path.
pub(super) const ALL_VALUES: Slot = Slot(u32::MAX);

impl Shown<'_> {
    /// Whether there is something in the slot, [`ALL_VALUES`] included.
    pub(super) fn has(&self, slot: Slot) -> bool {
        slot == ALL_VALUES || self.view.exists(slot)
    }

    /// Visits every scalar of the slot, [`ALL_VALUES`] included, until `visit` answers true; says whether it did.
    #[inline]
    pub(super) fn any_of(&self, slot: Slot, mut visit: impl FnMut(Scalar<'_>) -> bool) -> bool {
        match slot {
            ALL_VALUES => Reads::any(&*(self.whole)(), EVERYWHERE, &mut visit),
            slot => self.view.scalars(slot).any(visit),
        }
    }
}

/// A path that nobody declared is missing: the paths of all tests are wanted.
impl Reads for Shown<'_> {
    fn any(&self, path: &str, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        match path {
            EVERYWHERE => Reads::any(&*(self.whole)(), EVERYWHERE, visit),
            path => self.view.slot(path).is_some_and(|slot| self.view.scalars(slot).any(visit)),
        }
    }

    fn exists(&self, path: &str) -> bool {
        path == EVERYWHERE || self.view.slot(path).is_some_and(|slot| self.view.exists(slot))
    }

    fn value(&self, path: &str) -> Option<Cow<'_, Value>> {
        self.view.slot(path).and_then(|slot| self.view.value(slot)).map(Cow::Owned)
    }

    fn time(&self) -> Timestamp {
        self.time
    }
}
