//! Writes events into topics of their own, and reads topics to their ends to see what the stages left there.

use std::{cell::RefCell, rc::Rc};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{OnceCell, mpsc};

use super::{
    Bench, MATCHING, PARTITIONS,
    events::{Events, GAP, Plan},
    ground::{Ground, LATENESS},
};
use crate::{
    clock::Clock,
    event::Timestamp,
    log::{Assignment, Log, Member, Membership, Record, RecordRef, Start, Subscription},
};

/// Records of one append, and appends under way.
const APPEND_RECORDS: usize = 2_000;
const APPENDS: usize = 4;

/// Records visited in one go.
const DRAIN_MAX: usize = 1_000;

/// A topic of events that was written to its end.
pub struct Feed {
    pub topic: String,
    pub plan: Plan,
    /// The offset after the last event, partition by partition.
    pub ends: Vec<u64>,
}

impl Feed {
    /// Writes the events of a plan by turns into the partitions of a new topic, and behind them one for each partition
    /// whose time lets every window be looked at.
    pub async fn write(ground: &Ground, events: &Events, plan: Plan, name: &str, partitions: u32) -> Result<Feed> {
        let topic = ground.events_topic(name, partitions).await?;
        let now = Timestamp::from_millis(Clock::System.now_ms());
        let begin = now.minus(GAP * plan.events as u32 + LATENESS * 10);
        let at = |number: usize| begin.plus(GAP * number as u32);
        let record = |number: usize, value: Vec<u8>| record(&topic, number as u32 % partitions, value, now);
        let batches = (0..plan.events).step_by(APPEND_RECORDS).map(|first| {
            let numbers = first..plan.events.min(first + APPEND_RECORDS);
            numbers.map(|number| record(number, events.event(&plan, number, at(number)))).collect::<Vec<_>>()
        });
        let appends = stream::iter(batches).map(|batch| ground.log().append(batch)).buffered(APPENDS);
        appends.try_for_each(|_| async { Ok(()) }).await.context("writing events")?;
        let closing = at(plan.events).plus(LATENESS * 2);
        let last = (0..partitions as usize)
            .map(|partition| record(partition, events.event(&plan, plan.events, closing)))
            .collect();
        let offsets = ground.log().append(last).await.context("writing events")?;
        Ok(Feed { topic, plan, ends: offsets.into_iter().map(|offset| offset + 1).collect() })
    }
}

/// The feeds of the parts of a bench.
#[derive(Default)]
pub struct Feeds {
    /// What most parts read: [`MATCHING`] of a thousand match, in [`PARTITIONS`]. Written when it is first wanted, and
    /// kept.
    common: OnceCell<Rc<Feed>>,
    others: RefCell<Vec<String>>,
}

impl Feeds {
    /// Signals of a cycle: of a thousand, one is an alert by itself and ten are one of a window.
    const CYCLE: usize = 1_000;

    /// A topic of events of which so many of a thousand match.
    pub async fn get(&self, bench: &Bench<'_>, per_mille: usize, partitions: u32) -> Result<Rc<Feed>> {
        let plan = Plan { events: bench.args.events, per_mille, cycle: Self::CYCLE };
        let name = format!("{per_mille}-{partitions}");
        let write = async || Feed::write(bench.ground, bench.events, plan, &name, partitions).await.map(Rc::new);
        if (per_mille, partitions) == (MATCHING, PARTITIONS) {
            return self.common.get_or_try_init(write).await.cloned();
        }
        let feed = write().await?;
        self.others.borrow_mut().push(feed.topic.clone());
        Ok(feed)
    }

    /// Removes those that only one part reads.
    pub async fn part_is_over(&self, ground: &Ground) -> Result<()> {
        ground.remove(&self.others.take()).await
    }
}

/// An event as it is written.
pub fn record(topic: &str, partition: u32, value: Vec<u8>, now: Timestamp) -> Record {
    Record { topic: topic.to_owned(), partition, key: None, value: Some(value.into()), timestamp_ms: now.as_millis() }
}

/// A seat in a group of the bench's own, with every partition of one topic.
pub struct Seat {
    /// Leaves the group when it goes.
    pub member: Box<dyn Member>,
    pub partitions: Vec<Assignment>,
}

impl Seat {
    pub async fn take(ground: &Ground, topic: &str) -> Result<Seat> {
        let count = ground.log().partitions(topic).await?;
        let (sender, mut events) = mpsc::unbounded_channel();
        let group = ground.group();
        let topics = vec![(topic.to_owned(), Start::Earliest)];
        let member = ground.log().join(Subscription { group, topics, with_state: false }, sender)?;
        let mut partitions = Vec::new();
        while partitions.len() < count as usize {
            match events.recv().await {
                Some(Membership::Assigned(assigned)) => partitions.extend(assigned),
                Some(Membership::Failed(error)) => return Err(error.into()),
                Some(Membership::Revoked { .. } | Membership::Lost(_)) | None => {
                    bail!("a partition of {topic} was taken away: is somebody in the bench's group?")
                }
            }
        }
        partitions.sort_by_key(|assignment| assignment.at.partition);
        Ok(Seat { member, partitions })
    }
}

/// Visits every record of a topic, as committed readers see it.
pub async fn read_all(ground: &Ground, topic: &str, mut visit: impl FnMut(RecordRef<'_>)) -> Result<()> {
    let mut seat = Seat::take(ground, topic).await?;
    for Assignment { at, reader, .. } in &mut seat.partitions {
        let (first, end) = ground.log().offsets(at).await?;
        if first == end {
            continue;
        }
        reader.seek(first).await?;
        let mut next = first;
        while next < end {
            let drained = reader.drain(DRAIN_MAX, &mut visit)?;
            next = drained.next;
            if drained.records == 0 && next < end {
                // The end of a transaction is no record: what is behind the last one is looked for again and again.
                tokio::select! {
                    ready = reader.ready() => ready?,
                    () = tokio::time::sleep(super::running::LOOK) => {}
                }
            }
        }
    }
    Ok(())
}
