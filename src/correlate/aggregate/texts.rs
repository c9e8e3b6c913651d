//! The aggregates over one field's values as text: `distinct`, `values`, `top`.
//!
//! Each different value is held once, with how often it is in the window. Adding and expiring are O(1) for `distinct`,
//! O(log d) for `values` and `top`, d being the number of different values.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BTreeSet, VecDeque},
    fmt::Write,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::index::{Held, Index};
use crate::{
    event::{Number, Scalar, Timestamp, Value},
    rule::{Num, Statistic, VALUES_MAX},
};

/// Bytes of a value that are kept. Of a longer one it is a part, with a SHA-256 that keeps it apart from others.
const TEXT_BYTES_MAX: usize = 1_024;
/// Bytes that such a part has.
const PART_BYTES: usize = 900;

/// The values of a field in a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Texts {
    /// A value's slot stays its own while the value is in the window.
    slots: Vec<Slot>,
    /// Slots that are free.
    free: Vec<u32>,
    #[serde(skip)]
    index: Index,
    /// In the order they came in; `None` where nothing leaves.
    ring: Option<VecDeque<Entry>>,
    /// The place of the first value in `ring`, or of the next one where there is no ring.
    first: u64,
    /// The places at which values came first, for `values`.
    by_place: Option<BTreeSet<(u64, u32)>>,
    /// The most frequent first, for `top`.
    by_count: Option<BTreeSet<Frequency>>,
    /// Until when these are not all values of the window.
    cut: Option<Timestamp>,
}

/// How often a value is there, the value and its slot.
type Frequency = (Reverse<u32>, Arc<str>, u32);

/// The place of no value.
const FREE: u64 = u64::MAX;

/// A value of the window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    text: Arc<str>,
    count: u32,
    /// As it was written where it came first.
    kind: Kind,
    /// Places of the first and last occurrence; the first is `FREE` in a free slot.
    first: u64,
    last: u64,
}

impl Held for Slot {
    fn held(&self) -> Option<&str> {
        (self.first != FREE).then_some(&*self.text)
    }
}

/// An occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    time: Timestamp,
    slot: u32,
    /// How far away the next occurrence of the same value is; 0 while there is none. Its highest bits are the kind.
    next: Next,
}

/// A distance of at most 2^30 - 1 and a kind, in 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Next(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Text,
    Number,
    Bool,
}

impl Next {
    const KIND_SHIFT: u32 = 30;

    fn none(kind: Kind) -> Self {
        Next((kind as u32) << Self::KIND_SHIFT)
    }

    fn set(&mut self, distance: u64) {
        self.0 |= distance as u32;
    }

    fn distance(self) -> u64 {
        u64::from(self.0 & ((1 << Self::KIND_SHIFT) - 1))
    }

    fn kind(self) -> Kind {
        match self.0 >> Self::KIND_SHIFT {
            0 => Kind::Text,
            1 => Kind::Number,
            _ => Kind::Bool,
        }
    }
}

impl Texts {
    pub fn new(statistics: &[Statistic], leaves: bool) -> Self {
        Texts {
            ring: leaves.then(VecDeque::new),
            by_place: statistics.contains(&Statistic::Values).then(BTreeSet::new),
            by_count: statistics.contains(&Statistic::Top).then(BTreeSet::new),
            ..Texts::default()
        }
    }

    pub fn add(&mut self, time: Timestamp, value: Scalar<'_>, max: usize) {
        let kind = match value {
            Scalar::Text(_) => Kind::Text,
            Scalar::Number(_) => Kind::Number,
            Scalar::Bool(_) => Kind::Bool,
        };
        let text = bounded(value.as_text());
        let place = self.first + self.ring.as_ref().map_or(0, VecDeque::len) as u64;
        let found = self.index.find(&text, &self.slots);
        let slot = match found {
            Some(slot) => slot,
            None if self.ring.is_none() && self.distinct() >= max => {
                self.cut = Some(Timestamp::MAX);
                return;
            }
            None => self.open(&text, kind, place),
        };
        self.count(slot, 1);
        match &mut self.ring {
            None => self.first += 1,
            Some(ring) => {
                let last = std::mem::replace(&mut self.slots[slot as usize].last, place);
                if found.is_some() {
                    ring[(last - self.first) as usize].next.set(place - last);
                }
                ring.push_back(Entry { time, slot, next: Next::none(kind) });
                if ring.len() > max {
                    self.cut = self.cut.max(self.pop());
                }
            }
        }
    }

    /// Values of this time, the newest, are left out.
    pub fn leave_out(&mut self, time: Timestamp) {
        self.cut = Some(if self.ring.is_some() { time } else { Timestamp::MAX });
    }

    /// Forgets what is older than `before`.
    pub fn expire(&mut self, before: Timestamp) {
        while self.ring.as_ref().is_some_and(|ring| ring.front().is_some_and(|entry| entry.time < before)) {
            self.pop();
        }
        self.cut = self.cut.filter(|cut| *cut >= before);
    }

    /// Forgets the oldest value; says its time.
    fn pop(&mut self) -> Option<Timestamp> {
        let ring = self.ring.as_mut()?;
        let entry = ring.pop_front()?;
        let place = self.first;
        self.first += 1;
        if let Some(places) = &mut self.by_place {
            places.remove(&(place, entry.slot));
        }
        if entry.next.distance() > 0 {
            let first = place + entry.next.distance();
            let slot = &mut self.slots[entry.slot as usize];
            slot.first = first;
            slot.kind = ring[(first - self.first) as usize].next.kind();
            if let Some(places) = &mut self.by_place {
                places.insert((first, entry.slot));
            }
        }
        self.count(entry.slot, -1);
        if entry.next.distance() == 0 {
            self.close(entry.slot);
        }
        Some(entry.time)
    }

    fn open(&mut self, text: &str, kind: Kind, place: u64) -> u32 {
        let slot = Slot { text: text.into(), count: 0, kind, first: place, last: place };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.index.insert(at, &self.slots);
        if let Some(places) = &mut self.by_place {
            places.insert((place, at));
        }
        at
    }

    fn close(&mut self, at: u32) {
        self.index.remove(at, &self.slots);
        let slot = &mut self.slots[at as usize];
        (slot.text, slot.first) = (Arc::default(), FREE);
        self.free.push(at);
        if self.free.len() == self.slots.len() {
            self.slots = Vec::new();
            self.free = Vec::new();
        }
    }

    fn count(&mut self, at: u32, by: i32) {
        let slot = &mut self.slots[at as usize];
        let before = slot.count;
        slot.count = before.saturating_add_signed(by);
        if let Some(counts) = &mut self.by_count {
            counts.remove(&(Reverse(before), slot.text.clone(), at));
            if slot.count > 0 {
                counts.insert((Reverse(slot.count), slot.text.clone(), at));
            }
        }
    }

    /// From here on nothing leaves.
    pub fn keep_all(&mut self) {
        if let Some(ring) = self.ring.take() {
            self.first += ring.len() as u64;
        }
        self.cut = self.cut.map(|_| Timestamp::MAX);
    }

    pub fn is_partial(&self) -> bool {
        self.cut.is_some()
    }

    pub fn distinct(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn values(&self) -> Vec<Value> {
        self.by_place.iter().flatten().take(VALUES_MAX).map(|(_, at)| self.value(*at)).collect()
    }

    pub fn top(&self) -> Option<Value> {
        self.by_count.as_ref()?.first().map(|(.., at)| self.value(*at))
    }

    /// Where values leave: how much of all of them the last one is, in percent.
    pub fn share(&self) -> Option<Num> {
        let ring = self.ring.as_ref()?;
        let slot = &self.slots[ring.back()?.slot as usize];
        Some(Num::Float(f64::from(slot.count) * 100.0 / ring.len() as f64))
    }

    fn value(&self, at: u32) -> Value {
        let slot = &self.slots[at as usize];
        match slot.kind {
            Kind::Text => Value::Text(slot.text.clone()),
            Kind::Number => Value::Number(Number::from_written(&slot.text)),
            Kind::Bool => Value::Bool(&*slot.text == "true"),
        }
    }
}

/// A value as it is held.
fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_BYTES_MAX {
        return text.into();
    }
    let mut part = text[..text.floor_char_boundary(PART_BYTES)].to_owned();
    part.push_str("… sha256:");
    for byte in Sha256::digest(text) {
        write!(part, "{byte:02x}").expect("a string takes everything");
    }
    part.into()
}
