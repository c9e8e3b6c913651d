//! The events of all patterns of one window together: how many there are, and an aggregate over their values.
//!
//! It never counts an event twice: of the signals that one event gives a key, the first counts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    aggregate::Figures,
    arrival::Arrival,
    first_seen::combinations,
    packed::{Packed, pack_fields},
};
use crate::{
    detect::ValueView,
    event::{Position, Timestamp},
    rule::{ALL, Answer, Num, PatternView, Statistic, Together},
};

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

    /// Takes the next signal of the total order in; at most `max` events, and values, are kept. Gives how many
    /// combinations of its values are left out.
    pub fn add(&mut self, declared: &Together, signal: &Arrival<'_>, max: usize) -> u64 {
        if self.event.as_ref().is_some_and(|event| signal.is_at(event)) {
            return 0;
        }
        self.event = Some(signal.position());
        let paths = declared.paths.get(signal.pattern).map_or(&[][..], Vec::as_slice);
        let mut bytes = Vec::new();
        let cut = match declared.column() {
            Some(column) => pack_value(&column.field, signal.fields, paths, &mut bytes),
            None => 0,
        };
        self.figures.add(&declared.aggregates, 0, signal.time, Packed { bytes: &bytes, paths: &[] }, max);
        if cut > 0 {
            self.figures.leave_out(0, signal.time);
        }
        cut
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

    /// All that is asked, for scripts.
    pub fn view(&self, declared: &Together) -> PatternView {
        let of = |statistic: &Statistic| Answer::Number(self.answer(declared, Some(*statistic)));
        let answers = declared.column().into_iter().flat_map(|column| {
            column.statistics.iter().map(move |statistic| (column.field.clone(), *statistic, of(statistic)))
        });
        let count = self.figures.count(0);
        PatternView { name: ALL.into(), count, first: None, last: None, answers: answers.collect() }
    }

    /// What is over fewer events than there were.
    pub fn partial(&self, declared: &Together) -> Vec<String> {
        self.figures.partial_of(&declared.aggregates, std::iter::once(ALL))
    }
}

/// Packs, as `field`, the value at one path, or the combinations of the texts at several: as JSON, so that no two are
/// written alike. Gives how many there are beyond the bound.
fn pack_value(field: &str, fields: Packed<'_>, paths: &[Arc<str>], into: &mut Vec<u8>) -> u64 {
    if let [path] = paths {
        if let Some(value) = fields.get(path) {
            pack_fields(&[(field, value)], &[], into);
        }
        return 0;
    }
    let combined = combinations(fields, paths);
    // Of no paths there is one combination, of nothing.
    let kept = combined.kept.into_iter().filter(|texts| !texts.is_empty());
    let written: Vec<String> = kept.map(|texts| serde_json::json!(texts).to_string()).collect();
    let values = written.iter().map(|text| ValueView::Text(text)).collect();
    pack_fields(&[(field, ValueView::Array(values))], &[], into);
    combined.cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::arrival::Origin;

    fn add(events: &mut Events, declared: &Together, pattern: usize, offset: u64, fields: &[(&str, &str)]) {
        let fields: Vec<_> = fields.iter().map(|(name, text)| (*name, ValueView::Text(text))).collect();
        let mut bytes = Vec::new();
        pack_fields(&fields, &[], &mut bytes);
        let signal = Arrival {
            time: Timestamp(offset as i64),
            origin: &Origin::new("in", 0),
            offset,
            element: 0,
            late: false,
            pattern,
            fields: Packed { bytes: &bytes, paths: &[] },
        };
        events.add(declared, &signal, 10);
    }

    fn declared(paths: &[&[&str]]) -> Together {
        let paths = paths.iter().map(|paths| paths.iter().map(|path| Arc::from(*path)).collect()).collect();
        Together::of(paths, Statistic::Distinct, "value")
    }

    #[test]
    fn an_event_that_two_patterns_match_counts_once() {
        let declared = declared(&[&["a"], &["b"]]);
        let mut events = Events::new(true, &declared);
        add(&mut events, &declared, 0, 1, &[("a", "x"), ("b", "y")]);
        add(&mut events, &declared, 1, 1, &[("a", "x"), ("b", "y")]);
        add(&mut events, &declared, 1, 2, &[("b", "x")]);
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
            add(&mut events, &declared, 0, offset, &fields);
        }
        assert_eq!(events.answer(&declared, Some(Statistic::Distinct)), Some(Num::Int(2)), "the third lacks one");
        assert_eq!(events.answer(&declared, None), Some(Num::Int(3)));
    }

    #[test]
    fn combinations_beyond_the_bound_are_counted() {
        let declared = declared(&[&["a", "b"]]);
        let texts: Vec<String> = (0..40).map(|at| at.to_string()).collect();
        let array = || ValueView::Array(texts.iter().map(|text| ValueView::Text(text)).collect());
        let mut bytes = Vec::new();
        pack_fields(&[("a", array()), ("b", array())], &[], &mut bytes);
        let mut packed = Vec::new();
        let paths = &declared.paths[0];
        let cut = pack_value("value", Packed { bytes: &bytes, paths: &[] }, paths, &mut packed);
        let kept = Packed { bytes: &packed, paths: &[] }.get("value");
        let Some(ValueView::Array(kept)) = kept else { panic!("combinations: {kept:?}") };
        assert_eq!((kept.len() as u64 + cut, cut > 0), (1_600, true));
    }
}
