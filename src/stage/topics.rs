//! The names and settings of Tripline's own topics.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    config::{Config, Input, InputKind, RulesSource},
    detect::{Signal, SignalRecord},
    event::DeadLetter,
    log::{Cleanup, Record, TopicSpec},
};

/// Dead letters are few; one partition keeps them in order.
const DEAD_LETTER_PARTITIONS: u32 = 1;

/// How long dead letters stay.
const DEAD_LETTER_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// The topics under one prefix.
#[derive(Debug, Clone)]
pub struct Topics {
    pub signals: String,
    pub alerts: String,
    pub state: String,
    pub dead_letters: String,
    /// Rule sets that were pushed.
    pub rules: String,
    /// What each process says of itself.
    pub fleet: String,
    prefix: String,
}

impl Topics {
    pub fn new(prefix: &str) -> Self {
        let topic = |name: &str| format!("{prefix}.{name}");
        Topics {
            signals: topic("signals"),
            alerts: topic("alerts"),
            state: topic("state"),
            dead_letters: topic("dead-letters"),
            rules: topic("rules"),
            fleet: topic("fleet"),
            prefix: prefix.to_owned(),
        }
    }

    /// The topics that hold an input's events: the user's, or the one that its receiver writes.
    pub fn of_input(&self, input: &Input) -> Vec<String> {
        match &input.kind {
            InputKind::Kafka { topics } => topics.clone(),
            InputKind::Http | InputKind::Syslog { .. } | InputKind::File { .. } => vec![self.received(&input.name)],
        }
    }

    /// Where the receiver of an input writes. Each has a topic of its own: time, lateness and retention are an
    /// input's.
    pub fn received(&self, input: &str) -> String {
        format!("{}.events.{input}", self.prefix)
    }

    /// Every topic that has to be there before the stages start.
    pub fn specs(&self, config: &Config) -> Vec<TopicSpec> {
        let retention = Retention::of(config);
        let fixed = |name: &str, cleanup| TopicSpec {
            name: name.to_owned(),
            partitions: config.correlate.partitions,
            cleanup,
            fixed: true,
        };
        let mut specs = vec![
            fixed(&self.signals, retention.signals),
            fixed(&self.alerts, retention.alerts),
            fixed(&self.state, Cleanup::Compact),
            TopicSpec {
                name: self.dead_letters.clone(),
                partitions: DEAD_LETTER_PARTITIONS,
                cleanup: Cleanup::Delete { age: Some(DEAD_LETTER_RETENTION), bytes: None },
                fixed: false,
            },
        ];
        specs.extend((config.rules.source == RulesSource::Topic).then(|| self.rules_spec()));
        specs.extend(config.kafka.is_some().then(|| self.fleet_spec()));
        for topic in config.inputs.iter().flat_map(|input| self.of_input(input)) {
            specs.push(TopicSpec {
                name: topic,
                partitions: retention.events_partitions,
                cleanup: retention.events.clone(),
                fixed: false,
            });
        }
        specs
    }
}

impl Topics {
    /// Of the rule sets that are pushed.
    pub fn rules_spec(&self) -> TopicSpec {
        small(&self.rules)
    }

    /// Of what the processes say of themselves.
    pub fn fleet_spec(&self) -> TopicSpec {
        small(&self.fleet)
    }
}

/// One partition of newest values.
fn small(name: &str) -> TopicSpec {
    TopicSpec { name: name.to_owned(), partitions: 1, cleanup: Cleanup::Compact, fixed: true }
}

struct Retention {
    events_partitions: u32,
    events: Cleanup,
    signals: Cleanup,
    alerts: Cleanup,
}

impl Retention {
    fn of(config: &Config) -> Self {
        let aged = |age: Duration| Cleanup::Delete { age: Some(age), bytes: None };
        match &config.kafka {
            Some(kafka) => Retention {
                events_partitions: kafka.events_partitions,
                events: aged(kafka.events_retention),
                signals: aged(kafka.signals_retention),
                alerts: aged(kafka.alerts_retention),
            },
            None => {
                let local = &config.local;
                let kept = Cleanup::Delete { age: Some(local.retention), bytes: Some(local.retention_bytes) };
                Retention {
                    events_partitions: local.events_partitions,
                    events: kept.clone(),
                    signals: kept.clone(),
                    alerts: kept,
                }
            }
        }
    }
}

impl Topics {
    /// A signal as a record, in its partition of `partitions`.
    pub fn signal(&self, signal: Signal, partitions: u32, now_ms: i64) -> Record {
        Record {
            topic: self.signals.clone(),
            partition: signal.partition(partitions),
            key: None,
            value: Some(SignalRecord::Signal(signal).encode().into()),
            timestamp_ms: now_ms,
        }
    }

    /// The same record for every signals partition.
    pub fn to_all_signals(
        &self,
        record: &SignalRecord,
        partitions: u32,
        now_ms: i64,
    ) -> impl Iterator<Item = Record> + use<> {
        let value: Bytes = record.encode().into();
        let topic = self.signals.clone();
        (0..partitions).map(move |partition| Record {
            topic: topic.clone(),
            partition,
            key: None,
            value: Some(value.clone()),
            timestamp_ms: now_ms,
        })
    }

    /// A dead letter as a record.
    pub fn dead_letter(&self, letter: &DeadLetter, now_ms: i64) -> Record {
        Record {
            topic: self.dead_letters.clone(),
            partition: 0,
            key: None,
            value: Some(letter.to_json().into()),
            timestamp_ms: now_ms,
        }
    }
}
