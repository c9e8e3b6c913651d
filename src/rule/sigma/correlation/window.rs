//! What a correlation means for a window: which part of the past counts, when it is looked at, and what has to be in it.
//!
//! What more events can't make false is looked at with each event, in the window that ends there. What they can, because
//! it has an upper bound or a `not`, is known only when the window is over: that window begins with the first event of
//! its group, and a timer looks at it at its end. Averages and percentiles go up and down anyway: they are looked at with
//! each event.

use std::sync::Arc;

use super::read::{Bounded, Correlation, Criterion, Kind};
use crate::rule::{
    Aggregates, Amount, Comparison, Condition, Num, SIGNALS_MAX, Statistic, Step, Times, Together, Window, WindowTest,
    sigma::{condition, report::Report, yaml::Mark},
};

/// The median is the value that half of all don't exceed.
const MEDIAN: f64 = 50.0;

/// A rule that a correlation refers to, as a pattern of its window.
#[derive(Debug)]
pub struct Member {
    /// The pattern's name.
    pub name: Arc<str>,
    /// The reference as it is written.
    pub reference: String,
    /// The paths of the fields whose values are looked at, in their order.
    pub values: Vec<Arc<str>>,
}

/// What a rule asks of its windows.
#[derive(Debug)]
pub struct Asked {
    pub window: Window,
    pub condition: Condition,
    pub when: Option<WindowTest>,
    pub aggregates: Aggregates,
    pub together: Option<Together>,
}

impl Asked {
    /// What the correlation asks over its members, which are in byte order of their names. `None` where that is nothing
    /// that can be, which is then reported.
    pub fn of(correlation: &Correlation, members: &[Member], report: &mut Report<'_>) -> Option<Self> {
        match &correlation.criterion {
            Criterion::All => all(correlation, members),
            Criterion::Bounds(bounded) if correlation.kind.is_temporal() => {
                of_rules(correlation, bounded, members, report)
            }
            Criterion::Bounds(bounded) => of_events(correlation, bounded, members, report),
            Criterion::Expression { condition, at } => match correlation.kind {
                Kind::TemporalOrdered => ordered(correlation, condition, members, *at, report),
                _ => unordered(correlation, condition, members, *at, report),
            },
        }
    }

    fn new(window: Window, condition: Condition, when: Option<WindowTest>, patterns: usize) -> Self {
        Asked { window, condition, when, aggregates: Aggregates::new(patterns), together: None }
    }

    /// Looked at with each event where more can't make it false, else when the window is over.
    fn when(correlation: &Correlation, only_rises: bool, when: WindowTest, patterns: usize) -> Self {
        let window = match only_rises {
            true => Window::Sliding(correlation.timespan),
            false => Window::FromFirst(correlation.timespan),
        };
        Asked::new(window, Condition::AllOf(Vec::new()), Some(when), patterns)
    }
}

/// Every rule, in any order or in the one written.
fn all(correlation: &Correlation, members: &[Member]) -> Option<Asked> {
    let condition = match correlation.kind {
        Kind::TemporalOrdered => {
            let step = |member: &Member| Step::Some { n: 1, patterns: vec![member.name.clone()] };
            let found: Option<Vec<&Member>> = correlation.rules.iter().map(|rule| named(members, &rule.text)).collect();
            Condition::Sequence(found?.into_iter().map(step).collect())
        }
        _ => Condition::AllOf(members.iter().map(|member| Times { n: 1, pattern: member.name.clone() }).collect()),
    };
    Some(Asked::new(Window::Sliding(correlation.timespan), condition, None, members.len()))
}

fn named<'m>(members: &'m [Member], reference: &str) -> Option<&'m Member> {
    members.iter().find(|member| member.reference == reference)
}

/// So many of the rules.
fn of_rules(
    correlation: &Correlation,
    bounded: &Bounded,
    members: &[Member],
    report: &mut Report<'_>,
) -> Option<Asked> {
    let rules = members.len() as u64;
    if !bounded.bounds.check(1, rules, bounded.at, report) {
        return None;
    }
    let least = bounded.bounds.least_count(1, rules)?;
    if least == rules {
        return all(correlation, members);
    }
    if correlation.kind == Kind::TemporalOrdered {
        let help = Some("leave `condition` out, or name the steps: `a and (b or c)`".to_owned());
        let message = "`temporal_ordered` waits for all of its rules: fewer have no order to come in";
        report.error("wrong-condition", bounded.at, message, help);
        return None;
    }
    let only_rises = (least..=rules).all(|count| bounded.bounds.least_count(count, count).is_some());
    let occurring = Amount::Occurring { patterns: members.len() };
    Some(Asked::when(correlation, only_rises, bounded.bounds.test(&occurring), members.len()))
}

/// A number of events, or one worked out of their values.
fn of_events(
    correlation: &Correlation,
    bounded: &Bounded,
    members: &[Member],
    report: &mut Report<'_>,
) -> Option<Asked> {
    let bounds = &bounded.bounds;
    let is_count = matches!(correlation.kind, Kind::EventCount | Kind::ValueCount);
    // A window that is looked at has an event, but perhaps one without the field.
    let from = u64::from(correlation.kind == Kind::EventCount);
    if is_count && !bounds.check(from, u64::MAX, bounded.at, report) {
        return None;
    }
    let moves = matches!(correlation.kind, Kind::ValueAvg | Kind::ValuePercentile | Kind::ValueMedian);
    let only_rises = bounds.only_rise();
    let least = if is_count { bounds.least_count(from, u64::MAX)? } else { 0 };
    if only_rises && least > SIGNALS_MAX {
        let message = format!("the condition never holds: a window keeps {SIGNALS_MAX} events of a group");
        report.error("too-long", bounded.at, message, None);
        return None;
    }
    if let (Kind::EventCount, true, [member], Ok(n)) = (correlation.kind, only_rises, members, u32::try_from(least)) {
        let times = Times { n, pattern: member.name.clone() };
        let window = Window::Sliding(correlation.timespan);
        return Some(Asked::new(window, Condition::AllOf(vec![times]), None, 1));
    }
    let (amount, aggregates, together) = amount(correlation.kind, bounded, members);
    let asked = Asked::when(correlation, only_rises || moves, bounds.test(&amount), members.len());
    Some(Asked { aggregates, together, ..asked })
}

/// The number that is held against the bounds, and what is kept for it.
fn amount(kind: Kind, bounded: &Bounded, members: &[Member]) -> (Amount, Aggregates, Option<Together>) {
    let mut aggregates = Aggregates::new(members.len());
    let statistic = match kind {
        Kind::ValueCount => Statistic::Distinct,
        Kind::ValueSum => Statistic::Sum,
        Kind::ValueAvg => Statistic::Avg,
        Kind::ValuePercentile => bounded.percentile.map_or(Statistic::Share, Statistic::Percentile),
        Kind::ValueMedian => Statistic::Percentile(MEDIAN),
        Kind::EventCount | Kind::Temporal | Kind::TemporalOrdered => {
            let amount = if members.len() == 1 { Amount::Count { pattern: 0 } } else { Amount::Events };
            let together = (members.len() > 1).then(|| Together::counting(members.len()));
            return (amount, aggregates, together);
        }
    };
    if let [Member { values, .. }] = members
        && let [path] = &values[..]
    {
        aggregates.add(0, statistic, path);
        return (Amount::Aggregate { pattern: 0, column: 0, statistic }, aggregates, None);
    }
    let paths = members.iter().map(|member| member.values.clone()).collect();
    let name = bounded.fields.iter().map(|field| field.text.as_str()).collect::<Vec<_>>().join(", ");
    (Amount::Together(statistic), aggregates, Some(Together::of(paths, statistic, &name)))
}

/// An expression over rules in any order.
fn unordered(
    correlation: &Correlation,
    condition: &condition::Condition,
    members: &[Member],
    at: Mark,
    report: &mut Report<'_>,
) -> Option<Asked> {
    if !asks_for_presence(condition, true) {
        return nothing_but_absence(at, report);
    }
    let when = test(condition, members)?;
    Some(Asked::when(correlation, !condition.negates(), when, members.len()))
}

fn nothing_but_absence(at: Mark, report: &mut Report<'_>) -> Option<Asked> {
    let help = "name what comes first; that nothing comes any more is told by a Rhai rule with `silent`".to_owned();
    report.error("wrong-condition", at, "the condition asks for nothing but absence", Some(help));
    None
}

/// Whether some name is wanted rather than its absence.
fn asks_for_presence(condition: &condition::Condition, wanted: bool) -> bool {
    match condition {
        condition::Condition::And(parts) | condition::Condition::Or(parts) => {
            parts.iter().any(|part| asks_for_presence(part, wanted))
        }
        condition::Condition::Not(part) => asks_for_presence(part, !wanted),
        condition::Condition::Name { .. } | condition::Condition::Of { .. } => wanted,
    }
}

fn test(condition: &condition::Condition, members: &[Member]) -> Option<WindowTest> {
    let all = |parts: &[condition::Condition]| parts.iter().map(|part| test(part, members)).collect::<Option<Vec<_>>>();
    Some(match condition {
        condition::Condition::And(parts) => WindowTest::All(all(parts)?),
        condition::Condition::Or(parts) => WindowTest::Any(all(parts)?),
        condition::Condition::Not(part) => WindowTest::Not(Box::new(test(part, members)?)),
        condition::Condition::Name { name, .. } => {
            let pattern = members.iter().position(|member| member.reference == *name)?;
            WindowTest::Compare(Amount::Count { pattern }, Comparison::Greater, Amount::Number(Num::Int(0)))
        }
        condition::Condition::Of { .. } => return None,
    })
}

/// Steps in a row: `a and (b or c) and not d`.
fn ordered(
    correlation: &Correlation,
    condition: &condition::Condition,
    members: &[Member],
    at: Mark,
    report: &mut Report<'_>,
) -> Option<Asked> {
    let parts = match condition {
        condition::Condition::And(parts) => &parts[..],
        part => std::slice::from_ref(part),
    };
    let steps: Option<Vec<Vec<Step>>> = parts.iter().map(|part| steps(part, members)).collect();
    let Some(steps) = steps else {
        let help = "write names, `(a or b)` and `not c`, with `and` between them".to_owned();
        report.error("wrong-condition", at, "the condition has no order: it is no row of steps", Some(help));
        return None;
    };
    let steps: Vec<Step> = steps.into_iter().flatten().collect();
    if steps.iter().all(|step| matches!(step, Step::None(_))) {
        return nothing_but_absence(at, report);
    }
    let window = Window::Sliding(correlation.timespan);
    Some(Asked::new(window, Condition::Sequence(steps), None, members.len()))
}

/// One step, or several of which none may come.
fn steps(part: &condition::Condition, members: &[Member]) -> Option<Vec<Step>> {
    match part {
        condition::Condition::Not(part) => Some(names(part, members)?.into_iter().map(Step::None).collect()),
        part => Some(vec![Step::Some { n: 1, patterns: names(part, members)? }]),
    }
}

/// The patterns of a name, or of several with `or` between them.
fn names(part: &condition::Condition, members: &[Member]) -> Option<Vec<Arc<str>>> {
    match part {
        condition::Condition::Name { name, .. } => Some(vec![named(members, name)?.name.clone()]),
        condition::Condition::Or(parts) => {
            let names: Option<Vec<Vec<Arc<str>>>> = parts.iter().map(|part| names(part, members)).collect();
            Some(names?.into_iter().flatten().collect())
        }
        _ => None,
    }
}
