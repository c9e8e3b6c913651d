//! `tripline check`: what is wrong with rules, and what could be better.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
};

use anyhow::Result;

use super::{
    FAILED,
    args::{CheckArgs, CheckFormat, RunArgs},
    rules::Rules,
    server,
};

pub fn run(args: &CheckArgs) -> Result<u8> {
    let inputs: Option<BTreeSet<String>> = match &args.config {
        None => None,
        Some(file) => {
            let config = server::configure(&RunArgs { config: Some(file.clone()), ..RunArgs::default() })?;
            Some(config.inputs.into_iter().map(|input| input.name).collect())
        }
    };
    let rules = Rules::load(&args.rules, inputs)?;
    match args.format {
        CheckFormat::Json => {
            for diagnostic in &rules.diagnostics {
                println!("{}", serde_json::to_string(diagnostic)?);
            }
        }
        CheckFormat::Text => {
            let coloured = io::stdout().is_terminal();
            for diagnostic in &rules.diagnostics {
                println!("{}\n", diagnostic.render(coloured));
            }
            let warnings = rules.diagnostics.len() - rules.errors();
            println!("{} rules, {} errors, {warnings} warnings", rules.set.rules.len(), rules.errors());
        }
    }
    let denied = args.deny_warnings && !rules.diagnostics.is_empty();
    Ok(if rules.errors() > 0 || denied { FAILED } else { 0 })
}
