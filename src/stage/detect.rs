//! A detect line: reads one partition of events, appends the signals of its events, commits after they are durable.

mod batch;
mod shared;
mod standing;
mod take_over;

use std::sync::Arc;

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

pub use self::shared::Detecting;
use super::{
    alignment::Place,
    input_topic::InputTopic,
    line::Work,
    messages::{Ended, Order},
    seat::Seat,
};
use crate::{
    config,
    detect::{Detector, Marker, Source},
    event::InputName,
    log::{Assignment, LogError, Reader, TopicPartition},
    rule::RuleSet,
};

/// The work of the line that owns `assignment`.
pub fn work(shared: Arc<Detecting>, topic: Arc<InputTopic>, assignment: Assignment, seat: Seat) -> Work {
    Box::new(move |mut orders| {
        Box::pin(async move {
            match DetectLine::take_over(shared, &topic, assignment, seat, &mut orders).await {
                Ok(line) => line.run(orders).await.unwrap_or_else(Ended::from),
                Err(ended) => ended,
            }
        })
    })
}

struct DetectLine {
    shared: Arc<Detecting>,
    input: config::Input,
    name: InputName,
    partition: u32,
    at: TopicPartition,
    reader: Box<dyn Reader>,
    source: Source,
    place: Place,
    seat: Seat,
    rules: Arc<RuleSet>,
    epoch: u64,
    /// The next record to read; everything before it is in the signals log or in dead letters.
    next: u64,
    committed: u64,
    committed_at: Instant,
    marked: Option<Marker>,
    marked_at: Instant,
    /// Since when no event came.
    quiet_since: Instant,
    /// Where the log ended when this line began.
    backlog_end: u64,
    /// When there was last more to read than one batch takes.
    behind_at: Option<Instant>,
    /// Until when idle time has been given to the watermark; `None` while not idle.
    idle_until: Option<Instant>,
}

impl DetectLine {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) -> Result<Ended, LogError> {
        let mut ticks = tokio::time::interval(self.shared.config.detect.marker_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let paused = self.is_ahead();
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Stop) | None => {
                        self.commit().await?;
                        return Ok(Ended::Stopped);
                    }
                    Some(Order::Abandon) => return Ok(Ended::Stopped),
                },
                Ok(()) = self.seat.rules.changed() => self.use_rules().await?,
                _ = ticks.tick() => self.tick(paused).await?,
                ready = self.reader.ready(), if !paused => {
                    ready?;
                    self.read().await?;
                }
            }
        }
    }

    /// Says how far the source is, where that changed, and commits when it is time.
    async fn tick(&mut self, paused: bool) -> Result<(), LogError> {
        if !paused {
            self.rest_if_idle().await;
            self.note_if_caught_up().await;
        }
        self.leave_out_if_far_behind().await;
        self.announce().await?;
        if self.next > self.committed && self.committed_at.elapsed() >= self.shared.config.detect.commit_interval {
            self.commit().await?;
        }
        self.shared.telemetry.source_paused(&self.name, self.partition, paused);
        Ok(())
    }

    /// Rule sets switch at a commit only, so that what is read again after a crash meets the same rules.
    async fn use_rules(&mut self) -> Result<(), LogError> {
        self.commit().await?;
        self.rules = self.seat.rules.borrow_and_update().clone();
        self.source.set_detector(Detector::new(self.rules.clone(), self.shared.config.detect.quarantine_after));
        self.commit().await?;
        self.announce().await
    }
}
