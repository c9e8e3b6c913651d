//! One event against all rules.

use std::sync::Arc;

use super::{Combined, Facts, Signal, key::keys};
use crate::{
    event::{ALERTS, Wanted},
    rule::{Compiled, Pattern, Question, Rule, RuleSet, Scratch, ScriptError, ScriptTest, Shown},
};

/// Evaluates every rule of a set on one source partition's events, in the order of the log.
///
/// A rule with a pattern whose scripts fail `quarantine_after` times in a row is left out from then on; the others go on.
#[derive(Debug)]
pub struct Detector {
    rules: Arc<RuleSet>,
    compiled: Arc<Compiled>,
    scratch: Scratch,
    quarantine_after: u32,
    /// By the rule's place in the set.
    health: Vec<Health>,
    /// Events so far.
    events: u64,
}

#[derive(Debug, Clone, Default)]
struct Health {
    /// Of each pattern's predicate.
    failures_in_a_row: Vec<u32>,
    /// Since which of the detector's events it has been set aside; moves on when those are counted.
    quarantined_at: Option<u64>,
    counts: RuleCounts,
}

/// What happened to one rule since the last [`Detector::take_counts`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Events that a pattern of the rule matched.
    pub matched: u64,
    /// Matches without a signal, because a field of the key was missing.
    pub missing_key: u64,
    /// Keys without a signal, because one event had more than [`super::KEYS_PER_EVENT_MAX`].
    pub keys_cut: u64,
    /// Events that it was not asked about, because it is quarantined.
    pub passed_by: u64,
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
        let compiled = rules.compiled().clone();
        let scratch = compiled.matcher.scratch();
        Detector { rules, compiled, scratch, quarantine_after: quarantine_after.max(1), health, events: 0 }
    }

    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// The paths that have to have slots in the events to come.
    pub fn wanted(&self) -> &Wanted {
        &self.compiled.wanted
    }

    /// The signals of an event, ordered by (rule, pattern, element).
    pub fn detect(&mut self, event: &Facts<'_>) -> Vec<Signal> {
        let mut signals = Vec::new();
        let mut newly_quarantined = Vec::new();
        self.events += 1;
        let Detector { rules, compiled, scratch, health, quarantine_after, events } = self;
        let seen = Shown { view: event.view, time: event.time, whole: &|| event.whole().clone() };
        let run = &mut |script: &ScriptTest| script.test(event.whole());
        compiled.matcher.matches(seen, event.input, scratch, run, &mut |at, pattern, answer| {
            let (rule, health) = (&rules.rules[at], &mut health[at]);
            match answer {
                Ok(matches) => {
                    health.failures_in_a_row[pattern] = 0;
                    if matches && is_shown(event, &rule.patterns[pattern]) {
                        signals_of(rule, &rule.patterns[pattern], event, &mut health.counts, &mut signals);
                    }
                }
                Err(error) => {
                    if health.fail(pattern, error, *quarantine_after) {
                        health.quarantined_at = Some(*events);
                        newly_quarantined.push(at);
                    }
                }
            }
        });
        newly_quarantined.into_iter().for_each(|rule| scratch.leave_out(rule));
        signals
    }

    /// What happened since the last call, for the rules that something happened to.
    pub fn take_counts(&mut self) -> Vec<(Arc<str>, RuleCounts)> {
        let nothing = RuleCounts::default();
        let events = self.events;
        self.rules
            .rules
            .iter()
            .zip(&mut self.health)
            .map(|(rule, health)| {
                health.count_passed_by(events);
                (rule, health)
            })
            .filter(|(_, health)| health.counts != nothing)
            .map(|(rule, health)| (rule.id().clone(), std::mem::take(&mut health.counts)))
            .collect()
    }
}

impl Health {
    /// Counts what went by while it was set aside, up to `events`.
    fn count_passed_by(&mut self, events: u64) {
        if let Some(since) = &mut self.quarantined_at {
            self.counts.passed_by += events - *since;
            *since = events;
        }
    }

    /// Says whether the rule is quarantined for it.
    fn fail(&mut self, pattern: usize, error: ScriptError, quarantine_after: u32) -> bool {
        self.counts.failures += 1;
        self.counts.last_failure = Some(error);
        self.failures_in_a_row[pattern] += 1;
        let is_new = self.failures_in_a_row[pattern] >= quarantine_after && self.quarantined_at.is_none();
        self.counts.quarantined |= is_new;
        is_new
    }
}

/// Whether the pattern is asked of such events. An alert that opens and closes is one event, but to patterns that ask
/// for its state.
fn is_shown(event: &Facts<'_>, pattern: &Pattern) -> bool {
    let is_closing = || {
        let state = event.whole().fields.get("state");
        state.is_some_and(|state| state.as_text().as_deref() == Some("closed"))
    };
    pattern.side.has(event.input) && (pattern.sees_closed || **event.input != *ALERTS || !is_closing())
}

fn signals_of(rule: &Rule, pattern: &Pattern, event: &Facts<'_>, counts: &mut RuleCounts, signals: &mut Vec<Signal>) {
    counts.matched += 1;
    let Combined { kept: keys, cut } = keys(event.view, &pattern.by);
    if keys.is_empty() {
        counts.missing_key += 1;
        return;
    }
    counts.keys_cut += cut;
    let seen = Shown { view: event.view, time: event.time, whole: &|| event.whole().clone() };
    let question = pattern.question(&seen);
    if question == Some(Question::Known(false)) {
        return;
    }
    let question = question.filter(|question| *question != Question::Known(true));
    let (position, fields) = (event.position(), event.project(&pattern.keep));
    signals.extend((0..).zip(keys).map(|(element, key)| Signal {
        rule: rule.id().clone(),
        shape: rule.shape,
        pattern: pattern.name.clone(),
        key,
        time: event.time,
        position: position.clone(),
        element,
        late: event.late,
        epoch: event.epoch,
        fields: fields.clone(),
        question: question.clone(),
    }));
}
