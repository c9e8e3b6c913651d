//! One signals partition: from its records to alerts.

mod durable;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    arrival::{Found, Origin, Waiting},
    chain::{Chain, Chained},
    counts::{Counts, Failures},
    frontier::{Admission, Reached, Sources},
    group::{Group, Next},
    key::{Expired, KeyState, Limits, Tally, Walk},
    keys::Keys,
    lists::WrittenLists,
    plan::Plan,
    rules::{Ending, Rules},
    table::NO_TIMER,
    timers::KeyPlace,
};
use crate::{
    alert::{Alert, State},
    detect::{RecordView, SignalView},
    event::{ALERTS, Timestamp},
    rule::{Audience, BundleMark, InputSet, Rule, RuleSet},
};

/// The state of one signals partition. It is a function of the partition's records alone: no clock, no other input.
#[derive(Debug)]
pub struct Correlator {
    limits: Limits,
    quarantine_after: u32,
    rules: Rules,
    /// Which the rules are, where they were passed round.
    bundle: Option<BundleMark>,
    chain: Chain,
    /// What rules wrote; the same in every signals partition.
    lists: WrittenLists,
    sources: Sources,
    groups: Vec<Group>,
    keys: Keys,
    /// By the rule's (id, version).
    failures: BTreeMap<(Arc<str>, String), Failures>,
    at_hand: AtHand,
    /// Records before this offset have been taken in already.
    read_through: u64,
    /// The offset after the record that was read last: behind `read_through` while what waits is read again.
    next: u64,
    /// Records that may be read again and are in the dead letters.
    passed_over: BTreeSet<u64>,
    counts: Counts,
    /// What a signal is packed into.
    scratch: Vec<u8>,
}

/// The event whose signals the walk is at. A commit never comes between two signals of one event.
#[derive(Debug, Default)]
struct AtHand {
    event: Option<(Arc<Origin>, u64)>,
    /// Keys that fired on it and whose alerts are not open.
    fired: Vec<KeyPlace>,
    /// Keys that have nothing to remember since.
    emptied: Vec<KeyPlace>,
}

/// Where the walk stands, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The least frontier of all input sets that rules read; `None` before the first.
    pub frontier: Option<Timestamp>,
    pub buffered: usize,
    pub keys: usize,
    /// Of the rules; 0 where they are nobody's bundle.
    pub revision: u64,
}

impl Correlator {
    /// An empty partition.
    pub fn new(rules: &Arc<RuleSet>, limits: Limits, quarantine_after: u32) -> Self {
        let mut correlator = Correlator {
            limits,
            quarantine_after: quarantine_after.max(1),
            rules: Rules::default(),
            bundle: None,
            chain: Chain::new(quarantine_after),
            lists: WrittenLists::default(),
            sources: Sources::default(),
            groups: Vec::new(),
            keys: Keys::default(),
            failures: BTreeMap::new(),
            at_hand: AtHand::default(),
            read_through: 0,
            next: 0,
            passed_over: BTreeSet::new(),
            counts: Counts::default(),
            scratch: Vec::new(),
        };
        correlator.set_rules(rules);
        correlator
    }

    /// Takes the next record of the partition in, which stands at `offset`. Alerts of rules that don't wait for the
    /// total order come out at once; for the others see [`Correlator::advance`].
    pub fn accept(&mut self, offset: u64, record: RecordView<'_>, alerts: &mut Vec<Alert>) {
        self.next = offset + 1;
        if self.passed_over.contains(&offset) {
            return;
        }
        let again = offset < self.read_through;
        self.read_through = self.read_through.max(offset + 1);
        match record {
            RecordView::Roster(roster) if !again => {
                self.sources.set_roster(roster);
                self.reach();
            }
            RecordView::Marker(marker) if !again => match self.sources.mark(&marker) {
                true => {
                    self.end_former();
                    self.reach();
                }
                false => self.counts.stale_epoch += 1,
            },
            RecordView::Signal(signal) if again => self.hold_again(offset, signal),
            RecordView::Signal(signal) => self.take(offset, signal, alerts),
            RecordView::List(write) if !again => {
                let past = self.answered();
                self.counts.unlisted += self.lists.write(write, past, self.limits.list_entries_max);
            }
            RecordView::Roster(_) | RecordView::Marker(_) | RecordView::List(_) => {}
        }
    }

    /// The rules that a source announces by this record, where they are newer than those that run here: they have to
    /// be set before the record is taken in, and everything before it has to be walked.
    pub fn asks_for(&self, offset: u64, record: &RecordView<'_>) -> Option<BundleMark> {
        let RecordView::Marker(marker) = record else { return None };
        let announced = marker.rules.as_ref().filter(|rules| rules.revision > self.revision())?;
        (offset >= self.read_through && self.sources.is_current(marker)).then(|| announced.clone())
    }

    /// Which rules run here; `None` where they are nobody's bundle.
    pub fn bundle(&self) -> Option<&BundleMark> {
        self.bundle.as_ref()
    }

    fn revision(&self) -> u64 {
        self.bundle.as_ref().map_or(0, |bundle| bundle.revision)
    }

    /// Rules that went end when every source has switched: after the last of their signals that is on its way.
    fn end_former(&mut self) {
        let (sources, groups) = (&self.sources, &self.groups);
        let has_switched = |plan: &Plan, revision| sources.have_switched(&plan.rule.sources, revision);
        let end = |plan: &Plan| last_on_its_way(sources, groups, plan);
        self.rules.settle(has_switched, end);
    }

    /// No rule will ask what a list held before this time.
    fn answered(&self) -> Timestamp {
        let second = self.groups.iter().filter(|group| group.inputs.reads_alerts());
        second.map(|group| group.walked).min().unwrap_or(Timestamp::MIN)
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
        for group in 0..self.groups.len() {
            while let Some(next) = self.groups[group].next() {
                match next {
                    Next::Signal(signal) => {
                        watch(signal.log_offset);
                        self.apply(&signal, alerts);
                    }
                    Next::Timers(at, mut places) => {
                        self.turn_to(None);
                        self.keys.sort(&mut places);
                        places.into_iter().for_each(|place| self.expire(at, place, alerts));
                    }
                }
            }
            self.turn_to(None);
        }
        if self.chains() {
            self.chain.reach(self.sources.frontier(self.chain.inputs()));
        }
        self.retire();
    }

    /// The log ends here: nothing that is to come is at or before `until`. Ends the rules on events; their last alerts
    /// are then events for the rules on alerts.
    pub fn finish_events(&mut self, until: Timestamp, alerts: &mut Vec<Alert>) {
        self.finish_groups(until, |inputs| !inputs.reads_alerts(), alerts);
    }

    /// Ends all rules; see [`Correlator::finish_events`].
    pub fn finish(&mut self, until: Timestamp, alerts: &mut Vec<Alert>) {
        self.finish_groups(until, |_| true, alerts);
    }

    fn finish_groups(&mut self, until: Timestamp, is_over: impl Fn(&InputSet) -> bool, alerts: &mut Vec<Alert>) {
        for group in self.groups.iter_mut().filter(|group| is_over(&group.inputs)) {
            group.frontier = group.frontier.max(Timestamp(until.0.saturating_add(1)));
        }
        self.advance(&mut |_| {}, alerts);
    }

    /// Whether rules on alerts have to know of this partition's alerts and time: there are some, or were once and have
    /// alerts to close.
    pub fn chains(&self) -> bool {
        self.chain.is_read() || self.sources.has(ALERTS)
    }

    /// How far this partition's alerts are, for the rules that read alerts.
    pub fn chain_frontier(&self) -> Option<Timestamp> {
        self.chain.frontier()
    }

    /// Whether alerts gave signals since [`Correlator::take_chained`].
    pub fn has_chained(&self) -> bool {
        self.chain.has_signals()
    }

    /// What alerts gave since the last call. It belongs into the commit of those alerts.
    pub fn take_chained(&mut self) -> Chained {
        self.chain.take()
    }

    /// Takes the frontiers to where the sources are now. Done with every record that moves a source, so that what is
    /// too old on arrival does not depend on how records are batched.
    fn reach(&mut self) {
        for group in &mut self.groups {
            if let Some(frontier) = self.sources.frontier(&group.inputs) {
                group.frontier = group.frontier.max(frontier);
            }
        }
    }

    /// Goes on with another rule set. Rules whose shape stays keep their windows; one that went, or whose shape
    /// changed, still takes the signals that are on their way: where the set is a bundle, until every source has
    /// announced it.
    pub fn set_rules(&mut self, rules: &Arc<RuleSet>) {
        let ending = match &rules.bundle {
            Some(bundle) => Ending::Switched(bundle.revision),
            None => Ending::At(self.sources.first().unwrap_or(Timestamp::MIN)),
        };
        let groups = &mut self.groups;
        let plans = self.rules.replace(rules, ending, &mut |rule| group_of(groups, &rule.sources));
        self.bundle.clone_from(&rules.bundle);
        plans.iter().for_each(|plan| self.keys.set_plan(plan));
        self.chain.set_rules(rules);
        self.reach();
        let versions: HashSet<(&str, &str)> =
            rules.rules.iter().map(|rule| (&**rule.id(), rule.meta.version.as_str())).collect();
        self.failures.retain(|(id, version), _| versions.contains(&(&**id, version.as_str())));
    }

    fn take(&mut self, offset: u64, signal: SignalView<'_>, alerts: &mut Vec<Alert>) {
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
    fn hold_again(&mut self, offset: u64, signal: SignalView<'_>) {
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

    /// The signals that follow are of another event: keys that the one before left with nothing go.
    fn turn_to(&mut self, signal: Option<&Waiting>) {
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

    fn apply(&mut self, signal: &Waiting, alerts: &mut Vec<Alert>) {
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

    fn expire(&mut self, now: Timestamp, place: KeyPlace, alerts: &mut Vec<Alert>) {
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
    fn schedule(&mut self, plan: &Plan, place: KeyPlace) {
        let Some(table) = self.keys.table(place.0) else { return };
        let slot = table.slot_mut(place.1);
        let Some(deadline) = slot.state.deadline(plan) else { return };
        if slot.timer > deadline {
            slot.timer = deadline;
            self.groups[plan.group].set_timer(deadline, place);
        }
    }

    fn is_quarantined(&self, rule: &Rule) -> bool {
        let in_a_row = |failures: &Failures| failures.in_a_row() >= self.quarantine_after;
        !self.failures.is_empty()
            && self.failures.get(&(rule.id().clone(), rule.meta.version.clone())).is_some_and(in_a_row)
    }

    /// A signal or a timer of a rule that is set aside.
    fn count_passed_by(&mut self, rule: &Rule) {
        self.counts.rules.entry(rule.id().clone()).or_default().passed_by += 1;
    }

    /// Books what a signal or timer did.
    fn record(&mut self, rule: &Rule, tally: &mut Tally, alert: Option<Box<Alert>>, alerts: &mut Vec<Alert>) {
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

    /// Ends the rules that no signal can be on its way for: of their keys only open alerts stay, until they close.
    fn retire(&mut self) {
        let groups = &self.groups;
        let over = self.rules.take_over(|plan, end| groups[plan.group].walked > end);
        for shape in over {
            let Some(plan) = self.rules.get(&shape.0, shape.1) else { continue };
            let keys = self.keys.len();
            let has_open = self.keys.close(plan.number);
            self.counts.retired_keys += (keys - self.keys.len()) as u64;
            match has_open {
                true => self.rules.close(shape),
                false => self.end(&plan),
            }
        }
    }

    /// With its last open alert a rule that went ends.
    fn end(&mut self, plan: &Plan) {
        self.keys.remove_plan(plan.number);
        self.rules.remove(&(plan.rule.id().clone(), plan.rule.shape));
    }

    /// Whether a commit would say more than how far this partition was read.
    pub fn has_changes(&self) -> bool {
        self.keys.has_changes()
    }

    /// The offset of the next record to take in.
    pub fn read_through(&self) -> u64 {
        self.read_through
    }

    pub fn standing(&self) -> Standing {
        Standing {
            frontier: self.groups.iter().map(|group| group.frontier).min().filter(|at| *at > Timestamp::MIN),
            buffered: self.groups.iter().map(Group::buffered).sum(),
            keys: self.keys.len(),
            revision: self.revision(),
        }
    }

    /// How far each source is, for those who watch.
    pub fn reached(&self) -> Vec<Reached> {
        self.sources.reached()
    }

    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

/// No signal of the plan after this time is on its way, once its sources write no more of them.
fn last_on_its_way(sources: &Sources, groups: &[Group], plan: &Plan) -> Timestamp {
    let waiting = groups[plan.group].last_waiting(plan.number);
    sources.first().max(waiting).unwrap_or(Timestamp::MIN)
}

/// The place of the group that walks these inputs.
fn group_of(groups: &mut Vec<Group>, inputs: &InputSet) -> usize {
    let known = groups.iter().position(|group| group.inputs == *inputs);
    known.unwrap_or_else(|| {
        groups.push(Group::new(inputs.clone()));
        groups.len() - 1
    })
}
