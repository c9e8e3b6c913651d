//! One signals partition: from its records to alerts.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    counts::{Counts, Failures},
    frontier::{Admission, Sources},
    group::{Group, Next},
    key::{Expired, KeyState, Limits, StateKey, Tally, Walk},
    plan::Plan,
    rules::Rules,
    snapshot::{Changes, Header, Snapshot},
};
use crate::{
    alert::{Alert, State},
    detect::{Signal, SignalRecord},
    event::Timestamp,
    rule::{InputSet, Rule, RuleSet},
};

/// The state of one signals partition. It is a function of the partition's records alone: no clock, no other input.
#[derive(Debug)]
pub struct Correlator {
    limits: Limits,
    quarantine_after: u32,
    rules: Rules,
    sources: Sources,
    groups: BTreeMap<InputSet, Group>,
    keys: HashMap<Arc<StateKey>, Slot>,
    /// Keys that changed since the last [`Correlator::changes`].
    dirty: HashSet<Arc<StateKey>>,
    /// By the rule's (id, version).
    failures: BTreeMap<(Arc<str>, String), Failures>,
    /// Records before this offset have been taken in already.
    read_through: u64,
    /// The offset after the record that was read last: behind `read_through` while what waits is read again.
    next: u64,
    /// Records that may be read again and are in the dead letters.
    passed_over: BTreeSet<u64>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Slot {
    state: KeyState,
    /// The timer of this key that counts; others that lie in its group are passed by.
    timer: Option<Timestamp>,
}

/// Where the walk stands, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The least frontier of all input sets that rules read; `None` before the first.
    pub frontier: Option<Timestamp>,
    pub buffered: usize,
    pub keys: usize,
}

impl Correlator {
    /// An empty partition.
    pub fn new(rules: &Arc<RuleSet>, limits: Limits, quarantine_after: u32) -> Self {
        let mut correlator = Correlator {
            limits,
            quarantine_after: quarantine_after.max(1),
            rules: Rules::default(),
            sources: Sources::default(),
            groups: BTreeMap::new(),
            keys: HashMap::new(),
            dirty: HashSet::new(),
            failures: BTreeMap::new(),
            read_through: 0,
            next: 0,
            passed_over: BTreeSet::new(),
            counts: Counts::default(),
        };
        correlator.set_rules(rules);
        correlator
    }

    /// A partition as a former owner left it. The caller goes on reading at `snapshot.header.resume_from`.
    pub fn restore(rules: &Arc<RuleSet>, limits: Limits, quarantine_after: u32, snapshot: Snapshot) -> Self {
        let mut correlator = Correlator::new(rules, limits, quarantine_after);
        let Header { frontiers, sources, read_through, resume_from, passed_over, failures } = snapshot.header;
        correlator.read_through = read_through;
        correlator.next = resume_from;
        correlator.passed_over = passed_over;
        correlator.sources = sources;
        correlator.failures = failures.into_iter().map(|(id, version, n)| ((id, version), n)).collect();
        for (inputs, frontier) in frontiers {
            let group = correlator.groups.entry(inputs.into()).or_insert_with(|| Group::new(Timestamp::MIN));
            group.frontier = frontier;
            group.durable = frontier;
        }
        // Rules that read other inputs than any before.
        correlator.reach();
        for (key, state) in snapshot.keys {
            let key = Arc::new(key);
            // A key that settled, or whose rule went, leaves at the next commit.
            if state.is_empty() || correlator.rules.get(&key.rule, key.shape).is_none() {
                correlator.dirty.insert(key.clone());
            }
            correlator.keys.insert(key.clone(), Slot { state, timer: None });
            correlator.schedule(&key);
        }
        correlator
    }

    /// Takes the next record of the partition in, which stands at `offset`. Alerts of rules that don't wait for the
    /// total order come out at once; for the others see [`Correlator::advance`].
    pub fn accept(&mut self, offset: u64, record: SignalRecord, alerts: &mut Vec<Alert>) {
        self.next = offset + 1;
        if self.passed_over.contains(&offset) {
            return;
        }
        let again = offset < self.read_through;
        self.read_through = self.read_through.max(offset + 1);
        match record {
            SignalRecord::Roster(roster) if !again => {
                self.sources.set_roster(roster);
                self.reach();
            }
            SignalRecord::Marker(marker) if !again => match self.sources.mark(&marker) {
                true => self.reach(),
                false => self.counts.stale_epoch += 1,
            },
            SignalRecord::Signal(signal) if again => self.hold_again(offset, signal),
            SignalRecord::Signal(signal) => self.take(offset, signal, alerts),
            SignalRecord::Roster(_) | SignalRecord::Marker(_) => {}
        }
    }

    /// Passes over a record that is never to be taken in, because a line died of it. Says whether this is the first
    /// time: then it belongs to the dead letters of this commit.
    pub fn pass_over(&mut self, offset: u64) -> bool {
        self.next = offset + 1;
        self.read_through = self.read_through.max(self.next);
        self.passed_over.insert(offset)
    }

    /// Walks every rule's signals and timers up to its frontier, in the total order. How often this is called changes
    /// nothing but when alerts come out. `watch` is told the offset of each signal before it is applied.
    pub fn advance(&mut self, watch: &mut dyn FnMut(u64), alerts: &mut Vec<Alert>) {
        let inputs: Vec<InputSet> = self.groups.keys().cloned().collect();
        for inputs in inputs {
            self.walk(&inputs, watch, alerts);
        }
        self.retire();
    }

    /// The log ends here: nothing that is to come is at or before `until`.
    pub fn finish(&mut self, until: Timestamp, alerts: &mut Vec<Alert>) {
        for group in self.groups.values_mut() {
            group.frontier = group.frontier.max(Timestamp(until.0.saturating_add(1)));
        }
        self.advance(&mut |_| {}, alerts);
    }

    /// Takes the frontiers to where the sources are now. Done with every record that moves a source, so that what is
    /// too old on arrival does not depend on how records are batched.
    fn reach(&mut self) {
        for (inputs, group) in &mut self.groups {
            if let Some(frontier) = self.sources.frontier(inputs) {
                group.frontier = group.frontier.max(frontier);
            }
        }
    }

    /// Goes on with another rule set. Rules whose shape stays keep their windows; one that went, or whose shape
    /// changed, still takes the signals that are on their way.
    pub fn set_rules(&mut self, rules: &Arc<RuleSet>) {
        let end = self.sources.iter().filter_map(|(_, _, watermark, _)| watermark).max().unwrap_or(Timestamp::MIN);
        self.rules.replace(rules, end);
        for rule in rules.rules.iter().filter(|rule| rule.is_ordered()) {
            self.groups.entry(rule.inputs.clone()).or_insert_with(|| Group::new(Timestamp::MIN));
        }
        self.reach();
        let versions: HashSet<(&str, &str)> =
            rules.rules.iter().map(|rule| (&**rule.id(), rule.meta.version.as_str())).collect();
        self.failures.retain(|(id, version), _| versions.contains(&(&**id, version.as_str())));
    }

    fn take(&mut self, offset: u64, signal: Signal, alerts: &mut Vec<Alert>) {
        match self.sources.admit(&signal) {
            Admission::Duplicate => return self.counts.duplicates += 1,
            Admission::StaleEpoch => return self.counts.stale_epoch += 1,
            Admission::Accepted => self.counts.signals += 1,
        }
        let Some(plan) = self.rules.get(&signal.rule, signal.shape) else {
            return self.counts.unknown_rule += 1;
        };
        let rule = &plan.rule;
        if !rule.is_ordered() {
            let mut state = KeyState::default();
            let mut tally = Tally::default();
            let alert = self.walk_with(&plan, &signal.key, &mut tally, |walk| state.apply(&signal, walk));
            return self.record(rule, tally, alert.flatten(), alerts);
        }
        if signal.late {
            self.counts.late += 1;
            return self.counts.rules.entry(signal.rule).or_default().late += 1;
        }
        let group = self.groups.entry(rule.inputs.clone()).or_insert_with(|| Group::new(Timestamp::MIN));
        if signal.time < group.frontier {
            self.counts.before_join += 1;
        } else {
            group.hold(offset, signal);
        }
    }

    /// A signal that was taken in before a crash: it waits again if the walk had not come to it.
    fn hold_again(&mut self, offset: u64, signal: Signal) {
        let Some(plan) = self.rules.get(&signal.rule, signal.shape) else { return };
        let rule = &plan.rule;
        if !rule.is_ordered() || signal.late {
            return;
        }
        let group = self.groups.entry(rule.inputs.clone()).or_insert_with(|| Group::new(Timestamp::MIN));
        if signal.time >= group.frontier {
            group.hold(offset, signal);
        }
    }

    fn walk(&mut self, inputs: &InputSet, watch: &mut dyn FnMut(u64), alerts: &mut Vec<Alert>) {
        while let Some(next) = self.groups.get_mut(inputs).and_then(Group::next) {
            match next {
                Next::Signal(offset, signal) => {
                    watch(offset);
                    self.apply(signal, alerts);
                }
                Next::Timer(at, key) => self.expire(at, &key, alerts),
            }
        }
    }

    fn apply(&mut self, signal: Signal, alerts: &mut Vec<Alert>) {
        let Some(plan) = self.rules.get(&signal.rule, signal.shape) else {
            return self.counts.unknown_rule += 1;
        };
        let key = Arc::new(StateKey { rule: signal.rule.clone(), shape: signal.shape, key: signal.key.clone() });
        if self.rules.is_closing(&plan.rule) && !self.keys.get(&key).is_some_and(|slot| slot.state.is_open()) {
            return self.counts.unknown_rule += 1;
        }
        let mut slot = self.keys.remove(&key).unwrap_or_default();
        let mut tally = Tally::default();
        let alert = self.walk_with(&plan, &key.key, &mut tally, |walk| slot.state.apply(&signal, walk));
        self.keys.insert(key.clone(), slot);
        self.dirty.insert(key.clone());
        self.record(&plan.rule, tally, alert.flatten(), alerts);
        self.schedule(&key);
    }

    fn expire(&mut self, now: Timestamp, key: &Arc<StateKey>, alerts: &mut Vec<Alert>) {
        let Some(plan) = self.rules.get(&key.rule, key.shape) else { return };
        let is_quarantined = self.is_quarantined(&plan.rule);
        let Some(slot) = self.keys.get_mut(key).filter(|slot| slot.timer == Some(now)) else { return };
        slot.timer = None;
        let mut tally = Tally::default();
        let mut walk = Walk { plan: &plan, key: &key.key, limits: self.limits, tally: &mut tally };
        // An alert that is open closes also where the rule is quarantined.
        let Expired { alert, has_changed } = match is_quarantined && !slot.state.is_open() {
            false => slot.state.expire(now, &mut walk),
            true => slot.state.give_up(),
        };
        if has_changed {
            self.dirty.insert(key.clone());
        }
        let has_closed = alert.as_ref().is_some_and(|alert| alert.state == State::Closed);
        self.record(&plan.rule, tally, alert, alerts);
        self.schedule(key);
        if has_closed {
            self.end_if_closed(&plan.rule);
        }
    }

    /// Puts a timer for the key's deadline, unless one is there that comes no later: it looks again.
    fn schedule(&mut self, key: &Arc<StateKey>) {
        let Some(slot) = self.keys.get_mut(key) else { return };
        let Some(plan) = self.rules.get(&key.rule, key.shape) else { return };
        let Some(deadline) = slot.state.deadline(&plan) else { return };
        if slot.timer.is_some_and(|timer| timer <= deadline) {
            return;
        }
        if let Some(group) = self.groups.get_mut(&plan.rule.inputs) {
            slot.timer = Some(deadline);
            group.set_timer(deadline, key.clone());
        }
    }

    /// Does something with a key, unless its rule is quarantined.
    fn walk_with<R>(
        &self,
        plan: &Plan,
        key: &[Arc<str>],
        tally: &mut Tally,
        work: impl FnOnce(&mut Walk<'_>) -> R,
    ) -> Option<R> {
        let walk = &mut Walk { plan, key, limits: self.limits, tally };
        (!self.is_quarantined(&plan.rule)).then(|| work(walk))
    }

    fn is_quarantined(&self, rule: &Rule) -> bool {
        let in_a_row = |failures: &Failures| failures.in_a_row() >= self.quarantine_after;
        !self.failures.is_empty()
            && self.failures.get(&(rule.id().clone(), rule.meta.version.clone())).is_some_and(in_a_row)
    }

    /// Books what a signal or timer did.
    fn record(&mut self, rule: &Rule, tally: Tally, alert: Option<Alert>, alerts: &mut Vec<Alert>) {
        self.counts.evicted += tally.evicted;
        self.counts.suppressed += tally.suppressed;
        self.book_scripts(rule, tally);
        if let Some(alert) = alert {
            let is_new = alert.state != State::Closed;
            self.counts.rules.entry(rule.id().clone()).or_default().fired += u64::from(is_new);
            alerts.push(alert);
        }
    }

    /// Books how a rule's scripts did.
    fn book_scripts(&mut self, rule: &Rule, tally: Tally) {
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

    /// Ends the rules that no signal can be on its way for: of their keys only open alerts stay, until they close.
    fn retire(&mut self) {
        let groups = &self.groups;
        let is_past = |rule: &Rule, end| groups.get(&rule.inputs).is_none_or(|group| group.frontier > end);
        let mut over = self.rules.take_over(is_past);
        if over.is_empty() {
            return;
        }
        let mut open = BTreeSet::new();
        for (key, slot) in &mut self.keys {
            let shape = (key.rule.clone(), key.shape);
            if over.contains(&shape) {
                self.dirty.insert(key.clone());
                if slot.state.is_open() {
                    open.insert(shape);
                } else {
                    slot.state = KeyState::default();
                }
            }
        }
        over.retain(|shape| !open.contains(shape));
        over.iter().for_each(|shape| self.rules.remove(shape));
        open.into_iter().for_each(|shape| self.rules.close(shape));
    }

    /// An alert of a rule that went has closed: with the last one the rule ends.
    fn end_if_closed(&mut self, rule: &Rule) {
        let is_of = |key: &StateKey| key.rule == *rule.id() && key.shape == rule.shape;
        if self.rules.is_closing(rule) && !self.keys.iter().any(|(key, slot)| is_of(key) && slot.state.is_open()) {
            self.rules.remove(&(rule.id().clone(), rule.shape));
        }
    }

    /// What a commit has to write so that [`Correlator::restore`] gives this state again. To be called after
    /// [`Correlator::advance`]: what has been passed by the frontier is not read again.
    pub fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for key in std::mem::take(&mut self.dirty) {
            let Some(slot) = self.keys.get(&key) else { continue };
            let Some(plan) = self.rules.get(&key.rule, key.shape) else {
                self.keys.remove(&key);
                changes.remove(&key);
                continue;
            };
            // An emptied key stays until no signal of its time can be read again: it says what was applied.
            let durable = self.groups.get(&plan.rule.inputs).map_or(Timestamp::MAX, |group| group.durable);
            if slot.state.is_empty() && slot.state.applied_time().is_none_or(|applied| applied < durable) {
                self.keys.remove(&key);
                changes.remove(&key);
            } else {
                changes.put(&key, &slot.state);
                if slot.state.is_empty() {
                    self.dirty.insert(key);
                }
            }
        }
        let header = self.header();
        self.passed_over.clone_from(&header.passed_over);
        changes.set_header(&header);
        changes
    }

    fn header(&self) -> Header {
        let waiting = self.groups.values().filter_map(Group::first_offset).min();
        // Before all is read again that waited, the buffer does not know all of it.
        let resume_from = waiting.unwrap_or(self.next).min(self.next);
        Header {
            frontiers: self.groups.iter().map(|(inputs, group)| (inputs.into(), group.frontier)).collect(),
            sources: self.sources.clone(),
            read_through: self.read_through,
            resume_from,
            passed_over: self.passed_over.range(resume_from..).copied().collect(),
            failures: self.failures.iter().map(|((id, version), n)| (id.clone(), version.clone(), *n)).collect(),
        }
    }

    /// The changes that [`Correlator::changes`] gave last are durable. To be called before anything else is accepted.
    pub fn committed(&mut self) {
        for group in self.groups.values_mut() {
            group.durable = group.frontier;
        }
    }

    /// Whether a commit would say more than how far this partition was read.
    pub fn has_changes(&self) -> bool {
        self.dirty.iter().any(|key| self.keys.get(key).is_none_or(|slot| !slot.state.is_empty()))
    }

    /// The offset of the next record to take in.
    pub fn read_through(&self) -> u64 {
        self.read_through
    }

    pub fn standing(&self) -> Standing {
        Standing {
            frontier: self.groups.values().map(|group| group.frontier).min().filter(|at| *at > Timestamp::MIN),
            buffered: self.groups.values().map(Group::buffered).sum(),
            keys: self.keys.len(),
        }
    }

    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}
