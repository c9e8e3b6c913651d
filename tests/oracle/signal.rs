//! Events that match, each with one key.

use super::{
    layers::Lists,
    log::{ALERTS, Event, Placed},
    rule::{Ask, Pattern, Rule},
};

#[derive(Debug, Clone)]
pub struct Signal {
    pub pattern: String,
    pub key: Vec<String>,
    pub event: Event,
    pub offset: u64,
    pub element: u32,
    pub late: bool,
}

/// (event time, input, partition, offset, pattern, element)
pub type Order<'a> = (i64, &'a str, u32, u64, &'a str, u32);

impl Signal {
    pub fn time(&self) -> i64 {
        self.event.time
    }

    pub fn order(&self) -> Order<'_> {
        let Event { input, partition, time, .. } = self.event;
        (time, input, partition, self.offset, &self.pattern, self.element)
    }

    pub fn is_same_event(&self, other: &Signal) -> bool {
        (self.event.source(), self.offset) == (other.event.source(), other.offset)
    }
}

/// The signals of a rule, in the order of arrival. What is after the end of the log is seen by no rule.
pub fn signals(rule: &Rule, placed: &[Placed<'_>], end: i64, lists: &Lists) -> Vec<Signal> {
    let seen = placed.iter().filter(|placed| rule.reads(placed.event.input) && placed.event.time <= end);
    seen.flat_map(|placed| rule.patterns.iter().flat_map(|pattern| signals_of(rule, pattern, placed, lists))).collect()
}

fn signals_of(rule: &Rule, pattern: &Pattern, placed: &Placed<'_>, lists: &Lists) -> Vec<Signal> {
    let event = placed.event;
    let is_closing = event.input == ALERTS && event.texts("state") == ["closed"];
    let is_shown = pattern.sees_closed() || !is_closing;
    if !is_shown || !pattern.asks.iter().all(|ask| ask.is_true(event, lists)) || !rule.window.takes(event) {
        return Vec::new();
    }
    let signal = |(element, key): (u32, Vec<String>)| Signal {
        pattern: pattern.name.clone(),
        key,
        event: event.clone(),
        offset: placed.offset,
        element,
        late: placed.late,
    };
    (0..).zip(keys(event, &pattern.by)).map(signal).collect()
}

impl Ask {
    fn is_true(&self, event: &Event, lists: &Lists) -> bool {
        match self {
            Ask::Is { field, text } => event.texts(field).contains(text),
            Ask::Listed { field, list, is_in } => {
                event.texts(field).iter().any(|text| lists.has(list, text, event.time)) == *is_in
            }
        }
    }
}

/// The cross product of the distinct values of each field, in byte order; none when a field is missing or empty.
fn keys(event: &Event, by: &[String]) -> Vec<Vec<String>> {
    let Some((first, rest)) = by.split_first() else { return vec![Vec::new()] };
    let rest = keys(event, rest);
    values(event, first)
        .iter()
        .flat_map(|value| rest.iter().map(move |rest| std::iter::once(value).chain(rest).cloned().collect()))
        .collect()
}

/// The distinct values of a field as text, in byte order.
pub fn values(event: &Event, field: &str) -> Vec<String> {
    let mut texts: Vec<String> = event.texts(field).into_iter().filter(|text| !text.is_empty()).collect();
    texts.sort();
    texts.dedup();
    texts
}
