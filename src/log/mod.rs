//! The log: ordered, durable partitions, groups that share them, and commits.
//!
//! Three logs keep one contract: `memory` for replay and tests, `local` for one machine, `kafka` for many.
//! No stage knows which it has. This room knows nothing of events, signals or alerts: keys and values are bytes.

mod group;
pub mod kafka;
mod live;
pub mod local;
pub mod memory;
mod refuse;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

pub use self::live::Live;

/// A topic's settings at creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: u32,
    pub cleanup: Cleanup,
    /// An existing topic must have exactly `partitions`, because state depends on the number; otherwise it is only
    /// what a new topic gets.
    pub fixed: bool,
}

/// What a topic forgets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleanup {
    /// Whole segments older than `age`, and the oldest beyond `bytes` a partition.
    Delete { age: Option<Duration>, bytes: Option<u64> },
    /// All but the newest value of each key; a record without value removes its key.
    Compact,
}

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub topic: String,
    pub partition: u32,
    pub key: Option<Bytes>,
    /// `None` removes the key from a compacted topic.
    pub value: Option<Bytes>,
    /// Milliseconds since 1970, as the writer stamps it. A log that stamps arrivals itself puts its own time in its
    /// place; see [`RecordRef::stamped_by_log`].
    pub timestamp_ms: i64,
}

/// A record as it lies in the log, borrowed while [`Reader::drain`] visits it.
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    pub offset: u64,
    pub timestamp_ms: i64,
    /// The broker stamped the record when it arrived (`LogAppendTime`), so no writer's clock is in it.
    pub stamped_by_log: bool,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// How far a group got in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The offset of the next record to read.
    pub next: u64,
    /// The stage's own words, at most 4 KiB.
    pub metadata: String,
}

/// One partition's commit of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub group: String,
    pub topic: String,
    pub partition: u32,
    pub committed: Committed,
}

impl Commit {
    pub fn at(&self) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition: self.partition }
    }
}

/// What one step of a stage says: records and how far it got.
///
/// With `state` it takes effect whole or not at all, unless Kafka is configured for at-least-once. Without, a crash on
/// Kafka may leave its records there without its commits, so that they are repeated; none is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    pub records: Vec<Record>,
    /// Changelog records of compacted topics; the last one is the header that makes the others count.
    pub state: Vec<Record>,
    pub commits: Vec<Commit>,
}

/// For how long at least a record without value can still be read in a compacted partition that is followed. Who was
/// away from it for longer may have missed that a key was removed.
pub const REMOVALS_STAY: Duration = Duration::from_secs(4 * 3600);

/// What is known of a compacted partition before it is restored. Nothing, by default.
#[derive(Debug, Default)]
pub struct HeadStart {
    pub live: Live,
    /// The offset of the first record that is not in it.
    pub next: u64,
}

/// Where a group starts in a partition that it has never committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// What a member wants to read.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub group: String,
    pub topics: Vec<(String, Start)>,
    /// Its steps carry state: what a former owner of a partition left unfinished is ended before the partition is
    /// assigned.
    pub with_state: bool,
}

/// What happens to a member, in order. The receiver must take every message; see [`Membership::Revoked`].
pub enum Membership {
    Assigned(Vec<Assignment>),
    /// Stop reading and commit, then answer `done`; another member may own the partitions afterwards. The log waits
    /// for the answer a bounded time.
    Revoked {
        partitions: Vec<TopicPartition>,
        done: oneshot::Sender<()>,
    },
    /// The partitions are another's already: commit nothing for them.
    Lost(Vec<TopicPartition>),
    /// The member can't go on.
    Failed(LogError),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: u32,
}

/// A partition that this member now owns.
pub struct Assignment {
    pub at: TopicPartition,
    /// What the group committed last, if ever.
    pub committed: Option<Committed>,
    pub reader: Box<dyn Reader>,
}

/// A membership; leaving (by drop) hands the partitions back.
pub trait Member: Send {
    /// A new reader of an owned partition, for a line that was restarted, with the group's last commit.
    fn reopen(&self, at: &TopicPartition) -> BoxFuture<'_, Result<Assignment, LogError>>;
    /// Leaves the group; resolves when the partitions are free.
    fn leave(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Reads one partition in order. Not reading is pausing: nothing is fetched beyond a bounded queue.
pub trait Reader: Send {
    /// Resolves when [`Reader::drain`] would find a record. Cancel-safe.
    fn ready(&mut self) -> BoxFuture<'_, Result<(), LogError>>;
    /// Visits up to `max` records that are at hand, in offset order, without waiting.
    fn drain(&mut self, max: usize, visit: &mut dyn FnMut(RecordRef<'_>)) -> Result<Drained, LogError>;
    /// Goes on at `offset`.
    fn seek(&mut self, offset: u64) -> BoxFuture<'_, Result<(), LogError>>;
    /// The offset that the next append will get, asked of the log itself (not of a cache).
    fn end(&mut self) -> BoxFuture<'_, Result<u64, LogError>>;
}

/// The outcome of a [`Reader::drain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    pub records: usize,
    /// The offset of the next record that will be visited.
    pub next: u64,
    /// Records between the position asked for and the earliest that the log still has: retention took them.
    pub gap: u64,
}

/// Hears how far a [`Log::restore`] is: so many records are read, of so many.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

pub trait Log: Send + Sync {
    /// Creates the topics that are missing; refuses where a `fixed` number of partitions differs.
    fn ensure(&self, topics: &[TopicSpec]) -> BoxFuture<'_, Result<(), LogError>>;
    /// The number of partitions; an error when the topic does not exist.
    fn partitions(&self, topic: &str) -> BoxFuture<'_, Result<u32, LogError>>;
    /// Appends in order; resolves when all are durable, with their offsets. Records of one partition are queued in
    /// the order of the calls, before the returned future is first polled.
    fn append(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<u64>, LogError>>;
    /// Applies a step's outcome; resolves when it is durable. Queued like [`Log::append`].
    fn commit(&self, transaction: Transaction) -> BoxFuture<'static, Result<(), LogError>>;
    /// Joins a group; `events` tells what happens to the membership.
    fn join(
        &self,
        subscription: Subscription,
        events: mpsc::UnboundedSender<Membership>,
    ) -> Result<Box<dyn Member>, LogError>;
    /// Every live key of a compacted partition with its newest value. What `ahead` has is not read again; it must come
    /// from this partition. Tells `progress` meanwhile how far it is; a log that has them at hand needs no head start and
    /// tells nothing.
    fn restore<'a>(
        &'a self,
        at: &'a TopicPartition,
        ahead: HeadStart,
        progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<Live, LogError>>;
    /// The same by key, of a partition that has few.
    fn compacted<'a>(&'a self, at: &'a TopicPartition) -> BoxFuture<'a, Result<BTreeMap<Bytes, Bytes>, LogError>> {
        let copy = Bytes::copy_from_slice;
        let by_key = move |live: Live| live.iter().map(|(key, value)| (copy(key), copy(value))).collect();
        Box::pin(async move { self.restore(at, HeadStart::default(), &|_, _| {}).await.map(by_key) })
    }
    /// A reader outside any group.
    fn reader(&self, at: &TopicPartition, start: Start) -> BoxFuture<'_, Result<Box<dyn Reader>, LogError>>;
    /// A reader outside any group of a compacted partition, from its first record: for one who follows many of them for
    /// long. A partition has one at a time. A record without value stays there for [`REMOVALS_STAY`], or this is refused.
    fn follow<'a>(&'a self, at: &'a TopicPartition) -> BoxFuture<'a, Result<Box<dyn Reader>, LogError>> {
        self.reader(at, Start::Earliest)
    }
    /// (first offset still there, next offset to be written)
    fn offsets(&self, at: &TopicPartition) -> BoxFuture<'_, Result<(u64, u64), LogError>>;
    /// What `group` committed last.
    fn committed(&self, group: &str, at: &TopicPartition) -> BoxFuture<'_, Result<Option<Committed>, LogError>>;
}

/// Why a log did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    #[error("topic {0} does not exist")]
    NoTopic(String),
    #[error("topic {topic} has no partition {partition}")]
    NoPartition { topic: String, partition: u32 },
    #[error(
        "topic {topic} has {found} partitions and {wanted} are configured; a key's state lives where the number puts it: \
         set the number back, or drain the rules' windows and start with another topic prefix (or data folder)"
    )]
    Partitions { topic: String, found: u32, wanted: u32 },
    #[error("no room: {0}")]
    Full(String),
    #[error("another process has the data folder {0} open")]
    Locked(String),
    #[error("the partition belongs to another member: {0}")]
    Fenced(String),
    #[error("{topic}/{partition}@{offset} can't be read: {reason}")]
    Corrupt { topic: String, partition: u32, offset: u64, reason: String },
    #[error("a record of {bytes} bytes for topic {topic} is larger than the {bytes_max} that are allowed")]
    TooLarge { topic: String, bytes: usize, bytes_max: usize },
    /// The same call fails until somebody changes something: a setting, a credential or a right that is wrong, a record
    /// without key for a compacted topic, a commit's metadata above its bound.
    #[error("refused: {0}")]
    Refused(String),
    #[error("{0}")]
    Broker(String),
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    /// Whether the same call can succeed later without anyone changing anything but the log's surroundings.
    pub fn is_transient(&self) -> bool {
        matches!(self, LogError::Full(_) | LogError::Broker(_))
    }
}
