//! `tripline topics`: what the topics of a configuration are to be, and their creation.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{
    args::{RunArgs, TopicsArgs, TopicsCommand},
    output::Output,
    server,
};
use crate::{
    config::Config,
    log::{
        Log,
        kafka::{KafkaLog, PlannedTopic},
    },
    stage::Topics,
};

pub fn run(args: &TopicsArgs) -> Result<u8> {
    let (applies, of) = match &args.command {
        TopicsCommand::Plan(of) => (false, of),
        TopicsCommand::Apply(of) => (true, of),
    };
    let config = configured(of.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let planned = runtime.block_on(plan(&config, applies))?;
    let mut out = Output::stdout();
    planned.iter().flat_map(lines).try_for_each(|line| out.line(line))?;
    out.finish()?;
    Ok(0)
}

fn configured(file: Option<&Path>) -> Result<Config> {
    server::configure(&RunArgs { config: file.map(Path::to_owned), ..RunArgs::default() })
}

/// What there was to do; done, when it is to be applied.
async fn plan(config: &Config, applies: bool) -> Result<Vec<PlannedTopic>> {
    let Some(kafka) = &config.kafka else {
        bail!("the configuration names no kafka.brokers: the embedded log makes its topics by itself");
    };
    let log = KafkaLog::connect(kafka)?;
    let specs = Topics::new(&kafka.topic_prefix).specs(config);
    let planned = log.plan(&specs).await?;
    if applies {
        log.ensure(&specs).await.context("the topics are not all as they must be")?;
    }
    Ok(planned)
}

/// `create` what is missing, `keep` what is there, with what is other than it would be made.
fn lines(topic: &PlannedTopic) -> Vec<String> {
    let settings = topic.settings.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    let Some(found) = &topic.found else {
        let copies = topic.replication.map_or_else(|| "the brokers' number of".to_owned(), |copies| copies.to_string());
        return vec![format!("create {}: {} partitions, {copies} replicas, {settings}", topic.name, topic.partitions)];
    };
    let mut lines = vec![format!("keep   {}: {} partitions", topic.name, found.partitions)];
    for (name, value) in &found.other_settings {
        let wanted = topic.settings.iter().find(|(wanted, _)| wanted == name).map_or("", |(_, value)| value);
        lines.push(format!("       {name}={value}; a new topic would get {wanted}"));
    }
    lines.extend(found.refused.iter().map(|reason| format!("       refused: {reason}")));
    lines
}
