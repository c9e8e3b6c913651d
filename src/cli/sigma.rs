//! `tripline sigma convert`: Sigma rules as Rhai rules.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    path::PathBuf,
};

use anyhow::Result;

use super::{
    FAILED,
    args::{ConvertArgs, SigmaCommand, SigmaCommandArgs},
    output::{Output, tell},
    pipelines,
    rule_files::read_by_root,
    rules::{Rules, shown},
};
use crate::{
    config::Enrichment,
    rule::{Diagnostic, LoadOptions, Rule, SigmaOptions, convert_sigma},
};

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
    let rules: Vec<&Rule> = others.iter().flat_map(|others| &others.set.rules).map(|rule| &**rule).collect();
    let converted = convert_sigma(&texts, &rules, &options);
    let mut out = Output::stdout();
    for (number, rule) in converted.rules.iter().enumerate() {
        if number > 0 {
            out.line("")?;
        }
        out.line(rule.trim_end())?;
    }
    out.finish()?;
    let found = || others.iter().flat_map(|others| &others.diagnostics).chain(&converted.found);
    let is_told = |finding: &&Diagnostic| finding.is_error() || OF_RESULT.contains(&finding.code);
    for finding in found().filter(is_told) {
        tell(format_args!("{}\n", finding.render(io::stderr().is_terminal())));
    }
    let failed = converted.refused > 0 || found().any(Diagnostic::is_error);
    if failed {
        tell(format_args!("{} rules written, {} refused", converted.rules.len(), converted.refused));
    }
    Ok(if failed { FAILED } else { 0 })
}

/// The Sigma files at the paths, as the user can open them; and the Rhai rules there, which correlations may refer to.
fn read(paths: &[PathBuf]) -> Result<(BTreeMap<PathBuf, String>, Vec<Rules>)> {
    let (mut texts, mut others) = (BTreeMap::new(), Vec::new());
    for files in read_by_root(paths)? {
        let root = files.root.clone();
        let (sigma, rhai) = files.sigma_apart();
        texts.extend(sigma.into_iter().map(|(path, text)| (shown(&root, &path), text)));
        if !rhai.files.is_empty() {
            others.push(Rules::of(rhai, SigmaOptions::default(), LoadOptions::default(), &Enrichment::default()));
        }
    }
    Ok((texts, others))
}
