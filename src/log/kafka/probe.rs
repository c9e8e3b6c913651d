//! Asks the brokers: which topics there are, where a partition begins and ends. Its answers are never from a cache.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::Consumer as _,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::{
    client::{self, Client, native_partition},
    context::{Consumer, Context, Trouble},
    failure,
    properties::Use,
};
use crate::{
    config,
    log::{LogError, TopicPartition},
};

/// How long the brokers may take to answer before that is an error.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(15);
/// One try of it; in between, a refusal of our credentials ends the waiting.
const TRY_MAX: Duration = Duration::from_secs(1);
const TRY_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Probe {
    client: Client,
    trouble: Arc<Trouble>,
    brokers: String,
}

impl Probe {
    pub fn start(kafka: &config::Kafka) -> Result<Probe, LogError> {
        let context = Context::default();
        let trouble = context.trouble.clone();
        let client = client::start(kafka, Use::Probe, context, |_, _| client::Start::Idle)?;
        Ok(Probe { client, trouble, brokers: kafka.brokers.clone() })
    }

    /// The number of partitions, `None` when there is no such topic.
    pub async fn partitions(self: &Arc<Self>, topic: &str) -> Result<Option<u32>, LogError> {
        let name = topic.to_owned();
        let ask = move |consumer: &Consumer, wait| {
            let metadata = consumer.fetch_metadata(Some(&name), wait)?;
            let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(None) };
            match topic.error().map(RDKafkaErrorCode::from) {
                None => Ok(Some(u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX))),
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
                Some(code) => Err(KafkaError::MetadataFetch(code)),
            }
        };
        self.on_blocking_thread(ask).await?.map_err(|error| self.failed(topic, &error))
    }

    /// Whether every partition of a topic has a leader.
    pub async fn is_led(self: &Arc<Self>, topic: &str) -> Result<bool, LogError> {
        let name = topic.to_owned();
        let ask = move |consumer: &Consumer, wait| {
            let metadata = consumer.fetch_metadata(Some(&name), wait)?;
            Ok(metadata.topics().iter().any(|topic| {
                let led = |partition: &rdkafka::metadata::MetadataPartition| partition.leader() >= 0;
                topic.error().is_none() && !topic.partitions().is_empty() && topic.partitions().iter().all(led)
            }))
        };
        self.on_blocking_thread(ask).await?.map_err(|error| self.failed(topic, &error))
    }

    /// (first offset still there, next offset to be written), open transactions included.
    pub async fn offsets(&self, at: &TopicPartition) -> Result<(u64, u64), LogError> {
        self.offsets_for(&self.client, at).await
    }

    /// The same as another client sees it: one that reads committed records sees the end before open transactions.
    pub async fn offsets_for(&self, client: &Client, at: &TopicPartition) -> Result<(u64, u64), LogError> {
        let (consumer, trouble, asked) = (client.consumer()?, self.trouble.clone(), at.clone());
        let answer = tokio::task::spawn_blocking(move || patiently(&consumer, &trouble, watermarks(&asked))).await;
        answer.map_err(|_| LogError::Closed)?.map_err(|error| self.failed_at(at, &error))
    }

    /// [`Probe::offsets`] for a thread that may block.
    pub fn offsets_blocking(&self, at: &TopicPartition) -> Result<(u64, u64), LogError> {
        let consumer = self.client.consumer()?;
        patiently(&consumer, &self.trouble, watermarks(at)).map_err(|error| self.failed_at(at, &error))
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        ask: impl Fn(&Consumer, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> Result<KafkaResult<T>, LogError> {
        let (consumer, trouble) = (self.client.consumer()?, self.trouble.clone());
        let answer = tokio::task::spawn_blocking(move || patiently(&consumer, &trouble, ask)).await;
        answer.map_err(|_| LogError::Closed)
    }

    fn failed(&self, topic: &str, error: &KafkaError) -> LogError {
        self.unanswered(error).unwrap_or_else(|| failure::of_topic(topic, error))
    }

    fn failed_at(&self, at: &TopicPartition, error: &KafkaError) -> LogError {
        self.unanswered(error).unwrap_or_else(|| match error.rdkafka_error_code() {
            Some(code) => failure::of_partition(at, code),
            None => failure::of_topic(&at.topic, error),
        })
    }

    /// What kept the brokers from answering at all, if that is what happened.
    pub fn unanswered(&self, error: &KafkaError) -> Option<LogError> {
        if let Some(reason) = self.trouble.denied() {
            return Some(LogError::Refused(format!("the kafka brokers {} refuse us: {reason}", self.brokers)));
        }
        let code = error.rdkafka_error_code()?;
        failure::is_passing(code).then(|| {
            let reason = self.trouble.last().unwrap_or_else(|| code.to_string());
            LogError::Broker(format!("the kafka brokers {} do not answer: {reason}", self.brokers))
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.client.close_later();
    }
}

fn watermarks(at: &TopicPartition) -> impl Fn(&Consumer, Duration) -> KafkaResult<(u64, u64)> + Send + 'static {
    let at = at.clone();
    move |consumer, wait| {
        let (first, end) = consumer.fetch_watermarks(&at.topic, native_partition(&at), wait)?;
        Ok((u64::try_from(first).unwrap_or(0), u64::try_from(end).unwrap_or(0)))
    }
}

/// Asks until there is an answer, the brokers refuse us, or [`ANSWER_MAX`] is over. Blocks.
fn patiently<T>(
    consumer: &Consumer,
    trouble: &Trouble,
    ask: impl Fn(&Consumer, Duration) -> KafkaResult<T>,
) -> KafkaResult<T> {
    trouble.forget();
    let deadline = Instant::now() + ANSWER_MAX;
    loop {
        match ask(consumer, TRY_MAX) {
            Err(error)
                if error.rdkafka_error_code().is_some_and(failure::is_passing)
                    && trouble.denied().is_none()
                    && Instant::now() < deadline =>
            {
                thread::sleep(TRY_PAUSE);
            }
            answer => return answer,
        }
    }
}
