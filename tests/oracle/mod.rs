//! The oracle: what the rule language says, evaluated in the most obvious way.
//!
//! A rule is data here ([`Rule`]), which is also written as Rhai for the engine. The oracle matches every event, sorts
//! all signals by the total order, walks each key's and looks at the whole window anew whenever something happens; a
//! sequence is a search over choices. It never shares code with the engine, is never fast, and keeps everything.
//!
//! All times are whole seconds since 1970.

mod aggregate;
mod alert;
mod choice;
mod examples;
mod layers;
mod log;
mod rule;
mod signal;
mod walk;

use self::layers::Lists;
pub use self::log::{ALERTS, Event, Log, Placed, Until};
pub use aggregate::{Aggregate, What, agree};
pub use alert::{Alert, State, Trigger};
pub use rule::{
    Adding, Ask, Baseline, Condition, Pattern, Risk, Rule, Step, Suppress, Test, Times, Window, Written, file,
};

/// Every alert of the log, in no order that means something.
///
/// Rules that follow others come second: what those said is known by then.
pub fn alerts(rules: &[Rule], log: &Log) -> Vec<Alert> {
    let (second, first): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|rule| rule.follows());
    let (mut placed, mut lists) = (log.placed(), Lists::default());
    let mut alerts = Vec::new();
    let mut events = Vec::new();
    for rule in first {
        let of_rule = alerts_of(rule, &placed, log.end(), &lists);
        events.extend(of_rule.iter().map(|alert| (alert.to_event(rule), alert.offset(), alert.late)));
        alerts.extend(of_rule);
    }
    lists.0.extend(alerts.iter().flat_map(|alert| alert.adds.clone()));
    placed.extend(events.iter().map(|(event, offset, late)| Placed { event, offset: *offset, late: *late }));
    alerts.extend(second.iter().flat_map(|rule| alerts_of(rule, &placed, log.end(), &lists)));
    alerts
}

fn alerts_of(rule: &Rule, placed: &[Placed<'_>], end: i64, lists: &Lists) -> Vec<Alert> {
    let signals = signal::signals(rule, placed, end, lists);
    if !rule.is_ordered() {
        return signals.iter().filter_map(|signal| walk::alone(rule, signal)).collect();
    }
    let on_time = signals.into_iter().filter(|signal| !signal.late);
    let mut keys: std::collections::BTreeMap<Vec<String>, Vec<signal::Signal>> = Default::default();
    on_time.for_each(|signal| keys.entry(signal.key.clone()).or_default().push(signal));
    keys.into_iter()
        .flat_map(|(key, mut signals)| {
            signals.sort_by(|a, b| a.order().cmp(&b.order()));
            walk::walk(rule, &key, &signals, end)
        })
        .collect()
}
