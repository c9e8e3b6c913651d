//! A signal as it comes from the log: applied at once, kept until its time has come, or counted as what it is.

use std::sync::Arc;

use super::Correlator;
use crate::{
    alert::Alert,
    correlate::{
        arrival::{Found, Origin},
        frontier::Admission,
        key::{KeyState, Tally, Walk},
        plan::Plan,
    },
    detect::SignalView,
};

impl Correlator {
    pub(super) fn take(&mut self, offset: u64, signal: SignalView<'_>, alerts: &mut Vec<Alert>) {
        let (admission, origin) = self.sources.admit(&signal);
        match admission {
            Admission::Duplicate => return self.counts.duplicates += 1,
            Admission::StaleEpoch => return self.counts.stale_epoch += 1,
            Admission::Accepted => self.counts.signals += 1,
        }
        let Some(plan) = self.rules.get(signal.rule, signal.shape) else {
            return self.counts.unknown_rule += 1;
        };
        if !plan.rule.is_ordered() {
            return self.apply_at_once(plan, origin, &signal, alerts);
        }
        if signal.late {
            self.counts.late += 1;
            return self.counts.rules.entry(plan.rule.id().clone()).or_default().late += 1;
        }
        let group = &mut self.groups[plan.group];
        if signal.time < group.frontier {
            return self.counts.before_join += 1;
        }
        match Found::new(&signal, plan, origin, &mut self.scratch) {
            Some(found) => group.hold(found.waiting(signal, offset)),
            None => self.counts.unknown_rule += 1,
        }
    }

    /// A rule that waits for nothing.
    fn apply_at_once(
        &mut self,
        plan: Arc<Plan>,
        origin: Arc<Origin>,
        signal: &SignalView<'_>,
        alerts: &mut Vec<Alert>,
    ) {
        if self.is_quarantined(&plan.rule) {
            return self.count_passed_by(&plan.rule);
        }
        let Some(found) = Found::new(signal, plan, origin, &mut self.scratch) else {
            return self.counts.unknown_rule += 1;
        };
        let mut tally = Tally::default();
        let plan = found.plan.clone();
        let mut walk = Walk { plan: &plan, key: found.key(), limits: self.limits, tally: &mut tally, cut: None };
        let alert = KeyState::default().apply(&found.arrival(signal), false, &mut walk);
        self.record(&plan.rule, &mut tally, alert, alerts);
    }

    /// A signal that was taken in before a crash: it waits again if the walk had not come to it.
    pub(super) fn hold_again(&mut self, offset: u64, signal: SignalView<'_>) {
        let Some(plan) = self.rules.get(signal.rule, signal.shape) else { return };
        if !plan.rule.is_ordered() || signal.late {
            return;
        }
        let group = &mut self.groups[plan.group];
        if signal.time < group.walked {
            return;
        }
        let origin = self.sources.origin(&signal);
        if let Some(found) = Found::new(&signal, plan, origin, &mut self.scratch) {
            group.hold(found.waiting(signal, offset));
        }
    }
}
