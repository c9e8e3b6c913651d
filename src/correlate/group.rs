//! The ordered walk of the rules that read the same inputs: signals wait here until the frontier has passed them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::key::StateKey;
use crate::{
    detect::{Order, Signal},
    event::Timestamp,
};

/// Reorder buffer and timers of one input set.
#[derive(Debug)]
pub(super) struct Group {
    /// No signal before this time is to come: the walk goes up to here.
    pub frontier: Timestamp,
    /// The frontier of the last commit that is durable.
    pub durable: Timestamp,
    buffer: BTreeMap<(Order, Arc<str>, u64), (u64, Signal)>,
    /// Offsets in the signals log of what is in the buffer.
    offsets: BTreeSet<u64>,
    timers: BTreeSet<(Timestamp, Arc<StateKey>)>,
}

/// The next thing in the order of the walk.
pub(super) enum Next {
    /// With its offset in the signals log.
    Signal(u64, Signal),
    /// A timer comes after every signal of its time and before any later one.
    Timer(Timestamp, Arc<StateKey>),
}

impl Group {
    pub fn new(frontier: Timestamp) -> Self {
        Group {
            frontier,
            durable: frontier,
            buffer: BTreeMap::new(),
            offsets: BTreeSet::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Keeps a signal that stands at `offset` of the signals log. One that is there already is the same one.
    pub fn hold(&mut self, offset: u64, signal: Signal) {
        let place = (signal.order(), signal.rule.clone(), signal.shape);
        if let Some((before, _)) = self.buffer.insert(place, (offset, signal)) {
            self.offsets.remove(&before);
        }
        self.offsets.insert(offset);
    }

    /// Takes what comes next, if it is before the frontier.
    pub fn next(&mut self) -> Option<Next> {
        let signal = self.buffer.first_key_value().map(|((order, ..), _)| order.time);
        let timer = self.timers.first().map(|(at, _)| *at);
        match (signal, timer) {
            (signal, Some(timer)) if timer < self.frontier && signal.is_none_or(|signal| timer < signal) => {
                self.timers.pop_first().map(|(at, key)| Next::Timer(at, key))
            }
            (Some(signal), _) if signal < self.frontier => {
                let (_, (offset, signal)) = self.buffer.pop_first()?;
                self.offsets.remove(&offset);
                Some(Next::Signal(offset, signal))
            }
            _ => None,
        }
    }

    pub fn set_timer(&mut self, at: Timestamp, key: Arc<StateKey>) {
        self.timers.insert((at, key));
    }

    /// Signals that wait.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The offset in the signals log of the oldest record that waits.
    pub fn first_offset(&self) -> Option<u64> {
        self.offsets.first().copied()
    }
}
