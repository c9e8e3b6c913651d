//! What a key takes in memory, by the allocator's count: all that the correlator holds once every signal has been
//! walked and what changed is written, shared by its keys.

use anyhow::Result;

use super::{
    allocator::allocated_by,
    correlate::{Line, decode},
    measure::{BYTES_PER_KEY, Report, Row, cpu_us},
    signals::{Scenario, Stream},
};
use crate::{config::Config, correlate::Limits, stage::limits};

/// Signals that each key has, row by row.
const EACH: [usize; 2] = [1, 5];

/// Signals of one step: what changed is written after each.
const STEP: usize = 10_000;

/// Alerts show the first signal and the last.
const EVIDENCE: usize = 2;

pub fn run(scenario: &Scenario, seed: u64, report: &mut Report) -> Result<()> {
    for each in EACH {
        report.rows(&measure(scenario, each, seed)?)?;
    }
    Ok(())
}

fn measure(scenario: &Scenario, each: usize, seed: u64) -> Result<[Row; 2]> {
    let mut stream = Stream::new(*scenario, seed)?;
    let signals = scenario.keys * each;
    let limits = Limits { evidence_max: EVIDENCE, ..limits(&Config::default()) };
    let mut line = Line::new(&stream.rules, limits);
    let (mut decoding_us, mut correlating_us, mut bytes) = (0.0, 0.0, 0);
    let mut counts = true;
    for start in (0..=signals).step_by(STEP) {
        let mut records = stream.next(STEP.min(signals - start));
        if start + STEP > signals {
            records.extend(stream.end());
        }
        let begun = cpu_us();
        decode(&records);
        let decoded = cpu_us();
        let ((), more) = allocated_by(|| {
            line.run(&records);
        });
        correlating_us += cpu_us() - decoded;
        decoding_us += decoded - begun;
        let ((), less) = allocated_by(|| line.commit());
        match more.zip(less) {
            Some((more, less)) => bytes += more + less,
            None => counts = false,
        }
    }
    let name = |what: &str| format!("memory: {what}, {} keys with {each} each", scenario.keys);
    let baseline = name("decode");
    let row = |what: &str, us: f64, bytes_per_key: Option<f64>| Row {
        name: name(what),
        events: signals,
        cpu_us_per_event: us / signals as f64,
        ratio: us / decoding_us,
        baseline: baseline.clone(),
        figures: bytes_per_key.map(|bytes| (&BYTES_PER_KEY, bytes)).into_iter().collect(),
    };
    let bytes_per_key = counts.then(|| bytes as f64 / scenario.keys as f64);
    Ok([row("decode", decoding_us, None), row("signals", correlating_us, bytes_per_key)])
}
