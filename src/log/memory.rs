//! The log in memory: for `replay`, tests and simulation. It keeps the contract whole, but forgets at exit.
//!
//! Appends and transactions take effect before the call returns. A retention by size drops single records, exactly;
//! a retention by age is ignored: no memory log lives that long.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use tokio::sync::{mpsc, watch};

use super::{
    Assignment, Cleanup, Commit, Committed, Drained, HeadStart, Live, Log, LogError, Member, Membership, Progress,
    Reader, Record, RecordRef, Start, Subscription, TopicPartition, TopicSpec, Transaction,
    group::{Groups, Shelf},
    refuse,
};

/// Records that a reader takes from the shelf at once.
const BATCH_RECORDS_MAX: usize = 1024;

pub struct MemoryLog {
    shelf: MemoryShelf,
    groups: Groups,
}

#[derive(Clone, Default)]
struct MemoryShelf(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    topics: HashMap<String, Topic>,
    commits: HashMap<(String, TopicPartition), Committed>,
}

struct Topic {
    compacted: bool,
    /// Of each partition.
    bytes_max: Option<u64>,
    partitions: Vec<Partition>,
}

struct Partition {
    /// The offset of the first of `records`.
    first: u64,
    records: VecDeque<Stored>,
    bytes: u64,
    /// A compacted topic's newest values.
    live: Live,
    end: watch::Sender<u64>,
}

#[derive(Clone)]
struct Stored {
    key: Option<Bytes>,
    value: Option<Bytes>,
    timestamp_ms: i64,
}

impl MemoryLog {
    pub fn new() -> Arc<Self> {
        let shelf = MemoryShelf::default();
        Arc::new(MemoryLog { groups: Groups::new(Arc::new(shelf.clone())), shelf })
    }
}

impl MemoryShelf {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ensure(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        let mut state = self.lock();
        for spec in topics {
            if let Some(topic) = state.topics.get(&spec.name) {
                let found = topic.partitions.len() as u32;
                refuse::change(spec, found, topic.compacted)?;
            }
        }
        for spec in topics {
            let (compacted, bytes_max) = match spec.cleanup {
                Cleanup::Delete { bytes, .. } => (false, bytes),
                Cleanup::Compact => (true, None),
            };
            let new =
                || Topic { compacted, bytes_max, partitions: (0..spec.partitions).map(|_| Partition::new()).collect() };
            state.topics.entry(spec.name.clone()).or_insert_with(new).bytes_max = bytes_max;
        }
        Ok(())
    }

    fn append(&self, records: Vec<Record>) -> Result<Vec<u64>, LogError> {
        let mut state = self.lock();
        state.refuse(&records)?;
        Ok(records.into_iter().map(|record| state.put(record)).collect())
    }

    fn commit(&self, transaction: Transaction) -> Result<(), LogError> {
        let mut state = self.lock();
        state.refuse(&transaction.records)?;
        state.refuse(&transaction.state)?;
        for commit in &transaction.commits {
            state.partition(&commit.topic, commit.partition)?;
            refuse::commit(commit)?;
        }
        for record in transaction.records.into_iter().chain(transaction.state) {
            state.put(record);
        }
        for Commit { group, topic, partition, committed } in transaction.commits {
            state.commits.insert((group, TopicPartition { topic, partition }), committed);
        }
        Ok(())
    }

    fn reader(&self, at: &TopicPartition, committed: Option<u64>, start: Start) -> Result<MemoryReader, LogError> {
        let state = self.lock();
        refuse::reader(&at.topic, state.topic(&at.topic)?.compacted)?;
        let partition = state.partition(&at.topic, at.partition)?;
        let next = committed.unwrap_or(match start {
            Start::Earliest => partition.first,
            Start::Latest => partition.end(),
        });
        let ends = partition.end.subscribe();
        Ok(MemoryReader { shelf: self.clone(), at: at.clone(), next, ends, batch: Vec::new() })
    }

    fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<Committed>, LogError> {
        let state = self.lock();
        state.partition(&at.topic, at.partition)?;
        Ok(state.commits.get(&(group.to_owned(), at.clone())).cloned())
    }
}

impl Shelf for MemoryShelf {
    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        Ok(self.lock().topic(topic)?.partitions.len() as u32)
    }

    fn open(&self, group: &str, at: &TopicPartition, start: Start) -> Result<Assignment, LogError> {
        let committed = self.committed(group, at)?;
        let reader = self.reader(at, committed.as_ref().map(|committed| committed.next), start)?;
        Ok(Assignment { at: at.clone(), committed, reader: Box::new(reader) })
    }
}

impl State {
    fn topic(&self, topic: &str) -> Result<&Topic, LogError> {
        self.topics.get(topic).ok_or_else(|| LogError::NoTopic(topic.to_owned()))
    }

    fn partition(&self, topic: &str, partition: u32) -> Result<&Partition, LogError> {
        let missing = || LogError::NoPartition { topic: topic.to_owned(), partition };
        self.topic(topic)?.partitions.get(partition as usize).ok_or_else(missing)
    }

    fn refuse(&self, records: &[Record]) -> Result<(), LogError> {
        for record in records {
            self.partition(&record.topic, record.partition)?;
            refuse::record(record, self.topic(&record.topic)?.compacted)?;
        }
        Ok(())
    }

    /// Stores a record that was not refused.
    fn put(&mut self, record: Record) -> u64 {
        let topic = self.topics.get_mut(&record.topic).expect("its topic was looked up");
        topic.partitions[record.partition as usize].put(record, topic.compacted, topic.bytes_max)
    }
}

impl Partition {
    fn new() -> Self {
        let (records, live) = (VecDeque::new(), Live::default());
        Partition { first: 0, records, bytes: 0, live, end: watch::Sender::new(0) }
    }

    fn end(&self) -> u64 {
        *self.end.borrow()
    }

    fn put(&mut self, record: Record, compacted: bool, bytes_max: Option<u64>) -> u64 {
        let offset = self.end();
        match (compacted, record.key, record.value) {
            (true, Some(key), value) => self.live.apply(&key, value.as_deref()),
            (_, key, value) => self.keep(Stored { key, value, timestamp_ms: record.timestamp_ms }, bytes_max),
        }
        self.end.send_replace(offset + 1);
        offset
    }

    fn keep(&mut self, stored: Stored, bytes_max: Option<u64>) {
        self.bytes += stored.bytes();
        self.records.push_back(stored);
        while bytes_max.is_some_and(|max| self.bytes > max)
            && self.records.len() > 1
            && let Some(oldest) = self.records.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.first += 1;
        }
    }
}

impl Stored {
    fn bytes(&self) -> u64 {
        [&self.key, &self.value].into_iter().flatten().map(|bytes| bytes.len() as u64).sum()
    }
}

struct MemoryReader {
    shelf: MemoryShelf,
    at: TopicPartition,
    next: u64,
    ends: watch::Receiver<u64>,
    /// What is being visited, taken from the shelf so that a visitor may append.
    batch: Vec<Stored>,
}

impl MemoryReader {
    /// Takes up to `max` records and says how many before them are gone.
    fn take(&mut self, max: usize) -> u64 {
        let state = self.shelf.lock();
        let partition = &state.topics[&self.at.topic].partitions[self.at.partition as usize];
        let gap = partition.first.saturating_sub(self.next);
        self.next += gap;
        let from = usize::try_from(self.next - partition.first).unwrap_or(usize::MAX).min(partition.records.len());
        self.batch.extend(partition.records.range(from..).take(max.min(BATCH_RECORDS_MAX)).cloned());
        gap
    }
}

impl Reader for MemoryReader {
    fn ready(&mut self) -> BoxFuture<'_, Result<(), LogError>> {
        async {
            refuse::position(&self.at, self.next, *self.ends.borrow())?;
            self.ends.wait_for(|end| *end > self.next).await.map(drop).map_err(|_| LogError::Closed)
        }
        .boxed()
    }

    fn drain(&mut self, max: usize, visit: &mut dyn FnMut(RecordRef<'_>)) -> Result<Drained, LogError> {
        refuse::position(&self.at, self.next, *self.ends.borrow())?;
        let mut drained = Drained { records: 0, next: self.next, gap: 0 };
        while drained.records < max {
            drained.gap += self.take(max - drained.records);
            if self.batch.is_empty() {
                break;
            }
            for stored in self.batch.drain(..) {
                visit(RecordRef {
                    offset: self.next,
                    timestamp_ms: stored.timestamp_ms,
                    stamped_by_log: false,
                    key: stored.key.as_deref(),
                    value: stored.value.as_deref(),
                });
                self.next += 1;
                drained.records += 1;
            }
        }
        drained.next = self.next;
        Ok(drained)
    }

    fn seek(&mut self, offset: u64) -> BoxFuture<'_, Result<(), LogError>> {
        self.next = offset;
        ready(Ok(())).boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<u64, LogError>> {
        let end = *self.ends.borrow();
        ready(Ok(end)).boxed()
    }
}

impl Log for MemoryLog {
    fn ensure(&self, topics: &[TopicSpec]) -> BoxFuture<'_, Result<(), LogError>> {
        ready(self.shelf.ensure(topics)).boxed()
    }

    fn partitions(&self, topic: &str) -> BoxFuture<'_, Result<u32, LogError>> {
        ready(Shelf::partitions(&self.shelf, topic)).boxed()
    }

    fn append(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<u64>, LogError>> {
        ready(self.shelf.append(records)).boxed()
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'static, Result<(), LogError>> {
        ready(self.shelf.commit(transaction)).boxed()
    }

    fn join(
        &self,
        subscription: Subscription,
        events: mpsc::UnboundedSender<Membership>,
    ) -> Result<Box<dyn Member>, LogError> {
        self.groups.join(subscription, events)
    }

    fn restore<'a>(
        &'a self,
        at: &'a TopicPartition,
        _ahead: HeadStart,
        _progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<Live, LogError>> {
        let state = self.shelf.lock();
        ready(state.partition(&at.topic, at.partition).map(|partition| partition.live.clone())).boxed()
    }

    fn reader(&self, at: &TopicPartition, start: Start) -> BoxFuture<'_, Result<Box<dyn Reader>, LogError>> {
        ready(self.shelf.reader(at, None, start).map(|reader| Box::new(reader) as Box<dyn Reader>)).boxed()
    }

    fn offsets(&self, at: &TopicPartition) -> BoxFuture<'_, Result<(u64, u64), LogError>> {
        let state = self.shelf.lock();
        ready(state.partition(&at.topic, at.partition).map(|partition| (partition.first, partition.end()))).boxed()
    }

    fn committed(&self, group: &str, at: &TopicPartition) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        ready(self.shelf.committed(group, at)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn size_retention_drops_the_oldest_and_readers_hear_of_the_gap() {
        let log = MemoryLog::new();
        let cleanup = Cleanup::Delete { age: None, bytes: Some(10) };
        log.ensure(&[TopicSpec { name: "a".to_owned(), partitions: 1, cleanup, fixed: false }]).await.unwrap();
        let at = TopicPartition { topic: "a".to_owned(), partition: 0 };
        let mut reader = log.reader(&at, Start::Earliest).await.unwrap();
        let record = |_| Record {
            topic: "a".to_owned(),
            partition: 0,
            key: None,
            value: Some(Bytes::from_static(b"four")),
            timestamp_ms: 0,
        };
        log.append((0..5).map(record).collect()).await.unwrap();
        assert_eq!(log.offsets(&at).await.unwrap(), (3, 5));
        assert_eq!(reader.drain(10, &mut |_| {}).unwrap(), Drained { records: 2, next: 5, gap: 3 });
    }
}
