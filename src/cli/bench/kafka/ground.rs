//! The bench's own place on the brokers: names that nobody else has, what was made and what runs under them, and its
//! removal.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};

use super::events::INPUT;
use crate::{
    config::{Config, Delivery, Input, InputKind, Kafka},
    log::{
        Cleanup, Log, TopicSpec,
        kafka::{KafkaLog, Scope, TUNED, Tuned},
    },
    stage::{Pipeline, Topics},
};

/// How far an event may come behind a later one of its partition. The events come in order: a windowed alert waits for
/// no more than the bench has to show.
pub const LATENESS: Duration = Duration::from_secs(1);

/// What is made is kept so long, should nobody remove it.
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// How long stages may take to commit and leave, and how long the brokers to remove what they made.
const LEAVE_MAX: Duration = Duration::from_secs(20);

pub struct Ground {
    brokers: String,
    prefix: String,
    log: Arc<KafkaLog>,
    runs: Cell<u32>,
    topics: RefCell<Vec<String>>,
    groups: RefCell<Vec<String>>,
    /// What runs here, in the order of its start.
    pipelines: RefCell<Vec<Pipeline>>,
}

impl Ground {
    /// # Errors
    /// When there can be no client of these brokers.
    pub fn open(brokers: &str) -> Result<Self> {
        let prefix = format!("tripline-bench-{:016x}", rand::random::<u64>());
        let log = KafkaLog::connect(&kafka(brokers, &prefix, Delivery::AtLeastOnce))?;
        Ok(Ground {
            brokers: brokers.to_owned(),
            prefix,
            log,
            runs: Cell::default(),
            topics: RefCell::default(),
            groups: RefCell::default(),
            pipelines: RefCell::default(),
        })
    }

    /// What every name of the bench begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The log that the bench itself reads and writes.
    pub fn log(&self) -> &KafkaLog {
        &self.log
    }

    /// A topic of events.
    ///
    /// # Errors
    /// When the brokers don't make it.
    pub async fn events_topic(&self, name: &str, partitions: u32) -> Result<String> {
        let name = format!("{}.events-{name}", self.prefix);
        self.topics.borrow_mut().push(name.clone());
        let cleanup = Cleanup::Delete { age: Some(RETENTION), bytes: None };
        let spec = TopicSpec { name: name.clone(), partitions, cleanup, fixed: true };
        self.log.ensure(&[spec]).await.context("a topic of events")?;
        Ok(name)
    }

    /// The configuration of stages that begin with nothing, and read `topic`. Their topics and groups are noted for
    /// removal.
    pub fn config(&self, topic: &str, delivery: Delivery) -> Arc<Config> {
        let run = self.group();
        let defaults = Config::default();
        let inputs = defaults.inputs.first().map(|input| Input {
            name: INPUT.to_owned(),
            kind: InputKind::Kafka { topics: vec![topic.to_owned()] },
            lateness: LATENESS,
            ..input.clone()
        });
        let kafka = kafka(&self.brokers, &run, delivery);
        let config = Config { kafka: Some(kafka), inputs: inputs.into_iter().collect(), ..defaults };
        self.topics.borrow_mut().extend(topics_of(&run, &config));
        self.groups.borrow_mut().push(format!("{run}.correlate"));
        Arc::new(config)
    }

    /// Takes stages that run here. Whatever the end, they leave before their topics are removed.
    pub fn hold(&self, pipeline: Pipeline) {
        self.pipelines.borrow_mut().push(pipeline);
    }

    /// Lets every stage that runs here commit and leave its group.
    pub async fn drain(&self) {
        let pipelines = self.pipelines.take();
        for pipeline in pipelines.into_iter().rev() {
            // Who does not leave by then is removed by the brokers.
            tokio::time::timeout(LEAVE_MAX, pipeline.drain()).await.ok();
        }
    }

    /// Ends a run of stages: removes their topics. A broker should not have to bear those of every run at once.
    ///
    /// # Errors
    /// When the brokers keep one.
    pub async fn over(&self, config: &Config) -> Result<()> {
        self.drain().await;
        let run = config.kafka.as_ref().map_or("", |kafka| &kafka.topic_prefix);
        self.remove(&topics_of(run, config).collect::<Vec<_>>()).await
    }

    /// Removes topics that nothing reads any more.
    ///
    /// # Errors
    /// When the brokers keep one.
    pub async fn remove(&self, over: &[String]) -> Result<()> {
        self.log.remove(over, &[]).await?;
        self.topics.borrow_mut().retain(|topic| !over.contains(topic));
        Ok(())
    }

    /// The name of a group of the bench's own, noted for removal.
    pub fn group(&self) -> String {
        self.runs.set(self.runs.get() + 1);
        let name = format!("{}.{}", self.prefix, self.runs.get());
        self.groups.borrow_mut().push(name.clone());
        name
    }

    /// Ends what runs, and removes all that was made.
    ///
    /// # Errors
    /// When the brokers keep something.
    pub async fn clear(&self) -> Result<()> {
        self.drain().await;
        let (topics, groups) = (self.topics.take(), self.groups.take());
        let removed = tokio::time::timeout(LEAVE_MAX, self.log.remove(&topics, &groups)).await;
        Ok(removed.with_context(|| format!("the brokers did not answer within {LEAVE_MAX:?}"))??)
    }

    /// The settings that the figures depend on, for the person at the terminal.
    pub fn settings(&self) -> String {
        let Config { detect, correlate, .. } = Config::default();
        let of = |scope: Option<Scope>, name: &str| {
            let is_it = |tuned: &&Tuned| tuned.name == name && scope.is_none_or(|scope| tuned.scope == scope);
            TUNED.iter().find(is_it).map_or("", |tuned| tuned.value)
        };
        let tuned = |name| of(None, name);
        format!(
            "settings: {} signals partitions, commit interval {} ms (detect {} ms), marker interval {} ms, lateness {} ms, \
             linger {} ms (0 in transactions), fetch.wait.max {} ms ({} for signals), isolation {}",
            correlate.partitions,
            correlate.commit_interval.as_millis(),
            detect.commit_interval.as_millis(),
            detect.marker_interval.as_millis(),
            LATENESS.as_millis(),
            tuned("linger.ms"),
            tuned("fetch.wait.max.ms"),
            of(Some(Scope::Steps), "fetch.wait.max.ms"),
            tuned("isolation.level"),
        )
    }
}

/// The topics that the stages of a run make for themselves: what they read is not among them.
fn topics_of(run: &str, config: &Config) -> impl Iterator<Item = String> + use<> {
    let own = format!("{run}.");
    Topics::new(run).specs(config).into_iter().map(|spec| spec.name).filter(move |name| name.starts_with(&own))
}

fn kafka(brokers: &str, name: &str, delivery: Delivery) -> Kafka {
    Kafka { group: name.to_owned(), topic_prefix: name.to_owned(), delivery, ..Kafka::at(brokers) }
}
