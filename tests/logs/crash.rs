//! The embedded log is killed at random moments; what it acknowledged is there when it is opened again.
//!
//! The process that is killed is this test binary, started again with [`CHILD`] in its environment: it appends and
//! commits until it dies, and says on standard output what was acknowledged.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rand::Rng;
use tripline::{
    config,
    log::{Cleanup, Committed, Log, LogError, RecordRef, Start, TopicSpec, Transaction, local::LocalLog},
};

use super::{
    contract::{at, commit, read, record, text, within},
    disk::settings,
};

/// Names the data folder of the process that is to be killed.
const CHILD: &str = "TRIPLINE_TEST_KILLED_LOG";
const ROUNDS: u32 = 8;
const GROUP: &str = "killed";
const APPENDERS: u32 = 3;

/// Small segments, so that the process also dies while it seals and drops them.
fn small_segments(data: &Path) -> config::LocalLog {
    config::LocalLog { segment_bytes: 200_000, ..settings(data) }
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_transactions_are_whole() {
    if let Some(data) = env::var_os(CHILD) {
        write_until_killed(Path::new(&data));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for _ in 0..ROUNDS {
        let mut child = start(folder.path());
        acknowledged.hear(&mut child, Duration::from_millis(rand::rng().random_range(20..600)));
        check(folder.path(), &acknowledged);
    }
    assert!(acknowledged.transactions > 0, "something was written");
}

/// What the child said, of all rounds.
#[derive(Default)]
struct Acknowledged {
    /// The offset after the last acknowledged one, of each partition of `events`.
    events: [u64; APPENDERS as usize],
    /// How many transactions, counted on over the rounds.
    transactions: u64,
}

impl Acknowledged {
    /// Listens from the child's first word on for `patience`, kills it, and hears it out.
    fn hear(&mut self, child: &mut Child, patience: Duration) {
        let (sender, words) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        let is_ours = |line: &String| line.starts_with("event ") || line.starts_with("transaction ");
        let lines = output.lines().map_while(Result::ok).filter(is_ours);
        let listener = thread::spawn(move || lines.for_each(|line| drop(sender.send(line))));
        let first = words.recv_timeout(Duration::from_secs(60)).expect("the child writes");
        self.note(&first);
        let deadline = std::time::Instant::now() + patience;
        while let Ok(word) = words.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
            self.note(&word);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        listener.join().unwrap();
        words.try_iter().for_each(|word| self.note(&word));
    }

    /// `event PARTITION OFFSET` or `transaction NUMBER`.
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["event", partition, offset] => {
                let (Ok(partition), Ok(offset)) = (partition.parse::<usize>(), offset.parse::<u64>()) else { return };
                self.events[partition] = self.events[partition].max(offset + 1);
            }
            ["transaction", number] => {
                if let Ok(number) = number.parse::<u64>() {
                    self.transactions = self.transactions.max(number + 1);
                }
            }
            _ => {}
        }
    }
}

fn start(data: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["what_was_acknowledged_survives_kill_9", "--nocapture"])
        .env(CHILD, data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn check(data: &Path, acknowledged: &Acknowledged) {
    let log = LocalLog::open(&small_segments(data)).unwrap();
    for partition in 0..APPENDERS {
        let (first, end) = log.offsets(&at("events", partition)).await.unwrap();
        assert!(end >= acknowledged.events[partition as usize], "partition {partition} ends at {end}");
        let mut reader = log.reader(&at("events", partition), Start::Earliest).await.unwrap();
        // A log that died between sealing a segment and dropping one drops it now, perhaps while this reads.
        let mut expected: Option<u64> = None;
        while expected.unwrap_or(first) < end {
            within(reader.ready()).await.unwrap();
            let mut offsets = Vec::new();
            let mut visit = |record: RecordRef<'_>| {
                let start = format!("{partition}/{}/", record.offset);
                assert!(record.value.is_some_and(|value| value.starts_with(start.as_bytes())), "each record is itself");
                offsets.push(record.offset);
            };
            let drained = reader.drain(1000, &mut visit).unwrap();
            assert!(offsets.first().is_none_or(|offset| *offset >= first) && offsets.is_sorted());
            if let Some(expected) = expected {
                assert_eq!(drained.next, expected + drained.gap + offsets.len() as u64, "offsets have no holes");
            }
            expected = Some(drained.next);
        }
    }
    // Transaction n appends n to both alerts partitions, writes n to the state, and commits n.
    let committed = log.committed(GROUP, &at("events", 0)).await.unwrap();
    let count = committed.map_or(0, |committed| committed.next + 1);
    assert!(count >= acknowledged.transactions, "{count} of {} transactions", acknowledged.transactions);
    for partition in 0..2 {
        assert_eq!(log.offsets(&at("alerts", partition)).await.unwrap(), (0, count));
        let mut reader = log.reader(&at("alerts", partition), Start::Earliest).await.unwrap();
        let alerts = read(&mut *reader, count as usize).await;
        assert!(alerts.iter().zip(0..).all(|(alert, n)| alert.text() == format!("alert {n}")));
        let state = log.compacted(&at("state", partition)).await.unwrap();
        let newest = state.get(&b"newest"[..]).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(newest, (count > 0).then(|| (count - 1).to_string()));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn write_until_killed(data: &Path) -> ! {
    let log = LocalLog::open(&small_segments(data)).unwrap();
    log.ensure(&[
        topic("events", APPENDERS, Cleanup::Delete { age: None, bytes: Some(2_000_000) }),
        topic("alerts", 2, Cleanup::Delete { age: None, bytes: None }),
        topic("state", 2, Cleanup::Compact),
    ])
    .await
    .unwrap();
    let outcome = tokio::try_join!(transact(&*log), append(&*log, 0), append(&*log, 1), append(&*log, 2));
    panic!("the log stopped: {:?}", outcome.map(drop));
}

fn topic(name: &str, partitions: u32, cleanup: Cleanup) -> TopicSpec {
    TopicSpec { name: name.to_owned(), partitions, cleanup, fixed: true }
}

async fn append(log: &dyn Log, partition: u32) -> Result<(), LogError> {
    let (_, mut next) = log.offsets(&at("events", partition)).await?;
    let filler = "x".repeat(400);
    loop {
        let batch = rand::rng().random_range(1..200);
        let records = (next..next + batch).map(|n| text("events", partition, &format!("{partition}/{n}/{filler}")));
        let offsets = log.append(records.collect()).await?;
        next += batch;
        say(&format!("event {partition} {}", offsets[offsets.len() - 1]));
    }
}

async fn transact(log: &dyn Log) -> Result<(), LogError> {
    let committed = log.committed(GROUP, &at("events", 0)).await?;
    let mut number = committed.map_or(0, |committed| committed.next + 1);
    loop {
        let alert = format!("alert {number}");
        let newest = number.to_string();
        let transaction = Transaction {
            records: vec![text("alerts", 0, &alert), text("alerts", 1, &alert)],
            state: vec![
                record("state", 0, Some("newest"), Some(&newest)),
                record("state", 1, Some("newest"), Some(&newest)),
            ],
            ..commit(GROUP, "events", 0, Committed { next: number, metadata: String::new() })
        };
        log.commit(transaction).await?;
        say(&format!("transaction {number}"));
        number += 1;
    }
}

/// One whole line at a time, and not behind what the harness of tests may have begun.
fn say(words: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("\n{words}\n").as_bytes()).unwrap();
    output.flush().unwrap();
}
