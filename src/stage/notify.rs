//! A notify line: reads one partition of alerts for one sink, and commits after the sink has acknowledged them, or
//! the alerts it refused are in dead letters.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    line::Work,
    messages::{Ended, Order},
    supervisor::Seat,
    topics::Topics,
};
use crate::{
    alert::Alert,
    clock::Clock,
    event::{DeadLetter, Position},
    log::{Assignment, Commit, Committed, Log, LogError, Reader, Record, TopicPartition, Transaction},
    notify::{Delivered, Receiver},
    telemetry::Telemetry,
};

/// Alerts given to a sink at once.
const BATCH_MAX: usize = 100;

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
            let line = NotifyLine { shared, at, reader, seat, next, committed: next };
            line.run(orders).await.unwrap_or_else(Ended::from)
        })
    })
}

struct NotifyLine {
    shared: Arc<Notifying>,
    at: TopicPartition,
    reader: Box<dyn Reader>,
    seat: Seat,
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
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::UseRules(_)) => {}
                    Some(Order::Stop) | None => return self.commit(Vec::new()).await.map(|()| Ended::Stopped),
                    Some(Order::Abandon) => return Ok(Ended::Stopped),
                },
                ready = self.reader.ready() => ready?,
            }
            let batch = self.read()?;
            if let Some(ended) = self.deliver(batch, &mut orders).await? {
                return Ok(ended);
            }
        }
    }

    fn read(&mut self) -> Result<Vec<Read>, LogError> {
        let mut batch = Vec::new();
        self.reader.drain(BATCH_MAX, &mut |record| {
            let bytes = record.value.unwrap_or_default().to_vec();
            let alert = match self.seat.poisoned == Some(record.offset) {
                true => Err("crashed: its line died of it twice".to_owned()),
                false => serde_json::from_slice(&bytes).map_err(|error| format!("not_an_alert: {error}")),
            };
            batch.push(Read { offset: record.offset, bytes, alert });
        })?;
        Ok(batch)
    }

    /// Delivers a batch. An order to stop ends the waiting for a sink that does not answer; what it has not decided
    /// on is delivered by the partition's next line.
    async fn deliver(
        &mut self,
        batch: Vec<Read>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<Option<Ended>, LogError> {
        let stop = CancellationToken::new();
        let mut ended = None;
        let mut letters = Vec::new();
        for read in batch {
            self.seat.at_work.on(read.offset);
            (self.shared.hook)("notify", &self.at, read.offset);
            let reason = match &read.alert {
                Err(reason) => Some(reason.clone()),
                Ok(alert) => {
                    let delivery = self.deliver_one(alert, &stop);
                    tokio::pin!(delivery);
                    let delivered = loop {
                        tokio::select! {
                            delivered = &mut delivery => break delivered,
                            order = orders.recv(), if ended.is_none() => match order {
                                Some(Order::UseRules(_)) => {}
                                Some(Order::Abandon) => return Ok(Some(Ended::Stopped)),
                                Some(Order::Stop) | None => {
                                    ended = Some(Ended::Stopped);
                                    stop.cancel();
                                }
                            },
                        }
                    };
                    match delivered {
                        One::Done => None,
                        One::GivenUp(reason) => Some(reason),
                        One::Undecided => break,
                    }
                }
            };
            if let Some(reason) = reason {
                letters.push(self.letter(&read, reason));
            }
            self.next = read.offset + 1;
        }
        self.seat.at_work.off();
        self.commit(letters).await?;
        Ok(ended)
    }

    fn deliver_one(&self, alert: &Alert, stop: &CancellationToken) -> impl Future<Output = One> + use<> {
        let (shared, alert, stop) = (self.shared.clone(), alert.clone(), stop.clone());
        async move {
            let mut receiver = tokio::select! {
                receiver = shared.receiver.lock() => receiver,
                () = stop.cancelled() => return One::Undecided,
            };
            if !receiver.wants(&alert) {
                return One::Done;
            }
            let Delivered { acknowledged, given_up } = receiver.deliver(std::slice::from_ref(&alert), &stop).await;
            match given_up.into_iter().next() {
                Some((_, reason)) => One::GivenUp(reason),
                None if acknowledged.is_empty() => One::Undecided,
                None => {
                    shared.telemetry.sink_delivered(&shared.sink);
                    One::Done
                }
            }
        }
    }

    fn letter(&self, read: &Read, reason: String) -> Record {
        let shared = &self.shared;
        warn!(sink = shared.sink, partition = self.at.partition, offset = read.offset, reason, "alert given up");
        shared.telemetry.sink_gave_up(&shared.sink, &reason);
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

enum One {
    Done,
    GivenUp(String),
    Undecided,
}
