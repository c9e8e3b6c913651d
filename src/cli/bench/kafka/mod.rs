//! `tripline bench kafka`: the stages on a broker, from the events topic to alerts that a `read_committed` consumer sees.
//!
//! Every topic and every group is the bench's own, under a prefix that nobody else has, and is removed at the end,
//! whatever the end. The stages run in this process, as `tripline run` runs them. CPU time is that of the whole process,
//! librdkafka's threads included, while nothing else is done in it, less what watching takes; the broker's is not in it.

mod drain;
mod events;
mod feed;
mod ground;
mod latency;
mod pipeline;
mod restore;
mod running;

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

use self::{events::Events, feed::Feeds, ground::Ground};
use super::measure::{Column, Report};
use crate::{
    cli::{
        args::{BenchKafkaArgs, KafkaPart},
        output::tell,
        server,
    },
    config::Config,
    telemetry,
};

/// Partitions of the events topics, but where their number is what is measured.
const PARTITIONS: u32 = 2;

/// Of a thousand events, so many match, but where that is what is measured.
const MATCHING: usize = 10;

/// By the clock on the wall, with the broker on the same machine or where else it is.
static RATE: Column = Column { key: "events_per_s", head: "events/s", digits: 0 };

/// To the baseline's rate, median of each round's.
static RATE_RATIO: Column = Column { key: "rate_ratio", head: "rate ratio", digits: 3 };

/// Signals in their topic at the end.
static SIGNALS: Column = Column { key: "signals", head: "signals", digits: 0 };

/// Alerts in their topic at the end, read committed.
static ALERTS: Column = Column { key: "alerts", head: "alerts", digits: 0 };

/// By the clock on the wall.
static SECONDS: Column = Column { key: "seconds", head: "seconds", digits: 3 };

/// From an event's time to the moment in which a reader has its alert: half of the alerts were sooner.
static P50: Column = Column { key: "p50_ms", head: "p50 ms", digits: 1 };

/// The same for 99 of 100.
static P99: Column = Column { key: "p99_ms", head: "p99 ms", digits: 1 };

/// The columns of the table.
pub static COLUMNS: [&Column; 7] = [&RATE, &RATE_RATIO, &SIGNALS, &ALERTS, &SECONDS, &P50, &P99];

pub fn run(args: &BenchKafkaArgs, report: &mut Report) -> Result<()> {
    let mut logging = Config::default().logging;
    logging.level = "warn".parse()?;
    telemetry::log::init(&logging);
    server::block_on(measure(args, report))
}

/// What every part is given.
struct Bench<'a> {
    args: &'a BenchKafkaArgs,
    ground: &'a Ground,
    events: &'a Events,
    feeds: &'a Feeds,
}

async fn measure(args: &BenchKafkaArgs, report: &mut Report) -> Result<()> {
    let events = Events::new(args.rule_count, args.seed)?;
    let ground = Ground::open(&args.bootstrap)?;
    let feeds = Feeds::default();
    let bench = Bench { args, ground: &ground, events: &events, feeds: &feeds };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let outcome = tokio::select! {
        outcome = parts(&bench, report) => outcome,
        _ = terminate.recv() => Err(anyhow!("interrupted")),
        _ = interrupt.recv() => Err(anyhow!("interrupted")),
    };
    if let Err(error) = ground.clear().await {
        tell(format_args!("error: {error:#}"));
        tell(format_args!("topics or groups whose names begin with {} are left on the brokers", ground.prefix()));
    }
    outcome
}

async fn parts(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    tell(bench.ground.settings());
    let only = &bench.args.only;
    for part in KafkaPart::value_variants().iter().filter(|part| only.is_empty() || only.contains(part)) {
        let rows = match part {
            KafkaPart::Drain => drain::measure(bench).await?,
            KafkaPart::ExactlyOnce => pipeline::deliveries(bench).await?,
            KafkaPart::Hop => pipeline::hop(bench).await?,
            KafkaPart::Scale => pipeline::scale(bench).await?,
            KafkaPart::Restore => restore::measure(bench).await?,
            KafkaPart::Latency => latency::measure(bench).await?,
        };
        bench.feeds.part_is_over(bench.ground).await?;
        report.rows(&rows)?;
    }
    Ok(())
}
