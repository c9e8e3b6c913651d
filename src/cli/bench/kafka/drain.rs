//! What the way from the broker to signals costs, step by step: fetching alone, decoding, and the whole detect stage.

use std::{hint::black_box, sync::Arc, thread};

use anyhow::{Result, anyhow, ensure};
use tokio::sync::oneshot;

use super::{
    super::measure::{Figure, Measured, Row, median, rows},
    Bench, MATCHING, PARTITIONS, RATE,
    events::Events,
    feed::{Feed, Seat},
    ground::Ground,
    running::{Running, Spent, Stopwatch},
};
use crate::{
    config::{Config, Delivery},
    decode::{Decoder, Timing},
    log::Assignment,
    rule::Compiled,
};

const STEPS: [(Step, &str); 3] = [
    (Step::Fetch, "fetch only"),
    (Step::Decode, "fetch and decode"),
    (Step::Detect, "fetch, decode, match and signals out"),
];

#[derive(Debug, Clone, Copy)]
enum Step {
    Fetch,
    Decode,
    Detect,
}

pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let Bench { args, ground, events, .. } = *bench;
    let count = args.events;
    let feed = bench.feeds.get(bench, MATCHING, PARTITIONS).await?;
    let mut spent = STEPS.map(|_| Vec::with_capacity(args.rounds));
    for _ in 0..args.rounds {
        for ((step, _), spent) in STEPS.iter().zip(&mut spent) {
            spent.push(match step {
                Step::Fetch => drain(ground, &feed, None).await?,
                Step::Decode => drain(ground, &feed, Some(events.rules.compiled().clone())).await?,
                Step::Detect => detect(ground, events, &feed).await?,
            });
        }
    }
    let measured = STEPS.iter().zip(&spent).map(|((_, name), spent)| {
        let rate: Figure = (&RATE, median(spent.iter().map(|spent| count as f64 / spent.seconds)));
        Measured {
            name: (*name).to_owned(),
            times_us: spent.iter().map(|spent| spent.cpu_us).collect(),
            figures: vec![rate],
        }
    });
    Ok(rows("drain", count, measured.collect()))
}

/// Reads a topic as a detect line's reader does, a thread for each partition; decodes where there is something that
/// the rules want.
async fn drain(ground: &Ground, feed: &Feed, wanted: Option<Arc<Compiled>>) -> Result<Spent> {
    let config = Config::default();
    let Seat { member, partitions } = Seat::take(ground, &feed.topic).await?;
    let mut threads = Vec::new();
    for (assignment, end) in partitions.into_iter().zip(&feed.ends) {
        let decoder = wanted.as_ref().map(|compiled| decoder(&config, compiled)).transpose()?;
        let (ready, is_ready) = oneshot::channel();
        let (batch, end) = (config.detect.batch_records_max, *end);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let read = move || runtime.block_on(read(assignment, end, batch, decoder, ready));
        threads.push((is_ready, thread::spawn(read)));
    }
    let mut readers = Vec::new();
    for (is_ready, reader) in threads {
        // One that failed says why below.
        let _ = is_ready.await;
        readers.push(reader);
    }
    let stopwatch = Stopwatch::start();
    let all = tokio::task::spawn_blocking(move || {
        let died = |_| anyhow!("a reader died");
        readers.into_iter().try_fold(0, |all, reader| Ok::<_, anyhow::Error>(all + reader.join().map_err(died)??))
    });
    let read: u64 = all.await??;
    let spent = stopwatch.stop();
    member.leave().await;
    ensure!(read == feed.ends.iter().sum::<u64>(), "{read} events were read of {:?}", feed.ends);
    Ok(spent)
}

fn decoder(config: &Config, compiled: &Compiled) -> Result<Decoder> {
    let spec = config.inputs.first().map(|input| input.decode_spec()).unwrap_or_default();
    let mut decoder = Decoder::new(&spec, config.detect.decode_limits(), Timing::Live)?;
    decoder.want(&compiled.wanted);
    Ok(decoder)
}

/// Reads a partition from its beginning to `end`; says how many records it had.
async fn read(
    assignment: Assignment,
    end: u64,
    batch: usize,
    mut decoder: Option<Decoder>,
    ready: oneshot::Sender<()>,
) -> Result<u64> {
    let mut reader = assignment.reader;
    reader.seek(0).await?;
    // Nobody waits any more when another reader failed.
    let _ = ready.send(());
    let (mut next, mut read) = (0, 0);
    while next < end {
        reader.ready().await?;
        let drained = reader.drain(batch, &mut |record| {
            let bytes = record.value.unwrap_or_default();
            match &mut decoder {
                None => drop(black_box(bytes)),
                Some(decoder) => {
                    if let Ok(read) = decoder.read(bytes, Some(record.timestamp_ms)) {
                        black_box(decoder.view(&read));
                    }
                }
            }
        })?;
        next = drained.next;
        read += drained.records as u64;
    }
    Ok(read)
}

/// The detect stage, up to the last signal that is durable.
async fn detect(ground: &Ground, events: &Events, feed: &Feed) -> Result<Spent> {
    let config = ground.config(&feed.topic, Delivery::ExactlyOnce);
    let mut running = Running::new(ground, config.clone(), &events.rules)?;
    running.detect(feed.ends.len()).await?;
    let spent = running.through(feed, false).await?;
    ground.over(&config).await?;
    Ok(spent)
}
