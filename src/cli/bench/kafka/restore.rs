//! How long it takes until a process that takes signals partitions over goes on: the state of many keys from its
//! changelog.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use super::{
    super::measure::{Measured, Row, rows},
    Bench, PARTITIONS, SECONDS,
    events::Plan,
    feed::Feed,
    running::{Running, Spent, Stopwatch},
};
use crate::{
    config::Delivery,
    log::{HeadStart, Log, TopicPartition, kafka::KafkaLog},
    stage::Stages,
    telemetry::{SignalsStatus, Status},
};

/// Each key has one signal in its window. The stages make the state; what restores it has never seen it.
pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let Bench { args, ground, events, .. } = *bench;
    let keys = args.keys;
    let plan = Plan { events: keys, per_mille: 1_000, cycle: 0 };
    let feed = Feed::write(ground, events, plan, "restore", PARTITIONS).await?;
    let config = ground.config(&feed.topic, Delivery::ExactlyOnce);
    let mut first = Running::new(ground, config.clone(), &events.rules)?;
    let state = first.topics().state;
    first.correlate().await?;
    first.detect(feed.ends.len()).await?;
    first.until("every key has a window", |status| held(status) == (keys as u64, 0)).await?;
    ground.drain().await;

    let read = read(ground.log(), &state, config.correlate.partitions, keys).await?;
    let mut second = Running::new(ground, config.clone(), &events.rules)?;
    let resumed = resume(&mut second, keys).await?;
    ground.over(&config).await?;
    ground.remove(&[feed.topic]).await?;
    let row = |name: &str, spent: Spent| Measured {
        name: name.to_owned(),
        times_us: vec![spent.cpu_us],
        figures: vec![(&SECONDS, spent.seconds)],
    };
    Ok(rows("restore", keys, vec![row("changelog read", read), row("every line reads on", resumed)]))
}

/// (keys that have state, signals that wait for time to pass them)
fn held(status: &Status) -> (u64, u64) {
    let sum = |count: fn(&SignalsStatus) -> u64| status.signals.iter().map(count).sum::<u64>();
    (sum(|signals| signals.keys), sum(|signals| signals.buffered))
}

/// Reads the changelogs of all partitions, and does nothing with them.
async fn read(log: &KafkaLog, state: &str, partitions: u32, keys: usize) -> Result<Spent> {
    let partitions = (0..partitions).map(|partition| TopicPartition { topic: state.to_owned(), partition });
    let partitions: Vec<TopicPartition> = partitions.collect();
    let stopwatch = Stopwatch::start();
    let restored = try_join_all(partitions.iter().map(|at| log.restore(at, HeadStart::default(), &|_, _| {}))).await?;
    let spent = stopwatch.stop();
    let records = restored.iter().map(|records| records.len()).sum::<usize>();
    ensure!(records >= keys, "the changelog has {records} records of {keys} keys");
    Ok(spent)
}

/// From the moment in which the first line has its partition to the one in which the last line reads on.
async fn resume(running: &mut Running<'_>, keys: usize) -> Result<Spent> {
    running.start(Stages { detect: false, correlate: true, notify: false }).await?;
    running.until("correlate has a partition", |status| !status.lines.is_empty()).await?;
    let spent = running.correlates().await?;
    let (restored, _) = held(&running.status());
    ensure!(restored == keys as u64, "{restored} keys were restored of {keys}");
    Ok(spent)
}
