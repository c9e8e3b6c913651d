//! The signals of one key that still count.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{arrival::Arrival, queue::Queue};
use crate::{
    event::Timestamp,
    rule::{Kept, Rule},
};

/// Signals by pattern, each in the total order. Most keys have signals of one pattern, which lies in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kepts {
    /// Without signals only where no pattern has some.
    first: Pattern,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pattern {
    number: u32,
    /// Those that `signals_max` pushed out.
    beyond: u32,
    queue: Queue,
    /// The one with the next number that has signals.
    next: Option<Box<Pattern>>,
}

impl Kepts {
    /// Keeps a signal. Returns whether the oldest of its pattern had to go for it.
    pub fn push(&mut self, signal: &Arrival<'_>, signals_max: usize) -> bool {
        let of_pattern = self.of_pattern(signal.pattern as u32);
        of_pattern.queue.push(signal);
        let evict = of_pattern.queue.len() > signals_max;
        if evict {
            of_pattern.queue.pop();
            of_pattern.beyond = of_pattern.beyond.saturating_add(1);
        }
        evict
    }

    fn of_pattern(&mut self, number: u32) -> &mut Pattern {
        if self.is_empty() {
            self.first.number = number;
        }
        if number < self.first.number {
            let first = std::mem::replace(&mut self.first, Pattern { number, ..Pattern::default() });
            self.first.next = Some(Box::new(first));
        }
        let mut at = &mut self.first;
        while at.number < number {
            if at.next.as_ref().is_none_or(|next| next.number > number) {
                let next = at.next.take();
                at.next = Some(Box::new(Pattern { number, next, ..Pattern::default() }));
            }
            at = at.next.get_or_insert_default();
        }
        at
    }

    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let first = (!self.is_empty()).then_some(&self.first);
        std::iter::successors(first, |pattern| pattern.next.as_deref())
    }

    /// Forgets the signals before `start`.
    pub fn expire(&mut self, start: Timestamp) {
        let mut at = Some(&mut self.first);
        let mut is_empty = false;
        while let Some(pattern) = at {
            if pattern.queue.expire(start) > 0 {
                // What was pushed out is older than what was kept.
                pattern.beyond = 0;
            }
            is_empty |= pattern.queue.len() == 0;
            at = pattern.next.as_deref_mut();
        }
        if is_empty {
            self.drop_empty();
        }
    }

    fn drop_empty(&mut self) {
        while self.is_empty() {
            match self.first.next.take() {
                Some(next) => self.first = *next,
                None => return self.first = Pattern::default(),
            }
        }
        let mut at = &mut self.first;
        loop {
            while let Some(next) = at.next.take_if(|next| next.queue.len() == 0) {
                at.next = next.next;
            }
            match &mut at.next {
                Some(next) => at = next,
                None => return,
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.queue.len() == 0
    }

    /// Signals that are kept.
    pub fn len(&self) -> u64 {
        self.patterns().map(|pattern| pattern.queue.len() as u64).sum()
    }

    /// What the kept signals take in memory.
    pub fn bytes(&self) -> usize {
        self.patterns().map(|pattern| size_of::<Pattern>() + pattern.queue.bytes()).sum()
    }

    /// The number of signals of a pattern, those pushed out included.
    pub fn count(&self, number: usize) -> u64 {
        let of = self.patterns().find(|pattern| pattern.number as usize == number);
        of.map_or(0, |pattern| pattern.queue.len() as u64 + u64::from(pattern.beyond))
    }

    /// The numbers of the patterns of which signals were pushed out.
    pub fn cut(&self) -> impl Iterator<Item = usize> {
        self.patterns().filter(|pattern| pattern.beyond > 0).map(|pattern| pattern.number as usize)
    }

    /// Of each pattern the first signals and the last, `max` in all: its number and the signal.
    pub fn shown(&self, rule: &Rule, max: usize) -> Vec<(usize, Kept)> {
        let of = |pattern: &Pattern| {
            let (number, len) = (pattern.number as usize, pattern.queue.len());
            let is_shown = move |place: usize| place + 1 < max || (place + 1 == len && max > 0);
            let signals = pattern.queue.read(&rule.patterns[number].keep, is_shown);
            signals.map(|signal| (number, signal)).collect::<Vec<_>>()
        };
        self.patterns().flat_map(of).collect()
    }

    /// Every signal that is kept.
    pub fn all<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = Kept> + 'a {
        self.patterns().flat_map(|pattern| pattern.queue.read(&rule.patterns[pattern.number as usize].keep, |_| true))
    }

    /// The last signal in the total order.
    pub fn last(&self, rule: &Rule) -> Option<Kept> {
        let last = |pattern: &Pattern| {
            let last = pattern.queue.len().saturating_sub(1);
            let paths: &[Arc<str>] = &rule.patterns[pattern.number as usize].keep;
            pattern.queue.read(paths, move |place| place == last).next()
        };
        // Of one event's signals the last pattern's comes last, and they are visited in this order.
        let lasts = self.patterns().filter_map(last);
        lasts.max_by(|a, b| (a.time, &a.position).cmp(&(b.time, &b.position)))
    }

    /// The time of the last signal.
    pub fn last_time(&self) -> Option<Timestamp> {
        self.patterns().filter_map(|pattern| pattern.queue.last_time()).max()
    }
}
