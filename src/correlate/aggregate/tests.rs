//! Every aggregate against the same one recomputed from the signals that the window holds.

use std::{collections::BTreeMap, path::PathBuf, sync::LazyLock, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    correlate::packed::packed,
    event::{Fields, Number, Value},
    rule::{LoadOptions, RuleFiles, WindowFacts, WindowView, load},
};

const MAX: usize = 1_000;

fn rule(when: &str) -> Arc<Rule> {
    let text = format!(
        r#"fn many(p) {{ p.count > 2 }}
        let limit = 6;
        rule(#{{ id: "r", events: #{{ p: |e| e.a == 1, q: |e| e.a == 2 }}, within: "1m", by: ["a"],
            any_of: ["p", "q"], when: |w| {when}, alert: |w| #{{ answer: {when} }} }});"#
    );
    let files =
        RuleFiles { root: PathBuf::new(), files: BTreeMap::from([("r.rhai".into(), text)]), ..RuleFiles::default() };
    let loaded = load(&files, &LoadOptions::default(), None);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    loaded.set.rules[0].clone()
}

/// Asks for everything of the field `n`.
fn all() -> &'static Arc<Rule> {
    static ALL: LazyLock<Arc<Rule>> = LazyLock::new(|| {
        rule(
            r#"{ let p = w.p; p.distinct("n") + p.values("n").len() > 0 && p.top("n") == 1 && p.sum("n") > p.avg("n")
            && p.min("n") < p.max("n") && p.stddev("n") < 1 && p.percentile("n", 50) < p.percentile("n", 90.5)
            && p.percentile("n", 0) < 1 && p.percentile("n", 100) < 1 && p.first.n == p.last.n }"#,
        )
    });
    &ALL
}

fn number(written: impl ToString) -> Value {
    Value::Number(Number::from_written(&written.to_string()))
}

fn fields(values: &[Value]) -> Fields {
    let value = if let [one] = values { one.clone() } else { Value::Array(values.to_vec()) };
    [("n".to_owned(), value)].into_iter().collect()
}

fn add(figures: &mut Figures, declared: &Aggregates, time: Timestamp, fields: &Fields, max: usize) -> bool {
    let bytes = packed(fields, &[]);
    figures.add(declared, 0, time, Packed { bytes: &bytes, paths: &[] }, max)
}

fn answers(figures: &Figures, rule: &Rule) -> BTreeMap<String, Answer> {
    let view = figures.views(rule).swap_remove(0);
    view.answers.into_iter().map(|(field, statistic, answer)| (statistic.written(&field), answer)).collect()
}

/// From the values that are in the window, the slow way. Floats are eighths, so that their sums are exact.
fn recomputed(values: &[Value]) -> BTreeMap<String, Answer> {
    let (mut distinct, mut seen) = (BTreeMap::<String, (u32, Value)>::new(), Vec::new());
    for value in values {
        let text = value.as_text().unwrap().into_owned();
        let entry = distinct.entry(text).or_insert_with(|| {
            seen.push(value.clone());
            (0, value.clone())
        });
        entry.0 += 1;
    }
    let most = distinct.values().map(|(count, _)| *count).max().unwrap_or(0);
    let top = distinct.values().find(|(count, _)| *count == most).map(|(_, value)| value.clone());
    let mut numbers: Vec<Num> = values.iter().filter_map(Num::of).collect();
    let is_whole = numbers.iter().all(|number| matches!(number, Num::Int(_)));
    let total: f64 = numbers.iter().map(|number| number.as_f64()).sum();
    let (count, mean) = (numbers.len() as f64, total / numbers.len() as f64);
    let squares: f64 = numbers.iter().map(|number| (number.as_f64() - mean).powi(2)).sum();
    numbers.sort_by(|a, b| a.compare(*b).unwrap());
    let some = |value: f64| (!numbers.is_empty()).then_some(Num::Float(value));
    let rank = |percent: f64| numbers.get(((percent / 100.0 * count).ceil() as usize).max(1) - 1).copied();
    let sum = if is_whole { Num::Int(total as i128) } else { Num::Float(total) };
    [
        ("distinct(\"n\")", Answer::Number(Some(Num::Int(distinct.len() as i128)))),
        ("values(\"n\")", Answer::Values(seen.into_iter().take(100).collect())),
        ("top(\"n\")", Answer::Value(top)),
        ("sum(\"n\")", Answer::Number(Some(sum))),
        ("avg(\"n\")", Answer::Number(some(mean))),
        ("min(\"n\")", Answer::Number(numbers.first().copied())),
        ("max(\"n\")", Answer::Number(numbers.last().copied())),
        ("stddev(\"n\")", Answer::Number(some((squares / count).sqrt()))),
        ("percentile(\"n\", 50)", Answer::Number(rank(50.0))),
        ("percentile(\"n\", 90.5)", Answer::Number(rank(90.5))),
        ("percentile(\"n\", 0)", Answer::Number(rank(0.0))),
        ("percentile(\"n\", 100)", Answer::Number(rank(100.0))),
    ]
    .map(|(name, answer)| (name.to_owned(), answer))
    .into()
}

/// The same, but that a number may be written as a whole one or not, and a deviation may be rounded elsewhere.
fn assert_same(found: &BTreeMap<String, Answer>, wanted: &BTreeMap<String, Answer>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, wanted) in wanted {
        match (&found[name], wanted) {
            (Answer::Number(Some(found)), Answer::Number(Some(wanted))) if name.starts_with("stddev") => {
                let (found, wanted) = (found.as_f64(), wanted.as_f64());
                assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{name}: {found}, not {wanted}");
            }
            (Answer::Number(Some(found)), Answer::Number(Some(wanted))) => {
                assert_eq!(found.compare(*wanted), Some(std::cmp::Ordering::Equal), "{name}");
            }
            (found, wanted) => assert_eq!(found, wanted, "{name}"),
        }
    }
}

fn values() -> impl Strategy<Value = Vec<Value>> {
    let value = prop_oneof![
        (-40i64..40).prop_map(number),
        (-40i64..40).prop_map(|eighths| number(eighths as f64 / 8.0)),
        (0i64..20).prop_map(|n| Value::text(n.to_string())),
        prop::sample::select(vec!["a", "b", "c", ""]).prop_map(Value::text),
        any::<bool>().prop_map(Value::Bool),
    ];
    prop::collection::vec(value, 0..4)
}

proptest! {
    #[test]
    fn a_sliding_window_answers_as_if_recomputed(
        signals in prop::collection::vec((0i64..6, values()), 1..60),
        span in 0i64..25,
        restarts in prop::collection::vec(any::<bool>(), 60),
        max in prop_oneof![Just(MAX), 1usize..20],
    ) {
        let rule = all();
        let mut figures = Figures::sliding(&rule.aggregates);
        let (mut now, mut held): (i64, Vec<(i64, Vec<Value>)>) = (0, Vec::new());
        for (at, (gap, values)) in signals.into_iter().enumerate() {
            now += gap;
            figures.expire(&rule.aggregates, Timestamp(now - span));
            add(&mut figures, &rule.aggregates, Timestamp(now), &fields(&values), max);
            held.retain(|(time, _)| *time >= now - span);
            held.push((now, values));
            if restarts[at] {
                figures = postcard::from_bytes(&postcard::to_allocvec(&figures).unwrap()).unwrap();
            }
            // Of values past the bound the oldest leave; numbers count by themselves.
            let all: Vec<Value> = held.iter().flat_map(|(_, values)| values.clone()).collect();
            let latest = |of: Vec<Value>| of[of.len().saturating_sub(max)..].to_vec();
            let texts = recomputed(&latest(all.clone()));
            let numbers = recomputed(&latest(all.into_iter().filter(|value| Num::of(value).is_some()).collect()));
            let of_texts = |name: &str| ["distinct", "values", "top"].iter().any(|text| name.starts_with(text));
            let mut wanted = numbers;
            wanted.extend(texts.into_iter().filter(|(name, _)| of_texts(name)));
            assert_same(&answers(&figures, rule), &wanted);
            let view = figures.views(rule).swap_remove(0);
            prop_assert_eq!(view.count as usize, held.len().min(max));
            prop_assert_eq!(&view.first.unwrap().fields, &fields(&held[held.len().saturating_sub(max)].1));
            prop_assert_eq!(&view.last.unwrap().fields, &fields(&held[held.len() - 1].1));
        }
        let total = figures.clone().into_total();
        prop_assert_eq!(answers(&total, rule), answers(&figures, rule));
        prop_assert_eq!(total.count(0), figures.count(0));
    }

    #[test]
    fn what_only_adds_up_answers_as_if_recomputed(
        signals in prop::collection::vec(values(), 1..40),
        slid in prop::collection::vec(values(), 0..10),
    ) {
        let rule = all();
        let mut figures = Figures::sliding(&rule.aggregates);
        let mut held: Vec<Value> = Vec::new();
        for (at, values) in slid.into_iter().chain(signals).enumerate() {
            if at == 10 {
                figures = figures.into_total();
                figures = postcard::from_bytes(&postcard::to_allocvec(&figures).unwrap()).unwrap();
            }
            add(&mut figures, &rule.aggregates, Timestamp(at as i64), &fields(&values), MAX);
            held.extend(values);
        }
        assert_same(&answers(&figures, rule), &recomputed(&held));
    }

    /// Values of every magnitude: what stays is, to the last bit, what it would be had nothing ever left.
    #[test]
    fn sums_and_deviations_do_not_drift(
        numbers in prop::collection::vec(prop_oneof![
            any::<f64>().prop_filter("JSON has no other", |value| value.is_finite()).prop_map(number),
            (-1e6..1e6).prop_map(number),
            any::<i64>().prop_map(number),
            any::<u64>().prop_map(number),
        ], 1..80),
        span in 0usize..20,
    ) {
        let rule = all();
        let mut sliding = Figures::sliding(&rule.aggregates);
        for (at, value) in numbers.iter().enumerate() {
            sliding.expire(&rule.aggregates, Timestamp(at as i64 - span as i64));
            add(&mut sliding, &rule.aggregates, Timestamp(at as i64), &fields(std::slice::from_ref(value)), MAX);
            let mut fresh = Figures::total(&rule.aggregates);
            for value in &numbers[at.saturating_sub(span)..=at] {
                add(&mut fresh, &rule.aggregates, Timestamp(0), &fields(std::slice::from_ref(value)), MAX);
            }
            prop_assert_eq!(answers(&sliding, rule), answers(&fresh, rule));
        }
    }

    /// The exact sum, rounded once: of integers and eighths as wide integers give it.
    #[test]
    fn sums_are_exact(numbers in prop::collection::vec((any::<i64>(), 0u32..3), 1..50)) {
        let mut figures = Figures::total(&all().aggregates);
        let mut eighths = 0i128;
        for (value, shift) in &numbers {
            // 53 bits, so that the float is exact.
            let value = value >> 11;
            eighths += i128::from(value) << (3 - shift);
            let written = number(value as f64 / f64::from(1 << shift));
            add(&mut figures, &all().aggregates, Timestamp(0), &fields(&[written]), MAX);
        }
        let Answer::Number(Some(sum)) = answers(&figures, all())["sum(\"n\")"].clone() else { panic!("a sum") };
        prop_assert_eq!(sum.as_f64(), eighths as f64 / 8.0);
    }
}

#[test]
fn cancelling_floats_leave_nothing_behind() {
    let rule = all();
    let sum = |written: &[&str]| {
        let mut figures = Figures::total(&rule.aggregates);
        let values: Vec<Value> = written.iter().map(number).collect();
        add(&mut figures, &rule.aggregates, Timestamp(0), &fields(&values), MAX);
        figures.number(&rule.aggregates, 0, 0, Statistic::Sum)
    };
    assert_eq!(sum(&["9007199254740993"]), Some(Num::Int(9_007_199_254_740_993)));
    assert_eq!(sum(&["1e16", "1.0", "-1e16"]), Some(Num::Float(1.0)));
    assert_eq!(sum(&["0.1"; 10]), Some(Num::Float(1.0)));
    assert_eq!(sum(&["1e308", "1e308", "-1e308"]), Some(Num::Float(1e308)));
    assert_eq!(sum(&["1e308", "1e308"]), None, "beyond the floats");
    assert_eq!(sum(&["1e999", "2"]), Some(Num::Int(2)), "no number to calculate with");
    assert_eq!(sum(&["5e-324", "1e300", "-1e300"]), Some(Num::Float(5e-324)));
    assert_eq!(sum(&["18446744073709551615", "-1"]), Some(Num::Int(18_446_744_073_709_551_614)));
}

#[test]
fn the_deviation_is_the_populations() {
    let rule = all();
    let mut figures = Figures::total(&rule.aggregates);
    let values: Vec<Value> = [2, 4, 4, 4, 5, 5, 7, 9].map(number).into();
    add(&mut figures, &rule.aggregates, Timestamp(0), &fields(&values), MAX);
    assert_eq!(figures.number(&rule.aggregates, 0, 0, Statistic::Stddev), Some(Num::Float(2.0)));
}

#[test]
fn of_nothing_only_counts_and_sums_have_a_value() {
    let rule = all();
    for figures in [Figures::sliding(&rule.aggregates), Figures::total(&rule.aggregates)] {
        assert_same(&answers(&figures, rule), &recomputed(&[]));
        assert_eq!(figures.number(&rule.aggregates, 0, 0, Statistic::Distinct), Some(Num::Int(0)));
        assert_eq!(figures.number(&rule.aggregates, 0, 0, Statistic::Sum), Some(Num::Int(0)));
        assert_eq!(figures.number(&rule.aggregates, 0, 0, Statistic::Avg), None);
    }
}

#[test]
fn past_the_bound_an_aggregate_is_partial_until_what_left_would_have_left() {
    let rule = all();
    let mut figures = Figures::sliding(&rule.aggregates);
    let add = |figures: &mut Figures, at: i64| {
        figures.expire(&rule.aggregates, Timestamp(at - 10));
        add(figures, &rule.aggregates, Timestamp(at), &fields(&[number(at)]), 5);
    };
    (0..5).for_each(|at| add(&mut figures, at));
    assert_eq!(figures.partial(rule), [""; 0]);
    add(&mut figures, 5);
    let partial = figures.partial(rule);
    assert_eq!(partial[0], "p.count");
    assert!(partial.contains(&"p.distinct(\"n\")".to_owned()) && partial.contains(&"p.sum(\"n\")".to_owned()));
    assert_eq!(figures.count(0), 5);
    add(&mut figures, 11);
    assert_eq!(figures.partial(rule).len(), partial.len(), "the signal at 1 had to leave at 11");
    add(&mut figures, 20);
    assert_eq!(figures.partial(rule), [""; 0]);
    figures.clear();
    assert!(figures.is_empty());
}

#[test]
fn where_nothing_leaves_counts_and_sums_have_no_bound() {
    let rule = all();
    let mut figures = Figures::total(&rule.aggregates);
    (0..50).for_each(|at| {
        add(&mut figures, &rule.aggregates, Timestamp(at), &fields(&[number(at)]), 5);
    });
    assert_eq!(figures.count(0), 50);
    assert_eq!(figures.number(&rule.aggregates, 0, 0, Statistic::Sum), Some(Num::Int(49 * 25)));
    assert_eq!(figures.number(&rule.aggregates, 0, 0, Statistic::Distinct), Some(Num::Int(5)));
    let partial = figures.partial(rule);
    assert!(partial.contains(&"p.distinct(\"n\")".to_owned()), "{partial:?}");
    assert!(!partial.contains(&"p.sum(\"n\")".to_owned()) && !partial.contains(&"p.count".to_owned()), "{partial:?}");
}

#[test]
fn a_long_value_is_kept_in_part_and_is_still_itself() {
    let rule = all();
    let mut figures = Figures::total(&rule.aggregates);
    let long = |end: &str| Value::text("é".repeat(2_000) + end);
    add(&mut figures, &rule.aggregates, Timestamp(0), &fields(&[long("a"), long("b"), long("a")]), MAX);
    assert_eq!(figures.number(&rule.aggregates, 0, 0, Statistic::Distinct), Some(Num::Int(2)));
    let Answer::Values(values) = &answers(&figures, rule)["values(\"n\")"] else { panic!("values") };
    assert!(values.iter().all(|value| value.to_string().len() < 1_100));
}

/// A window of a minute.
struct Minute<'a>(&'a Rule, &'a Figures);

impl WindowFacts for Minute<'_> {
    fn count(&self, pattern: usize) -> u64 {
        self.1.count(pattern)
    }

    fn number(&self, pattern: usize, column: usize, statistic: Statistic) -> Option<Num> {
        self.1.number(&self.0.aggregates, pattern, column, statistic)
    }

    fn length(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn view(&self) -> Arc<WindowView> {
        let (start, end) = (Timestamp(0), Timestamp(60_000_000_000));
        let (key, patterns) = (vec!["203.0.113.9".into()], self.1.views(self.0));
        Arc::new(WindowView { key, start, end, patterns, together: None })
    }
}

/// Each `when` as it runs, and as `alert` has Rhai run it; with whether the first needs Rhai.
#[test]
fn aggregates_compare_like_fields_lowered_and_interpreted() {
    let signals = [
        fields(&[number(3)]),
        fields(&[Value::text("4")]),
        fields(&[number(5.5)]),
        [("x".to_owned(), number(1))].into_iter().collect(),
    ];
    for (when, wanted, is_script) in [
        ("w.p.count == 4 && w.p.sum(\"n\") == 12.5 && w.p.avg(\"n\") > 4.1", true, false),
        ("w.p.min(\"n\") == 3 && w.p.max(\"n\") == 5.5 && w.p.percentile(\"n\", 50) == 4", true, false),
        ("w.p.rate(\"30s\") == 2 && w.p.stddev(\"n\") < 1.1", true, false),
        ("w.p.count >= 4 && w.p.sum(\"n\") / w.p.count > 3", true, true),
        ("w.q.avg(\"n\") < 1 || w.q.avg(\"n\") >= 1 || w.q.min(\"n\") != 1", false, false),
        ("!(w.q.avg(\"n\") < 1) && 2.5 < w.p.count && w.p.count > w.q.count", true, false),
        ("w.p.avg(\"n\") <= w.p.max(\"n\") && w.p.max(\"n\") > w.p.count && w.p.distinct(\"n\") != 4", true, false),
        ("{ let p = w.p; let most = p.max(\"n\"); many(p) && most > 5 && most < limit }", true, false),
        ("{ if w.p.count > 3 { w.p.distinct(\"n\") == 3 } else { false } }", true, true),
        ("w.q.sum(\"n\") == 0 && w.q.distinct(\"n\") == 0 && !exists(w.q.max(\"n\"))", true, false),
        ("w.p.first.n == 3 && w.p.last.x == 1 && !exists(w.p.last.n) && w.q.last.n != 1", false, true),
        ("\"4\" in w.p.values(\"n\") && w.p.values(\"n\").len() == 3 && w.key[0].starts_with(\"203.\")", true, true),
        ("w.p.count == 3 && w.p.values(\"n\").len() == 3", false, true),
    ] {
        let rule = rule(when);
        let mut figures = Figures::sliding(&rule.aggregates);
        for (at, fields) in signals.iter().enumerate() {
            add(&mut figures, &rule.aggregates, Timestamp(at as i64), fields, MAX);
        }
        let window = Minute(&rule, &figures);
        let lowered = rule.when.as_ref().unwrap();
        assert_eq!((lowered.test(&window), lowered.has_script()), (Ok(wanted), is_script), "{when}");
        let told = rule.alert.as_ref().unwrap().alert(&window.view()).unwrap();
        assert_eq!(told.fields["answer"], wanted, "{when}");
    }
}
