//! One partition's lane: its queue, what was fetched, and whose turn it is to read.
//!
//! A lane outlives the readers of its partition and the times that the partition is lost and assigned again; a ticket
//! tells the reader of now from those before it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use rdkafka::consumer::Consumer as _;
use tokio::sync::Notify;
use tracing::warn;

use super::{
    client::{Client, native_offset, native_partition},
    context::{Consumer, lock},
    failure,
    probe::Probe,
    queue::{Fetched, FetchedRecord, PartitionQueue},
};
use crate::log::{Drained, LogError, RecordRef, TopicPartition};

/// How many records [`Lane::has_something`] fetches to find one.
const LOOK_AHEAD: usize = 64;
/// A seek may come before librdkafka has started to fetch the partition: how often, and how far apart, it is tried.
const SEEK_TRIES: usize = 5;
const SEEK_PAUSE: Duration = Duration::from_millis(10);

/// Permission to read a lane; the next one to be given out ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Where a lane shall go on reading, once librdkafka has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Seek(u64),
    /// The log does not have this offset: find out what it has, and count what is missing.
    Recover(u64),
}

pub(super) struct Lane {
    at: TopicPartition,
    client: Client,
    probe: Arc<Probe>,
    wake: Arc<Notify>,
    state: Mutex<State>,
}

struct State {
    /// `None` when the client has closed.
    queue: Option<PartitionQueue>,
    ticket: u64,
    /// The tickets of the readers that live, valid or not.
    readers: BTreeSet<u64>,
    /// No ticket is valid: the partition is not ours now.
    away: bool,
    fetched: VecDeque<Entry>,
    next: u64,
    gap: u64,
    wanted: Option<Wanted>,
}

enum Entry {
    Record(FetchedRecord),
    End(u64),
    OutOfRange,
    Failed(LogError),
}

impl Lane {
    /// The lane of a partition that is about to be assigned.
    pub fn new(at: &TopicPartition, client: &Client, consumer: &Arc<Consumer>, probe: &Arc<Probe>) -> Option<Lane> {
        let wake = Arc::new(Notify::new());
        let queue = PartitionQueue::split(consumer, &at.topic, at.partition, &wake)?;
        let state = State {
            queue: Some(queue),
            ticket: 0,
            readers: BTreeSet::new(),
            away: true,
            fetched: VecDeque::new(),
            next: 0,
            gap: 0,
            wanted: None,
        };
        let (at, client, probe) = (at.clone(), client.clone(), probe.clone());
        Some(Lane { at, client, probe, wake, state: Mutex::new(state) })
    }

    pub fn at(&self) -> &TopicPartition {
        &self.at
    }

    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// The partition is ours and librdkafka fetches it from `next`.
    pub fn open(&self, next: u64) -> Ticket {
        let mut state = lock(&self.state);
        state.restart();
        state.away = false;
        state.next = next;
        Ticket(state.ticket)
    }

    /// Takes an owned lane from its reader, for a new one that goes on at a position yet to be told with
    /// [`Lane::want`]. Until then nothing is taken out of the queue.
    pub fn take_over(&self) -> Ticket {
        let mut state = lock(&self.state);
        state.restart();
        self.wake.notify_waiters();
        Ticket(state.ticket)
    }

    /// A reader lives with this ticket.
    pub fn enter(&self, ticket: Ticket) {
        lock(&self.state).readers.insert(ticket.0);
    }

    /// It has gone.
    pub fn leave(&self, ticket: Ticket) {
        lock(&self.state).readers.remove(&ticket.0);
    }

    /// Whether somebody still holds a reader of before: what is committed now may be his, and the partition has been
    /// another's since.
    pub fn has_former_reader(&self) -> bool {
        let state = lock(&self.state);
        state.readers.iter().any(|ticket| *ticket != state.ticket)
    }

    /// The partition is no longer ours.
    pub fn revoke(&self) {
        let mut state = lock(&self.state);
        state.restart();
        state.away = true;
        self.wake.notify_waiters();
        self.wake.notify_one();
    }

    /// The client closes: lets go of everything that belongs to it.
    pub fn close(&self) {
        self.revoke();
        lock(&self.state).queue = None;
    }

    /// Goes on at `offset`; takes effect with [`Lane::settle`].
    pub fn want(&self, ticket: Ticket, offset: u64) -> Result<(), LogError> {
        let mut state = self.held_by(ticket)?;
        state.fetched.clear();
        state.gap = 0;
        state.wanted = Some(Wanted::Seek(offset));
        Ok(())
    }

    /// Brings librdkafka to where the lane wants to read. Cancel-safe: what is not done is done by the next call.
    pub async fn settle(&self, ticket: Ticket) -> Result<(), LogError> {
        loop {
            let wanted = self.held_by(ticket)?.wanted;
            let (next, gap) = match wanted {
                None => return Ok(()),
                Some(Wanted::Seek(offset)) => {
                    if !self.seek(offset).await? {
                        self.client.reposition(&self.at, offset).await?;
                    }
                    (offset, 0)
                }
                Some(Wanted::Recover(asked)) => self.recover(asked).await?,
            };
            let mut state = self.held_by(ticket)?;
            if state.wanted == wanted {
                state.fetched.clear();
                state.next = next;
                state.gap += gap;
                state.wanted = None;
            }
        }
    }

    /// `false` when librdkafka is not fetching the partition, so that it has to be started anew.
    async fn seek(&self, offset: u64) -> Result<bool, LogError> {
        let (consumer, at) = (self.client.consumer()?, self.at.clone());
        let seek = move || {
            (0..SEEK_TRIES).any(|_| {
                let wait = Duration::from_secs(5);
                let done = consumer.seek(&at.topic, native_partition(&at), native_offset(offset), wait).is_ok();
                if !done {
                    thread::sleep(SEEK_PAUSE);
                }
                done
            })
        };
        tokio::task::spawn_blocking(seek).await.map_err(|_| LogError::Closed)
    }

    /// The offset that was asked for is not there: goes on at the earliest that is.
    async fn recover(&self, asked: u64) -> Result<(u64, u64), LogError> {
        let (first, end) = self.probe.offsets(&self.at).await?;
        if asked > end {
            let reason = format!("the log ends at {end}: the topic was made anew or has lost records");
            let TopicPartition { topic, partition } = self.at.clone();
            return Err(LogError::Corrupt { topic, partition, offset: asked, reason });
        }
        let next = asked.max(first);
        if first > asked {
            warn!(topic = self.at.topic, partition = self.at.partition, asked, first, "records are gone by retention");
        }
        self.client.reposition(&self.at, next).await?;
        Ok((next, next - asked))
    }

    /// The end as its own client sees it, which reads committed records: where the first open transaction begins.
    pub async fn stable_end(&self) -> Result<u64, LogError> {
        let (_, end) = self.probe.offsets_for(&self.client, &self.at).await?;
        Ok(end)
    }

    /// Resolves when [`Lane::drain`] would find a record or a gap to report.
    pub async fn ready(&self, ticket: Ticket) -> Result<(), LogError> {
        loop {
            self.settle(ticket).await?;
            // Registered before looking, so that a record that comes in between wakes it.
            let woken = self.wake.notified();
            if self.has_something(ticket)? {
                return Ok(());
            }
            woken.await;
        }
    }

    fn has_something(&self, ticket: Ticket) -> Result<bool, LogError> {
        let mut state = self.held_by(ticket)?;
        if state.gap > 0 {
            return Ok(true);
        }
        loop {
            if state.fetched.is_empty() && state.fetch(&self.at, LOOK_AHEAD) == 0 {
                return Ok(false);
            }
            match state.fetched.front() {
                Some(Entry::Record(_) | Entry::Failed(_)) => return Ok(true),
                Some(&Entry::End(offset)) => {
                    state.next = state.next.max(offset);
                    state.fetched.pop_front();
                }
                Some(Entry::OutOfRange) => {
                    state.lost_its_place();
                    // `settle` has something to do again.
                    self.wake.notify_one();
                    return Ok(false);
                }
                None => {}
            }
        }
    }

    /// See [`Reader::drain`](crate::log::Reader::drain).
    pub fn drain(&self, ticket: Ticket, max: usize, visit: &mut dyn FnMut(RecordRef<'_>)) -> Result<Drained, LogError> {
        let mut state = self.held_by(ticket)?;
        if let Some(Wanted::Seek(next) | Wanted::Recover(next)) = state.wanted {
            return Ok(Drained { records: 0, next, gap: 0 });
        }
        let mut records = 0;
        while records < max {
            match state.fetched.pop_front() {
                Some(Entry::Record(record)) => {
                    visit(record.view());
                    state.next = record.offset() + 1;
                    records += 1;
                }
                Some(Entry::End(offset)) => state.next = state.next.max(offset),
                Some(Entry::OutOfRange) => {
                    state.lost_its_place();
                    self.wake.notify_one();
                    break;
                }
                Some(Entry::Failed(error)) if records == 0 => return Err(error),
                Some(failed @ Entry::Failed(_)) => {
                    state.fetched.push_front(failed);
                    break;
                }
                None if state.fetch(&self.at, max - records) == 0 => break,
                None => {}
            }
        }
        Ok(Drained { records, next: state.next, gap: std::mem::take(&mut state.gap) })
    }

    fn held_by(&self, ticket: Ticket) -> Result<MutexGuard<'_, State>, LogError> {
        let state = lock(&self.state);
        if state.queue.is_none() {
            return Err(LogError::Closed);
        }
        if state.away || state.ticket != ticket.0 {
            return Err(LogError::Fenced(format!("{}/{}", self.at.topic, self.at.partition)));
        }
        Ok(state)
    }
}

impl State {
    /// Ends the ticket of before and forgets what was fetched for it.
    fn restart(&mut self) {
        self.ticket += 1;
        self.fetched.clear();
        self.gap = 0;
        self.wanted = None;
    }

    fn lost_its_place(&mut self) {
        self.fetched.clear();
        self.wanted = Some(Wanted::Recover(self.next));
    }

    /// Moves up to `max` entries from librdkafka's queue to ours; 0 when there are none.
    fn fetch(&mut self, at: &TopicPartition, max: usize) -> usize {
        let State { queue: Some(queue), fetched, next, .. } = self else { return 0 };
        queue.take(max, |entry| {
            fetched.push_back(match entry {
                Fetched::Record(record) => Entry::Record(record),
                Fetched::End(offset) => Entry::End(offset),
                Fetched::OutOfRange => Entry::OutOfRange,
                Fetched::Failed(code, reason) => Entry::Failed(failure::of_fetch(at, *next, code, reason)),
            });
        })
    }
}
