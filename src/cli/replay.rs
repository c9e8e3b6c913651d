//! `tripline replay`: rules over files, without a server.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    args::{AlertFormat, ReplayArgs},
    output::{Output, tell},
    records::Records,
    rules::Rules,
};
use crate::{
    alert::Alert,
    config::{Config, Enrichment},
    decode::{DecodeSpec, Decoder, Timing},
    detect::Raw,
    event::InputName,
    notify::{render, stdout_is_coloured},
    replay::{Options, Replay, ReplaySource, Totals},
    rule::LoadOptions,
    stage::limits,
};

/// The input of a file that names none.
const DEFAULT_INPUT: &str = "default";

/// Records between two looks at the progress bar.
const PROGRESS_EVERY: u64 = 4_096;

/// Above this share of late events stderr names a lateness that would do.
const LATE_SHARE_WARN: f64 = 0.01;

pub fn run(args: &ReplayArgs) -> Result<u8> {
    let mut inputs = open_inputs(args)?;
    let rules = Rules::load(&args.rules, load_options(&inputs), &Enrichment::default())?;
    rules.report();
    let config = Config::default();
    let options = Options {
        lateness: args.lateness,
        signals_partitions: 1,
        limits: limits(&config),
        quarantine_after: config.detect.quarantine_after,
    };
    let sources = inputs.iter().map(|input| input.source(args, &config)).collect::<Result<Vec<_>>>()?;
    let mut replay = Replay::new(&rules.set, sources, options, args.until.unwrap_or_default());
    let mut dead_letters = args.dead_letters.as_deref().map(Output::create).transpose()?;
    let summary = args.summary.as_deref().map(Output::create).transpose()?;

    read_all(&mut replay, &mut inputs, dead_letters.as_mut())?;
    let alerts = replay.finish();
    write_dead_letters(&mut replay, dead_letters.as_mut())?;
    dead_letters.map_or(Ok(()), Output::finish)?;
    print(&alerts, args.format)?;
    report(&replay, &rules, alerts.len(), summary)?;
    Ok(if rules.refused > 0 { super::FAILED } else { 0 })
}

struct Input {
    name: InputName,
    partition: u32,
    path: PathBuf,
    records: Records,
    line: Vec<u8>,
    open: bool,
}

impl Input {
    fn source(&self, args: &ReplayArgs, config: &Config) -> Result<ReplaySource> {
        let spec = DecodeSpec { format: args.decode, ..DecodeSpec::default() };
        let year = args.year.unwrap_or_else(|| year_of(&self.path));
        let decoder = Decoder::new(&spec, config.detect.decode_limits(), Timing::Replay { year })?;
        Ok(ReplaySource { input: self.name.clone(), partition: self.partition, decoder })
    }
}

/// A file without a name is read by every rule.
fn load_options(inputs: &[Input]) -> LoadOptions {
    let unnamed = inputs.iter().map(|input| &input.name).find(|name| ***name == *DEFAULT_INPUT);
    LoadOptions { read_by_all: unnamed.cloned(), ..LoadOptions::default() }
}

/// `NAME=FILE` or `FILE`, each a partition of its input, numbered in the order given.
fn open_inputs(args: &ReplayArgs) -> Result<Vec<Input>> {
    let mut partitions: BTreeMap<InputName, u32> = BTreeMap::new();
    let mut stdin = 0;
    let mut open = |written: &String| {
        let (name, path) = match written.split_once('=') {
            Some((name, path)) if !name.is_empty() && !name.contains('/') && !Path::new(written).exists() => {
                (name, path)
            }
            _ => (DEFAULT_INPUT, written.as_str()),
        };
        stdin += usize::from(path == "-");
        if stdin > 1 {
            bail!("standard input can be read once only");
        }
        let name: InputName = name.into();
        let partition = partitions.entry(name.clone()).or_default();
        *partition += 1;
        let records = Records::open(Path::new(path))?;
        Ok(Input { name, partition: *partition - 1, path: path.into(), records, line: Vec::new(), open: true })
    };
    args.inputs.iter().map(&mut open).collect()
}

/// The year in which a file was written last; of standard input, this one.
fn year_of(path: &Path) -> i16 {
    let written = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let time = written.and_then(|time| jiff::Timestamp::try_from(time).ok()).unwrap_or_else(jiff::Timestamp::now);
    time.to_zoned(jiff::tz::TimeZone::UTC).year()
}

fn read_all(replay: &mut Replay, inputs: &mut [Input], mut dead_letters: Option<&mut Output>) -> Result<()> {
    let bar = progress(inputs);
    let mut read = 0;
    while let Some(at) = replay.furthest_behind(|at| inputs[at].open) {
        let input = &mut inputs[at];
        match input.records.next(&mut input.line)? {
            None => {
                input.open = false;
                replay.end_of(at);
            }
            Some(offset) => {
                replay.read(at, Raw { offset, bytes: &input.line, timestamp_ms: None, clock: None });
                read += 1;
            }
        }
        if read % PROGRESS_EVERY == 0 {
            bar.set_position(inputs.iter().map(|input| input.records.read()).sum());
            write_dead_letters(replay, dead_letters.as_deref_mut())?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn progress(inputs: &[Input]) -> ProgressBar {
    let size: Option<u64> = inputs.iter().map(|input| input.records.size()).sum();
    if !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(size, ProgressDrawTarget::hidden());
    }
    let bar = match size {
        Some(size) => ProgressBar::new(size),
        None => ProgressBar::new_spinner(),
    };
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left");
    bar.with_style(style.expect("the template is valid"))
}

fn write_dead_letters(replay: &mut Replay, into: Option<&mut Output>) -> Result<()> {
    let letters = replay.take_dead_letters();
    match into {
        Some(into) => letters.iter().try_for_each(|letter| into.line(letter.to_json())),
        None => Ok(()),
    }
}

fn print(alerts: &[Alert], format: AlertFormat) -> Result<()> {
    let mut out = Output::stdout();
    let coloured = stdout_is_coloured();
    for alert in alerts {
        match format {
            AlertFormat::Json => out.line(alert.to_json())?,
            AlertFormat::Text => out.text(render::text(alert, coloured))?,
        }
    }
    out.finish()
}

fn report(replay: &Replay, rules: &Rules, alerts: usize, file: Option<Output>) -> Result<()> {
    let totals = replay.totals();
    for (rule, (failures, last)) in &totals.failures {
        let quarantined = if totals.quarantined.contains_key(rule) { ", quarantined" } else { "" };
        tell(format_args!("warning: scripts of {rule} failed {failures} times{quarantined}: {last}"));
    }
    warn_of_lateness(replay, totals);
    let summary = serde_json::json!({
        "events": totals.events,
        "decoded": totals.decoded,
        "dead_letters": totals.dead_letters,
        "late": totals.late,
        "duplicates": totals.duplicates,
        "missing_key": totals.missing_key,
        "evicted": totals.evicted,
        "quarantined": totals.quarantined.len(),
        "alerts": alerts,
        "rules_loaded": rules.set.rules.len(),
        "rules_refused": rules.refused,
    });
    match file {
        Some(mut file) => {
            file.line(summary)?;
            file.finish()
        }
        None => {
            let object = summary.as_object().ok_or_else(|| anyhow!("the summary is an object"))?;
            let line: Vec<String> =
                object.iter().map(|(name, value)| format!("{value} {}", name.replace('_', " "))).collect();
            tell(line.join(", "));
            Ok(())
        }
    }
}

fn warn_of_lateness(replay: &Replay, totals: &Totals) {
    if totals.late as f64 <= totals.decoded as f64 * LATE_SHARE_WARN {
        return;
    }
    let would_do = Duration::from_secs(replay.disorder().as_secs() + 1);
    tell(format_args!(
        "warning: {} of {} events are late; windowed rules do not see them. --lateness {} would do",
        totals.late,
        totals.decoded,
        humantime::format_duration(would_do).to_string().replace(' ', "")
    ));
}
