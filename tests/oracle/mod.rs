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
mod log;
mod rule;
mod signal;
mod walk;

pub use aggregate::{Aggregate, What, agree};
pub use alert::{Alert, State};
pub use log::{Event, Log, Until};
pub use rule::{Baseline, Condition, Pattern, Rule, Step, Suppress, Test, Times, Window, file};

/// Every alert of the log, in no order that means something.
pub fn alerts(rules: &[Rule], log: &Log) -> Vec<Alert> {
    rules.iter().flat_map(|rule| alerts_of(rule, log)).collect()
}

fn alerts_of(rule: &Rule, log: &Log) -> Vec<Alert> {
    let signals = signal::signals(rule, log);
    if !rule.is_ordered() {
        return signals.iter().filter_map(|signal| walk::alone(rule, signal)).collect();
    }
    let on_time = signals.into_iter().filter(|signal| !signal.late);
    let mut keys: std::collections::BTreeMap<Vec<String>, Vec<signal::Signal>> = Default::default();
    on_time.for_each(|signal| keys.entry(signal.key.clone()).or_default().push(signal));
    let end = log.end();
    keys.into_iter()
        .flat_map(|(key, mut signals)| {
            signals.sort_by(|a, b| a.order().cmp(&b.order()));
            walk::walk(rule, &key, &signals, end)
        })
        .collect()
}
