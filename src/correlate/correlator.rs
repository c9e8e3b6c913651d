//! One signals partition: from its records to alerts.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    frontier::{Admission, Sources},
    group::{Group, Next},
    key::{KeyState, Limits, StateKey, Tally},
    snapshot::{Changes, Header, Snapshot},
};
use crate::{
    alert::Alert,
    detect::{Signal, SignalRecord},
    event::Timestamp,
    rule::{InputSet, Rule, RuleSet, ScriptError},
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
    /// Failures in a row of each rule's `when` and `alert`, by (id, version).
    failures: BTreeMap<(Arc<str>, String), u32>,
    /// Records before this offset have been taken in already.
    read_through: u64,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Slot {
    state: KeyState,
    /// A timer of this key lies in its group.
    scheduled: bool,
}

/// The rules by id and shape; a shape that is no longer current stays until time has passed its last signals.
#[derive(Debug, Default)]
struct Rules {
    by_id: HashMap<Arc<str>, Vec<Arc<Rule>>>,
    /// (id, shape) of rules that went, and the frontier at which they end.
    retired: BTreeMap<(Arc<str>, u64), Timestamp>,
}

/// What happened since the last [`Correlator::take_counts`]. What is read again after a crash is not counted again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub signals: u64,
    pub late: u64,
    pub duplicates: u64,
    /// Written by lines that had lost their partition.
    pub stale_epoch: u64,
    /// Signals of a rule, or of a shape of it, that is not loaded.
    pub unknown_rule: u64,
    /// Older than the frontier on arrival, though not late in their own partition: it joined afterwards.
    pub before_join: u64,
    pub evicted: u64,
    pub suppressed: u64,
    pub rules: BTreeMap<Arc<str>, RuleTally>,
}

/// Of one rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleTally {
    pub fired: u64,
    pub late: u64,
    pub failures: u64,
    pub last_failure: Option<ScriptError>,
    pub quarantined: bool,
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
            counts: Counts::default(),
        };
        correlator.set_rules(rules);
        correlator
    }

    /// A partition as a former owner left it. The caller goes on reading at `snapshot.header.resume_from`.
    pub fn restore(rules: &Arc<RuleSet>, limits: Limits, quarantine_after: u32, snapshot: Snapshot) -> Self {
        let mut correlator = Correlator::new(rules, limits, quarantine_after);
        let Header { frontiers, sources, read_through, failures, .. } = snapshot.header;
        correlator.read_through = read_through;
        correlator.sources = sources;
        correlator.failures = failures.into_iter().map(|(id, version, n)| ((id, version), n)).collect();
        for (inputs, frontier) in frontiers {
            let group = correlator.groups.entry(inputs.into()).or_insert_with(|| Group::new(Timestamp::MIN));
            group.frontier = frontier;
            group.durable = frontier;
        }
        for (key, state) in snapshot.keys {
            let key = Arc::new(key);
            // A key that settled, or whose rule went, leaves at the next commit.
            correlator.dirty.insert(key.clone());
            correlator.keys.insert(key.clone(), Slot { state, scheduled: false });
            correlator.schedule(&key);
        }
        correlator
    }

    /// Takes the next record of the partition in, which stands at `offset`. Alerts of rules that don't wait for the
    /// total order come out at once; for the others see [`Correlator::advance`].
    pub fn accept(&mut self, offset: u64, record: SignalRecord, alerts: &mut Vec<Alert>) {
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

    /// Walks every rule's signals and timers up to its frontier, in the total order. How often this is called changes
    /// nothing but when alerts come out.
    pub fn advance(&mut self, alerts: &mut Vec<Alert>) {
        let inputs: Vec<InputSet> = self.groups.keys().cloned().collect();
        for inputs in inputs {
            self.walk(&inputs, alerts);
        }
        self.retire();
    }

    /// The log ends here: nothing that is to come is at or before `until`.
    pub fn finish(&mut self, until: Timestamp, alerts: &mut Vec<Alert>) {
        for group in self.groups.values_mut() {
            group.frontier = group.frontier.max(Timestamp(until.0.saturating_add(1)));
        }
        self.advance(alerts);
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
        let current: HashSet<(Arc<str>, u64)> =
            rules.rules.iter().map(|rule| (rule.id().clone(), rule.shape)).collect();
        let gone =
            self.rules.iter().map(|rule| (rule.id().clone(), rule.shape)).filter(|shape| !current.contains(shape));
        let gone: Vec<_> = gone.collect();
        self.rules.retired.retain(|shape, _| !current.contains(shape));
        for shape in gone {
            self.rules.retired.entry(shape).or_insert(end);
        }
        for rule in &rules.rules {
            self.rules.put(rule.clone());
            if rule.is_ordered() {
                self.groups.entry(rule.inputs.clone()).or_insert_with(|| Group::new(Timestamp::MIN));
            }
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
        let Some(rule) = self.rules.get(&signal.rule, signal.shape) else {
            return self.counts.unknown_rule += 1;
        };
        if !rule.is_ordered() {
            let mut state = KeyState::default();
            let mut tally = Tally::default();
            let alert = self.unless_quarantined(&rule, |limits| state.apply(&rule, limits, &signal, &mut tally));
            return self.record(&rule, tally, alert, alerts);
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
        let Some(rule) = self.rules.get(&signal.rule, signal.shape) else { return };
        if !rule.is_ordered() || signal.late {
            return;
        }
        let group = self.groups.entry(rule.inputs.clone()).or_insert_with(|| Group::new(Timestamp::MIN));
        if signal.time >= group.frontier {
            group.hold(offset, signal);
        }
    }

    fn walk(&mut self, inputs: &InputSet, alerts: &mut Vec<Alert>) {
        while let Some(next) = self.groups.get_mut(inputs).and_then(Group::next) {
            match next {
                Next::Signal(signal) => self.apply(signal, alerts),
                Next::Timer(at, key) => self.expire(at, &key, alerts),
            }
        }
    }

    fn apply(&mut self, signal: Signal, alerts: &mut Vec<Alert>) {
        let Some(rule) = self.rules.get(&signal.rule, signal.shape) else {
            return self.counts.unknown_rule += 1;
        };
        let key = Arc::new(StateKey { rule: signal.rule.clone(), shape: signal.shape, key: signal.key.clone() });
        let mut slot = self.keys.remove(&key).unwrap_or_default();
        let mut tally = Tally::default();
        let alert = self.unless_quarantined(&rule, |limits| slot.state.apply(&rule, limits, &signal, &mut tally));
        self.keys.insert(key.clone(), slot);
        self.dirty.insert(key.clone());
        self.record(&rule, tally, alert, alerts);
        self.schedule(&key);
    }

    fn expire(&mut self, now: Timestamp, key: &Arc<StateKey>, alerts: &mut Vec<Alert>) {
        let Some(slot) = self.keys.get_mut(key) else { return };
        slot.scheduled = false;
        let Some(rule) = self.rules.get(&key.rule, key.shape) else { return };
        let mut tally = Tally::default();
        let alert = slot.state.expire(&rule, self.limits, key, now, &mut tally);
        if alert.is_some() || slot.state.is_empty() {
            self.dirty.insert(key.clone());
        }
        self.record(&rule, tally, alert, alerts);
        self.schedule(key);
    }

    /// Puts a timer for the key's deadline, unless one is there: an early one looks again when it comes.
    fn schedule(&mut self, key: &Arc<StateKey>) {
        let Some(slot) = self.keys.get_mut(key) else { return };
        let Some(rule) = self.rules.get(&key.rule, key.shape) else { return };
        if slot.scheduled {
            return;
        }
        if let (Some(at), Some(group)) = (slot.state.deadline(&rule), self.groups.get_mut(&rule.inputs)) {
            slot.scheduled = true;
            group.set_timer(at, key.clone());
        }
    }

    fn unless_quarantined(&self, rule: &Rule, apply: impl FnOnce(Limits) -> Option<Alert>) -> Option<Alert> {
        let failures = self.failures.get(&(rule.id().clone(), rule.meta.version.clone()));
        if failures.is_some_and(|failures| *failures >= self.quarantine_after) {
            return None;
        }
        apply(self.limits)
    }

    /// Books what a signal or timer did.
    fn record(&mut self, rule: &Rule, tally: Tally, alert: Option<Alert>, alerts: &mut Vec<Alert>) {
        self.counts.evicted += tally.evicted;
        self.counts.suppressed += tally.suppressed;
        let version = || (rule.id().clone(), rule.meta.version.clone());
        if !tally.failures.is_empty() {
            let of_rule = self.counts.rules.entry(rule.id().clone()).or_default();
            let in_a_row = self.failures.entry(version()).or_default();
            of_rule.failures += tally.failures.len() as u64;
            of_rule.last_failure = tally.failures.into_iter().last();
            *in_a_row += 1;
            of_rule.quarantined |= *in_a_row == self.quarantine_after;
        } else if alert.is_some() && !self.failures.is_empty() {
            self.failures.remove(&version());
        }
        if let Some(alert) = alert {
            self.counts.rules.entry(rule.id().clone()).or_default().fired += 1;
            alerts.push(alert);
        }
    }

    /// Ends the shapes that no signal can be on its way for, and whose alerts are closed.
    fn retire(&mut self) {
        let over: Vec<(Arc<str>, u64)> = self
            .rules
            .retired
            .iter()
            .filter(|((id, shape), end)| {
                let frontier = self.rules.get(id, *shape).and_then(|rule| self.groups.get(&rule.inputs));
                frontier.is_none_or(|group| group.frontier > **end)
            })
            .map(|(shape, _)| shape.clone())
            .collect();
        if over.is_empty() {
            return;
        }
        let over: BTreeSet<_> = over.into_iter().collect();
        let mut still_open = BTreeSet::new();
        for (key, slot) in &self.keys {
            let shape = (key.rule.clone(), key.shape);
            if over.contains(&shape) {
                self.dirty.insert(key.clone());
                if slot.state.is_open() {
                    still_open.insert(shape);
                }
            }
        }
        for shape in over.difference(&still_open) {
            self.rules.remove(shape);
        }
    }

    /// What a commit has to write so that [`Correlator::restore`] gives this state again.
    pub fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for key in std::mem::take(&mut self.dirty) {
            let Some(slot) = self.keys.get(&key) else { continue };
            let Some(rule) = self.rules.get(&key.rule, key.shape) else {
                self.keys.remove(&key);
                changes.remove(&key);
                continue;
            };
            // An emptied key stays until no signal of its time can be read again: it says what was applied.
            let durable = self.groups.get(&rule.inputs).map_or(Timestamp::MAX, |group| group.durable);
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
        changes.set_header(&self.header());
        changes
    }

    fn header(&self) -> Header {
        let waiting = self.groups.values().filter_map(Group::first_offset).min();
        Header {
            frontiers: self.groups.iter().map(|(inputs, group)| (inputs.into(), group.frontier)).collect(),
            sources: self.sources.clone(),
            read_through: self.read_through,
            resume_from: waiting.unwrap_or(self.read_through).min(self.read_through),
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

impl Rules {
    fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.by_id.values().flatten()
    }

    fn get(&self, id: &str, shape: u64) -> Option<Arc<Rule>> {
        self.by_id.get(id)?.iter().find(|rule| rule.shape == shape).cloned()
    }

    fn put(&mut self, rule: Arc<Rule>) {
        let shapes = self.by_id.entry(rule.id().clone()).or_default();
        shapes.retain(|other| other.shape != rule.shape);
        shapes.push(rule);
    }

    fn remove(&mut self, (id, shape): &(Arc<str>, u64)) {
        self.retired.remove(&(id.clone(), *shape));
        if let Some(shapes) = self.by_id.get_mut(id) {
            shapes.retain(|rule| rule.shape != *shape);
        }
    }
}
