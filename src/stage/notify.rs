//! A notify line: reads one partition of alerts for one sink, and commits after the sink has acknowledged them, or
//! the alerts it refused are in dead letters.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{
    line::Work,
    messages::{Ended, Order},
    seat::Seat,
    topics::Topics,
};
use crate::{
    alert::Alert,
    clock::Clock,
    event::{DeadLetter, Position},
    log::{Assignment, Commit, Committed, Log, LogError, Reader, Record, TopicPartition, Transaction},
    notify::Receiver,
    telemetry::Telemetry,
};

/// Alerts given to a sink at once.
const BATCH_MAX: usize = 100;

/// The first and the longest pause before a commit that the log did not take is tried again.
const COMMIT_PAUSE_MIN: Duration = Duration::from_millis(100);
const COMMIT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often it is looked whether the reader has passed what is no alert.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What the lines of one sink share.
pub struct Notifying {
    pub log: Arc<dyn Log>,
    pub group: String,
    pub topics: Topics,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub sink: String,
    /// One delivery at a time: a sink sees alerts in the order of their partitions.
    pub receiver: Mutex<Receiver>,
    pub hook: super::Hook,
}

/// The work of the line that owns `assignment`.
pub fn work(shared: Arc<Notifying>, assignment: Assignment, seat: Seat) -> Work {
    Box::new(move |orders| {
        Box::pin(async move {
            let Assignment { at, committed, reader } = assignment;
            let next = committed.map_or(0, |committed| committed.next);
            // After a crash one by one, so that the next crash can be laid to the alert that causes it.
            let alone = if seat.cautious { BATCH_MAX } else { 0 };
            let line = NotifyLine { shared, at, reader, seat, alone, next, committed: next };
            line.run(orders).await.unwrap_or_else(Ended::from)
        })
    })
}

struct NotifyLine {
    shared: Arc<Notifying>,
    at: TopicPartition,
    reader: Box<dyn Reader>,
    seat: Seat,
    /// Alerts that are still to be delivered each by itself.
    alone: usize,
    /// The next alert to deliver.
    next: u64,
    committed: u64,
}

/// An alert as it was read, or why it could not be.
struct Read {
    offset: u64,
    bytes: Vec<u8>,
    alert: Result<Alert, String>,
}

impl NotifyLine {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) -> Result<Ended, LogError> {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Stop) | None => return self.commit(Vec::new()).await.map(|()| Ended::Stopped),
                    Some(Order::Abandon) => return Ok(Ended::Stopped),
                },
                _ = ticks.tick() => {
                    self.pass_by().await?;
                    continue;
                }
                ready = self.reader.ready() => ready?,
            }
            let batch = self.read()?;
            if let Some(ended) = self.deliver(batch, &mut orders).await? {
                return Ok(ended);
            }
        }
    }

    /// What is no alert, such as the end of a transaction, takes offsets too: without passing them by, the lag would
    /// never be 0.
    async fn pass_by(&mut self) -> Result<(), LogError> {
        let looked = self.reader.drain(0, &mut |_| {})?;
        self.take_note_of_gap(looked.gap);
        self.next = self.next.max(looked.next);
        self.commit(Vec::new()).await
    }

    fn take_note_of_gap(&self, alerts: u64) {
        if alerts > 0 {
            let (sink, partition) = (&self.shared.sink, self.at.partition);
            error!(sink, partition, alerts, "alerts were removed by retention before they were delivered");
            self.shared.telemetry.sink_missed(sink, alerts);
        }
    }

    fn read(&mut self) -> Result<Vec<Read>, LogError> {
        let mut batch = Vec::new();
        let drained = self.reader.drain(BATCH_MAX, &mut |record| {
            let bytes = record.value.unwrap_or_default().to_vec();
            let alert = match self.seat.poisoned.contains(&record.offset) {
                true => Err("crashed: its line died of it twice".to_owned()),
                false => serde_json::from_slice(&bytes).map_err(|error| format!("not_an_alert: {error}")),
            };
            batch.push(Read { offset: record.offset, bytes, alert });
        })?;
        self.take_note_of_gap(drained.gap);
        Ok(batch)
    }

    /// Delivers a batch. An order to stop ends the waiting for a sink that does not answer; what it has not decided
    /// on is delivered by the partition's next line.
    async fn deliver(
        &mut self,
        batch: Vec<Read>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<Option<Ended>, LogError> {
        let mut rest = &batch[..];
        while !rest.is_empty() {
            let (some, after) = rest.split_at(if self.alone > 0 { 1 } else { rest.len() });
            rest = after;
            self.alone = self.alone.saturating_sub(1);
            let stop = CancellationToken::new();
            let mut ended = None;
            if let Some(first) = some.first() {
                self.seat.at_work.on(first.offset);
            }
            let readable = some.iter().filter(|read| read.alert.is_ok());
            readable.for_each(|read| (self.shared.hook)("notify", &self.at, read.offset));
            let wanted: Vec<Alert> = some.iter().filter_map(|read| read.alert.as_ref().ok().cloned()).collect();
            let delivery = self.shared.clone().deliver(wanted, stop.clone());
            tokio::pin!(delivery);
            let outcome = loop {
                tokio::select! {
                    outcome = &mut delivery => break outcome,
                    order = orders.recv(), if ended.is_none() => match order {
                        Some(Order::Abandon) => return Ok(Some(Ended::Stopped)),
                        Some(Order::Stop) | None => {
                            ended = Some(Ended::Stopped);
                            stop.cancel();
                        }
                    },
                }
            };
            self.seat.at_work.off();
            let letters = self.book(some, outcome);
            let ended = match ended {
                Some(ended) => self.commit(letters).await.map(|()| Some(ended))?,
                None => self.commit_patiently(letters, orders).await?,
            };
            if ended.is_some() {
                return Ok(ended);
            }
        }
        Ok(None)
    }

    /// Commits as soon as the log takes it: a fresh line would deliver the same alerts again. An order ends the wait.
    async fn commit_patiently(
        &mut self,
        letters: Vec<Record>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<Option<Ended>, LogError> {
        let mut pause = COMMIT_PAUSE_MIN;
        loop {
            match self.commit(letters.clone()).await {
                Err(error) if error.is_transient() => {
                    warn!(sink = self.shared.sink, partition = self.at.partition, %error, "commit is tried again");
                }
                outcome => return outcome.map(|()| None),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(COMMIT_PAUSE_MAX),
                order = orders.recv() => match order {
                    Some(Order::Abandon) => return Ok(Some(Ended::Stopped)),
                    Some(Order::Stop) | None => return self.commit(letters).await.map(|()| Some(Ended::Stopped)),
                },
            }
        }
    }

    /// Moves past what is decided; gives the dead letters of what was given up or is no alert.
    fn book(&mut self, batch: &[Read], outcome: Outcome) -> Vec<Record> {
        let mut letters = Vec::new();
        let mut at = 0;
        for read in batch {
            match &read.alert {
                Err(reason) => letters.push(self.letter(read, reason)),
                Ok(_) if at >= outcome.decided => break,
                Ok(_) => {
                    if let Some((_, reason)) = outcome.given_up.iter().find(|(given_up, _)| *given_up == at) {
                        letters.push(self.letter(read, reason));
                    }
                    at += 1;
                }
            }
            self.next = read.offset + 1;
        }
        letters
    }

    fn letter(&self, read: &Read, reason: &str) -> Record {
        let shared = &self.shared;
        warn!(sink = shared.sink, partition = self.at.partition, offset = read.offset, reason, "alert given up");
        shared.telemetry.sink_gave_up(&shared.sink, reason);
        let position =
            Position { input: self.at.topic.as_str().into(), partition: self.at.partition, offset: read.offset };
        let reason = format!("sink {}: {reason}", shared.sink);
        let letter = DeadLetter::new(&position, "notify", reason, &read.bytes);
        shared.topics.dead_letter(&letter, shared.clock.now_ms())
    }

    async fn commit(&mut self, letters: Vec<Record>) -> Result<(), LogError> {
        if self.next == self.committed && letters.is_empty() {
            return Ok(());
        }
        let commit = Commit {
            group: self.shared.group.clone(),
            topic: self.at.topic.clone(),
            partition: self.at.partition,
            committed: Committed { next: self.next, metadata: String::new() },
        };
        let transaction = Transaction { records: letters, commits: vec![commit], ..Transaction::default() };
        self.shared.log.commit(transaction).await?;
        self.committed = self.next;
        Ok(())
    }
}

/// What became of alerts, counted among those that could be read.
struct Outcome {
    /// From the first on; the others wait for the next line.
    decided: usize,
    /// Which of them were given up, and why.
    given_up: Vec<(usize, String)>,
}

impl Notifying {
    async fn deliver(self: Arc<Self>, alerts: Vec<Alert>, stop: CancellationToken) -> Outcome {
        let mut receiver = tokio::select! {
            receiver = self.receiver.lock() => receiver,
            () = stop.cancelled() => return Outcome { decided: 0, given_up: Vec::new() },
        };
        let (places, wanted): (Vec<usize>, Vec<Alert>) = alerts
            .iter()
            .enumerate()
            .filter(|(_, alert)| receiver.wants(alert))
            .map(|(at, alert)| (at, alert.clone()))
            .unzip();
        self.telemetry.sink_sending(&self.sink, wanted.len(), self.clock.now_ms());
        let delivered = receiver.deliver(&wanted, &stop).await;
        self.telemetry.sink_delivered(&self.sink, &delivered);
        // An alert that nobody wants is decided as soon as those before it are.
        let decided = places.get(delivered.decided).copied().unwrap_or(alerts.len());
        self.telemetry.sink_unwanted(&self.sink, decided - delivered.decided);
        Outcome {
            decided,
            given_up: delivered.given_up.into_iter().map(|alert| (places[alert.index], alert.reason)).collect(),
        }
    }
}
