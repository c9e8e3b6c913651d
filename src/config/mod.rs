//! What the operator wrote, checked and with every default filled in.
//!
//! Layers: a TOML file, then the environment (`TRIPLINE__KAFKA__BROKERS`), then flags. Unknown keys are errors, and all
//! mistakes are told at once. This room opens no connection and starts nothing; it reads the configuration's file and
//! the files that hold secrets. Secrets are in no error and in no `Debug` output.
//!
//! From what is written to what runs: `layers` merges and reads (`units`, `keys`, `place`), `written` has the keys as
//! they may be written, `sections`, `input` and `sink` check them and fill in the defaults.

mod error;
mod input;
mod keys;
mod layers;
mod level;
mod place;
mod sections;
mod sink;
#[cfg(test)]
mod tests;
mod units;
mod written;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing_subscriber::filter::Targets;

pub use error::{ConfigError, Place, Problem};
pub use input::{Extract, Format, Input, InputKind, StartAt, TIME_FIELDS};
pub use sink::{Email, EmailTls, Filter, Retry, Sink, SinkKind, Webhook};

use crate::decode::Limits;

impl Config {
    /// The log that this configuration asks for, for messages.
    pub fn log_name(&self) -> &'static str {
        match self.kafka {
            Some(_) => "kafka",
            None => "embedded",
        }
    }
}

/// What flags say; relative paths start from the folder that the process runs in.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub data: Option<PathBuf>,
    pub rules: Option<PathBuf>,
}

/// Reads and checks a configuration. `environment` is every variable of the process (see [`environment`]); those that
/// are not ours are passed over. Relative paths in the file start from the file's folder.
///
/// # Errors
/// Every mistake that was found, in the order of their places.
pub fn load(
    file: Option<&Path>,
    overrides: &Overrides,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, Vec<ConfigError>> {
    let mut layers = layers::Layers::merge(file, environment)?;
    let mut config = sections::config(&mut layers);
    let errors = layers.finish();
    if !errors.is_empty() {
        return Err(errors);
    }
    config.local.data = overrides.data.clone().unwrap_or(config.local.data);
    config.rules.path = overrides.rules.clone().unwrap_or(config.rules.path);
    Ok(config)
}

/// The process's variables. Bytes that are no Unicode are replaced, never a reason to stop.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into(), value.to_string_lossy().into()))
}

/// A whole configuration, ready to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// With brokers the logs are Kafka topics; without, the embedded log under `data`.
    pub kafka: Option<Kafka>,
    pub local: LocalLog,
    pub inputs: Vec<Input>,
    pub rules: Rules,
    pub sigma: Sigma,
    pub enrichment: Enrichment,
    pub http: Http,
    pub sinks: Vec<Sink>,
    pub detect: Detect,
    pub correlate: Correlate,
    pub supervisor: Supervisor,
    pub logging: Logging,
    /// How long a stop may take before the process ends anyway.
    pub grace: Duration,
}

#[derive(Clone)]
pub struct Kafka {
    pub brokers: String,
    pub group: String,
    pub topic_prefix: String,
    /// `group.instance.id`: this process's seat in the group, kept over a restart.
    pub instance: Option<String>,
    /// Partitions of topics of events that Tripline creates; the CPU cores when left out.
    pub events_partitions: u32,
    /// -1 is the broker's own default.
    pub replication: i32,
    pub events_retention: Duration,
    pub signals_retention: Duration,
    pub alerts_retention: Duration,
    pub delivery: Delivery,
    /// Any librdkafka property, over the tuned defaults.
    pub properties: BTreeMap<String, String>,
}

/// How often an alert is in the alerts log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Alerts, state and position are one transaction.
    ExactlyOnce,
    /// They follow one another: a crash in between repeats alerts, with the same ids.
    AtLeastOnce,
}

/// Properties by name only: a value may be a password.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("topic_prefix", &self.topic_prefix)
            .field("instance", &self.instance)
            .field("events_partitions", &self.events_partitions)
            .field("replication", &self.replication)
            .field("events_retention", &self.events_retention)
            .field("signals_retention", &self.signals_retention)
            .field("alerts_retention", &self.alerts_retention)
            .field("delivery", &self.delivery)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

impl Kafka {
    /// These brokers, and every default.
    pub fn at(brokers: &str) -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Kafka {
            brokers: brokers.to_owned(),
            group: "tripline".to_owned(),
            topic_prefix: "tripline".to_owned(),
            instance: None,
            events_partitions: sections::cores(),
            replication: -1,
            events_retention: days(7),
            signals_retention: days(7),
            alerts_retention: days(90),
            delivery: Delivery::ExactlyOnce,
            properties: BTreeMap::new(),
        }
    }
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
    pub source: RulesSource,
    pub path: PathBuf,
}

/// Where the rules that run come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulesSource {
    /// Each process reads the path by itself.
    Path,
    /// What was pushed to the topic of rules: every process runs the same.
    Topic,
}

/// How Sigma rules are read.
#[derive(Debug, Clone, Default)]
pub struct Sigma {
    /// Files that say what log sources look like, in the order in which they apply.
    pub pipelines: Vec<PathBuf>,
}

/// MaxMind databases of addresses, for rules that ask `geo` and `asn`.
#[derive(Debug, Clone, Default)]
pub struct Enrichment {
    pub geo: Option<PathBuf>,
    pub asn: Option<PathBuf>,
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
    /// A source that is caught up and yet further than this behind the first one holds the others' time back no more.
    pub left_out_after: Duration,
}

impl Default for Config {
    /// What runs where nothing is written.
    fn default() -> Self {
        load(None, &Overrides::default(), std::iter::empty()).expect("the defaults are a configuration")
    }
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
    /// Keys of one rule in one partition of the signals; those furthest from firing go first.
    pub keys_per_rule_max: usize,
    /// About what the keys of one partition of the signals take in memory at most.
    pub state_bytes_max: u64,
    /// Signals that one key keeps for each pattern; the oldest goes first.
    pub signals_per_key_max: usize,
    /// Evidence that an alert carries for each pattern: the first ones and the last.
    pub evidence_max: usize,
    /// Entries of a list that rules write; the one that ends first makes room.
    pub list_entries_max: usize,
    /// Follow the state of the partitions that other processes have, for a quicker take-over; on Kafka only.
    pub standby: bool,
    /// What all that is followed may take in memory; the largest goes first.
    pub standby_bytes_max: u64,
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
    pub level: Targets,
    pub json: bool,
}
