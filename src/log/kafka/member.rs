//! A seat in a consumer group: turns rebalances into [`Membership`] messages and commits for the partitions it owns.
//!
//! Where steps are transactions, a partition's owner signs the group's position with the transactional id of the writer
//! that commits the partition's steps, and takes the name away when it gives the partition back, unless a transaction of
//! it is not known to have ended. The next owner ends by that id what a writer left open, at once; by itself the broker
//! would, some time after the transaction's time limit.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context as TaskContext, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use rdkafka::{TopicPartitionList, consumer::Consumer as _};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::{
    client::{self, Client, Seated, native_offset, native_partition},
    commits::{self, Kept},
    context::{Consumer, Context, Rebalance, lock},
    lane::Lane,
    probe::Probe,
    properties::Use,
    reader::KafkaReader,
    signature::Signatures,
    transaction,
};
use crate::{
    config,
    log::{Assignment, Commit, Committed, LogError, Member, Membership, Start, Subscription, TopicPartition},
};

/// How long a revocation waits for the stage's last commit. Far below `max.poll.interval.ms` (5 min), which bounds how
/// long the other members wait for this one.
const REVOKED_MAX: Duration = Duration::from_secs(20);

/// What a process knows of one of its seats.
pub(super) struct Seat {
    pub group: String,
    /// Of the seats that this process has in the group, from 0.
    pub number: u32,
    pub client: Client,
    starts: HashMap<String, Start>,
    probe: Arc<Probe>,
    /// What positions are signed with, where steps are transactions.
    signatures: Option<Arc<Signatures>>,
    /// Where steps are transactions: ends those of former owners, and reads their positions.
    former: Option<Former>,
    owned: Mutex<BTreeMap<TopicPartition, Owned>>,
}

struct Owned {
    lane: Arc<Lane>,
    /// Where we began to read.
    from: u64,
    /// What the group committed last, by nobody but us.
    committed: Option<Committed>,
    /// It is on its way to its next owner, and nothing is committed for it any more.
    given_back: bool,
}

impl Seat {
    pub fn new(
        subscription: &Subscription,
        number: u32,
        client: &Client,
        probe: &Arc<Probe>,
        signatures: Option<Arc<Signatures>>,
        former: Option<Former>,
    ) -> Seat {
        Seat {
            group: subscription.group.clone(),
            number,
            client: client.clone(),
            starts: subscription.topics.iter().cloned().collect(),
            probe: probe.clone(),
            signatures,
            former,
            owned: Mutex::default(),
        }
    }

    pub fn owns(&self, at: &TopicPartition) -> bool {
        lock(&self.owned).contains_key(at)
    }

    /// Whether a commit for the partition is its owner's. One that was lost and has come back is not, until the line
    /// that had it before is gone: what that line commits comes before what another process has done since.
    pub fn may_commit(&self, at: &TopicPartition) -> bool {
        lock(&self.owned).get(at).is_some_and(|owned| !owned.given_back && !owned.lane.has_former_reader())
    }

    /// Whether positions are signed here.
    pub fn signs(&self) -> bool {
        self.signatures.is_some()
    }

    /// What the partition is signed with.
    fn owner(&self, at: &TopicPartition) -> Option<&str> {
        self.signatures.as_ref().map(|signatures| signatures.id_for(at))
    }

    /// What the group committed last in a partition of ours, where that is known.
    pub fn committed(&self, at: &TopicPartition) -> Option<Committed> {
        lock(&self.owned).get(at)?.committed.clone()
    }

    pub fn note_committed(&self, at: &TopicPartition, committed: &Committed) {
        if let Some(owned) = lock(&self.owned).get_mut(at) {
            owned.committed = Some(committed.clone());
        }
    }

    /// Commits one partition's position and waits for the coordinator's word. Blocks.
    pub fn commit(&self, commit: &Commit) -> Result<(), LogError> {
        let at = commit.at();
        let consumer = self.client.consumer().map_err(|_| not_ours(&at, &self.group))?;
        let list = commits::listed([commits::position(&at, &commit.committed)], |at| self.owner(at))?;
        let ours = || if self.may_commit(&at) { Ok(()) } else { Err(not_ours(&at, &self.group)) };
        commits::commit(&consumer, &self.group, &list, ours)?;
        self.note_committed(&at, &commit.committed);
        Ok(())
    }

    /// Signs the positions of these partitions of ours `as_owner`, or takes the signatures away. Blocks.
    fn sign(&self, consumer: &Consumer, partitions: &[TopicPartition], as_owner: bool) -> Result<(), LogError> {
        let list = {
            let owned = lock(&self.owned);
            let positions = partitions.iter().filter_map(|at| {
                let Owned { from, committed, .. } = owned.get(at)?;
                Some(committed.as_ref().map_or((at, *from, None), |committed| commits::position(at, committed)))
            });
            commits::listed(positions, |at| self.owner(at).filter(|_| as_owner))?
        };
        if list.count() == 0 {
            return Ok(());
        }
        commits::commit(consumer, &self.group, &list, || Ok(()))
    }

    /// Where the group starts in a partition that it never committed. Blocks.
    fn first(&self, at: &TopicPartition) -> Result<u64, LogError> {
        let (first, end) = self.probe.offsets_blocking(at)?;
        Ok(match self.starts.get(&at.topic) {
            Some(Start::Latest) => end,
            Some(Start::Earliest) | None => first,
        })
    }

    /// What the group committed last, and where to go on. Blocks.
    ///
    /// Where steps are transactions, a position that one has written and not committed yet is not waited for: the
    /// state, which is read afterwards, comes from the same transactions and waits for them. A broker that is killed
    /// and returns has been seen to hold such a position open for good, when its transaction had long been ended.
    fn position(
        &self,
        consumer: &Consumer,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(Option<Committed>, u64)>, LogError> {
        let kept = match &self.former {
            Some(former) => former.positions(partitions)?,
            None => commits::committed(consumer, partitions)?,
        };
        let positions = kept.into_iter().zip(partitions).map(|(kept, at)| {
            let committed = kept.and_then(|kept| kept.committed);
            let next = match &committed {
                Some(committed) => committed.next,
                None => self.first(at)?,
            };
            Ok((committed, next))
        });
        positions.collect()
    }
}

fn not_ours(at: &TopicPartition, group: &str) -> LogError {
    LogError::Fenced(format!("{}/{} is not ours in group {group}", at.topic, at.partition))
}

/// The seat's side of the client's thread.
pub(super) struct SeatedMember {
    seat: Arc<Seat>,
    events: mpsc::UnboundedSender<Membership>,
    /// Whoever left knows it, and is not asked to answer anything.
    leaving: bool,
    /// Every lane there ever was: a partition that comes back gets its old one, because librdkafka's queue is the same.
    lanes: HashMap<TopicPartition, Arc<Lane>>,
}

impl SeatedMember {
    pub fn new(seat: Arc<Seat>, events: mpsc::UnboundedSender<Membership>) -> SeatedMember {
        SeatedMember { seat, events, leaving: false, lanes: HashMap::new() }
    }

    fn assign(&mut self, consumer: &Arc<Consumer>, partitions: &[TopicPartition]) -> Result<(), LogError> {
        if let Some(former) = &self.seat.former {
            former.end_transactions(partitions, self.seat.signatures.as_deref())?;
        }
        let mut list = TopicPartitionList::new();
        let mut assignments = Vec::with_capacity(partitions.len());
        for (at, (committed, next)) in partitions.iter().zip(self.seat.position(consumer, partitions)?) {
            list.add_partition_offset(&at.topic, native_partition(at), native_offset(next))
                .map_err(|error| LogError::Broker(format!("{}/{}: {error}", at.topic, at.partition)))?;
            let lane = self.lane(consumer, at)?;
            let reader = Box::new(KafkaReader::new(lane.clone(), lane.open(next)));
            lock(&self.seat.owned)
                .insert(at.clone(), Owned { lane, from: next, committed: committed.clone(), given_back: false });
            assignments.push(Assignment { at: at.clone(), committed, reader });
        }
        consumer
            .incremental_assign(&list)
            .map_err(|error| LogError::Broker(format!("group {}: can't take partitions: {error}", self.seat.group)))?;
        if self.seat.signs()
            && let Err(error) = self.seat.sign(consumer, partitions, true)
        {
            warn!(group = self.seat.group, %error, "partitions not signed: a successor would wait for what is left open");
        }
        if !assignments.is_empty() {
            info!(group = self.seat.group, partitions = assignments.len(), "partitions assigned");
            self.events.send(Membership::Assigned(assignments)).ok();
        }
        Ok(())
    }

    fn lane(&mut self, consumer: &Arc<Consumer>, at: &TopicPartition) -> Result<Arc<Lane>, LogError> {
        if let Some(lane) = self.lanes.get(at) {
            return Ok(lane.clone());
        }
        let no_partition = || LogError::NoPartition { topic: at.topic.clone(), partition: at.partition };
        let lane = Lane::new(at, &self.seat.client, consumer, &self.seat.probe).ok_or_else(no_partition)?;
        let lane = Arc::new(lane);
        self.lanes.insert(at.clone(), lane.clone());
        Ok(lane)
    }

    fn revoke(&mut self, consumer: &Consumer, partitions: &[TopicPartition]) {
        if self.leaving {
            self.give_back(consumer, partitions);
        } else if consumer.assignment_lost() {
            self.release(partitions);
            warn!(group = self.seat.group, partitions = partitions.len(), "partitions lost");
            self.events.send(Membership::Lost(partitions.to_vec())).ok();
        } else {
            info!(group = self.seat.group, partitions = partitions.len(), "partitions revoked");
            let (done, answer) = oneshot::channel();
            let revoked = Membership::Revoked { partitions: partitions.to_vec(), done };
            if self.events.send(revoked).is_ok() && !wait(answer, REVOKED_MAX) {
                warn!(group = self.seat.group, "no answer to a revocation: the next owner begins at the last commit");
            }
            self.give_back(consumer, partitions);
        }
        let mut list = TopicPartitionList::new();
        for at in partitions {
            list.add_partition(&at.topic, native_partition(at));
        }
        if let Err(error) = consumer.incremental_unassign(&list) {
            warn!(group = self.seat.group, %error, "partitions could not be given back");
        }
    }

    /// Where nothing of these partitions is under way any more, their next owner need not end it.
    fn give_back(&self, consumer: &Consumer, partitions: &[TopicPartition]) {
        if let Some(signatures) = &self.seat.signatures
            && !consumer.assignment_lost()
        {
            // First, so that no transaction begins behind the look at which there are.
            for at in partitions {
                lock(&self.seat.owned).get_mut(at).into_iter().for_each(|owned| owned.given_back = true);
            }
            let (open, ended): (Vec<_>, Vec<_>) = partitions.iter().cloned().partition(|at| signatures.is_open(at));
            if !open.is_empty() {
                warn!(
                    group = self.seat.group,
                    partitions = open.len(),
                    "partitions given back inside a transaction, which their next owner ends"
                );
            }
            if let Err(error) = self.seat.sign(consumer, &ended, false) {
                debug!(group = self.seat.group, %error, "partitions given back under our name");
            }
        }
        self.release(partitions);
    }

    fn release(&self, partitions: &[TopicPartition]) {
        let mut owned = lock(&self.seat.owned);
        for at in partitions {
            if let Some(owned) = owned.remove(at) {
                owned.lane.revoke();
            }
        }
    }
}

/// Ends what former owners of partitions left open.
pub(super) struct Former {
    kafka: config::Kafka,
    /// Sees what was committed before the transactions that are open.
    client: Client,
}

impl Former {
    pub fn new(kafka: &config::Kafka, group: &str) -> Result<Former, LogError> {
        let client = client::start(kafka, Use::Former(group), Context::default(), |_, _| client::Start::Idle)?;
        Ok(Former { kafka: kafka.clone(), client })
    }

    fn positions(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<Kept>>, LogError> {
        commits::committed(&*self.client.consumer()?, partitions)
    }

    /// Fences whoever signed the positions of these partitions and is not us: all at once, since each may take half a
    /// second. Blocks.
    fn end_transactions(&self, partitions: &[TopicPartition], ours: Option<&Signatures>) -> Result<(), LogError> {
        let kept = self.positions(partitions)?;
        let owners: BTreeSet<String> = kept.into_iter().flatten().filter_map(|kept| kept.owner).collect();
        let end = |owner: &String| {
            let began = Instant::now();
            transaction::fence(&self.kafka, owner)?;
            info!(owner, millis = began.elapsed().as_millis() as u64, "a former owner's transactions are ended");
            Ok(())
        };
        thread::scope(|scope| {
            let others = owners.iter().filter(|owner| ours.is_none_or(|ours| !ours.are_ours(owner)));
            let start = |owner| thread::Builder::new().spawn_scoped(scope, move || end(owner));
            let ending: Vec<_> = others.map(start).collect();
            let ended = ending.into_iter().map(|started| match started {
                Ok(thread) => thread.join().unwrap_or(Err(LogError::Closed)),
                Err(error) => Err(LogError::Broker(format!("no thread to end kafka transactions: {error}"))),
            });
            ended.collect()
        })
    }
}

impl Drop for Former {
    fn drop(&mut self) {
        self.client.close_later();
    }
}

impl Seated for SeatedMember {
    fn rebalance(&mut self, consumer: &Arc<Consumer>, step: Rebalance) {
        match step {
            Rebalance::Assign(partitions) => {
                if let Err(error) = self.assign(consumer, &partitions) {
                    self.release(&partitions);
                    // librdkafka waits for an answer whatever it is.
                    consumer.incremental_assign(&TopicPartitionList::new()).ok();
                    self.failed(error);
                }
            }
            Rebalance::Revoke(partitions) => self.revoke(consumer, &partitions),
        }
    }

    fn failed(&mut self, error: LogError) {
        self.events.send(Membership::Failed(error)).ok();
    }

    fn leaving(&mut self) {
        self.leaving = true;
    }

    fn closed(&mut self) {
        lock(&self.seat.owned).clear();
        for lane in self.lanes.values() {
            lane.close();
        }
    }
}

/// A membership in the hands of a stage; leaves when dropped.
pub(super) struct KafkaMember {
    seat: Arc<Seat>,
}

impl KafkaMember {
    pub fn new(seat: Arc<Seat>) -> KafkaMember {
        KafkaMember { seat }
    }
}

impl Member for KafkaMember {
    fn reopen(&self, at: &TopicPartition) -> BoxFuture<'_, Result<Assignment, LogError>> {
        let (seat, at) = (self.seat.clone(), at.clone());
        Box::pin(async move {
            let lane = lock(&seat.owned).get(&at).map(|owned| owned.lane.clone());
            let lane = lane.ok_or_else(|| not_ours(&at, &seat.group))?;
            let ticket = lane.take_over();
            let consumer = seat.client.consumer()?;
            let (asked, partition) = (seat.clone(), at.clone());
            let position = move || asked.position(&consumer, &[partition]);
            let mut position = tokio::task::spawn_blocking(position).await.map_err(|_| LogError::Closed)??;
            let Some((committed, next)) = position.pop() else { return Err(not_ours(&at, &seat.group)) };
            if let Some(committed) = &committed {
                seat.note_committed(&at, committed);
            }
            let mut reader = Box::new(KafkaReader::new(lane, ticket));
            reader.go_on_at(next).await?;
            Ok(Assignment { at, committed, reader })
        })
    }

    fn leave(self: Box<Self>) -> BoxFuture<'static, ()> {
        let left = self.seat.client.close();
        Box::pin(async {
            left.await.ok();
        })
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        // After `leave` the thread no longer reads this.
        self.seat.client.close_later();
    }
}

/// Waits on this thread for the answer, or for the other side to be dropped; `false` when the time is over.
fn wait(mut answer: oneshot::Receiver<()>, max: Duration) -> bool {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let deadline = Instant::now() + max;
    loop {
        if Pin::new(&mut answer).poll(&mut TaskContext::from_waker(&waker)).is_ready() {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::park_timeout(left);
    }
}
