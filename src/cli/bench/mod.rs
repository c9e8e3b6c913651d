//! `tripline bench`: what Tripline costs in CPU time, held against reading the same records and no more.
//!
//! Events and rules are made from a seed, so two machines, or two versions, measure the same. Nothing here decides
//! whether a figure is good.

mod allocator;
mod correlate;
mod detect;
mod events;
mod kafka;
mod kinds;
mod measure;
mod memory;
mod rules;
mod signals;
mod words;

use anyhow::Result;

pub use self::allocator::Allocator;
use self::measure::{ASKED, BYTES_PER_KEY, Column, HITS, Report};
use super::args::{BenchArgs, BenchCommand};

static DETECT_COLUMNS: [&Column; 2] = [&ASKED, &HITS];
static CORRELATE_COLUMNS: [&Column; 2] = [&HITS, &BYTES_PER_KEY];

pub fn run(args: &BenchArgs) -> Result<u8> {
    let columns: &'static [&'static Column] = match args.command {
        BenchCommand::Detect(_) => &DETECT_COLUMNS,
        BenchCommand::Correlate(_) => &CORRELATE_COLUMNS,
        BenchCommand::Kafka(_) => &kafka::COLUMNS,
    };
    let mut report = Report::start(args.json, columns)?;
    match &args.command {
        BenchCommand::Detect(own) => detect::run(own, &mut report)?,
        BenchCommand::Correlate(own) => correlate::run(own, &mut report)?,
        BenchCommand::Kafka(own) => kafka::run(own, &mut report)?,
    }
    report.finish()?;
    Ok(0)
}
