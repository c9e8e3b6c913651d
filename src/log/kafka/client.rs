//! A consumer client and the thread that serves it: polls the common queue, answers rebalances, repositions partitions.
//!
//! The thread never touches a partition's records; those are drained from their own queues by whoever reads them. Only
//! this thread assigns and unassigns, so that nothing is mistaken for the answer to a rebalance.

use std::{
    sync::{Arc, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer as _,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};
use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use super::{
    context::{Consumer, Context, Rebalance},
    properties,
};
use crate::{
    config,
    log::{LogError, TopicPartition},
};

/// How long one poll of the common queue waits: the longest that a request to the thread lies unseen.
const POLL: Duration = Duration::from_millis(50);
/// How long a client may take to leave its group before it is dropped as it is.
const CLOSE_MAX: Duration = Duration::from_secs(30);

/// What a client's thread is asked.
pub(super) enum Request {
    /// Start fetching an assigned partition anew at an offset, whatever state it is in.
    Reposition { at: TopicPartition, offset: u64, done: oneshot::Sender<Result<(), LogError>> },
    /// Start fetching a partition, for a client without a seat in a group.
    Assign { at: TopicPartition, offset: u64, done: oneshot::Sender<Result<(), LogError>> },
    /// Fetch it no longer.
    Unassign { at: TopicPartition },
    /// Give everything back and end.
    Close { done: Option<oneshot::Sender<()>> },
}

/// What a seat in a group does about what happens to it.
pub(super) trait Seated: Send {
    fn rebalance(&mut self, consumer: &Arc<Consumer>, step: Rebalance);
    /// The client can't go on.
    fn failed(&mut self, error: LogError);
    /// Its owner gives the seat up and has committed what it had to.
    fn leaving(&mut self);
    /// The client has left its group.
    fn closed(&mut self);
}

/// Access to a client that does not keep it alive: the thread does, until it is asked to close.
#[derive(Clone)]
pub(super) struct Client {
    consumer: Weak<Consumer>,
    requests: mpsc::Sender<Request>,
}

impl Client {
    /// The client, unless it has closed.
    pub fn consumer(&self) -> Result<Arc<Consumer>, LogError> {
        self.consumer.upgrade().ok_or(LogError::Closed)
    }

    /// Starts fetching an assigned partition anew at `offset`.
    pub async fn reposition(&self, at: &TopicPartition, offset: u64) -> Result<(), LogError> {
        let (done, answer) = oneshot::channel();
        let request = Request::Reposition { at: at.clone(), offset, done };
        self.requests.send(request).map_err(|_| LogError::Closed)?;
        answer.await.map_err(|_| LogError::Closed)?
    }

    /// Starts fetching a partition from `offset`, where the client has no seat in a group.
    pub async fn assign(&self, at: &TopicPartition, offset: u64) -> Result<(), LogError> {
        let (done, answer) = oneshot::channel();
        self.requests.send(Request::Assign { at: at.clone(), offset, done }).map_err(|_| LogError::Closed)?;
        answer.await.map_err(|_| LogError::Closed)?
    }

    /// Ends that; waits for nothing. What is asked afterwards is done afterwards.
    pub fn unassign(&self, at: &TopicPartition) {
        self.requests.send(Request::Unassign { at: at.clone() }).ok();
    }

    /// Asks the thread to end; the receiver resolves when the client has left its group.
    pub fn close(&self) -> oneshot::Receiver<()> {
        let (done, closed) = oneshot::channel();
        // When the thread is gone already, dropping `done` resolves the receiver.
        self.requests.send(Request::Close { done: Some(done) }).ok();
        closed
    }

    /// Asks the thread to end and waits for nothing.
    pub fn close_later(&self) {
        self.requests.send(Request::Close { done: None }).ok();
    }
}

/// What a new client does first, on its own thread.
pub(super) enum Start {
    /// Nothing: it is asked for metadata.
    Idle,
    /// Joins its group for these topics.
    Subscribe(Vec<String>, Box<dyn Seated>),
}

/// Creates a client and its thread. Nothing is sent to a broker before this returns.
pub(super) fn start(
    kafka: &config::Kafka,
    purpose: properties::Use<'_>,
    context: Context,
    start: impl FnOnce(&Client, &Arc<Consumer>) -> Start,
) -> Result<Client, LogError> {
    let config = properties::client(kafka, purpose)?;
    let consumer: Consumer = config.create_with_context(context).map_err(|error| properties::explain(&error))?;
    let consumer = Arc::new(consumer);
    let (requests, requested) = mpsc::channel();
    let client = Client { consumer: Arc::downgrade(&consumer), requests };
    let seated = start(&client, &consumer);
    let server = Server { consumer, requested, grouped: config.get("group.id").is_some() };
    thread::Builder::new()
        .name("kafka-client".to_owned())
        .spawn(move || server.run(seated))
        .map_err(|error| LogError::Broker(format!("no thread for a kafka client: {error}")))?;
    Ok(client)
}

struct Server {
    consumer: Arc<Consumer>,
    requested: mpsc::Receiver<Request>,
    /// It has a group, whether or not it took a seat in it.
    grouped: bool,
}

impl Server {
    fn run(self, start: Start) {
        let mut seated = match start {
            Start::Idle => None,
            Start::Subscribe(topics, mut seated) => {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                if let Err(error) = self.consumer.subscribe(&topics) {
                    seated.failed(LogError::Refused(format!("can't subscribe to {topics:?}: {error}")));
                }
                Some(seated)
            }
        };
        let done = loop {
            self.poll(&mut seated);
            match self.requested.try_recv() {
                Ok(Request::Reposition { at, offset, done }) => {
                    done.send(self.reposition(&at, offset)).ok();
                }
                Ok(Request::Assign { at, offset, done }) => {
                    done.send(self.assign(&at, offset)).ok();
                }
                Ok(Request::Unassign { at }) => self.unassign(&at),
                Ok(Request::Close { done }) => break done,
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => break None,
            }
        };
        self.close(&mut seated);
        // The seat is free before anybody hears that it is.
        drop(seated);
        if let Some(done) = done {
            done.send(()).ok();
        }
    }

    /// One poll of the common queue, and whatever it brought.
    fn poll(&self, seated: &mut Option<Box<dyn Seated>>) {
        let failure = match self.consumer.poll(POLL) {
            None => None,
            Some(Err(error)) => self.consequence(&error),
            Some(Ok(message)) => {
                let (topic, partition) = (rdkafka::Message::topic(&message), rdkafka::Message::partition(&message));
                Some(LogError::Broker(format!("a record of {topic}/{partition} came outside its partition's queue")))
            }
        };
        while let Some(step) = self.consumer.context().next_rebalance() {
            if let Some(seated) = seated {
                seated.rebalance(&self.consumer, step);
            }
        }
        match (failure, seated) {
            (Some(error), Some(seated)) => seated.failed(error),
            (Some(error), None) => error!(%error, "kafka client failed"),
            (None, _) => {}
        }
    }

    /// What an error on the common queue means for the seat; most pass by themselves.
    fn consequence(&self, error: &KafkaError) -> Option<LogError> {
        let reason = || self.consumer.context().trouble.last().unwrap_or_else(|| error.to_string());
        match (error, error.rdkafka_error_code()) {
            (_, Some(RDKafkaErrorCode::FencedInstanceId)) => Some(LogError::Fenced(reason())),
            (KafkaError::MessageConsumptionFatal(_), _) => {
                Some(LogError::Broker(format!("the kafka client can't go on: {}", reason())))
            }
            (
                _,
                Some(
                    RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SaslAuthenticationFailed
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed,
                ),
            ) => Some(LogError::Refused(reason())),
            _ => {
                warn!(reason = reason(), "kafka consumer in trouble; it goes on trying");
                None
            }
        }
    }

    fn reposition(&self, at: &TopicPartition, offset: u64) -> Result<(), LogError> {
        let steps = || -> KafkaResult<()> {
            let list = listed(at, native_offset(offset))?;
            self.consumer.incremental_unassign(&list)?;
            self.consumer.incremental_assign(&list)
        };
        steps().map_err(|error| LogError::Fenced(format!("{}/{}: {error}", at.topic, at.partition)))
    }

    fn assign(&self, at: &TopicPartition, offset: u64) -> Result<(), LogError> {
        let assigned = listed(at, native_offset(offset)).and_then(|list| self.consumer.incremental_assign(&list));
        assigned.map_err(|error| LogError::Broker(format!("{}/{}: {error}", at.topic, at.partition)))
    }

    fn unassign(&self, at: &TopicPartition) {
        if let Err(error) = listed(at, Offset::Invalid).and_then(|list| self.consumer.incremental_unassign(&list)) {
            debug!(topic = at.topic, partition = at.partition, %error, "a partition was not fetched");
        }
    }

    fn close(&self, seated: &mut Option<Box<dyn Seated>>) {
        if let Some(seated) = seated {
            seated.leaving();
        }
        if self.grouped && self.consumer.close_queue().is_ok() {
            let deadline = Instant::now() + CLOSE_MAX;
            while !self.consumer.closed() && Instant::now() < deadline {
                self.poll(seated);
            }
        }
        if let Some(seated) = seated {
            seated.closed();
        }
    }
}

fn listed(at: &TopicPartition, offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&at.topic, native_partition(at), offset)?;
    Ok(list)
}

/// A partition as librdkafka numbers it; one that it can't number becomes one that it does not know.
pub(super) fn native_partition(at: &TopicPartition) -> i32 {
    i32::try_from(at.partition).unwrap_or(i32::MAX)
}

pub(super) fn native_offset(offset: u64) -> Offset {
    Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))
}
