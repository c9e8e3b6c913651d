//! The embedded log: durable on one machine's disk, for one process at a time.
//!
//! Callers queue what they write; one thread (`writer`) gathers calls for the sync interval, writes them as one atomic
//! batch and answers when it is on disk. Readers go to the store themselves and see only what was acknowledged.
//! What is acknowledged survives kill -9, and a transaction is there whole or not at all. This room never copies a
//! record that is read, and never lets a second process in.
//!
//! In the data folder lie `lock`, `acknowledged` (a note of how far each partition is) and the database, `log`.

mod acknowledged;
mod call;
mod chunk;
mod keys;
mod queue;
mod reader;
mod retention;
mod room;
mod store;
mod writer;

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread::{self, JoinHandle},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    acknowledged::Note,
    call::Call,
    keys::TopicManifest,
    queue::Queue,
    reader::LocalReader,
    room::Room,
    store::{Store, StoreError},
    writer::Writer,
};
use super::{
    Assignment, Committed, HeadStart, Live, Log, LogError, Member, Membership, Progress, Reader, Record, Start,
    Subscription, TopicPartition, TopicSpec, Transaction,
    group::{Groups, Shelf},
    refuse,
};
use crate::{clock::Clock, config};

pub use room::FreeBytes;

/// What the log asks of the machine besides files.
#[derive(Clone)]
pub struct Machine {
    /// Ages segments.
    pub clock: Clock,
    pub free_bytes: FreeBytes,
}

impl Default for Machine {
    fn default() -> Self {
        Machine { clock: Clock::System, free_bytes: Arc::new(|path: &Path| fs4::available_space(path)) }
    }
}

/// A handle to the embedded log. A call that finds the writer's queue full holds its thread until there is room, which
/// is soon: the writer waits for nobody. Dropping the handle writes what is queued and ends the writer; readers and members that
/// outlive it get [`LogError::Closed`].
pub struct LocalLog {
    shared: Arc<Shared>,
    groups: Groups,
    writer: Option<JoinHandle<()>>,
    /// Held until the database is closed.
    _lock: File,
}

/// What callers, readers and the writer have in common.
struct Shared {
    /// The database's folder.
    path: PathBuf,
    queue: Queue<Call>,
    topics: RwLock<HashMap<String, Topic>>,
    /// The database, or why there is none. Only the writer changes it.
    store: RwLock<Result<Store, LogError>>,
}

struct Topic {
    compacted: bool,
    /// Of each partition, the end of what is acknowledged.
    ends: Vec<watch::Sender<u64>>,
}

impl LocalLog {
    /// Opens or creates the log in the data folder: [`LogError::Locked`] when another process has it open,
    /// [`LogError::Corrupt`] when the data are damaged, [`LogError::Refused`] when they can't be opened at all.
    pub fn open(settings: &config::LocalLog) -> Result<Arc<LocalLog>, LogError> {
        Self::open_on(settings, Machine::default())
    }

    /// As [`LocalLog::open`], on a machine whose clock and disk are given.
    pub fn open_on(settings: &config::LocalLog, machine: Machine) -> Result<Arc<LocalLog>, LogError> {
        let data = &settings.data;
        let lock = lock(data)?;
        let path = data.join("log");
        let store = Store::open(&path).map_err(|error| cannot_open(&path, error))?;
        let shared =
            Arc::new(Shared { path, queue: Queue::new(), topics: RwLock::default(), store: RwLock::new(Ok(store)) });
        let closing = Closing(Arc::clone(&shared));
        let room = Room::new(machine.free_bytes, data.clone(), settings.free_bytes_min);
        let writer = Writer::new(Arc::clone(&shared), settings, machine.clock, room, Note::new(data))?;
        let run = move || {
            let _closing = closing;
            writer.run();
        };
        let writer = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(run)
            .map_err(|error| LogError::Refused(format!("no thread for the embedded log: {error}")))?;
        let groups = Groups::new(Arc::new(LocalShelf(Arc::clone(&shared))));
        Ok(Arc::new(LocalLog { shared, groups, writer: Some(writer), _lock: lock }))
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the embedded log's writer panicked");
        }
    }
}

/// Closes the database when the writer ends, however it ends: nobody waits for an answer that can't come.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.queue.abandon();
        self.0.topics_mut().clear();
        *self.0.store.write().unwrap_or_else(PoisonError::into_inner) = Err(LogError::Closed);
    }
}

fn lock(data: &Path) -> Result<File, LogError> {
    let refused = |error: io::Error| LogError::Refused(format!("{}: {error}", data.display()));
    fs::create_dir_all(data).map_err(refused)?;
    let path = data.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked(data.display().to_string())),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

fn cannot_open(path: &Path, error: StoreError) -> LogError {
    match error {
        StoreError::Log(error) => error,
        StoreError::Storage(fjall::Error::Locked) => LogError::Locked(path.display().to_string()),
        StoreError::Storage(error) => LogError::Refused(format!("{} can't be opened: {error}", path.display())),
    }
}

impl Shared {
    fn topics(&self) -> RwLockReadGuard<'_, HashMap<String, Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn topics_mut(&self) -> RwLockWriteGuard<'_, HashMap<String, Topic>> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_store<T>(&self, ask: impl FnOnce(&Store) -> Result<T, StoreError>) -> Result<T, LogError> {
        match &*self.store.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(store) => Ok(ask(store)?),
            Err(error) => Err(error.clone()),
        }
    }

    fn with_store_mut<T>(&self, change: impl FnOnce(&mut Store) -> Result<T, StoreError>) -> Result<T, LogError> {
        match &mut *self.store.write().unwrap_or_else(PoisonError::into_inner) {
            Ok(store) => Ok(change(store)?),
            Err(error) => Err(error.clone()),
        }
    }

    /// Closes the database and opens it again; readers wait meanwhile.
    fn reopen(&self) -> Result<(), LogError> {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        // The old one first, because it holds the database's own lock.
        *store = Err(LogError::Closed);
        *store = Store::open(&self.path).map_err(|error| LogError::Broker(LogError::from(error).to_string()));
        store.as_ref().map(drop).map_err(LogError::clone)
    }

    fn check_partition(&self, topic: &str, partition: u32) -> Result<bool, LogError> {
        let topics = self.topics();
        let found = topics.get(topic).ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
        match found.ends.len() > partition as usize {
            true => Ok(found.compacted),
            false => Err(LogError::NoPartition { topic: topic.to_owned(), partition }),
        }
    }

    fn check_records<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), LogError> {
        for record in records {
            refuse::record(record, self.check_partition(&record.topic, record.partition)?)?;
        }
        Ok(())
    }

    fn check_transaction(&self, transaction: &Transaction) -> Result<(), LogError> {
        self.check_records(transaction.records.iter().chain(&transaction.state))?;
        for commit in &transaction.commits {
            self.check_partition(&commit.topic, commit.partition)?;
            refuse::commit(commit)?;
        }
        Ok(())
    }

    fn queue(&self, call: Call) {
        let bytes = call.bytes();
        self.queue.push(call, bytes);
    }

    fn ends(&self, at: &TopicPartition) -> Result<watch::Receiver<u64>, LogError> {
        self.check_partition(&at.topic, at.partition)?;
        Ok(self.topics()[&at.topic].ends[at.partition as usize].subscribe())
    }
}

impl Topic {
    fn new(manifest: &TopicManifest) -> Self {
        let ends = (0..manifest.partitions).map(|_| watch::Sender::new(0)).collect();
        Topic { compacted: manifest.compacted, ends }
    }
}

#[derive(Clone)]
struct LocalShelf(Arc<Shared>);

impl LocalShelf {
    fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<Committed>, LogError> {
        self.0.check_partition(&at.topic, at.partition)?;
        self.0.with_store(|store| store.committed(group, at))
    }

    fn reader(&self, at: &TopicPartition, committed: Option<u64>, start: Start) -> Result<LocalReader, LogError> {
        refuse::reader(&at.topic, self.0.check_partition(&at.topic, at.partition)?)?;
        let ends = self.0.ends(at)?;
        let next = match (committed, start) {
            (Some(next), _) => next,
            (None, Start::Latest) => *ends.borrow(),
            (None, Start::Earliest) => self.0.with_store(|store| store.earliest(at))?,
        };
        Ok(LocalReader::new(Arc::clone(&self.0), at.clone(), next, ends))
    }
}

impl Shelf for LocalShelf {
    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let topics = self.0.topics();
        topics.get(topic).map(|topic| topic.ends.len() as u32).ok_or_else(|| LogError::NoTopic(topic.to_owned()))
    }

    fn open(&self, group: &str, at: &TopicPartition, start: Start) -> Result<Assignment, LogError> {
        let committed = self.committed(group, at)?;
        let reader = self.reader(at, committed.as_ref().map(|committed| committed.next), start)?;
        Ok(Assignment { at: at.clone(), committed, reader: Box::new(reader) })
    }
}

async fn answered<T>(answer: oneshot::Receiver<Result<T, LogError>>) -> Result<T, LogError> {
    answer.await.unwrap_or(Err(LogError::Closed))
}

impl LocalLog {
    fn shelf(&self) -> LocalShelf {
        LocalShelf(Arc::clone(&self.shared))
    }
}

impl Log for LocalLog {
    fn ensure(&self, topics: &[TopicSpec]) -> BoxFuture<'_, Result<(), LogError>> {
        let (answer, outcome) = oneshot::channel();
        self.shared.queue(Call::Ensure { topics: topics.to_vec(), answer });
        answered(outcome).boxed()
    }

    fn partitions(&self, topic: &str) -> BoxFuture<'_, Result<u32, LogError>> {
        ready(Shelf::partitions(&self.shelf(), topic)).boxed()
    }

    fn append(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<u64>, LogError>> {
        if let Err(error) = self.shared.check_records(&records) {
            return ready(Err(error)).boxed();
        }
        let (answer, outcome) = oneshot::channel();
        self.shared.queue(Call::Append { records, answer });
        answered(outcome).boxed()
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'static, Result<(), LogError>> {
        if let Err(error) = self.shared.check_transaction(&transaction) {
            return ready(Err(error)).boxed();
        }
        let (answer, outcome) = oneshot::channel();
        self.shared.queue(Call::Commit { transaction, answer });
        answered(outcome).boxed()
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
        let checked = self.shared.check_partition(&at.topic, at.partition);
        ready(checked.and_then(|_| self.shared.with_store(|store| store.live(at)))).boxed()
    }

    fn reader(&self, at: &TopicPartition, start: Start) -> BoxFuture<'_, Result<Box<dyn Reader>, LogError>> {
        ready(self.shelf().reader(at, None, start).map(|reader| Box::new(reader) as Box<dyn Reader>)).boxed()
    }

    fn offsets(&self, at: &TopicPartition) -> BoxFuture<'_, Result<(u64, u64), LogError>> {
        let ends = self.shared.ends(at);
        let offsets = ends.and_then(|ends| Ok((self.shared.with_store(|store| store.earliest(at))?, *ends.borrow())));
        ready(offsets).boxed()
    }

    fn committed(&self, group: &str, at: &TopicPartition) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        ready(self.shelf().committed(group, at)).boxed()
    }
}
