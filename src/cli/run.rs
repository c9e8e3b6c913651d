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
    output::tell,
    rules::Rules,
    server::{self, Server},
};
use crate::{
    clock::Clock,
    config::Config,
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
    let rules = load_rules(&config)?;
    show_errors(&config, &rules);
    server::block_on(serve(config, args.stages, rules))
}

/// The rules at the configured path.
fn load_rules(config: &Config) -> Result<Rules> {
    let inputs = config.inputs.iter().map(|input| input.name.clone()).collect();
    let options = LoadOptions { inputs: Some(inputs), ..LoadOptions::default() };
    Rules::load(std::slice::from_ref(&config.rules.path), options, &config.enrichment, &config.sigma.pipelines)
        .context("there are no rules to run; `tripline init` writes one to start from, --rules names others")
}

/// What is wrong with the rules: with source lines for people, as events where machines read the log.
fn show_errors(config: &Config, rules: &Rules) {
    if config.logging.json { rules.log() } else { rules.report() }
}

async fn serve(config: Config, stages: Stages, rules: Rules) -> Result<u8> {
    let grace = config.grace;
    let (escalations, mut escalated) = mpsc::unbounded_channel::<Escalation>();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut hang_up = signal(SignalKind::hangup()).context("SIGHUP")?;
    let config = Arc::new(config);
    let mut rules = rules;
    // A start can take as long as the log has no room, or Kafka no broker.
    let server = tokio::select! {
        started = Server::start(config.clone(), stages, &rules, Clock::System, escalations) => started?,
        _ = terminate.recv() => return Ok(0),
        _ = interrupt.recv() => return Ok(0),
    };
    greet(&config, &server, &rules);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => reload(&config, &server, &mut rules).await,
            Some(Escalation { stage, reason }) = escalated.recv() => {
                error!(stage, reason, "ending: the stage failed past its restart limit");
                return Ok(ESCALATED);
            }
        }
    }
    info!("stopping: reading ends, what was read is finished");
    match tokio::time::timeout(grace, server.drain()).await {
        Ok(()) => info!("stopped"),
        Err(_) => warn!(?grace, "stopped before all was finished; the next start goes on from the last commits"),
    }
    Ok(0)
}

/// A file with errors keeps its last good rules; a folder that can't be read keeps them all.
async fn reload(config: &Config, server: &Server, rules: &mut Rules) {
    match rules.reload() {
        Ok(()) => {
            show_errors(config, rules);
            let (loaded, errors) = (rules.set.rules.len(), rules.errors());
            info!(rules = loaded, errors, hash = rules.set.hash, "rules reloaded");
            server.use_rules(rules).await;
        }
        Err(error) => warn!(path = %config.rules.path.display(), error = %format!("{error:#}"), "rules not reloaded"),
    }
}

/// For the person at the terminal; a service has the log.
fn greet(config: &Config, server: &Server, rules: &Rules) {
    info!(
        rules = rules.set.rules.len(),
        refused = rules.refused,
        http = %server.http_address(),
        log = config.log_name(),
        "ready"
    );
    if io::stderr().is_terminal() {
        tell(format_args!(
            "{} rules from {}. Feed it, for example:",
            rules.set.rules.len(),
            config.rules.path.display()
        ));
        tell(format_args!("  curl --data-binary @/var/log/auth.log 'http://{}/v1/events'", server.http_address()));
    }
}
