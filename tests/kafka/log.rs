//! What the Kafka log promises to the stages, on a real broker.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use rdkafka::{
    consumer::{CommitMode, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use tokio::{sync::mpsc, time::timeout};
use tripline::{
    config,
    log::{
        Assignment, Cleanup, Commit, Committed, Drained, HeadStart, Log, LogError, Member, Membership, Reader, Record,
        Start, Subscription, TopicPartition, TopicSpec, Transaction,
        kafka::{KafkaLog, TUNED},
    },
};

use crate::logs::contract;

use super::broker::{broker, kafka, kafka_with_sasl, produce, topic_records, unique_prefix};

pub const SOON: Duration = Duration::from_secs(40);
/// What the tests' records are stamped with: older than any retention, by which none of them may be taken.
const LONG_AGO_MS: i64 = 1_700_000_000_000;

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} took longer than {SOON:?}"))
}

fn connect(kafka: &config::Kafka) -> Arc<KafkaLog> {
    KafkaLog::connect(kafka).expect("the configuration is valid")
}

fn spec(name: &str, partitions: u32, cleanup: Cleanup) -> TopicSpec {
    TopicSpec { name: name.to_owned(), partitions, cleanup, fixed: false }
}

fn deleting() -> Cleanup {
    Cleanup::Delete { age: Some(Duration::from_secs(86_400)), bytes: None }
}

pub fn at(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.to_owned(), partition }
}

pub fn record(topic: &str, partition: u32, key: &str, value: &str) -> Record {
    Record {
        topic: topic.to_owned(),
        partition,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        timestamp_ms: LONG_AGO_MS,
    }
}

/// A log with one topic of `partitions`, and the topic's name.
pub async fn with_topic(partitions: u32, cleanup: Cleanup) -> (Arc<KafkaLog>, String) {
    let prefix = unique_prefix();
    let log = connect(&kafka(&prefix));
    let topic = format!("{prefix}.topic");
    soon("creation", log.ensure(&[spec(&topic, partitions, cleanup)])).await.expect("the topic is created");
    (log, topic)
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// Reads until `count` values are there; returns them with what the last drain said.
async fn read(reader: &mut dyn Reader, count: usize) -> (Vec<String>, Drained) {
    let mut values = Vec::new();
    let mut last = Drained { records: 0, next: 0, gap: 0 };
    let mut gap = 0;
    while values.len() < count {
        soon("the next record", reader.ready()).await.expect("the partition is readable");
        let max = count - values.len();
        last = reader.drain(max, &mut |record| values.push(text(record.value))).expect("the partition is readable");
        gap += last.gap;
    }
    (values, Drained { gap, ..last })
}

struct Seat {
    member: Box<dyn Member>,
    events: mpsc::UnboundedReceiver<Membership>,
}

fn join(log: &KafkaLog, group: &str, topic: &str, start: Start) -> Seat {
    let (sender, events) = mpsc::unbounded_channel();
    let topics = vec![(topic.to_owned(), start)];
    let subscription = Subscription { group: group.to_owned(), topics, with_state: true };
    Seat { member: log.join(subscription, sender).expect("the subscription is valid"), events }
}

impl Seat {
    async fn next(&mut self) -> Membership {
        soon("an event of the group", self.events.recv()).await.expect("the member lives")
    }

    /// Gives back what is asked for at once until `count` partitions have been assigned.
    async fn assigned(&mut self, count: usize) -> Vec<Assignment> {
        let mut assignments: Vec<Assignment> = Vec::new();
        while assignments.len() < count {
            match self.next().await {
                Membership::Assigned(new) => assignments.extend(new),
                Membership::Revoked { partitions, done } => {
                    assignments.retain(|assignment| !partitions.contains(&assignment.at));
                    done.send(()).expect("the log waits for the answer");
                }
                Membership::Lost(partitions) => panic!("lost {partitions:?}"),
                Membership::Failed(error) => panic!("failed: {error}"),
            }
        }
        assignments
    }

    async fn only(&mut self) -> Assignment {
        self.assigned(1).await.pop().expect("one partition")
    }
}

fn commit(group: &str, at: &TopicPartition, next: u64, metadata: &str) -> Transaction {
    let committed = Committed { next, metadata: metadata.to_owned() };
    let commit = Commit { group: group.to_owned(), topic: at.topic.clone(), partition: at.partition, committed };
    Transaction { commits: vec![commit], ..Transaction::default() }
}

#[tokio::test]
async fn the_kafka_log_keeps_every_promise() {
    let prefix = unique_prefix();
    contract::every_promise(connect(&kafka(&prefix)), &prefix).await;
}

#[tokio::test]
async fn records_come_back_in_order_with_key_value_and_time() {
    let (log, topic) = with_topic(2, deleting()).await;
    // Two calls before either is awaited: the second must not overtake the first.
    let first = log.append((0..500).map(|n| record(&topic, 0, "k", &format!("{n:04}"))).collect());
    let second = log.append((500..1000).map(|n| record(&topic, 0, "k", &format!("{n:04}"))).collect());
    let offsets = soon("the second append", second).await.expect("it is durable");
    assert_eq!(offsets, (500..1000).collect::<Vec<u64>>());
    assert_eq!(soon("the first append", first).await.expect("it is durable"), (0..500).collect::<Vec<u64>>());
    let other = soon("another partition", log.append(vec![record(&topic, 1, "k", "other")])).await;
    assert_eq!(other.expect("it is durable"), vec![0]);

    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.expect("a reader");
    let (values, drained) = read(reader.as_mut(), 1000).await;
    assert_eq!(values, (0..1000).map(|n| format!("{n:04}")).collect::<Vec<_>>());
    assert_eq!((drained.next, drained.gap), (1000, 0));
    soon("seek", reader.seek(998)).await.expect("it goes back");
    soon("the record", reader.ready()).await.expect("it is there");
    let mut seen = Vec::new();
    reader
        .drain(1, &mut |r| seen.push((r.offset, r.timestamp_ms, r.stamped_by_log, text(r.key), text(r.value))))
        .expect("it is readable");
    let (offset, timestamp_ms, stamped_by_log, key, value) = seen.pop().expect("one record");
    assert_eq!((offset, key, value), (998, "k".to_owned(), "0998".to_owned()));
    assert!(stamped_by_log && timestamp_ms > LONG_AGO_MS, "retention counts from the arrival");
    assert_eq!(soon("end", reader.end()).await.expect("the broker answers"), 1000);
    assert_eq!(soon("offsets", log.offsets(&at(&topic, 1))).await.expect("the broker answers"), (0, 1));
}

#[tokio::test]
async fn an_absent_value_and_an_empty_one_stay_different() {
    let (log, topic) = with_topic(1, deleting()).await;
    let absent = Record { value: None, ..record(&topic, 0, "k", "") };
    let keyless = Record { key: None, ..record(&topic, 0, "", "v") };
    soon("append", log.append(vec![absent, record(&topic, 0, "", ""), keyless])).await.expect("it is durable");
    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.expect("a reader");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        soon("the records", reader.ready()).await.expect("they are there");
        reader
            .drain(3, &mut |r| seen.push((r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec))))
            .expect("they are readable");
    }
    let some = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(seen, vec![(some("k"), None), (some(""), some("")), (None, some("v"))]);
}

#[tokio::test]
async fn where_nothing_goes_by_age_the_writers_time_comes_back() {
    let (log, topic) = with_topic(1, Cleanup::Delete { age: None, bytes: None }).await;
    soon("append", log.append(vec![record(&topic, 0, "k", "v")])).await.expect("it is durable");
    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.expect("a reader");
    soon("the record", reader.ready()).await.expect("it is there");
    let mut seen = Vec::new();
    reader.drain(1, &mut |r| seen.push((r.timestamp_ms, r.stamped_by_log))).expect("it is readable");
    assert_eq!(seen, [(LONG_AGO_MS, false)]);
}

#[tokio::test]
async fn a_full_producer_queue_makes_appends_wait_and_keeps_their_order() {
    let prefix = unique_prefix();
    let mut small = kafka(&prefix);
    small.properties.insert("queue.buffering.max.messages".into(), "10".into());
    small.properties.insert("linger.ms".into(), "0".into());
    let log = connect(&small);
    let topic = format!("{prefix}.topic");
    log.ensure(&[spec(&topic, 1, deleting())]).await.expect("the topic is created");
    let appends: Vec<_> = (0..20)
        .map(|call| log.append((0..50).map(|n| record(&topic, 0, "k", &format!("{call}:{n}"))).collect()))
        .collect();
    for append in appends {
        soon("an append", append).await.expect("nothing is dropped");
    }
    let values: Vec<String> = topic_records(&topic).iter().map(|(_, _, _, value)| text(value.as_deref())).collect();
    let wanted: Vec<String> = (0..20).flat_map(|call| (0..50).map(move |n| format!("{call}:{n}"))).collect();
    assert!(values == wanted, "{} of {} records, or in another order", values.len(), wanted.len());
}

/// The largest record, as the log is tuned.
const BYTES_MAX: usize = 16 << 20;

#[tokio::test]
async fn the_largest_record_is_taken_by_topics_of_either_kind() {
    for cleanup in [deleting(), Cleanup::Compact] {
        let (log, topic) = with_topic(1, cleanup).await;
        // Nothing that compresses: the broker counts what it is sent.
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(BYTES_MAX - 1_000)
        .collect();
        let largest = Record { value: Some(Bytes::from(noise)), ..record(&topic, 0, "k", "") };
        soon("the largest record", log.append(vec![largest])).await.expect("it is taken");
        assert_eq!(log.offsets(&at(&topic, 0)).await.expect("an answer"), (0, 1));
    }
}

#[tokio::test]
async fn appends_that_can_not_succeed_say_why() {
    let (log, topic) = with_topic(1, deleting()).await;
    let huge = Record { value: Some(Bytes::from(vec![b'x'; BYTES_MAX + 1])), ..record(&topic, 0, "", "") };
    let refused = soon("a huge record", log.append(vec![record(&topic, 0, "k", "small"), huge])).await;
    assert!(matches!(refused, Err(LogError::TooLarge { bytes_max: BYTES_MAX, .. })), "{refused:?}");
    assert_eq!(log.offsets(&at(&topic, 0)).await.expect("an answer"), (0, 0), "nothing of the call was written");
    let nowhere = soon("an unknown partition", log.append(vec![record(&topic, 7, "k", "v")])).await;
    assert!(matches!(nowhere, Err(LogError::NoPartition { partition: 7, .. })), "{nowhere:?}");
    let missing = format!("{topic}.missing");
    let nowhere = soon("an unknown topic", log.append(vec![record(&missing, 0, "k", "v")])).await;
    assert!(matches!(nowhere, Err(LogError::NoTopic(ref name)) if *name == missing), "{nowhere:?}");
    let asked = log.partitions(&missing).await;
    assert!(matches!(asked, Err(LogError::NoTopic(_))), "asking must not create it: {asked:?}");
    assert!(soon("nothing", log.append(Vec::new())).await.expect("nothing is always durable").is_empty());
}

#[tokio::test]
async fn ensure_creates_what_is_missing_and_refuses_another_fixed_number() {
    let prefix = unique_prefix();
    let log = connect(&kafka(&prefix));
    let (events, signals) = (format!("{prefix}.events"), format!("{prefix}.signals"));
    let fixed = TopicSpec { fixed: true, ..spec(&signals, 3, Cleanup::Compact) };
    let specs = [spec(&events, 2, deleting()), fixed.clone()];
    soon("creation", log.ensure(&specs)).await.expect("both are created");
    assert_eq!(log.partitions(&events).await.expect("it exists"), 2);
    assert_eq!(log.partitions(&signals).await.expect("it exists"), 3);
    soon("a second time", log.ensure(&specs)).await.expect("both are right");
    let more = spec(&events, 5, deleting());
    soon("another number", log.ensure(&[more])).await.expect("it is not fixed, so the topic stays as it is");
    let refused = soon("another fixed number", log.ensure(&[TopicSpec { partitions: 4, ..fixed }])).await;
    assert!(matches!(refused, Err(LogError::Partitions { found: 3, wanted: 4, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_topic_for_state_that_is_not_compacted_is_refused() {
    let (log, topic) = with_topic(1, deleting()).await;
    let refused = soon("the check", log.ensure(&[spec(&topic, 1, Cleanup::Compact)])).await;
    let why = refused.expect_err("it would lose state").to_string();
    assert!(why.contains(&topic) && why.contains("cleanup.policy=delete"), "{why}");
}

#[tokio::test]
async fn too_many_replicas_are_refused_with_the_number() {
    let prefix = unique_prefix();
    let log = connect(&config::Kafka { replication: 3, ..kafka(&prefix) });
    let refused = soon("creation", log.ensure(&[spec(&format!("{prefix}.t"), 1, deleting())])).await;
    let why = refused.expect_err("one broker can't keep three replicas").to_string();
    assert!(why.contains("3 replicas"), "{why}");
}

#[tokio::test]
async fn a_group_goes_on_where_it_committed_with_its_metadata() {
    let (log, topic) = with_topic(1, deleting()).await;
    produce(&topic, 0, &["a", "b", "c"]);
    let (group, place) = (format!("{topic}.group"), at(&topic, 0));
    let mut seat = join(&log, &group, &topic, Start::Earliest);
    let mut assignment = seat.only().await;
    assert_eq!(assignment.committed, None);
    assert_eq!(read(assignment.reader.as_mut(), 2).await.0, ["a", "b"]);
    soon("commit", log.commit(commit(&group, &place, 2, "epoch 7"))).await.expect("the partition is ours");
    let committed = Some(Committed { next: 2, metadata: "epoch 7".into() });
    assert_eq!(log.committed(&group, &place).await.expect("the broker answers"), committed);
    soon("leaving", seat.member.leave()).await;

    let mut seat = join(&log, &group, &topic, Start::Earliest);
    let mut assignment = seat.only().await;
    assert_eq!(assignment.committed, committed);
    assert_eq!(read(assignment.reader.as_mut(), 1).await.0, ["c"]);
    let unknown = log.committed(&format!("{group}.other"), &place).await.expect("the broker answers");
    assert_eq!(unknown, None);
}

#[tokio::test]
async fn a_group_without_commit_starts_where_its_subscription_says() {
    let (log, topic) = with_topic(1, deleting()).await;
    produce(&topic, 0, &["old"]);
    let mut early = join(&log, &format!("{topic}.early"), &topic, Start::Earliest);
    let mut late = join(&log, &format!("{topic}.late"), &topic, Start::Latest);
    let (mut early, mut late) = (early.only().await, late.only().await);
    produce(&topic, 0, &["new"]);
    assert_eq!(read(early.reader.as_mut(), 2).await.0, ["old", "new"]);
    assert_eq!(read(late.reader.as_mut(), 1).await.0, ["new"]);
}

#[tokio::test]
async fn a_commit_writes_its_records_before_its_offsets() {
    let (log, topic) = with_topic(1, deleting()).await;
    let group = format!("{topic}.group");
    let out = format!("{topic}.out");
    log.ensure(&[spec(&out, 1, deleting())]).await.expect("the topic is created");
    produce(&topic, 0, &["a"]);
    let mut seat = join(&log, &group, &topic, Start::Earliest);
    let _assignment = seat.only().await;
    let transaction = Transaction {
        records: vec![record(&out, 0, "k", "alert")],
        state: vec![record(&out, 0, "k", "state"), record(&out, 0, "k", "header")],
        ..commit(&group, &at(&topic, 0), 1, "")
    };
    soon("commit", log.commit(transaction)).await.expect("the partition is ours");
    let values: Vec<String> = topic_records(&out).iter().map(|(_, _, _, value)| text(value.as_deref())).collect();
    assert_eq!(values, ["alert", "state", "header"]);
}

#[tokio::test]
async fn two_members_share_the_partitions_and_one_takes_over_when_the_other_leaves() {
    let (log, topic) = with_topic(4, deleting()).await;
    // Another process, as the broker sees it.
    let other = connect(&kafka(&unique_prefix()));
    let group = format!("{topic}.group");
    let mut first = join(&log, &group, &topic, Start::Earliest);
    let mut all = first.assigned(4).await;
    let mut second = join(&other, &group, &topic, Start::Earliest);

    // The first must hand over two, after its last commit; the others are not touched.
    let Membership::Revoked { partitions, done } = first.next().await else { panic!("a revocation was due") };
    assert_eq!(partitions.len(), 2);
    for place in &partitions {
        soon("the last commit", log.commit(commit(&group, place, 0, "handed over"))).await.expect("still ours");
    }
    done.send(()).expect("the log waits");
    let handed = second.assigned(2).await;
    assert!(handed.iter().all(|a| a.committed.as_ref().is_some_and(|c| c.metadata == "handed over")));
    let mut taken: Vec<_> = handed.iter().map(|assignment| assignment.at.clone()).collect();
    taken.sort();
    let mut gone = partitions.clone();
    gone.sort();
    assert_eq!(taken, gone);

    // What was handed over is fenced for the first, reading and committing.
    let late = soon("a late commit", log.commit(commit(&group, &gone[0], 9, ""))).await;
    assert!(matches!(late, Err(LogError::Fenced(_))), "{late:?}");
    let stale = all.iter_mut().find(|assignment| assignment.at == gone[0]).expect("it had it");
    let drained = stale.reader.drain(1, &mut |_| panic!("nothing may come"));
    assert!(matches!(drained, Err(LogError::Fenced(_))), "{drained:?}");
    let kept = all.iter_mut().find(|assignment| !gone.contains(&assignment.at)).expect("it kept two");
    produce(&topic, kept.at.partition, &["kept"]);
    assert_eq!(read(kept.reader.as_mut(), 1).await.0, ["kept"]);

    // The second leaves: nobody is asked to answer, and its partitions are assigned here again.
    soon("leaving", second.member.leave()).await;
    assert!(second.events.try_recv().is_err(), "who leaves knows it");
    let mut back = first.assigned(2).await;
    let place = back[0].at.clone();
    produce(&topic, place.partition, &["back"]);
    assert_eq!(read(back[0].reader.as_mut(), 1).await.0, ["back"]);
    // Who had it before it was away may still believe that it has: that one's commits are older than what was done since.
    let late = soon("a late commit", log.commit(commit(&group, &place, 9, ""))).await;
    assert!(matches!(late, Err(LogError::Fenced(_))), "{late:?}");
    drop(all);
    soon("commit", log.commit(commit(&group, &place, 1, ""))).await.expect("ours again");
}

#[tokio::test]
async fn a_rebalance_skips_no_record_of_the_partitions_that_stay() {
    let (log, topic) = with_topic(2, deleting()).await;
    let other = connect(&kafka(&unique_prefix()));
    let group = format!("{topic}.group");
    let mut first = join(&log, &group, &topic, Start::Earliest);
    let mut all = first.assigned(2).await;
    for Assignment { at, reader, .. } in &mut all {
        produce(&topic, at.partition, &["before"]);
        assert_eq!(read(reader.as_mut(), 1).await.0, ["before"]);
        assert!(timeout(Duration::from_secs(1), reader.ready()).await.is_err(), "it has been told of the end");
    }
    let mut second = join(&other, &group, &topic, Start::Earliest);
    let Membership::Revoked { partitions, done } = first.next().await else { panic!("a revocation was due") };
    let kept = all.iter_mut().find(|assignment| !partitions.contains(&assignment.at)).expect("it keeps one");
    produce(&topic, kept.at.partition, &["meanwhile"]);
    done.send(()).expect("the log waits");
    second.only().await;
    assert_eq!(read(kept.reader.as_mut(), 1).await.0, ["meanwhile"]);
}

#[tokio::test]
async fn a_reopened_partition_starts_at_its_last_commit_and_fences_the_reader_before() {
    let (log, topic) = with_topic(1, deleting()).await;
    let (group, place) = (format!("{topic}.group"), at(&topic, 0));
    produce(&topic, 0, &["a", "b", "c", "d"]);
    let mut seat = join(&log, &group, &topic, Start::Earliest);
    let mut before = seat.only().await;
    read(before.reader.as_mut(), 3).await;
    log.commit(commit(&group, &place, 1, "one")).await.expect("the partition is ours");
    let mut after = soon("reopening", seat.member.reopen(&place)).await.expect("the partition is ours");
    assert_eq!(after.committed, Some(Committed { next: 1, metadata: "one".into() }));
    let stale = before.reader.drain(1, &mut |_| panic!("nothing may come"));
    assert!(matches!(stale, Err(LogError::Fenced(_))), "{stale:?}");
    assert_eq!(read(after.reader.as_mut(), 3).await.0, ["b", "c", "d"]);
    // What is committed while the reader of before lives may come from it.
    let with_state = || Transaction { state: vec![record(&topic, 0, "k", "v")], ..commit(&group, &place, 4, "stale") };
    for late in [commit(&group, &place, 4, "stale"), with_state()] {
        let late = soon("a late commit", log.commit(late)).await;
        assert!(matches!(late, Err(LogError::Fenced(_))), "{late:?}");
    }
    drop(before);
    soon("a commit", log.commit(with_state())).await.expect("the reader of now is the only one");
    let foreign = seat.member.reopen(&at(&topic, 3)).await;
    assert!(matches!(foreign, Err(LogError::Fenced(_))));
}

#[tokio::test]
async fn a_static_member_that_restarts_gets_its_seat_back() {
    let prefix = unique_prefix();
    let process = config::Kafka { instance: Some(format!("{prefix}-seat")), ..kafka(&prefix) };
    let log = connect(&process);
    let topic = format!("{prefix}.topic");
    log.ensure(&[spec(&topic, 2, deleting())]).await.expect("the topic is created");
    // One instance in two groups, and two seats of it in one of them.
    let mut other_group = join(&log, &format!("{prefix}.b"), &topic, Start::Earliest);
    other_group.assigned(2).await;
    let mut first = join(&log, &prefix, &topic, Start::Earliest);
    first.assigned(2).await;
    let mut second = join(&log, &prefix, &topic, Start::Earliest);
    let Membership::Revoked { partitions, done } = first.next().await else { panic!("a revocation was due") };
    drop(done);
    assert_eq!(second.only().await.at, partitions[0]);

    soon("leaving", first.member.leave()).await;
    let mut again = join(&log, &prefix, &topic, Start::Earliest);
    let kept = again.only().await;
    assert_ne!(kept.at, partitions[0]);
    assert!(second.events.try_recv().is_err(), "a restart moves nothing of the others");
}

#[tokio::test]
async fn a_second_process_with_the_same_instance_fences_the_first() {
    let prefix = unique_prefix();
    let process = config::Kafka { instance: Some(format!("{prefix}-seat")), ..kafka(&prefix) };
    let (log, twin) = (connect(&process), connect(&process));
    let topic = format!("{prefix}.topic");
    log.ensure(&[spec(&topic, 1, deleting())]).await.expect("the topic is created");
    let mut first = join(&log, &prefix, &topic, Start::Earliest);
    let mut held = first.only().await;
    let mut second = join(&twin, &prefix, &topic, Start::Earliest);
    second.only().await;
    let failed = async {
        loop {
            match first.next().await {
                Membership::Failed(error) => break error,
                Membership::Lost(partitions) => assert_eq!(partitions, [held.at.clone()]),
                Membership::Assigned(_) | Membership::Revoked { .. } => panic!("nothing is given or asked for"),
            }
        }
    };
    let error = failed.await;
    assert!(matches!(error, LogError::Fenced(_)), "{error:?}");
    let late = soon("a late commit", log.commit(commit(&prefix, &held.at, 1, ""))).await;
    assert!(matches!(late, Err(LogError::Fenced(_))), "{late:?}");
    soon("leaving", first.member.leave()).await;
    let drained = held.reader.drain(1, &mut |_| panic!("nothing may come"));
    assert!(matches!(drained, Err(LogError::Fenced(_) | LogError::Closed)), "{drained:?}");
}

#[tokio::test]
async fn the_newer_group_protocol_works_when_it_is_configured() {
    let prefix = unique_prefix();
    let mut process = kafka(&prefix);
    process.properties = BTreeMap::from([("group.protocol".to_owned(), "consumer".to_owned())]);
    let log = connect(&process);
    let topic = format!("{prefix}.topic");
    log.ensure(&[spec(&topic, 1, deleting())]).await.expect("the topic is created");
    produce(&topic, 0, &["a", "b"]);
    let mut seat = join(&log, &prefix, &topic, Start::Earliest);
    let mut assignment = seat.only().await;
    assert_eq!(read(assignment.reader.as_mut(), 1).await.0, ["a"]);
    soon("commit", log.commit(commit(&prefix, &assignment.at, 1, "one"))).await.expect("the partition is ours");
    let mut again = soon("reopening", seat.member.reopen(&assignment.at)).await.expect("the partition is ours");
    assert_eq!(read(again.reader.as_mut(), 1).await.0, ["b"]);
    soon("leaving", seat.member.leave()).await;
}

#[tokio::test]
async fn records_taken_by_retention_are_reported_as_a_gap() {
    let (log, topic) = with_topic(1, deleting()).await;
    let (group, place) = (format!("{topic}.group"), at(&topic, 0));
    produce(&topic, 0, &["0", "1", "2", "3", "4", "5"]);
    let mut seat = join(&log, &group, &topic, Start::Earliest);
    let mut assignment = seat.only().await;
    read(assignment.reader.as_mut(), 6).await;
    log.commit(commit(&group, &place, 2, "")).await.expect("the partition is ours");
    delete_before(&topic, 4).await;
    let mut reopened = soon("reopening", seat.member.reopen(&place)).await.expect("the partition is ours");
    let (values, drained) = read(reopened.reader.as_mut(), 2).await;
    assert_eq!((values, drained.gap), (vec!["4".to_owned(), "5".to_owned()], 2));

    soon("leaving", seat.member.leave()).await;
    let mut seat = join(&log, &group, &topic, Start::Earliest);
    let mut assignment = seat.only().await;
    let (values, drained) = read(assignment.reader.as_mut(), 2).await;
    assert_eq!((values, drained.gap), (vec!["4".to_owned(), "5".to_owned()], 2), "also right after an assignment");
}

#[tokio::test]
async fn a_position_beyond_the_end_is_an_error_and_not_a_reset() {
    let (log, topic) = with_topic(1, deleting()).await;
    produce(&topic, 0, &["a"]);
    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.expect("a reader");
    soon("seek", reader.seek(50)).await.expect("it is asked for");
    let error = soon("the refusal", async {
        loop {
            if let Err(error) = reader.ready().await {
                break error;
            }
            if let Err(error) = reader.drain(1, &mut |_| panic!("nothing may come")) {
                break error;
            }
        }
    });
    let error = error.await;
    assert!(matches!(error, LogError::Corrupt { offset: 50, .. }), "{error:?}");
}

pub async fn delete_before(topic: &str, offset: i64) {
    use rdkafka::{
        ClientConfig, Offset, TopicPartitionList,
        admin::{AdminClient, AdminOptions},
        client::DefaultClientContext,
    };
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("an admin client");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("a valid offset");
    admin.delete_records(&list, &AdminOptions::new()).await.expect("the records are deleted");
}

#[tokio::test]
async fn a_compacted_partition_restores_the_newest_value_of_every_live_key() {
    let (log, topic) = with_topic(2, Cleanup::Compact).await;
    let place = at(&topic, 1);
    assert!(soon("an empty one", log.compacted(&place)).await.expect("it is readable").is_empty());
    let mut records: Vec<Record> =
        (0..3000).map(|n| record(&topic, 1, &format!("{}", n % 100), &n.to_string())).collect();
    records.push(Record { value: None, ..record(&topic, 1, "7", "") });
    soon("append", log.append(records)).await.expect("it is durable");
    let live = soon("restore", log.compacted(&place)).await.expect("it is readable");
    let wanted: BTreeMap<Bytes, Bytes> = (2900..3000)
        .filter(|n| n % 100 != 7)
        .map(|n| (Bytes::from((n % 100).to_string()), Bytes::from(n.to_string())))
        .collect();
    assert_eq!(live, wanted);
}

/// A producer with transactions, which time does not end while a test runs.
pub fn transactional(id: &str) -> BaseProducer {
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &broker().bootstrap)
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "600000")
        .create()
        .expect("a producer");
    producer.init_transactions(SOON).expect("transactions");
    producer
}

/// Sends one record in a transaction that is left open.
pub fn open_transaction(producer: &BaseProducer, topic: &str, key: &str, value: &str) {
    producer.begin_transaction().expect("a transaction");
    producer.send(BaseRecord::to(topic).partition(0).key(key).payload(value)).map_err(|(e, _)| e).expect("room");
    producer.flush(SOON).expect("the record is delivered");
}

#[tokio::test]
async fn markers_of_transactions_and_aborted_records_hold_up_neither_restore_nor_reader() {
    let (log, topic) = with_topic(1, Cleanup::Compact).await;
    let place = at(&topic, 0);
    let producer = transactional(&topic);
    open_transaction(&producer, &topic, "a", "1");
    producer.commit_transaction(SOON).expect("the commit");
    open_transaction(&producer, &topic, "a", "2");
    producer.abort_transaction(SOON).expect("the abort");

    let live = soon("restore", log.compacted(&place)).await.expect("it is readable");
    assert_eq!(live, BTreeMap::from([(Bytes::from("a"), Bytes::from("1"))]));
    let mut reader = log.reader(&place, Start::Earliest).await.expect("a reader");
    let end = reader.end().await.expect("the broker answers");
    assert_eq!(end, 4, "two records and two markers");
    assert_eq!(read(reader.as_mut(), 1).await.0, ["1"]);
    // Caught up means that the position is the end, though the last record lies three before it.
    let caught_up = async {
        while reader.drain(9, &mut |_| panic!("nothing more is committed")).expect("it is readable").next < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the position to pass the markers", caught_up).await;
}

#[tokio::test]
async fn an_open_transaction_counts_to_the_end_and_its_records_are_seen_when_it_commits() {
    let (log, topic) = with_topic(1, Cleanup::Compact).await;
    let place = at(&topic, 0);
    let producer = transactional(&topic);
    open_transaction(&producer, &topic, "a", "1");
    let mut reader = log.reader(&place, Start::Earliest).await.expect("a reader");
    assert_eq!(reader.end().await.expect("the broker answers"), 1);
    assert!(timeout(Duration::from_millis(600), reader.ready()).await.is_err(), "it is not committed");
    // A restore that is begun now waits for the outcome: the state must not miss what is committed in a moment. How
    // much it waits for is told before there is any of it.
    let (begun, mut told) = mpsc::unbounded_channel();
    let restored = {
        let (log, place) = (log.clone(), place.clone());
        tokio::spawn(async move {
            log.restore(&place, HeadStart::default(), &|read, of| begun.send((read, of)).expect("it is heard")).await
        })
    };
    assert_eq!(soon("its beginning", told.recv()).await, Some((0, 1)));
    tokio::task::spawn_blocking(move || producer.commit_transaction(SOON).expect("the commit"))
        .await
        .expect("it commits");
    assert_eq!(read(reader.as_mut(), 1).await.0, ["1"]);
    let live = soon("restore", restored).await.expect("it runs").expect("it is readable");
    assert_eq!(live.iter().collect::<Vec<_>>(), [(b"a".as_slice(), b"1".as_slice())]);
}

/// A step with an alert, a piece of state and the position that they follow from.
fn step(alerts: &str, state: &str, group: &str, signals: &TopicPartition, value: &str) -> Transaction {
    let commit = commit(group, signals, 1, "").commits;
    Transaction {
        records: vec![record(alerts, signals.partition, "a", value)],
        state: vec![record(state, signals.partition, "s", value)],
        commits: commit,
    }
}

/// A step that does not end in a [`slow`] process: it writes the state, and keeps the alert.
fn endless(alerts: &str, state: &str, group: &str, signals: &TopicPartition) -> Transaction {
    let mut step = step(alerts, state, group, signals, "endless");
    step.state.push(record(state, signals.partition, "t", "endless"));
    step
}

async fn three_topics(log: &KafkaLog, prefix: &str, partitions: u32) -> [String; 3] {
    let names = ["alerts", "state", "signals"].map(|name| format!("{prefix}.{name}"));
    let cleanups = [deleting(), Cleanup::Compact, deleting()];
    let specs: Vec<_> = names.iter().zip(cleanups).map(|(name, cleanup)| spec(name, partitions, cleanup)).collect();
    soon("creation", log.ensure(&specs)).await.expect("the topics are created");
    names
}

#[tokio::test]
async fn a_step_that_can_not_be_written_whole_leaves_nothing_and_others_go_on() {
    let prefix = unique_prefix();
    let log = connect(&kafka(&prefix));
    let [alerts, state, signals] = three_topics(&log, &prefix, 1).await;
    let (group, place) = (format!("{prefix}.group"), at(&signals, 0));
    produce(&signals, 0, &["a"]);
    let mut seat = join(&log, &group, &signals, Start::Earliest);
    seat.only().await;
    let mut broken = step(&alerts, &state, &group, &place, "broken");
    broken.records.push(record(&alerts, 7, "a", "no such partition"));
    let (broken, good) = (log.commit(broken), log.commit(step(&alerts, &state, &group, &place, "good")));
    let refused = soon("the broken step", broken).await;
    assert!(matches!(refused, Err(LogError::NoPartition { partition: 7, .. })), "{refused:?}");
    soon("the good step", good).await.expect("it takes effect");
    let values = |topic: &str| -> Vec<String> {
        topic_records(topic).iter().map(|(_, _, _, value)| text(value.as_deref())).collect()
    };
    assert_eq!((values(&alerts), values(&state)), (vec!["good".to_owned()], vec!["good".to_owned()]));
    assert_eq!(log.committed(&group, &place).await.expect("an answer").map(|committed| committed.next), Some(1));
}

#[tokio::test]
async fn what_a_dead_owner_left_open_is_ended_by_its_successor_and_not_by_time() {
    let prefix = unique_prefix();
    // Far longer than the test waits.
    let mut process = kafka(&prefix);
    process.properties.insert("transaction.timeout.ms".into(), "600000".into());
    let log = connect(&process);
    let [alerts, state, signals] = three_topics(&log, &prefix, 1).await;
    let (group, place) = (format!("{prefix}.group"), at(&signals, 0));
    produce(&signals, 0, &["a", "b"]);

    // An owner that died inside a transaction: its records and its position are written.
    let signed = list(&place, 1);
    signed.find_partition(&signals, 0).expect("the partition").set_metadata(format!("tx:{prefix}-dead its words"));
    lookup(&group).commit(&signed, CommitMode::Sync).expect("the signed position");
    let dead = transactional(&format!("{prefix}-dead"));
    open_transaction(&dead, &alerts, "a", "one");
    dead.send_offsets_to_transaction(&list(&place, 2), &lookup(&group).group_metadata().expect("a group"), SOON)
        .expect("the position");

    let mut seat = join(&log, &group, &signals, Start::Earliest);
    let committed = Some(Committed { next: 1, metadata: "its words".to_owned() });
    assert_eq!(seat.only().await.committed, committed, "what was not committed counts for nothing");
    soon("a step", log.commit(step(&alerts, &state, &group, &place, "again"))).await.expect("it takes effect");
    assert_eq!(topic_records(&alerts).len(), 1, "readers are held up by nothing");
    let late = tokio::task::spawn_blocking(move || dead.commit_transaction(SOON)).await.expect("it ends");
    assert!(late.is_err(), "the dead came back");
    assert_eq!(topic_records(&alerts).len(), 1);

    assert!(signed_by(&group, &place).is_some_and(|id| !id.ends_with("-dead")), "the successor signs");
    soon("leaving", seat.member.leave()).await;
    assert_eq!(signed_by(&group, &place), None, "who gives a partition back has nothing open");
}

/// Who leaves in an orderly way may still have a transaction that does not end.
#[tokio::test]
async fn who_gives_a_partition_back_inside_a_transaction_leaves_his_name_there() {
    let prefix = unique_prefix();
    let (leaver, successor) = (connect(&slow(&prefix)), connect(&kafka(&prefix)));
    let [alerts, state, signals] = three_topics(&successor, &prefix, 1).await;
    let (group, place, state_place) = (format!("{prefix}.group"), at(&signals, 0), at(&state, 0));
    produce(&signals, 0, &["a"]);
    let mut seat = join(&leaver, &group, &signals, Start::Earliest);
    seat.only().await;
    let endless = tokio::spawn(leaver.commit(endless(&alerts, &state, &group, &place)));
    let written = async { while successor.offsets(&state_place).await.expect("an answer").1 < 2 {} };
    soon("the state to be written", written).await;

    let owner = signed_by(&group, &place);
    soon("leaving", seat.member.leave()).await;
    assert!(owner.is_some() && signed_by(&group, &place) == owner, "{owner:?}");
    let mut seat = join(&successor, &group, &signals, Start::Earliest);
    assert_eq!(seat.only().await.committed, None);
    let restored = soon("a restore that nobody holds up", successor.compacted(&state_place)).await;
    assert!(restored.expect("it is readable").is_empty(), "nothing was committed");
    endless.abort();
}

/// A writer that is stuck holds up its own partitions and no others.
#[tokio::test]
async fn a_transaction_that_stays_open_leaves_the_partitions_of_other_writers_alone() {
    let prefix = unique_prefix();
    let (process, successor) = (connect(&slow(&prefix)), connect(&kafka(&prefix)));
    let [alerts, state, signals] = three_topics(&successor, &prefix, 2).await;
    let (group, stuck, free) = (format!("{prefix}.group"), at(&signals, 0), at(&signals, 1));
    produce(&signals, 0, &["a"]);
    produce(&signals, 1, &["a"]);
    let mut seat = join(&process, &group, &signals, Start::Earliest);
    drop(seat.assigned(2).await);
    let endless = tokio::spawn(process.commit(endless(&alerts, &state, &group, &stuck)));
    let mut whole = step(&alerts, &state, &group, &free, "whole");
    whole.records.push(record(&alerts, 1, "b", "whole"));
    whole.state.push(record(&state, 1, "t", "whole"));
    soon("the step of another writer", process.commit(whole)).await.expect("it takes effect");
    let owners = [signed_by(&group, &stuck), signed_by(&group, &free)];
    assert!(owners.iter().all(Option::is_some) && owners[0] != owners[1], "{owners:?}");

    soon("leaving", seat.member.leave()).await;
    let mut seat = join(&successor, &group, &signals, Start::Earliest);
    let mut next: Vec<_> = seat.assigned(2).await.into_iter().map(|a| (a.at.partition, a.committed)).collect();
    next.sort_by_key(|(partition, _)| *partition);
    let whole = Committed { next: 1, metadata: String::new() };
    assert_eq!(next, [(0, None), (1, Some(whole))]);
    endless.abort();
}

/// A process whose producers send two records of a partition at once and keep a single one for long: so a transaction
/// stays open.
fn slow(prefix: &str) -> config::Kafka {
    let mut process = kafka(prefix);
    let slow = [("transaction.timeout.ms", "600000"), ("linger.ms", "50000"), ("batch.num.messages", "2")];
    process.properties.extend(slow.map(|(name, value)| (name.to_owned(), value.to_owned())));
    process
}

/// A client of the group that sees what is committed, without a seat.
fn lookup(group: &str) -> rdkafka::consumer::BaseConsumer {
    let mut client = rdkafka::ClientConfig::new();
    client.set("bootstrap.servers", &broker().bootstrap).set("group.id", group);
    client.set("isolation.level", "read_uncommitted").create().expect("a client")
}

fn list(at: &TopicPartition, next: i64) -> rdkafka::TopicPartitionList {
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&at.topic, at.partition as i32, rdkafka::Offset::Offset(next)).expect("an offset");
    list
}

/// The transactional id in front of the position's metadata.
fn signed_by(group: &str, at: &TopicPartition) -> Option<String> {
    let found = lookup(group).committed_offsets(list(at, 0), SOON).expect("an answer");
    let element = found.find_partition(&at.topic, at.partition as i32).expect("the partition");
    element.metadata().strip_prefix("tx:")?.split(' ').find(|id| !id.is_empty()).map(str::to_owned)
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_a_bounded_queue() {
    let prefix = unique_prefix();
    let mut process = kafka(&prefix);
    process.properties.insert("queued.max.messages.kbytes".into(), "64".into());
    let log = connect(&process);
    let topic = format!("{prefix}.topic");
    log.ensure(&[spec(&topic, 1, deleting())]).await.expect("the topic is created");
    let value = "x".repeat(1000);
    soon("append", log.append((0..5000).map(|_| record(&topic, 0, "k", &value)).collect())).await.expect("durable");
    let mut seat = join(&log, &prefix, &topic, Start::Earliest);
    let mut assignment = seat.only().await;
    // One record at a time over a queue that holds a few dozen: every refill must wake the reader.
    let (values, drained) = read(assignment.reader.as_mut(), 5000).await;
    assert_eq!((values.len(), drained.next), (5000, 5000));
}

#[tokio::test]
async fn tls_with_scram_and_with_plain_reads_and_writes() {
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let prefix = unique_prefix();
        let log = connect(&kafka_with_sasl(&prefix, mechanism, &broker().password));
        let topic = format!("{prefix}.topic");
        soon("creation", log.ensure(&[spec(&topic, 1, deleting())])).await.expect(mechanism);
        soon("append", log.append(vec![record(&topic, 0, "k", "v")])).await.expect(mechanism);
        let mut seat = join(&log, &prefix, &topic, Start::Earliest);
        assert_eq!(read(seat.only().await.reader.as_mut(), 1).await.0, ["v"]);
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_clear_error_in_bounded_time_and_is_not_shown() {
    let prefix = unique_prefix();
    let log = connect(&kafka_with_sasl(&prefix, "SCRAM-SHA-512", "wrong-horse"));
    let told = |error: LogError| {
        assert!(matches!(error, LogError::Refused(_)) && !error.is_transient(), "{error:?}");
        let why = error.to_string();
        assert!(why.to_lowercase().contains("authentication") && !why.contains("wrong-horse"), "{why}");
    };
    told(soon("a question", log.partitions("any")).await.expect_err("we are refused"));
    told(soon("an append", log.append(vec![record("any", 0, "k", "v")])).await.expect_err("we are refused"));
    let mut seat = join(&log, &prefix, "any", Start::Earliest);
    let Membership::Failed(error) = seat.next().await else { panic!("a failure was due") };
    told(error);
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_talked_to() {
    let mut stranger = kafka_with_sasl(&unique_prefix(), "SCRAM-SHA-512", &broker().password);
    stranger.properties.remove("ssl.ca.location");
    let why = soon("a question", connect(&stranger).partitions("any")).await.expect_err("it is not trusted");
    assert!(why.to_string().contains("certificate verify failed"), "{why}");
}

#[tokio::test]
async fn brokers_that_are_not_there_are_named() {
    let nowhere = config::Kafka { brokers: "127.0.0.1:1".into(), ..kafka(&unique_prefix()) };
    let why = soon("a question", connect(&nowhere).partitions("any")).await.expect_err("nobody answers");
    assert!(why.is_transient() && why.to_string().contains("127.0.0.1:1"), "{why}");
}

#[tokio::test]
async fn properties_are_passed_through_and_a_refused_one_is_named() {
    let prefix = unique_prefix();
    let mut process = kafka(&prefix);
    process.properties.insert("message.max.bytes".into(), "2000".into());
    let log = connect(&process);
    let big = Record { value: Some(Bytes::from(vec![b'x'; 2001])), ..record("any", 0, "", "") };
    assert!(matches!(log.append(vec![big]).await, Err(LogError::TooLarge { bytes_max: 2000, .. })));
    process.properties.insert("linger.millis".into(), "4".into());
    let refused = KafkaLog::connect(&process).map(drop).expect_err("there is no such property").to_string();
    assert!(refused.contains("linger.millis"), "{refused}");
    assert!(TUNED.iter().all(|tuned| !tuned.why.is_empty()));
}
