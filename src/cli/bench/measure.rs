//! CPU time of this thread, and rows of it side by side.

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::cli::output::Output;

/// Each row is measured so often, by turns with the others: machines drift, and what is compared has to drift alike.
const ROUNDS: usize = 5;

/// Before that it runs unmeasured; what learns, until so many passes in a row have built nothing anew.
const CALM_PASSES: usize = 3;

/// Unmeasured passes at most.
const WARM_PASSES_MAX: usize = 24;

/// What a bench prints.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub events: usize,
    /// Median over the rounds.
    pub cpu_us_per_event: f64,
    /// To the baseline, median of each round's.
    pub ratio: f64,
    /// The name of the row that this one is held against.
    pub baseline: String,
    /// Patterns asked for each event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_per_event: Option<f64>,
    /// Patterns that matched for each event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hits_per_event: Option<f64>,
    /// What a key takes in memory, by the allocator's count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_key: Option<f64>,
}

/// What one pass did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Tables that were built, or built again with what was learnt; `None` for what learns nothing.
    pub built: Option<u64>,
    pub found: Option<Found>,
}

/// Counts that a row shows besides its time.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub asked: u64,
    pub hits: u64,
}

/// Something to measure: it goes once through all events and says how long that took, in microseconds, and what it did.
pub struct Contender<'a> {
    name: String,
    run: Box<dyn FnMut() -> (f64, Work) + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: impl Into<String>, mut run: impl FnMut() -> Work + 'a) -> Self {
        Contender::prepared(name, || (), move |()| run())
    }

    /// Something that has its events made anew each time, unmeasured.
    pub fn prepared<T>(
        name: impl Into<String>,
        mut prepare: impl FnMut() -> T + 'a,
        mut run: impl FnMut(T) -> Work + 'a,
    ) -> Self {
        let run = move || {
            let events = prepare();
            let start = cpu_us();
            let work = run(events);
            (cpu_us() - start, work)
        };
        Contender { name: name.into(), run: Box::new(run) }
    }
}

/// Measures all by turns; the first one is the baseline.
pub fn compare(group: &str, events: usize, mut contenders: Vec<Contender<'_>>) -> Vec<Row> {
    let mut work = Vec::new();
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    contenders.iter_mut().for_each(warm_up);
    for _ in 0..ROUNDS {
        work.clear();
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let (took, did) = (contender.run)();
            work.push(did);
            times.push(took);
        }
    }
    let name = |contender: &Contender<'_>| format!("{group}: {}", contender.name);
    let baseline = contenders.first().map(name).unwrap_or_default();
    let count = events.max(1) as f64;
    let rows = contenders.iter().zip(&times).zip(&work).map(|((contender, own), work)| {
        let ratios = own.iter().zip(&times[0]).map(|(own, base)| own / base.max(f64::MIN_POSITIVE));
        Row {
            name: name(contender),
            events,
            cpu_us_per_event: median(own.iter().copied()) / count,
            ratio: median(ratios),
            baseline: baseline.clone(),
            asked_per_event: work.found.map(|found| found.asked as f64 / count),
            hits_per_event: work.found.map(|found| found.hits as f64 / count),
            bytes_per_key: None,
        }
    });
    rows.collect()
}

fn warm_up(contender: &mut Contender<'_>) {
    let mut calm = 0;
    for _ in 0..WARM_PASSES_MAX {
        match (contender.run)().1.built {
            None => return,
            Some(0) => calm += 1,
            Some(_) => calm = 0,
        }
        if calm == CALM_PASSES {
            return;
        }
    }
}

/// CPU time that this thread has used, in microseconds.
pub fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Writes rows as they come: as a table, or one JSON object a line.
pub struct Report {
    out: Output,
    json: bool,
}

impl Report {
    /// # Errors
    /// When standard output takes no more.
    pub fn start(json: bool) -> Result<Self> {
        let mut out = Output::stdout();
        if !json {
            out.line(format_args!(
                "{:<58} {:>8} {:>9} {:>7} {:>8} {:>8} {:>9}",
                "", "events", "CPU us", "ratio", "asked", "hits", "bytes/key"
            ))?;
        }
        Ok(Report { out, json })
    }

    /// # Errors
    /// When standard output takes no more.
    pub fn rows(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            if self.json {
                self.out.line(serde_json::to_string(row)?)?;
                continue;
            }
            let count = |count: Option<f64>| count.map_or_else(String::new, |count| format!("{count:.2}"));
            let Row { name, events, cpu_us_per_event, ratio, .. } = row;
            let (asked, hits) = (count(row.asked_per_event), count(row.hits_per_event));
            let bytes = row.bytes_per_key.map_or_else(String::new, |bytes| format!("{bytes:.0}"));
            self.out.line(format_args!(
                "{name:<58} {events:>8} {cpu_us_per_event:>9.3} {ratio:>7.2} {asked:>8} {hits:>8} {bytes:>9}"
            ))?;
        }
        Ok(())
    }

    /// # Errors
    /// When not everything could be written.
    pub fn finish(self) -> Result<()> {
        self.out.finish()
    }
}
