//! A log whose writer can be cut off at any of its writes, as a process that is killed is.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{Notify, mpsc};
use tripline::log::{
    Committed, HeadStart, Live, Log, LogError, Member, Membership, Progress, Reader, Record, Start, Subscription,
    TopicPartition, TopicSpec, Transaction,
};

/// Passes everything on until its writes are spent; after that nothing is written and no write is ever answered.
pub struct Severed {
    log: Arc<dyn Log>,
    writes: AtomicI64,
    /// Whether the last write takes effect, though nobody hears of it.
    last_lands: bool,
    cut: Notify,
}

impl Severed {
    /// `writes` are answered; the next one is not, and takes effect or not.
    pub fn new(log: Arc<dyn Log>, writes: i64, last_lands: bool) -> Arc<Self> {
        Arc::new(Severed { log, writes: AtomicI64::new(writes), last_lands, cut: Notify::new() })
    }

    /// Resolves when the writes are spent.
    pub async fn is_cut(&self) {
        self.cut.notified().await;
    }

    fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce() -> BoxFuture<'static, Result<T, LogError>>,
    ) -> BoxFuture<'static, Result<T, LogError>> {
        match self.writes.fetch_sub(1, Ordering::SeqCst) {
            1.. => write(),
            left => {
                if left == 0 {
                    let last = self.last_lands.then(write);
                    self.cut.notify_one();
                    return async move {
                        if let Some(last) = last {
                            drop(last.await);
                        }
                        pending().await
                    }
                    .boxed();
                }
                pending().boxed()
            }
        }
    }
}

impl Log for Severed {
    fn append(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<u64>, LogError>> {
        self.write(|| self.log.append(records))
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'static, Result<(), LogError>> {
        self.write(|| self.log.commit(transaction))
    }

    fn ensure(&self, topics: &[TopicSpec]) -> BoxFuture<'_, Result<(), LogError>> {
        self.log.ensure(topics)
    }

    fn partitions(&self, topic: &str) -> BoxFuture<'_, Result<u32, LogError>> {
        self.log.partitions(topic)
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
