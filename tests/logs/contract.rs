//! What every log promises its callers, whatever it keeps its records on.
//!
//! Rebalances may take time and offsets may have holes after a transaction, as on a broker: only their order counts.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{join_all, select_all};
use tokio::sync::mpsc;
use tripline::log::{
    Assignment, Cleanup, Commit, Committed, Log, LogError, Member, Membership, Reader, Record, Start, Subscription,
    TopicPartition, TopicSpec, Transaction,
};

/// Everything takes less than this, or fails.
const LIMIT: Duration = Duration::from_secs(60);

/// All of it. `prefix` begins the names of the topics and groups, so that runs on one broker don't meet.
pub async fn every_promise(log: Arc<dyn Log>, prefix: &str) {
    ensure_is_idempotent_and_refuses_another_fixed_count(&*log, prefix).await;
    what_does_not_exist_is_an_error(&*log, prefix).await;
    records_come_back_as_they_were_appended(&*log, prefix).await;
    unawaited_appends_keep_the_order_of_the_calls(&*log, prefix).await;
    a_reader_waits_for_the_next_record(&*log, prefix).await;
    a_reader_seeks_and_knows_the_end(&*log, prefix).await;
    a_reader_from_latest_sees_only_what_comes_later(&*log, prefix).await;
    a_group_resumes_at_its_commit_with_its_metadata(&*log, prefix).await;
    groups_do_not_see_each_other(&*log, prefix).await;
    a_transaction_takes_effect_in_all_its_parts(&*log, prefix).await;
    a_compacted_topic_keeps_the_newest_values(&*log, prefix).await;
    members_share_partitions_and_take_over(&*log, prefix).await;
    a_restarted_line_reads_on_from_the_commit(&*log, prefix).await;
}

async fn ensure_is_idempotent_and_refuses_another_fixed_count(log: &dyn Log, prefix: &str) {
    let name = format!("{prefix}.fixed");
    let spec = |partitions, fixed| TopicSpec { name: name.clone(), partitions, cleanup: keep_all(), fixed };
    log.ensure(&[spec(3, true)]).await.unwrap();
    log.ensure(&[spec(3, true)]).await.unwrap();
    let refused = log.ensure(&[spec(4, true)]).await;
    assert!(matches!(refused, Err(LogError::Partitions { found: 3, wanted: 4, .. })), "{refused:?}");
    log.ensure(&[spec(5, false)]).await.unwrap();
    assert_eq!(log.partitions(&name).await.unwrap(), 3);
}

async fn what_does_not_exist_is_an_error(log: &dyn Log, prefix: &str) {
    let missing = format!("{prefix}.missing");
    assert!(matches!(log.partitions(&missing).await, Err(LogError::NoTopic(_))));
    let topic = create(log, prefix, "small", 1).await;
    assert!(within(log.append(vec![text(&topic, 1, "no such partition")])).await.is_err());
}

async fn records_come_back_as_they_were_appended(log: &dyn Log, prefix: &str) {
    let topic = create(log, prefix, "plain", 2).await;
    let large = "x".repeat(900_000);
    let records = vec![
        record(&topic, 0, Some("key"), Some("value")),
        record(&topic, 1, None, Some("elsewhere")),
        record(&topic, 0, None, Some("no key")),
        record(&topic, 0, Some("no value"), None),
        record(&topic, 0, Some(""), Some("")),
        record(&topic, 0, None, Some(&large)),
    ];
    let offsets = log.append(records.clone()).await.unwrap();
    assert_eq!(offsets.len(), records.len());
    assert_increasing(&[offsets[0], offsets[2], offsets[3], offsets[4], offsets[5]]);

    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.unwrap();
    let read = read(&mut *reader, 5).await;
    let expected: Vec<_> = [0, 2, 3, 4, 5].into_iter().map(|index| Read::of(offsets[index], &records[index])).collect();
    assert_eq!(read, expected);
}

async fn unawaited_appends_keep_the_order_of_the_calls(log: &dyn Log, prefix: &str) {
    let topic = create(log, prefix, "ordered", 1).await;
    let calls: Vec<_> = (0..200).map(|n| log.append(vec![text(&topic, 0, &format!("{n}"))])).collect();
    let offsets: Vec<u64> = join_all(calls).await.into_iter().map(|offsets| offsets.unwrap()[0]).collect();
    assert_increasing(&offsets);
    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.unwrap();
    let texts: Vec<_> = read(&mut *reader, 200).await.into_iter().map(|read| read.text()).collect();
    assert_eq!(texts, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

async fn a_reader_waits_for_the_next_record(log: &dyn Log, prefix: &str) {
    let topic = create(log, prefix, "waiting", 1).await;
    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.unwrap();
    assert_eq!(reader.drain(10, &mut |_| {}).unwrap().records, 0);
    let (waited, appended) = within(async {
        let append = async {
            tokio::task::yield_now().await;
            log.append(vec![text(&topic, 0, "here")]).await
        };
        tokio::join!(reader.ready(), append)
    })
    .await;
    waited.unwrap();
    appended.unwrap();
    assert_eq!(read(&mut *reader, 1).await[0].text(), "here");
}

async fn a_reader_seeks_and_knows_the_end(log: &dyn Log, prefix: &str) {
    let topic = create(log, prefix, "seek", 1).await;
    let mut offsets = Vec::new();
    for batch in 0..3 {
        let records = (0..100).map(|n| text(&topic, 0, &format!("{}", batch * 100 + n))).collect();
        offsets.extend(log.append(records).await.unwrap());
    }
    let mut reader = log.reader(&at(&topic, 0), Start::Earliest).await.unwrap();
    read(&mut *reader, 300).await;
    assert_eq!(within(reader.end()).await.unwrap(), offsets[299] + 1);
    assert_eq!(within(log.offsets(&at(&topic, 0))).await.unwrap(), (offsets[0], offsets[299] + 1));
    for target in [250, 17, 199, 100, 0] {
        within(reader.seek(offsets[target])).await.unwrap();
        let read = read_up_to(&mut *reader, 3).await;
        assert_eq!(read[0].text(), target.to_string());
        assert_eq!(read[0].offset, offsets[target]);
    }
    within(reader.seek(offsets[299] + 1)).await.unwrap();
    assert_eq!(reader.drain(10, &mut |_| {}).unwrap().records, 0);
}

async fn a_reader_from_latest_sees_only_what_comes_later(log: &dyn Log, prefix: &str) {
    let topic = create(log, prefix, "latest", 1).await;
    log.append(vec![text(&topic, 0, "before")]).await.unwrap();
    let mut reader = log.reader(&at(&topic, 0), Start::Latest).await.unwrap();
    log.append(vec![text(&topic, 0, "after")]).await.unwrap();
    assert_eq!(read(&mut *reader, 1).await[0].text(), "after");
}

async fn a_group_resumes_at_its_commit_with_its_metadata(log: &dyn Log, prefix: &str) {
    let topic = create(log, prefix, "resume", 1).await;
    let group = format!("{prefix}.resumers");
    let offsets = log.append((0..10).map(|n| text(&topic, 0, &n.to_string())).collect()).await.unwrap();

    let mut seat = Seat::join(log, &group, &topic);
    drive(&mut [&mut seat], |seats| seats[0].owned.len() == 1).await;
    let mine = seat.owned.get_mut(&at(&topic, 0)).unwrap();
    assert_eq!(mine.committed, None);
    assert_eq!(read(&mut *mine.reader, 4).await[3].text(), "3");
    let committed = Committed { next: offsets[4], metadata: "epoch 7, häh?".to_owned() };
    log.commit(commit(&group, &topic, 0, committed.clone())).await.unwrap();
    assert_eq!(within(log.committed(&group, &at(&topic, 0))).await.unwrap(), Some(committed.clone()));
    seat.leave().await;

    let mut seat = Seat::join(log, &group, &topic);
    drive(&mut [&mut seat], |seats| seats[0].owned.len() == 1).await;
    let mine = seat.owned.get_mut(&at(&topic, 0)).unwrap();
    assert_eq!(mine.committed, Some(committed));
    assert_eq!(read(&mut *mine.reader, 6).await[0].text(), "4");
    seat.leave().await;
}

async fn groups_do_not_see_each_other(log: &dyn Log, prefix: &str) {
    let topic = create(log, prefix, "groups", 1).await;
    let (one, other) = (format!("{prefix}.one"), format!("{prefix}.other"));
    log.append(vec![text(&topic, 0, "for both")]).await.unwrap();
    let mut seats = (Seat::join(log, &one, &topic), Seat::join(log, &other, &topic));
    drive(&mut [&mut seats.0, &mut seats.1], |seats| seats.iter().all(|seat| seat.owned.len() == 1)).await;
    for seat in [&mut seats.0, &mut seats.1] {
        let mine = seat.owned.get_mut(&at(&topic, 0)).unwrap();
        assert_eq!(read(&mut *mine.reader, 1).await[0].text(), "for both");
    }
    let committed = Committed { next: 1, metadata: String::new() };
    log.commit(commit(&one, &topic, 0, committed)).await.unwrap();
    assert_eq!(within(log.committed(&other, &at(&topic, 0))).await.unwrap(), None);
    seats.0.leave().await;
    seats.1.leave().await;
}

async fn a_transaction_takes_effect_in_all_its_parts(log: &dyn Log, prefix: &str) {
    let source = create(log, prefix, "tx-in", 1).await;
    let alerts = create(log, prefix, "alerts", 2).await;
    let state = create_compacted(log, prefix, "state", 2).await;
    let group = format!("{prefix}.transactors");
    let offsets = log.append(vec![text(&source, 0, "in")]).await.unwrap();
    let mut seat = Seat::join(log, &group, &source);
    drive(&mut [&mut seat], |seats| seats[0].owned.len() == 1).await;
    for round in 0..3 {
        let committed = Committed { next: offsets[0] + 1, metadata: format!("round {round}") };
        let transaction = Transaction {
            records: vec![text(&alerts, 0, &format!("a{round}")), text(&alerts, 1, &format!("b{round}"))],
            state: vec![
                record(&state, 0, Some("window"), Some(&format!("w{round}"))),
                record(&state, 1, Some("header"), Some(&format!("h{round}"))),
            ],
            ..commit(&group, &source, 0, committed.clone())
        };
        log.commit(transaction).await.unwrap();
        assert_eq!(within(log.committed(&group, &at(&source, 0))).await.unwrap(), Some(committed));
        assert_eq!(compacted(log, &state, 0).await, [("window".to_owned(), format!("w{round}"))]);
        assert_eq!(compacted(log, &state, 1).await, [("header".to_owned(), format!("h{round}"))]);
    }
    for (partition, letter) in [(0, "a"), (1, "b")] {
        let mut reader = log.reader(&at(&alerts, partition), Start::Earliest).await.unwrap();
        let texts: Vec<_> = read(&mut *reader, 3).await.into_iter().map(|read| read.text()).collect();
        assert_eq!(texts, (0..3).map(|round| format!("{letter}{round}")).collect::<Vec<_>>());
    }
    seat.leave().await;
}

async fn a_compacted_topic_keeps_the_newest_values(log: &dyn Log, prefix: &str) {
    let topic = create_compacted(log, prefix, "compacted", 2).await;
    assert_eq!(compacted(log, &topic, 0).await, []);
    log.append(vec![
        record(&topic, 0, Some("a"), Some("1")),
        record(&topic, 0, Some("b"), Some("1")),
        record(&topic, 1, Some("a"), Some("other partition")),
        record(&topic, 0, Some("a"), Some("2")),
    ])
    .await
    .unwrap();
    log.append(vec![record(&topic, 0, Some("b"), None), record(&topic, 0, Some("c"), Some(""))]).await.unwrap();
    let expected = [("a".to_owned(), "2".to_owned()), ("c".to_owned(), String::new())];
    assert_eq!(compacted(log, &topic, 0).await, expected);
    assert_eq!(compacted(log, &topic, 1).await, [("a".to_owned(), "other partition".to_owned())]);
    let (_, end) = within(log.offsets(&at(&topic, 0))).await.unwrap();
    assert_eq!(end, 5);
}

async fn members_share_partitions_and_take_over(log: &dyn Log, prefix: &str) {
    let topic = create(log, prefix, "shared", 4).await;
    let group = format!("{prefix}.sharers");
    let mut first = Seat::join(log, &group, &topic);
    drive(&mut [&mut first], |seats| seats[0].owned.len() == 4).await;

    let mut second = Seat::join(log, &group, &topic);
    drive(&mut [&mut first, &mut second], |seats| seats.iter().all(|seat| seat.owned.len() == 2)).await;
    assert!(first.owned.keys().all(|mine| !second.owned.contains_key(mine)), "nobody shares a partition");

    // What one commits before it goes, the other goes on from.
    let taken = first.owned.keys().next().unwrap().clone();
    let offsets = log.append(vec![text(&topic, taken.partition, "x"); 3]).await.unwrap();
    let committed = Committed { next: offsets[1], metadata: "handed over".to_owned() };
    log.commit(commit(&group, &topic, taken.partition, committed.clone())).await.unwrap();
    first.leave().await;
    drive(&mut [&mut second], |seats| seats[0].owned.len() == 4).await;
    let mine = second.owned.get_mut(&taken).unwrap();
    assert_eq!(mine.committed, Some(committed));
    assert_eq!(read(&mut *mine.reader, 2).await[0].offset, offsets[1]);
    second.leave().await;
}

async fn a_restarted_line_reads_on_from_the_commit(log: &dyn Log, prefix: &str) {
    let topic = create(log, prefix, "restart", 1).await;
    let group = format!("{prefix}.restarters");
    let offsets = log.append((0..6).map(|n| text(&topic, 0, &n.to_string())).collect()).await.unwrap();
    let mut seat = Seat::join(log, &group, &topic);
    drive(&mut [&mut seat], |seats| seats[0].owned.len() == 1).await;
    let mut line = seat.owned.remove(&at(&topic, 0)).unwrap();
    read(&mut *line.reader, 5).await;
    let committed = Committed { next: offsets[2], metadata: String::new() };
    log.commit(commit(&group, &topic, 0, committed.clone())).await.unwrap();
    drop(line);
    let mut line = within(seat.member.reopen(&at(&topic, 0))).await.unwrap();
    assert_eq!(line.committed, Some(committed));
    assert_eq!(read(&mut *line.reader, 4).await[0].text(), "2");
    let elsewhere = within(seat.member.reopen(&at(&topic, 1))).await;
    assert!(elsewhere.is_err(), "a partition of nobody's");
    drop(line);
    seat.leave().await;
}

/// For logs that drop records soon after a partition exceeds its size. Not part of [`every_promise`]: a broker looks
/// every few minutes.
pub async fn a_gap_is_reported(log: Arc<dyn Log>, prefix: &str) {
    let name = format!("{prefix}.gap");
    let cleanup = Cleanup::Delete { age: None, bytes: Some(100_000) };
    log.ensure(&[TopicSpec { name: name.clone(), partitions: 1, cleanup, fixed: false }]).await.unwrap();
    let mut reader = log.reader(&at(&name, 0), Start::Earliest).await.unwrap();
    let filler = "x".repeat(1000);
    within(async {
        while log.offsets(&at(&name, 0)).await.unwrap().0 == 0 {
            log.append(vec![text(&name, 0, &filler); 50]).await.unwrap();
        }
    })
    .await;
    let (mut seen, mut gap) = (Vec::new(), 0);
    let end = within(reader.end()).await.unwrap();
    within(async {
        while seen.last().is_none_or(|last| last + 1 < end) {
            reader.ready().await.unwrap();
            gap += reader.drain(1000, &mut |record| seen.push(record.offset)).unwrap().gap;
        }
    })
    .await;
    assert!(gap > 0, "the oldest were gone");
    assert_eq!(gap + seen.len() as u64, end, "every record was visited or counted");
    assert_eq!(seen[0], gap);
}

/// A record as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub offset: u64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl Read {
    fn of(offset: u64, record: &Record) -> Self {
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
        let (key, value) = (bytes(&record.key), bytes(&record.value));
        Read { offset, timestamp_ms: record.timestamp_ms, key, value }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.value.clone().expect("a value")).expect("text")
    }
}

/// Reads exactly `count` records, which have to come.
pub async fn read(reader: &mut dyn Reader, count: usize) -> Vec<Read> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(read_up_to(reader, count - all.len()).await);
    }
    all
}

async fn read_up_to(reader: &mut dyn Reader, max: usize) -> Vec<Read> {
    let mut all = Vec::new();
    while all.is_empty() {
        within(reader.ready()).await.unwrap();
        let mut visit = |record: tripline::log::RecordRef<'_>| {
            let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            all.push(Read { offset: record.offset, timestamp_ms: record.timestamp_ms, key, value });
        };
        let drained = reader.drain(max, &mut visit).unwrap();
        assert_eq!(drained.gap, 0);
        assert_eq!(drained.records, all.len());
        assert!(all.last().is_none_or(|last| last.offset < drained.next));
    }
    let offsets: Vec<u64> = all.iter().map(|read| read.offset).collect();
    assert_increasing(&offsets);
    all
}

/// A member with what it owns. It answers revocations at once.
pub struct Seat {
    pub member: Box<dyn Member>,
    events: mpsc::UnboundedReceiver<Membership>,
    pub owned: BTreeMap<TopicPartition, Assignment>,
}

impl Seat {
    pub fn join(log: &dyn Log, group: &str, topic: &str) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let topics = vec![(topic.to_owned(), Start::Earliest)];
        let member = log.join(Subscription { group: group.to_owned(), topics, with_state: true }, sender).unwrap();
        Seat { member, events, owned: BTreeMap::new() }
    }

    async fn leave(self) {
        drop(self.owned);
        within(self.member.leave()).await;
    }

    fn hear(&mut self, event: Membership) {
        match event {
            Membership::Assigned(assigned) => {
                self.owned.extend(assigned.into_iter().map(|assignment| (assignment.at.clone(), assignment)));
            }
            Membership::Revoked { partitions, done } => {
                for at in partitions {
                    assert!(self.owned.remove(&at).is_some(), "only what is owned is revoked");
                }
                done.send(()).ok();
            }
            Membership::Lost(partitions) => panic!("{partitions:?} were lost by a member that answers"),
            Membership::Failed(error) => panic!("{error}"),
        }
    }
}

/// Lets the members hear what happens until `settled`.
pub async fn drive(seats: &mut [&mut Seat], settled: impl Fn(&[&mut Seat]) -> bool) {
    within(async {
        while !settled(seats) {
            let heard = seats.iter_mut().map(|seat| Box::pin(seat.events.recv()));
            let (event, index, _) = select_all(heard).await;
            seats[index].hear(event.expect("the log tells its members"));
        }
    })
    .await;
}

pub async fn within<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, step).await.expect("it ends in time")
}

pub async fn create(log: &dyn Log, prefix: &str, name: &str, partitions: u32) -> String {
    let name = format!("{prefix}.{name}");
    let spec = TopicSpec { name: name.clone(), partitions, cleanup: keep_all(), fixed: true };
    within(log.ensure(&[spec])).await.unwrap();
    name
}

pub async fn create_compacted(log: &dyn Log, prefix: &str, name: &str, partitions: u32) -> String {
    let name = format!("{prefix}.{name}");
    let spec = TopicSpec { name: name.clone(), partitions, cleanup: Cleanup::Compact, fixed: true };
    within(log.ensure(&[spec])).await.unwrap();
    name
}

fn keep_all() -> Cleanup {
    Cleanup::Delete { age: None, bytes: None }
}

async fn compacted(log: &dyn Log, topic: &str, partition: u32) -> Vec<(String, String)> {
    let live = within(log.compacted(&at(topic, partition))).await.unwrap();
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    live.into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

pub fn at(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.to_owned(), partition }
}

pub fn record(topic: &str, partition: u32, key: Option<&str>, value: Option<&str>) -> Record {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let topic = topic.to_owned();
    Record { topic, partition, key: key.map(bytes), value: value.map(bytes), timestamp_ms: 1_700_000_000_123 }
}

pub fn text(topic: &str, partition: u32, value: &str) -> Record {
    record(topic, partition, None, Some(value))
}

pub fn commit(group: &str, topic: &str, partition: u32, committed: Committed) -> Transaction {
    let commit = Commit { group: group.to_owned(), topic: topic.to_owned(), partition, committed };
    Transaction { commits: vec![commit], ..Transaction::default() }
}

fn assert_increasing(offsets: &[u64]) {
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "offsets increase: {offsets:?}");
}
