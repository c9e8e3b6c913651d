//! The timers of one group: which key has to be looked at when.
//!
//! Those that are near are in order; those further off lie in buckets of about four seconds, twelve bytes each, until
//! their bucket comes up. A timer that was put off stays: whoever it wakes looks again.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Timestamp;

/// The bits of a time inside its bucket.
const BUCKET_BITS: u32 = 32;

/// A key: the number of its rule's plan, and its place in that one's table.
pub(super) type KeyPlace = (u32, u32);

#[derive(Debug, Default)]
pub(super) struct Timers {
    near: BTreeSet<(Timestamp, KeyPlace)>,
    /// By bucket: (time inside the bucket, key).
    far: BTreeMap<i64, Vec<(u32, u32, u32)>>,
    /// The last bucket that is near.
    opened: Option<i64>,
}

impl Timers {
    pub fn set(&mut self, at: Timestamp, (plan, key): KeyPlace) {
        let bucket = at.0 >> BUCKET_BITS;
        if self.opened.is_some_and(|opened| bucket <= opened) {
            self.near.insert((at, (plan, key)));
        } else {
            self.far.entry(bucket).or_default().push((at.0 as u32, plan, key));
        }
    }

    /// The time of the earliest timer, if that is before `end`.
    pub fn first_before(&mut self, end: Timestamp) -> Option<Timestamp> {
        while let Some((bucket, _)) = self.far.first_key_value() {
            let begins = Timestamp(bucket << BUCKET_BITS);
            if begins >= end || self.near.first().is_some_and(|(at, _)| *at < begins) {
                break;
            }
            self.open_first();
        }
        self.near.first().map(|(at, _)| *at).filter(|at| *at < end)
    }

    /// Takes the keys of all timers at the time that [`Timers::first_before`] gave.
    pub fn take(&mut self, at: Timestamp) -> Vec<KeyPlace> {
        let mut keys = Vec::new();
        while let Some((_, key)) = self.near.first().filter(|(first, _)| *first == at).copied() {
            self.near.pop_first();
            keys.push(key);
        }
        keys
    }

    fn open_first(&mut self) {
        if let Some((bucket, timers)) = self.far.pop_first() {
            self.opened = Some(bucket);
            let at = |inside: u32| Timestamp((bucket << BUCKET_BITS) | i64::from(inside));
            self.near.extend(timers.into_iter().map(|(inside, plan, key)| (at(inside), (plan, key))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_the_order_of_their_times_wherever_they_were_put() {
        let mut timers = Timers::default();
        let second = 1_000_000_000;
        let put = [90 * second, -3 * second, 0, 5 * second + 1, 5 * second, 90 * second];
        put.iter().zip(0..).for_each(|(at, key)| timers.set(Timestamp(*at), (0, key)));
        let mut seen = Vec::new();
        while let Some(at) = timers.first_before(Timestamp(90 * second + 1)) {
            seen.push((at.0 / second, timers.take(at).len()));
            if seen.len() == 2 {
                timers.set(Timestamp(2 * second), (0, 9));
            }
        }
        assert_eq!(seen, [(-3, 1), (0, 1), (2, 1), (5, 1), (5, 1), (90, 2)]);
        timers.set(Timestamp(100 * second), (0, 1));
        assert_eq!(timers.first_before(Timestamp(100 * second)), None);
    }
}
