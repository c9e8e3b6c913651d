//! `tripline bench`: what Tripline costs, in CPU time of one thread, held against a plain parse of the same records.
//!
//! Events and rules are made from a seed, so two machines, or two versions, measure the same. Nothing here decides
//! whether a figure is good.

mod detect;
mod events;
mod measure;
mod rules;
mod words;

use anyhow::Result;

use self::measure::Report;
use super::args::{BenchArgs, BenchCommand};

pub fn run(args: &BenchArgs) -> Result<u8> {
    let mut report = Report::start(args.json)?;
    match &args.command {
        BenchCommand::Detect(own) => detect::run(own, &mut report)?,
    }
    report.finish()?;
    Ok(0)
}
