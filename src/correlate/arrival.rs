//! A signal on its way to its key: as it waits, and as the key is told of it.

use std::{cmp::Ordering, sync::Arc};

use super::{
    buckets::Timed,
    packed::{Packed, pack_fields, pack_key, write_number},
    plan::Plan,
};
use crate::{
    detect::SignalView,
    event::{InputName, Position, Timestamp},
    rule::Question,
};

/// A source partition, as all signals of it share it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub place: (InputName, u32),
    /// The number of the partition and the name of the input, as windows keep them.
    pub packed: Box<[u8]>,
}

impl Origin {
    pub fn new(input: &str, partition: u32) -> Self {
        let mut packed = Vec::new();
        write_number(&mut packed, partition.into());
        packed.extend_from_slice(input.as_bytes());
        Origin { place: (input.into(), partition), packed: packed.into() }
    }
}

/// A signal that waits for the frontier to pass it. Ordered by the total order, then by rule.
#[derive(Debug)]
pub(super) struct Waiting {
    pub time: Timestamp,
    pub plan: Arc<Plan>,
    pub origin: Arc<Origin>,
    /// Of the event in its partition.
    pub offset: u64,
    /// Of the signal in the signals log.
    pub log_offset: u64,
    pub element: u32,
    /// The number of the pattern.
    pub pattern: u32,
    /// Where the key ends in `bytes` and the fields begin.
    split: u32,
    bytes: Box<[u8]>,
    pub question: Option<Box<Question>>,
}

/// A signal as its key is told of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub time: Timestamp,
    pub origin: &'a Origin,
    pub offset: u64,
    pub element: u32,
    pub late: bool,
    /// The number of the pattern.
    pub pattern: usize,
    pub fields: Packed<'a>,
}

/// A signal that a plan was found for.
pub(super) struct Found<'a> {
    pub plan: Arc<Plan>,
    origin: Arc<Origin>,
    pattern: usize,
    /// The key and the fields, packed.
    bytes: &'a [u8],
    split: usize,
}

impl<'a> Found<'a> {
    /// Packs what a signal carries into `scratch`; `None` where the rule has no such pattern.
    pub fn new(
        signal: &SignalView<'_>,
        plan: Arc<Plan>,
        origin: Arc<Origin>,
        scratch: &'a mut Vec<u8>,
    ) -> Option<Self> {
        let pattern = plan.pattern(signal.pattern)?;
        scratch.clear();
        pack_key(&signal.key, scratch);
        let split = scratch.len();
        pack_fields(&signal.fields, &plan.rule.patterns[pattern].keep, scratch);
        Some(Found { plan, origin, pattern, bytes: scratch, split })
    }

    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.split]
    }

    pub fn arrival(&self, signal: &SignalView<'_>) -> Arrival<'_> {
        Arrival {
            time: signal.time,
            origin: &self.origin,
            offset: signal.position.offset,
            element: signal.element,
            late: signal.late,
            pattern: self.pattern,
            fields: Packed { bytes: &self.bytes[self.split..], paths: &self.plan.rule.patterns[self.pattern].keep },
        }
    }

    pub fn waiting(self, signal: SignalView<'_>, log_offset: u64) -> Waiting {
        Waiting {
            time: signal.time,
            plan: self.plan,
            origin: self.origin,
            offset: signal.position.offset,
            log_offset,
            element: signal.element,
            pattern: self.pattern as u32,
            split: self.split as u32,
            bytes: self.bytes.into(),
            question: signal.question.map(Box::new),
        }
    }
}

impl Waiting {
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.split as usize]
    }

    pub fn arrival<'a>(&'a self, plan: &'a Plan) -> Arrival<'a> {
        let pattern = self.pattern as usize;
        Arrival {
            time: self.time,
            origin: &self.origin,
            offset: self.offset,
            element: self.element,
            late: false,
            pattern,
            fields: Packed { bytes: &self.bytes[self.split as usize..], paths: &plan.rule.patterns[pattern].keep },
        }
    }

    /// Whether the signals are of one event.
    pub fn is_beside(&self, event: &(Arc<Origin>, u64)) -> bool {
        self.offset == event.1 && (Arc::ptr_eq(&self.origin, &event.0) || self.origin == event.0)
    }

    /// All of the order but the time.
    fn place(&self) -> (&Origin, u64, &Arc<str>, u32, &Arc<str>, u64) {
        let rule = &self.plan.rule;
        let pattern = &rule.patterns[self.pattern as usize].name;
        (&self.origin, self.offset, pattern, self.element, rule.id(), rule.shape)
    }
}

impl Timed for Waiting {
    fn time(&self) -> Timestamp {
        self.time
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time.cmp(&other.time).then_with(|| self.place().cmp(&other.place()))
    }
}

impl Arrival<'_> {
    pub fn is_at(&self, position: &Position) -> bool {
        self.offset == position.offset
            && self.origin.place.1 == position.partition
            && self.origin.place.0 == position.input
    }

    pub fn position(&self) -> Position {
        let (input, partition) = self.origin.place.clone();
        Position { input, partition, offset: self.offset }
    }
}
