//! A sink: who is told of alerts.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use secrecy::SecretString;

/// A configured receiver of alerts.
#[derive(Debug, Clone)]
pub struct Sink {
    pub name: String,
    pub kind: SinkKind,
    pub filter: Filter,
    /// For one attempt.
    pub timeout: Duration,
    pub retry: Retry,
}

#[derive(Debug, Clone)]
pub enum SinkKind {
    /// Readable text, or one JSON object a line.
    Stdout {
        json: bool,
    },
    /// NDJSON, appended.
    File {
        path: PathBuf,
    },
    /// A topic of the configured brokers, or of others.
    Kafka {
        brokers: Option<String>,
        topic: String,
        properties: BTreeMap<String, String>,
    },
    Webhook(Webhook),
    Email(Email),
}

#[derive(Debug, Clone)]
pub struct Webhook {
    /// May hold a token, so it is a secret.
    pub url: SecretString,
    pub headers: BTreeMap<String, SecretString>,
    /// A PEM file with the certificate authority of the server, where the system's do not know it.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct Email {
    pub host: String,
    pub port: u16,
    pub tls: EmailTls,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub from: String,
    pub to: Vec<String>,
    /// A PEM file with the certificate authority of the server, where the system's do not know it.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailTls {
    /// Refused by configuration unless the host is on loopback.
    None,
    StartTls,
    Tls,
}

/// Which alerts a sink gets.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `info` … `critical`; lower ones are passed over.
    pub severity_min: Option<String>,
    /// States to send; all when empty.
    pub states: Vec<String>,
}

/// Exponential backoff with full jitter, then dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    pub attempts_max: u32,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}
