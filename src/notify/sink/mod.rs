//! The sinks. Each has the same anatomy: a struct, `new` that refuses what can't work, and [`Sink::send`], one attempt.
//!
//! A sink never retries, never waits between attempts and never decides that an alert is given up: that is the
//! receiver's. `reqwest` is known to `webhook` alone, `lettre` to `email` alone.

mod email;
mod file;
mod kafka;
mod lane;
mod stdout;
mod webhook;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use futures_util::future::BoxFuture;

pub use stdout::stdout_is_coloured;

use super::error::{Failure, SinkError};
use crate::{
    alert::Alert,
    config::{self, SinkKind},
    log::{Log, LogError},
};

/// Gives the log for a Kafka sink: of the brokers that it names, or of the configured ones when it names none, with
/// its librdkafka properties.
pub type OpenLog<'a> = dyn Fn(Option<&str>, &BTreeMap<String, String>) -> Result<Arc<dyn Log>, LogError> + 'a;

/// Where alerts go.
pub trait Sink: Send {
    /// The most alerts that one attempt may carry.
    fn batch_max(&self) -> usize;
    /// One attempt at all of `alerts`, in order; `Ok` when the other side has acknowledged every one. After a failure
    /// some may have arrived: the other side knows repeats by their id. The future may be dropped at any point, and
    /// the next attempt starts clean.
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), Failure>>;
}

/// Makes the sink that `sink` describes.
pub(super) fn open(sink: &config::Sink, open_log: &OpenLog<'_>) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match &sink.kind {
        SinkKind::Stdout { json } => Box::new(stdout::Stdout::new(*json)),
        SinkKind::File { path } => Box::new(file::File::new(path)),
        SinkKind::Kafka { brokers, topic, properties } => {
            let log = open_log(brokers.as_deref(), properties)
                .map_err(|source| SinkError::Log { sink: sink.name.clone(), source })?;
            Box::new(kafka::Kafka::new(log, topic))
        }
        SinkKind::Webhook(webhook) => Box::new(webhook::Webhook::new(&sink.name, webhook)?),
        SinkKind::Email(email) => Box::new(email::Email::new(&sink.name, email, sink.timeout)?),
    })
}

/// A certificate authority's PEM file with at least one certificate.
fn read_ca(sink: &str, path: &Path) -> Result<Vec<u8>, SinkError> {
    let refused = |problem: String| SinkError::CaFile { sink: sink.to_owned(), path: path.to_owned(), problem };
    let pem = fs::read(path).map_err(|error| refused(error.to_string()))?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if !pem.windows(begin.len()).any(|window| window == begin) {
        return Err(refused("there is no certificate in it (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(pem)
}
