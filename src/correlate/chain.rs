//! From alerts to the signals of rules on alerts, in the line that writes the alerts.
//!
//! Rules lie in two layers: those on events, and those on what comes of the first: its alerts, and the lists it writes. What a rule of the second layer says
//! is no event for any rule, so no circle can close. A signals partition is a source of its own for the second layer:
//! its watermark is where the walk of the first layer is, and nothing of it is ever late but the alerts that say so.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    alert::Alert,
    detect::{Detector, Facts, RuleCounts, Signal, Whole},
    event::{InputName, Slots, Timestamp},
    rule::{InputSet, ListWrite, Rule, RuleSet},
};

/// Of every signal and marker of alerts: they are committed with the state that they come from, so a line that lost its
/// partition writes none.
pub const EPOCH: u64 = 1;

/// What a commit adds for the rules on alerts.
#[derive(Debug, Default)]
pub struct Chained {
    /// For whichever signals partition each belongs to.
    pub signals: Vec<Signal>,
    /// For every signals partition.
    pub writes: Vec<ListWrite>,
    /// No signal with an earlier time follows from this partition's alerts, unless it is late.
    pub frontier: Option<Timestamp>,
    /// Alerts that were events since the last time, and how many of them were late.
    pub alerts: u64,
    pub late: u64,
    /// What happened to rules on alerts.
    pub rules: Vec<(Arc<str>, RuleCounts)>,
}

/// The second layer's view of a partition's alerts.
#[derive(Debug)]
pub(super) struct Chain {
    quarantine_after: u32,
    /// The rules on alerts; `None` where there are none.
    detector: Option<Detector>,
    /// Whether a rule writes lists, or reads those.
    has_lists: bool,
    /// What the rules of the first layer read.
    inputs: InputSet,
    slots: Slots,
    next: Chained,
}

impl Chain {
    pub fn new(quarantine_after: u32) -> Self {
        Chain {
            quarantine_after,
            detector: None,
            has_lists: false,
            inputs: InputSet::All,
            slots: Slots::default(),
            next: Chained::default(),
        }
    }

    pub fn set_rules(&mut self, set: &RuleSet) {
        let (second, first): (Vec<&Arc<Rule>>, Vec<_>) = set.rules.iter().partition(|rule| rule.follows());
        self.inputs = union(first.iter().map(|rule| &rule.inputs));
        self.has_lists = set.rules.iter().any(|rule| rule.then.is_some() || rule.reads_written());
        let on_alerts = second.into_iter().filter(|rule| rule.inputs.reads_alerts()).cloned().collect();
        let on_alerts = RuleSet { rules: on_alerts, ..RuleSet::default() };
        self.detector =
            (!on_alerts.rules.is_empty()).then(|| Detector::new(Arc::new(on_alerts), self.quarantine_after));
    }

    /// Whether there is a second layer, or what it may read.
    pub fn is_read(&self) -> bool {
        self.detector.is_some() || self.has_lists
    }

    /// Takes in what a firing adds to lists.
    pub fn write(&mut self, mut writes: Vec<ListWrite>) {
        self.next.writes.append(&mut writes);
    }

    /// What has to be behind the frontier before no alert of an earlier time can come.
    pub fn inputs(&self) -> &InputSet {
        &self.inputs
    }

    /// Takes an alert of the first layer in.
    pub fn see(&mut self, alert: &Alert) {
        let Some(detector) = &mut self.detector else { return };
        let Some(event) = alert.to_event() else { return };
        let compiled = detector.rules().compiled().clone();
        self.slots.fill(&compiled.wanted, &event.fields);
        let in_full = || event.fields.clone();
        let facts = Facts {
            view: self.slots.view(&compiled.wanted, ""),
            time: event.time,
            input: &event.position.input,
            partition: event.position.partition,
            offset: event.position.offset,
            late: alert.late,
            epoch: EPOCH,
            whole: Whole::later(&in_full),
        };
        self.next.signals.append(&mut detector.detect(&facts));
        self.next.alerts += 1;
        self.next.late += u64::from(alert.late);
    }

    /// The first layer's walk is at `frontier`.
    pub fn reach(&mut self, frontier: Option<Timestamp>) {
        self.next.frontier = self.next.frontier.max(frontier);
    }

    pub fn frontier(&self) -> Option<Timestamp> {
        self.next.frontier
    }

    /// What came since the last call.
    pub fn take(&mut self) -> Chained {
        let rules = self.detector.as_mut().map(Detector::take_counts).unwrap_or_default();
        let frontier = self.next.frontier;
        let next = Chained { frontier, ..Chained::default() };
        Chained { rules, ..std::mem::replace(&mut self.next, next) }
    }

    /// Whether signals or writes wait to be taken.
    pub fn has_signals(&self) -> bool {
        !self.next.signals.is_empty() || !self.next.writes.is_empty()
    }
}

fn union<'a>(sets: impl Iterator<Item = &'a InputSet>) -> InputSet {
    let mut all: BTreeSet<InputName> = BTreeSet::new();
    for set in sets {
        match set {
            InputSet::All | InputSet::AllAndAlerts => return InputSet::All,
            InputSet::Named(names) => all.extend(names.iter().cloned()),
        }
    }
    InputSet::Named(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_layer_reads_all_that_any_of_its_rules_reads() {
        let named = |names: &[&str]| InputSet::Named(names.iter().map(|name| (*name).into()).collect());
        assert_eq!(union([named(&["b"]), named(&["a", "b"])].iter()), named(&["a", "b"]));
        assert_eq!(union([named(&["b"]), InputSet::All].iter()), InputSet::All);
        assert_eq!(union(std::iter::empty()), named(&[]));
    }
}
