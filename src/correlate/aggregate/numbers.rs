//! The aggregates over one field's numbers.

use std::{cmp::Ordering, collections::VecDeque};

use serde::{Deserialize, Serialize};

use super::{exact::Exact, extreme::Extreme, rank::Rank, real::Real};
use crate::{
    event::Timestamp,
    rule::{Num, Statistic},
};

/// The numbers of a field in a window, as far as its statistics need them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbers {
    /// In the order they came in; `None` where nothing leaves.
    ring: Option<VecDeque<(Timestamp, Real)>>,
    /// The place of the first number in `ring`, counted from the first one ever.
    first: u64,
    count: u64,
    sum: Sum,
    squares: Option<Exact>,
    least: Option<Extreme>,
    greatest: Option<Extreme>,
    /// One for each percentile of the column, in its order.
    ranks: Vec<Rank>,
    /// Until when `ring` is not the whole window, or that `ranks` hold not all.
    cut: Option<Timestamp>,
    /// Numbers had to leave before their time.
    has_lost: bool,
}

/// An exact sum: of integers apart, since they need no more than this mostly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    integers: i128,
    /// How many are in `rest`.
    floats: u64,
    rest: Option<Box<Exact>>,
}

impl Numbers {
    pub fn new(statistics: &[Statistic], leaves: bool) -> Self {
        let has = |wanted| statistics.contains(&wanted);
        Numbers {
            ring: leaves.then(VecDeque::new),
            squares: has(Statistic::Stddev).then(Exact::default),
            least: has(Statistic::Min).then(Extreme::default),
            greatest: has(Statistic::Max).then(Extreme::default),
            ranks: percents(statistics).map(|_| Rank::default()).collect(),
            ..Numbers::default()
        }
    }

    pub fn add(&mut self, statistics: &[Statistic], time: Timestamp, number: Num, max: usize) {
        let Some(value) = Real::of(number) else { return };
        let place = self.first + self.ring.as_ref().map_or(0, VecDeque::len) as u64;
        let leaves = self.ring.is_some();
        self.count += 1;
        self.sum.add(value);
        if let Some(squares) = &mut self.squares {
            squares.add_square(value);
        }
        if let Some(least) = &mut self.least {
            least.add(place, value, Ordering::Less, leaves);
        }
        if let Some(greatest) = &mut self.greatest {
            greatest.add(place, value, Ordering::Greater, leaves);
        }
        for (rank, percent) in self.ranks.iter_mut().zip(percents(statistics)) {
            if leaves || rank.distinct() < max || rank.contains(value) {
                rank.add(value, percent);
            } else {
                self.cut = Some(Timestamp::MAX);
            }
        }
        if let Some(ring) = &mut self.ring {
            ring.push_back((time, value));
            if ring.len() > max {
                self.cut = self.pop(statistics);
                self.has_lost = true;
            }
        }
    }

    /// Forgets what is older than `before`.
    pub fn expire(&mut self, statistics: &[Statistic], before: Timestamp) {
        while self.ring.as_ref().is_some_and(|ring| ring.front().is_some_and(|(time, _)| *time < before)) {
            self.pop(statistics);
        }
        self.cut = self.cut.filter(|cut| *cut >= before);
        self.has_lost &= self.cut.is_some();
    }

    /// Forgets the oldest number; says its time.
    fn pop(&mut self, statistics: &[Statistic]) -> Option<Timestamp> {
        let (time, value) = self.ring.as_mut()?.pop_front()?;
        self.first += 1;
        self.count -= 1;
        self.sum.subtract(value);
        if let Some(squares) = &mut self.squares {
            squares.subtract_square(value);
        }
        for extreme in [&mut self.least, &mut self.greatest].into_iter().flatten() {
            extreme.expire(self.first);
        }
        for (rank, percent) in self.ranks.iter_mut().zip(percents(statistics)) {
            rank.remove(value, percent);
        }
        Some(time)
    }

    /// From here on nothing leaves.
    pub fn keep_all(&mut self) {
        self.ring = None;
        [&mut self.least, &mut self.greatest].into_iter().flatten().for_each(Extreme::keep_best);
        self.cut = self.cut.map(|_| Timestamp::MAX);
    }

    /// Where nothing leaves, only percentiles have a bound.
    pub fn is_partial(&self, statistic: Statistic) -> bool {
        self.cut.is_some() && (self.has_lost || matches!(statistic, Statistic::Percentile(_)))
    }

    pub fn answer(&self, statistics: &[Statistic], statistic: Statistic) -> Option<Num> {
        let extreme = |extreme: &Option<Extreme>| extreme.as_ref().and_then(Extreme::best).map(Real::to_num);
        match statistic {
            Statistic::Sum => self.sum.total(),
            Statistic::Avg if self.count > 0 => {
                let average = self.sum.as_f64()? / self.count as f64;
                Some(Num::Float(average))
            }
            Statistic::Stddev if self.count > 0 => {
                let deviation = Exact::deviation(self.count, &self.sum.exact(), self.squares.as_ref()?)?;
                Some(Num::Float(deviation))
            }
            Statistic::Min => extreme(&self.least),
            Statistic::Max => extreme(&self.greatest),
            Statistic::Percentile(percent) => {
                let at = percents(statistics).position(|known| known == percent)?;
                self.ranks.get(at)?.answer().map(Real::to_num)
            }
            _ => None,
        }
    }
}

fn percents(statistics: &[Statistic]) -> impl Iterator<Item = f64> {
    statistics.iter().filter_map(|statistic| match statistic {
        Statistic::Percentile(percent) => Some(*percent),
        _ => None,
    })
}

impl Sum {
    fn add(&mut self, value: Real) {
        match value {
            Real::Int(value) => self.integers += i128::from(value),
            Real::Large(value) => self.integers += i128::from(value),
            Real::Float(_) => {
                self.floats += 1;
                self.rest.get_or_insert_default().add(value);
            }
        }
    }

    fn subtract(&mut self, value: Real) {
        match value {
            Real::Int(value) => self.integers -= i128::from(value),
            Real::Large(value) => self.integers -= i128::from(value),
            Real::Float(_) => {
                self.floats -= 1;
                if self.floats == 0 {
                    self.rest = None;
                } else if let Some(rest) = &mut self.rest {
                    rest.subtract(value);
                }
            }
        }
    }

    /// An integer where all are; `None` beyond the floats.
    fn total(&self) -> Option<Num> {
        if self.floats == 0 { Some(Num::Int(self.integers)) } else { self.as_f64().map(Num::Float) }
    }

    fn as_f64(&self) -> Option<f64> {
        if self.floats == 0 { Some(self.integers as f64) } else { self.exact().to_f64() }
    }

    fn exact(&self) -> Exact {
        let mut exact = self.rest.as_deref().cloned().unwrap_or_default();
        exact.add_int(self.integers);
        exact
    }
}
