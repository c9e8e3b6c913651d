//! What is in the window of a key: its signals, their aggregates, and how far a sequence has come.

use serde::{Deserialize, Serialize};

use super::{
    aggregate::Figures,
    arrival::Arrival,
    key::Walk,
    plan::{Counted, Plan},
    sequence::Progress,
    together::Events,
    window::Kepts,
};
use crate::{event::Timestamp, rule::Condition};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contents {
    pub signals: Kepts,
    more: Option<Box<More>>,
}

/// What only some rules need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct More {
    /// For a rule with a `sequence`.
    progress: Option<Progress>,
    /// For a rule whose closures read more than counts.
    figures: Option<Figures>,
    /// For a rule that asks something of the events of all patterns together.
    together: Option<Events>,
}

impl Contents {
    /// Takes the next signal of the total order, after [`Contents::expire`] for its window.
    pub fn enter(&mut self, signal: &Arrival<'_>, walk: &mut Walk<'_>) {
        if let Some(sequence) = &walk.plan.sequence {
            let progress = self.more.get_or_insert_default().progress.get_or_insert_default();
            walk.tally.evicted += progress.see(sequence, signal, walk.limits.signals_per_key_max);
        }
        self.add(signal, walk);
    }

    /// Takes a signal that no sequence asks for.
    pub fn add(&mut self, signal: &Arrival<'_>, walk: &mut Walk<'_>) {
        let signals_max = walk.limits.signals_per_key_max;
        if walk.plan.has_aggregates {
            let figures = self.more.get_or_insert_default().figures.get_or_insert_with(|| walk.plan.figures());
            figures.add(&walk.plan.rule.aggregates, signal.pattern, signal.time, signal.fields, signals_max);
        }
        if let Some(together) = &walk.plan.rule.together {
            let new = || Events::new(walk.plan.leaves(), together);
            let events = self.more.get_or_insert_default().together.get_or_insert_with(new);
            walk.tally.combinations_cut += events.add(together, signal, signals_max);
        }
        walk.tally.evicted += u64::from(self.signals.push(signal, signals_max));
    }

    /// For a rule whose closures read more than counts.
    pub fn figures(&self) -> Option<&Figures> {
        self.more.as_ref()?.figures.as_ref()
    }

    /// For a rule that asks something of the events of all patterns together.
    pub fn together(&self) -> Option<&Events> {
        self.more.as_ref()?.together.as_ref()
    }

    fn progress(&self) -> Option<&Progress> {
        self.more.as_ref()?.progress.as_ref()
    }

    /// The same as an open alert has it: nothing leaves any more.
    pub fn into_total(self) -> Self {
        let into_total = |more: Box<More>| {
            let figures = more.figures.map(Figures::into_total);
            let together = more.together.map(Events::into_total);
            let is_needed = figures.is_some() || together.is_some();
            is_needed.then(|| Box::new(More { progress: None, figures, together }))
        };
        Contents { signals: self.signals, more: self.more.and_then(into_total) }
    }

    /// Forgets what is before `start`.
    pub fn expire(&mut self, plan: &Plan, start: Timestamp) {
        self.signals.expire(start);
        let Some(more) = &mut self.more else { return };
        if let Some(figures) = &mut more.figures {
            figures.expire(&plan.rule.aggregates, start);
        }
        if let Some((events, together)) = more.together.as_mut().zip(plan.rule.together.as_ref()) {
            events.expire(together, start);
        }
        if let Some(progress) = &mut more.progress {
            progress.expire(start);
        }
    }

    /// Whether the rule's lists are satisfied by the window from `start` on, to which this was expired.
    pub fn meets(&self, plan: &Plan, start: Timestamp) -> bool {
        let is_met = |of: &Counted| self.signals.count(of.pattern) >= of.n;
        match (&plan.rule.condition, &plan.sequence) {
            (Condition::AllOf(_), _) => plan.counted.iter().all(is_met),
            (Condition::AnyOf(_), _) => plan.counted.iter().any(is_met),
            (Condition::Sequence(_), None) => false,
            (Condition::Sequence(_), Some(sequence)) => {
                self.progress().is_some_and(|progress| match plan.waits_for_absence() {
                    false => progress.is_complete(sequence, start),
                    true => progress.first_to_complete(sequence).is_some_and(|first| first <= start),
                })
            }
        }
    }

    /// See [`Progress::first_to_complete`].
    pub fn first_to_complete(&self, plan: &Plan) -> Option<Timestamp> {
        let sequence = plan.sequence.as_ref().filter(|_| plan.waits_for_absence())?;
        self.progress()?.first_to_complete(sequence)
    }

    /// See [`Progress::pass`].
    pub fn pass(&mut self, first: Timestamp) {
        if let Some(progress) = self.more.as_mut().and_then(|more| more.progress.as_mut()) {
            progress.pass(first);
        }
    }

    /// How many signals are missing until the lists are satisfied, and of how many; `None` where there are no lists.
    pub fn missing(&self, plan: &Plan) -> Option<(u64, u64)> {
        let of = |of: &Counted| (of.n.saturating_sub(self.signals.count(of.pattern)), of.n);
        match (&plan.rule.condition, &plan.sequence) {
            (Condition::AllOf(_), _) => {
                plan.counted.iter().map(of).reduce(|(missing, needed), (more, of)| (missing + more, needed + of))
            }
            (Condition::AnyOf(_), _) => plan.counted.iter().map(of).min(),
            (Condition::Sequence(_), sequence) => sequence.as_ref().map(|sequence| {
                let needed: usize = sequence.steps.iter().map(|step| step.n).sum();
                let in_place = self.progress().map_or(0, |progress| progress.in_place(sequence));
                (needed.saturating_sub(in_place) as u64, needed as u64)
            }),
        }
    }

    /// About what is kept, in bytes.
    pub fn bytes(&self) -> usize {
        // Aggregates keep about what the signals' fields hold.
        let has_more = self.figures().is_some() || self.together().is_some();
        let of_signals = self.signals.bytes() * if has_more { 2 } else { 1 };
        of_signals + self.progress().map_or(0, Progress::bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.signals.is_empty()
    }

    pub fn clear(&mut self) {
        *self = Contents::default();
    }
}
