//! The log on Kafka: topics are the broker's, a group's members are processes, offsets are committed with metadata.
//!
//! One consumer client for each group and process, and one for all that is followed, with a queue of its own for each
//! partition; one idempotent producer for what is appended, a few transactional ones for steps that carry state. It waits
//! on no async thread: what blocks in librdkafka runs on the clients' threads or on threads that may block. It resets no
//! offset by itself and knows nothing of what the records mean.

mod client;
mod commits;
mod context;
mod failure;
mod followers;
mod generation;
mod lane;
mod member;
mod probe;
mod producer;
mod properties;
mod queue;
mod reader;
mod restore;
mod signature;
mod topics;
mod transaction;
mod transactor;
mod wake;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, Weak},
};

use futures_util::future::BoxFuture;
use rdkafka::consumer::Consumer as _;
use tokio::sync::mpsc;

use self::{
    client::Client,
    context::{Context, lock},
    followers::Followers,
    member::{Former, KafkaMember, Seat, SeatedMember},
    probe::Probe,
    producer::Producer,
    properties::Use,
    signature::Signatures,
    transaction::Offer,
    transactor::Transactor,
};
pub use self::{
    properties::{Scope, TUNED, Tuned},
    topics::{FoundTopic, PlannedTopic},
};
use super::{
    Commit, Committed, HeadStart, Live, Log, LogError, Member, Membership, Progress, Reader, Record, Start,
    Subscription, TopicPartition, TopicSpec, Transaction,
};
use crate::config::{self, Delivery};

/// The log on the brokers of one configuration.
pub struct KafkaLog {
    kafka: config::Kafka,
    probe: Arc<Probe>,
    producer: Arc<Producer>,
    transactor: Transactor,
    seats: Arc<Seats>,
    followers: Arc<Followers>,
}

impl KafkaLog {
    /// Checks the properties and creates the clients. The brokers are not waited for: whether they answer and take our
    /// credentials shows with the first question, such as [`Log::ensure`] or [`Log::partitions`], within 15 s.
    pub fn connect(kafka: &config::Kafka) -> Result<Arc<KafkaLog>, LogError> {
        let probe = Arc::new(Probe::start(kafka)?);
        let producer = Arc::new(Producer::start(kafka)?);
        let seats = Arc::new(Seats::new(kafka));
        let transactor = Transactor::new(kafka, &seats);
        let followers = Arc::new(Followers::new(kafka, &probe));
        Ok(Arc::new(KafkaLog { kafka: kafka.clone(), probe, producer, transactor, seats, followers }))
    }
}

impl KafkaLog {
    /// What [`Log::ensure`] would do, and how the topics that exist differ; changes nothing.
    pub async fn plan(&self, topics: &[TopicSpec]) -> Result<Vec<PlannedTopic>, LogError> {
        topics::plan(&self.kafka, &self.probe, topics).await
    }

    /// Removes topics with all that is in them, and what groups have committed. What is not there is removed already.
    /// A group must have no members; those that are about to leave are waited for.
    ///
    /// # Errors
    /// When the brokers do not answer, or keep one of them; the others are removed nevertheless.
    pub async fn remove(&self, topics: &[String], groups: &[String]) -> Result<(), LogError> {
        topics::remove(&self.kafka, &self.probe, topics, groups).await
    }
}

/// The groups of this process: the seats it has, and clients for groups in which it has none.
struct Seats {
    kafka: config::Kafka,
    signatures: Arc<Signatures>,
    taken: Mutex<Vec<Weak<Seat>>>,
    /// Groups in which this process has or had a seat.
    joined: Mutex<HashSet<String>>,
    /// Look up and commit for a group without a seat; kept, because each is a connection.
    strangers: Mutex<HashMap<String, Client>>,
}

impl Seats {
    fn new(kafka: &config::Kafka) -> Seats {
        Seats {
            kafka: kafka.clone(),
            signatures: Arc::new(Signatures::new(&format!("{}-{:016x}", kafka.group, rand::random::<u64>()))),
            taken: Mutex::default(),
            joined: Mutex::default(),
            strangers: Mutex::default(),
        }
    }

    fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    fn is_exactly_once(&self) -> bool {
        self.kafka.delivery == Delivery::ExactlyOnce
    }

    /// The smallest number that no living seat of the group has, so that a restarted process asks for the same static
    /// seats in the same order.
    fn free_number(taken: &mut Vec<Weak<Seat>>, group: &str) -> u32 {
        taken.retain(|seat| seat.strong_count() > 0);
        let used: Vec<u32> =
            taken.iter().filter_map(Weak::upgrade).filter(|seat| seat.group == group).map(|seat| seat.number).collect();
        (0..).find(|number| !used.contains(number)).unwrap_or(u32::MAX)
    }

    fn of(&self, group: &str) -> Vec<Arc<Seat>> {
        let ours = |seat: &Arc<Seat>| seat.group == group && seat.client.consumer().is_ok();
        lock(&self.taken).iter().filter_map(Weak::upgrade).filter(ours).collect()
    }

    fn stranger(&self, group: &str) -> Result<Client, LogError> {
        let mut strangers = lock(&self.strangers);
        if let Some(client) = strangers.get(group) {
            return Ok(client.clone());
        }
        let started = client::start(&self.kafka, Use::Group(group), Context::default(), |_, _| client::Start::Idle)?;
        strangers.insert(group.to_owned(), started.clone());
        Ok(started)
    }

    /// Commits through the seat that owns the partition. Blocks.
    fn commit(&self, commit: &Commit) -> Result<(), LogError> {
        let at = commit.at();
        let seats = self.of(&commit.group);
        match seats.iter().find(|seat| seat.owns(&at)).or(seats.first()) {
            Some(seat) => seat.commit(commit),
            // A broker takes this from a group without members, and fences it otherwise.
            None => {
                let consumer = self.stranger(&commit.group)?.consumer()?;
                let list = commits::listed([commits::position(&at, &commit.committed)], |_| None)?;
                commits::commit(&consumer, &commit.group, &list, || Ok(()))
            }
        }
    }

    /// Who may vouch for positions of a group inside a transaction. Blocks.
    fn offers(&self, group: &str) -> Result<Vec<Offer>, LogError> {
        let offer = |seat: Option<Arc<Seat>>, generation| Offer { seat, generation, positions: BTreeMap::new() };
        let seats = self.of(group);
        // A transaction from outside would not be fenced: it is left to groups that this process was never in.
        if seats.is_empty() && !lock(&self.joined).contains(group) {
            let consumer = self.stranger(group)?.consumer()?;
            return Ok(vec![offer(None, consumer.group_metadata())]);
        }
        let of_seat = |seat: Arc<Seat>| {
            let generation = seat.client.consumer().ok().and_then(|consumer| generation::of_member(&consumer));
            offer(Some(seat), generation)
        };
        Ok(seats.into_iter().map(of_seat).collect())
    }

    /// Blocks.
    fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<Committed>, LogError> {
        let seats = self.of(group);
        if let Some(committed) = seats.iter().find_map(|seat| seat.committed(at)) {
            return Ok(Some(committed));
        }
        let consumer = match seats.first() {
            Some(seat) => seat.client.consumer()?,
            None => self.stranger(group)?.consumer()?,
        };
        let kept = commits::committed(&consumer, std::slice::from_ref(at))?.pop().flatten();
        Ok(kept.and_then(|kept| kept.committed))
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        lock(&self.strangers).values().for_each(Client::close_later);
    }
}

impl Log for KafkaLog {
    fn ensure(&self, topics: &[TopicSpec]) -> BoxFuture<'_, Result<(), LogError>> {
        let topics = topics.to_vec();
        Box::pin(async move { topics::ensure(&self.kafka, &self.probe, &topics).await })
    }

    fn partitions(&self, topic: &str) -> BoxFuture<'_, Result<u32, LogError>> {
        let topic = topic.to_owned();
        Box::pin(async move { self.probe.partitions(&topic).await?.ok_or(LogError::NoTopic(topic)) })
    }

    fn append(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<u64>, LogError>> {
        Box::pin(self.producer.append(records))
    }

    /// A step with state is one Kafka transaction, unless the configuration asks for at-least-once. Without state, or
    /// then, `records` are acknowledged by all in-sync replicas, then `state` is, then the offsets are committed by the
    /// member that owns the partition: a crash in between repeats what was not committed and loses nothing.
    ///
    /// A commit of a partition that this process no longer owns is [`LogError::Fenced`]. After [`LogError::Broker`]
    /// the step may or may not have taken effect: the log knows.
    fn commit(&self, transaction: Transaction) -> BoxFuture<'static, Result<(), LogError>> {
        if self.seats.is_exactly_once() && !transaction.state.is_empty() {
            return Box::pin(self.transactor.commit(transaction));
        }
        let Transaction { records, state, commits } = transaction;
        let records = self.producer.append(records);
        let (producer, seats) = (self.producer.clone(), self.seats.clone());
        Box::pin(async move {
            records.await?;
            producer.append(state).await?;
            if commits.is_empty() {
                return Ok(());
            }
            let commit_all = move || commits.iter().try_for_each(|commit| seats.commit(commit));
            tokio::task::spawn_blocking(commit_all).await.map_err(|_| LogError::Closed)?
        })
    }

    /// With `kafka.instance` the seat is static: leaving keeps the partitions for this process until the session ends
    /// (45 s unless configured), so that a restart moves nothing. Without it, leaving frees them at once.
    fn join(
        &self,
        subscription: Subscription,
        events: mpsc::UnboundedSender<Membership>,
    ) -> Result<Box<dyn Member>, LogError> {
        let mut taken = lock(&self.seats.taken);
        let number = Seats::free_number(&mut taken, &subscription.group);
        // An instance is one seat in a group; a process with several seats in one numbers them.
        let instance = self.kafka.instance.as_ref().map(|instance| match number {
            0 => instance.clone(),
            number => format!("{instance}-{}", number + 1),
        });
        let exactly_once = self.seats.is_exactly_once();
        let signatures = (subscription.with_state && exactly_once).then(|| self.seats.signatures.clone());
        let former = subscription.with_state.then(|| Former::new(&self.kafka, &subscription.group)).transpose()?;
        let mut seat = None;
        let purpose = Use::Seat {
            group: &subscription.group,
            instance: instance.as_deref(),
            with_state: subscription.with_state,
        };
        client::start(&self.kafka, purpose, Context::default(), |client, _| {
            let new = Arc::new(Seat::new(&subscription, number, client, &self.probe, signatures, former));
            seat = Some(new.clone());
            let topics = subscription.topics.iter().map(|(topic, _)| topic.clone()).collect();
            client::Start::Subscribe(topics, Box::new(SeatedMember::new(new, events)))
        })?;
        if exactly_once && subscription.with_state {
            self.transactor.start()?;
        }
        lock(&self.seats.joined).insert(subscription.group.clone());
        let seat = seat.ok_or(LogError::Closed)?;
        taken.push(Arc::downgrade(&seat));
        Ok(Box::new(KafkaMember::new(seat)))
    }

    fn restore<'a>(
        &'a self,
        at: &'a TopicPartition,
        ahead: HeadStart,
        progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<Live, LogError>> {
        Box::pin(restore::compacted(&self.kafka, &self.probe, at, ahead, progress))
    }

    /// All that are followed share a client.
    fn follow<'a>(&'a self, at: &'a TopicPartition) -> BoxFuture<'a, Result<Box<dyn Reader>, LogError>> {
        Box::pin(async move { Ok(Box::new(self.followers.follow(at).await?) as Box<dyn Reader>) })
    }

    fn reader(&self, at: &TopicPartition, start: Start) -> BoxFuture<'_, Result<Box<dyn Reader>, LogError>> {
        let at = at.clone();
        Box::pin(async move {
            let (first, end) = self.probe.offsets(&at).await?;
            let next = match start {
                Start::Earliest => first,
                Start::Latest => end,
            };
            let reader = restore::reader(&self.kafka, &self.probe, &at, next).await?;
            Ok(Box::new(reader) as Box<dyn Reader>)
        })
    }

    fn offsets(&self, at: &TopicPartition) -> BoxFuture<'_, Result<(u64, u64), LogError>> {
        let at = at.clone();
        Box::pin(async move { self.probe.offsets(&at).await })
    }

    fn committed(&self, group: &str, at: &TopicPartition) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        let (seats, group, at) = (self.seats.clone(), group.to_owned(), at.clone());
        Box::pin(async move {
            let ask = move || seats.committed(&group, &at);
            tokio::task::spawn_blocking(ask).await.map_err(|_| LogError::Closed)?
        })
    }
}
