//! A server: the log, the stages, the receivers and the API of one process, from start to drain.

use std::{collections::BTreeMap, io, sync::Arc};

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{args::RunArgs, rule_files};
use crate::{
    api::Api,
    clock::Clock,
    config::{self, Config, Input, InputKind, Overrides},
    input::{Intake, file, syslog},
    log::{Log, kafka::KafkaLog, local::LocalLog},
    notify::Receiver,
    rule::RuleSet,
    stage::{Escalation, Pipeline, Surroundings, no_hook},
    telemetry::Telemetry,
};

/// The configuration that a command line asks for.
///
/// # Errors
/// All that is wrong with it, each with its place.
pub fn configure(args: &RunArgs) -> Result<Config> {
    let overrides = Overrides { data: args.data.clone(), rules: args.rules.clone() };
    config::load(args.config.as_deref(), &overrides, std::env::vars()).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("{}", texts.join("\nerror: "))
    })
}
