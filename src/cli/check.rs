//! `tripline check`: what is wrong with rules, and what could be better.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Result;

use super::{
    FAILED,
    args::{CheckArgs, CheckFormat, RunArgs},
    output::Output,
    rules::Rules,
    sarif, server,
};
use crate::{
    config::Enrichment,
    notify::stdout_is_coloured,
    rule::{Cost, Level, LoadOptions, RuleSet},
};

pub fn run(args: &CheckArgs) -> Result<u8> {
    let WhatToCheck { paths, inputs, databases, pipelines } = what_to_check(args)?;
    let rules = Rules::load(&paths, LoadOptions { inputs, ..LoadOptions::default() }, &databases, &pipelines)?;
    rules.warn_if_none();
    let warnings = rules.diagnostics.iter().filter(|finding| finding.level == Level::Warning).count();
    let mut out = Output::stdout();
    match args.format {
        CheckFormat::Json => {
            for diagnostic in &rules.diagnostics {
                out.line(serde_json::to_string(diagnostic)?)?;
            }
        }
        CheckFormat::Sarif => out.line(sarif::report(&rules.diagnostics))?,
        CheckFormat::Text => {
            let coloured = stdout_is_coloured();
            for diagnostic in &rules.diagnostics {
                out.line(format_args!("{}\n", diagnostic.render(coloured)))?;
            }
            let RuleSet { rules: set, .. } = &*rules.set;
            let of = |cost: Cost| set.iter().filter(|rule| rule.cost() == cost).count();
            let [indexed, scan, script] = [Cost::Indexed, Cost::Scan, Cost::Script].map(of);
            out.line(format_args!("{indexed} indexed, {scan} asked of every event, {script} with a script"))?;
            out.line(format_args!("{} rules, {} errors, {warnings} warnings", set.len(), rules.errors()))?;
        }
    }
    out.finish()?;
    let denied = args.deny_warnings && warnings > 0;
    Ok(if rules.errors() > 0 || denied { FAILED } else { 0 })
}

struct WhatToCheck {
    /// Those given, else the configuration's, else `rules`.
    paths: Vec<PathBuf>,
    /// What the configuration has; `None` without one.
    inputs: Option<BTreeSet<String>>,
    databases: Enrichment,
    /// The configuration's, then those given.
    pipelines: Vec<PathBuf>,
}

fn what_to_check(args: &CheckArgs) -> Result<WhatToCheck> {
    let Some(file) = &args.config else {
        let paths = if args.rules.is_empty() { vec![PathBuf::from("rules")] } else { args.rules.clone() };
        let pipelines = args.sigma.pipelines.clone();
        return Ok(WhatToCheck { paths, inputs: None, databases: Enrichment::default(), pipelines });
    };
    let config = server::configure(&RunArgs { config: Some(file.clone()), ..RunArgs::default() })?;
    let paths = if args.rules.is_empty() { vec![config.rules.path] } else { args.rules.clone() };
    let inputs = config.inputs.into_iter().map(|input| input.name).collect();
    let pipelines = config.sigma.pipelines.into_iter().chain(args.sigma.pipelines.iter().cloned()).collect();
    Ok(WhatToCheck { paths, inputs: Some(inputs), databases: config.enrichment, pipelines })
}
