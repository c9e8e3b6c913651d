//! What the operator wrote, checked and with every default filled in.
//!
//! Layers: a TOML file, then the environment (`TRIPLINE__KAFKA__BROKERS`), then flags. Unknown keys are errors.

mod input;
mod sink;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use crate::decode::Limits;

pub use input::{Extract, Format, Input, InputKind, StartAt, TIME_FIELDS};
pub use sink::{Email, EmailTls, Filter, Retry, Sink, SinkKind, Webhook};

/// A whole configuration, ready to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// With brokers the logs are Kafka topics; without, the embedded log under `data`.
    pub kafka: Option<Kafka>,
    pub local: LocalLog,
    pub inputs: Vec<Input>,
    pub rules: Rules,
    pub http: Http,
    pub sinks: Vec<Sink>,
    pub detect: Detect,
    pub correlate: Correlate,
    pub supervisor: Supervisor,
    pub logging: Logging,
    /// How long a stop may take before the process ends anyway.
    pub grace: Duration,
}

#[derive(Debug, Clone)]
pub struct Kafka {
    pub brokers: String,
    pub group: String,
    pub topic_prefix: String,
    /// `group.instance.id`: this process's seat in the group, kept over a restart.
    pub instance: Option<String>,
    /// Partitions of topics of events that Tripline creates; the CPU cores when left out.
    pub events_partitions: u32,
    pub replication: i32,
    pub events_retention: Duration,
    pub signals_retention: Duration,
    pub alerts_retention: Duration,
    /// Any librdkafka property, over the tuned defaults.
    pub properties: BTreeMap<String, String>,
}

/// The embedded log.
#[derive(Debug, Clone)]
pub struct LocalLog {
    pub data: PathBuf,
    pub events_partitions: u32,
    pub retention: Duration,
    /// Of each partition.
    pub retention_bytes: u64,
    /// A segment is sealed at this size, so that retention can drop it whole.
    pub segment_bytes: u64,
    /// How long an append waits for others to share its fsync.
    pub sync_interval: Duration,
    /// Appends are refused while the disk has less room than this.
    pub free_bytes_min: u64,
}

#[derive(Debug, Clone)]
pub struct Rules {
    pub path: PathBuf,
}

#[derive(Debug, Clone)]
pub struct Http {
    pub listen: SocketAddr,
    pub allow_unauthenticated: bool,
    /// The largest body of one request.
    pub body_bytes_max: usize,
}

#[derive(Debug, Clone)]
pub struct Detect {
    /// Records read before the signals of them are appended.
    pub batch_records_max: usize,
    pub marker_interval: Duration,
    pub commit_interval: Duration,
    /// A record above one of these goes to dead letters.
    pub record_bytes_max: usize,
    pub depth_max: usize,
    pub fields_max: usize,
    /// Consecutive failures of a rule's script before it is quarantined.
    pub quarantine_after: u32,
    /// A source is paused while it is further than this ahead of the least watermark of the inputs.
    pub max_ahead: Duration,
    /// An idle source further than this behind the first one holds the others' time back no more.
    pub left_out_after: Duration,
}

impl Detect {
    /// What one record may cost.
    pub fn decode_limits(&self) -> Limits {
        Limits { record_bytes_max: self.record_bytes_max, depth_max: self.depth_max, fields_max: self.fields_max }
    }
}

#[derive(Debug, Clone)]
pub struct Correlate {
    /// Partitions of the signals, state and alerts topics; fixed when they are created.
    pub partitions: u32,
    pub batch_records_max: usize,
    pub commit_interval: Duration,
    /// Signals that one key keeps; the oldest goes first.
    pub signals_per_key_max: usize,
    /// Evidence that an alert carries for each pattern: the first ones and the last.
    pub evidence_max: usize,
}

#[derive(Debug, Clone)]
pub struct Supervisor {
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// More restarts of one line than this within `period` end the process with code 3.
    pub restarts_max: u32,
    pub period: Duration,
}

#[derive(Debug, Clone)]
pub struct Logging {
    /// A `tracing` filter: `info`, `tripline=debug`.
    pub level: String,
    pub json: bool,
}
