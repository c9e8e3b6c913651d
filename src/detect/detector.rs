//! One event against all rules.

use std::sync::Arc;

use super::{Signal, key::keys};
use crate::{
    event::SharedEvent,
    rule::{Pattern, Rule, RuleSet, ScriptError},
};

/// Evaluates every rule of a set on one source partition's events, in the order of the log.
///
/// A rule with a script that fails `quarantine_after` times in a row is left out from then on; the others go on.
#[derive(Debug)]
pub struct Detector {
    rules: Arc<RuleSet>,
    quarantine_after: u32,
    /// By the rule's place in the set.
    health: Vec<Health>,
}

#[derive(Debug, Clone, Default)]
struct Health {
    /// Of each pattern's predicate.
    failures_in_a_row: Vec<u32>,
    quarantined: bool,
    counts: RuleCounts,
}

/// What happened to one rule since the last [`Detector::take_counts`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Events that a pattern of the rule matched.
    pub matched: u64,
    /// Matches without a signal, because a field of the key was missing.
    pub missing_key: u64,
    /// Calls of its scripts that failed or hit a limit.
    pub failures: u64,
    pub last_failure: Option<ScriptError>,
    /// The rule was quarantined since then.
    pub quarantined: bool,
}

impl Detector {
    pub fn new(rules: Arc<RuleSet>, quarantine_after: u32) -> Self {
        let healthy =
            |rule: &Arc<Rule>| Health { failures_in_a_row: vec![0; rule.patterns.len()], ..Health::default() };
        let health = rules.rules.iter().map(healthy).collect();
        Detector { rules, quarantine_after: quarantine_after.max(1), health }
    }

    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// The signals of an event, ordered by (rule, pattern, element).
    pub fn detect(&mut self, event: &SharedEvent, late: bool, epoch: u64) -> Vec<Signal> {
        let mut signals = Vec::new();
        for (rule, health) in self.rules.rules.iter().zip(&mut self.health) {
            if health.quarantined || !rule.inputs.contains(&event.position.input) {
                continue;
            }
            for (at, pattern) in rule.patterns.iter().enumerate() {
                match pattern.predicate.test(event) {
                    Ok(matches) => {
                        health.failures_in_a_row[at] = 0;
                        if matches {
                            signals_of(rule, pattern, event, late, epoch, &mut health.counts, &mut signals);
                        }
                    }
                    Err(error) => health.fail(at, error, self.quarantine_after),
                }
            }
        }
        signals
    }

    /// What happened since the last call, for the rules that something happened to.
    pub fn take_counts(&mut self) -> Vec<(Arc<str>, RuleCounts)> {
        let nothing = RuleCounts::default();
        self.rules
            .rules
            .iter()
            .zip(&mut self.health)
            .filter(|(_, health)| health.counts != nothing)
            .map(|(rule, health)| (rule.id().clone(), std::mem::take(&mut health.counts)))
            .collect()
    }
}

impl Health {
    fn fail(&mut self, pattern: usize, error: ScriptError, quarantine_after: u32) {
        self.counts.failures += 1;
        self.counts.last_failure = Some(error);
        self.failures_in_a_row[pattern] += 1;
        if self.failures_in_a_row[pattern] >= quarantine_after && !self.quarantined {
            self.quarantined = true;
            self.counts.quarantined = true;
        }
    }
}

fn signals_of(
    rule: &Rule,
    pattern: &Pattern,
    event: &SharedEvent,
    late: bool,
    epoch: u64,
    counts: &mut RuleCounts,
    signals: &mut Vec<Signal>,
) {
    counts.matched += 1;
    let keys = keys(&event.fields, &pattern.by);
    if keys.is_empty() {
        counts.missing_key += 1;
        return;
    }
    let fields = event.fields.project(&pattern.keep);
    signals.extend((0..).zip(keys).map(|(element, key)| Signal {
        rule: rule.id().clone(),
        shape: rule.shape,
        pattern: pattern.name.clone(),
        key,
        time: event.time,
        position: event.position.clone(),
        element,
        late,
        epoch,
        fields: fields.clone(),
    }));
}
