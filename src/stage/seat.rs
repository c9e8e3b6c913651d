//! A partition's seat in its stage: what is remembered from one of its lines to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Addr, Arbiter};
use tokio::sync::watch;

use super::line::{AtWork, Line};
use crate::rule::RuleSet;

/// Crashes on one record before it goes to the dead letters.
const CRASHES_PER_RECORD: u32 = 2;

/// What a fresh line is given besides its assignment.
pub struct Seat {
    /// The rules to run; the newest count.
    pub rules: watch::Receiver<Arc<RuleSet>>,
    /// To be kept on the record in work, so that a crash can be laid to it.
    pub at_work: AtWork,
    /// Records that crashed their line before: they go to the dead letters unread.
    pub poisoned: BTreeSet<u64>,
    /// A line of this partition crashed on a record that is not behind it yet.
    pub cautious: bool,
}

/// A partition that this process owns, with its line or without one for a moment.
#[derive(Default)]
pub struct Seated {
    pub line: Option<Addr<Line>>,
    pub arbiter: Option<Arbiter>,
    /// Given up to another member, or stopped for good: no fresh line.
    pub ended: bool,
    /// The log is being asked for a fresh line's reader.
    pub reopening: bool,
    at_work: AtWork,
    restarts: Restarts,
    waits: Restarts,
    /// Crashes by the offset that was in work.
    crashes: BTreeMap<u64, u32>,
}

/// Why a line needs a fresh one in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Panic,
    Failure,
    /// The log is to blame, and may be better any time.
    Log,
}

/// A failure as it was booked.
pub struct Booked {
    /// The record that a crash was laid to.
    pub offset: Option<u64>,
    /// Failures of this kind within the period, this one included.
    pub failures: u32,
}

impl Seated {
    /// The seat of the next line, which goes on at `next`: crashes on records before it are behind it.
    pub fn seat(&mut self, next: Option<u64>, rules: watch::Receiver<Arc<RuleSet>>) -> Seat {
        self.crashes.retain(|offset, _| next.is_none_or(|next| *offset >= next));
        let poisoned = self.crashes.iter().filter(|(_, crashes)| **crashes >= CRASHES_PER_RECORD);
        Seat {
            rules,
            at_work: self.at_work.clone(),
            poisoned: poisoned.map(|(offset, _)| *offset).collect(),
            cautious: !self.crashes.is_empty(),
        }
    }

    pub fn book(&mut self, cause: Cause, period: Duration) -> Booked {
        let offset = self.at_work.offset().filter(|_| cause == Cause::Panic);
        self.at_work.off();
        if let Some(offset) = offset {
            *self.crashes.entry(offset).or_default() += 1;
        }
        let failures = if cause == Cause::Log { &mut self.waits } else { &mut self.restarts };
        Booked { offset, failures: failures.book(period) }
    }

    /// Whether a fresh line is to come, and none has yet.
    pub fn awaits_line(&self) -> bool {
        !self.ended && !self.reopening && self.line.is_none()
    }
}

/// When something failed of late.
#[derive(Default)]
pub struct Restarts {
    recent: Vec<Instant>,
}

impl Restarts {
    /// Books a restart; says how many fell into `period`.
    pub fn book(&mut self, period: Duration) -> u32 {
        self.recent.retain(|at| at.elapsed() < period);
        self.recent.push(Instant::now());
        self.recent.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(seated: &mut Seated, offset: u64) {
        seated.at_work.on(offset);
        assert_eq!(seated.book(Cause::Panic, Duration::from_secs(60)).offset, Some(offset));
    }

    fn poisoned(seated: &mut Seated, next: u64) -> Vec<u64> {
        let (_, rules) = watch::channel(Arc::default());
        seated.seat(Some(next), rules).poisoned.into_iter().collect()
    }

    #[test]
    fn two_records_that_crash_the_same_stretch_are_both_passed_over() {
        let mut seated = Seated::default();
        for offset in [5, 5, 7, 7] {
            crash(&mut seated, offset);
        }
        assert_eq!(poisoned(&mut seated, 0), [5, 7]);
    }

    #[test]
    fn crashes_on_records_that_are_committed_are_forgotten() {
        let mut seated = Seated::default();
        for offset in [5, 5, 7] {
            crash(&mut seated, offset);
        }
        assert_eq!(poisoned(&mut seated, 6), [0; 0]);
        crash(&mut seated, 7);
        assert_eq!(poisoned(&mut seated, 6), [7]);
        let (_, rules) = watch::channel(Arc::default());
        assert!(!seated.seat(Some(8), rules).cautious);
    }

    #[test]
    fn a_log_that_is_down_is_counted_apart() {
        let mut seated = Seated::default();
        let period = Duration::from_secs(60);
        seated.book(Cause::Failure, period);
        assert_eq!(seated.book(Cause::Log, period).failures, 1);
        assert_eq!(seated.book(Cause::Failure, period).failures, 2);
    }
}
