//! One percentile of numbers that come and go: the lower share of them and the rest, each in order.
//!
//! A number costs O(log n) to add or remove; the answer is the greatest of the lower share. It is exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::real::Real;

/// Numbers with how often each is there.
type Heap = BTreeMap<Real, u32>;

/// The numbers, cut at the rank of the percentile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rank {
    lower: Heap,
    upper: Heap,
    /// How many lie in `lower`, those that are there several times counted so.
    lower_len: u64,
    len: u64,
}

impl Rank {
    pub fn add(&mut self, value: Real, percent: f64) {
        self.len += 1;
        if self.greatest_of_lower().is_some_and(|greatest| value <= greatest) {
            *self.lower.entry(value).or_default() += 1;
            self.lower_len += 1;
        } else {
            *self.upper.entry(value).or_default() += 1;
        }
        self.settle(percent);
    }

    /// Takes away a number that was added.
    pub fn remove(&mut self, value: Real, percent: f64) {
        self.len -= 1;
        if self.greatest_of_lower().is_some_and(|greatest| value <= greatest) {
            take_one(&mut self.lower, value);
            self.lower_len -= 1;
        } else {
            take_one(&mut self.upper, value);
        }
        self.settle(percent);
    }

    /// `None` of no numbers.
    pub fn answer(&self) -> Option<Real> {
        self.greatest_of_lower()
    }

    pub fn distinct(&self) -> usize {
        self.lower.len() + self.upper.len()
    }

    pub fn contains(&self, value: Real) -> bool {
        self.lower.contains_key(&value) || self.upper.contains_key(&value)
    }

    fn greatest_of_lower(&self) -> Option<Real> {
        self.lower.last_key_value().map(|(value, _)| *value)
    }

    /// Moves numbers over the cut until as many lie below it as the percentile's rank says: one or two at most, since
    /// one number more or less moves a rank by no more than one.
    fn settle(&mut self, percent: f64) {
        let rank =
            if self.len == 0 { 0 } else { ((percent / 100.0 * self.len as f64).ceil() as u64).clamp(1, self.len) };
        while self.lower_len > rank {
            let Some(value) = self.greatest_of_lower() else { return };
            take_one(&mut self.lower, value);
            *self.upper.entry(value).or_default() += 1;
            self.lower_len -= 1;
        }
        while self.lower_len < rank {
            let Some((value, _)) = self.upper.first_key_value() else { return };
            let value = *value;
            take_one(&mut self.upper, value);
            *self.lower.entry(value).or_default() += 1;
            self.lower_len += 1;
        }
    }
}

fn take_one(heap: &mut Heap, value: Real) {
    if let Some(times) = heap.get_mut(&value) {
        *times -= 1;
        if *times == 0 {
            heap.remove(&value);
        }
    }
}
