//! What librdkafka tells its clients: log lines, errors, rebalances. Kept here for the threads that act on them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};
use tracing::{debug, error, info, warn};

use crate::log::TopicPartition;

/// A consumer of ours.
pub(super) type Consumer = BaseConsumer<Context>;

/// Takes a lock whatever happened to the thread that held it last: what our locks guard is whole between statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is wrong with the connections of a client.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    denied: Option<String>,
    last: Option<String>,
}

impl Trouble {
    pub fn note(&self, error: &KafkaError, reason: &str) {
        let mut state = lock(&self.state);
        match error.rdkafka_error_code() {
            // Says only that the errors before it concern every broker.
            Some(RDKafkaErrorCode::AllBrokersDown) if state.last.is_some() => return,
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                state.denied = Some(reason.to_owned());
            }
            _ => {}
        }
        state.last = Some(reason.to_owned());
    }

    /// The brokers' refusal of our credentials since the last [`Trouble::forget`].
    pub fn denied(&self) -> Option<String> {
        lock(&self.state).denied.clone()
    }

    /// The newest trouble of any kind.
    pub fn last(&self) -> Option<String> {
        lock(&self.state).last.clone()
    }

    /// From here on only new trouble counts.
    pub fn forget(&self) {
        *lock(&self.state) = State::default();
    }
}

/// One step of a rebalance, to be answered by the thread that polls.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
}

/// The context of consumers. A rebalance is only noted: librdkafka waits until the partitions are assigned or
/// unassigned, and the polling thread does that right after the poll, where it holds the client.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub trouble: Arc<Trouble>,
    rebalances: Mutex<VecDeque<Rebalance>>,
}

impl Context {
    pub fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
        debug!(%error, reason, "kafka client error");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, _: &BaseConsumer<Self>, step: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let partitions = listed(partitions);
        lock(&self.rebalances).push_back(match step {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(partitions),
            _ => Rebalance::Revoke(partitions),
        });
    }
}

fn listed(partitions: &TopicPartitionList) -> Vec<TopicPartition> {
    let at = |topic: &str, partition: i32| {
        let partition = u32::try_from(partition).ok()?;
        Some(TopicPartition { topic: topic.to_owned(), partition })
    };
    partitions.elements().iter().filter_map(|element| at(element.topic(), element.partition())).collect()
}

/// librdkafka's log in ours. Its note that a consumer's property does nothing for a producer is by design here: the
/// operator's properties go to every client.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    if facility == "CONFWARN" && line.contains("will be ignored by this") {
        debug!(target: "librdkafka", facility, "{line}");
        return;
    }
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            error!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => info!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Debug => debug!(target: "librdkafka", facility, "{line}"),
    }
}
