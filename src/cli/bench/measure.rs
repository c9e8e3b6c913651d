//! CPU time of a thread or of the process, and rows of it side by side.

use std::{
    hint::black_box,
    sync::{Arc, mpsc},
    thread,
};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use serde::{Serialize, Serializer};

use crate::cli::output::Output;

/// Each row is measured so often, by turns with the others: machines drift, and what is compared has to drift alike.
const ROUNDS: usize = 5;

/// Before that it runs unmeasured; what learns, until it has built nothing anew for so many passes, and so many events.
const CALM_PASSES: usize = 3;
const CALM_EVENTS: usize = 1 << 16;

/// Unmeasured passes at most, or as many as there are in so much CPU time.
const WARM_PASSES_MAX: usize = 24;
const WARM_US_MAX: f64 = 1e6;

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
    #[serde(flatten, serialize_with = "by_key")]
    pub figures: Vec<Figure>,
}

/// What a row shows besides its time.
#[derive(Debug)]
pub struct Column {
    /// Its name in JSON.
    pub key: &'static str,
    /// Its head in the table.
    pub head: &'static str,
    /// Digits after the point, in the table; without any it is a whole number in JSON too.
    pub digits: usize,
}

/// A column's figure in one row.
pub type Figure = (&'static Column, f64);

/// Patterns asked for each event.
pub static ASKED: Column = Column { key: "asked_per_event", head: "asked", digits: 2 };

/// Patterns that matched for each event.
pub static HITS: Column = Column { key: "hits_per_event", head: "hits", digits: 2 };

/// What a key takes in memory, by the allocator's count.
pub static BYTES_PER_KEY: Column = Column { key: "bytes_per_key", head: "bytes/key", digits: 0 };

fn by_key<S: Serializer>(figures: &[Figure], serializer: S) -> Result<S::Ok, S::Error> {
    let number = |digits: usize, figure: f64| match digits {
        0 => serde_json::Value::from(figure.round() as i64),
        _ => serde_json::Value::from(figure),
    };
    serializer.collect_map(figures.iter().map(|(column, figure)| (column.key, number(column.digits, *figure))))
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
            timed(|| run(events))
        };
        Contender { name: name.into(), run: Box::new(run) }
    }

    /// Something that allocates much.
    pub fn apart(name: impl Into<String>, apart: &'a Apart, run: impl Fn() -> Work + Send + Sync + 'static) -> Self {
        let run = Arc::new(run);
        Contender { name: name.into(), run: Box::new(move || apart.timed(run.clone())) }
    }
}

/// A thread for what allocates much: it has a heap of its own, if it is started before others have left one behind, and
/// does not pay for what they leave of theirs. The same parse took 1.6 to 2.5 times as long beside compiled rules.
pub struct Apart(mpsc::Sender<Box<dyn FnOnce() + Send>>);

impl Apart {
    pub fn start() -> Self {
        let (jobs, receiver) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        thread::spawn(move || {
            // what makes the heap the thread's
            drop(black_box(Vec::<u8>::with_capacity(1 << 10)));
            receiver.into_iter().for_each(|job| job());
        });
        Apart(jobs)
    }

    fn timed(&self, run: Arc<impl Fn() -> Work + Send + Sync + 'static>) -> (f64, Work) {
        let (done, result) = mpsc::sync_channel(1);
        let job = move || done.send(timed(|| run())).unwrap_or_default();
        self.0.send(Box::new(job)).expect("the thread lives as long as this");
        result.recv().expect("what it measures does not panic")
    }
}

/// Measures all by turns; the first one is the baseline.
pub fn compare(group: &str, events: usize, mut contenders: Vec<Contender<'_>>) -> Vec<Row> {
    let mut work = Vec::new();
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    contenders.iter_mut().for_each(|contender| warm_up(contender, events));
    for _ in 0..ROUNDS {
        work.clear();
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let (took, did) = (contender.run)();
            work.push(did);
            times.push(took);
        }
    }
    let count = events.max(1) as f64;
    let figures = |work: &Work| {
        let shown = |found: &Found| vec![(&ASKED, found.asked as f64 / count), (&HITS, found.hits as f64 / count)];
        work.found.as_ref().map(shown).unwrap_or_default()
    };
    let measured = contenders.iter().zip(times).zip(&work);
    let measured = measured.map(|((contender, times_us), work)| Measured {
        name: contender.name.clone(),
        times_us,
        figures: figures(work),
    });
    rows(group, events, measured.collect())
}

/// What was measured, round by round.
pub struct Measured {
    pub name: String,
    /// CPU time of each round, in microseconds.
    pub times_us: Vec<f64>,
    pub figures: Vec<Figure>,
}

/// The rows of what was measured by turns, so often each; the first one is the baseline.
pub fn rows(group: &str, events: usize, measured: Vec<Measured>) -> Vec<Row> {
    let name = |measured: &Measured| format!("{group}: {}", measured.name);
    let baseline = measured.first().map(name).unwrap_or_default();
    let base = measured.first().map(|first| first.times_us.clone()).unwrap_or_default();
    let row = |measured: Measured| {
        let ratios = measured.times_us.iter().zip(&base).map(|(own, base)| own / base.max(f64::MIN_POSITIVE));
        Row {
            name: name(&measured),
            events,
            cpu_us_per_event: median(measured.times_us.iter().copied()) / events.max(1) as f64,
            ratio: median(ratios),
            baseline: baseline.clone(),
            figures: measured.figures,
        }
    };
    measured.into_iter().map(row).collect()
}

fn warm_up(contender: &mut Contender<'_>, events: usize) {
    let (start, mut passes, mut calm) = (cpu_us(), 0, 0);
    while let Some(built) = (contender.run)().1.built {
        passes += 1;
        calm = if built == 0 { calm + 1 } else { 0 };
        let is_calm = calm >= CALM_PASSES && calm * events >= CALM_EVENTS;
        if is_calm || passes >= WARM_PASSES_MAX && cpu_us() - start > WARM_US_MAX {
            return;
        }
    }
}

fn timed(run: impl FnOnce() -> Work) -> (f64, Work) {
    let start = cpu_us();
    let work = run();
    (cpu_us() - start, work)
}

/// CPU time that this thread has used, in microseconds.
pub fn cpu_us() -> f64 {
    used_us(ClockId::ThreadCPUTime)
}

/// CPU time that all threads of this process have used, librdkafka's among them, in microseconds.
pub fn process_cpu_us() -> f64 {
    used_us(ClockId::ProcessCPUTime)
}

fn used_us(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// 0 of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Writes rows as they come: as a table, or one JSON object a line.
pub struct Report {
    out: Output,
    json: bool,
    columns: &'static [&'static Column],
}

impl Report {
    /// `columns` are those of the table; JSON has every figure.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn start(json: bool, columns: &'static [&'static Column]) -> Result<Self> {
        let mut out = Output::stdout();
        if !json {
            let heads: String = columns.iter().map(|column| format!(" {:>10}", column.head)).collect();
            out.line(format_args!("{:<58} {:>8} {:>9} {:>7}{heads}", "", "events", "CPU us", "ratio"))?;
        }
        Ok(Report { out, json, columns })
    }

    /// # Errors
    /// When standard output takes no more.
    pub fn rows(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            if self.json {
                self.out.line(serde_json::to_string(row)?)?;
                continue;
            }
            let Row { name, events, cpu_us_per_event, ratio, figures, .. } = row;
            let cell = |column: &Column| {
                let figure = figures.iter().find(|(of, _)| of.key == column.key);
                figure.map_or_else(String::new, |(_, figure)| format!("{figure:.*}", column.digits))
            };
            let cells: String = self.columns.iter().map(|column| format!(" {:>10}", cell(column))).collect();
            self.out.line(format_args!("{name:<58} {events:>8} {cpu_us_per_event:>9.3} {ratio:>7.2}{cells}"))?;
        }
        self.out.flush()
    }

    /// # Errors
    /// When not everything could be written.
    pub fn finish(self) -> Result<()> {
        self.out.finish()
    }
}
