//! `tripline test`: the tests that stand beside rules.

use std::{io, time::Duration};

use anyhow::Result;

use super::{FAILED, args::TestArgs, rules::Rules};
use crate::{
    config::Config,
    replay::{Options, TestResult, run_tests},
    stage::limits,
};

pub fn run(args: &TestArgs) -> Result<u8> {
    let rules = Rules::load(&args.rules, None)?;
    rules.report_errors(&mut io::stderr())?;
    let config = Config::default();
    let options = Options {
        lateness: Duration::MAX,
        signals_partitions: 1,
        limits: limits(&config),
        quarantine_after: config.detect.quarantine_after,
    };
    let results = run_tests(&rules.set, options, config.detect.decode_limits());
    results.iter().for_each(print);
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    println!("{} passed, {failed} failed", results.len() - failed);
    Ok(if failed > 0 || rules.refused() > 0 { FAILED } else { 0 })
}

fn print(result: &TestResult) {
    let TestResult { rule, test, place, failure } = result;
    match failure {
        None => println!("ok      {rule}: {test}"),
        Some(failure) => {
            println!("FAILED  {rule}: {test}\n    {}:{}:{}", place.file.display(), place.line, place.column);
            println!("    {failure}");
        }
    }
}
