//! `tripline test`: the tests that stand beside rules.

use std::time::Duration;

use anyhow::Result;

use super::{FAILED, args::TestArgs, output::Output, rules::Rules};
use crate::{
    config::Config,
    replay::{Options, TestResult, run_tests},
    rule::LoadOptions,
    stage::limits,
};

pub fn run(args: &TestArgs) -> Result<u8> {
    let rules = Rules::load_with(&args.rules, LoadOptions::default(), &args.databases, &args.sigma.pipelines)?;
    rules.report();
    let config = Config::default();
    let options = Options {
        lateness: Duration::MAX,
        signals_partitions: 1,
        limits: limits(&config),
        quarantine_after: config.detect.quarantine_after,
    };
    let results = run_tests(&rules.set, options, config.detect.decode_limits());
    let mut out = Output::stdout();
    results.iter().try_for_each(|result| print(&mut out, &rules, result))?;
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    out.line(format_args!("{} passed, {failed} failed", results.len() - failed))?;
    out.finish()?;
    Ok(if failed > 0 || rules.refused > 0 { FAILED } else { 0 })
}

fn print(out: &mut Output, rules: &Rules, result: &TestResult) -> Result<()> {
    let TestResult { rule, test, place, failure } = result;
    match failure {
        None => out.line(format_args!("ok      {rule}: {test}")),
        Some(failure) => {
            let file = rules.path_of(rule, place);
            out.line(format_args!("FAILED  {rule}: {test}"))?;
            out.line(format_args!("    {}:{}:{}\n    {failure}", file.display(), place.line, place.column))
        }
    }
}
