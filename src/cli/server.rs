//! A server: the log, the stages, the receivers and the API of one process, from start to drain.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::SocketAddr,
    sync::Arc,
};

use anyhow::{Context, Result, anyhow};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{args::RunArgs, origin::Running};
use crate::{
    api::Api,
    clock::Clock,
    config::{self, Config, Delivery, Input, InputKind, Kafka, Overrides},
    input::{Intake, file::FileReceiver, syslog::SyslogReceiver},
    log::{Log, LogError, kafka::KafkaLog, local::LocalLog},
    notify::Receiver,
    stage::{Escalation, Herald, Pipeline, Stages, Surroundings, Topics, no_hook},
    telemetry::{Phase, RuleSetStatus, Telemetry},
};

/// What one record of the embedded log may hold: well above what the decoder takes, so that a larger record has a
/// position and a dead letter.
const LOCAL_RECORD_BYTES_MAX: usize = 64 << 20;

/// Of Kafka's: in base64 it is still a record that our topics take.
const KAFKA_RECORD_BYTES_MAX: usize = 8 << 20;

/// The configuration that a command line asks for.
///
/// # Errors
/// All that is wrong with it, each with its place.
pub fn configure(args: &RunArgs) -> Result<Config> {
    let overrides = Overrides { data: args.data.clone(), rules: args.rules.clone() };
    config::load(args.config.as_deref(), &overrides, config::environment()).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("{}", texts.join("\nerror: "))
    })
}

/// Runs a future where stages can start: in an actix system, on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    actix::System::new().block_on(future)
}

/// A running server.
pub struct Server {
    pipeline: Pipeline,
    api: Api,
    receivers: Receivers,
    telemetry: Telemetry,
}

impl Server {
    /// Starts everything; returns when events are taken in.
    ///
    /// # Errors
    /// When the log, a sink, a receiver or the API can't start as configured.
    pub async fn start(
        around: Surroundings,
        rules: &Running,
        escalations: mpsc::UnboundedSender<Escalation>,
    ) -> Result<Self> {
        let Surroundings { config, log, telemetry, stages, .. } = around.clone();
        let open = |brokers: Option<&str>, properties: &BTreeMap<String, String>| {
            log_of_sink(&config, &log, brokers, properties)
        };
        let sinks = config.sinks.iter().filter(|_| stages.notify);
        let sinks = sinks.map(|sink| Receiver::new(sink, &open)).collect::<Result<Vec<_>, _>>()?;
        tell_rules(&telemetry, rules);
        // The doors first: what is wrong with them shows before a stage runs, and while the stages wait for a log
        // without room, senders are told so.
        around.log.ensure(&around.topics().specs(&config)).await?;
        let (mut receivers, intakes) = Receivers::start(&around).await?;
        let api = Api::start(&config.http, intakes, telemetry.clone())
            .with_context(|| format!("can't listen for HTTP on {}", config.http.listen));
        let api = match api {
            Ok(api) => api,
            Err(error) => {
                receivers.stop().await;
                return Err(error);
            }
        };
        tracing::info!(address = %api.address(), "HTTP");
        match Pipeline::start(&around, rules.set.clone(), sinks, escalations).await {
            Ok(pipeline) => {
                telemetry.set_phase(Phase::Running);
                receivers.announce(&around);
                Ok(Server { pipeline, api, receivers, telemetry })
            }
            Err(error) => {
                api.stop().await;
                receivers.stop().await;
                Err(error.into())
            }
        }
    }

    pub fn http_address(&self) -> SocketAddr {
        self.api.address()
    }

    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Passes a new rule set to the stages.
    pub async fn use_rules(&self, rules: &Running) {
        self.pipeline.use_rules(&rules.set).await;
        tell_rules(&self.telemetry, rules);
    }

    /// Takes nothing more in, finishes what was read, commits.
    pub async fn drain(self) {
        self.telemetry.set_phase(Phase::Stopping);
        self.api.stop().await;
        self.receivers.stop().await;
        self.pipeline.drain().await;
    }
}

fn tell_rules(telemetry: &Telemetry, rules: &Running) {
    let bundle = rules.set.bundle.as_ref();
    let of = RuleSetStatus {
        hash: bundle.map_or_else(|| rules.set.hash.clone(), |bundle| bundle.hash.to_string()),
        revision: bundle.map(|bundle| bundle.revision),
        refused: rules.refused as u64,
        errors: rules.errors.clone(),
        ..RuleSetStatus::default()
    };
    telemetry.set_rules(of, rules.set.rules.iter().map(|rule| rule.id()));
}

/// What the stages of a process run in: the log that the configuration names, the system's clock.
///
/// # Errors
/// When the log can't be opened.
pub fn surroundings(config: Arc<Config>, stages: Stages) -> Result<Surroundings, LogError> {
    let log = open_log(&config)?;
    let (clock, telemetry) = (Clock::System, Telemetry::default());
    Ok(Surroundings { config, log, clock, telemetry, hook: no_hook(), stages, rulebook: None })
}

/// A name that no other process has: the instance where there is one, else made of the host's.
fn process_name(kafka: &Kafka) -> String {
    let host = || {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = if name.trim().is_empty() { "process" } else { name.trim() };
        format!("{name}-{}-{:04x}", std::process::id(), rand::random::<u16>())
    };
    kafka.instance.clone().unwrap_or_else(host)
}

/// The log that the configuration names.
fn open_log(config: &Config) -> Result<Arc<dyn Log>, LogError> {
    Ok(match &config.kafka {
        Some(kafka) => KafkaLog::connect(kafka)?,
        None => LocalLog::open(&config.local)?,
    })
}

/// The log of a Kafka sink: the server's own where it names no brokers of its own.
fn log_of_sink(
    config: &Config,
    log: &Arc<dyn Log>,
    brokers: Option<&str>,
    properties: &BTreeMap<String, String>,
) -> Result<Arc<dyn Log>, LogError> {
    match (brokers, &config.kafka) {
        (None, Some(_)) if properties.is_empty() => Ok(log.clone()),
        (None, None) => Err(LogError::Refused("a Kafka sink needs brokers: there are none in [kafka] either".into())),
        (brokers, kafka) => {
            let mut own = kafka.clone().unwrap_or_else(|| Kafka::at(""));
            if let Some(brokers) = brokers {
                own = Kafka { brokers: brokers.to_owned(), ..Kafka::at(brokers) };
            }
            // A sink appends; it has no state that belongs to what it writes.
            own.delivery = Delivery::AtLeastOnce;
            own.properties.extend(properties.clone());
            Ok(KafkaLog::connect(&own)?)
        }
    }
}

/// What runs beside the stages: the receivers of syslog and files, and who tells the fleet.
struct Receivers {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Receivers {
    async fn start(around: &Surroundings) -> Result<(Self, HashMap<String, Arc<Intake>>)> {
        let topics = around.topics();
        let mut receivers = Receivers { stop: CancellationToken::new(), tasks: Vec::new() };
        let mut http = HashMap::new();
        // Who runs detect also takes in what it reads.
        for input in around.config.inputs.iter().filter(|_| around.stages.detect) {
            if matches!(input.kind, InputKind::Kafka { .. }) {
                continue;
            }
            let intake = Arc::new(intake(around, &topics, input).await?);
            around.telemetry.watch_intake(&input.name, intake.clone());
            let named = || format!("input {}", input.name);
            match &input.kind {
                InputKind::Kafka { .. } => {}
                InputKind::Http => {
                    http.insert(input.name.clone(), intake);
                }
                InputKind::Syslog { listen } => {
                    let receiver = SyslogReceiver::bind(*listen).await.with_context(named)?;
                    tracing::info!(input = input.name, address = %receiver.local_addr(), "syslog over TCP and UDP");
                    receivers.spawn(receiver.run(intake, receivers.stop.clone()));
                }
                InputKind::File { paths } => {
                    let positions = around.config.local.data.join(format!("positions-{}.json", input.name));
                    let receiver = FileReceiver::open(paths.clone(), input.start, positions).with_context(named)?;
                    receivers.spawn(receiver.run(intake, receivers.stop.clone()));
                }
            }
        }
        Ok((receivers, http))
    }

    /// Tells the fleet of this process, until it stops.
    fn announce(&mut self, around: &Surroundings) {
        let Some(kafka) = &around.config.kafka else { return };
        let herald = Herald {
            log: around.log.clone(),
            topics: around.topics(),
            process: process_name(kafka),
            stages: around.stages,
            telemetry: around.telemetry.clone(),
            clock: around.clock.clone(),
        };
        self.spawn(herald.run(self.stop.clone()));
    }

    fn spawn(&mut self, receiver: impl Future<Output = ()> + 'static) {
        self.tasks.push(tokio::task::spawn_local(receiver));
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            // A receiver that panicked has nothing more to finish.
            let _ = task.await;
        }
    }
}

async fn intake(around: &Surroundings, topics: &Topics, input: &Input) -> Result<Intake> {
    let topic = topics.received(&input.name);
    let partitions = around.log.partitions(&topic).await?;
    let record_bytes_max = if around.config.kafka.is_some() { KAFKA_RECORD_BYTES_MAX } else { LOCAL_RECORD_BYTES_MAX };
    let spec = input.decode_spec();
    Ok(Intake::new(around.log.clone(), topic, partitions, around.clock.clone(), &spec, record_bytes_max))
}
