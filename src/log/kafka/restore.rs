//! Reads partitions outside any group: one at leisure, or a compacted one from its first record to its end.

use std::{sync::Arc, time::Duration};

use rdkafka::{TopicPartitionList, consumer::Consumer as _};
use tokio::time::timeout;

use super::{
    client::{self, native_offset, native_partition},
    context::Context,
    lane::Lane,
    probe::Probe,
    properties::Use,
    reader::KafkaReader,
};
use crate::{
    config,
    log::{Live, LogError, Reader as _, RecordRef, TopicPartition},
};

const DRAIN_MAX: usize = 4096;
/// How often a restore looks whether it has passed the end without another record, by the markers of transactions.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a restore bears to get no further. A dead writer's open transaction holds readers back until the broker
/// ends it, by default after 60 s.
const STANDSTILL_MAX: Duration = Duration::from_secs(75);

/// A reader with a client of its own, at `next`.
pub(super) async fn reader(
    kafka: &config::Kafka,
    probe: &Arc<Probe>,
    at: &TopicPartition,
    next: u64,
) -> Result<KafkaReader, LogError> {
    let (kafka, probe, at) = (kafka.clone(), probe.clone(), at.clone());
    let open = move || {
        let mut lane = None;
        // A group's name is asked for by librdkafka; no seat is taken in it and nothing is committed.
        let group = format!("{}-reader", kafka.group);
        let client = client::start(&kafka, Use::Group(&group), Context::default(), |client, consumer| {
            lane = Lane::new(&at, client, consumer, &probe);
            client::Start::Idle
        })?;
        let no_partition = || LogError::NoPartition { topic: at.topic.clone(), partition: at.partition };
        let lane = Arc::new(lane.ok_or_else(no_partition)?);
        let reader = KafkaReader::alone(lane.clone(), lane.open(next), client.clone());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&at.topic, native_partition(&at), native_offset(next))
            .and_then(|()| client.consumer().map(|consumer| consumer.incremental_assign(&list)).unwrap_or(Ok(())))
            .map_err(|error| LogError::Broker(format!("{}/{}: {error}", at.topic, at.partition)))?;
        Ok(reader)
    };
    tokio::task::spawn_blocking(open).await.map_err(|_| LogError::Closed)?
}

/// Every live key with its newest value, up to the end that the partition has when it is called. `progress` hears how
/// many offsets are read, and of how many.
pub(super) async fn compacted(
    kafka: &config::Kafka,
    probe: &Arc<Probe>,
    at: &TopicPartition,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Live, LogError> {
    let mut live = Live::default();
    let (first, end) = probe.offsets(at).await?;
    if first >= end {
        return Ok(live);
    }
    let mut reader = reader(kafka, probe, at, first).await?;
    let (mut next, mut stood) = (first, Duration::ZERO);
    while next < end {
        let drained = reader.drain(DRAIN_MAX, &mut |record| apply(&mut live, record))?;
        if drained.next > next {
            (next, stood) = (drained.next, Duration::ZERO);
            progress(next.min(end) - first, end - first);
            continue;
        }
        if stood > STANDSTILL_MAX {
            let TopicPartition { topic, partition } = at;
            return Err(LogError::Broker(format!(
                "{topic}/{partition}: nothing more to read at {next} of {end}; is a transaction open?"
            )));
        }
        match timeout(LOOK_AGAIN, reader.ready()).await {
            Ok(ready) => ready?,
            Err(_) => stood += LOOK_AGAIN,
        }
    }
    Ok(live)
}

fn apply(live: &mut Live, record: RecordRef<'_>) {
    if let Some(key) = record.key {
        live.apply(key, record.value);
    }
}
