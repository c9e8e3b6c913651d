//! The event that is being matched, as tests read it.

use std::borrow::Cow;

use super::super::predicate::Reads;
use crate::event::{Scalar, Timestamp, Value, View};

/// The wanted fields of an event and its time.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    pub view: View<'a>,
    pub time: Timestamp,
}

/// A path that nobody declared is missing: the paths of all tests are wanted.
impl Reads for Shown<'_> {
    fn any(&self, path: &str, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        self.view.slot(path).is_some_and(|slot| self.view.scalars(slot).any(visit))
    }

    fn exists(&self, path: &str) -> bool {
        self.view.slot(path).is_some_and(|slot| self.view.exists(slot))
    }

    fn value(&self, path: &str) -> Option<Cow<'_, Value>> {
        self.view.slot(path).and_then(|slot| self.view.value(slot)).map(Cow::Owned)
    }

    fn time(&self) -> Timestamp {
        self.time
    }
}
