//! Steps in order inside one window: an automaton that keeps, for each number of events already in place, the latest
//! start that a choice of so many events can have.
//!
//! The latest start is nearly all that matters: a choice that starts later fits every window that an earlier one fits.
//! This is the usual dynamic programme for the shortest window that contains a subsequence, kept incrementally. What
//! must not come between two steps takes the choices away that wait between them; those that have gone on, and those
//! that lack another event of the step before, stay.
//!
//! At its ends a sequence can be bound by absence too, and there it matters which first events a choice can have: any
//! event of the first step that is not later than the latest start, since it can take that one's place. Only where
//! something must not come right after a single first event it can't, so there each run of first events without such a
//! signal between them is followed by itself.
//!
//! A signal costs a queue operation for each step that names its pattern, in each run. Runs are bounded.

mod run;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use self::run::Run;
use super::{arrival::Arrival, plan::Sequence};
use crate::event::{Position, Timestamp};

/// Runs of first events that one key follows; a further one ends the oldest, and is counted.
pub(super) const RUNS_MAX: usize = 64;

/// The partial matches of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// In the order of their first events. Only the last one takes further first events.
    runs: VecDeque<Run>,
    /// The last signal of a pattern that has to be absent before the first event.
    last_absent: Option<Timestamp>,
    /// The event that was seen last. A commit never comes between two signals of one event.
    #[serde(skip)]
    event: Option<Position>,
}

impl Progress {
    /// Takes a signal in, in the total order, after [`Progress::expire`] for its window. Says how much had to be given
    /// up for it.
    pub fn see(&mut self, plan: &Sequence, signal: &Arrival<'_>, starts_max: usize) -> u64 {
        let Arrival { pattern, time, .. } = *signal;
        if self.event.as_ref().is_none_or(|event| !signal.is_at(event)) {
            self.event = Some(signal.position());
            self.runs.iter_mut().for_each(Run::next_event);
        }
        let is_first = plan.steps[0].patterns.contains(&pattern);
        let ends_run = plan.ends_run().contains(&pattern);
        let last = self.runs.len().saturating_sub(1);
        for (at, run) in self.runs.iter_mut().enumerate() {
            run.see(plan, pattern, time, is_first && at == last && !ends_run && !run.is_over);
            run.is_over |= ends_run;
        }
        let mut given_up = 0;
        if is_first {
            if self.runs.back().is_none_or(|run| run.is_over) {
                let mut run = Run::new(plan);
                run.see(plan, pattern, time, true);
                self.runs.push_back(run);
            }
            if let Some(run) = self.runs.back_mut() {
                given_up += run.note_first(plan, time, self.last_absent, starts_max);
            }
        }
        if plan.absent_first().contains(&pattern) {
            self.last_absent = Some(time);
        }
        self.runs.retain(|run| !run.is_dead());
        while self.runs.len() > RUNS_MAX {
            self.runs.pop_front();
            given_up += 1;
        }
        given_up
    }

    /// Forgets the choices that start before `start`.
    pub fn expire(&mut self, start: Timestamp) {
        self.runs.iter_mut().for_each(|run| run.expire(start));
        self.runs.retain(|run| !run.is_dead());
        self.last_absent = self.last_absent.filter(|at| *at >= start);
    }

    /// Whether a choice fills every step in the window from `start` on, to which this was expired.
    pub fn is_complete(&self, plan: &Sequence, start: Timestamp) -> bool {
        self.runs.iter().any(|run| run.is_complete(plan, start))
    }

    /// For a sequence that ends with an absence: the earliest time of a first event of a choice that is complete as
    /// long as nothing comes.
    pub fn first_to_complete(&self, plan: &Sequence) -> Option<Timestamp> {
        self.runs.iter().filter_map(|run| run.first_to_complete(plan)).min()
    }

    /// What could be complete by now with a first event up to `first` was not enough.
    pub fn pass(&mut self, first: Timestamp) {
        self.runs.iter_mut().for_each(|run| run.pass(first));
    }

    /// Events in place in the choice that has come furthest.
    pub fn in_place(&self, plan: &Sequence) -> usize {
        self.runs.iter().map(|run| run.in_place(plan)).max().unwrap_or(0)
    }

    /// About what is kept, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.runs.iter().map(Run::bytes).sum::<usize>()
    }
}
