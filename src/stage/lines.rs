//! The lines of the stages before anybody runs them: what a stage subscribes to, and the work of each of its lines.
//!
//! The pipeline puts a supervisor over each stage. A scheduler of its own, such as a simulation's, gives lines their
//! partitions and their turns itself.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use super::{
    PipelineError, Seat, Surroundings, Topics, Work,
    alignment::Alignment,
    correlate::{self, Correlating},
    detect::{self, Detecting},
    enlisted::Enlisted,
    input_topic::{InputTopic, input_topics},
    notify::{self, Notifying},
    standby::Standby,
    supervisor::Factory,
};
use crate::{
    detect::SignalRecord,
    log::{Assignment, LogError, Record, Start, Subscription},
    notify::Receiver,
};

/// Between two tries to append what the stages begin with.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// The stages of one process.
pub struct Lines {
    pub detect: Option<Stage>,
    pub correlate: Option<Stage>,
    /// One for each receiver.
    pub notify: Vec<Stage>,
    /// What correlate follows of others, where that is asked for; somebody has to run it.
    pub standby: Option<Arc<Standby>>,
}

/// One stage: what it subscribes to, and its lines.
pub struct Stage {
    /// `detect`, `correlate` or `notify`.
    pub stage: &'static str,
    /// The receiver's; empty for the other stages.
    pub name: String,
    pub subscription: Subscription,
    pub(super) factory: Factory,
}

impl Stage {
    /// The work of the line that owns `assignment`.
    pub fn work(&self, assignment: Assignment, seat: Seat) -> Work {
        (self.factory)(assignment, seat)
    }
}

impl Lines {
    /// Creates the topics that are missing and, where the process detects, tells the signals log which partitions
    /// there are, as soon as it takes records.
    ///
    /// # Errors
    /// When the log refuses its topics, or two inputs read one topic.
    pub async fn open(around: &Surroundings, receivers: Vec<Receiver>) -> Result<Self, PipelineError> {
        let (topics, stages) = (around.topics(), around.stages);
        around.log.ensure(&topics.specs(&around.config)).await?;
        let detect = if stages.detect { Some(detect_stage(around, &topics).await?) } else { None };
        let follows = stages.correlate && around.config.correlate.standby;
        let standby = follows.then(|| standby(around, &topics));
        let correlate = stages.correlate.then(|| correlate_stage(around, &topics, standby.clone()));
        let receivers = receivers.into_iter().filter(|_| stages.notify);
        let notify = receivers.map(|receiver| notify_stage(around, receiver, &topics)).collect();
        Ok(Lines { detect, correlate, notify, standby })
    }
}

/// Appends as soon as the log can: the lines would wait for nothing else.
async fn append(around: &Surroundings, records: Vec<Record>) -> Result<(), LogError> {
    loop {
        match around.log.append(records.clone()).await {
            Err(error) if error.is_transient() => warn!(%error, "the stages wait for the log"),
            outcome => return outcome.map(drop),
        }
        tokio::time::sleep(LOG_PAUSE).await;
    }
}

/// Tells the signals log first which partitions there are.
async fn detect_stage(around: &Surroundings, topics: &Topics) -> Result<Stage, PipelineError> {
    let inputs = input_topics(&around.config, topics);
    let enlisted = Enlisted::new(&inputs, around.config.correlate.partitions);
    let roster = SignalRecord::Roster(enlisted.read(&*around.log).await?);
    let shared = Arc::new(Detecting {
        log: around.log.clone(),
        group: around.group().to_owned(),
        topics: topics.clone(),
        config: around.config.clone(),
        clock: around.clock.clone(),
        telemetry: around.telemetry.clone(),
        alignment: Alignment::default(),
        hook: around.hook.clone(),
        enlisted,
    });
    append(around, shared.to_all(&roster, around.clock.now_ms()).collect()).await?;
    let mut by_topic: HashMap<String, Arc<InputTopic>> = HashMap::new();
    for input in inputs {
        let (topic, second) = (input.topic.clone(), input.input.name.clone());
        if let Some(first) = by_topic.insert(topic.clone(), Arc::new(input)) {
            return Err(PipelineError::SharedTopic { topic, first: first.input.name.clone(), second });
        }
    }
    let subscription = Subscription {
        group: shared.group.clone(),
        topics: by_topic.iter().map(|(topic, input)| (topic.clone(), input.start())).collect(),
        with_state: false,
    };
    let factory: Factory = Box::new(move |assignment, seat| {
        let input = by_topic[&assignment.at.topic].clone();
        detect::work(shared.clone(), input, assignment, seat)
    });
    Ok(Stage { stage: "detect", name: String::new(), subscription, factory })
}

fn standby(around: &Surroundings, topics: &Topics) -> Arc<Standby> {
    let Surroundings { config, log, clock, telemetry, .. } = around.clone();
    Standby::new(log, topics.state.clone(), &config.correlate, clock, telemetry)
}

fn correlate_stage(around: &Surroundings, topics: &Topics, standby: Option<Arc<Standby>>) -> Stage {
    let group = format!("{}.correlate", around.group());
    let shared = Arc::new(Correlating {
        log: around.log.clone(),
        group: group.clone(),
        topics: topics.clone(),
        config: around.config.clone(),
        clock: around.clock.clone(),
        telemetry: around.telemetry.clone(),
        hook: around.hook.clone(),
        rulebook: around.rulebook.clone(),
        standby,
        began: Instant::now(),
    });
    let factory: Factory = Box::new(move |assignment, seat| correlate::work(shared.clone(), assignment, seat));
    let topics = vec![(topics.signals.clone(), Start::Earliest)];
    let subscription = Subscription { group, topics, with_state: true };
    Stage { stage: "correlate", name: String::new(), subscription, factory }
}

fn notify_stage(around: &Surroundings, receiver: Receiver, topics: &Topics) -> Stage {
    let sink = receiver.name().to_owned();
    let group = format!("{}.notify.{sink}", around.group());
    let shared = Arc::new(Notifying {
        log: around.log.clone(),
        group: group.clone(),
        topics: topics.clone(),
        clock: around.clock.clone(),
        telemetry: around.telemetry.clone(),
        sink: sink.clone(),
        receiver: Mutex::new(receiver),
        hook: around.hook.clone(),
    });
    let factory: Factory = Box::new(move |assignment, seat| notify::work(shared.clone(), assignment, seat));
    let topics = vec![(topics.alerts.clone(), Start::Earliest)];
    let subscription = Subscription { group, topics, with_state: false };
    Stage { stage: "notify", name: sink, subscription, factory }
}
