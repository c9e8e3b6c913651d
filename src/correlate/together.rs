//! The events of all patterns of one window together: how many there are, and an aggregate over their values.
//!
//! It never counts an event twice: of the signals that one event gives a key, the first counts.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{aggregate::Figures, first_seen::combinations};
use crate::{
    event::{Fields, Position, Timestamp, Value},
    rule::{Kept, Num, Statistic, Together},
};

/// What alerts call them where a bound was reached.
const NAME: &str = "all";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Events {
    figures: Figures,
    /// The event that was seen last. A commit never comes between two signals of one event.
    #[serde(skip)]
    event: Option<Position>,
}

impl Events {
    /// None yet. `leaves` says whether they leave one by one.
    pub fn new(leaves: bool, declared: &Together) -> Self {
        let figures = match leaves {
            true => Figures::sliding(&declared.aggregates),
            false => Figures::total(&declared.aggregates),
        };
        Events { figures, event: None }
    }

    /// Takes the next signal of the total order in; at most `max` events, and values, are kept.
    pub fn add(&mut self, declared: &Together, pattern: usize, kept: &Kept, max: usize) {
        if self.event.as_ref() == Some(&kept.position) {
            return;
        }
        self.event = Some(kept.position.clone());
        let paths = declared.paths.get(pattern).map_or(&[][..], Vec::as_slice);
        let value = value(&kept.fields, paths);
        let named = declared.column().zip(value).map(|(column, value)| (column.field.to_string(), value.into_owned()));
        let fields: Fields = named.into_iter().collect();
        self.figures.add(&declared.aggregates, 0, kept.time, &fields, max);
    }

    /// Forgets the events before this time.
    pub fn expire(&mut self, declared: &Together, before: Timestamp) {
        self.figures.expire(&declared.aggregates, before);
    }

    /// From here on nothing leaves.
    pub fn into_total(self) -> Self {
        Events { figures: self.figures.into_total(), event: self.event }
    }

    /// How many there are, or the aggregate over their values; `None` of nothing.
    pub fn answer(&self, declared: &Together, statistic: Option<Statistic>) -> Option<Num> {
        match statistic {
            None => Some(Num::Int(self.figures.count(0).into())),
            Some(statistic) => self.figures.number(&declared.aggregates, 0, 0, statistic),
        }
    }

    /// What is over fewer events than there were.
    pub fn partial(&self, declared: &Together) -> Vec<String> {
        self.figures.partial_of(&declared.aggregates, std::iter::once(NAME))
    }
}

/// The value at one path, or the combinations of the texts at several: as JSON, so that no two are written alike.
fn value<'a>(fields: &'a Fields, paths: &[Arc<str>]) -> Option<Cow<'a, Value>> {
    if let [path] = paths {
        return fields.get(path);
    }
    // Of no paths there is one combination, of nothing.
    let combined = combinations(fields, paths).kept.into_iter().filter(|texts| !texts.is_empty());
    let written = combined.map(|texts| Value::text(serde_json::json!(texts).to_string()));
    Some(Cow::Owned(Value::Array(written.collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(offset: u64, fields: &[(&str, &str)]) -> Kept {
        Kept {
            time: Timestamp(offset as i64),
            position: Position { input: "in".into(), partition: 0, offset },
            element: 0,
            fields: fields.iter().map(|(name, text)| ((*name).to_owned(), Value::text(*text))).collect(),
        }
    }

    fn declared(paths: &[&[&str]]) -> Together {
        let paths = paths.iter().map(|paths| paths.iter().map(|path| Arc::from(*path)).collect()).collect();
        Together::of(paths, Statistic::Distinct, "value")
    }

    #[test]
    fn an_event_that_two_patterns_match_counts_once() {
        let declared = declared(&[&["a"], &["b"]]);
        let mut events = Events::new(true, &declared);
        events.add(&declared, 0, &kept(1, &[("a", "x"), ("b", "y")]), 10);
        events.add(&declared, 1, &kept(1, &[("a", "x"), ("b", "y")]), 10);
        events.add(&declared, 1, &kept(2, &[("b", "x")]), 10);
        assert_eq!(events.answer(&declared, None), Some(Num::Int(2)));
        assert_eq!(events.answer(&declared, Some(Statistic::Distinct)), Some(Num::Int(1)), "each by its own field");
        events.expire(&declared, Timestamp(2));
        assert_eq!(events.answer(&declared, None), Some(Num::Int(1)));
    }

    #[test]
    fn values_of_several_fields_are_combined() {
        let declared = declared(&[&["a", "b"]]);
        let mut events = Events::new(false, &declared);
        for (offset, fields) in
            [(1, [("a", "x"), ("b", "yz")]), (2, [("a", "xy"), ("b", "z")]), (3, [("a", "x"), ("c", "yz")])]
        {
            events.add(&declared, 0, &kept(offset, &fields), 10);
        }
        assert_eq!(events.answer(&declared, Some(Statistic::Distinct)), Some(Num::Int(2)), "the third lacks one");
        assert_eq!(events.answer(&declared, None), Some(Num::Int(3)));
    }
}
