//! All keys of a partition, by rule, and the bounds on them.
//!
//! Where a rule has more keys than `keys_per_rule_max`, or all of them count for more than `state_bytes_max`, a
//! sixteenth goes at once: those furthest from firing first, of these the ones not seen for longest, then in byte order
//! of the key. So a flood of keys with one signal each pushes out its own. It follows from the signals alone.

use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

use super::{
    key::{KeyState, Limits, Nearness, StateKey},
    plan::Plan,
    snapshot::Changes,
    table::{Change, Slot, Table},
    timers::KeyPlace,
};
use crate::event::Timestamp;

/// One of so many keys goes when a bound is reached: looking at all of them is worth it then.
const EVICTED_SHARE: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By the number of the plan.
    tables: Vec<Option<Table>>,
    /// Keys without a table that the changelog still has.
    orphans: Vec<StateKey>,
    /// What all keys count for.
    bytes: u64,
}

/// What had to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Evicted {
    pub keys: u64,
    pub signals: u64,
}

impl Keys {
    /// Makes room for the keys of a plan, or goes on with another one of the same shape.
    pub fn set_plan(&mut self, plan: &Arc<Plan>) {
        let number = plan.number as usize;
        if self.tables.len() <= number {
            self.tables.resize_with(number + 1, || None);
        }
        match &mut self.tables[number] {
            Some(table) => table.plan = plan.clone(),
            empty => *empty = Some(Table::new(plan.clone())),
        }
    }

    pub fn len(&self) -> usize {
        self.tables.iter().flatten().map(Table::len).sum()
    }

    pub fn table(&mut self, plan: u32) -> Option<&mut Table> {
        self.tables.get_mut(plan as usize)?.as_mut()
    }

    pub fn slot(&self, (plan, place): KeyPlace) -> Option<&Slot> {
        self.tables.get(plan as usize)?.as_ref().map(|table| table.slot(place))
    }

    fn key(&self, place: KeyPlace) -> Option<&[u8]> {
        self.slot(place).map(|slot| &**slot.key())
    }

    /// The place of a key, which is packed.
    pub fn find(&self, plan: u32, key: &[u8]) -> Option<KeyPlace> {
        let table = self.tables.get(plan as usize)?.as_ref()?;
        table.find(key).map(|place| (plan, place))
    }

    /// The place of a key, of a new one where there is none.
    pub fn enter(&mut self, plan: u32, key: &[u8]) -> Option<KeyPlace> {
        Some((plan, self.table(plan)?.enter(key)))
    }

    /// Puts a key as the changelog has it.
    pub fn restore(&mut self, plan: u32, key: &[u8], state: KeyState) -> Option<KeyPlace> {
        let (plan, place) = self.enter(plan, key)?;
        let table = self.tables[plan as usize].as_mut()?;
        table.restore(place, state);
        self.bytes = self.bytes.saturating_add_signed(table.weigh(place));
        Some((plan, place))
    }

    /// A key has changed: a commit has to write it, and it may count for more or less.
    pub fn touch(&mut self, (plan, place): KeyPlace) {
        let Some(table) = self.tables.get_mut(plan as usize).and_then(Option::as_mut) else { return };
        table.touch(place);
        self.bytes = self.bytes.saturating_add_signed(table.weigh(place));
    }

    /// Forgets a key that has nothing to remember.
    pub fn remove_if_empty(&mut self, (plan, place): KeyPlace) {
        let Some(table) = self.tables.get_mut(plan as usize).and_then(Option::as_mut) else { return };
        if table.slot(place).state.is_empty() {
            self.bytes -= u64::from(table.remove(place));
        }
    }

    /// In the order in which timers of one time go: by rule, shape, key.
    pub fn sort(&self, places: &mut [KeyPlace]) {
        let rule =
            |plan: u32| self.tables[plan as usize].as_ref().map(|table| (table.plan.rule.id(), table.plan.rule.shape));
        places.sort_by(|a, b| {
            let by_key = || self.key(*a).cmp(&self.key(*b));
            if a.0 == b.0 { by_key() } else { rule(a.0).cmp(&rule(b.0)) }
        });
    }

    /// Holds the bounds after a key of `plan` was touched at `now`.
    pub fn hold_bounds(&mut self, plan: u32, now: Timestamp, limits: Limits) -> Evicted {
        let mut evicted = Evicted::default();
        let len = self.tables[plan as usize].as_ref().map_or(0, Table::len);
        if len > limits.keys_per_rule_max {
            let spared = limits.keys_per_rule_max - limits.keys_per_rule_max / EVICTED_SHARE;
            evicted = self.evict(Some(plan), now, &|keys, _| keys <= spared);
        }
        if self.bytes > limits.state_bytes_max {
            let spared = limits.state_bytes_max - limits.state_bytes_max / EVICTED_SHARE as u64;
            let more = self.evict(None, now, &|_, bytes| bytes <= spared);
            evicted = Evicted { keys: evicted.keys + more.keys, signals: evicted.signals + more.signals };
        }
        evicted
    }

    /// Evicts keys, of one plan or of all, until so few keys (of that plan) and bytes (of all) are left.
    fn evict(&mut self, only: Option<u32>, now: Timestamp, is_enough: &dyn Fn(usize, u64) -> bool) -> Evicted {
        let mut candidates: Vec<(Nearness, KeyPlace)> = Vec::new();
        for table in self.tables.iter().flatten().filter(|table| only.is_none_or(|only| table.plan.number == only)) {
            let place = |place| (table.plan.number, place);
            candidates.extend(table.iter().map(|(at, slot)| (slot.state.nearness(&table.plan), place(at))));
        }
        candidates.sort_by(|(a, a_place), (b, b_place)| match a.cmp(b) {
            Ordering::Equal => self.key(*a_place).cmp(&self.key(*b_place)),
            other => other,
        });
        let mut evicted = Evicted::default();
        let mut left = candidates.len();
        for (_, (plan, place)) in candidates {
            if is_enough(left, self.bytes) {
                break;
            }
            let Some(table) = self.tables[plan as usize].as_mut() else { continue };
            evicted.signals += table.slot(place).state.signals();
            self.bytes -= u64::from(table.remove(place));
            table.evicted_at = Some(now);
            evicted.keys += 1;
            left -= 1;
        }
        evicted
    }

    /// When keys of each rule were evicted last: (rule, shape, time).
    pub fn evicted(&self) -> Vec<(Arc<str>, u64, Timestamp)> {
        let of = |table: &Table| Some((table.plan.rule.id().clone(), table.plan.rule.shape, table.evicted_at?));
        self.tables.iter().flatten().filter_map(of).collect()
    }

    /// Forgets the keys of a plan but those with an open alert; says whether there are such.
    pub fn close(&mut self, plan: u32) -> bool {
        let Some(table) = self.tables.get_mut(plan as usize).and_then(Option::as_mut) else { return false };
        let (open, over): (BTreeSet<_>, BTreeSet<_>) =
            table.iter().map(|(place, slot)| (slot.state.is_open(), place)).partition(|(is_open, _)| *is_open);
        over.into_iter().for_each(|(_, place)| self.bytes -= u64::from(table.remove(place)));
        !open.is_empty()
    }

    pub fn has_open(&self, plan: u32) -> bool {
        let table = self.tables.get(plan as usize).and_then(Option::as_ref);
        table.is_some_and(|table| table.iter().any(|(_, slot)| slot.state.is_open()))
    }

    /// The plan is over, and all of its keys with it.
    pub fn remove_plan(&mut self, plan: u32) {
        let Some(mut table) = self.tables.get_mut(plan as usize).and_then(Option::take) else { return };
        let places: Vec<u32> = table.iter().map(|(place, _)| place).collect();
        places.into_iter().for_each(|place| self.bytes -= u64::from(table.remove(place)));
        let of = table.plan.clone();
        table.take_changes(&mut |change| {
            if let Change::Remove(key) = change {
                self.orphans.push(of.state_key(key));
            }
        });
    }

    /// A key of the changelog that nothing here remembers.
    pub fn add_orphan(&mut self, key: StateKey) {
        self.orphans.push(key);
    }

    pub fn has_changes(&self) -> bool {
        !self.orphans.is_empty() || self.tables.iter().flatten().any(Table::has_changes)
    }

    /// Writes what changed since the last call.
    pub fn take_changes(&mut self, changes: &mut Changes) {
        self.orphans.drain(..).for_each(|key| changes.remove(&key));
        for table in self.tables.iter_mut().flatten() {
            let plan = table.plan.clone();
            table.take_changes(&mut |change| match change {
                Change::Put(key, state) => changes.put(&plan.state_key(key), state),
                Change::Remove(key) => changes.remove(&plan.state_key(key)),
            });
        }
    }
}
