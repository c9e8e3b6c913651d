//! The timers of one group: which key has to be looked at when. A timer that was put off stays: whoever it wakes looks
//! again.

use super::buckets::{Buckets, Timed};
use crate::event::Timestamp;

/// A key: the number of its rule's plan, and its place in that one's table.
pub(super) type KeyPlace = (u32, u32);

#[derive(Debug, Default)]
pub(super) struct Timers(Buckets<Timer>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    at: Timestamp,
    key: KeyPlace,
}

impl Timed for Timer {
    fn time(&self) -> Timestamp {
        self.at
    }
}

impl Timers {
    pub fn set(&mut self, at: Timestamp, key: KeyPlace) {
        self.0.put(Timer { at, key });
    }

    /// The time of the earliest timer, if that is before `end`.
    pub fn first_before(&mut self, end: Timestamp) -> Option<Timestamp> {
        self.0.first_before(end)
    }

    /// Takes the keys of all timers at the time that [`Timers::first_before`] gave, each once.
    pub fn take(&mut self, at: Timestamp) -> Vec<KeyPlace> {
        let mut keys = Vec::new();
        while self.0.peek().is_some_and(|timer| timer.at == at) {
            keys.extend(self.0.pop().map(|timer| timer.key));
        }
        keys.dedup();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timers_of_one_time_are_taken_together_and_once() {
        let mut timers = Timers::default();
        let second = 1_000_000_000;
        for (at, key) in [(90, 0), (-3, 0), (5, 2), (5, 1), (5, 2), (90, 1)] {
            timers.set(Timestamp(at * second), (0, key));
        }
        let mut taken = Vec::new();
        while let Some(at) = timers.first_before(Timestamp(90 * second)) {
            taken.push((at.0 / second, timers.take(at).iter().map(|(_, key)| *key).collect::<Vec<_>>()));
        }
        assert_eq!(taken, [(-3, vec![0]), (5, vec![1, 2])]);
    }
}
