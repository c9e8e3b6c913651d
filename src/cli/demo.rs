//! `tripline demo`: a whole server, for a minute, on a bundled log.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tracing_subscriber::filter::Targets;

use super::{
    args::DemoArgs,
    http::Client,
    origin::Running,
    output::tell,
    rules::Rules,
    server::{self, Server},
};
use crate::{
    config::{Config, Enrichment, Input, InputKind, Logging},
    event::{ALERTS, Timestamp},
    rule::LoadOptions,
    stage::Stages,
    telemetry::{self, SourceStatus, Status},
};

/// The bundled log, by input: raw lines and JSON of a few hosts over some forty minutes.
const LOGS: [(&str, &str); 3] = [
    ("auth", include_str!("../../examples/demo/auth.log")),
    ("web", include_str!("../../examples/demo/access.log")),
    ("app", include_str!("../../examples/demo/events.ndjson")),
];

/// Nothing here takes longer; if it does, something is wrong and the demo says so.
const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(100);

pub fn run(args: &DemoArgs) -> Result<u8> {
    let rules = Rules::load(std::slice::from_ref(&args.rules), LoadOptions::default(), &Enrichment::default(), &[])
        .context("the demo runs in the repository's folder, or with --rules")?;
    rules.report();
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let config = configuration(folder.path());
    telemetry::log::init(&config.logging);
    server::block_on(show(Arc::new(config), rules))
}

/// The defaults, but for a log of its own, any free port, and less patience with an input that has ended.
fn configuration(data: &Path) -> Config {
    let mut config = Config::default();
    let plain = config.inputs.first().cloned();
    config.local.data = data.to_owned();
    // one partition keeps the story in order
    config.correlate.partitions = 1;
    config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.logging = Logging { level: Targets::new().with_default(tracing::Level::WARN), ..config.logging };
    config.inputs = plain.map_or_else(Vec::new, |plain| LOGS.map(|(name, _)| input(&plain, name)).into());
    config
}

fn input(plain: &Input, name: &str) -> Input {
    Input {
        name: name.to_owned(),
        kind: InputKind::Http,
        lateness: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(1),
        ..plain.clone()
    }
}

async fn show(config: Arc<Config>, rules: Rules) -> Result<u8> {
    let lines: usize = LOGS.iter().map(|(_, log)| log.lines().count()).sum();
    let (escalations, _escalated) = mpsc::unbounded_channel();
    let started = Instant::now();
    let around = server::surroundings(config, Stages::default())?;
    let server = Server::start(around, &Running::from(&rules), escalations).await?;
    tell(format_args!(
        "Forty minutes of a few hosts' logs, {lines} lines of sshd, sudo, a web server and JSON, against {} rules:\n",
        rules.set.rules.len()
    ));
    let client = Client::new(&format!("http://{}", server.http_address()))?;
    let feed = |(name, log)| {
        let client = &client;
        async move { client.post(&format!("/v1/events?input={name}"), log).await }
    };
    futures_util::future::try_join_all(LOGS.map(feed)).await?;
    let status = wait(&server, started).await?;
    server.drain().await;
    let fired: u64 = status.rules.iter().map(|rule| rule.fired).sum();
    let rate = started.elapsed();
    tell(format_args!(
        "\n{fired} alerts from {lines} lines in {:.1} s, through the embedded log, each committed once.\n\n\
         Next:\n  \
         tripline replay --rules rules --input /var/log/auth.log     # your own past\n  \
         tripline run                                                # a server; POST lines to /v1/events\n  \
         tripline init my-rules                                      # a configuration and a rule to start from",
        rate.as_secs_f64()
    ));
    Ok(0)
}

/// Waits until everything that was fed has been seen, correlated and shown.
async fn wait(server: &Server, started: Instant) -> Result<Status> {
    // How far the rules on events have come when all is read: the rules on alerts have to come as far.
    let mut target = None;
    loop {
        let status = server.telemetry().status();
        if is_read(&status) {
            let target = *target.get_or_insert_with(|| reached(&status));
            if is_through(&status, target) {
                return Ok(status);
            }
        }
        if started.elapsed() > PATIENCE {
            bail!("the demo is not through after {PATIENCE:?}:\n{status}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Every line has been read, and each input is idle.
fn is_read(status: &Status) -> bool {
    let lines: u64 = LOGS.iter().map(|(_, log)| log.lines().count() as u64).sum();
    let read: u64 = events(status).map(|source| source.next).sum();
    let waiting: u64 = status.signals.iter().map(|signals| signals.buffered).sum();
    read == lines && waiting == 0 && events(status).all(|source| source.idle)
}

fn reached(status: &Status) -> Option<Timestamp> {
    events(status).filter_map(|source| source.watermark).min()
}

fn events(status: &Status) -> impl Iterator<Item = &SourceStatus> {
    status.sources.iter().filter(|source| *source.input != *ALERTS)
}

fn is_through(status: &Status, target: Option<Timestamp>) -> bool {
    let walked = status.signals.iter().all(|signals| signals.frontier >= target);
    let fired: u64 = status.rules.iter().map(|rule| rule.fired).sum();
    let shown: u64 = status.sinks.iter().map(|sink| sink.delivered + sink.given_up).sum();
    walked && fired == shown
}
