//! What signals and timers did, booked: alerts, counts, and the rules whose scripts keep failing.

use super::Correlator;
use crate::{
    alert::{Alert, State},
    correlate::{counts::Failures, key::Tally},
    rule::{Audience, Rule},
};

impl Correlator {
    pub(super) fn is_quarantined(&self, rule: &Rule) -> bool {
        let in_a_row = |failures: &Failures| failures.in_a_row() >= self.quarantine_after;
        !self.failures.is_empty()
            && self.failures.get(&(rule.id().clone(), rule.meta.version.clone())).is_some_and(in_a_row)
    }

    /// A signal or a timer of a rule that is set aside.
    pub(super) fn count_passed_by(&mut self, rule: &Rule) {
        self.counts.rules.entry(rule.id().clone()).or_default().passed_by += 1;
    }

    /// Books what a signal or timer did.
    pub(super) fn record(
        &mut self,
        rule: &Rule,
        tally: &mut Tally,
        alert: Option<Box<Alert>>,
        alerts: &mut Vec<Alert>,
    ) {
        if alert.is_none() && tally.is_empty() {
            return;
        }
        self.counts.evicted += tally.evicted;
        self.counts.suppressed += tally.suppressed;
        self.counts.unlisted += tally.unlisted;
        self.chain.write(std::mem::take(&mut tally.writes));
        if tally.missing_value + tally.combinations_cut > 0 {
            let of_rule = self.counts.rules.entry(rule.id().clone()).or_default();
            of_rule.missing_value += tally.missing_value;
            of_rule.combinations_cut += tally.combinations_cut;
        }
        self.book_scripts(rule, tally);
        if let Some(alert) = alert {
            let is_new = alert.state != State::Closed;
            self.counts.rules.entry(rule.id().clone()).or_default().fired += u64::from(is_new);
            if !rule.follows() {
                self.chain.see(&alert);
            }
            if rule.audience == Audience::Everyone {
                alerts.push(*alert);
            }
        }
    }

    /// Books how a rule's scripts did.
    fn book_scripts(&mut self, rule: &Rule, tally: &mut Tally) {
        if !tally.has_failed() && self.failures.is_empty() {
            return;
        }
        let version = (rule.id().clone(), rule.meta.version.clone());
        let mut failures = self.failures.remove(&version).unwrap_or_default();
        for error in failures.book(tally) {
            let of_rule = self.counts.rules.entry(rule.id().clone()).or_default();
            of_rule.failures += 1;
            of_rule.last_failure = Some(error);
            of_rule.quarantined |= failures.in_a_row() == self.quarantine_after;
        }
        if failures.in_a_row() > 0 {
            self.failures.insert(version, failures);
        }
    }
}
