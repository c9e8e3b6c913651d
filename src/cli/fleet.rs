//! `tripline rules`: giving a fleet its rules, and seeing who runs what.

use std::{path::Path, sync::Arc};

use anyhow::{Result, bail};
use serde::Serialize;

use super::{
    FAILED,
    args::{AnswerFormat, FleetRulesArgs, FleetRulesCommand, PushArgs, RunArgs, WhoArgs},
    output::{Output, tell},
    pipelines, read_rule_files,
    rules::Rules,
    server,
};
use crate::{
    clock::Clock,
    config::{Config, Kafka},
    event::Timestamp,
    log::{Log, kafka::KafkaLog},
    rule::{Bundle, LoadOptions},
    stage::{Push, Report, Rulebook, Topics, reports},
    telemetry::Table,
};

/// Hex digits of a hash that are enough for people.
const HASH_SHOWN: usize = 12;

pub fn run(args: &FleetRulesArgs) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &args.command {
        FleetRulesCommand::Push(args) => runtime.block_on(push(args)),
        FleetRulesCommand::Status(args) => runtime.block_on(status(args)),
    }
}

fn configured(config: Option<&Path>, rules: Option<&Path>) -> Result<(Config, Kafka)> {
    let args = RunArgs { config: config.map(Path::to_owned), rules: rules.map(Path::to_owned), ..RunArgs::default() };
    let config = server::configure(&args)?;
    match config.kafka.clone() {
        Some(kafka) => Ok((config, kafka)),
        None => bail!(
            "the configuration names no kafka.brokers: the embedded log belongs to one process, which reads its rules \
             again on SIGHUP"
        ),
    }
}

/// Checks the rules as `tripline check` does; one that does not load keeps all of them from being pushed.
async fn push(args: &PushArgs) -> Result<u8> {
    let (config, kafka) = configured(args.config.as_deref(), args.rules.as_deref())?;
    let files = read_rule_files(&config.rules.path)?;
    let sigma = pipelines::read(&config.sigma.pipelines)?;
    let options = LoadOptions::of_inputs(config.inputs.iter().map(|input| input.name.clone()));
    let rules = Rules::of(files.clone(), sigma.clone(), options, &config.enrichment);
    rules.report();
    if rules.errors() > 0 || rules.set.rules.is_empty() {
        tell(format_args!("nothing was pushed: {} rules load, {} do not", rules.set.rules.len(), rules.refused));
        return Ok(FAILED);
    }
    let topics = Topics::new(&kafka.topic_prefix);
    let log: Arc<dyn Log> = KafkaLog::connect(&kafka)?;
    log.ensure(&[topics.rules_spec()]).await?;
    let book = Rulebook::new(log, &topics, LoadOptions::default());
    let loaded = rules.set.rules.len() as u64;
    let (push, is_new) = book.push(&Bundle::of(&files, &sigma), loaded, Clock::System.now_ms()).await?;
    let said = if is_new { "pushed" } else { "was there already" };
    let mut out = Output::stdout();
    out.line(format_args!("{}: {said} in {}", described(&push), topics.rules))?;
    out.finish()?;
    Ok(0)
}

fn described(push: &Push) -> String {
    let Push { mark, rules, bytes, .. } = push;
    format!("revision {}, {}: {rules} rules, {bytes} bytes", mark.revision, shown(&mark.hash))
}

fn shown(hash: &str) -> &str {
    hash.get(..HASH_SHOWN).unwrap_or(hash)
}

/// What `--format json` writes.
#[derive(Serialize)]
struct Answer {
    /// What was pushed last.
    pushed: Option<PushedAnswer>,
    processes: Vec<Report>,
}

#[derive(Serialize)]
struct PushedAnswer {
    revision: u64,
    hash: Arc<str>,
    rules: u64,
    bytes: u64,
    at: String,
}

impl From<&Push> for PushedAnswer {
    fn from(push: &Push) -> Self {
        PushedAnswer {
            revision: push.mark.revision,
            hash: push.mark.hash.clone(),
            rules: push.rules,
            bytes: push.bytes,
            at: Timestamp::from_millis(push.pushed_ms).to_string(),
        }
    }
}

async fn status(args: &WhoArgs) -> Result<u8> {
    let (_, kafka) = configured(args.config.as_deref(), None)?;
    let topics = Topics::new(&kafka.topic_prefix);
    let log: Arc<dyn Log> = KafkaLog::connect(&kafka)?;
    log.ensure(&[topics.rules_spec(), topics.fleet_spec()]).await?;
    let pushed = Rulebook::new(log.clone(), &topics, LoadOptions::default()).newest().await?;
    let processes = reports(&*log, &topics).await?;
    let mut out = Output::stdout();
    match args.format {
        AnswerFormat::Json => {
            let answer = Answer { pushed: pushed.as_ref().map(PushedAnswer::from), processes };
            out.line(serde_json::to_string(&answer)?)?;
        }
        AnswerFormat::Text => {
            let newest = pushed.as_ref().map_or_else(|| "nothing was pushed".to_owned(), described);
            out.line(newest)?;
            out.text(table(&processes, Clock::System.now_ms()))?;
            for line in processes.iter().flat_map(complaints) {
                out.line(line)?;
            }
        }
    }
    out.finish()?;
    Ok(0)
}

fn table(processes: &[Report], now_ms: i64) -> Table {
    let mut table =
        Table::new(&["PROCESS", "STAGES", "RULES", "SINCE", ">LOADED", ">REFUSED", ">SOURCES", ">SIGNALS", "STATE"]);
    for report in processes {
        let rules = &report.rules;
        let from = rules.revision.map_or_else(|| "files".to_owned(), |revision| format!("revision {revision}"));
        let state = match (report.silent_since(now_ms), report.not_ready.is_empty()) {
            (Some(silent), _) => format!("silent for {} s", silent.as_secs()),
            (None, true) => "ready".to_owned(),
            (None, false) => "not ready".to_owned(),
        };
        table.row(&[
            &report.process,
            &report.stages,
            &format!("{from} {}", shown(&rules.hash)),
            &rules.since.map_or_else(|| "-".to_owned(), |since| since.to_string()),
            &rules.loaded,
            &rules.refused,
            &format!("{}/{}", report.sources.switched, report.sources.partitions),
            &format!("{}/{}", report.signals.switched, report.signals.partitions),
            &state,
        ]);
    }
    table
}

/// Why rules did not load there, and why it is not ready.
fn complaints(report: &Report) -> Vec<String> {
    let reasons = report.rules.errors.iter().chain(&report.not_ready);
    // Texts of other machines: control characters must not reach a terminal.
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    reasons.map(|reason| plain(&format!("{}: {reason}", report.process))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stage::Progress, telemetry::RuleSetStatus};

    #[test]
    fn people_see_who_runs_what_and_who_is_silent() {
        let rules = RuleSetStatus {
            hash: "0123456789abcdef".to_owned(),
            revision: Some(7),
            since: Timestamp::parse("2024-01-01T00:00:00Z"),
            loaded: 3,
            refused: 1,
            errors: vec!["a.rhai: wrong\u{1b}[31m".to_owned()],
            others: 0,
        };
        let switching = Report {
            process: "one".to_owned(),
            stages: "detect".to_owned(),
            reported_ms: 99_000,
            rules,
            sources: Progress { partitions: 4, switched: 3 },
            ..Report::default()
        };
        let silent = Report { process: "two".to_owned(), reported_ms: 60_000, ..Report::default() };
        let text = table(&[switching.clone(), silent], 100_000).to_string();
        let rows: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(rows[2], "one detect revision 7 0123456789ab 2024-01-01T00:00:00Z 3 1 3/4 0/0 ready");
        assert!(rows[3].starts_with("two files") && rows[3].ends_with("silent for 40 s"), "{text}");
        assert_eq!(complaints(&switching), ["one: a.rhai: wrong [31m"]);
    }
}
