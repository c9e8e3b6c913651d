//! What an operator can write, key by key; everything may be left out. The names of the fields are the keys, and
//! `examples/tripline.toml` shows each of them.

use serde::{Deserialize, de::IgnoredAny};

use super::units::{Count, Flag, List, Properties, Secret, Size, Span, Text, Whole};

#[derive(Debug, Default, Deserialize)]
pub struct Kafka {
    pub brokers: Option<List>,
    pub group: Option<Text>,
    pub topic_prefix: Option<Text>,
    pub instance: Option<Text>,
    pub events_partitions: Option<Count>,
    pub replication: Option<Whole>,
    pub events_retention: Option<Span>,
    pub signals_retention: Option<Span>,
    pub alerts_retention: Option<Span>,
    pub delivery: Option<Text>,
    pub properties: Option<Properties>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Log {
    pub data: Option<Text>,
    pub events_partitions: Option<Count>,
    pub retention: Option<Span>,
    pub retention_bytes: Option<Size>,
    pub segment_bytes: Option<Size>,
    pub sync_interval: Option<Span>,
    pub free_bytes_min: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Rules {
    pub source: Option<Text>,
    pub path: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Sigma {
    pub pipelines: Option<List>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Enrichment {
    pub geo: Option<Text>,
    pub asn: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Http {
    pub listen: Option<Text>,
    pub allow_unauthenticated: Option<Flag>,
    pub body_bytes_max: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Syslog {
    pub listen: Option<Text>,
    pub allow_unauthenticated: Option<Flag>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Detect {
    pub batch_records_max: Option<Count>,
    pub marker_interval: Option<Span>,
    pub commit_interval: Option<Span>,
    pub record_bytes_max: Option<Size>,
    pub depth_max: Option<Count>,
    pub fields_max: Option<Count>,
    pub quarantine_after: Option<Count>,
    pub max_ahead: Option<Span>,
    pub left_out_after: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Signals {
    pub partitions: Option<Count>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Correlate {
    pub batch_records_max: Option<Count>,
    pub commit_interval: Option<Span>,
    pub keys_per_rule_max: Option<Count>,
    pub state_bytes_max: Option<Size>,
    pub signals_per_key_max: Option<Count>,
    pub evidence_max: Option<Count>,
    pub list_entries_max: Option<Count>,
    pub standby: Option<Flag>,
    pub standby_bytes_max: Option<Size>,
}

/// What every sink does unless it says otherwise.
#[derive(Debug, Default, Deserialize)]
pub struct Notify {
    pub timeout: Option<Span>,
    pub attempts_max: Option<Count>,
    pub backoff_min: Option<Span>,
    pub backoff_max: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Supervisor {
    pub backoff_min: Option<Span>,
    pub backoff_max: Option<Span>,
    pub restarts_max: Option<Count>,
    pub period: Option<Span>,
    pub grace: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Logging {
    pub level: Option<Text>,
    pub format: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Input {
    pub name: Option<Text>,
    pub r#type: Option<Text>,
    pub topics: Option<List>,
    pub listen: Option<Text>,
    pub allow_unauthenticated: Option<Flag>,
    pub paths: Option<List>,
    pub format: Option<Text>,
    pub time_fields: Option<List>,
    pub timezone: Option<Text>,
    pub year: Option<Whole>,
    pub lateness: Option<Span>,
    pub idle_timeout: Option<Span>,
    pub max_clock_skew: Option<Span>,
    pub start: Option<Text>,
    /// Whatever it is: the tables are read one by one, as [`Extract`].
    pub extract: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Extract {
    pub when: Option<Text>,
    pub field: Option<Text>,
    pub regex: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Sink {
    pub name: Option<Text>,
    pub r#type: Option<Text>,
    pub severity_min: Option<Text>,
    pub states: Option<List>,
    pub timeout: Option<Span>,
    pub attempts_max: Option<Count>,
    pub backoff_min: Option<Span>,
    pub backoff_max: Option<Span>,
    pub format: Option<Text>,
    pub path: Option<Text>,
    pub brokers: Option<List>,
    pub topic: Option<Text>,
    pub properties: Option<Properties>,
    pub url: Option<Secret>,
    pub url_file: Option<Text>,
    pub headers: Option<Properties>,
    pub host: Option<Text>,
    pub port: Option<Count>,
    pub tls: Option<Text>,
    pub username: Option<Text>,
    pub password: Option<Secret>,
    pub password_file: Option<Text>,
    pub from: Option<Text>,
    pub to: Option<List>,
    pub ca_file: Option<Text>,
}
