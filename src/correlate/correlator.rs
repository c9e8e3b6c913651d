//! One signals partition: from its records to alerts.

mod books;
mod durable;
mod intake;
mod ruling;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::walk::AtHand;
use super::{
    chain::{Chain, Chained},
    counts::{Counts, Failures},
    frontier::{Reached, Sources},
    group::{Group, Next},
    key::Limits,
    keys::Keys,
    lists::WrittenLists,
    rules::Rules,
};
use crate::{
    alert::Alert,
    detect::RecordView,
    event::{ALERTS, Timestamp},
    rule::{BundleMark, InputSet, RuleSet},
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

/// The place of the group that walks these inputs.
fn group_of(groups: &mut Vec<Group>, inputs: &InputSet) -> usize {
    let known = groups.iter().position(|group| group.inputs == *inputs);
    known.unwrap_or_else(|| {
        groups.push(Group::new(inputs.clone()));
        groups.len() - 1
    })
}
