//! From a satisfied window to the alert that says so.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    aggregate::Figures,
    key::{Limits, Tally, Trigger},
    window::Kepts,
};
use crate::{
    alert::{self, Alert, Evidence, RiskEntity, Span, State},
    event::Timestamp,
    rule::{AlertText, Kept, Rule, SIGNALS_MAX, Window, WindowView},
};

/// The entities at risk that one alert names.
const RISK_ENTITIES_MAX: usize = 100;

/// Everything that an alert is made of.
pub(super) struct Firing<'a> {
    pub rule: &'a Rule,
    pub key: &'a [Arc<str>],
    pub trigger: &'a Trigger,
    /// The window, both ends inside.
    pub start: Timestamp,
    pub end: Timestamp,
    /// The alert's time: the trigger's, or the timer's.
    pub time: Timestamp,
    /// The time in the alert's id: that of its first record.
    pub fired_at: Timestamp,
    pub signals: &'a Kepts,
    pub state: State,
    pub suppressed: u64,
}

impl Firing<'_> {
    /// Asks the rule's `when`; a script that fails says no.
    pub fn meets_when(&self, tally: &mut Tally) -> bool {
        let Some(when) = &self.rule.when else { return true };
        let answer = when.test(&self.view());
        tally.when = Some(answer.as_ref().map(|_| ()).map_err(Clone::clone));
        answer.unwrap_or(false)
    }

    /// The alert. Where the rule's `alert` fails, its title stands in.
    pub fn alert(&self, limits: Limits, tally: &mut Tally) -> Alert {
        let text = match &self.rule.alert {
            None => AlertText::default(),
            Some(script) => {
                let text = script.alert(&self.view());
                tally.alert = Some(text.as_ref().map(|_| ()).map_err(Clone::clone));
                text.unwrap_or_default()
            }
        };
        let meta = &self.rule.meta;
        let rule = match serde_json::to_value(meta) {
            Ok(serde_json::Value::Object(rule)) => rule,
            other => unreachable!("a rule's metadata is an object: {other:?}"),
        };
        Alert {
            id: alert::id(&meta.id, self.key, self.fired_at, &self.trigger.position, self.trigger.element),
            state: self.state,
            rule,
            title: text.title.unwrap_or_else(|| meta.title.clone()),
            severity: meta.severity.as_str().to_owned(),
            time: self.time.to_string(),
            key: self.key.to_vec(),
            by: self.rule.patterns.first().map(|pattern| pattern.by.clone()).unwrap_or_default(),
            window: self.span(),
            counts: self.counts(),
            trigger: alert::Trigger {
                input: self.trigger.position.input.clone(),
                partition: self.trigger.position.partition,
                offset: self.trigger.position.offset,
                time: self.trigger.time.to_string(),
            },
            late: self.trigger.late,
            attack: meta.attack.clone(),
            tags: meta.tags.clone(),
            risk: self.risk(),
            suppressed: self.suppressed,
            evidence: self.evidence(limits.evidence_max),
            fields: text.fields,
        }
    }

    fn view(&self) -> Arc<WindowView> {
        let mut figures = Figures::total(&self.rule.aggregates);
        for (name, signals) in self.signals.iter() {
            let Some(at) = self.rule.patterns.iter().position(|pattern| pattern.name == *name) else { continue };
            for kept in signals {
                figures.add(&self.rule.aggregates, at, kept.time, &kept.fields, SIGNALS_MAX as usize);
            }
        }
        let mut patterns = figures.views(self.rule);
        patterns.iter_mut().for_each(|pattern| pattern.count = self.signals.count(&pattern.name));
        Arc::new(WindowView { key: self.key.to_vec(), start: self.start, end: self.end, patterns })
    }

    fn span(&self) -> Option<Span> {
        match self.rule.window {
            Window::None => None,
            _ => Some(Span { start: self.start.to_string(), end: self.end.to_string() }),
        }
    }

    fn counts(&self) -> serde_json::Map<String, serde_json::Value> {
        let count = |name: &Arc<str>| (name.to_string(), self.signals.count(name).into());
        self.rule.patterns.iter().map(|pattern| count(&pattern.name)).collect()
    }

    /// Of each pattern the first signals and the last, in the total order.
    fn evidence(&self, max: usize) -> Vec<Evidence> {
        let mut chosen: Vec<(&Arc<str>, &Arc<Kept>)> = Vec::new();
        for (pattern, signals) in self.signals.iter() {
            let skipped = signals.len().saturating_sub(max);
            let first = max.saturating_sub(1).min(signals.len());
            let shown = signals.iter().take(first).chain(signals.iter().skip(first + skipped).take(max - first));
            chosen.extend(shown.map(|signal| (pattern, signal)));
        }
        chosen.sort_by(|(a_pattern, a), (b_pattern, b)| {
            (a.time, &a.position, a_pattern, a.element).cmp(&(b.time, &b.position, b_pattern, b.element))
        });
        chosen.into_iter().map(|(pattern, signal)| evidence(pattern, signal)).collect()
    }

    fn risk(&self) -> Option<alert::Risk> {
        let risk = self.rule.meta.risk.as_ref()?;
        let mut entities = BTreeSet::new();
        for field in &risk.entities {
            for signal in self.signals.iter().flat_map(|(_, signals)| signals) {
                signal.fields.any(field, &mut |value| {
                    if let Some(text) = value.as_text().filter(|text| !text.is_empty()) {
                        entities.insert(RiskEntity { field: field.clone(), value: text.into_owned() });
                    }
                    false
                });
            }
        }
        Some(alert::Risk { score: risk.score, entities: entities.into_iter().take(RISK_ENTITIES_MAX).collect() })
    }
}

fn evidence(pattern: &Arc<str>, signal: &Kept) -> Evidence {
    Evidence {
        pattern: pattern.clone(),
        input: signal.position.input.clone(),
        partition: signal.position.partition,
        offset: signal.position.offset,
        time: signal.time.to_string(),
        fields: signal.fields.to_json(),
    }
}
