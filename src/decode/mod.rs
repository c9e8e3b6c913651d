//! Bytes to [`Event`]: the format, the fields, what the extracts add, the event time.
//!
//! Pure: no files, no clock. The same record, limits and timing give the same event; what can't be decoded is a
//! [`Reject`] with a reason, never a guess and never a panic. The one thing that a [`Decoder`] remembers is the year
//! that its source is in, for times that leave it out.

mod builtin;
mod decoder;
mod expression;
mod extract;
mod field;
mod host;
mod json;
mod reject;
mod sink;
mod syslog;
mod time;
mod web;
mod year;

pub use decoder::{Decoder, Read};
pub use extract::Extract;
pub use host::host_name;
pub use reject::{Reason, Reject};
pub use year::Timing;

/// The candidates when an input names none.
pub const TIME_FIELDS: [&str; 6] = ["@timestamp", "timestamp", "time", "ts", "event.created", "UtcTime"];

/// The longest dotted field path: names repeat along every path below them, so a record's size does not bound them.
pub const PATH_BYTES_MAX: usize = 1024;

/// What a record looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Told apart per record.
    Auto,
    Json,
    Syslog,
    Line,
    Clf,
    ApacheError,
}

impl Format {
    /// Every format under the name that configurations and commands use.
    pub const NAMED: [(&'static str, Format); 6] = [
        ("auto", Format::Auto),
        ("json", Format::Json),
        ("syslog", Format::Syslog),
        ("line", Format::Line),
        ("clf", Format::Clf),
        ("apache_error", Format::ApacheError),
    ];

    pub fn named(name: &str) -> Option<Format> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// All names, for messages: `auto, json, …`.
    pub fn names() -> String {
        Self::NAMED.map(|(name, _)| name).join(", ")
    }
}

/// How an input's records decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeSpec {
    pub format: Format,
    /// Field paths to look for the event time in, in order.
    pub time_fields: Vec<String>,
    /// An IANA name, for times that carry no zone.
    pub timezone: String,
    /// For times without a year.
    pub year: Option<i16>,
    /// The user's own, tried before the built-in ones.
    pub extracts: Vec<Extract>,
}

impl Default for DecodeSpec {
    fn default() -> Self {
        DecodeSpec {
            format: Format::Auto,
            time_fields: TIME_FIELDS.map(str::to_owned).to_vec(),
            timezone: "UTC".to_owned(),
            year: None,
            extracts: Vec::new(),
        }
    }
}

/// What one record may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Above 1 GiB it is 1 GiB.
    pub record_bytes_max: usize,
    /// Objects and arrays within one another; above 256 it is 256.
    pub depth_max: usize,
    /// Members of objects, at whatever depth, and parameters of structured data.
    pub fields_max: usize,
}

/// Why a [`DecodeSpec`] makes no decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("timezone {0:?} is no IANA name, such as `Europe/Berlin` or `UTC`")]
    Timezone(String),
    #[error("when {when:?}, column {column}: {what}")]
    When { when: String, column: usize, what: &'static str },
    #[error("regex {regex:?}: {error}")]
    Regex { regex: String, error: String },
    #[error("regex {0:?} names no group, so it extracts nothing: write `(?<source.ip>…)`")]
    NoGroup(String),
}

#[cfg(test)]
mod tests;
