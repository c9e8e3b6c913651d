//! From a satisfied window to the alert that says so.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    aggregate::Figures,
    contents::Contents,
    key::{Limits, Tally, Trigger},
};
use crate::{
    alert::{self, Alert, Evidence, RiskEntity, Span, State},
    event::{Timestamp, Value},
    rule::{AlertText, Kept, Num, Pattern, Rule, Statistic, Told, Window, WindowFacts, WindowView},
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
    pub window: &'a Contents,
    pub state: State,
    pub suppressed: u64,
    /// When keys of the rule were evicted last.
    pub cut: Option<Timestamp>,
}

impl Firing<'_> {
    /// Asks the rule's `when`; a script that fails says no.
    pub fn meets_when(&self, tally: &mut Tally) -> bool {
        let Some(when) = &self.rule.when else { return true };
        let answer = when.test(self);
        if answer.is_err() || when.has_script() {
            tally.when = Some(answer.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        answer.unwrap_or(false)
    }

    /// The alert. Where the rule's `alert` fails, its title stands in.
    pub fn alert(&self, limits: Limits, tally: &mut Tally) -> Alert {
        let text = match &self.rule.alert {
            None => AlertText::default(),
            Some(script) => {
                let text = script.alert(&WindowFacts::view(self));
                tally.alert = Some(text.as_ref().map(|_| ()).map_err(Clone::clone));
                text.unwrap_or_default()
            }
        };
        let fields = text.fields.into_iter().chain(self.told()).collect();
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
            by: self.rule.by.clone(),
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
            partial: self.partial(),
            evidence: self.evidence(limits.evidence_max),
            fields,
        }
    }

    /// What the rule tells of its windows without a script.
    fn told(&self) -> Vec<(String, serde_json::Value)> {
        if self.rule.tells.is_empty() {
            return Vec::new();
        }
        let view = WindowFacts::view(self);
        let told = |told: &Told| {
            let mut values: Vec<serde_json::Value> = Vec::new();
            for (pattern, path) in view.patterns.iter().zip(&told.paths) {
                let found = pattern.answers.iter().filter(|(of, what, _)| *what == Statistic::Values && of == path);
                for value in found.filter_map(|(.., answer)| answer.values()).flatten().map(Value::to_json) {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
            (told.name.to_string(), values.into())
        };
        self.rule.tells.iter().map(told).collect()
    }

    /// Asks the rule's `then` what it adds to lists. An alert of a late event adds nothing: what rules saw of its time
    /// has been decided.
    pub fn write_lists(&self, tally: &mut Tally) {
        let Some(then) = self.rule.then.as_ref().filter(|_| !self.trigger.late) else { return };
        match then.writes(&WindowFacts::view(self), self.time) {
            Ok((writes, too_long)) => {
                (tally.writes, tally.unlisted) = (writes, too_long);
                tally.then = Some(Ok(()));
            }
            Err(error) => tally.then = Some(Err(error)),
        }
    }

    fn span(&self) -> Option<Span> {
        match self.rule.window {
            Window::None => None,
            _ => Some(Span { start: self.start.to_string(), end: self.end.to_string() }),
        }
    }

    fn counts(&self) -> serde_json::Map<String, serde_json::Value> {
        let count = |number, pattern: &Pattern| (pattern.name.to_string(), self.window.signals.count(number).into());
        self.rule.patterns.iter().enumerate().map(|(number, pattern)| count(number, pattern)).collect()
    }

    /// What bounds have left out.
    fn partial(&self) -> Vec<String> {
        let counts = self.window.signals.cut().map(|number| format!("{}.count", self.rule.patterns[number].name));
        let figures = self.window.figures.iter().flat_map(|figures| figures.partial(self.rule));
        let is_cut = self.cut.is_some_and(|cut| cut >= self.start && !matches!(self.rule.window, Window::None));
        let together = self.rule.together.iter().zip(&self.window.together);
        let together = together.flat_map(|(declared, together)| together.partial(declared));
        let names: BTreeSet<String> = counts.chain(figures).chain(together).collect();
        names.into_iter().chain(is_cut.then(|| "keys".to_owned())).collect()
    }

    /// Of each pattern the first signals and the last, in the total order.
    fn evidence(&self, max: usize) -> Vec<Evidence> {
        let mut shown = self.window.signals.shown(self.rule, max);
        shown.sort_by(|(a_number, a), (b_number, b)| {
            (a.time, &a.position, a_number, a.element).cmp(&(b.time, &b.position, b_number, b.element))
        });
        shown.iter().map(|(number, signal)| evidence(&self.rule.patterns[*number].name, signal)).collect()
    }

    fn risk(&self) -> Option<alert::Risk> {
        let risk = self.rule.meta.risk.as_ref()?;
        let mut entities = BTreeSet::new();
        for field in &risk.entities {
            for signal in self.window.signals.all(self.rule) {
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

impl WindowFacts for Firing<'_> {
    fn count(&self, pattern: usize) -> u64 {
        self.window.signals.count(pattern)
    }

    fn number(&self, pattern: usize, column: usize, statistic: Statistic) -> Option<Num> {
        match &self.window.figures {
            Some(figures) => figures.number(&self.rule.aggregates, pattern, column, statistic),
            None => Figures::of_nothing(statistic),
        }
    }

    fn together(&self, statistic: Option<Statistic>) -> Option<Num> {
        self.rule
            .together
            .as_ref()
            .zip(self.window.together.as_ref())?
            .1
            .answer(self.rule.together.as_ref()?, statistic)
    }

    fn length(&self) -> Duration {
        self.end.since(self.start)
    }

    fn view(&self) -> Arc<WindowView> {
        let mut patterns = match &self.window.figures {
            Some(figures) => figures.views(self.rule),
            None => Figures::total(&self.rule.aggregates).views(self.rule),
        };
        // In the rule's order.
        (0..).zip(&mut patterns).for_each(|(number, pattern)| pattern.count = self.window.signals.count(number));
        Arc::new(WindowView { key: self.key.to_vec(), start: self.start, end: self.end, patterns })
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
