//! An input: where records come from, how they decode, how their time is found.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::decode::DecodeSpec;
pub use crate::decode::{Extract, Format, TIME_FIELDS};

/// A configured input.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub kind: InputKind,
    pub format: Format,
    /// Field paths to look for the event time in, in order.
    pub time_fields: Vec<String>,
    /// An IANA name, for times that carry no zone.
    pub timezone: String,
    /// For times without a year.
    pub year: Option<i16>,
    pub lateness: Duration,
    pub idle_timeout: Duration,
    pub max_clock_skew: Duration,
    pub start: StartAt,
    /// The user's own, tried before the built-in ones.
    pub extracts: Vec<Extract>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    Kafka {
        topics: Vec<String>,
    },
    /// `POST /v1/events?input=NAME`
    Http,
    /// TCP and UDP on the same address.
    Syslog {
        listen: SocketAddr,
    },
    /// Paths and globs, followed like `tail -F`.
    File {
        paths: Vec<PathBuf>,
    },
}

/// Where an input starts when nothing was ever read of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    Earliest,
    Latest,
}

impl Input {
    /// What `decode` needs to know of the input.
    pub fn decode_spec(&self) -> DecodeSpec {
        DecodeSpec {
            format: self.format,
            time_fields: self.time_fields.clone(),
            timezone: self.timezone.clone(),
            year: self.year,
            extracts: self.extracts.clone(),
        }
    }
}
