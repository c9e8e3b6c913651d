//! From a satisfied window to the alert that says so.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    aggregate::Figures,
    contents::Contents,
    key::{Limits, Tally, Trigger},
    packed::unpack_key,
    together::Events,
};
use crate::{
    alert::{self, Alert, Evidence, RiskEntity, Span, State},
    event::{Timestamp, Value},
    rule::{AlertText, Kept, Num, Pattern, Rule, Statistic, Told, Window, WindowFacts, WindowView},
};

/// The entities at risk that one alert names.
const RISK_ENTITIES_MAX: usize = 100;

/// A window as its rule's closures see it.
pub(super) struct Facts<'a> {
    pub rule: &'a Rule,
    /// Packed.
    pub key: &'a [u8],
    /// The window, both ends inside.
    pub start: Timestamp,
    pub end: Timestamp,
    pub window: &'a Contents,
}

/// Everything that an alert is made of.
pub(super) struct Firing<'a> {
    pub facts: Facts<'a>,
    pub trigger: &'a Trigger,
    /// The alert's time: the trigger's, or the timer's.
    pub time: Timestamp,
    /// The time in the alert's id: that of its first record.
    pub fired_at: Timestamp,
    pub state: State,
    pub suppressed: u64,
    pub cuts: Cuts,
}

/// What bounds have left out beyond the window: when last.
#[derive(Clone, Copy)]
pub(super) struct Cuts {
    /// Keys of the rule.
    pub keys: Option<Timestamp>,
    /// Of what the key has learnt.
    pub learned: Option<Timestamp>,
}

impl Facts<'_> {
    /// Asks the rule's `when`; a script that fails says no.
    pub fn meet_when(&self, tally: &mut Tally) -> bool {
        let Some(when) = &self.rule.when else { return true };
        let answer = when.test(self);
        if answer.is_err() || when.has_script() {
            tally.when = Some(answer.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        answer.unwrap_or(false)
    }
}

impl Firing<'_> {
    /// The alert. Where the rule's `alert` fails, its title stands in.
    pub fn alert(&self, limits: Limits, tally: &mut Tally) -> Box<Alert> {
        let Facts { rule, key, .. } = &self.facts;
        let text = match &rule.alert {
            None => AlertText::default(),
            Some(script) => {
                let text = script.alert(&self.facts.view());
                tally.alert = Some(text.as_ref().map(|_| ()).map_err(Clone::clone));
                text.unwrap_or_default()
            }
        };
        let fields = text.fields.into_iter().chain(self.told()).collect();
        let meta = &rule.meta;
        let key = unpack_key(key);
        let written = match serde_json::to_value(meta) {
            Ok(serde_json::Value::Object(rule)) => rule,
            other => unreachable!("a rule's metadata is an object: {other:?}"),
        };
        Box::new(Alert {
            id: alert::id(&meta.id, &key, self.fired_at, &self.trigger.position, self.trigger.element),
            state: self.state,
            rule: written,
            title: text.title.unwrap_or_else(|| meta.title.clone()),
            severity: meta.severity.as_str().to_owned(),
            time: self.time.to_string(),
            key,
            by: rule.by.clone(),
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
        })
    }

    /// What the rule tells of its windows without a script.
    fn told(&self) -> Vec<(String, serde_json::Value)> {
        if self.facts.rule.tells.is_empty() {
            return Vec::new();
        }
        let view = self.facts.view();
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
        self.facts.rule.tells.iter().map(told).collect()
    }

    /// Asks the rule's `then` what it adds to lists. An alert of a late event adds nothing: what rules saw of its time
    /// has been decided.
    pub fn write_lists(&self, tally: &mut Tally) {
        let Some(then) = self.facts.rule.then.as_ref().filter(|_| !self.trigger.late) else { return };
        match then.writes(&self.facts.view(), self.time) {
            Ok((writes, too_long)) => {
                (tally.writes, tally.unlisted) = (writes, too_long);
                tally.then = Some(Ok(()));
            }
            Err(error) => tally.then = Some(Err(error)),
        }
    }

    fn span(&self) -> Option<Span> {
        match self.facts.rule.window {
            Window::None => None,
            _ => Some(Span { start: self.facts.start.to_string(), end: self.facts.end.to_string() }),
        }
    }

    fn counts(&self) -> serde_json::Map<String, serde_json::Value> {
        let count =
            |number, pattern: &Pattern| (pattern.name.to_string(), self.facts.window.signals.count(number).into());
        self.facts.rule.patterns.iter().enumerate().map(|(number, pattern)| count(number, pattern)).collect()
    }

    /// What bounds have left out.
    fn partial(&self) -> Vec<String> {
        let Facts { rule, window, start, .. } = &self.facts;
        let counts = window.signals.cut().map(|number| format!("{}.count", rule.patterns[number].name));
        let figures = window.figures().into_iter().flat_map(|figures| figures.partial(rule));
        // What a rule has learnt reaches further back than its window.
        let reaches_to = match &rule.window {
            Window::None => None,
            Window::FirstSeen(first_seen) => Some(start.minus(first_seen.over)),
            Window::Baseline(baseline) => Some(start.minus(baseline.over)),
            _ => Some(*start),
        };
        let is_cut = |at: Option<Timestamp>| at.zip(reaches_to).is_some_and(|(at, reaches_to)| at >= reaches_to);
        let together = rule.together.iter().zip(window.together());
        let together = together.flat_map(|(declared, together)| together.partial(declared));
        let names: BTreeSet<String> = counts.chain(figures).chain(together).collect();
        let others = [("first_seen", self.cuts.learned), ("keys", self.cuts.keys)];
        let others = others.into_iter().filter(|(_, at)| is_cut(*at)).map(|(name, _)| name.to_owned());
        names.into_iter().chain(others).collect()
    }

    /// Of each pattern the first signals and the last, in the total order.
    fn evidence(&self, max: usize) -> Vec<Evidence> {
        let mut shown = self.facts.window.signals.shown(self.facts.rule, max);
        shown.sort_by(|(a_number, a), (b_number, b)| {
            (a.time, &a.position, a_number, a.element).cmp(&(b.time, &b.position, b_number, b.element))
        });
        shown.iter().map(|(number, signal)| evidence(&self.facts.rule.patterns[*number].name, signal)).collect()
    }

    fn risk(&self) -> Option<alert::Risk> {
        let risk = self.facts.rule.meta.risk.as_ref()?;
        let mut entities = BTreeSet::new();
        for field in &risk.entities {
            for signal in self.facts.window.signals.all(self.facts.rule) {
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

impl WindowFacts for Facts<'_> {
    fn count(&self, pattern: usize) -> u64 {
        self.window.signals.count(pattern)
    }

    fn number(&self, pattern: usize, column: usize, statistic: Statistic) -> Option<Num> {
        match self.window.figures() {
            Some(figures) => figures.number(&self.rule.aggregates, pattern, column, statistic),
            None => Figures::of_nothing(statistic),
        }
    }

    fn together(&self, statistic: Option<Statistic>) -> Option<Num> {
        let (declared, together) = self.rule.together.as_ref().zip(self.window.together())?;
        together.answer(declared, statistic)
    }

    fn length(&self) -> Duration {
        self.end.since(self.start)
    }

    fn view(&self) -> Arc<WindowView> {
        let mut patterns = match self.window.figures() {
            Some(figures) => figures.views(self.rule),
            None => Figures::total(&self.rule.aggregates).views(self.rule),
        };
        // In the rule's order.
        (0..).zip(&mut patterns).for_each(|(number, pattern)| pattern.count = self.window.signals.count(number));
        let together = self.rule.together.as_ref().map(|declared| match self.window.together() {
            Some(events) => events.view(declared),
            None => Events::new(false, declared).view(declared),
        });
        Arc::new(WindowView { key: unpack_key(self.key), start: self.start, end: self.end, patterns, together })
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
