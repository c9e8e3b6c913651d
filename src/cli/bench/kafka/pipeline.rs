//! The whole pipeline, detect and correlate, over topics of events that are written before it begins: exactly-once
//! against at-least-once, with few matches and many, over one partition and several.

use std::{collections::BTreeSet, rc::Rc};

use anyhow::{Result, ensure};

use super::{
    super::measure::{Figure, Measured, Row, median, rows},
    ALERTS, Bench, MATCHING, PARTITIONS, RATE, RATE_RATIO, SIGNALS,
    feed::{Feed, read_all},
    running::{Running, Spent},
};
use crate::{config::Delivery, detect::SignalRecord};

/// What a run of the pipeline used and left.
struct Passed {
    spent: Spent,
    signals: usize,
    alerts: usize,
}

/// One of the things that are compared.
struct Variant {
    name: String,
    feed: Rc<Feed>,
    delivery: Delivery,
}

pub async fn deliveries(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut variants = Vec::new();
    for (name, delivery) in [("at least once", Delivery::AtLeastOnce), ("exactly once", Delivery::ExactlyOnce)] {
        let feed = bench.feeds.get(bench, MATCHING, PARTITIONS).await?;
        variants.push(Variant { name: name.to_owned(), feed, delivery });
    }
    compare(bench, "delivery", variants).await
}

pub async fn hop(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut variants = Vec::new();
    for (name, per_mille) in [("0.1 %", 1), ("1 %", 10), ("10 %", 100)] {
        let feed = bench.feeds.get(bench, per_mille, PARTITIONS).await?;
        variants.push(Variant { name: format!("{name} match"), feed, delivery: Delivery::ExactlyOnce });
    }
    compare(bench, "hop", variants).await
}

pub async fn scale(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut variants = Vec::new();
    for (name, partitions) in [("1 partition", 1), ("2 partitions", 2), ("4 partitions", 4)] {
        let feed = bench.feeds.get(bench, MATCHING, partitions).await?;
        variants.push(Variant { name: name.to_owned(), feed, delivery: Delivery::ExactlyOnce });
    }
    compare(bench, "scale", variants).await
}

/// Runs all by turns; the first one is the baseline.
async fn compare(bench: &Bench<'_>, group: &str, variants: Vec<Variant>) -> Result<Vec<Row>> {
    let mut rounds = Vec::with_capacity(bench.args.rounds);
    for _ in 0..bench.args.rounds {
        let mut round = Vec::with_capacity(variants.len());
        for variant in &variants {
            round.push(pass(bench, variant).await?);
        }
        rounds.push(round);
    }
    let measured = variants.iter().enumerate().map(|(at, variant)| {
        let rate = |passed: &Passed| variant.feed.plan.events as f64 / passed.spent.seconds;
        let figures: Vec<Figure> = vec![
            (&RATE, median(rounds.iter().map(|round| rate(&round[at])))),
            (&RATE_RATIO, median(rounds.iter().map(|round| rate(&round[at]) / rate(&round[0])))),
            (&SIGNALS, rounds[0][at].signals as f64),
            (&ALERTS, rounds[0][at].alerts as f64),
        ];
        let times_us = rounds.iter().map(|round| round[at].spent.cpu_us).collect();
        Measured { name: variant.name.clone(), times_us, figures }
    });
    Ok(rows(group, bench.args.events, measured.collect()))
}

/// The stages over a topic, from the moment in which they are about to read to the commit of the last alert.
async fn pass(bench: &Bench<'_>, variant: &Variant) -> Result<Passed> {
    let Bench { ground, events, .. } = bench;
    let feed = &variant.feed;
    let config = ground.config(&feed.topic, variant.delivery);
    let mut running = Running::new(ground, config.clone(), &events.rules)?;
    let topics = running.topics();
    running.correlate().await?;
    running.detect(feed.ends.len()).await?;
    let spent = running.through(feed, true).await?;
    ground.drain().await;
    let (mut signals, mut alerts) = (0, BTreeSet::new());
    read_all(ground, &topics.signals, |record| {
        let decoded = record.value.map(SignalRecord::decode);
        signals += usize::from(matches!(decoded, Some(Ok(SignalRecord::Signal(_)))));
    })
    .await?;
    read_all(ground, &topics.alerts, |record| {
        alerts.extend(record.key.map(<[u8]>::to_vec));
    })
    .await?;
    let (singles, windows) = feed.plan.alerts();
    ensure!(
        (signals, alerts.len()) == (feed.plan.signals(), singles + windows),
        "{}: {signals} signals and {} alerts, where {} and {} were planted",
        variant.name,
        alerts.len(),
        feed.plan.signals(),
        singles + windows
    );
    ground.over(&config).await?;
    Ok(Passed { spent, signals, alerts: alerts.len() })
}
