//! The signals of one key that still count.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::queue::Queue;
use crate::{
    event::Timestamp,
    rule::{Kept, Rule},
};

/// Signals by pattern, each in the total order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kepts {
    /// Of patterns that have signals, by their number.
    patterns: Box<[Pattern]>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pattern {
    number: u32,
    /// Those that `signals_max` pushed out.
    beyond: u32,
    queue: Queue,
}

impl Kepts {
    /// Keeps a signal. Returns whether the oldest of its pattern had to go for it.
    pub fn push(&mut self, rule: &Rule, number: usize, signal: &Kept, signals_max: usize) -> bool {
        let of_pattern = self.of_pattern(number as u32);
        of_pattern.queue.push(signal, &rule.patterns[number].keep);
        let evict = of_pattern.queue.len() > signals_max;
        if evict {
            of_pattern.queue.pop();
            of_pattern.beyond = of_pattern.beyond.saturating_add(1);
        }
        evict
    }

    fn of_pattern(&mut self, number: u32) -> &mut Pattern {
        let at = match self.patterns.binary_search_by_key(&number, |pattern| pattern.number) {
            Ok(at) => at,
            Err(at) => {
                let mut patterns = std::mem::take(&mut self.patterns).into_vec();
                patterns.reserve_exact(1);
                patterns.insert(at, Pattern { number, ..Pattern::default() });
                self.patterns = patterns.into();
                at
            }
        };
        &mut self.patterns[at]
    }

    /// Forgets the signals before `start`.
    pub fn expire(&mut self, start: Timestamp) {
        for pattern in &mut self.patterns {
            if pattern.queue.expire(start) > 0 {
                // What was pushed out is older than what was kept.
                pattern.beyond = 0;
            }
        }
        if self.patterns.iter().any(|pattern| pattern.queue.len() == 0) {
            let patterns = std::mem::take(&mut self.patterns).into_vec();
            self.patterns = patterns.into_iter().filter(|pattern| pattern.queue.len() > 0).collect();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Signals that are kept.
    pub fn len(&self) -> u64 {
        self.patterns.iter().map(|pattern| pattern.queue.len() as u64).sum()
    }

    /// What the kept signals take in memory.
    pub fn bytes(&self) -> usize {
        self.patterns.iter().map(|pattern| size_of::<Pattern>() + pattern.queue.bytes()).sum()
    }

    /// The number of signals of a pattern, those pushed out included.
    pub fn count(&self, number: usize) -> u64 {
        let of = self.patterns.iter().find(|pattern| pattern.number as usize == number);
        of.map_or(0, |pattern| pattern.queue.len() as u64 + u64::from(pattern.beyond))
    }

    /// The numbers of the patterns of which signals were pushed out.
    pub fn cut(&self) -> impl Iterator<Item = usize> {
        self.patterns.iter().filter(|pattern| pattern.beyond > 0).map(|pattern| pattern.number as usize)
    }

    /// Of each pattern the first signals and the last, `max` in all: its number and the signal.
    pub fn shown(&self, rule: &Rule, max: usize) -> Vec<(usize, Kept)> {
        let of = |pattern: &Pattern| {
            let (number, len) = (pattern.number as usize, pattern.queue.len());
            let is_shown = move |place: usize| place + 1 < max || (place + 1 == len && max > 0);
            let signals = pattern.queue.read(&rule.patterns[number].keep, is_shown);
            signals.map(|signal| (number, signal)).collect::<Vec<_>>()
        };
        self.patterns.iter().flat_map(of).collect()
    }

    /// Every signal that is kept.
    pub fn all<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = Kept> + 'a {
        self.patterns
            .iter()
            .flat_map(|pattern| pattern.queue.read(&rule.patterns[pattern.number as usize].keep, |_| true))
    }

    /// The last signal in the total order.
    pub fn last(&self, rule: &Rule) -> Option<Kept> {
        let last = |pattern: &Pattern| {
            let last = pattern.queue.len().saturating_sub(1);
            let paths: &[Arc<str>] = &rule.patterns[pattern.number as usize].keep;
            pattern.queue.read(paths, move |place| place == last).next()
        };
        // Of one event's signals the last pattern's comes last, and they are visited in this order.
        let lasts = self.patterns.iter().filter_map(last);
        lasts.max_by(|a, b| (a.time, &a.position).cmp(&(b.time, &b.position)))
    }

    /// The time of the last signal.
    pub fn last_time(&self) -> Option<Timestamp> {
        self.patterns.iter().filter_map(|pattern| pattern.queue.last_time()).max()
    }
}
