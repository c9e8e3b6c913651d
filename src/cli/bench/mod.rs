//! `tripline bench`: what Tripline costs, in CPU time of one thread, held against reading the same records and no more.
//!
//! Events and rules are made from a seed, so two machines, or two versions, measure the same. Nothing here decides
//! whether a figure is good.

mod allocator;
mod correlate;
mod detect;
mod events;
mod kinds;
mod measure;
mod memory;
mod rules;
mod signals;
mod words;

use anyhow::Result;

pub use self::allocator::Allocator;
use self::measure::Report;
use super::args::{BenchArgs, BenchCommand};

pub fn run(args: &BenchArgs) -> Result<u8> {
    let mut report = Report::start(args.json)?;
    match &args.command {
        BenchCommand::Detect(own) => detect::run(own, &mut report)?,
        BenchCommand::Correlate(own) => correlate::run(own, &mut report)?,
    }
    report.finish()?;
    Ok(0)
}
