//! Stages that run in this process, as `tripline run` runs them, and what they have used when they are where they shall
//! be.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::sync::mpsc;

use super::{
    super::measure::{cpu_us, process_cpu_us},
    events::{SINGLE, WINDOW},
    feed::Feed,
    ground::Ground,
};
use crate::{
    clock::Clock,
    config::Config,
    log::kafka::KafkaLog,
    rule::RuleSet,
    stage::{Escalation, Pipeline, Stages, Surroundings, Topics, no_hook},
    telemetry::{SourceStatus, Status, Telemetry},
};

/// From one look at the stages to the next.
pub const LOOK: Duration = Duration::from_millis(2);

/// How long nothing may change.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);

/// Stages of one group.
pub struct Running<'a> {
    ground: &'a Ground,
    around: Surroundings,
    rules: Arc<RuleSet>,
    escalations: mpsc::UnboundedSender<Escalation>,
    escalated: mpsc::UnboundedReceiver<Escalation>,
}

/// What was used from one moment to another.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// CPU time of the process, less what watching took.
    pub cpu_us: f64,
    /// By the clock on the wall.
    pub seconds: f64,
}

/// Since a moment.
pub struct Stopwatch {
    cpu_us: f64,
    wall: Instant,
}

impl Stopwatch {
    pub fn start() -> Self {
        Stopwatch { cpu_us: process_cpu_us(), wall: Instant::now() }
    }

    pub fn stop(&self) -> Spent {
        Spent { cpu_us: process_cpu_us() - self.cpu_us, seconds: self.wall.elapsed().as_secs_f64() }
    }
}

impl<'a> Running<'a> {
    /// A log for stages, of which none has begun.
    pub fn new(ground: &'a Ground, config: Arc<Config>, rules: &Arc<RuleSet>) -> Result<Self> {
        let Some(kafka) = &config.kafka else { bail!("the bench's stages run on Kafka") };
        let log = KafkaLog::connect(kafka)?;
        let (escalations, escalated) = mpsc::unbounded_channel();
        // Compiled here, so that no row has it.
        rules.compiled();
        let around = Surroundings {
            config,
            log,
            clock: Clock::System,
            telemetry: Telemetry::default(),
            hook: no_hook(),
            stages: Stages::default(),
            rulebook: None,
        };
        Ok(Running { ground, around, rules: rules.clone(), escalations, escalated })
    }

    pub fn config(&self) -> &Config {
        &self.around.config
    }

    pub fn topics(&self) -> Topics {
        self.around.topics()
    }

    pub fn status(&self) -> Status {
        self.around.telemetry.status()
    }

    /// Starts correlate; returns when every line reads.
    pub async fn correlate(&mut self) -> Result<()> {
        self.start(Stages { detect: false, correlate: true, notify: false }).await?;
        self.correlates().await.map(drop)
    }

    /// Waits until every correlate line reads. Returns what that took.
    pub async fn correlates(&mut self) -> Result<Spent> {
        let partitions = self.config().correlate.partitions as usize;
        let reads = |status: &Status| {
            let lines = status.signals.iter().filter(|signals| signals.resume_millis.is_some());
            lines.count() == partitions
        };
        self.until("correlate reads", reads).await
    }

    /// Starts detect; returns when every one of so many partitions of events is about to be read.
    pub async fn detect(&mut self, partitions: usize) -> Result<()> {
        self.start(Stages { detect: true, correlate: false, notify: false }).await?;
        let reads = |status: &Status| status.sources.len() == partitions;
        self.until("detect reads", reads).await.map(drop)
    }

    pub async fn start(&mut self, stages: Stages) -> Result<()> {
        let around = Surroundings { stages, ..self.around.clone() };
        let pipeline = Pipeline::start(&around, self.rules.clone(), Vec::new(), self.escalations.clone()).await?;
        self.ground.hold(pipeline);
        Ok(())
    }

    /// Waits until the events of a feed are read, and those of their alerts that correlate is to give are committed.
    /// Returns what that took.
    pub async fn through(&mut self, feed: &Feed, with_alerts: bool) -> Result<Spent> {
        let (singles, windows) = feed.plan.alerts();
        self.until("the events are through", |status| {
            let read = |source: &SourceStatus| source.next >= feed.ends[source.partition as usize];
            let fired = |id: &str| status.rules.iter().find(|rule| *rule.id == *id).map_or(0, |rule| rule.fired);
            let are_there = fired(SINGLE) >= singles as u64 && fired(WINDOW) >= windows as u64;
            status.sources.iter().all(read) && (!with_alerts || are_there)
        })
        .await
    }

    /// Waits until something is so. Returns what was used meanwhile.
    ///
    /// # Errors
    /// When a stage fails for good, or nothing changes any more.
    pub async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Status) -> bool) -> Result<Spent> {
        let stopwatch = Stopwatch::start();
        let (mut watching_us, mut stood, mut last) = (0.0, Instant::now(), None);
        loop {
            let looked = cpu_us();
            let status = self.status();
            let is_so = is_so(&status);
            let moved = Some((
                status.sources.iter().map(|source| source.next).sum::<u64>(),
                status.signals.iter().map(|signals| signals.next + signals.restored).sum::<u64>(),
                status.lines.len() + status.signals.len(),
            ));
            watching_us += cpu_us() - looked;
            if is_so {
                let spent = stopwatch.stop();
                return Ok(Spent { cpu_us: spent.cpu_us - watching_us, ..spent });
            }
            if let Ok(Escalation { stage, reason }) = self.escalated.try_recv() {
                bail!("{stage} failed: {reason}");
            }
            if moved != last {
                (last, stood) = (moved, Instant::now());
            }
            if stood.elapsed() > STANDSTILL_MAX {
                bail!("it did not come about that {what}; the stages stand still:\n{status}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
