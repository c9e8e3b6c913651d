//! What is in the window of a key: its signals, their aggregates, and how far a sequence has come.

use serde::{Deserialize, Serialize};

use super::{aggregate::Figures, key::Walk, plan::Plan, sequence::Progress, together::Events, window::Kepts};
use crate::{
    event::Timestamp,
    rule::{Condition, Kept, Times},
};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contents {
    pub signals: Kepts,
    /// For a rule with a `sequence`.
    progress: Option<Box<Progress>>,
    /// For a rule whose closures read more than counts.
    pub figures: Option<Box<Figures>>,
    /// For a rule that asks something of the events of all patterns together.
    pub together: Option<Box<Events>>,
}

impl Contents {
    /// Takes the next signal of the total order, after [`Contents::expire`] for its window.
    pub fn enter(&mut self, number: usize, kept: &Kept, walk: &mut Walk<'_>) {
        if let Some(sequence) = &walk.plan.sequence {
            let signals_max = walk.limits.signals_per_key_max;
            let progress = self.progress.get_or_insert_default();
            walk.tally.evicted += progress.see(sequence, number, kept.time, &kept.position, signals_max);
        }
        self.add(number, kept, walk);
    }

    /// Takes a signal that no sequence asks for.
    pub fn add(&mut self, number: usize, kept: &Kept, walk: &mut Walk<'_>) {
        let signals_max = walk.limits.signals_per_key_max;
        if !walk.plan.rule.aggregates.is_empty() {
            let aggregates = &walk.plan.rule.aggregates;
            let figures = self.figures.get_or_insert_with(|| Box::new(walk.plan.figures()));
            figures.add(aggregates, number, kept.time, &kept.fields, signals_max);
        }
        if let Some(together) = &walk.plan.rule.together {
            let events = self.together.get_or_insert_with(|| Box::new(Events::new(walk.plan.leaves(), together)));
            events.add(together, number, kept, signals_max);
        }
        walk.tally.evicted += u64::from(self.signals.push(&walk.plan.rule, number, kept, signals_max));
    }

    /// The same as an open alert has it: nothing leaves any more.
    pub fn into_total(self) -> Self {
        let figures = self.figures.map(|figures| Box::new(figures.into_total()));
        let together = self.together.map(|events| Box::new(events.into_total()));
        Contents { signals: self.signals, progress: None, figures, together }
    }

    /// Forgets what is before `start`.
    pub fn expire(&mut self, plan: &Plan, start: Timestamp) {
        self.signals.expire(start);
        if let Some(figures) = &mut self.figures {
            figures.expire(&plan.rule.aggregates, start);
        }
        if let Some((events, together)) = self.together.as_mut().zip(plan.rule.together.as_ref()) {
            events.expire(together, start);
        }
        if let Some(progress) = &mut self.progress {
            progress.expire(start);
        }
    }

    /// Whether the rule's lists are satisfied by the window from `start` on, to which this was expired.
    pub fn meets(&self, plan: &Plan, start: Timestamp) -> bool {
        let is_met = |times: &Times| self.count(plan, times) >= u64::from(times.n);
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

    fn count(&self, plan: &Plan, times: &Times) -> u64 {
        plan.pattern(&times.pattern).map_or(0, |number| self.signals.count(number))
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

    /// How many signals are missing until the lists are satisfied, and of how many; `None` where there are no lists.
    pub fn missing(&self, plan: &Plan) -> Option<(u64, u64)> {
        let of = |times: &Times| {
            let needed = u64::from(times.n);
            (needed.saturating_sub(self.count(plan, times)), needed)
        };
        match (&plan.rule.condition, &plan.sequence) {
            (Condition::AllOf(all), _) => {
                all.iter().map(of).reduce(|(missing, needed), (more, of)| (missing + more, needed + of))
            }
            (Condition::AnyOf(any), _) => any.iter().map(of).min(),
            (Condition::Sequence(_), sequence) => sequence.as_ref().map(|sequence| {
                let needed: usize = sequence.steps.iter().map(|step| step.n).sum();
                let in_place = self.progress.as_ref().map_or(0, |progress| progress.in_place(sequence));
                (needed.saturating_sub(in_place) as u64, needed as u64)
            }),
        }
    }

    /// About what is kept, in bytes.
    pub fn bytes(&self) -> usize {
        // Aggregates keep about what the signals' fields hold.
        let of_signals = self.signals.bytes() * if self.figures.is_some() || self.together.is_some() { 2 } else { 1 };
        of_signals + self.progress.as_ref().map_or(0, |progress| progress.bytes())
    }

    pub fn is_empty(&self) -> bool {
        self.signals.is_empty()
    }

    pub fn clear(&mut self) {
        *self = Contents::default();
    }
}
