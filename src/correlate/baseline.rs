//! A key's buckets against their own history: the exponentially weighted mean and variance of what they measured.
//!
//! After Finch, "Incremental calculation of weighted mean and variance" (2009): with d = x - m, m moves by a·d and v
//! becomes (1 - a)·(v + a·d²). The first bucket starts the mean at its own value. A gap of empty buckets is taken in at
//! once, however long it is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{aggregate::Figures, arrival::Arrival, packed::unpack_key};
use crate::{
    event::Timestamp,
    rule::{Baseline, Num, Rule, ScriptError, Season, Statistic, WindowFacts, WindowView},
};

/// What a key has learnt, and the bucket that it measures now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    /// By the part of the season, of which there are at most 168; without a season there is one.
    tracks: BTreeMap<u8, Track>,
    /// The number, from the epoch, of the key's first bucket.
    first: i64,
    /// The number of the bucket that `figures` measure; it is over when they are empty.
    bucket: i64,
    figures: Figures,
    /// Whether the last bucket that is over left its history.
    has_left: bool,
}

/// The moving mean and variance of one part of the season.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Track {
    /// The number of the first bucket that is not taken in.
    next: i64,
    /// How many were.
    buckets: u64,
    mean: f64,
    variance: f64,
}

/// Both are finite.
impl Eq for Track {}

/// A bucket as its rule measures it.
struct Bucket<'a> {
    rule: &'a Rule,
    /// Packed.
    key: &'a [u8],
    start: Timestamp,
    end: Timestamp,
    figures: &'a Figures,
}

impl WindowFacts for Bucket<'_> {
    fn count(&self, pattern: usize) -> u64 {
        self.figures.count(pattern)
    }

    fn number(&self, pattern: usize, column: usize, statistic: Statistic) -> Option<Num> {
        self.figures.number(&self.rule.aggregates, pattern, column, statistic)
    }

    fn length(&self) -> Duration {
        self.end.since(self.start)
    }

    fn view(&self) -> Arc<WindowView> {
        let patterns = self.figures.views(self.rule);
        Arc::new(WindowView { key: unpack_key(self.key), start: self.start, end: self.end, patterns, together: None })
    }
}

impl History {
    /// Of a key whose first signal comes at this time.
    pub fn new(rule: &Rule, baseline: &Baseline, time: Timestamp) -> Self {
        let bucket = number(baseline, time);
        History {
            tracks: BTreeMap::new(),
            first: bucket,
            bucket,
            figures: Figures::total(&rule.aggregates),
            has_left: false,
        }
    }

    /// Takes notice of a signal, in the order of time, whether or not an alert is open. At most `max` values are kept
    /// of a field.
    ///
    /// # Errors
    /// When the rule's `value` fails on a bucket that is over by now, which then counts as empty.
    pub fn see(
        &mut self,
        around: (&Rule, &Baseline, &[u8]),
        signal: &Arrival<'_>,
        max: usize,
    ) -> Result<(), ScriptError> {
        let (rule, baseline, key) = around;
        let bucket = number(baseline, signal.time);
        if bucket > self.last_known(baseline) {
            *self = History::new(rule, baseline, signal.time);
        }
        let over = if bucket > self.bucket { self.finish(rule, baseline, key) } else { Ok(()) };
        self.bucket = bucket;
        self.figures.add(&rule.aggregates, signal.pattern, signal.time, signal.fields, max);
        over
    }

    /// Whether the bucket that ends at this time left its history.
    ///
    /// # Errors
    /// When the rule's `value` fails, and the bucket counts as empty.
    pub fn has_left(
        &mut self,
        rule: &Rule,
        baseline: &Baseline,
        key: &[u8],
        end: Timestamp,
    ) -> Result<bool, ScriptError> {
        // What came at the very end has begun the next bucket, and this one was over with it.
        if number(baseline, end) > self.bucket {
            self.finish(rule, baseline, key)?;
        }
        Ok(self.has_left)
    }

    /// The number of the last bucket in which a signal goes on with this history: after as many empty ones as `over`
    /// has, a key is a new one.
    fn last_known(&self, baseline: &Baseline) -> i64 {
        self.bucket.saturating_add_unsigned(baseline.buckets())
    }

    /// When that bucket is over.
    pub fn known_until(&self, baseline: &Baseline) -> Timestamp {
        Timestamp(self.last_known(baseline).saturating_add(1).saturating_mul(nanos(baseline.every)))
    }

    /// Buckets that are over and had something in them, one for each part of the season at most.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// About what it takes in memory, without the bucket that it measures.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.tracks.len() * size_of::<(u8, Track)>()
    }

    /// The bucket is over: it is tested against its history, and joins it.
    fn finish(&mut self, rule: &Rule, baseline: &Baseline, key: &[u8]) -> Result<(), ScriptError> {
        if self.figures.is_empty() {
            self.has_left = false;
            return Ok(());
        }
        let start = Timestamp(self.bucket.saturating_mul(nanos(baseline.every)));
        let bucket = Bucket { rule, key, start, end: start.plus(baseline.every), figures: &self.figures };
        let measured = rule.value.as_ref().map_or(Ok(None), |value| value.number(&bucket));
        let x = measured.as_ref().ok().copied().flatten().filter(|x| x.is_finite()).unwrap_or(0.0);
        let fresh = Track { next: self.first, buckets: 0, mean: 0.0, variance: 0.0 };
        let track = self.tracks.entry(part(baseline, self.bucket)).or_insert(fresh);
        let weights = Weights::of(baseline);
        track.take_empty(empty_between(baseline, track.next, self.bucket), &weights);
        self.has_left = track.take(x, &weights) && measured.is_ok();
        track.next = self.bucket.saturating_add(1);
        self.figures.clear();
        measured.map(|_| ())
    }
}

impl Track {
    /// Whether a bucket is above its history, which it then joins.
    fn take(&mut self, x: f64, weights: &Weights) -> bool {
        let limit = self.mean + weights.above * self.variance.sqrt();
        let is_above = self.buckets >= weights.warm_up && self.variance > 0.0 && x > limit;
        if self.buckets == 0 {
            self.mean = x;
        }
        let d = x - self.mean;
        self.mean += weights.a * d;
        self.variance = (1.0 - weights.a) * (self.variance + weights.a * d * d);
        self.buckets += 1;
        is_above
    }

    /// Takes `n` empty buckets in, as so many calls of [`Track::take`] with 0 do. With q = (1 - a)^n the variance
    /// becomes q·v + q·(1 - q)·m² and the mean q·m.
    fn take_empty(&mut self, n: u64, weights: &Weights) {
        if n > 0 {
            let q = power(1.0 - weights.a, n);
            self.variance = q * self.variance + q * (1.0 - q) * self.mean * self.mean;
            self.mean *= q;
            self.buckets = self.buckets.saturating_add(n);
        }
    }
}

struct Weights {
    a: f64,
    /// Buckets that only teach.
    warm_up: u64,
    above: f64,
}

impl Weights {
    fn of(baseline: &Baseline) -> Self {
        let warm_up = baseline.warm_up();
        Weights { a: 2.0 / (warm_up as f64 + 1.0), warm_up, above: baseline.above }
    }
}

/// The number of the bucket that this time lies in; buckets are counted from the epoch.
fn number(baseline: &Baseline, time: Timestamp) -> i64 {
    time.0.div_euclid(nanos(baseline.every))
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX).max(1)
}

/// The part of the season that a bucket lies in.
fn part(baseline: &Baseline, bucket: i64) -> u8 {
    match baseline.season {
        None => 0,
        Some(Season::Week) => bucket.div_euclid(per_hour(baseline)).rem_euclid(i64::from(Season::PARTS)) as u8,
    }
}

fn per_hour(baseline: &Baseline) -> i64 {
    (nanos(Duration::from_secs(3600)) / nanos(baseline.every)).max(1)
}

/// Buckets of the same part of the season from `next` on and before `bucket`.
fn empty_between(baseline: &Baseline, next: i64, bucket: i64) -> u64 {
    let count = match baseline.season {
        None => bucket.saturating_sub(next),
        Some(Season::Week) => {
            let (hour, part) = (per_hour(baseline), i64::from(part(baseline, bucket)));
            let week = hour * i64::from(Season::PARTS);
            let before = |at: i64| at.div_euclid(week) * hour + (at.rem_euclid(week) - part * hour).clamp(0, hour);
            before(bucket) - before(next)
        }
    };
    u64::try_from(count).unwrap_or(0)
}

/// The same on every machine, unlike `powf`.
fn power(mut base: f64, mut n: u64) -> f64 {
    let mut result = 1.0;
    while n > 0 {
        if n & 1 == 1 {
            result *= base;
        }
        base *= base;
        n >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights(warm_up: u64, above: f64) -> Weights {
        Weights { a: 2.0 / (warm_up as f64 + 1.0), warm_up, above }
    }

    const FRESH: Track = Track { next: 0, buckets: 0, mean: 0.0, variance: 0.0 };

    #[test]
    fn a_bucket_above_its_history_is_told_after_the_warm_up() {
        let (mut track, weights) = (FRESH, weights(3, 3.0));
        let told = [10.0, 12.0, 11.0, 11.0, 90.0].map(|x| track.take(x, &weights));
        assert_eq!(told, [false, false, false, false, true]);
    }

    #[test]
    fn without_any_deviation_nothing_is_told() {
        let (mut track, weights) = (FRESH, weights(2, 1.0));
        assert_eq!([5.0, 5.0, 5.0, 500.0].map(|x| track.take(x, &weights)), [false; 4]);
    }

    #[test]
    fn a_season_counts_each_hour_of_the_week_by_itself() {
        let span = Duration::from_secs;
        let baseline =
            Baseline { every: span(1800), over: span(4 * 7 * 86_400), above: 3.0, season: Some(Season::Week) };
        assert_eq!(baseline.warm_up(), 8);
        assert_eq!((part(&baseline, 3), part(&baseline, 336 + 3), part(&baseline, -1)), (1, 1, 167));
        let slowly = |from: i64, to: i64| (from..to).filter(|at| part(&baseline, *at) == part(&baseline, to)).count();
        for (from, to) in [(0, 336), (-5, 700), (3, 1_005), (10, 11), (7, 7)] {
            assert_eq!(empty_between(&baseline, from, to), slowly(from, to) as u64, "{from} to {to}");
        }
    }

    proptest! {
        #[test]
        fn a_gap_taken_in_at_once_is_the_same_as_bucket_by_bucket(
            before in prop::collection::vec(0.0..1_000.0, 1..20), gap in 0u64..300, warm_up in 1u64..200,
        ) {
            let weights = weights(warm_up, 3.0);
            let mut track = FRESH;
            before.iter().for_each(|x| { track.take(*x, &weights); });
            let mut slow = track;
            (0..gap).for_each(|_| { slow.take(0.0, &weights); });
            track.take_empty(gap, &weights);
            prop_assert_eq!(track.buckets, slow.buckets);
            prop_assert!((track.mean - slow.mean).abs() <= 1e-9 * slow.mean.abs().max(1e-9));
            prop_assert!((track.variance - slow.variance).abs() <= 1e-9 * slow.variance.abs().max(1e-9));
        }
    }
}
