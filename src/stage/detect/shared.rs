//! What all detect lines of a process share, and the records that they append.

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::Config,
    detect::{Signal, SignalRecord},
    event::{DeadLetter, InputName},
    log::{Log, LogError, Record},
    stage::{Hook, alignment::Alignment, enlisted::Enlisted, topics::Topics},
    telemetry::Telemetry,
};

/// What all detect lines of a process share.
pub struct Detecting {
    pub log: Arc<dyn Log>,
    pub group: String,
    pub topics: Topics,
    pub config: Arc<Config>,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub alignment: Alignment,
    pub hook: Hook,
    pub enlisted: Enlisted,
}

impl Detecting {
    pub(super) fn signal(&self, signal: Signal, now_ms: i64) -> Record {
        self.topics.signal(signal, self.config.correlate.partitions, now_ms)
    }

    pub(super) fn dead_letter(&self, letter: &DeadLetter, reason: &str, now_ms: i64) -> Record {
        self.telemetry.count_dead_letter(&letter.stage, reason);
        self.topics.dead_letter(letter, now_ms)
    }

    /// A partition that its topic did not have when the roster was made: everyone gets a new one.
    pub(super) async fn enlist(&self, input: &InputName, partition: u32) -> Result<(), LogError> {
        if let Some(roster) = self.enlisted.add(&*self.log, input, partition).await? {
            let record = SignalRecord::Roster(roster);
            self.log.append(self.to_all(&record, self.clock.now_ms()).collect()).await?;
        }
        Ok(())
    }

    /// The same record for every signals partition.
    pub fn to_all(&self, record: &SignalRecord, now_ms: i64) -> impl Iterator<Item = Record> + use<> {
        self.topics.to_all_signals(record, self.config.correlate.partitions, now_ms)
    }
}
