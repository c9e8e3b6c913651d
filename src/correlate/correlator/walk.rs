//! One step of the walk: a signal or a timer, and what it asks for.

use std::sync::Arc;

use super::Correlator;
use crate::{
    alert::{Alert, State},
    correlate::{
        arrival::{Origin, Waiting},
        key::{Expired, Tally, Walk},
        plan::Plan,
        table::NO_TIMER,
        timers::KeyPlace,
    },
    event::Timestamp,
};

/// The event whose signals the walk is at. A commit never comes between two signals of one event.
#[derive(Debug, Default)]
pub(super) struct AtHand {
    event: Option<(Arc<Origin>, u64)>,
    /// Keys that fired on it and whose alerts are not open.
    fired: Vec<KeyPlace>,
    /// Keys that have nothing to remember since.
    emptied: Vec<KeyPlace>,
}

impl Correlator {
    /// The signals that follow are of another event: keys that the one before left with nothing go.
    pub(super) fn turn_to(&mut self, signal: Option<&Waiting>) {
        if signal.is_some_and(|signal| self.at_hand.event.as_ref().is_some_and(|event| signal.is_beside(event))) {
            return;
        }
        match (&mut self.at_hand.event, signal) {
            (Some(event), Some(signal)) if Arc::ptr_eq(&event.0, &signal.origin) => event.1 = signal.offset,
            (event, signal) => *event = signal.map(|signal| (signal.origin.clone(), signal.offset)),
        }
        self.at_hand.fired.clear();
        while let Some(place) = self.at_hand.emptied.pop() {
            self.keys.remove_if_empty(place);
        }
    }

    pub(super) fn apply(&mut self, signal: &Waiting, alerts: &mut Vec<Alert>) {
        self.turn_to(Some(signal));
        let Some(plan) = self.rules.current(&signal.plan) else {
            return self.counts.unknown_rule += 1;
        };
        if self.rules.is_closing(&plan.rule) && !self.is_open(&plan, signal.key()) {
            return self.counts.unknown_rule += 1;
        }
        let is_member = |list: &str, text: &str| self.lists.contains(list, text, signal.time);
        if signal.question.as_ref().is_some_and(|question| !question.answer(&is_member)) {
            return;
        }
        if self.is_quarantined(&plan.rule) {
            return self.count_passed_by(&plan.rule);
        }
        let Some(place) = self.keys.enter(plan.number, signal.key()) else { return };
        let has_fired = self.at_hand.fired.contains(&place);
        let mut tally = Tally::default();
        let Some(table) = self.keys.table(plan.number) else { return };
        let cut = table.evicted_at;
        let mut walk = Walk { plan: &plan, key: signal.key(), limits: self.limits, tally: &mut tally, cut };
        let alert = table.slot_mut(place.1).state.apply(&signal.arrival(&plan), has_fired, &mut walk);
        if alert.as_ref().is_some_and(|alert| alert.state == State::Fired) {
            self.at_hand.fired.push(place);
        }
        self.record(&plan.rule, &mut tally, alert, alerts);
        self.settle(&plan, place, signal.time);
    }

    fn is_open(&self, plan: &Plan, key: &[u8]) -> bool {
        let place = self.keys.find(plan.number, key);
        place.and_then(|place| self.keys.slot(place)).is_some_and(|slot| slot.state.is_open())
    }

    /// Does what a change of a key asks for: it is written, has its timer, and the bounds hold.
    fn settle(&mut self, plan: &Arc<Plan>, place: KeyPlace, now: Timestamp) {
        self.keys.touch(place);
        if self.keys.slot(place).is_some_and(|slot| slot.state.is_empty()) {
            self.at_hand.emptied.push(place);
        }
        self.schedule(plan, place);
        let evicted = self.keys.hold_bounds(plan.number, now, self.limits);
        self.counts.evicted += evicted.signals;
        self.counts.evicted_keys += evicted.keys;
    }

    pub(super) fn expire(&mut self, now: Timestamp, place: KeyPlace, alerts: &mut Vec<Alert>) {
        let Some(table) = self.keys.table(place.0) else { return };
        let (plan, cut) = (table.plan.clone(), table.evicted_at);
        let slot = table.slot_mut(place.1);
        if slot.timer != now {
            return;
        }
        slot.timer = NO_TIMER;
        let key = slot.key().clone();
        let mut state = std::mem::take(&mut slot.state);
        let mut tally = Tally::default();
        // An alert that is open closes also where the rule is quarantined, or went.
        let is_quarantined = self.is_quarantined(&plan.rule);
        let is_set_aside = is_quarantined || self.rules.is_past(&plan.rule, now);
        let Expired { alert, has_changed } = match is_set_aside && !state.is_open() {
            false => {
                state.expire(now, &mut Walk { plan: &plan, key: &key, limits: self.limits, tally: &mut tally, cut })
            }
            true => {
                if is_quarantined {
                    self.count_passed_by(&plan.rule);
                }
                state.give_up(now, &plan)
            }
        };
        if let Some(table) = self.keys.table(place.0) {
            table.slot_mut(place.1).state = state;
        }
        let has_closed = alert.as_ref().is_some_and(|alert| alert.state == State::Closed);
        self.record(&plan.rule, &mut tally, alert, alerts);
        if has_changed {
            self.keys.touch(place);
        }
        self.schedule(&plan, place);
        self.keys.remove_if_empty(place);
        if has_closed && self.rules.is_closing(&plan.rule) && !self.keys.has_open(plan.number) {
            self.end(&plan);
        }
    }

    /// Puts a timer for the key's deadline, unless one is there that comes no later: it looks again.
    pub(super) fn schedule(&mut self, plan: &Plan, place: KeyPlace) {
        let Some(table) = self.keys.table(place.0) else { return };
        let slot = table.slot_mut(place.1);
        let Some(deadline) = slot.state.deadline(plan) else { return };
        if slot.timer > deadline {
            slot.timer = deadline;
            self.groups[plan.group].set_timer(deadline, place);
        }
    }
}
