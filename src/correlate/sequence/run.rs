//! The choices whose first events can take each other's places.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::super::plan::Sequence;
use crate::event::Timestamp;

/// Latest starts by events in place, and the first events themselves where the sequence is bound by absence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// One for each step of the rule.
    steps: Vec<Filled>,
    /// Takes no further first event.
    pub is_over: bool,
    /// For a first absence: stretches of first events with no absent pattern's signal between them.
    stretches: VecDeque<Stretch>,
    /// For a last absence: times of first events that could be the first of a window that starts with them.
    firsts: VecDeque<Timestamp>,
}

/// First events after the absent pattern's signal at `after`, up to the one at `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    after: Option<Timestamp>,
    last: Timestamp,
}

/// The choices that fill all earlier steps and 1, 2, … events of this one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Filled {
    /// At index i the latest start of a choice with i + 1 events of this step; it never rises with i.
    starts: VecDeque<Timestamp>,
    /// What was there before the event at hand moved this step: another pattern of the same event must not build on
    /// it, since one event fills at most one step.
    #[serde(skip)]
    before: Option<Before>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Before {
    /// The latest start of a choice that fills the step.
    full: Option<Timestamp>,
    /// Of one that lacks one event.
    but_one: Option<Timestamp>,
}

impl Filled {
    /// The latest start of a choice that fills the step with its `n` events, without the event at hand.
    fn complete(&self, n: usize) -> Option<Timestamp> {
        match &self.before {
            Some(before) => before.full,
            None => self.full(n),
        }
    }

    fn full(&self, n: usize) -> Option<Timestamp> {
        self.starts.get(n - 1).copied()
    }

    /// The event at hand is one of this step, and a choice of all before it starts at `start`. Choices of this step
    /// that have begun may start later than that: what came between took those away that had not.
    fn advance(&mut self, n: usize, start: Option<Timestamp>) {
        let first = start.max(self.starts.front().copied());
        match (self.before, first) {
            (_, None) => {}
            (None, Some(first)) => {
                let but_one = if n > 1 { self.starts.get(n - 2).copied() } else { None };
                self.before = Some(Before { full: self.full(n), but_one });
                self.starts.push_front(first);
                self.starts.truncate(n);
            }
            // A second pattern of the event: it has moved this step already, but what must not come afterwards may
            // have come between the two.
            (Some(_), Some(first)) if n == 1 => {
                self.starts.clear();
                self.starts.push_front(first);
            }
            (Some(before), Some(_)) => {
                if self.starts.len() == n - 1 {
                    self.starts.extend(before.but_one);
                }
            }
        }
    }

    /// What must not come between this step and the next has come.
    fn interrupt(&mut self, n: usize) {
        self.starts.truncate(n - 1);
        if let Some(before) = &mut self.before {
            before.full = None;
        }
    }

    fn expire(&mut self, start: Timestamp) {
        while self.starts.back().is_some_and(|at| *at < start) {
            self.starts.pop_back();
        }
        if let Some(before) = &mut self.before {
            before.full = before.full.filter(|at| *at >= start);
            before.but_one = before.but_one.filter(|at| *at >= start);
        }
    }
}

impl Run {
    pub fn new(plan: &Sequence) -> Self {
        Run {
            steps: vec![Filled::default(); plan.steps.len()],
            is_over: false,
            stretches: VecDeque::new(),
            firsts: VecDeque::new(),
        }
    }

    /// The signals that follow are of another event.
    pub fn next_event(&mut self) {
        self.steps.iter_mut().for_each(|step| step.before = None);
    }

    /// A signal may be one of a step and absent before it or after it at once: it is not between itself and another.
    pub fn see(&mut self, plan: &Sequence, pattern: usize, time: Timestamp, takes_first: bool) {
        let last = plan.steps.len() - 1;
        if plan.absent_after.contains(&pattern) {
            self.steps[last].interrupt(plan.steps[last].n);
        }
        for (at, step) in plan.steps.iter().enumerate().rev() {
            if step.patterns.contains(&pattern) && (at > 0 || takes_first) {
                let start = if at == 0 { Some(time) } else { self.steps[at - 1].complete(plan.steps[at - 1].n) };
                self.steps[at].advance(step.n, start);
            }
            if at > 0 && step.absent_before.contains(&pattern) {
                self.steps[at - 1].interrupt(plan.steps[at - 1].n);
            }
        }
    }

    /// Remembers a first event where absence asks which there were. Says whether an older one had to go.
    pub fn note_first(
        &mut self,
        plan: &Sequence,
        time: Timestamp,
        last_absent: Option<Timestamp>,
        starts_max: usize,
    ) -> u64 {
        if !plan.absent_first().is_empty() {
            match self.stretches.back_mut() {
                Some(stretch) if stretch.after == last_absent => stretch.last = time,
                _ => self.stretches.push_back(Stretch { after: last_absent, last: time }),
            }
        }
        let is_free = last_absent.is_none_or(|at| at < time);
        if !plan.absent_after.is_empty() && is_free && self.firsts.back() != Some(&time) {
            self.firsts.push_back(time);
        }
        let too_many = self.stretches.len().max(self.firsts.len()) > starts_max;
        if self.stretches.len() > starts_max {
            self.stretches.pop_front();
        }
        if self.firsts.len() > starts_max {
            self.firsts.pop_front();
        }
        u64::from(too_many)
    }

    pub fn expire(&mut self, start: Timestamp) {
        self.steps.iter_mut().for_each(|step| step.expire(start));
        while self.stretches.front().is_some_and(|stretch| stretch.last < start) {
            self.stretches.pop_front();
        }
        while self.firsts.front().is_some_and(|at| *at < start) {
            self.firsts.pop_front();
        }
    }

    /// Whether nothing can come of it.
    pub fn is_dead(&self) -> bool {
        self.steps.iter().all(|step| step.starts.is_empty())
    }

    /// The latest start of a choice that fills every step.
    fn complete(&self, plan: &Sequence) -> Option<Timestamp> {
        self.steps.last()?.full(plan.steps.last()?.n)
    }

    pub fn is_complete(&self, plan: &Sequence, start: Timestamp) -> bool {
        self.complete(plan).is_some()
            && (plan.absent_first().is_empty()
                || self.stretches.front().is_some_and(|stretch| stretch.after.is_none_or(|at| at < start)))
    }

    pub fn first_to_complete(&self, plan: &Sequence) -> Option<Timestamp> {
        let latest = self.complete(plan)?;
        self.firsts.front().copied().filter(|first| *first <= latest)
    }

    pub fn pass(&mut self, first: Timestamp) {
        while self.firsts.front().is_some_and(|at| *at <= first) {
            self.firsts.pop_front();
        }
    }

    /// Events in place in the choice that has come furthest.
    pub fn in_place(&self, plan: &Sequence) -> usize {
        let furthest = (0..self.steps.len()).rev().find(|at| !self.steps[*at].starts.is_empty());
        let before = |at: usize| plan.steps[..at].iter().map(|step| step.n).sum::<usize>();
        furthest.map_or(0, |at| before(at) + self.steps[at].starts.len())
    }

    pub fn bytes(&self) -> usize {
        let starts: usize = self.steps.iter().map(|step| step.starts.len()).sum();
        let times = starts + self.firsts.len() + 3 * self.stretches.len();
        size_of::<Self>() + self.steps.len() * size_of::<Filled>() + times * size_of::<Timestamp>()
    }
}
