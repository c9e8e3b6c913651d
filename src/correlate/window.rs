//! The signals of one key that still count.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{event::Timestamp, rule::Kept};

/// Signals by pattern, each in the total order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kepts {
    patterns: BTreeMap<Arc<str>, Pattern>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pattern {
    /// The kept ones. Shared with the views that scripts hold while they run.
    signals: Arc<VecDeque<Arc<Kept>>>,
    /// Those that `signals_max` pushed out of an open alert's total.
    beyond: u64,
}

impl Kepts {
    /// Keeps a signal. Returns whether the oldest of its pattern had to go for it.
    pub fn push(&mut self, pattern: &Arc<str>, signal: Arc<Kept>, signals_max: usize) -> bool {
        let of_pattern = self.patterns.entry(pattern.clone()).or_default();
        let signals = Arc::make_mut(&mut of_pattern.signals);
        signals.push_back(signal);
        let evict = signals.len() > signals_max;
        if evict {
            signals.pop_front();
            of_pattern.beyond += 1;
        }
        evict
    }

    /// Forgets the signals before `start`.
    pub fn expire(&mut self, start: Timestamp) {
        self.patterns.retain(|_, pattern| {
            if pattern.signals.front().is_some_and(|signal| signal.time < start) {
                let signals = Arc::make_mut(&mut pattern.signals);
                while signals.front().is_some_and(|signal| signal.time < start) {
                    signals.pop_front();
                }
                // What was pushed out is older than what was kept.
                pattern.beyond = 0;
            }
            !pattern.signals.is_empty()
        });
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub fn clear(&mut self) {
        self.patterns.clear();
    }

    /// The number of signals of a pattern, those pushed out included.
    pub fn count(&self, pattern: &str) -> u64 {
        self.patterns.get(pattern).map_or(0, |pattern| pattern.signals.len() as u64 + pattern.beyond)
    }

    /// Patterns with their signals.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &VecDeque<Arc<Kept>>)> {
        self.patterns.iter().map(|(name, pattern)| (name, &*pattern.signals))
    }

    /// The last signal in the total order.
    pub fn last(&self) -> Option<&Arc<Kept>> {
        let lasts = self.patterns.values().filter_map(|pattern| pattern.signals.back());
        // Of one event's signals the last pattern's comes last, and they are visited in this order.
        lasts.max_by(|a, b| (a.time, &a.position).cmp(&(b.time, &b.position)))
    }

    /// The time of the last signal.
    pub fn last_time(&self) -> Option<Timestamp> {
        self.last().map(|signal| signal.time)
    }
}
