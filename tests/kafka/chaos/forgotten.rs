//! Transactions that the broker forgot: open in a partition, though their coordinator has ended them.
//!
//! A single Apache Kafka 4.4.0 that starts again with transactions to end may not know its own address yet. Then it
//! takes their partitions for deleted ("Couldn't find leader endpoint for partitions … likely deleted already and hence
//! can be skipped"), writes no marker and calls them ended: readers of committed records wait there for good. The
//! coordinator's own log tells this from a transaction that is open, and says what it had decided: that marker, of a
//! commit or an abort, is written here. What the coordinator has open is never touched.
//!
//! The broker is asked in its own protocol (<https://kafka.apache.org/protocol>), of which librdkafka lacks these calls.

use std::{
    collections::BTreeMap,
    io::{Error, Read, Result, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

use super::say;
use crate::kafka::broker::topic_records_at;

const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A transaction that is open at so many looks in a row is asked about.
const LOOKS: u32 = 3;
const ANSWER_MAX: Duration = Duration::from_secs(10);
// Calls and their versions.
const DESCRIBE_PRODUCERS: [u8; 4] = [0, 61, 0, 0];
const WRITE_TXN_MARKERS: [u8; 4] = [0, 27, 0, 1];
// States in the coordinator's log.
const PREPARE_COMMIT: i64 = 2;
const PREPARE_ABORT: i64 = 3;

/// Where a transaction is open, and whose it is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    topic: String,
    partition: i64,
    producer: i64,
    epoch: i64,
    coordinator_epoch: i64,
    start: i64,
}

pub struct Forgotten {
    over: Arc<AtomicBool>,
    asking: Arc<Mutex<()>>,
}

impl Forgotten {
    /// Looks after the broker from here on, and says what it ends.
    pub fn watch(bootstrap: &str) -> Forgotten {
        let (over, asking) = (Arc::<AtomicBool>::default(), Arc::<Mutex<()>>::default());
        let (ended, lock, bootstrap) = (over.clone(), asking.clone(), bootstrap.to_owned());
        thread::spawn(move || {
            let mut found = BTreeMap::new();
            while !ended.load(Ordering::Acquire) {
                thread::sleep(LOOK_AGAIN);
                let _asking = lock.lock().unwrap_or_else(PoisonError::into_inner);
                found = look(&bootstrap, &found).unwrap_or_default();
            }
        });
        Forgotten { over, asking }
    }

    /// Nothing is asked while this is held: the broker goes away.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Forgotten {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

/// What is open, and at how many looks in a row; `before` is the same of the last look.
fn look(bootstrap: &str, before: &BTreeMap<Open, u32>) -> Result<BTreeMap<Open, u32>> {
    let count = |open| (before.get(&open).unwrap_or(&0) + 1, open);
    let found: BTreeMap<_, _> = open(bootstrap)?.into_iter().map(count).map(|(looks, open)| (open, looks)).collect();
    let long = || found.iter().filter(|(_, looks)| **looks >= LOOKS).map(|(open, _)| open);
    if long().next().is_none() {
        return Ok(found);
    }
    let records = topic_records_at(bootstrap, "__transaction_state");
    let log: Vec<Transaction> = records.iter().filter_map(|(.., value)| Transaction::read(value.as_ref()?)).collect();
    // What was just ending is gone: its markers come before its end in the coordinator's log.
    let still = self::open(bootstrap)?;
    for open in long().filter(|open| still.contains(open)) {
        if let Some(commit) = decision(open, &log) {
            let decided = if commit { "commit" } else { "abort" };
            say(&format!("the broker forgot to {decided} {open:?}, which is done for it"));
            write_marker(bootstrap, open, commit)?;
        }
    }
    Ok(found)
}

/// A transaction as the coordinator's log has it at one time.
struct Transaction {
    producer: i64,
    state: i64,
    /// None of one that is over.
    partitions: Vec<(String, i64)>,
}

impl Transaction {
    /// `TransactionLogValue` of version 1.
    fn read(value: &[u8]) -> Option<Transaction> {
        let mut value = Answer(value);
        let (version, producer, _epoch, _timeout_ms) = (value.int(2), value.int(8), value.int(2), value.int(4));
        assert_eq!(version, 1, "another version of the coordinator's log");
        let (state, mut partitions) = (value.int(1), Vec::new());
        for _ in 0..value.len() {
            let topic = value.text();
            partitions.extend((0..value.len()).map(|_| (topic.clone(), value.int(4))));
            value.end();
        }
        Some(Transaction { producer, state, partitions })
    }
}

/// Whether a transaction that the coordinator has ended was committed; `None` where it is at work, or knows nothing.
fn decision(open: &Open, log: &[Transaction]) -> Option<bool> {
    let mut own = log.iter().rev().filter(|transaction| transaction.producer == open.producer);
    let is_in =
        |of: &&Transaction| of.partitions.iter().any(|(topic, at)| (topic, at) == (&open.topic, &open.partition));
    // Of all that the producer has had, the last one; what it has now is not over.
    let state = own.next().filter(|last| !is_in(last)).and_then(|_| own.find(is_in))?.state;
    matches!(state, PREPARE_COMMIT | PREPARE_ABORT).then_some(state == PREPARE_COMMIT)
}

/// Every open transaction.
fn open(bootstrap: &str) -> Result<Vec<Open>> {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().map_err(Error::other)?;
    let metadata = client.fetch_metadata(None, ANSWER_MAX).map_err(Error::other)?;
    let mut asked = vec![len(metadata.topics().len())];
    for topic in metadata.topics() {
        put(&mut asked, topic.name());
        asked.push(len(topic.partitions().len()));
        topic.partitions().iter().for_each(|partition| asked.extend(partition.id().to_be_bytes()));
        asked.push(0);
    }
    asked.push(0);
    let answer = call(bootstrap, DESCRIBE_PRODUCERS, &asked)?;
    let mut answer = Answer(&answer);
    let (_throttle_ms, mut all) = (answer.int(4), Vec::new());
    for _ in 0..answer.len() {
        let topic = answer.text();
        for _ in 0..answer.len() {
            let (partition, _error, _message) = (answer.int(4), answer.int(2), answer.text());
            for _ in 0..answer.len() {
                let (producer, epoch, _sequence, _time) = (answer.int(8), answer.int(4), answer.int(4), answer.int(8));
                let (coordinator_epoch, start, topic) = (answer.int(4), answer.int(8), topic.clone());
                all.push(Open { topic, partition, producer, epoch, coordinator_epoch, start });
                answer.end();
            }
            answer.end();
        }
        answer.end();
    }
    all.retain(|producer| producer.start >= 0);
    Ok(all)
}

/// Whether it helped is seen at the next look.
fn write_marker(bootstrap: &str, open: &Open, commit: bool) -> Result<()> {
    let mut asked = vec![len(1)];
    asked.extend(open.producer.to_be_bytes());
    asked.extend((open.epoch as i16).to_be_bytes());
    asked.extend([commit.into(), len(1)]);
    put(&mut asked, &open.topic);
    asked.push(len(1));
    asked.extend((open.partition as i32).to_be_bytes());
    asked.push(0);
    asked.extend((open.coordinator_epoch.max(0) as i32).to_be_bytes());
    asked.extend([0, 0]);
    call(bootstrap, WRITE_TXN_MARKERS, &asked).map(|_| ())
}

fn call(bootstrap: &str, call: [u8; 4], asked: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(bootstrap)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    // A number to know the answer by, no name of the client.
    let head = [&call[..], &[0, 0, 0, 0, 0xff, 0xff, 0]].concat();
    stream.write_all(&[&((head.len() + asked.len()) as u32).to_be_bytes(), &*head, asked].concat())?;
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    let mut answer = vec![0; u32::from_be_bytes(bytes) as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer.split_off(5))
}

/// A length as the protocol writes it, of what is short.
fn len(len: usize) -> u8 {
    assert!(len < 127, "{len} is written in one byte");
    len as u8 + 1
}

fn put(asked: &mut Vec<u8>, text: &str) {
    asked.push(len(text.len()));
    asked.extend(text.as_bytes());
}

/// What is left of an answer.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn int(&mut self, bytes: usize) -> i64 {
        let (int, rest) = self.0.split_at(bytes);
        self.0 = rest;
        int.iter().fold(if int[0] > 0x7f { -1 } else { 0 }, |int, byte| int << 8 | i64::from(*byte))
    }

    /// Nothing is as long as what is empty.
    fn len(&mut self) -> usize {
        let (mut len, mut shift) = (0, 0);
        loop {
            let byte = self.int(1) as usize;
            len |= (byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return len.saturating_sub(1);
            }
        }
    }

    fn text(&mut self) -> String {
        let len = self.len();
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    fn end(&mut self) {
        assert_eq!(self.int(1), 0, "a structure has more than this version of it");
    }
}

#[test]
fn only_what_the_coordinator_has_ended_is_ended() {
    let open =
        |producer| Open { topic: "t".to_owned(), partition: 1, producer, epoch: 0, coordinator_epoch: 0, start: 7 };
    let of = |(producer, state, partitions): &(i64, i64, &[i64])| Transaction {
        producer: *producer,
        state: *state,
        partitions: partitions.iter().map(|partition| ("t".to_owned(), *partition)).collect(),
    };
    // 1 is under way, 4 and 5 are over, committed and aborted.
    let log: [(i64, i64, &[i64]); 7] =
        [(8, 3, &[1]), (8, 5, &[]), (9, 1, &[0, 1]), (9, 2, &[0, 1]), (8, 1, &[2]), (9, 4, &[]), (9, 1, &[0])];
    let decisions = |until: usize| {
        let log: Vec<Transaction> = log[..until].iter().map(of).collect();
        [8, 9].map(|producer| decision(&open(producer), &log))
    };
    assert_eq!(decisions(1), [None, None], "it is being aborted");
    assert_eq!(decisions(2), [Some(false), None]);
    assert_eq!(decisions(4), [Some(false), None], "it is being committed");
    assert_eq!(decisions(6), [Some(false), Some(true)], "another transaction of the producer is elsewhere");
    assert_eq!(decisions(7), [Some(false), Some(true)]);
}
