//! A correlate line: restores one signals partition from its changelog, walks its signals, and commits alerts, state
//! and position in one transaction. What the alerts are to rules on alerts goes into the signals log with them.

mod commit;
mod ruling;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};
use tracing::{error, info};

use super::{
    line::Work,
    messages::{Ended, Order},
    rulebook::Rulebook,
    seat::Seat,
    standby::{Held, Standby},
    topics::Topics,
};
use crate::{
    alert::Alert,
    clock::Clock,
    config::Config,
    correlate::{Correlator, Limits, Snapshot},
    detect::RecordView,
    event::{DeadLetter, Position, Timestamp},
    log::{Assignment, HeadStart, Log, Reader, Record, TopicPartition},
    rule::BundleMark,
    telemetry::{LineState, Telemetry},
};

/// How often a long restore says in the log how far it is.
const RESTORE_LOG_INTERVAL: Duration = Duration::from_secs(2);

/// What all correlate lines of a process share.
pub struct Correlating {
    pub log: Arc<dyn Log>,
    pub group: String,
    pub topics: Topics,
    pub config: Arc<Config>,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub hook: super::Hook,
    pub rulebook: Option<Arc<Rulebook>>,
    /// Where the state of partitions of others is followed.
    pub standby: Option<Arc<Standby>>,
    /// The lines commit at the same moments, counted from here: on Kafka they share a transaction then.
    pub began: Instant,
}

/// The work of the line that owns `assignment`.
pub fn work(shared: Arc<Correlating>, assignment: Assignment, seat: Seat) -> Work {
    Box::new(move |mut orders| {
        Box::pin(async move {
            let (telemetry, at) = (shared.telemetry.clone(), assignment.at.clone());
            // Kept as long as the line lives.
            let mut held = shared.standby.as_ref().map(|standby| standby.hold(at.partition));
            let ahead = held.as_mut().map(Held::ahead).unwrap_or_default();
            telemetry.line_state("correlate", "", &at, LineState::Restoring);
            let restored = tokio::select! {
                biased;
                // Nothing is to be committed yet, and a restore may wait for others for long.
                _ = orders.recv() => Err(Ended::Stopped),
                restored = CorrelateLine::restore(shared, assignment, seat, ahead) => restored,
            };
            match restored {
                Ok(line) => {
                    telemetry.line_state("correlate", "", &at, LineState::Running);
                    line.run(orders).await.unwrap_or_else(|ended| ended)
                }
                Err(ended) => ended,
            }
        })
    })
}

/// A restore that is under way, for those who watch.
struct Restoring<'a> {
    telemetry: &'a Telemetry,
    partition: u32,
    read: AtomicU64,
    logged_at: Mutex<Instant>,
}

impl<'a> Restoring<'a> {
    fn new(telemetry: &'a Telemetry, partition: u32) -> Self {
        Restoring { telemetry, partition, read: AtomicU64::new(0), logged_at: Mutex::new(Instant::now()) }
    }

    /// Takes (records read, records there are); a long one says in the log how far it is.
    fn report(&self) -> impl Fn(u64, u64) + Send + Sync {
        |read, of| {
            self.read.store(read, Ordering::Relaxed);
            self.telemetry.restoring(self.partition, read, of);
            let mut logged_at = self.logged_at.lock().unwrap_or_else(PoisonError::into_inner);
            if logged_at.elapsed() >= RESTORE_LOG_INTERVAL {
                *logged_at = Instant::now();
                info!(partition = self.partition, read, of, "restoring state");
            }
        }
    }

    /// Records read so far.
    fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

struct CorrelateLine {
    shared: Arc<Correlating>,
    at: TopicPartition,
    reader: Box<dyn Reader>,
    seat: Seat,
    correlator: Correlator,
    alerts: Vec<Alert>,
    dead_letters: Vec<Record>,
    /// What the last commit said was read.
    committed: u64,
    committed_at: Instant,
    /// How far every signals partition was told that this one's alerts are.
    marked: Option<Timestamp>,
    marked_at: Instant,
    /// The rules that it was told that they come from.
    marked_rules: Option<BundleMark>,
    /// When it was last told how far the sources are.
    reached_at: Option<Instant>,
}

impl CorrelateLine {
    async fn restore(
        shared: Arc<Correlating>,
        assignment: Assignment,
        seat: Seat,
        ahead: HeadStart,
    ) -> Result<Self, Ended> {
        let Assignment { at, committed, mut reader } = assignment;
        let started = Instant::now();
        let state = TopicPartition { topic: shared.topics.state.clone(), partition: at.partition };
        let restoring = Restoring::new(&shared.telemetry, at.partition);
        let followed = ahead.live.len() as u64;
        let records = shared.log.restore(&state, ahead, &restoring.report()).await?;
        let read = restoring.read();
        let snapshot = Snapshot::read(records.iter())
            .map_err(|error| Ended::Halted(format!("{}/{}: {error}", state.topic, state.partition)))?;
        // Their bytes make room for the keys.
        drop(records);
        let (limits, quarantine_after) = (limits(&shared.config), shared.config.detect.quarantine_after);
        let mut seat = seat;
        let rules = shared.rules_of(&mut seat, snapshot.as_ref().map(|snapshot| &snapshot.header)).await?;
        let (correlator, from) = match snapshot {
            Some(snapshot) => {
                let former = shared.former_sets(&snapshot.header).await?;
                let from = snapshot.header.resume_from;
                info!(
                    partition = at.partition,
                    keys = snapshot.keys.len(),
                    resume_from = from,
                    read,
                    followed,
                    millis = started.elapsed().as_millis() as u64,
                    "state restored"
                );
                (Correlator::restore(&rules, &former, limits, quarantine_after, snapshot), from)
            }
            None => {
                let (first, _) = shared.log.offsets(&at).await?;
                (Correlator::new(&rules, limits, quarantine_after), committed.map_or(first, |at| at.next))
            }
        };
        reader.seek(from).await?;
        let mut line = CorrelateLine {
            committed: correlator.read_through(),
            committed_at: Instant::now(),
            marked: None,
            marked_at: Instant::now(),
            marked_rules: None,
            reached_at: None,
            shared,
            at,
            reader,
            seat,
            correlator,
            alerts: Vec::new(),
            dead_letters: Vec::new(),
        };
        line.shared.telemetry.resumed(line.at.partition, started.elapsed(), read, followed);
        line.tell(from);
        Ok(line)
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) -> Result<Ended, Ended> {
        let mut ticks = self.shared.commit_ticks();
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Stop) | None => {
                        self.commit().await?;
                        return Ok(Ended::Stopped);
                    }
                    Some(Order::Abandon) => return Ok(Ended::Stopped),
                },
                _ = ticks.tick() => self.commit_if_due().await?,
                ready = self.reader.ready() => {
                    ready?;
                    let Taken { next, asks_for } = self.read()?;
                    if let Some(mark) = asks_for {
                        if let Some(ended) = self.switch_to(&mark, next, &mut orders).await? {
                            return Ok(ended);
                        }
                    } else if !self.alerts.is_empty() || !self.dead_letters.is_empty() || self.correlator.has_chained() {
                        self.commit().await?;
                    }
                    self.tell(next);
                }
            }
        }
    }

    /// Goes on at `next`, where a source announces other rules, with those. What came before is committed first: it
    /// is of the rules until here.
    async fn switch_to(
        &mut self,
        mark: &BundleMark,
        next: u64,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<Option<Ended>, Ended> {
        self.commit().await?;
        let shared = self.shared.clone();
        let set = tokio::select! {
            set = shared.set_of(mark) => set?,
            // All that was read is committed.
            _ = orders.recv() => return Ok(Some(Ended::Stopped)),
        };
        info!(partition = self.at.partition, offset = next, revision = mark.revision, hash = %mark.hash, "rules switched");
        self.correlator.set_rules(&set);
        self.reader.seek(next).await?;
        Ok(None)
    }

    /// Takes the next batch in, up to where other rules begin, and walks as far as time allows.
    fn read(&mut self) -> Result<Taken, Ended> {
        let mut unreadable = None;
        let mut asks_for = None;
        let CorrelateLine { shared, at, reader, seat, correlator, alerts, dead_letters, .. } = self;
        let drained = reader.drain(shared.config.correlate.batch_records_max, &mut |record| {
            if unreadable.is_some() || asks_for.is_some() {
                return;
            }
            // Looked at for each record: a shape is known before the first signal that has it.
            if shared.rulebook.is_none() && seat.rules.has_changed().is_ok_and(|changed| changed) {
                correlator.set_rules(&seat.rules.borrow_and_update());
            }
            let bytes = record.value.unwrap_or_default();
            if seat.poisoned.contains(&record.offset) {
                if correlator.pass_over(record.offset) {
                    dead_letters.push(shared.crashed(at, record.offset, bytes));
                }
                return;
            }
            seat.at_work.on(record.offset);
            (shared.hook)("correlate", at, record.offset);
            match RecordView::decode(bytes) {
                Ok(signal) => match shared.asked_for(correlator, record.offset, &signal) {
                    Some(mark) => asks_for = Some((record.offset, mark)),
                    None => correlator.accept(record.offset, signal, alerts),
                },
                Err(error) => unreadable = Some((record.offset, error)),
            }
        })?;
        if let Some((offset, error)) = unreadable {
            return Err(Ended::Halted(format!("{}/{}@{offset}: {error}", at.topic, at.partition)));
        }
        if drained.gap > 0 {
            error!(
                partition = at.partition,
                records = drained.gap,
                "signals were removed by retention before they were read"
            );
            shared.telemetry.signals_missed(at.partition, drained.gap);
        }
        let watch = &mut |offset| {
            seat.at_work.on(offset);
            (shared.hook)("walk", at, offset);
        };
        correlator.advance(watch, alerts);
        seat.at_work.off();
        Ok(match asks_for {
            Some((offset, mark)) => Taken { next: offset, asks_for: Some(mark) },
            None => Taken { next: drained.next, asks_for: None },
        })
    }

    fn tell(&mut self, next: u64) {
        let counts = self.correlator.take_counts();
        for (rule, tally) in &counts.rules {
            if let (true, Some(failure)) = (tally.quarantined, &tally.last_failure) {
                error!(rule = %rule, %failure, "rule quarantined: its scripts keep failing");
            }
        }
        let telemetry = &self.shared.telemetry;
        telemetry.correlated(self.at.partition, next, &counts, &self.correlator.standing());
        let interval = self.shared.config.detect.marker_interval;
        if self.reached_at.is_none_or(|at| at.elapsed() >= interval) {
            telemetry.reached(self.at.partition, self.correlator.reached());
            self.reached_at = Some(Instant::now());
        }
    }
}

/// A batch that was taken in.
struct Taken {
    /// The offset after it.
    next: u64,
    /// What the record there asks for: it was not taken in.
    asks_for: Option<BundleMark>,
}

impl Correlating {
    fn commit_ticks(&self) -> Interval {
        let interval = self.config.correlate.commit_interval;
        let over = self.began.elapsed().as_nanos() % interval.as_nanos().max(1);
        let next = Instant::now() + interval - Duration::from_nanos(over as u64);
        let mut ticks = tokio::time::interval_at(next, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    }

    fn crashed(&self, at: &TopicPartition, offset: u64, bytes: &[u8]) -> Record {
        let position = Position { input: at.topic.as_str().into(), partition: at.partition, offset };
        let letter = DeadLetter::new(&position, "correlate", "crashed: its line died of it twice".into(), bytes);
        self.telemetry.signal_dead(at.partition, "crashed");
        self.topics.dead_letter(&letter, self.clock.now_ms())
    }
}

/// The bounds of every key, as configured.
pub fn limits(config: &Config) -> Limits {
    Limits {
        keys_per_rule_max: config.correlate.keys_per_rule_max,
        state_bytes_max: config.correlate.state_bytes_max,
        signals_per_key_max: config.correlate.signals_per_key_max,
        evidence_max: config.correlate.evidence_max,
        list_entries_max: config.correlate.list_entries_max,
    }
}
