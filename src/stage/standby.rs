//! Standby: follows the changelog of the signals partitions that other processes own, so that who takes one over reads
//! only what came since.
//!
//! Who follows what: every partition that no line of this process has, as far as the memory goes. A line that begins
//! takes what was followed of its partition along; the restore reads on from there. Nothing rests on it: a follower that
//! may have missed something begins anew, and a line without one restores in full. It never looks into a record.

mod follower;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tracing::{error, info, warn};

use self::follower::{Follower, Left};
use crate::{
    clock::Clock,
    config,
    log::{HeadStart, Log, TopicPartition},
    telemetry::Telemetry,
};

/// How often it is looked which partitions nobody here has.
const PLACES_INTERVAL: Duration = Duration::from_secs(1);
/// A partition is followed when its line is gone for so long: one that failed comes back, and a process that starts has
/// not been given its partitions yet.
const FOLLOW_AFTER: Duration = Duration::from_secs(5);
/// A follower that failed is followed by another one after so long.
const FOLLOW_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What a process follows of other processes' state.
pub struct Standby {
    log: Arc<dyn Log>,
    /// The topic of the state.
    topic: String,
    /// What all followers may take together in memory.
    bytes_max: u64,
    clock: Clock,
    telemetry: Telemetry,
    places: Mutex<Vec<Place>>,
    /// Held by the follower that takes records in: they share one turn.
    turn: tokio::sync::Mutex<()>,
}

/// A partition as this process sees it.
struct Place {
    /// Lines of this process that have it.
    lines: u32,
    /// There until its task has ended, so that a partition has one at a time.
    follower: Option<Arc<Follower>>,
    /// Nobody follows it before.
    due: Instant,
    /// What it took when it had to make room.
    dropped: Option<u64>,
}

impl Standby {
    /// For all partitions of `topic`, which holds the state.
    pub fn new(
        log: Arc<dyn Log>,
        topic: String,
        config: &config::Correlate,
        clock: Clock,
        telemetry: Telemetry,
    ) -> Arc<Self> {
        let due = Instant::now() + FOLLOW_AFTER;
        let place = || Place { lines: 0, follower: None, due, dropped: None };
        let places = Mutex::new((0..config.partitions).map(|_| place()).collect());
        let bytes_max = config.standby_bytes_max;
        Arc::new(Standby { log, topic, bytes_max, clock, telemetry, places, turn: tokio::sync::Mutex::default() })
    }

    /// Follows whatever nobody here has, for ever.
    pub async fn run(self: Arc<Self>) {
        // Dropped with this future, and the followers with it.
        let mut followers = JoinSet::new();
        let mut looks = tokio::time::interval(PLACES_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            while let Some(ended) = followers.try_join_next() {
                if let Err(error) = ended {
                    error!(%error, "a follower of state crashed");
                }
            }
            for follower in self.due() {
                followers.spawn(self.clone().follow(follower));
            }
        }
    }

    /// A line of this process has the partition: nobody follows it as long as the guard lives.
    pub fn hold(self: &Arc<Self>, partition: u32) -> Held {
        // Not under the lock of all places: the follower may be busy for a moment.
        let follower = self.change(partition, |place| {
            place.lines += 1;
            place.dropped = None;
            place.follower.clone()
        });
        let ahead = follower.flatten().and_then(|follower| follower.hand_over(&self.clock));
        Held { standby: self.clone(), partition, ahead: ahead.unwrap_or_default() }
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, partition: u32, change: impl FnOnce(&mut Place) -> T) -> Option<T> {
        self.places().get_mut(partition as usize).map(change)
    }

    fn at(&self, partition: u32) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition }
    }

    /// Followers for the partitions that need one.
    fn due(&self) -> Vec<Arc<Follower>> {
        let mut places = self.places();
        let now = Instant::now();
        let mut taken: u64 = places.iter().map(Place::bytes).sum();
        let mut due = Vec::new();
        for (partition, place) in (0..).zip(&mut *places) {
            // With a quarter to spare, so that it does not go and come all the time.
            let needs = place.dropped.map_or(0, |bytes| bytes + bytes / 4);
            if place.lines > 0 || place.follower.is_some() || now < place.due || taken + needs > self.bytes_max {
                continue;
            }
            taken += needs;
            place.dropped = None;
            let follower = Arc::new(Follower::new(partition, &self.clock));
            place.follower = Some(follower.clone());
            due.push(follower);
        }
        due
    }

    async fn follow(self: Arc<Self>, follower: Arc<Follower>) {
        let _ending = Ending { standby: &self, follower: &follower };
        let (at, partition) = (self.at(follower.partition), follower.partition);
        match follower.run(&self, &at).await {
            Left::Over => {}
            Left::Away(away) => {
                let seconds = away.as_secs();
                info!(partition, seconds, "a follower of state was away for too long and begins anew");
                self.telemetry.standby_begun_anew();
            }
            Left::Gap => {
                info!(partition, "records of a followed state are gone, and its follower begins anew");
                self.telemetry.standby_begun_anew();
            }
            Left::Failed(error) => {
                warn!(partition, %error, "state is not followed for now");
                self.again_later(partition);
            }
        }
    }

    fn again_later(&self, partition: u32) {
        self.telemetry.standby_begun_anew();
        self.change(partition, |place| place.due = Instant::now() + FOLLOW_AGAIN_AFTER);
    }

    /// While all followers together take too much, the largest goes: so most partitions keep theirs.
    fn make_room(&self) {
        let mut places = self.places();
        while places.iter().map(Place::bytes).sum::<u64>() > self.bytes_max {
            let largest = places.iter_mut().max_by_key(|place| place.bytes());
            let Some(Place { follower: Some(follower), dropped, .. }) = largest else { return };
            let bytes = follower.bytes.load(Ordering::Relaxed);
            *dropped = Some(bytes);
            follower.drop_all();
            warn!(
                partition = follower.partition,
                bytes,
                bytes_max = self.bytes_max,
                "state is no longer followed: standby_bytes_max is reached"
            );
            self.telemetry.standby_dropped();
        }
    }
}

impl Place {
    fn bytes(&self) -> u64 {
        self.follower.as_ref().map_or(0, |follower| follower.bytes.load(Ordering::Relaxed))
    }
}

/// When it goes, a follower has ended, however that came.
struct Ending<'a> {
    standby: &'a Standby,
    follower: &'a Follower,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.follower.drop_all();
        self.standby.telemetry.standby_gone(self.follower.partition);
        if thread::panicking() {
            self.standby.again_later(self.follower.partition);
        }
        self.standby.change(self.follower.partition, |place| place.follower = None);
    }
}

/// The partition has a line here.
pub struct Held {
    standby: Arc<Standby>,
    partition: u32,
    ahead: HeadStart,
}

impl Held {
    /// What was followed of its state; nothing from the second time on.
    pub fn ahead(&mut self) -> HeadStart {
        std::mem::take(&mut self.ahead)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.standby.change(self.partition, |place| {
            place.lines -= 1;
            place.due = Instant::now() + FOLLOW_AFTER;
        });
    }
}
