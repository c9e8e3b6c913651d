//! The least or greatest number of a window: those that may still become it, each better than the next
//! (a monotonic queue). O(1) amortised.

use std::{cmp::Ordering, collections::VecDeque};

use serde::{Deserialize, Serialize};

use super::real::Real;

/// The candidates with their places, the best and oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extreme(VecDeque<(u64, Real)>);

impl Extreme {
    /// Takes the number at `place` in. `better` is what a better number is to a worse one. Where nothing leaves, only
    /// the best one is kept.
    pub fn add(&mut self, place: u64, value: Real, better: Ordering, leaves: bool) {
        if !leaves && self.0.front().is_some_and(|(_, best)| value.cmp(best) != better) {
            return;
        }
        while self.0.back().is_some_and(|(_, last)| last.cmp(&value) != better) {
            self.0.pop_back();
        }
        self.0.push_back((place, value));
    }

    /// Forgets the numbers before `place`.
    pub fn expire(&mut self, place: u64) {
        while self.0.front().is_some_and(|(at, _)| *at < place) {
            self.0.pop_front();
        }
    }

    /// From here on nothing leaves.
    pub fn keep_best(&mut self) {
        self.0.truncate(1);
    }

    pub fn best(&self) -> Option<Real> {
        self.0.front().map(|(_, value)| *value)
    }
}
