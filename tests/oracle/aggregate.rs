//! What `when` and `alert` read of a window.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::{
    log::text,
    rule::{Rule, Test},
    signal::Signal,
};

#[derive(Debug, Clone)]
pub struct Aggregate {
    pub pattern: String,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Count,
    First(String),
    Last(String),
    Distinct(String),
    Values(String),
    Top(String),
    Sum(String),
    Average(String),
    Least(String),
    Greatest(String),
    Deviation(String),
    Percentile(String, u32),
    /// Signals for each so many seconds.
    Rate(i64),
}

/// Signals in the total order, and from when to when.
pub struct View<'a> {
    pub signals: &'a [&'a Signal],
    pub start: i64,
    pub end: i64,
}

impl Test {
    /// A comparison with what is missing is false.
    fn holds(&self, view: &View<'_>) -> bool {
        match self.aggregate.of(view).as_f64() {
            None => false,
            Some(value) if self.at_least => value >= self.than as f64,
            Some(value) => value < self.than as f64,
        }
    }
}

pub fn meets_when(rule: &Rule, view: &View<'_>) -> bool {
    rule.when.iter().all(|test| test.holds(view))
}

/// What `alert` gives.
pub fn shown(rule: &Rule, view: &View<'_>) -> Map<String, Json> {
    (0..).zip(&rule.shows).map(|(at, shown): (i32, _)| (format!("f{at}"), shown.of(view))).collect()
}

impl Aggregate {
    /// `null` is a missing value.
    pub fn of(&self, view: &View<'_>) -> Json {
        let signals: Vec<&Signal> =
            view.signals.iter().copied().filter(|signal| signal.pattern == self.pattern).collect();
        let values = |field: &str| signals.iter().flat_map(|signal| signal.event.values(field)).collect::<Vec<&Json>>();
        let numbers = |field: &str| values(field).into_iter().filter_map(number).collect::<Vec<f64>>();
        let field_of = |signal: Option<&&Signal>, field: &str| -> Json {
            signal.and_then(|signal| signal.event.fields.get(field).cloned()).unwrap_or_default()
        };
        match &self.what {
            What::Count => signals.len().into(),
            What::First(field) => field_of(signals.first(), field),
            What::Last(field) => field_of(signals.last(), field),
            What::Distinct(field) => different(&values(field)).len().into(),
            What::Values(field) => different(&values(field)).into(),
            What::Top(field) => top(&values(field)),
            What::Sum(field) => numbers(field).iter().sum::<f64>().into(),
            What::Average(field) => mean(&numbers(field)).into(),
            What::Least(field) => numbers(field).into_iter().reduce(f64::min).into(),
            What::Greatest(field) => numbers(field).into_iter().reduce(f64::max).into(),
            What::Deviation(field) => deviation(&numbers(field)).into(),
            What::Percentile(field, percent) => percentile(numbers(field), *percent).into(),
            What::Rate(span) => {
                let length = view.end - view.start;
                (length > 0).then(|| signals.len() as f64 * *span as f64 / length as f64).into()
            }
        }
    }
}

/// A number, or a text that is one.
fn number(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// Each text once, in the order of their first signals.
fn different(values: &[&Json]) -> Vec<Json> {
    let mut found: Vec<&Json> = Vec::new();
    for value in values {
        if !found.iter().any(|other| text(other) == text(value)) {
            found.push(value);
        }
    }
    found.into_iter().cloned().collect()
}

/// The most frequent; of several, the first in byte order.
fn top(values: &[&Json]) -> Json {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    values.iter().for_each(|value| *counts.entry(text(value)).or_default() += 1);
    let most = counts.values().max().copied();
    let found = counts.into_iter().find(|(_, count)| Some(*count) == most);
    found.map(|(text, _)| text).into()
}

fn mean(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

/// Of the whole population.
fn deviation(numbers: &[f64]) -> Option<f64> {
    let mean = mean(numbers)?;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    Some((squares / numbers.len() as f64).sqrt())
}

/// By nearest rank.
fn percentile(mut numbers: Vec<f64>, percent: u32) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let rank = (f64::from(percent) / 100.0 * numbers.len() as f64).ceil() as usize;
    numbers.get(rank.max(1) - 1).copied()
}

/// Whether two shown values are the same, numbers up to what rounding may make of them.
pub fn agree(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b)),
        (Json::Number(_), Json::Number(_)) => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
        }
        _ => a == b,
    }
}
