//! What is in the window of a key: its signals, and how far a sequence has come.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{key::Walk, plan::Plan, sequence::Progress, window::Kepts};
use crate::{
    event::Timestamp,
    rule::{Condition, Kept, Times},
};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contents {
    pub signals: Kepts,
    /// For a rule with a `sequence`.
    progress: Option<Progress>,
}

impl Contents {
    /// Takes the next signal of the total order, after [`Contents::expire`] for its window.
    pub fn enter(&mut self, pattern: &Arc<str>, kept: Arc<Kept>, walk: &mut Walk<'_>) {
        let signals_max = walk.limits.signals_per_key_max;
        if let (Some(sequence), Some(number)) = (&walk.plan.sequence, walk.plan.number(pattern)) {
            let progress = self.progress.get_or_insert_default();
            walk.tally.evicted += progress.see(sequence, number, kept.time, &kept.position, signals_max);
        }
        walk.tally.evicted += u64::from(self.signals.push(pattern, kept, signals_max));
    }

    /// Forgets what is before `start`.
    pub fn expire(&mut self, start: Timestamp) {
        self.signals.expire(start);
        if let Some(progress) = &mut self.progress {
            progress.expire(start);
        }
    }

    /// Whether the rule's lists are satisfied by the window from `start` on, to which this was expired.
    pub fn meets(&self, plan: &Plan, start: Timestamp) -> bool {
        let is_met = |times: &Times| self.signals.count(&times.pattern) >= u64::from(times.n);
        match (&plan.rule.condition, &plan.sequence) {
            (Condition::AllOf(all), _) => all.iter().all(is_met),
            (Condition::AnyOf(any), _) => any.iter().any(is_met),
            (Condition::Sequence(_), None) => false,
            (Condition::Sequence(_), Some(sequence)) => {
                self.progress.as_ref().is_some_and(|progress| match plan.waits_for_absence() {
                    false => progress.is_complete(sequence, start),
                    true => progress.first_to_complete(sequence).is_some_and(|first| first <= start),
                })
            }
        }
    }

    /// See [`Progress::first_to_complete`].
    pub fn first_to_complete(&self, plan: &Plan) -> Option<Timestamp> {
        let sequence = plan.sequence.as_ref().filter(|_| plan.waits_for_absence())?;
        self.progress.as_ref()?.first_to_complete(sequence)
    }

    /// See [`Progress::pass`].
    pub fn pass(&mut self, first: Timestamp) {
        if let Some(progress) = &mut self.progress {
            progress.pass(first);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.signals.is_empty()
    }

    pub fn clear(&mut self) {
        self.signals.clear();
        self.progress = None;
    }
}
