//! What the processes run with, and what they leave behind.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::{Rng, rngs::StdRng};
use tripline::{
    alert::Alert,
    config::{Config, Filter, Format, Input, InputKind, Retry, Sink, SinkKind},
    log::{Log, LogError, RecordRef, Start, TopicPartition},
    notify::Receiver,
    stage::Topics,
};

use crate::properties::{Case, INPUTS};

/// Where delivered alerts go.
pub const TOLD: &str = "told";

pub fn topics() -> Topics {
    Topics::new("tripline")
}

/// Small batches and short intervals: a lot of places to crash at.
pub fn config(random: &mut StdRng, case: &Case) -> Config {
    let defaults = Config::default();
    let input = |name: &&str| Input {
        name: (*name).to_owned(),
        kind: InputKind::Http,
        format: Format::Json,
        lateness: Duration::from_secs(case.log.lateness as u64),
        idle_timeout: Duration::from_secs(30 * 24 * 3600),
        ..defaults.inputs[0].clone()
    };
    let mut config = Config { inputs: INPUTS.iter().map(input).collect(), ..defaults };
    let mut millis = |max: u64| Duration::from_millis(random.random_range(5..max));
    config.correlate.commit_interval = millis(60);
    config.detect.marker_interval = millis(60);
    config.detect.commit_interval = millis(90);
    config.detect.left_out_after = Duration::from_secs(1_000 * 24 * 3600);
    config.detect.batch_records_max = random.random_range(1..30);
    config.correlate.batch_records_max = random.random_range(1..30);
    config.correlate.partitions = random.random_range(1..4);
    config.local.events_partitions = case.partitions();
    config
}

/// Alerts go to a topic of the same log, over the same wire.
pub fn receiver(log: &Arc<dyn Log>) -> Receiver {
    let sink = Sink {
        name: TOLD.to_owned(),
        kind: SinkKind::Kafka { brokers: None, topic: TOLD.to_owned(), properties: BTreeMap::new() },
        filter: Filter::default(),
        timeout: Duration::from_secs(5),
        retry: Retry { attempts_max: 1_000, backoff_min: Duration::ZERO, backoff_max: Duration::ZERO },
    };
    Receiver::new(&sink, &|_, _| Ok::<_, LogError>(log.clone())).expect("a receiver")
}

/// Every alert of a topic.
pub async fn values(log: &dyn Log, topic: &str) -> Vec<Alert> {
    let mut values = Vec::new();
    for partition in 0..log.partitions(topic).await.expect("the topic is there") {
        let at = TopicPartition { topic: topic.to_owned(), partition };
        let mut reader = log.reader(&at, Start::Earliest).await.expect("the topic can be read");
        let visit = &mut |record: RecordRef<'_>| {
            values.push(serde_json::from_slice(record.value.unwrap_or_default()).expect("an alert"));
        };
        reader.drain(usize::MAX, visit).expect("the topic can be read");
    }
    values
}
