//! The memory log as processes far away see it: what they write is under way for a while, lands out of step between
//! partitions, twice, or never; what they commit counts only while they own the partition.
//!
//! Records of one process in one partition keep their order, as the log's contract says. Nothing here has a clock or a
//! thread: the scheduler says what lands next.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{pending, poll_fn},
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::{mpsc, oneshot};
use tripline::log::{
    Committed, Drained, HeadStart, Live, Log, LogError, Member, Membership, Progress, Reader, Record, RecordRef, Start,
    Subscription, TopicPartition, TopicSpec, Transaction, memory::MemoryLog,
};

pub type ProcessId = u32;

/// Between all processes and the log.
pub struct Wire {
    pub log: Arc<MemoryLog>,
    state: Mutex<State>,
}

struct State {
    random: StdRng,
    /// In order; the queues of one process and another are apart.
    under_way: BTreeMap<Queue, VecDeque<Parcel>>,
    /// Who owns a partition in a group, and since which assignment.
    owners: BTreeMap<(String, TopicPartition), Tenure>,
    tenures: u64,
}

/// What keeps its order: the process, whether it commits, and the partition.
type Queue = (ProcessId, bool, TopicPartition);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tenure {
    process: ProcessId,
    number: u64,
}

struct Parcel {
    content: Content,
    receipt: Arc<Mutex<Receipt>>,
}

enum Content {
    Records(Vec<Record>),
    Transaction { transaction: Transaction, tenure: Option<Tenure> },
}

/// Answered when every parcel of a write has landed.
struct Receipt {
    parcels: usize,
    answer: Option<oneshot::Sender<Result<(), LogError>>>,
}

impl Wire {
    pub fn new(seed: u64) -> Arc<Self> {
        let state = State {
            random: StdRng::seed_from_u64(seed),
            under_way: BTreeMap::new(),
            owners: BTreeMap::new(),
            tenures: 0,
        };
        Arc::new(Wire { log: MemoryLog::new(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no simulation goes on after a panic")
    }

    /// How many queues have something to land.
    pub fn queues(&self) -> usize {
        self.lock().under_way.len()
    }

    /// Lands what is next in one of the queues; now and then the write is reported as failed, before it lands or
    /// after, or it lands twice.
    pub fn land(&self, queue: usize) {
        let mut state = self.lock();
        let Some(at) = state.under_way.keys().nth(queue).cloned() else { return };
        let parcels = state.under_way.get_mut(&at).expect("a queue");
        let parcel = parcels.pop_front().expect("no queue is empty");
        if parcels.is_empty() {
            state.under_way.remove(&at);
        }
        let Parcel { content, receipt } = parcel;
        let outcome = match content {
            Content::Records(records) => {
                let twice = state.random.random_bool(0.02).then(|| records.clone());
                self.append_now(records);
                twice.into_iter().for_each(|records| self.append_now(records));
                Ok(())
            }
            Content::Transaction { transaction, tenure } => match state.is_owner(&transaction, tenure) {
                true => self.log.commit(transaction).now_or_never().expect("the memory log answers at once"),
                false => Err(LogError::Fenced("the partition has another owner".to_owned())),
            },
        };
        let failed = state.random.random_bool(0.005);
        receipt.lock().expect("a receipt").landed(outcome, failed);
    }

    fn append_now(&self, records: Vec<Record>) {
        let landed = self.log.append(records).now_or_never().expect("the memory log answers at once");
        landed.expect("the memory log takes records");
    }

    /// The process is gone: of each queue some of what is first still lands, the rest never.
    pub fn forget(&self, process: ProcessId) {
        let mut state = self.lock();
        let State { random, under_way, .. } = &mut *state;
        for (_, parcels) in under_way.iter_mut().filter(|((of, ..), _)| *of == process) {
            parcels.truncate(random.random_range(0..=parcels.len()));
        }
        under_way.retain(|_, parcels| !parcels.is_empty());
    }

    /// Makes the process the owner: what earlier ones still commit is refused.
    pub fn assign(&self, group: &str, at: &TopicPartition, process: ProcessId) {
        let mut state = self.lock();
        state.tenures += 1;
        let tenure = Tenure { process, number: state.tenures };
        state.owners.insert((group.to_owned(), at.clone()), tenure);
    }

    /// The log as a process sees it.
    pub fn of(self: &Arc<Self>, process: ProcessId) -> Arc<dyn Log> {
        Arc::new(Side { wire: self.clone(), process })
    }
}

impl State {
    fn tenure(&self, transaction: &Transaction, process: ProcessId) -> Option<Tenure> {
        let commit = transaction.commits.first()?;
        let at = TopicPartition { topic: commit.topic.clone(), partition: commit.partition };
        self.owners.get(&(commit.group.clone(), at)).copied().filter(|tenure| tenure.process == process)
    }

    fn is_owner(&self, transaction: &Transaction, tenure: Option<Tenure>) -> bool {
        tenure.is_some_and(|tenure| self.tenure(transaction, tenure.process) == Some(tenure))
    }
}

impl Receipt {
    fn landed(&mut self, outcome: Result<(), LogError>, failed: bool) {
        self.parcels -= 1;
        let outcome = match outcome {
            Ok(()) if failed => Err(LogError::Broker("the answer was lost".to_owned())),
            outcome => outcome,
        };
        if (outcome.is_err() || self.parcels == 0)
            && let Some(answer) = self.answer.take()
        {
            // Nobody waits where the line is gone.
            answer.send(outcome).ok();
        }
    }
}

/// One process's side of the wire.
struct Side {
    wire: Arc<Wire>,
    process: ProcessId,
}

impl Side {
    fn send(&self, parcels: Vec<(Queue, Content)>) -> BoxFuture<'static, Result<(), LogError>> {
        let (answer, answered) = oneshot::channel();
        let receipt = Arc::new(Mutex::new(Receipt { parcels: parcels.len(), answer: Some(answer) }));
        if parcels.is_empty() {
            return ready(Ok(())).boxed();
        }
        let mut state = self.wire.lock();
        for (queue, content) in parcels {
            state.under_way.entry(queue).or_default().push_back(Parcel { content, receipt: receipt.clone() });
        }
        async move {
            match answered.await {
                Ok(outcome) => outcome,
                // its parcels are gone with its process
                Err(_) => pending().await,
            }
        }
        .boxed()
    }
}

impl Log for Side {
    fn append(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<u64>, LogError>> {
        let mut by_partition: BTreeMap<Queue, Vec<Record>> = BTreeMap::new();
        for record in records {
            let at = TopicPartition { topic: record.topic.clone(), partition: record.partition };
            by_partition.entry((self.process, false, at)).or_default().push(record);
        }
        let parcels = by_partition.into_iter().map(|(queue, records)| (queue, Content::Records(records))).collect();
        // no line asks for the offsets
        self.send(parcels).map(|sent| sent.map(|()| Vec::new())).boxed()
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'static, Result<(), LogError>> {
        let tenure = self.wire.lock().tenure(&transaction, self.process);
        let commit = transaction.commits.first().expect("every step commits a position");
        let at = TopicPartition { topic: commit.topic.clone(), partition: commit.partition };
        self.send(vec![((self.process, true, at), Content::Transaction { transaction, tenure })])
    }

    fn ensure(&self, topics: &[TopicSpec]) -> BoxFuture<'_, Result<(), LogError>> {
        self.wire.log.ensure(topics)
    }

    fn partitions(&self, topic: &str) -> BoxFuture<'_, Result<u32, LogError>> {
        self.wire.log.partitions(topic)
    }

    fn join(&self, _: Subscription, _: mpsc::UnboundedSender<Membership>) -> Result<Box<dyn Member>, LogError> {
        Err(LogError::Refused("the scheduler assigns partitions itself".to_owned()))
    }

    fn restore<'a>(
        &'a self,
        at: &'a TopicPartition,
        ahead: HeadStart,
        progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<Live, LogError>> {
        async move {
            a_turn().await;
            let found = self.wire.log.restore(at, ahead, progress).await;
            a_turn().await;
            found
        }
        .boxed()
    }

    fn reader(&self, at: &TopicPartition, start: Start) -> BoxFuture<'_, Result<Box<dyn Reader>, LogError>> {
        let at = at.clone();
        async move {
            let reader = self.wire.log.reader(&at, start).await?;
            Ok(Box::new(Halting { wire: self.wire.clone(), reader }) as Box<dyn Reader>)
        }
        .boxed()
    }

    fn offsets(&self, at: &TopicPartition) -> BoxFuture<'_, Result<(u64, u64), LogError>> {
        self.wire.log.offsets(at)
    }

    fn committed(&self, group: &str, at: &TopicPartition) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        self.wire.log.committed(group, at)
    }
}

/// A reader that gives as many records as it likes, and takes its time.
struct Halting {
    wire: Arc<Wire>,
    reader: Box<dyn Reader>,
}

impl Reader for Halting {
    fn ready(&mut self) -> BoxFuture<'_, Result<(), LogError>> {
        self.reader.ready()
    }

    fn drain(&mut self, max: usize, visit: &mut dyn FnMut(RecordRef<'_>)) -> Result<Drained, LogError> {
        let some = if max > 1 { self.wire.lock().random.random_range(1..=max.min(40)) } else { max };
        self.reader.drain(some, visit)
    }

    fn seek(&mut self, offset: u64) -> BoxFuture<'_, Result<(), LogError>> {
        self.reader.seek(offset).then(|sought| a_turn().map(|()| sought)).boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<u64, LogError>> {
        self.reader.end().then(|end| a_turn().map(|()| end)).boxed()
    }
}

/// Lets the others have a turn.
async fn a_turn() {
    let mut passed = false;
    poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
