//! The way into the events log for everything that Tripline receives itself.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use tokio::sync::Semaphore;
use xxhash_rust::xxh64::xxh64;

use super::Counts;
use crate::{
    clock::Clock,
    decode::{self, DecodeSpec, Format},
    log::{Log, LogError, Record},
};

/// Bytes of lines that one input may have on their way into the log; further appends wait.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;

/// A line as it was received, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub bytes: Bytes,
    /// Who sent it: an address, or the path of its file.
    pub sender: Option<String>,
    /// What the sender wants it partitioned by.
    pub key: Option<String>,
}

/// What became of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Durably in the log.
    pub accepted: u64,
    /// Longer than the log takes.
    pub rejected: u64,
}

/// Appends received lines to an input's topic.
pub struct Intake {
    log: Arc<dyn Log>,
    topic: String,
    partitions: u32,
    clock: Clock,
    format: Format,
    record_bytes_max: usize,
    in_flight: Semaphore,
    counts: Counts,
}

impl Intake {
    /// `topic` has `partitions`; `record_bytes_max` is what one record of the log may hold. It should be above what
    /// the decoder takes, so that a record too large for that gets a position and a dead letter.
    pub fn new(
        log: Arc<dyn Log>,
        topic: String,
        partitions: u32,
        clock: Clock,
        spec: &DecodeSpec,
        record_bytes_max: usize,
    ) -> Self {
        Intake {
            log,
            topic,
            partitions: partitions.max(1),
            clock,
            format: spec.format,
            record_bytes_max,
            in_flight: Semaphore::new(IN_FLIGHT_BYTES_MAX),
            counts: Counts::default(),
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Appends the lines in their order; they are durable when it resolves. Lines of white space alone count as
    /// nothing. Waits while [`IN_FLIGHT_BYTES_MAX`] are on their way.
    ///
    /// # Errors
    /// Those of the log; then none, some or all of the lines may be in it.
    pub async fn append(&self, lines: Vec<Received>) -> Result<Appended, LogError> {
        let timestamp_ms = self.clock.now_ms();
        let lines = lines.into_iter().filter(|line| !line.bytes.trim_ascii().is_empty());
        let (fitting, too_long): (Vec<_>, Vec<_>) = lines.partition(|line| line.bytes.len() <= self.record_bytes_max);
        let bytes = fitting.iter().map(|line| line.bytes.len()).sum::<usize>().min(IN_FLIGHT_BYTES_MAX);
        let appended = Appended { accepted: fitting.len() as u64, rejected: too_long.len() as u64 };
        if !fitting.is_empty() {
            // the semaphore is never closed
            let _permit = self.in_flight.acquire_many(bytes as u32).await.map_err(|_| LogError::Closed)?;
            let records = fitting.into_iter().map(|line| self.record(line, timestamp_ms)).collect();
            self.log.append(records).await?;
        }
        self.counts.accepted.add(appended.accepted);
        self.counts.rejected.add(appended.rejected);
        Ok(appended)
    }

    fn record(&self, line: Received, timestamp_ms: i64) -> Record {
        let (key, partition) = {
            let key = partition_key(&line, self.format);
            let key = key.as_deref().unwrap_or_default();
            (Bytes::copy_from_slice(key.as_bytes()), partition(key, self.partitions))
        };
        let key = (!key.is_empty()).then_some(key);
        Record { topic: self.topic.clone(), partition, key, value: Some(line.bytes), timestamp_ms }
    }
}

/// A host's lines have to stay in order, so they are partitioned together; the record's key says by what.
fn partition_key(line: &Received, format: Format) -> Option<Cow<'_, str>> {
    let given = line.key.as_deref().map(Cow::Borrowed);
    let host = || decode::host_name(format, &line.bytes);
    given.or_else(host).or_else(|| line.sender.as_deref().map(Cow::Borrowed))
}

/// XXH64 with seed 0 of the key's UTF-8, modulo `partitions`. A line without any key goes where the empty one does.
fn partition(key: &str, partitions: u32) -> u32 {
    (xxh64(key.as_bytes(), 0) % u64::from(partitions)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(line: &str, sender: &str, key: Option<&str>) -> String {
        let line = Received {
            bytes: Bytes::copy_from_slice(line.as_bytes()),
            sender: Some(sender.to_owned()),
            key: key.map(str::to_owned),
        };
        partition_key(&line, Format::Auto).unwrap().into_owned()
    }

    #[test]
    fn a_key_goes_before_the_host_and_the_host_before_the_sender() {
        let line = r#"{"host": {"name": "web-1"}}"#;
        assert_eq!(key(line, "10.0.0.1", Some("mine")), "mine");
        assert_eq!(key(line, "10.0.0.1", None), "web-1");
        assert_eq!(key("Dec 10 06:55:46 gate sshd[1]: x", "10.0.0.1", None), "gate");
        assert_eq!(key(r#"{"host": {"name": "web-1"#, "10.0.0.1", None), "10.0.0.1");
    }

    #[test]
    fn a_hosts_partition_never_changes() {
        assert_eq!(["", "gate", "web-1", "10.0.0.1"].map(|key| partition(key, 8)), [1, 6, 0, 7]);
    }
}
