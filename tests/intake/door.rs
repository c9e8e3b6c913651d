//! A log in memory with a door: while it is shut, appends are refused.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::mpsc;
use tripline::log::{
    Committed, HeadStart, Live, Log, LogError, Member, Membership, Progress, Reader, Record, Start, Subscription,
    TopicPartition, TopicSpec, Transaction, memory::MemoryLog,
};

pub struct Door {
    log: Arc<MemoryLog>,
    shut: AtomicBool,
    /// A batch with a longer record is refused for good.
    record_bytes_max: AtomicUsize,
}

impl Door {
    pub fn new() -> Arc<Self> {
        let record_bytes_max = AtomicUsize::new(usize::MAX);
        Arc::new(Door { log: MemoryLog::new(), shut: AtomicBool::new(false), record_bytes_max })
    }

    pub fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }

    pub fn limit(&self, record_bytes_max: usize) {
        self.record_bytes_max.store(record_bytes_max, Ordering::SeqCst);
    }

    fn refusal(&self, records: &[Record]) -> Option<LogError> {
        if self.shut.load(Ordering::SeqCst) {
            return Some(LogError::Full("the door is shut".to_owned()));
        }
        let bytes_max = self.record_bytes_max.load(Ordering::SeqCst);
        let long = records.iter().find(|record| record.value.as_ref().is_some_and(|value| value.len() > bytes_max))?;
        let bytes = long.value.as_ref().map_or(0, Bytes::len);
        Some(LogError::TooLarge { topic: long.topic.clone(), bytes, bytes_max })
    }
}

impl Log for Door {
    fn append(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<u64>, LogError>> {
        match self.refusal(&records) {
            Some(refusal) => std::future::ready(Err(refusal)).boxed(),
            None => self.log.append(records),
        }
    }

    fn ensure(&self, topics: &[TopicSpec]) -> BoxFuture<'_, Result<(), LogError>> {
        self.log.ensure(topics)
    }

    fn partitions(&self, topic: &str) -> BoxFuture<'_, Result<u32, LogError>> {
        self.log.partitions(topic)
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'static, Result<(), LogError>> {
        self.log.commit(transaction)
    }

    fn join(
        &self,
        subscription: Subscription,
        events: mpsc::UnboundedSender<Membership>,
    ) -> Result<Box<dyn Member>, LogError> {
        self.log.join(subscription, events)
    }

    fn restore<'a>(
        &'a self,
        at: &'a TopicPartition,
        ahead: HeadStart,
        progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<Live, LogError>> {
        self.log.restore(at, ahead, progress)
    }

    fn reader(&self, at: &TopicPartition, start: Start) -> BoxFuture<'_, Result<Box<dyn Reader>, LogError>> {
        self.log.reader(at, start)
    }

    fn offsets(&self, at: &TopicPartition) -> BoxFuture<'_, Result<(u64, u64), LogError>> {
        self.log.offsets(at)
    }

    fn committed(&self, group: &str, at: &TopicPartition) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        self.log.committed(group, at)
    }
}
