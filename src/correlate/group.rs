//! The ordered walk of the rules that read the same inputs: signals wait here until the frontier has passed them.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::Arc,
};

use super::timers::{KeyPlace, Timers};
use crate::{
    detect::Signal,
    event::{Position, Timestamp},
    rule::InputSet,
};

/// Reorder buffer and timers of one input set.
#[derive(Debug)]
pub(super) struct Group {
    pub inputs: InputSet,
    /// No signal before this time is to come: the walk goes up to here.
    pub frontier: Timestamp,
    /// Everything before this time was walked.
    pub walked: Timestamp,
    waiting: BinaryHeap<Reverse<Held>>,
    timers: Timers,
}

/// A signal that waits, and its offset in the signals log. Ordered by the total order, then by rule.
#[derive(Debug)]
struct Held {
    time: Timestamp,
    rest: Box<(u64, Signal)>,
}

impl Held {
    fn place(&self) -> (Timestamp, &Position, &Arc<str>, u32, &Arc<str>, u64) {
        let signal = &self.rest.1;
        (self.time, &signal.position, &signal.pattern, signal.element, &signal.rule, signal.shape)
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time.cmp(&other.time).then_with(|| self.place().cmp(&other.place()))
    }
}

/// The next thing in the order of the walk.
pub(super) enum Next {
    /// With its offset in the signals log.
    Signal(Box<(u64, Signal)>),
    /// The timers of one time, in no order: they come after every signal of that time and before any later one.
    Timers(Timestamp, Vec<KeyPlace>),
}

impl Group {
    pub fn new(inputs: InputSet) -> Self {
        Group {
            inputs,
            frontier: Timestamp::MIN,
            walked: Timestamp::MIN,
            waiting: BinaryHeap::new(),
            timers: Timers::default(),
        }
    }

    /// Keeps a signal that stands at `offset` of the signals log.
    pub fn hold(&mut self, offset: u64, signal: Signal) {
        self.waiting.push(Reverse(Held { time: signal.time, rest: Box::new((offset, signal)) }));
    }

    /// Takes what comes next, if it is before the frontier.
    pub fn next(&mut self) -> Option<Next> {
        let signal = self.waiting.peek().map(|Reverse(held)| held.time).filter(|time| *time < self.frontier);
        let timer = self.timers.first_before(signal.unwrap_or(self.frontier));
        match (timer, signal) {
            (Some(at), _) => Some(Next::Timers(at, self.timers.take(at))),
            (None, Some(_)) => self.next_signal(),
            (None, None) => {
                self.walked = self.walked.max(self.frontier);
                None
            }
        }
    }

    /// What is read again may be there twice: it counts once.
    fn next_signal(&mut self) -> Option<Next> {
        let Reverse(held) = self.waiting.pop()?;
        while self.waiting.peek().is_some_and(|Reverse(next)| *next == held) {
            self.waiting.pop();
        }
        Some(Next::Signal(held.rest))
    }

    /// The time of the last signal of this rule and shape that waits.
    pub fn last_waiting(&self, rule: &str, shape: u64) -> Option<Timestamp> {
        let is_its = |signal: &Signal| *signal.rule == *rule && signal.shape == shape;
        let of_it = self.waiting.iter().filter(|Reverse(held)| is_its(&held.rest.1));
        of_it.map(|Reverse(held)| held.time).max()
    }

    pub fn set_timer(&mut self, at: Timestamp, key: KeyPlace) {
        self.timers.set(at, key);
    }

    /// Signals that wait.
    pub fn buffered(&self) -> usize {
        self.waiting.len()
    }

    /// The offset in the signals log of the oldest record that waits.
    pub fn first_offset(&self) -> Option<u64> {
        self.waiting.iter().map(|Reverse(held)| held.rest.0).min()
    }
}
