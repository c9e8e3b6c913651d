//! Reads partitions outside any group: one at leisure, or a compacted one from its first record to its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{TopicPartitionList, consumer::Consumer as _};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    client::{self, native_offset, native_partition},
    context::Context,
    lane::Lane,
    probe::{ANSWER_MAX, Probe},
    properties::Use,
    reader::KafkaReader,
};
use crate::{
    config,
    log::{HeadStart, Live, LogError, Progress, Reader as _, TopicPartition},
};

const DRAIN_MAX: usize = 4096;
/// How often a restore looks whether it has passed the end without another record, by the markers of transactions.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a restore bears to get no further. A dead writer's open transaction holds readers back until the broker
/// ends it, by default after 60 s.
const STANDSTILL_MAX: Duration = Duration::from_secs(75);
/// A restore that gets no further asks why, says so, and does it again after as long.
const STANDSTILL_SAID: Duration = Duration::from_secs(5);

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

/// A reader as above, or an error: a client that can't be had must not hold its line up for ever.
async fn reader_soon(
    kafka: &config::Kafka,
    probe: &Arc<Probe>,
    at: &TopicPartition,
    next: u64,
) -> Result<KafkaReader, LogError> {
    let TopicPartition { topic, partition } = at;
    let late = |_| LogError::Broker(format!("{topic}/{partition}: no reader was to be had in {ANSWER_MAX:?}"));
    timeout(ANSWER_MAX, reader(kafka, probe, at, next)).await.map_err(late)?
}

/// Every live key with its newest value, up to the end that the partition has when it is called: what `ahead` knows, and
/// what is read from there on. `progress` hears how many offsets are read, and of how many; at once, and whenever there
/// are more.
pub(super) async fn compacted(
    kafka: &config::Kafka,
    probe: &Arc<Probe>,
    at: &TopicPartition,
    ahead: HeadStart,
    progress: Progress<'_>,
) -> Result<Live, LogError> {
    let (first, end) = probe.offsets(at).await?;
    let HeadStart { mut live, next: mut from } = ahead;
    if !(first..=end).contains(&from) {
        // Of a log that is no more: its beginning is gone, or the topic was made anew. Or there is no head start.
        if !live.is_empty() {
            warn!(topic = at.topic, partition = at.partition, next = from, first, end, "what was followed is not here");
        }
        (live, from) = (Live::default(), first);
    }
    progress(0, end - from);
    if from == end {
        return Ok(live);
    }
    let mut reader = reader_soon(kafka, probe, at, from).await?;
    let mut standstill = Standstill::at(from);
    while standstill.next < end {
        let drained = reader.drain(DRAIN_MAX, &mut |record| live.take(record))?;
        if drained.next > standstill.next {
            standstill.over(at);
            standstill = Standstill::at(drained.next);
            progress(drained.next.min(end) - from, end - from);
            continue;
        }
        if standstill.since.elapsed() > STANDSTILL_MAX {
            return Err(standstill.given_up(at, end));
        }
        if standstill.is_to_be_said() && standstill.look(&reader, probe, at, end).await {
            reader = reader_soon(kafka, probe, at, standstill.next).await?;
        }
        // Not within the short time below, which would begin it again and again.
        reader.settle().await?;
        if let Ok(ready) = timeout(LOOK_AGAIN, reader.ready()).await {
            ready?;
        }
    }
    Ok(live)
}

/// A place that a restore does not get beyond.
struct Standstill {
    next: u64,
    since: Instant,
    said: u32,
    /// What the brokers said last, in words.
    why: String,
}

impl Standstill {
    fn at(next: u64) -> Standstill {
        Standstill { next, since: Instant::now(), said: 0, why: "not asked yet".to_owned() }
    }

    fn is_to_be_said(&self) -> bool {
        self.since.elapsed() > STANDSTILL_SAID * (self.said + 1)
    }

    /// Asks the brokers why there is nothing to read, and says what is known. `true` when there is something: then it is
    /// the reader that does not go on.
    async fn look(&mut self, reader: &KafkaReader, probe: &Probe, at: &TopicPartition, end: u64) -> bool {
        self.said += 1;
        let (stable, written) = (reader.stable_end().await, probe.offsets(at).await);
        let is_readable = matches!(&stable, Ok(stable) if *stable > self.next);
        self.why = match (&stable, &written) {
            (Err(error), _) | (_, Err(error)) => error.to_string(),
            _ if is_readable => {
                "there is more to read, and the reader does not get it: another one is begun".to_owned()
            }
            _ => "a transaction that is open holds back what comes after it".to_owned(),
        };
        warn!(
            topic = at.topic,
            partition = at.partition,
            next = self.next,
            of = end,
            last_stable = stable.ok(),
            high_watermark = written.ok().map(|(_, high)| high),
            millis = self.since.elapsed().as_millis() as u64,
            why = self.why,
            "restore stands still"
        );
        is_readable
    }

    /// It went on.
    fn over(&self, at: &TopicPartition) {
        if self.said > 0 {
            let millis = self.since.elapsed().as_millis() as u64;
            info!(topic = at.topic, partition = at.partition, next = self.next, millis, "restore goes on");
        }
    }

    fn given_up(&self, at: &TopicPartition, end: u64) -> LogError {
        let (TopicPartition { topic, partition }, Standstill { next, why, .. }) = (at, self);
        LogError::Broker(format!("{topic}/{partition}: nothing more to read at {next} of {end}: {why}"))
    }
}
