//! Followers of a log in memory, by clocks that are set by hand. That log reads no compacted topic in order, so the state
//! lies in one that keeps every record.

use super::{follower::AWAY_MAX, *};
use crate::{
    config::{Config, Correlate},
    log::{Cleanup, Live, Record, TopicSpec, memory::MemoryLog},
    telemetry::{FollowedStatus, StandbyStatus},
};

const TOPIC: &str = "t.state";
const MIB: usize = 1 << 20;

struct Following {
    log: Arc<MemoryLog>,
    clock: Clock,
    telemetry: Telemetry,
    standby: Arc<Standby>,
    // Ends with this.
    _running: JoinSet<()>,
}

impl Following {
    /// Two partitions, each with room for so many bytes of records.
    async fn start(kept_bytes: u64, standby_bytes_max: u64) -> Following {
        let (log, clock, telemetry) = (MemoryLog::new(), Clock::manual(1_000_000_000), Telemetry::default());
        let cleanup = Cleanup::Delete { age: None, bytes: Some(kept_bytes) };
        let spec = TopicSpec { name: TOPIC.to_owned(), partitions: 2, cleanup, fixed: true };
        log.ensure(&[spec]).await.expect("the topic");
        let config = Correlate { partitions: 2, standby: true, standby_bytes_max, ..Config::default().correlate };
        let standby = Standby::new(log.clone(), TOPIC.to_owned(), &config, clock.clone(), telemetry.clone());
        let mut running = JoinSet::new();
        running.spawn(standby.clone().run());
        Following { log, clock, telemetry, standby, _running: running }
    }

    async fn write(&self, partition: u32, key: &str, value: Option<&[u8]>) {
        let (key, value) = (Some(key.to_owned().into()), value.map(|value| value.to_vec().into()));
        let record = Record { topic: TOPIC.to_owned(), partition, key, value, timestamp_ms: 0 };
        self.log.append(vec![record]).await.expect("it is durable");
    }

    fn followed(&self, partition: u32) -> Option<FollowedStatus> {
        self.telemetry.status().followed.into_iter().find(|followed| followed.partition == partition)
    }

    fn counts(&self) -> StandbyStatus {
        self.telemetry.status().standby
    }

    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?} {:?}", self.telemetry.status().followed, self.counts());
    }

    async fn until_at(&self, partition: u32, next: u64) {
        self.until(|this| this.followed(partition).is_some_and(|followed| followed.next == next)).await;
    }
}

fn sorted(live: &Live) -> Vec<(&[u8], &[u8])> {
    let mut records: Vec<_> = live.iter().collect();
    records.sort();
    records
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_partition_over_has_its_newest_values_and_where_they_end() {
    let following = Following::start(1 << 30, 1 << 30).await;
    for (key, value) in [("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("c", Some("1")), ("b", None)] {
        following.write(1, key, value.map(str::as_bytes)).await;
    }
    following.until_at(1, 5).await;
    let mut held = following.standby.hold(1);
    let ahead = held.ahead();
    assert_eq!(sorted(&ahead.live), [(b"a".as_slice(), b"2".as_slice()), (b"c", b"1")]);
    assert_eq!(ahead.next, 5);
    assert_eq!(held.ahead().next, 0, "it is one line's");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_has_a_line_here_is_not_followed_until_the_line_is_gone() {
    let following = Following::start(1 << 30, 1 << 30).await;
    let held = following.standby.hold(0);
    following.write(0, "a", Some(b"1")).await;
    following.write(1, "a", Some(b"1")).await;
    following.until_at(1, 1).await;
    assert_eq!(following.followed(0), None);
    drop(held);
    following.until_at(0, 1).await;
    drop(following.standby.hold(0));
    following.until(|following| following.followed(0).is_none()).await;
    following.until_at(0, 1).await;
    assert_eq!(following.counts(), StandbyStatus::default());
}

#[tokio::test(start_paused = true)]
async fn what_was_away_for_too_long_is_not_taken_over() {
    let following = Following::start(1 << 30, 1 << 30).await;
    following.write(0, "a", Some(b"1")).await;
    following.until_at(0, 1).await;
    // As after a suspension: only the wall clock has gone on, and the follower has had no turn since.
    following.clock.advance(AWAY_MAX + Duration::from_secs(3600));
    let ahead = following.standby.hold(0).ahead();
    assert!(ahead.live.is_empty() && ahead.next == 0, "{ahead:?}");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_was_away_for_too_long_begins_anew() {
    let following = Following::start(1 << 30, 1 << 30).await;
    following.write(0, "a", Some(b"1")).await;
    following.write(1, "a", Some(b"1")).await;
    following.until_at(0, 1).await;
    following.until_at(1, 1).await;
    following.clock.advance(AWAY_MAX + Duration::from_secs(3600));
    following.until(|following| following.counts().begun_anew == 2).await;
    following.until_at(0, 1).await;
    let ahead = following.standby.hold(0).ahead();
    assert_eq!((sorted(&ahead.live), ahead.next), (vec![(b"a".as_slice(), b"1".as_slice())], 1));
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_is_at_the_end_again_and_again_is_never_away() {
    let following = Following::start(1 << 30, 1 << 30).await;
    following.write(0, "a", Some(b"1")).await;
    following.until_at(0, 1).await;
    for _ in 0..20 {
        following.clock.advance(AWAY_MAX / 4);
        tokio::time::sleep(AWAY_MAX / 4).await;
    }
    assert_eq!(following.counts().begun_anew, 0);
    assert_eq!(following.standby.hold(0).ahead().next, 1);
}

#[tokio::test(start_paused = true)]
async fn a_follower_whose_next_records_are_gone_begins_anew() {
    let following = Following::start(8, 1 << 30).await;
    following.write(0, "a", Some(b"1")).await;
    following.until_at(0, 1).await;
    // All at once: the log has forgotten the first of them before the follower has a turn.
    for key in ["b", "c", "d", "e", "f", "g"] {
        following.write(0, key, Some(b"2")).await;
    }
    following.until(|following| following.counts().begun_anew == 1).await;
    following.until_at(0, 7).await;
    let ahead = following.standby.hold(0).ahead();
    assert_eq!(ahead.live.len(), 4, "what the log still has, and nothing else: {ahead:?}");
}

#[tokio::test(start_paused = true)]
async fn the_largest_is_followed_no_longer_when_all_take_too_much_and_again_when_there_is_room() {
    let following = Following::start(1 << 30, 6 * MIB as u64).await;
    following.write(0, "small", Some(&vec![1; MIB])).await;
    following.until_at(0, 1).await;
    following.write(1, "large", Some(&vec![1; 5 * MIB])).await;
    following.until(|following| following.counts().dropped == 1).await;
    following.until(|following| following.followed(1).is_none()).await;
    // Not all the time.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((following.counts().dropped, following.followed(1)), (1, None));
    assert!(following.followed(0).is_some_and(|followed| followed.bytes >= MIB as u64));
    // With the line here there is nothing to follow of the small one, and the room is the other's.
    let _held = following.standby.hold(0);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(following.followed(1), None, "there is not a quarter to spare");
    drop(following.standby.hold(1));
    following.until_at(1, 1).await;
    assert_eq!(following.counts(), StandbyStatus { dropped: 1, begun_anew: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_log_that_can_not_be_followed_is_asked_again_and_harms_nobody() {
    let following = Following::start(1 << 30, 1 << 30).await;
    let name = "t.compacted".to_owned();
    let spec = TopicSpec { name: name.clone(), partitions: 2, cleanup: Cleanup::Compact, fixed: true };
    following.log.ensure(&[spec]).await.expect("the topic");
    let config = Correlate { partitions: 2, standby: true, ..Config::default().correlate };
    let telemetry = Telemetry::default();
    let standby = Standby::new(following.log.clone(), name, &config, following.clock.clone(), telemetry.clone());
    let running = tokio::spawn(standby.clone().run());
    tokio::time::sleep(FOLLOW_AFTER + 2 * FOLLOW_AGAIN_AFTER).await;
    assert_eq!(telemetry.status().standby.begun_anew, 4, "each of two, twice");
    assert_eq!(standby.hold(0).ahead().next, 0);
    running.abort();
}
