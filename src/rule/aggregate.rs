//! Aggregates over the signals that a window keeps: missing values are skipped, each element of an array counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Kept, WindowView, number::Num};
use crate::event::Value;

/// Values that `values` gives; the others are left out.
pub(super) const VALUES_MAX: usize = 100;

/// One pattern's signals in a window, in the total order.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    pub(super) view: Arc<WindowView>,
    pub(super) pattern: Arc<str>,
}

impl Signals {
    pub(super) fn count(&self) -> u64 {
        self.view.patterns.get(&self.pattern).map_or(0, |pattern| pattern.count)
    }

    pub(super) fn kept(&self) -> impl DoubleEndedIterator<Item = &Arc<Kept>> {
        self.view.patterns.get(&self.pattern).into_iter().flat_map(|pattern| pattern.signals.iter())
    }

    /// Different values as text; 22 and "22" are one.
    pub(super) fn distinct(&self, field: &str) -> usize {
        let mut seen = BTreeSet::new();
        self.each(field, &mut |value| {
            seen.extend(value.as_text().map(|text| text.into_owned()));
        });
        seen.len()
    }

    /// The first [`VALUES_MAX`] different values, in the order of their first signals.
    pub(super) fn values(&self, field: &str) -> Vec<Value> {
        let (mut seen, mut values) = (BTreeSet::new(), Vec::new());
        self.each(field, &mut |value| {
            if let Some(text) = value.as_text()
                && values.len() < VALUES_MAX
                && seen.insert(text.into_owned())
            {
                values.push(value.clone());
            }
        });
        values
    }

    /// The most frequent value; of several, the first in byte order.
    pub(super) fn top(&self, field: &str) -> Option<Value> {
        let mut counts: BTreeMap<String, (u64, Value)> = BTreeMap::new();
        self.each(field, &mut |value| {
            if let Some(text) = value.as_text() {
                counts.entry(text.into_owned()).or_insert_with(|| (0, value.clone())).0 += 1;
            }
        });
        let most = counts.values().map(|(count, _)| *count).max()?;
        counts.into_values().find(|(count, _)| *count == most).map(|(_, value)| value)
    }

    /// Exact for integers; for floats with the lost digits carried along (Neumaier). 0 of nothing.
    pub(super) fn sum(&self, field: &str) -> Num {
        sum(&self.numbers(field))
    }

    pub(super) fn average(&self, field: &str) -> Option<Num> {
        let numbers = self.numbers(field);
        (!numbers.is_empty()).then(|| Num::Float(sum(&numbers).as_f64() / numbers.len() as f64))
    }

    pub(super) fn least(&self, field: &str) -> Option<Num> {
        self.sorted(field).first().copied()
    }

    pub(super) fn greatest(&self, field: &str) -> Option<Num> {
        self.sorted(field).last().copied()
    }

    /// Of the whole population (divided by N), in two passes.
    pub(super) fn deviation(&self, field: &str) -> Option<Num> {
        let numbers = self.numbers(field);
        let average = self.average(field)?.as_f64();
        let squares: Vec<Num> = numbers.iter().map(|number| Num::Float((number.as_f64() - average).powi(2))).collect();
        Some(Num::Float((sum(&squares).as_f64() / numbers.len() as f64).sqrt()))
    }

    /// By nearest rank: the least value that `percent` of all values don't exceed. `None` outside 0 to 100.
    pub(super) fn percentile(&self, field: &str, percent: f64) -> Option<Num> {
        let sorted = self.sorted(field);
        if !(0.0..=100.0).contains(&percent) {
            return None;
        }
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }

    /// Signals for each `span` of the window's length; `None` of a window without length.
    pub(super) fn rate(&self, span: Duration) -> Option<Num> {
        let length = self.view.end.since(self.view.start);
        (!length.is_zero()).then(|| Num::Float(self.count() as f64 * span.as_secs_f64() / length.as_secs_f64()))
    }

    fn numbers(&self, field: &str) -> Vec<Num> {
        let mut numbers = Vec::new();
        self.each(field, &mut |value| numbers.extend(Num::of(value)));
        numbers
    }

    fn sorted(&self, field: &str) -> Vec<Num> {
        let mut numbers = self.numbers(field);
        numbers.sort_by(|a, b| a.compare(*b).unwrap_or(std::cmp::Ordering::Equal));
        numbers
    }

    fn each(&self, field: &str, visit: &mut dyn FnMut(&Value)) {
        for kept in self.kept() {
            kept.fields.any(field, &mut |value| {
                visit(value);
                false
            });
        }
    }
}

fn sum(numbers: &[Num]) -> Num {
    let (mut whole, mut total, mut lost) = (0i128, 0.0f64, 0.0f64);
    let mut floats = false;
    for number in numbers {
        match number {
            Num::Int(value) if whole.checked_add(*value).is_some() => whole += value,
            number => {
                floats = true;
                let value = number.as_f64();
                let next = total + value;
                lost += if total.abs() >= value.abs() { (total - next) + value } else { (value - next) + total };
                total = next;
            }
        }
    }
    if floats { Num::Float(whole as f64 + (total + lost)) } else { Num::Int(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Fields, Number, Position, Timestamp},
        rule::PatternView,
    };

    fn signals(values: &[Value]) -> Signals {
        let kept = values.iter().enumerate().map(|(offset, value)| {
            let fields: Fields = [("n".to_owned(), value.clone())].into_iter().collect();
            let position = Position { input: "i".into(), partition: 0, offset: offset as u64 };
            Arc::new(Kept { time: Timestamp(offset as i64), position, element: 0, fields })
        });
        let pattern = PatternView { count: values.len() as u64, signals: Arc::new(kept.collect()) };
        let view = WindowView {
            key: vec![],
            start: Timestamp(0),
            end: Timestamp(120_000_000_000),
            patterns: [("p".into(), pattern)].into_iter().collect(),
        };
        Signals { view: Arc::new(view), pattern: "p".into() }
    }

    fn numbers(written: &[&str]) -> Signals {
        signals(&written.iter().map(|text| Value::Number(Number::from_written(text))).collect::<Vec<_>>())
    }

    #[test]
    fn of_nothing_only_counts_and_sums_have_a_value() {
        let nothing = signals(&[Value::text("x"), Value::text("y")]);
        assert_eq!((nothing.distinct("other"), nothing.sum("n")), (0, Num::Int(0)));
        assert_eq!(nothing.average("n"), None);
        assert_eq!(nothing.least("n"), None);
        assert_eq!(nothing.deviation("n"), None);
        assert_eq!(nothing.percentile("n", 50.0), None);
        assert_eq!(nothing.top("other"), None);
    }

    #[test]
    fn sums_do_not_drift() {
        let many: Vec<&str> = ["9007199254740993", "1e16", "1", "-1e16"].to_vec();
        assert_eq!(numbers(&many[..1]).sum("n"), Num::Int(9_007_199_254_740_993));
        assert_eq!(numbers(&["1e16", "1.0", "-1e16"]).sum("n"), Num::Float(1.0));
        assert_eq!(numbers(&["0.1"; 10]).sum("n"), Num::Float(1.0));
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let five = numbers(&["35", "20", "15", "50", "40"]);
        let of = |percent| five.percentile("n", percent);
        assert_eq!(of(30.0), Some(Num::Int(20)));
        assert_eq!(of(100.0), Some(Num::Int(50)));
        assert_eq!(of(0.0), Some(Num::Int(15)));
        assert_eq!(of(101.0), None);
    }

    #[test]
    fn the_deviation_is_the_populations() {
        assert_eq!(numbers(&["2", "4", "4", "4", "5", "5", "7", "9"]).deviation("n"), Some(Num::Float(2.0)));
    }

    #[test]
    fn elements_of_arrays_count_and_a_number_is_its_text() {
        let mixed = signals(&[
            Value::Array(vec![Value::text("22"), Value::text("b")]),
            Value::Number(Number::from_written("22")),
            Value::text("b"),
        ]);
        assert_eq!(mixed.distinct("n"), 2);
        assert_eq!(mixed.values("n").len(), 2);
        assert_eq!(mixed.top("n").unwrap().to_string(), "22");
        assert_eq!(mixed.rate(Duration::from_secs(60)), Some(Num::Float(1.5)));
    }
}
