//! Steps in order inside one window: an automaton that keeps, for each number of events already in place, the latest
//! start that a choice of so many events can have.
//!
//! The latest start is all that matters: a choice that starts later fits every window that an earlier one fits. So a
//! signal costs one queue operation for each step that names its pattern, whatever the window holds. This is the usual
//! dynamic programme for the shortest window that contains a subsequence, kept incrementally.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    event::{Position, Timestamp},
    rule::Step,
};

/// The partial matches of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// One for each step of the rule.
    steps: Vec<Filled>,
}

/// The choices that fill all earlier steps and 1, 2, … events of this one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Filled {
    /// At index i the latest start of a choice with i + 1 events of this step; it never rises with i.
    starts: VecDeque<Timestamp>,
    /// The event that moved this step last, and the start of a filled step before it did: another pattern of the
    /// same event must not build on it, since one event fills at most one step.
    moved_by: Option<(Position, Option<Timestamp>)>,
}

impl Filled {
    /// The latest start of a choice that fills the step with its `n` events, not counting `event` itself.
    fn complete(&self, n: u32, event: &Position) -> Option<Timestamp> {
        match &self.moved_by {
            Some((position, before)) if position == event => *before,
            _ => self.full(n),
        }
    }

    fn full(&self, n: u32) -> Option<Timestamp> {
        self.starts.get(n as usize - 1).copied()
    }
}

impl Progress {
    pub fn new(steps: &[Step]) -> Self {
        Progress { steps: vec![Filled::default(); steps.len()] }
    }

    /// Takes a signal in, in the total order, after [`Progress::expire`] for its window.
    pub fn see(&mut self, steps: &[Step], pattern: &Arc<str>, time: Timestamp, event: &Position) {
        for at in (0..steps.len()).rev() {
            let Step::Some { n, patterns } = &steps[at] else { continue };
            if !patterns.contains(pattern) || self.steps[at].moved_by.as_ref().is_some_and(|(by, _)| by == event) {
                continue;
            }
            let start = match at {
                0 => Some(time),
                _ => self.steps[at - 1].complete(size(&steps[at - 1]), event),
            };
            let filled = &mut self.steps[at];
            // Without a filled step before it, nothing of this step is filled either: see `expire`.
            let Some(start) = start else { continue };
            filled.moved_by = Some((event.clone(), filled.full(*n)));
            filled.starts.push_front(start);
            filled.starts.truncate(*n as usize);
        }
    }

    /// Forgets the choices that start before `start`. Since starts never rise along the steps, a step is empty when
    /// the one before it is not filled.
    pub fn expire(&mut self, start: Timestamp) {
        for filled in &mut self.steps {
            while filled.starts.back().is_some_and(|at| *at < start) {
                filled.starts.pop_back();
            }
            if let Some((_, before)) = &mut filled.moved_by
                && before.is_some_and(|at| at < start)
            {
                *before = None;
            }
        }
    }

    /// Whether every step is filled.
    pub fn is_complete(&self, steps: &[Step]) -> bool {
        match (self.steps.last(), steps.last()) {
            (Some(filled), Some(step)) => filled.full(size(step)).is_some(),
            _ => false,
        }
    }
}

fn size(step: &Step) -> u32 {
    match step {
        Step::Some { n, .. } => *n,
        Step::None(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Steps by the letters of their patterns: `("ab", 2)` is two events, each an `a` or a `b`.
    fn steps(shape: &[(&str, u32)]) -> Vec<Step> {
        let patterns = |letters: &str| letters.chars().map(|letter| letter.to_string().into()).collect();
        shape.iter().map(|(letters, n)| Step::Some { n: *n, patterns: patterns(letters) }).collect()
    }

    /// At which events a window of `span` is satisfied; each event is (time, its patterns in byte order).
    fn satisfied(steps: &[Step], span: i64, events: &[(i64, &str)]) -> Vec<bool> {
        let mut progress = Progress::new(steps);
        (0..)
            .zip(events)
            .map(|(offset, (time, patterns))| {
                let event = Position { input: "i".into(), partition: 0, offset };
                progress.expire(Timestamp(time - span));
                for pattern in patterns.chars() {
                    progress.see(steps, &pattern.to_string().into(), Timestamp(*time), &event);
                }
                progress.is_complete(steps)
            })
            .collect()
    }

    /// The same by trying every choice of events.
    fn satisfied_by_search(steps: &[Step], span: i64, events: &[(i64, &str)]) -> Vec<bool> {
        let wanted: Vec<&Vec<Arc<str>>> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Some { n, patterns } => Some(std::iter::repeat_n(patterns, *n as usize)),
                Step::None(_) => None,
            })
            .flatten()
            .collect();
        fn fits(wanted: &[&Vec<Arc<str>>], events: &[(i64, &str)]) -> bool {
            let Some((first, rest)) = wanted.split_first() else { return true };
            (0..events.len()).any(|at| {
                first.iter().any(|pattern| events[at].1.contains(&**pattern)) && fits(rest, &events[at + 1..])
            })
        }
        (0..events.len())
            .map(|end| {
                let window: Vec<_> =
                    events[..=end].iter().filter(|(time, _)| *time >= events[end].0 - span).copied().collect();
                fits(&wanted, &window)
            })
            .collect()
    }

    #[test]
    fn one_event_fills_at_most_one_step() {
        let steps = steps(&[("a", 1), ("b", 1)]);
        assert_eq!(satisfied(&steps, 10, &[(0, "ab"), (1, "b")]), [false, true]);
    }

    #[test]
    fn a_later_start_takes_the_place_of_an_earlier_one() {
        let steps = steps(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(satisfied(&steps, 5, &[(0, "a"), (4, "a"), (5, "b"), (9, "c")]), [false, false, false, true]);
    }

    proptest! {
        #[test]
        fn the_automaton_agrees_with_trying_every_choice(
            shape in prop::collection::vec((prop::sample::select(vec!["a", "b", "ab", "c"]), 1u32..4), 1..4),
            gaps in prop::collection::vec((0i64..4, prop::sample::select(vec!["a", "b", "c", "ab", "bc", "abc"])), 1..14),
            span in 0i64..12,
        ) {
            let steps = steps(&shape);
            let mut now = 0;
            let events: Vec<_> = gaps.into_iter().map(|(gap, patterns)| { now += gap; (now, patterns) }).collect();
            prop_assert_eq!(satisfied(&steps, span, &events), satisfied_by_search(&steps, span, &events));
        }
    }
}
