//! `tripline run`: the server, until it is told to stop.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tracing::{error, info, warn};

use super::{
    ESCALATED,
    args::RunArgs,
    origin::{Origin, Running},
    output::tell,
    rules::Rules,
    server::{self, Server},
};
use crate::{
    config::{Config, RulesSource},
    rule::LoadOptions,
    stage::{Escalation, Stages},
    telemetry,
};

pub fn run(args: &RunArgs) -> Result<u8> {
    let config = server::configure(args)?;
    if config.kafka.is_none() && !args.stages.are_all() {
        bail!("--stages {}: the embedded log belongs to one process, which runs all stages", args.stages);
    }
    telemetry::log::init(&config.logging);
    let files = match config.rules.source {
        RulesSource::Path => Some(load_rules(&config)?),
        RulesSource::Topic => None,
    };
    server::block_on(serve(Arc::new(config), args.stages, files))
}

/// The rules at the configured path.
fn load_rules(config: &Config) -> Result<Rules> {
    let options = LoadOptions::of_inputs(config.inputs.iter().map(|input| input.name.clone()));
    let paths = std::slice::from_ref(&config.rules.path);
    let rules = Rules::load(paths, options, &config.enrichment, &config.sigma.pipelines)
        .context("there are no rules to run; `tripline init` writes one to start from, --rules names others")?;
    rules.show_errors(config.logging.json);
    Ok(rules)
}

/// Starts the server on rules that were read from files, or else on those that were pushed.
async fn start(
    config: Arc<Config>,
    stages: Stages,
    files: Option<Rules>,
    escalations: mpsc::UnboundedSender<Escalation>,
) -> Result<(Server, Origin, Running)> {
    let mut around = server::surroundings(config, stages)?;
    let (origin, running) = match files {
        Some(rules) => {
            let running = Running::from(&rules);
            (Origin::Files(Box::new(rules)), running)
        }
        None => Origin::pushed(&mut around).await?,
    };
    let server = Server::start(around, &running, escalations).await?;
    Ok((server, origin, running))
}

async fn serve(config: Arc<Config>, stages: Stages, files: Option<Rules>) -> Result<u8> {
    let (escalations, mut escalated) = mpsc::unbounded_channel::<Escalation>();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut hang_up = signal(SignalKind::hangup()).context("SIGHUP")?;
    // A start can take as long as the log has no room, or Kafka no broker.
    let (server, mut origin, mut running) = tokio::select! {
        started = start(config.clone(), stages, files, escalations) => started?,
        _ = terminate.recv() => return Ok(0),
        _ = interrupt.recv() => return Ok(0),
    };
    greet(&config, &server, &running);
    loop {
        let newer = tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => origin.reload(&config),
            pushed = origin.next(&running) => Some(pushed),
            Some(Escalation { stage, reason }) = escalated.recv() => {
                error!(stage, reason, "ending: the stage failed past its restart limit");
                return Ok(ESCALATED);
            }
        };
        if let Some(newer) = newer {
            server.use_rules(&newer).await;
            running = newer;
        }
    }
    info!("stopping: reading ends, what was read is finished");
    let grace = config.grace;
    match tokio::time::timeout(grace, server.drain()).await {
        Ok(()) => info!("stopped"),
        Err(_) => warn!(?grace, "stopped before all was finished; the next start goes on from the last commits"),
    }
    Ok(0)
}

/// For the person at the terminal; a service has the log.
fn greet(config: &Config, server: &Server, rules: &Running) {
    let (loaded, refused) = (rules.set.rules.len(), rules.refused);
    info!(rules = loaded, refused, http = %server.http_address(), log = config.log_name(), "ready");
    if io::stderr().is_terminal() {
        let from = match config.rules.source {
            RulesSource::Path => config.rules.path.display().to_string(),
            RulesSource::Topic => "what was pushed".to_owned(),
        };
        tell(format_args!("{loaded} rules from {from}. Feed it, for example:"));
        tell(format_args!("  curl --data-binary @/var/log/auth.log 'http://{}/v1/events'", server.http_address()));
    }
}
