//! All stages of a process, from start to drain.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter};
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::warn;

use super::{
    Hook, Stages, Topics,
    alignment::Alignment,
    correlate::{self, Correlating},
    detect::{self, Detecting},
    input_topic::{InputTopic, input_topics},
    messages::{Drain, UseRules},
    notify::{self, Notifying},
    supervisor::{Escalation, Factory, Placement, Post, Supervisor},
};
use crate::{
    clock::Clock,
    config::Config,
    detect::{Roster, SignalRecord},
    event::ALERTS,
    log::{Log, LogError, Record, Start, Subscription},
    notify::Receiver,
    rule::RuleSet,
    telemetry::Telemetry,
};

/// Between two tries to append what the stages begin with.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// What the stages run in.
#[derive(Clone)]
pub struct Surroundings {
    pub config: Arc<Config>,
    pub log: Arc<dyn Log>,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub hook: Hook,
    pub stages: Stages,
}

impl Surroundings {
    /// Consumer group of detect; the other stages' names start with it.
    fn group(&self) -> &str {
        self.config.kafka.as_ref().map_or("tripline", |kafka| &kafka.group)
    }

    pub fn topics(&self) -> Topics {
        Topics::new(self.config.kafka.as_ref().map_or("tripline", |kafka| &kafka.topic_prefix))
    }
}

/// The running stages.
pub struct Pipeline {
    detect: Option<Addr<Supervisor>>,
    correlate: Option<Addr<Supervisor>>,
    notify: Vec<Addr<Supervisor>>,
}

/// Why the stages can't start.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("topic {topic} is read by the inputs {first} and {second}")]
    SharedTopic { topic: String, first: String, second: String },
}

impl Pipeline {
    /// Creates the topics that are missing and starts the stages of this process, as soon as the log takes records. To
    /// be called inside an actix system.
    ///
    /// # Errors
    /// When the log refuses its topics, or two inputs read one topic.
    pub async fn start(
        around: &Surroundings,
        rules: Arc<RuleSet>,
        receivers: Vec<Receiver>,
        escalations: mpsc::UnboundedSender<Escalation>,
    ) -> Result<Self, PipelineError> {
        let topics = around.topics();
        around.log.ensure(&topics.specs(&around.config)).await?;
        let posts = Posts { around, rules, escalations };
        let stages = around.stages;
        let detect = if stages.detect { Some(posts.detect(&topics).await?) } else { None };
        let correlate = stages.correlate.then(|| posts.correlate(&topics));
        let receivers = receivers.into_iter().filter(|_| stages.notify);
        let notify = receivers.map(|receiver| posts.notify(receiver, &topics)).collect();
        Ok(Pipeline { detect, correlate, notify })
    }

    /// Passes a new rule set on: correlate first, so that it knows a shape before detect speaks of it.
    pub async fn use_rules(&self, rules: &Arc<RuleSet>) {
        if self.detect.is_some() {
            // The lines go on with the old rules while the new ones compile. Should that panic, the lines report it.
            let new = rules.clone();
            let _ = tokio::task::spawn_blocking(move || drop(new.compiled().clone())).await;
        }
        for supervisor in [&self.correlate, &self.detect].into_iter().flatten() {
            // A supervisor that is gone has escalated; the process is about to end.
            let _ = supervisor.send(UseRules(rules.clone())).await;
        }
    }

    /// Stops reading, lets every stage commit what it has, and leaves the groups: detect first, so that the others
    /// see all of it.
    pub async fn drain(self) {
        for supervisor in [self.detect, self.correlate].into_iter().flatten().chain(self.notify) {
            let (answer, drained) = oneshot::channel();
            supervisor.do_send(Drain(answer));
            let _ = drained.await;
        }
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

/// Every input with its partitions, as they are now, and the alerts.
async fn roster(around: &Surroundings, inputs: &[InputTopic]) -> Result<Roster, LogError> {
    let mut roster = Roster::default();
    for input in inputs {
        let partitions = around.log.partitions(&input.topic).await?;
        let numbers = (0..partitions).map(|partition| input.first_partition + partition);
        roster.inputs.entry(input.input.name.as_str().into()).or_default().extend(numbers);
    }
    // The alerts of each signals partition are a source to the rules on alerts.
    roster.inputs.insert(ALERTS.into(), (0..around.config.correlate.partitions).collect());
    Ok(roster)
}

struct Posts<'a> {
    around: &'a Surroundings,
    rules: Arc<RuleSet>,
    escalations: mpsc::UnboundedSender<Escalation>,
}

impl Posts<'_> {
    /// Tells the signals log first which partitions there are.
    async fn detect(&self, topics: &Topics) -> Result<Addr<Supervisor>, PipelineError> {
        let around = self.around;
        let inputs = input_topics(&around.config, topics);
        let shared = Arc::new(Detecting {
            log: around.log.clone(),
            group: around.group().to_owned(),
            topics: topics.clone(),
            config: around.config.clone(),
            clock: around.clock.clone(),
            telemetry: around.telemetry.clone(),
            alignment: Alignment::default(),
            hook: around.hook.clone(),
        });
        let roster = SignalRecord::Roster(roster(around, &inputs).await?);
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
        Ok(self.start("detect", String::new(), subscription, Placement::OwnThread, factory))
    }

    fn correlate(&self, topics: &Topics) -> Addr<Supervisor> {
        let group = format!("{}.correlate", self.around.group());
        let shared = Arc::new(Correlating {
            log: self.around.log.clone(),
            group: group.clone(),
            topics: topics.clone(),
            config: self.around.config.clone(),
            clock: self.around.clock.clone(),
            telemetry: self.around.telemetry.clone(),
            hook: self.around.hook.clone(),
        });
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let arbiters = (0..cores).map(|_| Arbiter::new()).collect();
        let factory: Factory = Box::new(move |assignment, seat| correlate::work(shared.clone(), assignment, seat));
        let topics = vec![(topics.signals.clone(), Start::Earliest)];
        let subscription = Subscription { group, topics, with_state: true };
        self.start("correlate", String::new(), subscription, Placement::Shared(arbiters), factory)
    }

    fn notify(&self, receiver: Receiver, topics: &Topics) -> Addr<Supervisor> {
        let sink = receiver.name().to_owned();
        let group = format!("{}.notify.{sink}", self.around.group());
        let shared = Arc::new(Notifying {
            log: self.around.log.clone(),
            group: group.clone(),
            topics: topics.clone(),
            clock: self.around.clock.clone(),
            telemetry: self.around.telemetry.clone(),
            sink: sink.clone(),
            receiver: Mutex::new(receiver),
            hook: self.around.hook.clone(),
        });
        let factory: Factory = Box::new(move |assignment, seat| notify::work(shared.clone(), assignment, seat));
        let topics = vec![(topics.alerts.clone(), Start::Earliest)];
        let subscription = Subscription { group, topics, with_state: false };
        self.start("notify", sink, subscription, Placement::Shared(vec![Arbiter::new()]), factory)
    }

    fn start(
        &self,
        stage: &'static str,
        name: String,
        subscription: Subscription,
        placement: Placement,
        factory: Factory,
    ) -> Addr<Supervisor> {
        let post = Post {
            stage,
            name,
            log: self.around.log.clone(),
            subscription,
            placement,
            factory,
            settings: self.around.config.supervisor.clone(),
            telemetry: self.around.telemetry.clone(),
            escalations: self.escalations.clone(),
        };
        Supervisor::new(post, self.rules.clone()).start()
    }
}
