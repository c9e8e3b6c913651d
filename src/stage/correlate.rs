//! A correlate line: restores one signals partition from its changelog, walks its signals, and commits alerts, state
//! and position in one transaction. What the alerts are to rules on alerts goes into the signals log with them.

use std::{
    sync::{Arc, Mutex, PoisonError},
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
    rulebook::{Rulebook, RulebookError},
    seat::Seat,
    topics::Topics,
};
use crate::{
    alert::Alert,
    clock::Clock,
    config::Config,
    correlate::{CHAIN_EPOCH, Chained, Changes, Correlator, Header, Limits, Snapshot},
    detect::{Marker, RecordView, SignalRecord, SourceCounts},
    event::{ALERTS, DeadLetter, Position, Timestamp},
    log::{Assignment, Commit, Committed, Log, LogError, Reader, Record, TopicPartition, Transaction},
    rule::{BundleMark, RuleSet},
    telemetry::{LineState, Telemetry},
};

/// A partition where only time moved commits this often.
const QUIET_COMMIT_INTERVAL: Duration = Duration::from_secs(5);

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
    /// The lines commit at the same moments, counted from here: on Kafka they share a transaction then.
    pub began: Instant,
}

/// The work of the line that owns `assignment`.
pub fn work(shared: Arc<Correlating>, assignment: Assignment, seat: Seat) -> Work {
    Box::new(move |mut orders| {
        Box::pin(async move {
            let (telemetry, at) = (shared.telemetry.clone(), assignment.at.clone());
            telemetry.line_state("correlate", "", &at, LineState::Restoring);
            let restored = tokio::select! {
                biased;
                // Nothing is to be committed yet, and a restore may wait for others for long.
                _ = orders.recv() => Err(Ended::Stopped),
                restored = CorrelateLine::restore(shared, assignment, seat) => restored,
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
    logged_at: Mutex<Instant>,
}

impl<'a> Restoring<'a> {
    fn new(telemetry: &'a Telemetry, partition: u32) -> Self {
        Restoring { telemetry, partition, logged_at: Mutex::new(Instant::now()) }
    }

    /// Takes (records read, records there are); a long one says in the log how far it is.
    fn report(&self) -> impl Fn(u64, u64) + Send + Sync {
        |read, of| {
            self.telemetry.restoring(self.partition, read, of);
            let mut logged_at = self.logged_at.lock().unwrap_or_else(PoisonError::into_inner);
            if logged_at.elapsed() >= RESTORE_LOG_INTERVAL {
                *logged_at = Instant::now();
                info!(partition = self.partition, read, of, "restoring state");
            }
        }
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
    async fn restore(shared: Arc<Correlating>, assignment: Assignment, seat: Seat) -> Result<Self, Ended> {
        let Assignment { at, committed, mut reader } = assignment;
        let started = Instant::now();
        let state = TopicPartition { topic: shared.topics.state.clone(), partition: at.partition };
        let records = {
            let restoring = Restoring::new(&shared.telemetry, at.partition);
            shared.log.restore(&state, &restoring.report()).await?
        };
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
        line.shared.telemetry.resumed(line.at.partition, started.elapsed());
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

    async fn commit_if_due(&mut self) -> Result<(), LogError> {
        let quiet =
            self.correlator.read_through() > self.committed && self.committed_at.elapsed() > QUIET_COMMIT_INTERVAL;
        let is_due = self.correlator.has_changes() || self.is_mark_due() || self.are_rules_untold() || quiet;
        if is_due { self.commit().await } else { Ok(()) }
    }

    /// Rules on alerts wait for the time of this partition.
    fn is_mark_due(&self) -> bool {
        let frontier = self.correlator.chain_frontier();
        self.correlator.chains()
            && frontier > self.marked
            && self.marked_at.elapsed() >= self.shared.config.detect.marker_interval
    }

    /// Rules on alerts wait until every partition's alerts come from the same rules.
    fn are_rules_untold(&self) -> bool {
        self.correlator.chains() && self.correlator.bundle() != self.marked_rules.as_ref()
    }

    /// Alerts, changed keys and the position take effect together.
    async fn commit(&mut self) -> Result<(), LogError> {
        let now_ms = self.shared.clock.now_ms();
        let changes = self.correlator.changes();
        let alerts = std::mem::take(&mut self.alerts);
        let mut records: Vec<Record> = alerts.iter().map(|alert| self.alert_record(alert, now_ms)).collect();
        records.append(&mut self.dead_letters);
        self.chain(&mut records, now_ms);
        let transaction =
            Transaction { records, commits: vec![self.position(&changes)], state: self.state_records(changes, now_ms) };
        self.shared.log.commit(transaction).await?;
        self.committed = self.correlator.read_through();
        self.committed_at = Instant::now();
        Ok(())
    }

    /// Adds what the alerts are to the second layer of rules: signals, writes of lists, then how far this partition is.
    fn chain(&mut self, records: &mut Vec<Record>, now_ms: i64) {
        if !self.correlator.chains() {
            return;
        }
        let is_due = self.is_mark_due();
        if self.are_rules_untold() {
            self.marked_rules = self.correlator.bundle().cloned();
            records.extend(self.tell_all(&self.marker(), now_ms));
        }
        let Chained { signals, writes, frontier, alerts, late, rules } = self.correlator.take_chained();
        let (topics, partitions) = (&self.shared.topics, self.shared.config.correlate.partitions);
        records.extend(signals.into_iter().map(|signal| topics.signal(signal, partitions, now_ms)));
        let writes = writes.into_iter().map(SignalRecord::List);
        records.extend(writes.flat_map(|write| topics.to_all_signals(&write, partitions, now_ms)));
        if is_due {
            self.marked = frontier;
            self.marked_at = Instant::now();
            records.extend(self.tell_all(&self.marker(), now_ms));
        }
        let (partition, marker) = (self.at.partition, self.marker());
        let telemetry = &self.shared.telemetry;
        let counts = SourceCounts { events: alerts, late, ..SourceCounts::default() };
        telemetry.source_taken(ALERTS, partition, &self.at);
        telemetry.source_read(ALERTS, partition, 0, &counts, &marker);
        for (rule, counts) in rules {
            if let (true, Some(failure)) = (counts.quarantined, &counts.last_failure) {
                error!(rule = %rule, %failure, "rule quarantined: its scripts keep failing");
            }
            telemetry.rule_detected(&rule, &counts);
        }
    }

    /// How far this partition's alerts were told to be.
    fn marker(&self) -> Marker {
        Marker {
            input: ALERTS.into(),
            partition: self.at.partition,
            epoch: CHAIN_EPOCH,
            watermark: self.marked,
            idle: false,
            left_out: None,
            rules: self.marked_rules.clone(),
        }
    }

    fn tell_all(&self, marker: &Marker, now_ms: i64) -> impl Iterator<Item = Record> + use<> {
        let record = SignalRecord::Marker(marker.clone());
        self.shared.topics.to_all_signals(&record, self.shared.config.correlate.partitions, now_ms)
    }

    fn alert_record(&self, alert: &Alert, now_ms: i64) -> Record {
        Record {
            topic: self.shared.topics.alerts.clone(),
            partition: self.at.partition,
            key: Some(alert.id.clone().into()),
            value: Some(alert.to_json().into()),
            timestamp_ms: now_ms,
        }
    }

    fn state_records(&self, changes: Changes, now_ms: i64) -> Vec<Record> {
        let record = |(key, value)| Record {
            topic: self.shared.topics.state.clone(),
            partition: self.at.partition,
            key: Some(key),
            value,
            timestamp_ms: now_ms,
        };
        changes.records.into_iter().map(record).collect()
    }

    fn position(&self, changes: &Changes) -> Commit {
        Commit {
            group: self.shared.group.clone(),
            topic: self.at.topic.clone(),
            partition: self.at.partition,
            committed: Committed { next: changes.resume_from, metadata: String::new() },
        }
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

impl From<RulebookError> for Ended {
    fn from(error: RulebookError) -> Self {
        match error {
            RulebookError::Log(error) => error.into(),
            error => Ended::Halted(error.to_string()),
        }
    }
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

    /// The rules that a partition begins with: where they are passed round, those of its last commit. Without one it
    /// has none until a source announces some.
    async fn rules_of(&self, seat: &mut Seat, header: Option<&Header>) -> Result<Arc<RuleSet>, Ended> {
        let own = seat.rules.borrow_and_update().clone();
        match (&self.rulebook, header) {
            (None, _) => Ok(own),
            (Some(_), None) => Ok(Arc::default()),
            (Some(_), Some(header)) => match &header.rules {
                Some(mark) => self.set_of(mark).await,
                // It ran rules of its process's own.
                None => Ok(own),
            },
        }
    }

    /// The sets of rules that are not over.
    async fn former_sets(&self, header: &Header) -> Result<Vec<Arc<RuleSet>>, Ended> {
        let mut sets = Vec::new();
        for mark in header.former_bundles().iter().filter(|_| self.rulebook.is_some()) {
            sets.push(self.set_of(mark).await?);
        }
        Ok(sets)
    }

    async fn set_of(&self, mark: &BundleMark) -> Result<Arc<RuleSet>, Ended> {
        let Some(rulebook) = &self.rulebook else { return Ok(Arc::default()) };
        Ok(rulebook.ruling(mark).await?.set)
    }

    fn asked_for(&self, correlator: &Correlator, offset: u64, record: &RecordView<'_>) -> Option<BundleMark> {
        self.rulebook.as_ref().and_then(|_| correlator.asks_for(offset, record))
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
