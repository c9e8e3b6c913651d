//! `tripline sigma convert`: Sigma rules as Rhai rules.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{
    FAILED,
    args::{ConvertArgs, SigmaCommand, SigmaCommandArgs},
    output::{Output, tell},
    pipelines,
    rule_files::read_rule_files,
    rules::shown,
};
use crate::rule::{Diagnostic, LoadOptions, Rule, RuleFiles, RuleSet, convert_sigma, load};

/// Warnings that are about what comes out; the others `check` says.
const OF_RESULT: [&str; 1] = ["unused-filter"];

pub fn run(args: &SigmaCommandArgs) -> Result<u8> {
    match &args.command {
        SigmaCommand::Convert(args) => convert(args),
    }
}

fn convert(args: &ConvertArgs) -> Result<u8> {
    let options = pipelines::read(&args.sigma.pipelines)?;
    let (texts, others) = read(&args.files)?;
    let others: Vec<&Rule> = others.iter().flat_map(|set| &set.rules).map(|rule| &**rule).collect();
    let converted = convert_sigma(&texts, &others, &options);
    let mut out = Output::stdout();
    for (number, rule) in converted.rules.iter().enumerate() {
        if number > 0 {
            out.line("")?;
        }
        out.line(rule.trim_end())?;
    }
    out.finish()?;
    let is_told = |finding: &&Diagnostic| finding.is_error() || OF_RESULT.contains(&finding.code);
    for finding in converted.found.iter().filter(is_told) {
        tell(format_args!("{}\n", finding.render(io::stderr().is_terminal())));
    }
    let failed = converted.refused > 0 || converted.found.iter().any(Diagnostic::is_error);
    if failed {
        tell(format_args!("{} rules written, {} refused", converted.rules.len(), converted.refused));
    }
    Ok(if failed { FAILED } else { 0 })
}

/// The Sigma files at the paths, as the user can open them; and the Rhai rules there, which correlations may refer to.
fn read(paths: &[PathBuf]) -> Result<(BTreeMap<PathBuf, String>, Vec<RuleSet>)> {
    let is_sigma = |path: &Path| path.extension().is_some_and(|extension| extension != "rhai");
    let (mut texts, mut others) = (BTreeMap::new(), Vec::new());
    for path in paths {
        let files = read_rule_files(path)?;
        let (sigma, rhai): (BTreeMap<_, _>, BTreeMap<_, _>) =
            files.files.into_iter().partition(|(path, _)| is_sigma(path));
        let own = sigma.into_iter().filter(|(path, _)| !path.starts_with("lib"));
        texts.extend(own.map(|(path, text)| (shown(&files.root, &path), text)));
        if !rhai.is_empty() {
            let rhai = RuleFiles { files: rhai, root: files.root, lists: files.lists };
            others.push(load(&rhai, &LoadOptions::default(), None).set);
        }
    }
    Ok((texts, others))
}
