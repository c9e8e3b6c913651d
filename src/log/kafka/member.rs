//! A seat in a consumer group: turns rebalances into [`Membership`] messages and commits for the partitions it owns.

use std::{
    collections::{BTreeMap, HashMap},
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
use tracing::{info, warn};

use super::{
    client::{Client, Seated, native_offset, native_partition},
    commits,
    context::{Consumer, Rebalance, lock},
    lane::Lane,
    probe::Probe,
    reader::KafkaReader,
};
use crate::log::{Assignment, Commit, Committed, LogError, Member, Membership, Start, Subscription, TopicPartition};

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
    owned: Mutex<BTreeMap<TopicPartition, Arc<Lane>>>,
}

impl Seat {
    pub fn new(subscription: &Subscription, number: u32, client: &Client, probe: &Arc<Probe>) -> Seat {
        Seat {
            group: subscription.group.clone(),
            number,
            client: client.clone(),
            starts: subscription.topics.iter().cloned().collect(),
            probe: probe.clone(),
            owned: Mutex::default(),
        }
    }

    pub fn owns(&self, at: &TopicPartition) -> bool {
        lock(&self.owned).contains_key(at)
    }

    /// Commits one partition's position and waits for the coordinator's word. Blocks.
    pub fn commit(&self, commit: &Commit) -> Result<(), LogError> {
        let at = TopicPartition { topic: commit.topic.clone(), partition: commit.partition };
        let consumer = self.client.consumer().map_err(|_| not_ours(&at, &self.group))?;
        commits::commit(&consumer, commit, || if self.owns(&at) { Ok(()) } else { Err(not_ours(&at, &self.group)) })
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
    fn position(
        &self,
        consumer: &Consumer,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(Option<Committed>, u64)>, LogError> {
        let committed = commits::committed(consumer, partitions)?;
        let positions = committed.into_iter().zip(partitions).map(|(committed, at)| {
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
        let mut list = TopicPartitionList::new();
        let mut assignments = Vec::with_capacity(partitions.len());
        for (at, (committed, next)) in partitions.iter().zip(self.seat.position(consumer, partitions)?) {
            list.add_partition_offset(&at.topic, native_partition(at), native_offset(next))
                .map_err(|error| LogError::Broker(format!("{}/{}: {error}", at.topic, at.partition)))?;
            let lane = self.lane(consumer, at)?;
            let reader = Box::new(KafkaReader::new(lane.clone(), lane.open(next)));
            lock(&self.seat.owned).insert(at.clone(), lane);
            assignments.push(Assignment { at: at.clone(), committed, reader });
        }
        consumer
            .incremental_assign(&list)
            .map_err(|error| LogError::Broker(format!("group {}: can't take partitions: {error}", self.seat.group)))?;
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
            self.release(partitions);
        } else if consumer.assignment_lost() {
            self.release(partitions);
            warn!(group = self.seat.group, partitions = partitions.len(), "partitions lost");
            self.events.send(Membership::Lost(partitions.to_vec())).ok();
        } else {
            info!(group = self.seat.group, partitions = partitions.len(), "partitions revoked");
            let (done, answer) = oneshot::channel();
            let revoked = Membership::Revoked { partitions: partitions.to_vec(), done };
            if self.events.send(revoked).is_ok() && !wait(answer, REVOKED_MAX) {
                warn!(group = self.seat.group, "no answer to a revocation: what follows from the last commit repeats");
            }
            self.release(partitions);
        }
        let mut list = TopicPartitionList::new();
        for at in partitions {
            list.add_partition(&at.topic, native_partition(at));
        }
        if let Err(error) = consumer.incremental_unassign(&list) {
            warn!(group = self.seat.group, %error, "partitions could not be given back");
        }
    }

    fn release(&self, partitions: &[TopicPartition]) {
        let mut owned = lock(&self.seat.owned);
        for at in partitions {
            if let Some(lane) = owned.remove(at) {
                lane.revoke();
            }
        }
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
            let lane = lock(&seat.owned).get(&at).cloned().ok_or_else(|| not_ours(&at, &seat.group))?;
            let ticket = lane.take_over();
            let consumer = seat.client.consumer()?;
            let (asked, partition) = (seat.clone(), at.clone());
            let position = move || asked.position(&consumer, &[partition]);
            let mut position = tokio::task::spawn_blocking(position).await.map_err(|_| LogError::Closed)??;
            let Some((committed, next)) = position.pop() else { return Err(not_ours(&at, &seat.group)) };
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
