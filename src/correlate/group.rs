//! The ordered walk of the rules that read the same inputs: signals wait here until the frontier has passed them.

use super::{
    arrival::Waiting,
    buckets::Buckets,
    timers::{KeyPlace, Timers},
};
use crate::{event::Timestamp, rule::InputSet};

/// Reorder buffer and timers of one input set.
#[derive(Debug)]
pub(super) struct Group {
    pub inputs: InputSet,
    /// No signal before this time is to come: the walk goes up to here.
    pub frontier: Timestamp,
    /// Everything before this time was walked.
    pub walked: Timestamp,
    waiting: Buckets<Waiting>,
    timers: Timers,
}

/// The next thing in the order of the walk.
pub(super) enum Next {
    Signal(Waiting),
    /// The timers of one time, in no order: they come after every signal of that time and before any later one.
    Timers(Timestamp, Vec<KeyPlace>),
}

impl Group {
    pub fn new(inputs: InputSet) -> Self {
        Group {
            inputs,
            frontier: Timestamp::MIN,
            walked: Timestamp::MIN,
            waiting: Buckets::default(),
            timers: Timers::default(),
        }
    }

    /// Keeps a signal until its time has come.
    pub fn hold(&mut self, signal: Waiting) {
        self.waiting.put(signal);
    }

    /// Takes what comes next, if it is before the frontier.
    pub fn next(&mut self) -> Option<Next> {
        let signal = self.waiting.first_before(self.frontier);
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
        let signal = self.waiting.pop()?;
        while self.waiting.peek().is_some_and(|next| *next == signal) {
            self.waiting.pop();
        }
        Some(Next::Signal(signal))
    }

    /// The time of the last signal of a plan that waits.
    pub fn last_waiting(&self, plan: u32) -> Option<Timestamp> {
        self.waiting.iter().filter(|signal| signal.plan.number == plan).map(|signal| signal.time).max()
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
        self.waiting.iter().map(|signal| signal.log_offset).min()
    }
}
