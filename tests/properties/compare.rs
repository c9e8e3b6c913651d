//! The engine's alerts beside the oracle's.

use std::fmt::Write;

use tripline::alert;

use super::{engine, generate::Case};
use crate::oracle::{self, Alert, State};

/// How many alerts a case gives, or how the engine differs from the oracle.
pub fn difference(case: &Case) -> Result<u64, String> {
    let rules = engine::rules(&case.rules)?;
    let found = sorted(engine::replay(&rules, &case.log)?.iter().map(told).collect());
    let expected = sorted(oracle::alerts(&case.rules, &case.log));
    match same(&found, &expected) {
        true => Ok(alerts_that_count(&case.rules, &expected)),
        false => Err(difference_of(&found, &expected)),
    }
}

/// Where rules follow others, their alerts are what the case is about.
fn alerts_that_count(rules: &[oracle::Rule], alerts: &[Alert]) -> u64 {
    let following: Vec<&str> = rules.iter().filter(|rule| rule.follows()).map(|rule| rule.id.as_str()).collect();
    let counts = |alert: &&Alert| following.is_empty() || following.contains(&alert.rule.as_str());
    alerts.iter().filter(counts).count() as u64
}

/// What the oracle would say of an alert.
pub fn told(alert: &alert::Alert) -> Alert {
    Alert {
        rule: alert.rule_id().to_owned(),
        key: alert.key.iter().map(ToString::to_string).collect(),
        state: match alert.state {
            alert::State::Fired => State::Fired,
            alert::State::Opened => State::Opened,
            alert::State::Closed => State::Closed,
        },
        time: alert.time.clone(),
        id: alert.id.clone(),
        trigger: {
            let alert::Trigger { input, partition, offset, time } = &alert.trigger;
            (input.to_string(), *partition, *offset, time.clone())
        },
        risk: alert.risk.as_ref().map(|risk| {
            let entities = risk.entities.iter().map(|entity| (entity.field.clone(), entity.value.clone()));
            (risk.score, entities.collect())
        }),
        partial: alert.partial.clone(),
        evidence: alert.evidence.iter().map(shown).collect(),
        adds: Vec::new(),
        late: alert.late,
        counts: alert
            .counts
            .iter()
            .map(|(pattern, count)| (pattern.clone(), count.as_u64().expect("a count")))
            .filter(|(_, count)| *count > 0)
            .collect(),
        suppressed: alert.suppressed,
        window: alert.window.as_ref().map(|window| (window.start.clone(), window.end.clone())),
        fields: alert.fields.clone(),
    }
}

fn shown(evidence: &alert::Evidence) -> (String, oracle::Trigger) {
    let alert::Evidence { pattern, input, partition, offset, time, .. } = evidence;
    (pattern.to_string(), (input.to_string(), *partition, *offset, time.clone()))
}

pub fn sorted(mut alerts: Vec<Alert>) -> Vec<Alert> {
    let order =
        |alert: &Alert| (alert.time.clone(), alert.rule.clone(), alert.key.clone(), alert.state, alert.id.clone());
    alerts.sort_by_key(order);
    alerts
}

pub fn same(found: &[Alert], expected: &[Alert]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| agree(found, expected))
}

fn agree(found: &Alert, expected: &Alert) -> bool {
    let fields = found.fields.len() == expected.fields.len()
        && expected
            .fields
            .iter()
            .all(|(name, value)| found.fields.get(name).is_some_and(|other| oracle::agree(other, value)));
    fields && Alert { fields: expected.fields.clone(), adds: expected.adds.clone(), ..found.clone() } == *expected
}

pub fn difference_of(found: &[Alert], expected: &[Alert]) -> String {
    let only = |a: &[Alert], b: &[Alert]| {
        let mut text = String::new();
        for alert in a.iter().filter(|alert| !b.iter().any(|other| agree(alert, other))) {
            write!(text, "\n  {alert:?}").expect("a text takes it");
        }
        text
    };
    format!("\nonly the engine says:{}\nonly the oracle says:{}", only(found, expected), only(expected, found))
}
