//! `tripline replay`: rules over files, without a server.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    args::{AlertFormat, ReplayArgs},
    input_file::{InputFile, load_options},
    output::{Output, tell},
    rules::Rules,
};
use crate::{
    alert::Alert,
    config::Config,
    detect::Raw,
    event::InputName,
    notify::{render, stdout_is_coloured},
    replay::{Options, Replay, ReplaySource, Totals},
    stage::limits,
};

/// Records between two looks at the progress bar.
const PROGRESS_EVERY: u64 = 4_096;

/// Above this share of late events stderr names a lateness that would do.
const LATE_SHARE_WARN: f64 = 0.01;

pub fn run(args: &ReplayArgs) -> Result<u8> {
    let mut inputs = open_inputs(args)?;
    let options = load_options(inputs.iter().map(|input| &input.file));
    let rules = Rules::load_with(&args.rules, options, &args.databases, &args.sigma.pipelines)?;
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
    file: InputFile,
    partition: u32,
    line: Vec<u8>,
    open: bool,
}

impl Input {
    fn source(&self, args: &ReplayArgs, config: &Config) -> Result<ReplaySource> {
        let decoder = self.file.decoder(args.decode, args.year, config)?;
        Ok(ReplaySource { input: self.file.name.clone(), partition: self.partition, decoder })
    }
}

/// Each file is a partition of its input, numbered in the order given.
fn open_inputs(args: &ReplayArgs) -> Result<Vec<Input>> {
    let mut partitions: BTreeMap<InputName, u32> = BTreeMap::new();
    let mut stdin = 0;
    let mut open = |written: &String| {
        let file = InputFile::open(written)?;
        stdin += usize::from(file.is_stdin());
        if stdin > 1 {
            bail!("standard input can be read once only");
        }
        let partition = partitions.entry(file.name.clone()).or_default();
        *partition += 1;
        Ok(Input { partition: *partition - 1, file, line: Vec::new(), open: true })
    };
    args.inputs.iter().map(&mut open).collect()
}

fn read_all(replay: &mut Replay, inputs: &mut [Input], mut dead_letters: Option<&mut Output>) -> Result<()> {
    let bar = progress(inputs);
    let mut read = 0;
    while let Some(at) = replay.furthest_behind(|at| inputs[at].open) {
        let input = &mut inputs[at];
        match input.file.records.next(&mut input.line)? {
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
            bar.set_position(inputs.iter().map(|input| input.file.records.read()).sum());
            write_dead_letters(replay, dead_letters.as_deref_mut())?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn progress(inputs: &[Input]) -> ProgressBar {
    let size: Option<u64> = inputs.iter().map(|input| input.file.records.size()).sum();
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
