//! How long it takes from an event to the moment in which a `read_committed` reader has its alert, at half the rate
//! that producer, broker, stages and reader sustain together here, or at a given one.
//!
//! An event's time is when it was due to be written: what a stalled producer holds back counts. The CPU time is the
//! producer's and the reader's too.

use std::{
    collections::VecDeque,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use tokio::{
    sync::oneshot,
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use super::{
    super::measure::{Column, Measured, Row, rows},
    ALERTS, Bench, P50, P99, PARTITIONS, RATE,
    events::{Events, Plan, SINGLE, WINDOW},
    feed::{Seat, record},
    ground::{Ground, LATENESS},
    running::{Running, Spent, Stopwatch},
};
use crate::{
    clock::Clock,
    config::{Config, Delivery},
    event::Timestamp,
    log::{Assignment, Log, LogError},
};

/// Of a thousand events so many are signals, in cycles of one alert of each rule.
const MATCHING: usize = 50;
const CYCLE: usize = 11;

/// From one look at what is due to the next.
const TICK: Duration = Duration::from_millis(2);

/// Events of one append at most, and appends under way.
const APPEND_RECORDS: usize = 2_000;
const APPENDS: usize = 4;

/// This part of a run goes by before its alerts count.
const WARM_UP: f64 = 0.1;

/// How long the next alert may take, once all events are written.
const NEXT_MAX: Duration = Duration::from_secs(60);

static LATENESS_MS: Column = Column { key: "lateness_ms", head: "lateness", digits: 0 };
static MARKER_INTERVAL_MS: Column = Column { key: "marker_interval_ms", head: "markers", digits: 0 };
static COMMIT_INTERVAL_MS: Column = Column { key: "commit_interval_ms", head: "commits", digits: 0 };

pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let Bench { args, ground, events, .. } = *bench;
    let count = args.events;
    let plan = Plan { events: count, per_mille: MATCHING, cycle: CYCLE };
    let rate = match args.rate {
        Some(rate) => rate as f64,
        None => count as f64 / live(ground, events, plan, f64::INFINITY).await?.spent.seconds / 2.0,
    };
    let paced = live(ground, events, plan, rate).await?;
    let config = Config::default();
    let row = |name: &str, id: &str| {
        let mut waits: Vec<f64> = paced.counted(id).map(|alert| alert.waited.as_secs_f64() * 1e3).collect();
        waits.sort_by(f64::total_cmp);
        Measured {
            name: name.to_owned(),
            times_us: vec![paced.spent.cpu_us],
            figures: vec![
                (&RATE, rate),
                (&ALERTS, waits.len() as f64),
                (&P50, quantile(&waits, 0.5)),
                (&P99, quantile(&waits, 0.99)),
                (&LATENESS_MS, LATENESS.as_secs_f64() * 1e3),
                (&MARKER_INTERVAL_MS, config.detect.marker_interval.as_secs_f64() * 1e3),
                (&COMMIT_INTERVAL_MS, config.correlate.commit_interval.as_secs_f64() * 1e3),
            ],
        }
    };
    Ok(rows("latency", count, vec![row("single-event rules", SINGLE), row("windowed rules", WINDOW)]))
}

/// Of sorted values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// What a live run gave.
struct Lived {
    /// From the first event to the last alert of the rule that waits for nothing.
    spent: Spent,
    began: Timestamp,
    took: Duration,
    alerts: Vec<Seen>,
}

/// An alert as its reader saw it.
struct Seen {
    rule: String,
    time: Timestamp,
    waited: Duration,
}

impl Lived {
    /// Without those of the beginning.
    fn counted(&self, id: &str) -> impl Iterator<Item = &Seen> {
        let from = self.began.plus(self.took.mul_f64(WARM_UP));
        self.alerts.iter().filter(move |alert| alert.rule == id && alert.time >= from)
    }
}

/// The time by the wall clock that was read once, and goes on evenly from there.
#[derive(Clone, Copy)]
struct Origin(Timestamp, Instant);

impl Origin {
    fn now(self) -> Timestamp {
        self.0.plus(self.1.elapsed())
    }
}

/// Writes a plan's events at a rate, into stages that wait for them; reads the alerts meanwhile.
async fn live(ground: &Ground, events: &Events, plan: Plan, rate: f64) -> Result<Lived> {
    let name = if rate.is_finite() { "paced" } else { "flat-out" };
    let topic = ground.events_topic(name, PARTITIONS).await?;
    let config = ground.config(&topic, Delivery::ExactlyOnce);
    let mut running = Running::new(ground, config.clone(), &events.rules)?;
    running.correlate().await?;
    running.detect(PARTITIONS as usize).await?;
    let seat = Seat::take(ground, &running.topics().alerts).await?;
    let origin = Origin(Timestamp::from_millis(Clock::System.now_ms()), Instant::now());
    let reader = AlertReader::start(seat, origin)?;
    let (singles, windows) = plan.alerts();
    let began = origin.now();
    let stopwatch = Stopwatch::start();
    let mut producer = Producer { ground, events, topic: &topic, plan, origin, written: 0 };
    producer.write(plan.events, began, rate).await?;
    let took = origin.now().since(began);
    // Time goes on until the last window has been looked at.
    let mut alerts = Vec::new();
    let quiet_rate = if rate.is_finite() { rate } else { 1.0 / TICK.as_secs_f64() };
    let mut spent = None;
    let (mut came, mut came_at) = (0, Instant::now());
    while alerts.len() < singles + windows {
        ensure!(came_at.elapsed() < NEXT_MAX, "{came} alerts came of {}", singles + windows);
        let more = (quiet_rate * TICK.as_secs_f64()).ceil() as usize;
        producer.write(more, origin.now(), quiet_rate).await?;
        alerts.extend(reader.alerts.try_iter());
        if alerts.len() > came {
            (came, came_at) = (alerts.len(), Instant::now());
        }
        if spent.is_none() && alerts.iter().filter(|alert: &&Seen| alert.rule == SINGLE).count() == singles {
            spent = Some(stopwatch.stop());
        }
    }
    reader.stop().await?;
    ground.over(&config).await?;
    let spent = spent.unwrap_or_else(|| stopwatch.stop());
    Ok(Lived { spent, began, took, alerts })
}

struct Producer<'a> {
    ground: &'a Ground,
    events: &'a Events,
    topic: &'a str,
    plan: Plan,
    origin: Origin,
    written: usize,
}

impl Producer<'_> {
    /// Writes `count` events of which the first is due at `from`, and the others at `rate` a second.
    async fn write(&mut self, count: usize, from: Timestamp, rate: f64) -> Result<()> {
        let first = self.written;
        let due = |number: usize| from.plus(Duration::from_secs_f64((number - first) as f64 / rate));
        let mut under_way = VecDeque::new();
        while self.written < first + count {
            let now = self.origin.now();
            let is_due = |number: &usize| due(*number) <= now;
            let numbers = self.written..(first + count).min(self.written + APPEND_RECORDS);
            let batch: Vec<_> = numbers
                .take_while(is_due)
                .map(|number| {
                    let time = if rate.is_finite() { due(number) } else { now };
                    let value = self.events.event(&self.plan, number, time);
                    record(self.topic, number as u32 % PARTITIONS, value, now)
                })
                .collect();
            if batch.is_empty() {
                sleep(TICK).await;
                continue;
            }
            self.written += batch.len();
            under_way.push_back(tokio::spawn(self.ground.log().append(batch)));
            if under_way.len() > APPENDS {
                appended(under_way.pop_front()).await?;
            }
        }
        while !under_way.is_empty() {
            appended(under_way.pop_front()).await?;
        }
        Ok(())
    }
}

async fn appended(append: Option<tokio::task::JoinHandle<Result<Vec<u64>, LogError>>>) -> Result<()> {
    match append {
        Some(append) => append.await?.map(drop).context("writing events"),
        None => Ok(()),
    }
}

/// Reads the alerts on a thread of its own.
struct AlertReader {
    alerts: mpsc::Receiver<Seen>,
    thread: JoinHandle<Result<()>>,
    stop: oneshot::Sender<()>,
}

/// What is read of an alert.
#[derive(Deserialize)]
struct Alert<'a> {
    #[serde(borrow)]
    rule: Rule<'a>,
    time: &'a str,
}

#[derive(Deserialize)]
struct Rule<'a> {
    id: &'a str,
}

impl AlertReader {
    fn start(seat: Seat, origin: Origin) -> Result<Self> {
        let (seen, alerts) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = async move {
            let mut readers = JoinSet::new();
            let Seat { member, partitions } = seat;
            for partition in partitions {
                readers.spawn(read(partition, origin, seen.clone()));
            }
            let ended = tokio::select! {
                _ = stopped => Ok(()),
                Some(ended) = readers.join_next() => ended?,
            };
            drop(member);
            ended
        };
        let thread = thread::Builder::new().name("bench-alerts".to_owned()).spawn(move || runtime.block_on(work))?;
        Ok(AlertReader { alerts, thread, stop })
    }

    async fn stop(self) -> Result<()> {
        // One that has failed says so below.
        let _ = self.stop.send(());
        spawn_blocking(|| self.thread.join()).await?.map_err(|_| anyhow!("the reader of alerts died"))?
    }
}

/// Never ends by itself, but with an error.
async fn read(partition: Assignment, origin: Origin, seen: mpsc::Sender<Seen>) -> Result<()> {
    let mut reader = partition.reader;
    reader.seek(0).await?;
    loop {
        reader.ready().await?;
        let now = origin.now();
        reader.drain(usize::MAX, &mut |record| {
            let alert = record.value.and_then(|bytes| serde_json::from_slice::<Alert<'_>>(bytes).ok());
            let time = alert.as_ref().and_then(|alert| Timestamp::parse(alert.time));
            if let (Some(alert), Some(time)) = (alert, time) {
                // Nobody listens any more when the run has failed.
                let _ = seen.send(Seen { rule: alert.rule.id.to_owned(), time, waited: now.since(time) });
            }
        })?;
    }
}
