//! The aggregates that a rule's window closures name. A window keeps these, and of nothing else more than a count.

use std::{sync::Arc, time::Duration};

use super::number::Num;
use crate::event::{Fields, Timestamp, Value};

/// Different values that `values` gives; the others are left out.
pub const VALUES_MAX: usize = 100;

/// What closures and alerts call the events of all patterns together.
pub const ALL: &str = "all";

/// What a window has besides its patterns; no pattern is called so.
pub(super) const WINDOW_WORDS: [&str; 5] = ["key", "start", "end", ALL, "occurring"];

/// What is kept of a rule's signals, for each pattern in the rule's order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Aggregates(pub Vec<PatternAggregates>);

/// What is kept of the events of all patterns together. An event that several of them match counts once, as a match of
/// the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Together {
    /// The paths to read, for each pattern in the rule's order. The values of several are combined, and a value is
    /// missing where one of them is; of none, events are only counted.
    pub paths: Vec<Vec<Arc<str>>>,
    /// Of one pattern, with at most one column.
    pub aggregates: Aggregates,
}

impl Together {
    /// Counts events.
    pub fn counting(patterns: usize) -> Self {
        Together { paths: vec![Vec::new(); patterns], aggregates: Aggregates::new(1) }
    }

    /// Counts events, and aggregates their values; `name` is what alerts call these.
    pub fn of(paths: Vec<Vec<Arc<str>>>, statistic: Statistic, name: &str) -> Self {
        let mut aggregates = Aggregates::new(1);
        aggregates.add(0, statistic, name);
        Together { paths, aggregates }
    }

    /// Adds what is asked to what was asked before, if anything was; `false` where that is of the values of other fields.
    pub(super) fn add(asked_before: &mut Option<Together>, asked: Together) -> bool {
        match asked_before {
            Some(all) => all.join(asked),
            none => {
                *none = Some(asked);
                true
            }
        }
    }

    fn join(&mut self, other: Together) -> bool {
        let Some(column) = other.column() else { return true };
        let fits = match self.column() {
            None => {
                *self = other;
                return true;
            }
            Some(own) => own.field == column.field && self.paths == other.paths,
        };
        let (field, statistics) = (column.field.clone(), column.statistics.clone());
        if fits {
            statistics.into_iter().for_each(|statistic| self.aggregates.add(0, statistic, &field));
        }
        fits
    }

    /// The column of the values, and what is asked of them.
    pub fn column(&self) -> Option<&Column> {
        self.aggregates.0.first()?.columns.first()
    }
}

/// What is kept of one pattern's signals beside their count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PatternAggregates {
    /// Paths that are read of the first signal (none, where only its time is); `None` when nothing is.
    pub first: Option<Vec<Arc<str>>>,
    /// The same of the last signal.
    pub last: Option<Vec<Arc<str>>>,
    /// Every field that has aggregates, in byte order.
    pub columns: Vec<Column>,
}

/// A field with the aggregates over its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub field: Arc<str>,
    /// No two alike, in one order however rules name them.
    pub statistics: Vec<Statistic>,
}

/// A function of a field's values. Missing values are skipped, each element of an array counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// Different values as text; 22 and "22" are one.
    Distinct,
    /// The first [`VALUES_MAX`] different values, in the order of their first signals.
    Values,
    /// The most frequent value; of several, the first in byte order.
    Top,
    /// In a window whose signals leave one by one: the share of the last value among all, in percent.
    Share,
    /// Of the numbers, as the following; 0 of none. Exact for integers, for others rounded once.
    Sum,
    Avg,
    Min,
    Max,
    /// Of the whole population (divided by N).
    Stddev,
    /// By nearest rank: the least value that this share of all, in percent, does not exceed.
    Percentile(f64),
}

impl Statistic {
    /// The function as authors write it; `percent` is what `percentile` was given.
    pub(super) fn named(name: &str, percent: Option<f64>) -> Option<Self> {
        Some(match name {
            "distinct" => Statistic::Distinct,
            "values" => Statistic::Values,
            "top" => Statistic::Top,
            "sum" => Statistic::Sum,
            "avg" => Statistic::Avg,
            "min" => Statistic::Min,
            "max" => Statistic::Max,
            "stddev" => Statistic::Stddev,
            "percentile" => Statistic::Percentile(percent?),
            "share" => Statistic::Share,
            _ => return None,
        })
    }

    /// Whether values count as text, not as numbers.
    pub fn is_of_texts(self) -> bool {
        matches!(self, Statistic::Distinct | Statistic::Values | Statistic::Top | Statistic::Share)
    }

    /// As authors write it: `percentile("bytes", 95)`.
    pub fn written(self, field: &str) -> String {
        let name = match self {
            Statistic::Distinct => "distinct",
            Statistic::Values => "values",
            Statistic::Top => "top",
            Statistic::Share => "share",
            Statistic::Sum => "sum",
            Statistic::Avg => "avg",
            Statistic::Min => "min",
            Statistic::Max => "max",
            Statistic::Stddev => "stddev",
            Statistic::Percentile(percent) => return format!("percentile(\"{field}\", {percent})"),
        };
        format!("{name}(\"{field}\")")
    }
}

impl Aggregates {
    pub(super) fn new(patterns: usize) -> Self {
        Aggregates(vec![PatternAggregates::default(); patterns])
    }

    /// Whether windows keep anything beside counts.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|of| of.first.is_none() && of.last.is_none() && of.columns.is_empty())
    }

    pub(super) fn add(&mut self, pattern: usize, statistic: Statistic, field: &str) {
        let columns = &mut self.0[pattern].columns;
        let at = columns.partition_point(|column| *column.field < *field);
        if columns.get(at).is_none_or(|column| *column.field != *field) {
            columns.insert(at, Column { field: field.into(), statistics: Vec::new() });
        }
        let statistics = &mut columns[at].statistics;
        if !statistics.contains(&statistic) {
            statistics.push(statistic);
            statistics.sort_by_cached_key(|statistic| statistic.written(""));
        }
    }

    /// A path of a pattern's first or last signal; the empty path for its time alone.
    pub(super) fn add_read(&mut self, pattern: usize, end: End, path: &str) {
        let paths = match end {
            End::First => &mut self.0[pattern].first,
            End::Last => &mut self.0[pattern].last,
        };
        let paths = paths.get_or_insert_default();
        let at = paths.partition_point(|known| **known < *path);
        if !path.is_empty() && paths.get(at).is_none_or(|known| **known != *path) {
            paths.insert(at, path.into());
        }
    }
}

/// One of the two signals whose fields a window gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    First,
    Last,
}

impl End {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            End::First => "first",
            End::Last => "last",
        }
    }
}

/// What `when` and `alert` see of a window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowView {
    pub key: Vec<Arc<str>>,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Every pattern of the rule in its order, those without a signal too.
    pub patterns: Vec<PatternView>,
    /// The events of all patterns together, where the rule asks of them.
    pub together: Option<PatternView>,
}

impl WindowView {
    pub(super) fn length(&self) -> Duration {
        self.end.since(self.start)
    }
}

/// Signals for each `span` of a window of this length; `None` of a window without length.
pub(super) fn rate(count: u64, length: Duration, span: Duration) -> Option<Num> {
    (!length.is_zero()).then(|| Num::Float(count as f64 * span.as_secs_f64() / length.as_secs_f64()))
}

/// The signals of one pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternView {
    pub name: Arc<str>,
    pub count: u64,
    /// As far as the rule names fields of it.
    pub first: Option<Arc<Seen>>,
    pub last: Option<Arc<Seen>>,
    /// Of every aggregate that the rule names, with its field.
    pub answers: Vec<(Arc<str>, Statistic, Answer)>,
}

impl PatternView {
    pub(super) fn answer(&self, statistic: Statistic, field: &str) -> Option<&Answer> {
        let found = self.answers.iter().find(|(of, what, _)| *what == statistic && **of == *field);
        found.map(|(.., answer)| answer)
    }

    /// Of what has one field only.
    pub(super) fn answer_of_all(&self, statistic: Statistic) -> Option<&Answer> {
        self.answers.iter().find(|(_, what, _)| *what == statistic).map(|(.., answer)| answer)
    }
}

/// A signal as a window remembers it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    pub time: Timestamp,
    pub fields: Fields,
}

/// An aggregate's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// `distinct` and the statistics of numbers; `None` of nothing.
    Number(Option<Num>),
    /// `top`
    Value(Option<Value>),
    /// `values`
    Values(Vec<Value>),
}

impl Answer {
    /// What `values` gave.
    pub fn values(&self) -> Option<&[Value]> {
        if let Answer::Values(values) = self { Some(values) } else { None }
    }
}
