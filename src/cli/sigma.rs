//! `tripline sigma convert`: Sigma rules as Rhai rules.

use std::{
    fs,
    io::{self, IsTerminal},
};

use anyhow::{Context, Result};

use super::{
    FAILED,
    args::{ConvertArgs, SigmaCommand, SigmaCommandArgs},
    output::{Output, tell},
    pipelines,
};
use crate::rule::{Diagnostic, convert_sigma};

pub fn run(args: &SigmaCommandArgs) -> Result<u8> {
    match &args.command {
        SigmaCommand::Convert(args) => convert(args),
    }
}

fn convert(args: &ConvertArgs) -> Result<u8> {
    let options = pipelines::read(&args.sigma.pipelines)?;
    let mut out = Output::stdout();
    let (mut written, mut failed) = (0, false);
    for path in &args.files {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let converted = convert_sigma(path, &text, &options);
        for rule in &converted.rules {
            if written > 0 {
                out.line("")?;
            }
            written += 1;
            out.line(rule.trim_end())?;
        }
        for error in converted.found.iter().filter(|finding| finding.is_error()) {
            tell(format_args!("{}\n", Diagnostic::render(error, io::stderr().is_terminal())));
        }
        failed |= converted.refused > 0 || converted.found.iter().any(Diagnostic::is_error);
    }
    out.finish()?;
    Ok(if failed { FAILED } else { 0 })
}
