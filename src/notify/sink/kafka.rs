//! A topic: one record for each alert, all records of one alert in one partition.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use xxhash_rust::xxh64::xxh64;

use super::Sink;
use crate::{
    alert::Alert,
    clock::Clock,
    log::{Cleanup, Log, LogError, Record, TopicSpec},
    notify::{error::Failure, render},
};

const BATCH_MAX: usize = 500;
/// What a topic gets that is not there yet.
const CREATED_PARTITIONS: u32 = 4;
const CREATED_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) struct Kafka {
    log: Arc<dyn Log>,
    topic: String,
    /// How many the topic has, once it is known to exist; asked again after a failure.
    partitions: Option<u32>,
}

impl Kafka {
    pub fn new(log: Arc<dyn Log>, topic: &str) -> Self {
        Kafka { log, topic: topic.to_owned(), partitions: None }
    }

    async fn append(&mut self, alerts: &[Alert]) -> Result<(), LogError> {
        let partitions = match self.partitions.take() {
            Some(partitions) => partitions,
            None => self.ensure().await?,
        };
        let now_ms = Clock::System.now_ms();
        let record = |alert: &Alert| Record {
            topic: self.topic.clone(),
            partition: partition_of(&alert.id, partitions),
            key: Some(Bytes::copy_from_slice(alert.id.as_bytes())),
            value: Some(render::json(alert).into()),
            timestamp_ms: now_ms,
        };
        self.log.append(alerts.iter().map(record).collect()).await?;
        self.partitions = Some(partitions);
        Ok(())
    }

    async fn ensure(&self) -> Result<u32, LogError> {
        let topic = TopicSpec {
            name: self.topic.clone(),
            partitions: CREATED_PARTITIONS,
            cleanup: Cleanup::Delete { age: Some(CREATED_RETENTION), bytes: None },
            fixed: false,
        };
        self.log.ensure(&[topic]).await?;
        self.log.partitions(&self.topic).await
    }
}

impl Sink for Kafka {
    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), Failure>> {
        async move { self.append(alerts).await.map_err(|error| failure(&self.topic, &error)) }.boxed()
    }
}

/// By the id, so that `closed` follows `opened` in one partition.
fn partition_of(id: &str, partitions: u32) -> u32 {
    let partitions = u64::from(partitions.max(1));
    u32::try_from(xxh64(id.as_bytes(), 0) % partitions).expect("a remainder of a u32")
}

/// A topic that is missing is ensured at the next attempt, and a log that closes does so because the process stops:
/// neither says anything about the alert.
fn failure(topic: &str, error: &LogError) -> Failure {
    let reason = format!("topic {topic}: {error}");
    let passing = matches!(error, LogError::NoTopic(_) | LogError::NoPartition { .. } | LogError::Closed);
    if passing || error.is_transient() { Failure::passing(reason) } else { Failure::refused(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_the_ids_hash() {
        // XXH64 of "a" with seed 0 is d24ec4f1a98c6e5b (the algorithm's published test values).
        assert_eq!(partition_of("a", 32), 0x1b);
        assert_eq!(partition_of("a", 1), 0);
    }

    #[test]
    fn a_closing_log_refuses_nothing() {
        assert!(matches!(failure("t", &LogError::Closed), Failure::Passing { .. }));
        assert!(matches!(failure("t", &LogError::Fenced("x".into())), Failure::Refused { .. }));
    }
}
