//! One follower: what it has of its partition, and how it goes on.
//!
//! What removes a key from a compacted partition is itself removed some time later. Who was not at the end of the
//! partition for so long may never hear of it, and would keep the key: such a follower's records are worth nothing.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::Standby;
use crate::{
    clock::Clock,
    log::{HeadStart, Live, LogError, REMOVALS_STAY, Reader, TopicPartition},
};

/// Records taken in at once: as long as this takes, who takes the partition over waits.
const BATCH_RECORDS_MAX: usize = 1024;
/// How often the log is asked where the partition ends.
const END_INTERVAL: Duration = Duration::from_secs(5);
/// How often a follower without records looks where it is: markers of transactions move it, too.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A follower that has caught up lets records gather for so long.
const PAUSE: Duration = Duration::from_millis(200);
/// How long ago a follower may have been at the end, far below the time for which removals stay.
pub(super) const AWAY_MAX: Duration = Duration::from_secs(REMOVALS_STAY.as_secs() / 4);

/// The follower of one partition, shared by its task and by who takes it over.
pub(super) struct Follower {
    pub partition: u32,
    /// About what it takes in memory.
    pub bytes: AtomicU64,
    /// `None` when it was handed over or had to make room.
    kept: Mutex<Option<Kept>>,
    over: Notify,
}

/// The records before `next`.
struct Kept {
    live: Live,
    next: u64,
    /// When it was at the end, or began: nothing before is missing.
    fresh: Seen,
}

/// Why a follower ended.
pub(super) enum Left {
    /// Somebody took what it had.
    Over,
    /// It was not at the end for so long.
    Away(Duration),
    /// Records between those that it had and the next ones are gone.
    Gap,
    Failed(LogError),
}

impl From<LogError> for Left {
    fn from(error: LogError) -> Self {
        Left::Failed(error)
    }
}

/// A moment by two clocks: one stands still while the machine is suspended, the other may be set back.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    wall_ms: i64,
}

impl Seen {
    fn now(clock: &Clock) -> Self {
        Seen { at: Instant::now(), wall_ms: clock.now_ms() }
    }

    /// How long ago it was, by the clock that says more.
    fn ago(self, clock: &Clock) -> Duration {
        let by_wall = u64::try_from(clock.now_ms().saturating_sub(self.wall_ms)).unwrap_or(0);
        self.at.elapsed().max(Duration::from_millis(by_wall))
    }
}

/// An end of the partition: who has read up to it was there when it was asked for.
struct Goal {
    asked: Seen,
    end: u64,
}

impl Follower {
    pub fn new(partition: u32, clock: &Clock) -> Self {
        let kept = Kept { live: Live::default(), next: 0, fresh: Seen::now(clock) };
        Follower { partition, bytes: AtomicU64::new(0), kept: Mutex::new(Some(kept)), over: Notify::new() }
    }

    /// What it has, if nothing can be missing in it; the follower ends.
    pub fn hand_over(&self, clock: &Clock) -> Option<HeadStart> {
        let Kept { live, next, fresh } = self.give_up()?;
        (fresh.ago(clock) <= AWAY_MAX).then_some(HeadStart { live, next })
    }

    /// The follower ends, and what it has goes.
    pub fn drop_all(&self) {
        self.give_up();
    }

    fn give_up(&self) -> Option<Kept> {
        let kept = self.kept().take();
        self.bytes.store(0, Ordering::Relaxed);
        self.over.notify_one();
        kept
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows until there is a reason not to.
    pub async fn run(&self, standby: &Standby, at: &TopicPartition) -> Left {
        tokio::select! {
            biased;
            () = self.over.notified() => Left::Over,
            left = self.read(standby, at) => left,
        }
    }

    async fn read(&self, standby: &Standby, at: &TopicPartition) -> Left {
        let mut reader = match standby.log.follow(at).await {
            Ok(reader) => reader,
            Err(error) => return error.into(),
        };
        let (mut goal, mut end, mut asked) = (None, 0, None::<Instant>);
        loop {
            if goal.is_none() && asked.is_none_or(|asked| asked.elapsed() >= END_INTERVAL) {
                asked = Some(Instant::now());
                let before = Seen::now(&standby.clock);
                match reader.end().await {
                    Ok(found) => (goal, end) = (Some(Goal { asked: before, end: found }), found),
                    // For how long this goes on is limited by how long it may be away.
                    Err(error) if error.is_transient() => debug!(%error, "where a followed state ends is not known"),
                    Err(error) => return error.into(),
                }
            }
            if let Ok(Err(error)) = timeout(LOOK_AGAIN, reader.ready()).await {
                return error.into();
            }
            let turn = standby.turn.lock().await;
            let began = Instant::now();
            match self.take(reader.as_mut(), &mut goal, &standby.clock) {
                Ok(Told { next, keys }) => {
                    let bytes = self.bytes.load(Ordering::Relaxed);
                    standby.telemetry.standby_followed(self.partition, next, end.max(next), keys, bytes);
                }
                Err(left) => return left,
            }
            standby.make_room();
            // In the background: as long at rest as at work, all followers together.
            sleep(began.elapsed()).await;
            drop(turn);
            if goal.is_none() {
                sleep(PAUSE).await;
            }
        }
    }

    /// Takes in what is at hand.
    fn take(&self, reader: &mut dyn Reader, goal: &mut Option<Goal>, clock: &Clock) -> Result<Told, Left> {
        let mut kept = self.kept();
        let Some(kept) = &mut *kept else { return Err(Left::Over) };
        let away = kept.fresh.ago(clock);
        if away > AWAY_MAX {
            return Err(Left::Away(away));
        }
        let drained = reader.drain(BATCH_RECORDS_MAX, &mut |record| kept.live.take(record))?;
        if drained.gap > 0 {
            return Err(Left::Gap);
        }
        kept.next = drained.next;
        if let Some(reached) = goal.take_if(|goal| kept.next >= goal.end) {
            kept.fresh = reached.asked;
        }
        self.bytes.store(kept.live.room() as u64, Ordering::Relaxed);
        Ok(Told { next: kept.next, keys: kept.live.len() as u64 })
    }
}

/// How far it is.
struct Told {
    next: u64,
    keys: u64,
}
