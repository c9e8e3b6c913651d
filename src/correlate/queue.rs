//! The signals of one pattern of one key, packed: a few bytes each, the oldest first.
//!
//! A record holds what is different from the record before it: the time since then, and input, partition and fields
//! only where they are others. The first one is whole; taking it away makes the next one whole, in its place.

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    arrival::Arrival,
    packed::{Packed, read_number, read_part, read_signed, write_number, write_part, write_signed},
};
use crate::{
    event::{Position, Timestamp},
    rule::Kept,
};

/// Bytes that have been left behind before the rest moves up.
const LEFT_BEHIND_MAX: usize = 64;

/// Bytes of a record beside its partition and fields.
const HEAD_MAX: usize = 1 + 10 + 10 + 5;
/// Bytes of two lengths.
const LENGTHS_MAX: usize = 2 * 5;

const SAME_PARTITION: u8 = 1;
const SAME_FIELDS: u8 = 2;
const HAS_ELEMENT: u8 = 4;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    /// Where the first record begins.
    head: u32,
    len: u32,
    /// Of the last record: its time and offset, and where its partition and its fields are written.
    last_time: i64,
    last_offset: u64,
    last_partition: Part,
    last_fields: Part,
}

/// Where a length and as many bytes after it are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Part(u32);

impl Part {
    fn of(self, bytes: &[u8]) -> &[u8] {
        read_part(bytes, &mut (self.0 as usize))
    }

    /// Its length and its bytes.
    fn range(self, bytes: &[u8]) -> Range<usize> {
        let (start, mut end) = (self.0 as usize, self.0 as usize);
        read_part(bytes, &mut end);
        start..end
    }
}

/// One record, as it stands: what is the same as before is where that is.
#[derive(Debug, Clone, Copy)]
struct Record {
    time: i64,
    offset: u64,
    element: u32,
    partition: Part,
    fields: Part,
    end: usize,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn last_time(&self) -> Option<Timestamp> {
        (self.len > 0).then_some(Timestamp(self.last_time))
    }

    /// Appends a signal, which comes after those before it in the total order.
    pub fn push(&mut self, signal: &Arrival<'_>) {
        if self.len == 0 {
            *self = Queue { bytes: std::mem::take(&mut self.bytes), ..Queue::default() };
            self.bytes.clear();
        }
        let (partition, fields) = (&*signal.origin.packed, signal.fields.bytes);
        let is_first = self.len == 0;
        let same_partition = !is_first && self.last_partition.of(&self.bytes) == partition;
        let same_fields = !is_first && self.last_fields.of(&self.bytes) == fields;
        let shared = if same_partition { partition.len() } else { 0 } + if same_fields { fields.len() } else { 0 };
        self.reserve(HEAD_MAX + LENGTHS_MAX + partition.len() + fields.len() - shared);
        let mut flags = u8::from(signal.element > 0) * HAS_ELEMENT;
        flags |= u8::from(same_partition) * SAME_PARTITION + u8::from(same_fields) * SAME_FIELDS;
        let into = &mut self.bytes;
        into.push(flags);
        write_signed(into, signal.time.0.wrapping_sub(self.last_time));
        write_signed(into, signal.offset.wrapping_sub(self.last_offset) as i64);
        if signal.element > 0 {
            write_number(into, u64::from(signal.element));
        }
        if !same_partition {
            self.last_partition = Part(into.len() as u32);
            write_part(into, partition);
        }
        if !same_fields {
            self.last_fields = Part(into.len() as u32);
            write_part(into, fields);
        }
        (self.last_time, self.last_offset) = (signal.time.0, signal.offset);
        self.len += 1;
    }

    /// Room for a record: no more than a quarter stays unused.
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            // Times and offsets are seldom as wide as they may be.
            let exact = if self.len == 0 { more - HEAD_MAX / 2 } else { more.max(self.bytes.len() / 4) };
            self.bytes.reserve_exact(exact);
        }
    }

    /// Forgets the signals before `start`; says how many.
    pub fn expire(&mut self, start: Timestamp) -> usize {
        let mut gone = 0;
        while self.first_time().is_some_and(|time| time < start) {
            self.pop();
            gone += 1;
        }
        gone
    }

    /// Forgets the first signal.
    pub fn pop(&mut self) {
        let Some(first) = self.first() else { return };
        self.len -= 1;
        if self.len == 0 {
            self.head = self.bytes.len() as u32;
            return self.close_up();
        }
        let second = self.record(first.end, Some(first));
        let shares_partition = self.last_partition == second.partition;
        let shares_fields = self.last_fields == second.fields;
        let (partition, fields) = (second.partition.range(&self.bytes), second.fields.range(&self.bytes));
        // Written behind the records, then moved to where the second one ends.
        let behind = self.bytes.len();
        self.bytes.reserve_exact(HEAD_MAX + partition.len() + fields.len());
        let into = &mut self.bytes;
        into.push(u8::from(second.element > 0) * HAS_ELEMENT);
        write_signed(into, second.time);
        write_signed(into, second.offset as i64);
        if second.element > 0 {
            write_number(into, u64::from(second.element));
        }
        let head = into.len() - behind;
        into.extend_from_within(partition.clone());
        into.extend_from_within(fields);
        let whole = into.len() - behind;
        let more = whole.saturating_sub(second.end);
        self.widen(more);
        let at = second.end + more - whole;
        self.bytes.copy_within(behind + more.., at);
        self.bytes.truncate(behind + more);
        // What the last record shares with these two is now here.
        if shares_partition {
            self.last_partition = Part((at + head) as u32);
        }
        if shares_fields {
            self.last_fields = Part((at + head + partition.len()) as u32);
        }
        self.head = at as u32;
        self.close_up();
    }

    /// Makes room in front of the records.
    fn widen(&mut self, more: usize) {
        if more > 0 {
            drop(self.bytes.splice(..0, std::iter::repeat_n(0, more)));
            self.last_partition.0 += more as u32;
            self.last_fields.0 += more as u32;
        }
    }

    /// Moves the records to the front when enough was left behind there.
    fn close_up(&mut self) {
        let head = self.head as usize;
        if head > LEFT_BEHIND_MAX && head * 2 > self.bytes.len() || self.len == 0 {
            self.bytes.drain(..head);
            self.last_partition.0 = self.last_partition.0.saturating_sub(self.head);
            self.last_fields.0 = self.last_fields.0.saturating_sub(self.head);
            self.head = 0;
        }
    }

    fn first(&self) -> Option<Record> {
        (self.len > 0).then(|| self.record(self.head as usize, None))
    }

    fn first_time(&self) -> Option<Timestamp> {
        let mut at = self.head as usize + 1;
        (self.len > 0).then(|| Timestamp(read_signed(&self.bytes, &mut at)))
    }

    /// The record at `at`, which follows `before`.
    fn record(&self, mut at: usize, before: Option<Record>) -> Record {
        let bytes = &self.bytes;
        let flags = bytes[at];
        at += 1;
        let (time, offset) = before.map_or((0, 0), |before| (before.time, before.offset));
        let time = time.wrapping_add(read_signed(bytes, &mut at));
        let offset = offset.wrapping_add(read_signed(bytes, &mut at) as u64);
        let element = if flags & HAS_ELEMENT != 0 { read_number(bytes, &mut at) as u32 } else { 0 };
        let partition = match before {
            Some(before) if flags & SAME_PARTITION != 0 => before.partition,
            _ => pass_part(bytes, &mut at),
        };
        let fields = match before {
            Some(before) if flags & SAME_FIELDS != 0 => before.fields,
            _ => pass_part(bytes, &mut at),
        };
        Record { time, offset, element, partition, fields, end: at }
    }

    /// The signals that `wanted` says yes to, by their place from the first one.
    pub fn read<'a>(
        &'a self,
        paths: &'a [Arc<str>],
        wanted: impl Fn(usize) -> bool + 'a,
    ) -> impl Iterator<Item = Kept> + 'a {
        let mut before = None;
        let mut at = self.head as usize;
        (0..self.len()).filter_map(move |place| {
            let record = self.record(at, before);
            before = Some(record);
            at = record.end;
            wanted(place).then(|| self.kept(record, paths))
        })
    }

    fn kept(&self, record: Record, paths: &[Arc<str>]) -> Kept {
        let partition = record.partition.of(&self.bytes);
        let mut at = 0;
        let number = read_number(partition, &mut at) as u32;
        let input = String::from_utf8_lossy(&partition[at..]).into();
        Kept {
            time: Timestamp(record.time),
            position: Position { input, partition: number, offset: record.offset },
            element: record.element,
            fields: Packed { bytes: record.fields.of(&self.bytes), paths }.to_fields(),
        }
    }
}

fn pass_part(bytes: &[u8], at: &mut usize) -> Part {
    let part = Part(*at as u32);
    read_part(bytes, at);
    part
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        correlate::{arrival::Origin, packed::packed},
        event::Value,
    };

    fn kept(time: i64, input: &str, partition: u32, offset: u64, element: u32, fields: &[(&str, &str)]) -> Kept {
        let fields = fields.iter().map(|(path, text)| ((*path).to_owned(), Value::text(text))).collect();
        Kept { time: Timestamp(time), position: Position { input: input.into(), partition, offset }, element, fields }
    }

    fn push(queue: &mut Queue, kept: &Kept) {
        let Kept { time, position, element, fields } = kept;
        let bytes = packed(fields, &paths());
        queue.push(&Arrival {
            time: *time,
            origin: &Origin::new(&position.input, position.partition),
            offset: position.offset,
            element: *element,
            late: false,
            pattern: 0,
            fields: Packed { bytes: &bytes, paths: &paths() },
        });
    }

    fn paths() -> Vec<Arc<str>> {
        ["a", "user.name"].map(Arc::from).into()
    }

    #[test]
    fn a_signal_like_the_one_before_takes_few_bytes() {
        let mut queue = Queue::default();
        let fields = [("a", "203.0.113.9"), ("user.name", "root")];
        let hour = 3_600_000_000_000;
        for at in 0..5 {
            push(&mut queue, &kept(1_704_067_200_000_000_000 + at * hour, "auth", 3, 7 * at as u64, 0, &fields));
        }
        assert!(queue.bytes() < 100, "{} bytes", queue.bytes());
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_queue_holds(
            pushes in prop::collection::vec(
                (0i64..5_000_000_000, 0usize..3, 0u64..300, 0u32..3, 0usize..4, 0usize..3), 1..60),
        ) {
            let (mut queue, mut plain) = (Queue::default(), VecDeque::new());
            let (mut time, paths) = (-3_000_000_000i64, paths());
            let all: [&[(&str, &str)]; 4] = [&[], &[("a", "x")], &[("a", "x"), ("user.name", "long enough")], &[("z", "y")]];
            for (gap, input, offset, element, fields, pops) in pushes {
                time += gap;
                let kept = kept(time, ["i", "another", ""][input], input as u32, offset, element, all[fields]);
                push(&mut queue, &kept);
                plain.push_back(kept);
                for _ in 0..pops {
                    queue.pop();
                    plain.pop_front();
                }
                prop_assert_eq!(queue.read(&paths, |_| true).collect::<VecDeque<_>>(), plain.clone());
                prop_assert_eq!(queue.last_time(), plain.back().map(|kept| kept.time));
            }
            let gone = plain.iter().filter(|kept| kept.time.0 < time / 2).count();
            prop_assert_eq!(queue.expire(Timestamp(time / 2)), gone);
        }
    }
}
