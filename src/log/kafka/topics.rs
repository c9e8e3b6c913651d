//! Creates the topics that are missing, and refuses those that are there with another number of partitions. Removes what
//! it is told to by name.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult},
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    context::log_line,
    failure,
    probe::{ANSWER_MAX, Probe},
    properties::{self, Use},
};
use crate::{
    config,
    log::{Cleanup, LogError, REMOVALS_STAY, TopicSpec},
};

const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The last segment is closed after this share of the retention, or retention would never reach a quiet topic.
const SEGMENTS_PER_RETENTION: u64 = 8;
/// The largest age that a broker can count: 292 million years.
const RETENTION_MS_MAX: u128 = i64::MAX as u128;
/// What brokers accept at least, and their default.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// A changelog's records are compacted once their segment is closed; a restore reads what is not compacted yet.
const CHANGELOG_SEGMENT_BYTES: &str = "67108864";
/// A changelog is compacted when this part of it is new: less to restore, for more work of the broker.
const CHANGELOG_DIRTY_RATIO: &str = "0.2";

/// What a batch adds to the largest record that the producer takes.
const BATCH_BYTES: u64 = 1 << 10;

pub(super) async fn ensure(kafka: &config::Kafka, probe: &Arc<Probe>, topics: &[TopicSpec]) -> Result<(), LogError> {
    let (mut missing, mut changelogs) = (Vec::new(), Vec::new());
    for spec in topics {
        match probe.partitions(&spec.name).await? {
            Some(found) => check(spec, found)?,
            None => missing.push(spec),
        }
        if spec.cleanup == Cleanup::Compact {
            changelogs.push(spec);
        }
    }
    changelogs.retain(|spec| !missing.contains(spec));
    if !changelogs.is_empty() {
        check_compaction(kafka, &changelogs).await?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    create(kafka, probe, &missing).await?;
    let deadline = Instant::now() + ANSWER_MAX;
    for spec in missing {
        while !probe.is_led(&spec.name).await? {
            if Instant::now() > deadline {
                return Err(LogError::Broker(format!("topic {} was created and does not come up", spec.name)));
            }
            sleep(LOOK_AGAIN).await;
        }
        // Another process may have created it at the same time, by another configuration.
        if let Some(found) = probe.partitions(&spec.name).await? {
            check(spec, found)?;
        }
    }
    Ok(())
}

fn check(spec: &TopicSpec, found: u32) -> Result<(), LogError> {
    if spec.fixed && found != spec.partitions {
        return Err(LogError::Partitions { topic: spec.name.clone(), found, wanted: spec.partitions });
    }
    Ok(())
}

/// A changelog whose old records are deleted would lose state without a word.
async fn check_compaction(kafka: &config::Kafka, changelogs: &[&TopicSpec]) -> Result<(), LogError> {
    let admin = admin(kafka)?;
    let resources: Vec<_> = changelogs.iter().map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
    let answer = admin.describe_configs(&resources, &AdminOptions::new().request_timeout(Some(ANSWER_MAX))).await;
    dismiss(admin).await;
    let described = answer.map_err(|error| LogError::Broker(format!("the topics' settings can't be read: {error}")))?;
    for (resource, spec) in described.into_iter().zip(changelogs) {
        match resource {
            Ok(resource) => {
                let policy =
                    resource.get("cleanup.policy").and_then(|entry| entry.value.as_deref()).unwrap_or_default();
                if !policy.split(',').any(|word| word.trim() == "compact") {
                    return Err(LogError::Refused(format!(
                        "topic {} holds state and has cleanup.policy={policy}, which loses it: set the topic's policy \
                         to compact",
                        spec.name
                    )));
                }
            }
            Err(code) => warn!(topic = spec.name, %code, "whether the topic is compacted can't be read"),
        }
    }
    Ok(())
}

/// Refuses a changelog that forgets removals sooner than the log promises to those who follow it.
pub(super) async fn check_removals(kafka: &config::Kafka, topic: &str) -> Result<(), LogError> {
    const NAME: &str = "delete.retention.ms";
    // No number is this one, so the topic's own is told.
    let found = other_settings(kafka, topic, &[(NAME, String::new())]).await?;
    let found = found.into_iter().next().map(|(_, found)| found).unwrap_or_default();
    if found.parse().is_ok_and(|kept_ms: u128| kept_ms >= REMOVALS_STAY.as_millis()) {
        return Ok(());
    }
    Err(LogError::Refused(format!(
        "topic {topic} can't be followed: it has {NAME}={found}, and who is away for longer would take what was removed \
         for live: set it to at least {}",
        REMOVALS_STAY.as_millis()
    )))
}

/// What there is to do about one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTopic {
    pub name: String,
    pub partitions: u32,
    /// `None` is the broker's own default.
    pub replication: Option<u32>,
    /// What a new topic gets, as the broker names it.
    pub settings: Vec<(&'static str, String)>,
    /// The topic as it is; `None` while it is missing.
    pub found: Option<FoundTopic>,
}

/// An existing topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTopic {
    pub partitions: u32,
    /// Settings that are others than a new topic would get.
    pub other_settings: Vec<(&'static str, String)>,
    /// Why the stages would not start on it.
    pub refused: Option<String>,
}

/// Compares the topics with what they would be; changes nothing.
pub(super) async fn plan(
    kafka: &config::Kafka,
    probe: &Arc<Probe>,
    topics: &[TopicSpec],
) -> Result<Vec<PlannedTopic>, LogError> {
    let mut planned = Vec::with_capacity(topics.len());
    for spec in topics {
        let settings = settings(&spec.cleanup, kafka.replication);
        let found = match probe.partitions(&spec.name).await? {
            None => None,
            Some(partitions) => Some(FoundTopic {
                partitions,
                other_settings: other_settings(kafka, &spec.name, &settings).await?,
                refused: check(spec, partitions).err().map(|error| error.to_string()),
            }),
        };
        planned.push(PlannedTopic {
            name: spec.name.clone(),
            partitions: spec.partitions,
            replication: u32::try_from(kafka.replication).ok(),
            settings,
            found,
        });
    }
    Ok(planned)
}

async fn other_settings(
    kafka: &config::Kafka,
    topic: &str,
    wanted: &[(&'static str, String)],
) -> Result<Vec<(&'static str, String)>, LogError> {
    let admin = admin(kafka)?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX));
    let answer = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
    dismiss(admin).await;
    let unread = |reason: String| LogError::Broker(format!("the settings of topic {topic} can't be read: {reason}"));
    let described = answer.map_err(|error| unread(error.to_string()))?;
    let resource = described.into_iter().next().ok_or_else(|| unread("no answer".to_owned()))?;
    let resource = resource.map_err(|code| failure::of_topic_code(topic, code))?;
    let value = |name: &str| resource.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
    let pairs = wanted.iter().map(|(name, wanted)| (*name, value(name), wanted));
    Ok(pairs.filter(|(_, found, wanted)| found != *wanted).map(|(name, found, _)| (name, found)).collect())
}

async fn create(kafka: &config::Kafka, probe: &Probe, missing: &[&TopicSpec]) -> Result<(), LogError> {
    let admin = admin(kafka)?;
    let settings: Vec<_> = missing.iter().map(|spec| settings(&spec.cleanup, kafka.replication)).collect();
    let new: Vec<NewTopic<'_>> = missing
        .iter()
        .zip(&settings)
        .map(|(spec, settings)| {
            let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
            let topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(kafka.replication));
            settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_MAX)).request_timeout(Some(ANSWER_MAX));
    let answer = admin.create_topics(&new, &options).await;
    dismiss(admin).await;
    let results = answer.map_err(|error| {
        probe.unanswered(&error).unwrap_or_else(|| LogError::Broker(format!("topics can't be created: {error}")))
    })?;
    for (result, spec) in results.into_iter().zip(missing) {
        match result {
            Ok(_) => info!(topic = spec.name, partitions = spec.partitions, "topic created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(not_created(spec, kafka.replication, code)),
        }
    }
    Ok(())
}

/// See [`super::KafkaLog::remove`].
pub(super) async fn remove(
    kafka: &config::Kafka,
    probe: &Probe,
    topics: &[String],
    groups: &[String],
) -> Result<(), LogError> {
    let admin = admin(kafka)?;
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_MAX)).request_timeout(Some(ANSWER_MAX));
    let unanswered = |error: KafkaError| {
        probe.unanswered(&error).unwrap_or_else(|| LogError::Broker(format!("topics can't be removed: {error}")))
    };
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    // An empty list of names is refused by librdkafka.
    let topics_gone = match names.is_empty() {
        true => Ok(()),
        false => admin.delete_topics(&names, &options).await.map_err(unanswered).and_then(first_kept),
    };
    let groups_gone = remove_groups(&admin, groups, &options).await;
    dismiss(admin).await;
    topics_gone.and(groups_gone)
}

fn first_kept(results: Vec<TopicResult>) -> Result<(), LogError> {
    let kept = results.into_iter().filter_map(Result::err);
    let mut kept = kept.filter(|(_, code)| *code != RDKafkaErrorCode::UnknownTopicOrPartition);
    kept.next().map_or(Ok(()), |(topic, code)| Err(failure::of_topic_code(&topic, code)))
}

async fn remove_groups(
    admin: &AdminClient<AdminLog>,
    groups: &[String],
    options: &AdminOptions,
) -> Result<(), LogError> {
    let deadline = Instant::now() + ANSWER_MAX;
    let mut left: Vec<String> = groups.to_vec();
    loop {
        if left.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = left.iter().map(String::as_str).collect();
        let answer = admin.delete_groups(&names, options).await;
        let results = answer.map_err(|error| LogError::Broker(format!("groups can't be removed: {error}")))?;
        let kept = results.into_iter().filter_map(Result::err);
        let kept: Vec<_> = kept.filter(|(_, code)| *code != RDKafkaErrorCode::GroupIdNotFound).collect();
        let may_go = |code: &RDKafkaErrorCode| *code == RDKafkaErrorCode::NonEmptyGroup || failure::is_passing(*code);
        if let Some((group, code)) = kept.iter().find(|(_, code)| !may_go(code) || Instant::now() > deadline) {
            return Err(LogError::Broker(format!("group {group} can't be removed: {code}")));
        }
        left = kept.into_iter().map(|(group, _)| group).collect();
        sleep(LOOK_AGAIN).await;
    }
}

fn not_created(spec: &TopicSpec, replication: i32, code: RDKafkaErrorCode) -> LogError {
    let what = format!("topic {} with {} partitions, {replication} replicas each", spec.name, spec.partitions);
    match code {
        RDKafkaErrorCode::InvalidReplicationFactor
        | RDKafkaErrorCode::InvalidPartitions
        | RDKafkaErrorCode::InvalidConfig
        | RDKafkaErrorCode::PolicyViolation => LogError::Refused(format!("the brokers do not create {what}: {code}")),
        code => failure::of_topic_code(&spec.name, code),
    }
}

fn settings(cleanup: &Cleanup, replication: i32) -> Vec<(&'static str, String)> {
    let mut settings = cleanup_settings(cleanup);
    // One copy may be down while writing goes on. With the broker's own number of copies goes its own least.
    if replication > 1 {
        settings.push(("min.insync.replicas", (replication - 1).to_string()));
    }
    settings.push(("max.message.bytes", (properties::RECORD_BYTES_MAX + BATCH_BYTES).to_string()));
    settings
}

fn cleanup_settings(cleanup: &Cleanup) -> Vec<(&'static str, String)> {
    match cleanup {
        Cleanup::Compact => vec![
            ("cleanup.policy", "compact".to_owned()),
            ("segment.bytes", CHANGELOG_SEGMENT_BYTES.to_owned()),
            ("min.cleanable.dirty.ratio", CHANGELOG_DIRTY_RATIO.to_owned()),
        ],
        Cleanup::Delete { age, bytes } => {
            let mut settings = vec![("cleanup.policy", "delete".to_owned())];
            match age {
                // The broker's clock, not the writers': a record of last year's event that is written today is kept
                // from today on, and a writer's wrong clock can't push time.
                Some(age) => {
                    let age_ms = age.as_millis().min(RETENTION_MS_MAX);
                    settings.extend([
                        ("retention.ms", age_ms.to_string()),
                        ("segment.ms", (age_ms / u128::from(SEGMENTS_PER_RETENTION)).max(1).to_string()),
                        ("message.timestamp.type", "LogAppendTime".to_owned()),
                    ]);
                }
                None => settings.push(("retention.ms", "-1".to_owned())),
            }
            if let Some(bytes) = bytes {
                let segment = (bytes / SEGMENTS_PER_RETENTION).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
                settings.extend([("retention.bytes", bytes.to_string()), ("segment.bytes", segment.to_string())]);
            }
            settings
        }
    }
}

struct AdminLog;

impl ClientContext for AdminLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }
}

fn admin(kafka: &config::Kafka) -> Result<AdminClient<AdminLog>, LogError> {
    let config = properties::client(kafka, Use::Producer)?;
    config.create_with_context(AdminLog).map_err(|error| properties::explain(&error))
}

/// Dropping it waits for its thread.
async fn dismiss(admin: AdminClient<AdminLog>) {
    tokio::task::spawn_blocking(move || drop(admin)).await.ok();
}
