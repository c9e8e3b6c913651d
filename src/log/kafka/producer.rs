//! Appends records: in order for each partition, none dropped, answered when durable.
//!
//! librdkafka's queue is bounded. What does not fit waits here in order, and so does the caller, whose future resolves
//! only when its last record is durable; so the callers bound what waits.
//!
//! [`Queue`] is a librdkafka producer with what waits for it; [`Producer`] is the idempotent one of the process, with
//! its thread. The transactional ones are the transactor's.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig},
};
use tokio::sync::oneshot;

use super::{
    client::native_partition,
    context::{Trouble, lock, log_line},
    failure,
    properties::{self, Use},
    wake::Wake,
};
use crate::{
    config,
    log::{LogError, Record, TopicPartition},
};

/// How often the thread of a producer that has nothing to do looks whether it shall end.
const POLL: Duration = Duration::from_millis(50);
/// How long deliveries of what was purged are waited for.
const PURGE_POLL: Duration = Duration::from_millis(2);
/// Events that are passed on before records that wait get their turn.
const EVENTS_MAX: usize = 1_000;
/// How long a producer that is dropped goes on delivering.
const FLUSH_MAX: Duration = Duration::from_secs(5);

pub(super) struct Producer {
    queue: Arc<Queue>,
    closed: Arc<AtomicBool>,
}

/// A producer of librdkafka, and the records that wait for room in it. Somebody's thread has to call
/// [`Queue::turn`].
pub(super) struct Queue {
    // Before the producer: it is dropped first.
    wake: Wake,
    producer: BaseProducer<Deliveries>,
    /// In the order of the calls; while it is not empty, nothing overtakes it.
    waiting: Mutex<VecDeque<Waiting>>,
    /// `message.max.bytes`: of key and value together.
    bytes_max: usize,
}

/// Resolves when every record of a call is durable, with their offsets, or one can't be.
pub(super) type Appended = oneshot::Receiver<Result<Vec<u64>, LogError>>;

struct Waiting {
    record: Record,
    ticket: Box<Ticket>,
}

impl Producer {
    pub fn start(kafka: &config::Kafka) -> Result<Producer, LogError> {
        let queue = Arc::new(Queue::new(kafka, Use::Producer)?);
        let closed = Arc::new(AtomicBool::new(false));
        let (served, ending) = (queue.clone(), closed.clone());
        thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || served.serve(&ending))
            .map_err(|error| LogError::Broker(format!("no thread for the kafka producer: {error}")))?;
        Ok(Producer { queue, closed })
    }

    /// Queues the records now; the future resolves when all are durable, with their offsets.
    pub fn append(&self, records: Vec<Record>) -> impl Future<Output = Result<Vec<u64>, LogError>> + Send + 'static {
        let queued = self.queue.put(records);
        async { queued?.await.unwrap_or(Err(LogError::Closed)) }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl Queue {
    pub fn new(kafka: &config::Kafka, purpose: Use<'_>) -> Result<Queue, LogError> {
        let config = properties::client(kafka, purpose)?;
        let bytes_max = properties::effective(&config, "message.max.bytes")?.parse().unwrap_or(usize::MAX);
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::default()).map_err(|error| properties::explain(&error))?;
        let no_queue = || LogError::Broker("no queue for the kafka producer's deliveries".to_owned());
        let wake = Wake::of(producer.client()).ok_or_else(no_queue)?;
        Ok(Queue { wake, producer, waiting: Mutex::default(), bytes_max })
    }

    pub fn native(&self) -> &BaseProducer<Deliveries> {
        &self.producer
    }

    /// Queues the records now, or refuses all of them.
    pub fn put(&self, records: Vec<Record>) -> Result<Appended, LogError> {
        for record in &records {
            let bytes = record.key.as_ref().map_or(0, |key| key.len()) + record.value.as_ref().map_or(0, |v| v.len());
            if bytes > self.bytes_max {
                return Err(LogError::TooLarge { topic: record.topic.clone(), bytes, bytes_max: self.bytes_max });
            }
        }
        let (batch, answer) = Batch::new(records.len());
        // Held over the whole batch: calls from several threads keep their order in every partition.
        let mut waiting = lock(&self.waiting);
        for (index, record) in records.into_iter().enumerate() {
            waiting.push_back(Waiting { record, ticket: Box::new(Ticket { batch: batch.clone(), index }) });
        }
        self.send(&mut waiting);
        Ok(answer)
    }

    /// Hands waiting records to librdkafka while it has room.
    fn send(&self, waiting: &mut VecDeque<Waiting>) {
        while let Some(Waiting { record, ticket }) = waiting.pop_front() {
            let at = TopicPartition { topic: record.topic.clone(), partition: record.partition };
            let mut native = BaseRecord::with_opaque_to(&record.topic, ticket)
                .partition(native_partition(&at))
                .timestamp(record.timestamp_ms);
            native.key = record.key.as_deref();
            native.payload = record.value.as_deref();
            let Err((error, returned)) = self.producer.send(native) else { continue };
            let ticket = returned.delivery_opaque;
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => {
                    waiting.push_front(Waiting { record, ticket });
                    return;
                }
                Some(RDKafkaErrorCode::Fatal) => ticket.answer(Err(self.fatal())),
                Some(code) => ticket.answer(Err(failure::of_partition(&at, code))),
                None => ticket.answer(Err(failure::of_topic(&at.topic, &error))),
            }
        }
    }

    fn fatal(&self) -> LogError {
        let why = self.producer.client().fatal_error().map_or_else(|| "fatal error".to_owned(), |(_, why)| why);
        LogError::Refused(format!("the kafka producer can't go on and needs a new process: {why}"))
    }

    fn serve(&self, closed: &AtomicBool) {
        while !closed.load(Ordering::Acquire) {
            self.turn(POLL);
        }
        let deadline = Instant::now() + FLUSH_MAX;
        while self.is_busy() && Instant::now() < deadline {
            self.turn(POLL);
        }
        self.give_up();
    }

    /// Answers everything that is not durable yet with an error.
    pub fn give_up(&self) {
        lock(&self.waiting).drain(..).for_each(|waiting| waiting.ticket.answer(Err(LogError::Closed)));
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.producer.poll(PURGE_POLL);
    }

    /// Whether a record is not answered yet.
    pub fn is_busy(&self) -> bool {
        self.producer.in_flight_count() > 0 || !lock(&self.waiting).is_empty()
    }

    /// Passes on what there is to tell, waiting for it at most so long, and sends what has room then.
    pub fn turn(&self, most: Duration) {
        if self.wake.is_empty() {
            self.wake.wait(most);
        }
        for _ in 0..EVENTS_MAX {
            if self.wake.is_empty() {
                break;
            }
            self.producer.poll(Duration::ZERO);
        }
        let deliveries = self.producer.context();
        if deliveries.trouble.denied().is_some() {
            // Nothing of what is queued will be delivered; its callers hear the reason now, not at their time limit.
            self.producer.purge(PurgeConfig::default().queue());
            self.producer.poll(PURGE_POLL);
            deliveries.trouble.forget();
        }
        self.send(&mut lock(&self.waiting));
    }
}

/// The context of a producer: passes deliveries on to the callers.
#[derive(Default)]
pub(super) struct Deliveries {
    trouble: Trouble,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        ticket.answer(match delivered {
            Ok(message) => Ok(u64::try_from(message.offset()).unwrap_or(0)),
            Err((error, message)) => Err(self.undelivered(error, message)),
        });
    }
}

impl Deliveries {
    /// The newest trouble with the brokers.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.last()
    }

    fn undelivered(&self, error: &KafkaError, message: &impl Message) -> LogError {
        let topic = message.topic().to_owned();
        let at = TopicPartition { partition: u32::try_from(message.partition()).unwrap_or(0), topic };
        let told = |why: &str| format!("{}/{}: {why}", at.topic, at.partition);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge) => {
                LogError::Refused(told("the broker takes no record of this size: raise the topic's max.message.bytes"))
            }
            Some(RDKafkaErrorCode::PurgeQueue) => match self.trouble.denied() {
                Some(reason) => LogError::Refused(format!("the kafka brokers refuse us: {reason}")),
                None => LogError::Closed,
            },
            Some(RDKafkaErrorCode::PurgeInflight) => LogError::Closed,
            Some(RDKafkaErrorCode::MessageTimedOut) => {
                let why = self.trouble.last().unwrap_or_else(|| "no answer".to_owned());
                LogError::Broker(told(&format!("not acknowledged in time: {why}")))
            }
            Some(RDKafkaErrorCode::InvalidRecord) => LogError::Refused(told("the broker takes no such record")),
            Some(code) => failure::of_partition(&at, code),
            None => failure::of_topic(&at.topic, error),
        }
    }
}

/// One record's place in the answer to its caller.
pub(super) struct Ticket {
    batch: Arc<Batch>,
    index: usize,
}

impl Ticket {
    fn answer(&self, outcome: Result<u64, LogError>) {
        self.batch.note(self.index, outcome);
    }
}

/// The records of one call.
struct Batch {
    progress: Mutex<Progress>,
}

struct Progress {
    offsets: Vec<u64>,
    left: usize,
    error: Option<LogError>,
    answer: Option<oneshot::Sender<Result<Vec<u64>, LogError>>>,
}

impl Batch {
    fn new(records: usize) -> (Arc<Batch>, oneshot::Receiver<Result<Vec<u64>, LogError>>) {
        let (answer, answered) = oneshot::channel();
        let mut progress = Progress { offsets: vec![0; records], left: records, error: None, answer: Some(answer) };
        progress.finish();
        (Arc::new(Batch { progress: Mutex::new(progress) }), answered)
    }

    fn note(&self, index: usize, outcome: Result<u64, LogError>) {
        let mut progress = lock(&self.progress);
        match outcome {
            Ok(offset) => progress.offsets[index] = offset,
            Err(error) => drop(progress.error.get_or_insert(error)),
        }
        progress.left -= 1;
        progress.finish();
    }
}

impl Progress {
    /// Answers when no record is left; the caller may be gone.
    fn finish(&mut self) {
        if self.left == 0
            && let Some(answer) = self.answer.take()
        {
            let outcome = self.error.take().map_or_else(|| Ok(std::mem::take(&mut self.offsets)), Err);
            answer.send(outcome).ok();
        }
    }
}
