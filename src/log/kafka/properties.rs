//! The librdkafka properties of every client: our tuned defaults, each with its trade-off, and the operator's over them.
//!
//! Says which property was refused and why, and never shows the value of one that may hold a secret.

use std::collections::BTreeMap;

use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError, types::RDKafkaConfRes};

use crate::{config, log::LogError};

/// Bytes of one record, key and value together, that the producer takes and that topics of ours allow: 16 MiB.
pub(super) const RECORD_BYTES_MAX: u64 = 16 << 20;
const RECORD_BYTES_MAX_TEXT: &str = "16777216";

/// Which kind of client a property is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Any,
    Consumer,
    /// The consumers alone whose steps carry state: those of the signals.
    Steps,
    /// Every producer, the transactional ones too.
    Producer,
    /// The transactional producers alone.
    Transactions,
}

/// A property with the default that Tripline gives it.
#[derive(Debug, Clone, Copy)]
pub struct Tuned {
    pub name: &'static str,
    pub value: &'static str,
    pub scope: Scope,
    /// What a higher or lower value buys and costs.
    pub why: &'static str,
}

const fn tuned(scope: Scope, name: &'static str, value: &'static str, why: &'static str) -> Tuned {
    Tuned { name, value, scope, why }
}

/// What Tripline sets where librdkafka's own default serves a correlation engine less well, or where the choice is
/// worth knowing. `[kafka.properties]` overrides each of them.
pub const TUNED: &[Tuned] = &[
    tuned(
        Scope::Any,
        "statistics.interval.ms",
        "0",
        "off: librdkafka would build a JSON document per client each time; Tripline counts for itself",
    ),
    tuned(
        Scope::Any,
        "socket.keepalive.enable",
        "true",
        "firewalls drop idle connections without a word; a keep-alive finds out before a rebalance does",
    ),
    tuned(
        Scope::Any,
        "reconnect.backoff.max.ms",
        "2000",
        "a broker that returns is found within 2 s; higher spares a broker that is down for long",
    ),
    tuned(
        Scope::Any,
        "log.connection.close",
        "false",
        "brokers close idle connections by design; true logs each of these as a failure",
    ),
    tuned(
        Scope::Consumer,
        "fetch.min.bytes",
        "1",
        "answer as soon as there is a record; higher means fewer, fuller fetches and alerts later by up to fetch.wait.max.ms",
    ),
    tuned(
        Scope::Consumer,
        "fetch.wait.max.ms",
        "50",
        "how long a broker holds a fetch that fetch.min.bytes is not met for; one that was asked while the queue of a \
         partition with a backlog was full holds that partition up as long beside idle ones (69 against 225 thousand \
         events/s measured with 250), lower asks idle partitions more often",
    ),
    tuned(
        Scope::Steps,
        "fetch.min.bytes",
        "16384",
        "signals come one by one, each to another partition: a fetch for every one (700 a second for 2,500 signals) cost \
         broker and process more than the signals, so they gather for fetch.wait.max.ms; lower is sooner while there are few",
    ),
    tuned(
        Scope::Steps,
        "fetch.wait.max.ms",
        "10",
        "how long signals gather for a fetch; higher asks the brokers less often, and is added to every alert",
    ),
    tuned(
        Scope::Consumer,
        "fetch.message.max.bytes",
        "1048576",
        "per partition and fetch; higher needs fewer round trips to catch up and more memory for each partition",
    ),
    tuned(
        Scope::Consumer,
        "fetch.queue.backoff.ms",
        "10",
        "pause after the local queue was full; librdkafka's 1000 lets a fast reader run dry (132 against 325 thousand records/s measured), lower costs wake-ups",
    ),
    tuned(
        Scope::Consumer,
        "queued.min.messages",
        "10000",
        "records fetched ahead for each partition; higher rides out longer stalls of the broker, in memory",
    ),
    tuned(
        Scope::Consumer,
        "queued.max.messages.kbytes",
        "4096",
        "bound of what is fetched ahead for each partition; 4 MiB gave the rate of 64 MiB at a third of the memory",
    ),
    tuned(
        Scope::Consumer,
        "isolation.level",
        "read_committed",
        "records of aborted transactions are never seen; an open transaction holds readers back until it ends",
    ),
    tuned(
        Scope::Consumer,
        "partition.assignment.strategy",
        "cooperative-sticky",
        "a rebalance moves only the partitions that change hands; the eager ones stop every partition, and are refused",
    ),
    tuned(
        Scope::Consumer,
        "session.timeout.ms",
        "10000",
        "how long a killed process keeps its partitions; lower takes over sooner, higher bears longer pauses of machine or network",
    ),
    tuned(
        Scope::Consumer,
        "heartbeat.interval.ms",
        "3000",
        "how soon a member learns of a rebalance; at most a third of the session timeout",
    ),
    tuned(
        Scope::Producer,
        "acks",
        "all",
        "a record counts once every in-sync replica has it; 1 is faster and loses records when a leader dies",
    ),
    tuned(
        Scope::Producer,
        "enable.idempotence",
        "true",
        "retries neither repeat nor reorder records; costs nothing measurable (456 against 469 thousand records/s)",
    ),
    tuned(
        Scope::Producer,
        "compression.type",
        "lz4",
        "2.8 us of CPU a record; zstd packs denser at 3.9 us, none leaves network and disk to pay",
    ),
    tuned(
        Scope::Producer,
        "linger.ms",
        "2",
        "how long a batch waits for company; higher packs better, and is added to every alert twice",
    ),
    tuned(
        Scope::Producer,
        "message.max.bytes",
        RECORD_BYTES_MAX_TEXT,
        "one record: a large window's state and a dead letter in base64 pass the usual 1 MB; topics that Tripline creates take as much",
    ),
    tuned(
        Scope::Producer,
        "batch.size",
        "1000000",
        "bytes of one batch before compression; higher packs better and may meet the broker's max.message.bytes",
    ),
    tuned(
        Scope::Producer,
        "queue.buffering.max.kbytes",
        "65536",
        "bound of what waits in the producer; beyond it appends wait in order, none is dropped",
    ),
    tuned(
        Scope::Producer,
        "message.timeout.ms",
        "60000",
        "how long an append is tried before it is an error that its stage sees; higher hides an outage for longer",
    ),
    tuned(
        Scope::Producer,
        "topic.metadata.propagation.max.ms",
        "5000",
        "how long a topic may be unknown before an append to it fails; higher bears slow clusters after a creation",
    ),
    tuned(
        Scope::Transactions,
        "transaction.timeout.ms",
        "30000",
        "when the broker ends a transaction whose process died; until then readers wait for it. A process that takes \
         its partitions over ends it at once, so this counts only where nobody does; lower breaks off what is large, \
         such as hundreds of thousands of keys that change after a long backlog, or meets a short outage",
    ),
    tuned(
        Scope::Transactions,
        "linger.ms",
        "0",
        "a transaction's records are handed over at once, and the commit waits for the last of them",
    ),
    tuned(
        Scope::Any,
        "allow.auto.create.topics",
        "false",
        "a misspelt topic is an error, not a new topic with the broker's number of partitions",
    ),
];

/// Properties that have a key of their own, or that the log's promises rest on.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "set kafka.brokers instead"),
    ("metadata.broker.list", "set kafka.brokers instead"),
    ("group.id", "set kafka.group instead"),
    ("group.instance.id", "set kafka.instance instead"),
    ("auto.offset.reset", "set the input's start instead; an offset out of range is always reported, never reset"),
    ("enable.auto.commit", "positions are committed by the stages, after the records that follow from them"),
    ("enable.auto.offset.store", "positions are committed by the stages, after the records that follow from them"),
    ("enable.partition.eof", "readers need it to know that they have caught up"),
    ("transactional.id", "each process has some of its own, by which its successor ends what it left open"),
];

/// What a client is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use<'a> {
    /// Metadata and watermarks; sees the end of the log itself, open transactions included.
    Probe,
    /// Reads or commits for a group, without taking a seat in it.
    Group(&'a str),
    /// Reads many partitions in the background, under this group's name.
    Followers(&'a str),
    /// Takes a seat in a group; `instance` for a static one.
    Seat {
        group: &'a str,
        instance: Option<&'a str>,
        with_state: bool,
    },
    Producer,
    /// Writes in transactions, under this transactional id.
    Transactions(&'a str),
    /// Reads what a group committed before the transactions that are open; without a seat in it.
    Former(&'a str),
}

/// The configuration of one client.
pub(super) fn client(kafka: &config::Kafka, purpose: Use<'_>) -> Result<ClientConfig, LogError> {
    let mut set = defaults(purpose);
    let consumes = !matches!(purpose, Use::Producer | Use::Transactions(_));
    for (name, value) in &kafka.properties {
        if let Some((_, instead)) = OWNED.iter().find(|(owned, _)| owned == name) {
            return Err(LogError::Refused(format!("kafka property {name} can't be set: {instead}")));
        }
        if name == "partition.assignment.strategy" && value != "cooperative-sticky" {
            return Err(LogError::Refused(format!(
                "kafka property {name}: a rebalance must not stop the partitions that stay, so it can only be \
                 cooperative-sticky, or set group.protocol to consumer"
            )));
        }
        set.insert(name.clone(), value.clone());
    }
    if set.get("group.protocol").is_some_and(|protocol| protocol == "consumer") {
        // With this protocol these three are the broker's to decide, and librdkafka refuses them.
        for broker_side in ["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"] {
            if !kafka.properties.contains_key(broker_side) {
                set.remove(broker_side);
            }
        }
    }
    let mut own = |name: &str, value: &str| set.insert(name.to_owned(), value.to_owned());
    own("bootstrap.servers", &kafka.brokers);
    if consumes {
        own("enable.auto.commit", "false");
        own("enable.auto.offset.store", "false");
        own("auto.offset.reset", "error");
        own("enable.partition.eof", "true");
    }
    match purpose {
        Use::Probe => drop(own("isolation.level", "read_uncommitted")),
        Use::Former(group) => {
            own("isolation.level", "read_uncommitted");
            own("group.id", group);
        }
        Use::Transactions(id) => {
            own("transactional.id", id);
            // At most `transaction.timeout.ms`, which librdkafka sees to by itself when it is not set.
            set.remove("message.timeout.ms");
        }
        Use::Group(group) => drop(own("group.id", group)),
        Use::Followers(group) => {
            own("group.id", group);
            // Of each partition; they are many, and none is in a hurry.
            own("queued.max.messages.kbytes", "1024");
        }
        Use::Seat { group, instance, .. } => {
            own("group.id", group);
            instance.map(|instance| own("group.instance.id", instance));
        }
        Use::Producer => {}
    }
    let mut config = ClientConfig::new();
    config.extend(set);
    config.set_log_level(RDKafkaLogLevel::Info);
    config.create_native_config().map_err(|refused| explain(&refused))?;
    Ok(config)
}

fn defaults(purpose: Use<'_>) -> BTreeMap<String, String> {
    let wanted: &[Scope] = match purpose {
        Use::Producer => &[Scope::Any, Scope::Producer],
        // In the order of the list, so the narrower scope wins.
        Use::Transactions(_) => &[Scope::Any, Scope::Producer, Scope::Transactions],
        Use::Seat { with_state: true, .. } => &[Scope::Any, Scope::Consumer, Scope::Steps],
        _ => &[Scope::Any, Scope::Consumer],
    };
    let mut set: BTreeMap<String, String> = TUNED
        .iter()
        .filter(|tuned| wanted.contains(&tuned.scope))
        .map(|tuned| (tuned.name.to_owned(), tuned.value.to_owned()))
        .collect();
    if matches!(purpose, Use::Seat { instance: Some(_), .. }) {
        // A static seat waits for its process to come back; a container takes longer than 10 s to be started again.
        set.insert("session.timeout.ms".to_owned(), "45000".to_owned());
    }
    set
}

/// Why librdkafka did not take a configuration, without any secret.
pub(super) fn explain(refused: &KafkaError) -> LogError {
    LogError::Refused(match refused {
        KafkaError::ClientConfig(_, _, name, _) if is_secret(name) => {
            format!("kafka property {name} was refused (its value is not shown)")
        }
        // It may be a secret under a name with a slip of the finger.
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, why, name, _) => {
            format!("kafka property {name} was refused: {why}")
        }
        KafkaError::ClientConfig(_, why, name, value) => {
            format!("kafka property {name} = {value:?} was refused: {why}")
        }
        KafkaError::ClientCreation(why) => format!("the kafka properties were refused: {why}"),
        other => format!("the kafka properties were refused: {other}"),
    })
}

fn is_secret(name: &str) -> bool {
    ["password", "secret", "key", "pem", "token", "jaas", "oauthbearer"].iter().any(|word| name.contains(word))
}

/// The value that a client of this configuration runs with, ours or librdkafka's default.
pub(super) fn effective(config: &ClientConfig, name: &str) -> Result<String, LogError> {
    config.create_native_config().and_then(|native| native.get(name)).map_err(|error| explain(&error))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub fn kafka(properties: &[(&str, &str)]) -> config::Kafka {
        config::Kafka {
            brokers: "127.0.0.1:1".into(),
            group: "tripline".into(),
            topic_prefix: "tripline".into(),
            instance: None,
            events_partitions: 1,
            replication: 1,
            events_retention: Duration::from_secs(3600),
            signals_retention: Duration::from_secs(3600),
            alerts_retention: Duration::from_secs(3600),
            delivery: config::Delivery::ExactlyOnce,
            properties: properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        }
    }

    fn refused(properties: &[(&str, &str)]) -> String {
        client(&kafka(properties), Use::Producer).expect_err("it must be refused").to_string()
    }

    #[test]
    fn every_tuned_property_is_one_that_librdkafka_takes() {
        let uses = [
            Use::Probe,
            Use::Group("g"),
            Use::Followers("g"),
            Use::Former("g"),
            Use::Seat { group: "g", instance: Some("seat"), with_state: false },
            Use::Seat { group: "g", instance: None, with_state: true },
            Use::Producer,
            Use::Transactions("id"),
        ];
        for purpose in uses {
            client(&kafka(&[]), purpose).expect("the defaults are valid");
        }
    }

    #[test]
    fn the_operators_property_wins_over_the_tuned_one() {
        let config = client(&kafka(&[("linger.ms", "40")]), Use::Producer).expect("a valid property");
        assert_eq!(config.get("linger.ms"), Some("40"));
        assert_eq!(effective(&config, "linger.ms").expect("a known property"), "40");
    }

    #[test]
    fn signals_gather_for_a_fetch_and_events_do_not() {
        let bytes = |with_state, set: &[(&str, &str)]| {
            let config =
                client(&kafka(set), Use::Seat { group: "g", instance: None, with_state }).expect("it is valid");
            config.get("fetch.min.bytes").map(str::to_owned)
        };
        assert_eq!(bytes(false, &[]).as_deref(), Some("1"));
        assert_eq!(bytes(true, &[]).as_deref(), Some("16384"));
        assert_eq!(bytes(true, &[("fetch.min.bytes", "7")]).as_deref(), Some("7"));
    }

    #[test]
    fn the_largest_record_is_one_number() {
        assert_eq!(RECORD_BYTES_MAX_TEXT, RECORD_BYTES_MAX.to_string());
    }

    #[test]
    fn an_unknown_property_is_refused_by_name() {
        assert!(refused(&[("linger.millis", "4")]).contains("linger.millis"));
    }

    #[test]
    fn a_bad_value_is_refused_by_name_and_says_what_was_wrong() {
        let why = refused(&[("linger.ms", "soon")]);
        assert!(why.contains("linger.ms") && why.contains("soon"), "{why}");
    }

    #[test]
    fn a_refused_secret_is_named_and_not_shown() {
        let why = refused(&[("ssl.key.password", "hunter2\0")]);
        assert!(!why.contains("hunter2"), "{why}");
        let why = explain(&KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "Invalid value \"hunter2\"".into(),
            "sasl.password".into(),
            "hunter2".into(),
        ))
        .to_string();
        assert!(why.contains("sasl.password") && !why.contains("hunter2"), "{why}");
    }

    #[test]
    fn a_property_that_the_promises_rest_on_says_what_to_set_instead() {
        assert!(refused(&[("enable.auto.commit", "true")]).contains("committed by the stages"));
        assert!(refused(&[("group.id", "other")]).contains("kafka.group"));
    }

    #[test]
    fn the_newer_group_protocol_leaves_the_brokers_properties_to_the_broker() {
        let seat = Use::Seat { group: "g", instance: None, with_state: false };
        let config = client(&kafka(&[("group.protocol", "consumer")]), seat).expect("it is valid");
        assert_eq!(config.get("session.timeout.ms"), None);
        assert_eq!(config.get("partition.assignment.strategy"), None);
    }
}
