//! A queue in the order of time, for what mostly comes in that order and mostly lies ahead.
//!
//! What is near is sorted; what is further off lies in buckets of about four seconds, in the order it came, until its
//! bucket comes up. So putting and taking cost O(1) where things come in order, and O(log n) where they come in none,
//! n being what one bucket holds.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

use crate::event::Timestamp;

/// The bits of a time inside its bucket.
const BUCKET_BITS: u32 = 32;

/// What has a time, and an order that begins with it.
pub(super) trait Timed: Ord {
    fn time(&self) -> Timestamp;
}

#[derive(Debug)]
pub(super) struct Buckets<T> {
    /// Of the last bucket that was opened, in order; what comes into it afterwards is added while it comes in order.
    near: VecDeque<T>,
    /// What comes into it, or into those before it, in no order.
    beside: BinaryHeap<Reverse<T>>,
    /// In the order it came.
    far: BTreeMap<i64, Vec<T>>,
    /// The last bucket that is near.
    opened: Option<i64>,
    len: usize,
}

impl<T: Timed> Default for Buckets<T> {
    fn default() -> Self {
        Buckets { near: VecDeque::new(), beside: BinaryHeap::new(), far: BTreeMap::new(), opened: None, len: 0 }
    }
}

impl<T: Timed> Buckets<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn put(&mut self, item: T) {
        self.len += 1;
        let bucket = item.time().0 >> BUCKET_BITS;
        if self.opened.is_some_and(|opened| bucket <= opened) {
            match self.near.back().is_none_or(|last| *last <= item) {
                true => self.near.push_back(item),
                false => self.beside.push(Reverse(item)),
            }
            return;
        }
        match self.far.last_entry() {
            Some(mut last) if *last.key() == bucket => last.get_mut().push(item),
            _ => self.far.entry(bucket).or_default().push(item),
        }
    }

    /// The time of the first item, if that is before `end`.
    pub fn first_before(&mut self, end: Timestamp) -> Option<Timestamp> {
        let mut first = self.first_near();
        while let Some((bucket, _)) = self.far.first_key_value() {
            let begins = Timestamp(bucket << BUCKET_BITS);
            if begins >= end || first.is_some_and(|at| at < begins) {
                break;
            }
            self.open_first();
            first = self.first_near();
        }
        first.filter(|at| *at < end)
    }

    /// Takes the first of the near items; to be called after [`Buckets::first_before`] gave a time.
    pub fn pop(&mut self) -> Option<T> {
        let from_near = match (self.near.front(), self.beside.peek()) {
            (Some(near), Some(Reverse(beside))) => near <= beside,
            (near, _) => near.is_some(),
        };
        let item = if from_near { self.near.pop_front() } else { self.beside.pop().map(|Reverse(item)| item) };
        self.len -= usize::from(item.is_some());
        item
    }

    /// The first of the near items.
    pub fn peek(&self) -> Option<&T> {
        let beside = self.beside.peek().map(|Reverse(item)| item);
        match (self.near.front(), beside) {
            (Some(near), Some(beside)) => Some(near.min(beside)),
            (near, beside) => near.or(beside),
        }
    }

    /// All items, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let beside = self.beside.iter().map(|Reverse(item)| item);
        self.near.iter().chain(beside).chain(self.far.values().flatten())
    }

    fn first_near(&self) -> Option<Timestamp> {
        let near = self.near.front().map(Timed::time);
        let beside = self.beside.peek().map(|Reverse(item)| item.time());
        near.into_iter().chain(beside).min()
    }

    fn open_first(&mut self) {
        let Some((bucket, mut items)) = self.far.pop_first() else { return };
        self.opened = Some(bucket);
        if self.near.is_empty() {
            items.sort();
            self.near = items.into();
        } else {
            self.beside.extend(items.into_iter().map(Reverse));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Item(Timestamp, u32);

    impl Timed for Item {
        fn time(&self) -> Timestamp {
            self.0
        }
    }

    proptest! {
        #[test]
        fn items_come_in_their_order_wherever_they_were_put(
            steps in prop::collection::vec((prop::collection::vec((0i64..40, 0u32..5), 0..8), 0i64..6), 1..30),
        ) {
            let (mut buckets, mut plain, mut end) = (Buckets::default(), Vec::new(), -10_000_000_000i64);
            for (items, step) in steps {
                for (ahead, number) in items {
                    let item = Item(Timestamp(end + ahead * 700_000_000), number);
                    buckets.put(item);
                    plain.push(item);
                }
                end += step * 1_300_000_000;
                plain.sort();
                while let Some(at) = buckets.first_before(Timestamp(end)) {
                    let expected = plain.remove(0);
                    prop_assert_eq!((at, buckets.peek().copied()), (expected.0, Some(expected)));
                    prop_assert_eq!(buckets.pop(), Some(expected));
                }
                prop_assert!(plain.first().is_none_or(|item| item.0.0 >= end));
                prop_assert_eq!((buckets.len(), buckets.iter().count()), (plain.len(), plain.len()));
            }
        }
    }
}
