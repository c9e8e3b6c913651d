//! The two layers of rules, and what asks across them in vain.
//!
//! The second follows what comes of the first: it reads its alerts, or lists that it writes. It never sees alerts of its
//! own layer, nor writes lists: so no circle of rules can feed itself. One that asks for such alerts by `rule.id` would
//! never fire, and does not load.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Predicate, Rule, Side,
    compare::Comparison,
    diagnostic::{Level, did_you_mean},
    field_test::{Asks, FieldTest, Literal},
};

/// Something that a rule on alerts asks in vain.
pub(super) struct Finding {
    /// The rule that asks, by its place among the rules.
    pub(super) rule: usize,
    pub(super) level: Level,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// Looks at all rules that run together. A rule of an error can't run.
pub(super) fn check(rules: &[Arc<Rule>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.inputs.reads_alerts()) {
        let mut ids = BTreeSet::new();
        let on_alerts = rule.patterns.iter().filter(|pattern| pattern.side != Side::Events);
        on_alerts.for_each(|pattern| asked_for(&pattern.predicate, &mut ids));
        found.extend(
            ids.iter().filter_map(|id| in_vain(rules, rule, id)).map(|finding| Finding { rule: at, ..finding }),
        );
    }
    for (at, _) in rules.iter().enumerate().filter(|(_, rule)| rule.follows() && rule.then.is_some()) {
        found.push(Finding {
            rule: at,
            level: Level::Error,
            code: "circle",
            message: "a rule that reads alerts, or a list that rules write, adds to no list".to_owned(),
            help: Some("let a rule on events alone write the list".to_owned()),
        });
    }
    found
}

fn in_vain(rules: &[Arc<Rule>], rule: &Rule, id: &Arc<str>) -> Option<Finding> {
    let names = || rules.iter().filter(|rule| !rule.follows()).map(|rule| &**rule.id());
    match rules.iter().find(|other| other.id() == id) {
        Some(other) if !other.follows() => None,
        Some(other) => {
            let message = match other.id() == rule.id() {
                true => "the rule waits for its own alerts: a circle".to_owned(),
                false if other.inputs.reads_alerts() => {
                    format!("the rule waits for alerts of `{id}`, which is on alerts itself")
                }
                false => format!("the rule waits for alerts of `{id}`, which reads a list that rules write"),
            };
            let help = Some("a rule on alerts sees the alerts of rules on events".to_owned());
            Some(Finding { rule: 0, level: Level::Error, code: "alerts-of-alerts", message, help })
        }
        None => {
            let message = format!("no rule is called `{id}`: there are no alerts of it");
            let help = did_you_mean(id, names());
            Some(Finding { rule: 0, level: Level::Warning, code: "unknown-rule", message, help })
        }
    }
}

/// The ids that `rule.id` is compared with.
fn asked_for(predicate: &Predicate, ids: &mut BTreeSet<Arc<str>>) {
    match predicate {
        Predicate::All(parts) | Predicate::Any(parts) => parts.iter().for_each(|part| asked_for(part, ids)),
        Predicate::Field(FieldTest { path, asks }) if **path == *"rule.id" => match asks {
            Asks::Compare(Comparison::Equal, Literal::Text(id)) => {
                ids.insert(id.clone());
            }
            Asks::In(list) => ids.extend(list.texts.iter().cloned()),
            _ => {}
        },
        _ => {}
    }
}
