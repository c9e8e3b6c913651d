//! The signals of one pattern of one key, packed: a few bytes each, the oldest first.
//!
//! A record holds what is different from the record before it: the time since then, and input, partition and fields
//! only where they are others. The first one is whole; taking it away makes the next one whole, in its place.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    event::{Fields, FieldsBuilder, Position, Timestamp, Value},
    rule::Kept,
};

/// Bytes that have been left behind before the rest moves up.
const LEFT_BEHIND_MAX: usize = 64;

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
    last_partition: Span,
    last_fields: Span,
}

/// A stretch of the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    at: u32,
    len: u32,
}

impl Span {
    fn new(at: usize, end: usize) -> Self {
        Span { at: at as u32, len: (end - at) as u32 }
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.at as usize..(self.at + self.len) as usize]
    }
}

/// One record, as it stands: what is the same as before is where that is.
#[derive(Debug, Clone, Copy)]
struct Record {
    time: i64,
    offset: u64,
    element: u32,
    partition: Span,
    fields: Span,
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

    /// Appends a signal; `paths` are those that its fields mostly have.
    pub fn push(&mut self, signal: &Kept, paths: &[Arc<str>]) {
        if self.len == 0 {
            *self = Queue { bytes: std::mem::take(&mut self.bytes), ..Queue::default() };
            self.bytes.clear();
        }
        let mut scratch = Vec::with_capacity(128);
        write_partition(&mut scratch, &signal.position);
        let split = scratch.len();
        write_fields(&mut scratch, &signal.fields, paths);
        let (partition, fields) = scratch.split_at(split);
        let is_first = self.len == 0;
        let same_partition = !is_first && self.last_partition.of(&self.bytes) == partition;
        let same_fields = !is_first && self.last_fields.of(&self.bytes) == fields;
        self.reserve(32 + scratch.len());
        let mut flags = u8::from(signal.element > 0) * HAS_ELEMENT;
        flags |= u8::from(same_partition) * SAME_PARTITION + u8::from(same_fields) * SAME_FIELDS;
        let into = &mut self.bytes;
        into.push(flags);
        write_signed(into, signal.time.0.wrapping_sub(self.last_time));
        write_signed(into, signal.position.offset.wrapping_sub(self.last_offset) as i64);
        if signal.element > 0 {
            write_number(into, u64::from(signal.element));
        }
        if !same_partition {
            self.last_partition = append(into, partition);
        }
        if !same_fields {
            self.last_fields = append(into, fields);
        }
        (self.last_time, self.last_offset) = (signal.time.0, signal.position.offset);
        self.len += 1;
    }

    /// Room for a record: no more than a quarter stays unused.
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            let exact = if self.len == 0 { more - 16 } else { more.max(self.bytes.len() / 4) };
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
        let mut whole = Vec::with_capacity(64);
        whole.push(u8::from(second.element > 0) * HAS_ELEMENT);
        write_signed(&mut whole, second.time);
        write_signed(&mut whole, second.offset as i64);
        if second.element > 0 {
            write_number(&mut whole, u64::from(second.element));
        }
        let partition = append(&mut whole, second.partition.of(&self.bytes));
        let fields = append(&mut whole, second.fields.of(&self.bytes));
        if whole.len() > second.end {
            self.widen(whole.len() - second.end);
        }
        let end = second.end.max(whole.len());
        let at = end - whole.len();
        self.bytes[at..end].copy_from_slice(&whole);
        // What the last record shares with these two is now here.
        if shares_partition {
            self.last_partition = Span { at: partition.at + at as u32, ..partition };
        }
        if shares_fields {
            self.last_fields = Span { at: fields.at + at as u32, ..fields };
        }
        self.head = at as u32;
        self.close_up();
    }

    /// Makes room in front of the records.
    fn widen(&mut self, more: usize) {
        drop(self.bytes.splice(..0, std::iter::repeat_n(0, more)));
        self.last_partition.at += more as u32;
        self.last_fields.at += more as u32;
    }

    /// Moves the records to the front when enough was left behind there.
    fn close_up(&mut self) {
        let head = self.head as usize;
        if head > LEFT_BEHIND_MAX && head * 2 > self.bytes.len() || self.len == 0 {
            self.bytes.drain(..head);
            self.last_partition.at = self.last_partition.at.saturating_sub(self.head);
            self.last_fields.at = self.last_fields.at.saturating_sub(self.head);
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
            _ => read_span(bytes, &mut at),
        };
        let fields = match before {
            Some(before) if flags & SAME_FIELDS != 0 => before.fields,
            _ => read_span(bytes, &mut at),
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
            fields: read_fields(record.fields.of(&self.bytes), paths),
        }
    }
}

fn append(into: &mut Vec<u8>, part: &[u8]) -> Span {
    write_number(into, part.len() as u64);
    let at = into.len();
    into.extend_from_slice(part);
    Span::new(at, into.len())
}

fn read_span(bytes: &[u8], at: &mut usize) -> Span {
    let len = read_number(bytes, at) as usize;
    let span = Span::new(*at, *at + len);
    *at += len;
    span
}

fn write_partition(into: &mut Vec<u8>, position: &Position) {
    write_number(into, u64::from(position.partition));
    into.extend_from_slice(position.input.as_bytes());
}

/// Each field: 1 + the number of its path, or 0 and the path; then its value.
fn write_fields(into: &mut Vec<u8>, fields: &Fields, paths: &[Arc<str>]) {
    for (path, value) in fields.iter() {
        match paths.binary_search(path) {
            Ok(at) => write_number(into, 1 + at as u64),
            Err(_) => {
                into.push(0);
                append(into, path.as_bytes());
            }
        }
        write_value(into, value);
    }
}

fn write_value(into: &mut Vec<u8>, value: &Value) {
    let bytes = std::mem::take(into);
    *into = postcard::to_extend(value, bytes).expect("a value of ours encodes");
}

fn read_fields(mut bytes: &[u8], paths: &[Arc<str>]) -> Fields {
    let mut fields: FieldsBuilder = Fields::builder();
    while !bytes.is_empty() {
        let mut at = 0;
        let path = match read_number(bytes, &mut at) {
            0 => {
                let span = read_span(bytes, &mut at);
                String::from_utf8_lossy(span.of(bytes)).into_owned()
            }
            number => paths.get(number as usize - 1).map(|path| path.to_string()).unwrap_or_default(),
        };
        let Ok((value, rest)) = postcard::take_from_bytes::<Value>(&bytes[at..]) else { break };
        fields.put(path, value);
        bytes = rest;
    }
    fields.build()
}

/// LEB128.
fn write_number(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn read_number(bytes: &[u8], at: &mut usize) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

/// Small whatever the sign (zigzag).
fn write_signed(into: &mut Vec<u8>, number: i64) {
    write_number(into, ((number << 1) ^ (number >> 63)) as u64);
}

fn read_signed(bytes: &[u8], at: &mut usize) -> i64 {
    let number = read_number(bytes, at);
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn signal(time: i64, input: &str, partition: u32, offset: u64, element: u32, fields: &[(&str, &str)]) -> Kept {
        let fields = fields.iter().map(|(path, text)| ((*path).to_owned(), Value::text(text))).collect();
        Kept { time: Timestamp(time), position: Position { input: input.into(), partition, offset }, element, fields }
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
            queue.push(&signal(1_704_067_200_000_000_000 + at * hour, "auth", 3, 7 * at as u64, 0, &fields), &paths());
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
                let kept = signal(time, ["i", "another", ""][input], input as u32, offset, element, all[fields]);
                queue.push(&kept, &paths);
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
