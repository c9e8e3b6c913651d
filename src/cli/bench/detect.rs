//! `tripline bench detect`: decoding and matching, kind by kind and with growing rule sets.

use std::{cell::OnceCell, hint::black_box, sync::Arc};

use anyhow::{Context, Result};

use super::{
    events::{self, Kind},
    measure::{Apart, Contender, Found, Report, Work, compare, cpu_us},
    rules::{self, Shape},
    words::Chance,
};
use crate::{
    cli::{args::BenchDetectArgs, output::tell, records::Records, rules::Rules},
    config::{Config, Enrichment},
    decode::{DecodeSpec, Decoder, Timing},
    event::{Event, Position, SharedEvent},
    rule::{Compiled, LoadOptions, RuleSet, Scratch, Shown},
};

/// The input that the events are of.
const INPUT: &str = "bench";

/// The year of times without one.
pub const YEAR: i16 = 2026;

/// Sizes of the rule sets that growth is shown with, as thirtieths of `--rule-count`.
const GROWTH: [usize; 4] = [1, 10, 30, 100];

/// Where it is measured, and where that is written.
struct Bench<'r> {
    /// For what others are held against.
    apart: Apart,
    report: &'r mut Report,
}

pub fn run(args: &BenchDetectArgs, report: &mut Report) -> Result<()> {
    let bench = &mut Bench { apart: Apart::start(), report };
    let mut chance = Chance::new(args.seed);
    if args.rules.is_empty() && args.input.is_none() {
        return made_up(args, &mut chance, bench);
    }
    let set = match &args.rules[..] {
        [] => rules::rules(Shape::Windows, args.rule_count, &mut chance)?,
        paths => {
            let rules = Rules::load(paths, LoadOptions::default(), &Enrichment::default(), &[])?;
            rules.report();
            rules.set
        }
    };
    let records = match &args.input {
        Some(path) => read(path, args.events)?,
        None => events::mix(50, args.events, &mut chance),
    };
    let count = set.rules.len();
    measure("given", &records, &[(format!("{count} rules"), set)], bench)
}

fn read(path: &std::path::Path, most: usize) -> Result<Vec<String>> {
    let mut records = Records::open(path)?;
    let (mut line, mut read) = (Vec::new(), Vec::new());
    while read.len() < most && records.next(&mut line)?.is_some() {
        read.push(String::from_utf8_lossy(&line).into_owned());
    }
    Ok(read)
}

fn made_up(args: &BenchDetectArgs, chance: &mut Chance, bench: &mut Bench<'_>) -> Result<()> {
    let named = |set: Arc<RuleSet>| (format!("{} rules", set.rules.len()), set);
    let mut growth = Vec::new();
    for share in GROWTH {
        growth.push(named(rules::rules(Shape::Windows, (args.rule_count * share / 30).max(1), chance)?));
    }
    for percent in [10, 90] {
        let records = events::mix(percent, args.events, chance);
        measure(&format!("{percent} % process creation"), &records, &growth, bench)?;
    }
    let windows = growth.swap_remove(2);
    for (name, kind) in
        [("process creation", Kind::ProcessCreation), ("script blocks", Kind::ScriptBlock), ("others", Kind::Other)]
    {
        measure(name, &events::events(kind, args.events, chance), std::slice::from_ref(&windows), bench)?;
    }
    for (name, kind, shape) in [
        ("nested ECS", Kind::Ecs, Shape::Ecs),
        ("CloudTrail", Kind::CloudTrail, Shape::CloudTrail),
        ("syslog lines", Kind::Syslog, Shape::Syslog),
    ] {
        let set = named(rules::rules(shape, args.rule_count, chance)?);
        measure(name, &events::events(kind, args.events, chance), &[set], bench)?;
    }
    hostile(args, &windows, chance, bench)
}

/// Rules and events that ask for much.
fn hostile(
    args: &BenchDetectArgs,
    windows: &(String, Arc<RuleSet>),
    chance: &mut Chance,
    bench: &mut Bench<'_>,
) -> Result<()> {
    let records = events::events(Kind::ProcessCreation, args.events.div_ceil(10), chance);
    let sets = rules::hostile(args.rule_count * 10 / 3, chance)?;
    measure("hostile rules", &records, &sets, bench)?;
    for (name, record) in events::hostile(chance) {
        measure(name, &[record], std::slice::from_ref(windows), bench)?;
    }
    Ok(())
}

/// Measures a plain parse, then decoding, looking and matching with each rule set.
fn measure(group: &str, records: &[String], sets: &[(String, Arc<RuleSet>)], bench: &mut Bench<'_>) -> Result<()> {
    let json = wrapped(records).unwrap_or_else(|| records.to_vec());
    let mut contenders = vec![Contender::apart("bare JSON parse", &bench.apart, move || {
        for record in &json {
            drop(black_box(serde_json::from_str::<serde_json::Value>(record)));
        }
        Work::default()
    })];
    for (name, set) in sets {
        let start = cpu_us();
        let compiled = set.compiled();
        let built_ms = (cpu_us() - start) / 1e3;
        tell(format_args!("{group}: {name} compiled in {built_ms:.0} ms"));
        for step in [Step::Decode, Step::Look, Step::Match] {
            let mut line = Line::new(compiled.clone())?;
            let label = format!("{}, {name}", step.name());
            contenders.push(Contender::new(label, move || line.run(step, records)));
        }
    }
    bench.report.rows(&compare(group, records.len(), contenders))
}

/// Lines that are no JSON, as a shipper would send them: the message of an object.
fn wrapped(records: &[String]) -> Option<Vec<String>> {
    let is_json = records.first().is_none_or(|record| record.starts_with('{'));
    (!is_json).then(|| records.iter().map(|line| serde_json::json!({ "message": line }).to_string()).collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Decode,
    Look,
    Match,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Decode => "decode",
            Step::Look => "decode and scan",
            Step::Match => "decode and match",
        }
    }
}

/// What a detect line does with records, as far as a step.
struct Line {
    decoder: Decoder,
    compiled: Arc<Compiled>,
    scratch: Scratch,
}

impl Line {
    fn new(compiled: Arc<Compiled>) -> Result<Self> {
        let config = Config::default();
        let timing = Timing::Replay { year: YEAR };
        let limits = crate::decode::Limits { record_bytes_max: 16 << 20, ..config.detect.decode_limits() };
        let mut spec = DecodeSpec::default();
        spec.time_fields.push("eventTime".to_owned());
        let mut decoder = Decoder::new(&spec, limits, timing).context("the decoder's defaults")?;
        decoder.want(&compiled.wanted);
        Ok(Line { decoder, scratch: compiled.matcher.scratch(), compiled })
    }

    fn run(&mut self, step: Step, records: &[String]) -> Work {
        let mut hits = 0;
        for record in records {
            let Ok(read) = self.decoder.read(record.as_bytes(), None) else { continue };
            let view = self.decoder.view(&read);
            let event = OnceCell::new();
            let whole = || {
                let event: &SharedEvent = event.get_or_init(|| {
                    let fields = self.decoder.in_full(&read).unwrap_or_default();
                    let position = Position { input: INPUT.into(), partition: 0, offset: 0 };
                    Arc::new(Event { time: read.time, position, fields })
                });
                event.clone()
            };
            let seen = Shown { view, time: read.time, whole: &whole };
            match step {
                Step::Decode => {
                    black_box(view);
                }
                Step::Look => {
                    black_box(self.compiled.matcher.candidates(seen, INPUT, &mut self.scratch));
                }
                Step::Match => {
                    let mut scripts = |script: &crate::rule::ScriptTest| script.test(&whole());
                    let mut count = |_, _, answer| hits += u64::from(answer == Ok(true));
                    self.compiled.matcher.matches(seen, INPUT, &mut self.scratch, &mut scripts, &mut count);
                }
            }
        }
        let counts = self.scratch.take_counts();
        let found = (step == Step::Match).then_some(Found { asked: counts.asked, hits });
        Work { built: (step != Step::Decode).then_some(counts.built), found }
    }
}
