//! `tripline bench correlate`: signals from their log to their windows, kind by kind, with few keys and many.
//!
//! The baseline decodes the same records and does no more. Every row decodes them too: it is all that a correlate line
//! does with a signal between reading it and writing what it changed.

use std::{hint::black_box, sync::Arc, time::Duration};

use anyhow::{Context, Result};

use super::{
    detect::YEAR,
    kinds,
    measure::{Contender, Found, Report, Work, compare},
    memory,
    signals::{Encoded, Scenario, Stream},
};
use crate::{
    cli::{args::BenchCorrelateArgs, records::Records, rules::Rules},
    config::{Config, Enrichment},
    correlate::{Correlator, Limits},
    decode::{DecodeSpec, Decoder, Timing},
    detect::{Detector, Raw, RecordView, Roster, SignalRecord, Source, SourceState},
    rule::{LoadOptions, RuleSet},
    stage::limits,
};

/// How far a file's time waits.
const LATENESS: Duration = Duration::from_secs(10);

/// Records of a file between two markers.
const MARKER_EVERY: usize = 100;

pub fn run(args: &BenchCorrelateArgs, report: &mut Report) -> Result<()> {
    if let Some(input) = &args.input {
        return given(args, input, report);
    }
    let (windows, [few, many]) = (kinds::windows(args.keys), kinds::few_and_many(args.keys));
    report.rows(&measure("signals", &windows, Commits::None, args)?)?;
    report.rows(&measure("keys", &[few, many], Commits::Both, args)?)?;
    memory::run(&Scenario { per_key: 6, ..many }, args.seed, report)
}

/// Whether what changed is written as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commits {
    None,
    /// Each scenario once without and once with commits.
    Both,
}

/// Measures scenarios side by side, each with its windows full.
fn measure(
    group: &str,
    scenarios: &[Scenario],
    commits: Commits,
    args: &BenchCorrelateArgs,
) -> Result<Vec<super::measure::Row>> {
    let mut plain = Stream::new(scenarios[0], args.seed)?;
    let mut contenders =
        vec![Contender::prepared("decode", move || plain.next(args.events), |records| decode(&records))];
    for scenario in scenarios {
        let name = format!("{}, {} keys", scenario.name, scenario.keys);
        let (mut stream, mut line) = filled(scenario, args)?;
        contenders.push(Contender::prepared(
            name.clone(),
            move || stream.next(args.events),
            move |records| line.run(&records),
        ));
        if commits == Commits::Both {
            let (mut stream, mut line) = filled(scenario, args)?;
            let run = move |records: Vec<Encoded>| line.run_and_commit(&records);
            contenders.push(Contender::prepared(format!("{name}, commits"), move || stream.next(args.events), run));
        }
    }
    Ok(compare(group, args.events, contenders))
}

/// A line whose windows are full, and the signals that follow.
fn filled(scenario: &Scenario, args: &BenchCorrelateArgs) -> Result<(Stream, Line)> {
    let mut stream = Stream::new(*scenario, args.seed)?;
    let mut line = Line::new(&stream.rules, limits(&Config::default()));
    let mut left = stream.window();
    while left > 0 {
        let some = left.min(args.events);
        line.run(&stream.next(some));
        line.commit();
        left -= some;
    }
    Ok((stream, line))
}

/// What a line can't do without.
pub fn decode(records: &[Encoded]) -> Work {
    for (_, bytes) in records {
        drop(black_box(RecordView::decode(bytes)));
    }
    Work::default()
}

/// What a correlate line does with its records.
pub struct Line(Correlator);

impl Line {
    pub fn new(rules: &Arc<RuleSet>, limits: Limits) -> Self {
        Line(Correlator::new(rules, limits, Config::default().detect.quarantine_after))
    }

    /// Takes records in; walks after each marker, as far as time allows.
    pub fn run(&mut self, records: &[Encoded]) -> Work {
        let mut alerts = Vec::new();
        for (offset, bytes) in records {
            let Ok(record) = RecordView::decode(bytes) else { continue };
            let is_marker = matches!(record, RecordView::Marker(_));
            self.0.accept(*offset, record, &mut alerts);
            if is_marker {
                self.0.advance(&mut |_| {}, &mut alerts);
            }
        }
        Work { built: None, found: Some(Found { asked: 0, hits: alerts.len() as u64 }) }
    }

    /// Writes what changed after as many signals as come in a commit interval, at one a microsecond.
    fn run_and_commit(&mut self, records: &[Encoded]) -> Work {
        let interval = Config::default().correlate.commit_interval.as_micros() as usize;
        let mut hits = 0;
        for records in records.chunks(interval) {
            hits += self.run(records).found.map_or(0, |found| found.hits);
            self.commit();
        }
        Work { built: None, found: Some(Found { asked: 0, hits }) }
    }

    /// What changed is written, and thrown away here.
    pub fn commit(&mut self) {
        black_box(self.0.changes());
    }
}

/// The signals of given rules and records: every round begins with nothing.
fn given(args: &BenchCorrelateArgs, input: &std::path::Path, report: &mut Report) -> Result<()> {
    let rules = Rules::load(&args.rules, LoadOptions::default(), &Enrichment::default(), &[])?;
    rules.report();
    let config = Config::default();
    let records = detected(input, &rules.set, &config, args.events)?;
    let run = || Line::new(&rules.set, limits(&config)).run(&records);
    let contenders = vec![Contender::new("decode", || decode(&records)), Contender::new("correlate", run)];
    report.rows(&compare("given", records.len(), contenders))
}

/// What detect writes of the first records of a file.
fn detected(path: &std::path::Path, rules: &Arc<RuleSet>, config: &Config, most: usize) -> Result<Vec<Encoded>> {
    let mut source = source(rules, config)?;
    let mut found = vec![SignalRecord::Roster(Roster { inputs: [("default".into(), vec![0])].into() })];
    let (mut file, mut line) = (Records::open(path)?, Vec::new());
    for read in 1..=most {
        let Some(offset) = file.next(&mut line)? else { break };
        let signals = source.read(Raw { offset, bytes: &line, timestamp_ms: None, clock: None });
        found.extend(signals.into_iter().flatten().map(SignalRecord::Signal));
        if read.is_multiple_of(MARKER_EVERY) {
            found.push(SignalRecord::Marker(source.marker()));
        }
    }
    found.push(SignalRecord::Marker(source.marker()));
    Ok((0..).zip(found.iter().map(SignalRecord::encode)).collect())
}

/// The only partition of an input, as a detect line reads it.
pub fn source(rules: &Arc<RuleSet>, config: &Config) -> Result<Source> {
    let timing = Timing::Replay { year: YEAR };
    let decoder = Decoder::new(&DecodeSpec::default(), config.detect.decode_limits(), timing)
        .context("the decoder's defaults")?;
    let state = SourceState {
        input: "default".into(),
        partition: 0,
        lateness: LATENESS,
        watermark: None,
        epoch: 1,
        max_clock_skew: None,
    };
    Ok(Source::new(state, decoder, Detector::new(rules.clone(), config.detect.quarantine_after)))
}
