//! What receivers promise: lines arrive in the log, once where nothing fails, in order, and none is lost.

mod append;
mod door;
mod file;
mod syslog;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tripline::{
    clock::Clock,
    decode::DecodeSpec,
    input::{Intake, Received},
    log::{Cleanup, Log, Start, TopicPartition, TopicSpec},
};

use self::door::Door;

const TOPIC: &str = "events";
const PARTITIONS: u32 = 4;
const RECORD_BYTES_MAX: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// An intake and the log behind it, which can be told to refuse.
struct House {
    door: Arc<Door>,
    intake: Arc<Intake>,
    stop: CancellationToken,
}

impl House {
    async fn new() -> Self {
        let door = Door::new();
        let spec = TopicSpec {
            name: TOPIC.to_owned(),
            partitions: PARTITIONS,
            cleanup: Cleanup::Delete { age: None, bytes: None },
            fixed: false,
        };
        door.ensure(&[spec]).await.unwrap();
        let clock = Clock::manual(1_714_557_600_000);
        let intake =
            Intake::new(door.clone(), TOPIC.to_owned(), PARTITIONS, clock, &DecodeSpec::default(), RECORD_BYTES_MAX);
        House { door, intake: Arc::new(intake), stop: CancellationToken::new() }
    }

    /// All records of one partition as (key, line), in order.
    async fn partition(&self, partition: u32) -> Vec<(String, String)> {
        let at = TopicPartition { topic: TOPIC.to_owned(), partition };
        let mut reader = self.door.reader(&at, Start::Earliest).await.unwrap();
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let mut found = Vec::new();
        while reader.drain(1000, &mut |record| found.push((text(record.key), text(record.value)))).unwrap().records > 0
        {
        }
        found
    }

    /// All lines, partition by partition.
    async fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for partition in 0..PARTITIONS {
            lines.extend(self.partition(partition).await.into_iter().map(|(_, line)| line));
        }
        lines
    }

    /// Waits until the log holds exactly these lines, in whatever partitions; of one sender they are in order.
    async fn holds(&self, expected: &[&str]) {
        let mut wanted = expected.to_vec();
        wanted.sort_unstable();
        let begin = Instant::now();
        loop {
            let mut lines = self.lines().await;
            lines.sort_unstable();
            if lines == wanted {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "the log holds {lines:?}, not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn line(text: &str, sender: &str) -> Received {
    Received { bytes: Bytes::copy_from_slice(text.as_bytes()), sender: Some(sender.to_owned()), key: None }
}
