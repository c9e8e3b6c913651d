//! The one thread that writes: it assigns offsets, gathers calls for a moment, writes them as one atomic batch, and
//! answers when that is on disk. It also seals and drops segments. It never waits for a reader or a caller.
//!
//! When the store fails (a full disk, say) it is opened again, and the store itself says whether the last batch landed:
//! a caller is never told that something is lost which is there, or the reverse.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Shared, Topic,
    acknowledged::{Ends, Note},
    call::{Answer, Call},
    chunk::Builder,
    keys::{TOPIC_BYTES_MAX, TopicManifest},
    queue::Next,
    retention,
    room::Room,
    store::{ChunkWrite, LiveWrite, Store, StoreError, Writes},
};
use crate::{
    clock::Clock,
    log::{Cleanup, LogError, Record, TopicSpec, refuse},
};

/// Bytes of one batch, beyond which no further call joins it.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often segments, the store's health and the note are looked after.
const TICK: Duration = Duration::from_millis(500);

/// Calls whose effects are in one batch.
#[derive(Default)]
struct Batch {
    writes: Writes,
    /// The partitions that get records.
    touched: Vec<(String, u32)>,
    answers: Vec<Answer>,
    bytes: usize,
}

/// How far a topic has been written.
struct Progress {
    manifest: TopicManifest,
    partitions: Vec<Line>,
    /// Of the chunks in the segment being written.
    active_bytes: u64,
}

struct Line {
    next: u64,
    /// Records of the batch being gathered that are not in a chunk yet.
    open: Option<Builder>,
    touched: bool,
}

/// The store failed and is not open again.
struct Stuck {
    cause: LogError,
    /// Calls whose batch may or may not have landed.
    batch: Batch,
    /// The batch's number.
    number: u64,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    sync_interval: Duration,
    segment_bytes: u64,
    clock: Clock,
    room: Room,
    note: Note,
    /// Something was acknowledged that the note does not know.
    unnoted: bool,
    progress: BTreeMap<String, Progress>,
    /// The number of the last batch.
    batches: u64,
    stuck: Option<Stuck>,
}

impl Writer {
    /// Takes over a store that has just been opened: learns from it how far every partition is.
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: &crate::config::LocalLog,
        clock: Clock,
        room: Room,
        note: Note,
    ) -> Result<Self, LogError> {
        let mut writer = Writer {
            shared,
            sync_interval: settings.sync_interval,
            segment_bytes: settings.segment_bytes,
            clock,
            room,
            note,
            unnoted: false,
            progress: BTreeMap::new(),
            batches: 0,
            stuck: None,
        };
        writer.learn()?;
        writer.check_note()?;
        // Not before: damage must not make what it hides a stray.
        writer.shared.with_store(Store::drop_strays)?;
        Ok(writer)
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut tick = Instant::now();
        loop {
            match self.shared.queue.next(tick) {
                Next::Call(call) => self.gather(call),
                Next::TimeUp => {}
                Next::Closed => break,
            }
            if tick.elapsed() > Duration::ZERO {
                self.tick();
                tick = Instant::now() + TICK;
            }
        }
        self.write_note();
    }

    /// Takes the calls that come within the sync interval and writes them.
    fn gather(&mut self, first: Call) {
        let deadline = Instant::now() + self.sync_interval;
        let mut batch = Batch::default();
        self.take(first, &mut batch);
        while batch.bytes < BATCH_BYTES_MAX
            && let Next::Call(call) = self.shared.queue.next(deadline)
        {
            self.take(call, &mut batch);
        }
        if !batch.answers.is_empty() {
            self.write(batch);
        }
    }

    fn take(&mut self, call: Call, batch: &mut Batch) {
        let refusal = match (&self.stuck, &call) {
            (Some(stuck), _) => Some(&stuck.cause),
            // Most often it has nothing to write.
            (None, Call::Ensure { .. }) => None,
            (None, _) => self.room.refusal(),
        };
        if let Some(error) = refusal {
            return call.refuse(error);
        }
        batch.bytes += call.bytes();
        match call {
            Call::Append { records, answer } => {
                let offsets = records.into_iter().map(|record| self.put(record, batch)).collect();
                batch.answers.push(Answer::Append(answer, offsets));
            }
            Call::Commit { transaction, answer } => {
                for record in transaction.records.into_iter().chain(transaction.state) {
                    self.put(record, batch);
                }
                batch.writes.commits.extend(transaction.commits);
                batch.answers.push(Answer::Commit(answer));
            }
            Call::Ensure { topics, answer } => {
                answer.send(self.ensure(&topics)).ok();
            }
        }
    }

    /// Gives a record, which was not refused, its offset in the batch.
    fn put(&mut self, record: Record, batch: &mut Batch) -> u64 {
        let topic = self.progress.get_mut(&record.topic).expect("the caller looked its topic up");
        let line = &mut topic.partitions[record.partition as usize];
        let offset = line.next;
        line.next += 1;
        if !line.touched {
            line.touched = true;
            batch.touched.push((record.topic.clone(), record.partition));
        }
        let Record { topic: name, partition, .. } = record;
        if topic.manifest.compacted {
            let (key, value) = (record.key.unwrap_or_default(), record.value);
            batch.writes.live.push(LiveWrite { topic: name, partition, key, value });
            return offset;
        }
        let open = line.open.get_or_insert_with(Builder::new);
        open.push(record.key.as_deref(), record.value.as_deref(), record.timestamp_ms);
        if open.is_full()
            && let Some(full) = line.open.take()
        {
            batch.writes.chunks.push(ChunkWrite { topic: name, partition, last: offset, bytes: full.finish() });
        }
        offset
    }

    fn write(&mut self, mut batch: Batch) {
        for (name, partition) in &batch.touched {
            let Some(topic) = self.progress.get_mut(name) else { continue };
            let line = &mut topic.partitions[*partition as usize];
            line.touched = false;
            if topic.manifest.compacted {
                batch.writes.ends.push((name.clone(), *partition, line.next));
            } else if let Some(open) = line.open.take() {
                let (topic, partition, last) = (name.clone(), *partition, line.next - 1);
                batch.writes.chunks.push(ChunkWrite { topic, partition, last, bytes: open.finish() });
            }
        }
        for chunk in &batch.writes.chunks {
            if let Some(topic) = self.progress.get_mut(&chunk.topic) {
                topic.active_bytes += chunk.bytes.len() as u64;
            }
        }
        self.batches += 1;
        let number = self.batches;
        match self.shared.with_store(|store| store.write(&mut batch.writes, number)) {
            Ok(()) => self.acknowledge(batch),
            Err(cause) => self.fail(cause, batch),
        }
        let is_full =
            |topic: &Progress| topic.active_bytes >= retention::bytes_max(&topic.manifest, self.segment_bytes);
        let full = self.progress.iter().filter(|(_, topic)| is_full(topic)).map(|(name, _)| name.clone());
        for name in full.collect::<Vec<_>>() {
            self.tend(&name);
        }
    }

    fn acknowledge(&mut self, batch: Batch) {
        self.unnoted = true;
        let topics = self.shared.topics();
        for (name, partition) in &batch.touched {
            if let (Some(topic), Some(progress)) = (topics.get(name), self.progress.get(name)) {
                topic.ends[*partition as usize].send_replace(progress.partitions[*partition as usize].next);
            }
        }
        drop(topics);
        for answer in batch.answers {
            answer.send(Ok(()));
        }
    }

    fn fail(&mut self, cause: LogError, batch: Batch) {
        tracing::error!(%cause, "the embedded log failed and is opened again");
        self.room.pause(cause.clone());
        self.stuck = Some(Stuck { cause, batch, number: self.batches });
        self.reopen();
    }

    /// Opens the store again, and answers the calls whose batch was on its way.
    fn reopen(&mut self) {
        let Some(stuck) = self.stuck.take() else { return };
        if let Err(cause) = self.shared.reopen().and_then(|()| self.learn()) {
            tracing::warn!(%cause, "the embedded log can't be opened yet");
            self.stuck = Some(Stuck { cause, ..stuck });
            return;
        }
        let landed = self.batches >= stuck.number;
        tracing::info!(landed, "the embedded log is open again");
        for answer in stuck.batch.answers {
            answer.send(if landed { Ok(()) } else { Err(stuck.cause.clone()) });
        }
    }

    /// Learns from the store how far every partition is, and tells readers.
    fn learn(&mut self) -> Result<(), LogError> {
        let (batches, progress) = self.shared.with_store(|store| {
            let of_topic = |(name, manifest): (&String, &TopicManifest)| {
                let (ends, active_bytes) = store.ends(name)?;
                Ok((name.clone(), Progress::new(manifest.clone(), ends, active_bytes)))
            };
            Ok((store.batches()?, store.topics().map(of_topic).collect::<Result<BTreeMap<_, _>, StoreError>>()?))
        })?;
        let mut topics = self.shared.topics_mut();
        for (name, topic) in &*topics {
            let ends = topic.ends.iter().map(|end| *end.borrow());
            holds_all(&progress, name, ends, "the data folder was damaged while it was open")?;
        }
        (self.batches, self.progress) = (batches, progress);
        for (name, progress) in &self.progress {
            let topic = topics.entry(name.clone()).or_insert_with(|| Topic::new(&progress.manifest));
            for (end, line) in topic.ends.iter().zip(&progress.partitions) {
                end.send_replace(line.next);
            }
        }
        Ok(())
    }

    fn check_note(&self) -> Result<(), LogError> {
        let note = self.note.path().display();
        let acknowledged = self.note.read().map_err(|error| LogError::Refused(format!("{note}: {error}")))?;
        let advice = format!("restore the data, or remove {note} to go on without them");
        acknowledged.into_iter().try_for_each(|(topic, ends)| holds_all(&self.progress, &topic, ends, &advice))
    }

    fn write_note(&mut self) {
        if !self.unnoted || self.stuck.is_some() {
            return;
        }
        let ends = |topic: &Progress| topic.partitions.iter().map(|line| line.next).collect();
        let ends: Ends = self.progress.iter().map(|(name, topic)| (name.clone(), ends(topic))).collect();
        match self.note.write(&ends) {
            Ok(()) => self.unnoted = false,
            Err(error) => tracing::debug!(%error, "the note of what was acknowledged is not written"),
        }
    }

    fn ensure(&mut self, topics: &[TopicSpec]) -> Result<(), LogError> {
        for spec in topics {
            check_spec(spec)?;
            if let Some(topic) = self.progress.get(&spec.name) {
                refuse::change(spec, topic.manifest.partitions, topic.manifest.compacted)?;
            }
        }
        for spec in topics {
            let existing = self.progress.get(&spec.name).map(|topic| &topic.manifest);
            let manifest = manifest(spec, existing.map_or(spec.partitions, |manifest| manifest.partitions));
            if existing != Some(&manifest) {
                self.put_topic(&spec.name, manifest)?;
            }
        }
        Ok(())
    }

    fn put_topic(&mut self, name: &str, manifest: TopicManifest) -> Result<(), LogError> {
        if let Some(error) = self.room.refusal() {
            return Err(error.clone());
        }
        let now_ms = self.clock.now_ms();
        self.shared.with_store_mut(|store| store.put_topic(name, manifest.clone(), now_ms))?;
        self.shared.topics_mut().entry(name.to_owned()).or_insert_with(|| Topic::new(&manifest));
        let ends = vec![0; manifest.partitions as usize];
        let topic = self.progress.entry(name.to_owned()).or_insert_with(|| Progress::new(manifest.clone(), ends, 0));
        topic.manifest = manifest;
        Ok(())
    }

    fn tick(&mut self) {
        if self.stuck.is_some() {
            return self.reopen();
        }
        // A store that failed for want of room is opened again when there is some.
        if self.room.refusal().is_none()
            && let Err(cause) = self.shared.with_store(Store::check)
        {
            return self.fail(cause, Batch::default());
        }
        let names: Vec<String> = self.progress.keys().cloned().collect();
        for name in names {
            self.tend(&name);
        }
        self.write_note();
    }

    /// Seals and drops what is due of one topic.
    fn tend(&mut self, name: &str) {
        if let Err(cause) = self.try_tend(name) {
            self.fail(cause, Batch::default());
        }
    }

    fn try_tend(&mut self, name: &str) -> Result<(), LogError> {
        let Some(topic) = self.progress.get_mut(name) else { return Ok(()) };
        let now_ms = self.clock.now_ms();
        let segments = self.shared.with_store(|store| Ok(store.extents(name, topic.active_bytes)))?;
        if let Some(active) = segments.last()
            && active.bytes > 0
            && retention::is_full(active, &topic.manifest, self.segment_bytes, now_ms)
        {
            let starts = topic.partitions.iter().map(|line| line.next).collect();
            self.shared.with_store_mut(|store| store.roll(name, active.bytes, starts, now_ms))?;
            topic.active_bytes = 0;
        }
        let segments = self.shared.with_store(|store| Ok(store.extents(name, topic.active_bytes)))?;
        for _ in 0..retention::expired(&segments, &topic.manifest, now_ms) {
            self.shared.with_store_mut(|store| store.drop_oldest(name))?;
        }
        Ok(())
    }
}

impl Progress {
    fn new(manifest: TopicManifest, ends: Vec<u64>, active_bytes: u64) -> Self {
        let line = |next| Line { next, open: None, touched: false };
        Progress { manifest, partitions: ends.into_iter().map(line).collect(), active_bytes }
    }
}

/// An error when a topic is shorter than was acknowledged.
fn holds_all(
    progress: &BTreeMap<String, Progress>,
    topic: &str,
    acknowledged: impl IntoIterator<Item = u64>,
    advice: &str,
) -> Result<(), LogError> {
    let found = progress.get(topic).map(|topic| &topic.partitions);
    for (partition, end) in acknowledged.into_iter().enumerate() {
        let next = found.and_then(|lines| lines.get(partition)).map_or(0, |line| line.next);
        if next < end || found.is_none() {
            let reason = format!("the records up to {end} were acknowledged and are gone; {advice}");
            return Err(LogError::Corrupt {
                topic: topic.to_owned(),
                partition: partition as u32,
                offset: next,
                reason,
            });
        }
    }
    Ok(())
}

fn check_spec(spec: &TopicSpec) -> Result<(), LogError> {
    let name = &spec.name;
    if name.is_empty() || name.len() > TOPIC_BYTES_MAX || name.contains('\0') {
        return Err(LogError::Refused(format!("a topic named {name:?}: up to {TOPIC_BYTES_MAX} bytes, no NUL")));
    }
    if spec.partitions == 0 {
        return Err(LogError::Refused(format!("topic {name} without partitions")));
    }
    Ok(())
}

fn manifest(spec: &TopicSpec, partitions: u32) -> TopicManifest {
    match spec.cleanup {
        Cleanup::Compact => TopicManifest { partitions, compacted: true, age_ms: None, bytes: None },
        Cleanup::Delete { age, bytes } => {
            TopicManifest { partitions, compacted: false, age_ms: age.map(retention::age_ms), bytes }
        }
    }
}
