//! All stages of a process, from start to drain.

use std::sync::Arc;

use actix::{Actor, Addr, Arbiter};
use tokio::sync::{mpsc, oneshot};

use super::{
    Hook, Rulebook, Stages, Topics,
    lines::{Lines, Stage},
    messages::{Drain, UseRules},
    supervisor::{Escalation, Placement, Post, Supervisor},
};
use crate::{
    clock::Clock,
    config::Config,
    log::{Log, LogError},
    notify::Receiver,
    rule::RuleSet,
    telemetry::Telemetry,
};

/// What the stages run in.
#[derive(Clone)]
pub struct Surroundings {
    pub config: Arc<Config>,
    pub log: Arc<dyn Log>,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub hook: Hook,
    pub stages: Stages,
    /// Where rule sets come from that are passed round; `None` where each process has its own.
    pub rulebook: Option<Arc<Rulebook>>,
}

impl Surroundings {
    /// Consumer group of detect; the other stages' names start with it.
    pub(super) fn group(&self) -> &str {
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
    /// The thread that follows the state of others.
    standby: Option<Arbiter>,
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
        let Lines { detect, correlate, notify, standby } = Lines::open(around, receivers).await?;
        let start = |Stage { stage, name, subscription, factory }: Stage, placement: Placement| {
            let post = Post {
                stage,
                name,
                log: around.log.clone(),
                subscription,
                placement,
                factory,
                settings: around.config.supervisor.clone(),
                telemetry: around.telemetry.clone(),
                escalations: escalations.clone(),
            };
            Supervisor::new(post, rules.clone()).start()
        };
        let on_cores = || {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            Placement::Shared((0..cores).map(|_| Arbiter::new()).collect())
        };
        let alone = || Placement::Shared(vec![Arbiter::new()]);
        Ok(Pipeline {
            detect: detect.map(|stage| start(stage, Placement::OwnThread)),
            correlate: correlate.map(|stage| start(stage, on_cores())),
            notify: notify.into_iter().map(|stage| start(stage, alone())).collect(),
            standby: standby.map(|standby| {
                let arbiter = Arbiter::new();
                arbiter.spawn(standby.run());
                arbiter
            }),
        })
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
        // Whatever it follows, nobody here will take it over.
        if let Some(standby) = &self.standby {
            standby.stop();
        }
        for supervisor in [self.detect, self.correlate].into_iter().flatten().chain(self.notify) {
            let (answer, drained) = oneshot::channel();
            supervisor.do_send(Drain(answer));
            let _ = drained.await;
        }
    }
}
