//! The aggregates of one key, kept as signals come and go: a read or a change looks at no signal twice.
//!
//! Adding and expiring a signal is O(1) amortised for `count`, `first`, `last`, `distinct`, `sum`, `avg`, `stddev`,
//! `min` and `max`, and O(log n) for `values`, `top` and `percentile`. All of them are exact: sums do not drift
//! (see `exact.rs`), percentiles are by nearest rank without error. What bounds them is how many signals and values a
//! key keeps (`signals_per_key_max`): the oldest leave first, or, where nothing leaves, further different values stay
//! out; until they would have left anyway the aggregate is *partial*, and the alert names it. So it is where one signal
//! had more values than are taken.

mod exact;
mod extreme;
mod index;
mod numbers;
mod rank;
mod real;
#[cfg(test)]
mod tests;
mod texts;

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use self::{numbers::Numbers, texts::Texts};
use super::packed::Packed;
use crate::{
    event::Timestamp,
    rule::{Aggregates, Answer, Column, Num, PatternAggregates, PatternView, Rule, Seen, Statistic},
};

/// Values of a field that a window keeps at most, whatever is configured.
const VALUES_KEPT_MAX: usize = 1 << 24;

/// The aggregates of one key, as its rule declares them. Every call is given the same declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    patterns: Box<[Pattern]>,
    /// Whether signals leave: in a sliding window. Elsewhere they are added up until all are cleared.
    leaves: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pattern {
    /// Of the signals in the window, the oldest first; not kept where nothing leaves.
    times: VecDeque<Timestamp>,
    /// Where nothing leaves: how many came.
    count: u64,
    /// Until when `times` are not all signals of the window.
    cut: Option<Timestamp>,
    more: Option<Box<More>>,
}

/// What only some rules need of a pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct More {
    /// One for each of `times`; the first one alone where nothing leaves.
    firsts: VecDeque<Arc<Seen>>,
    last: Option<Arc<Seen>>,
    columns: Box<[Held]>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    texts: Option<Box<Texts>>,
    numbers: Option<Box<Numbers>>,
}

impl Held {
    fn new(column: &Column, leaves: bool) -> Self {
        let statistics = &column.statistics;
        let texts = statistics.iter().any(|statistic| statistic.is_of_texts());
        let numbers = statistics.iter().any(|statistic| !statistic.is_of_texts());
        Held {
            texts: texts.then(|| Box::new(Texts::new(statistics, leaves))),
            numbers: numbers.then(|| Box::new(Numbers::new(statistics, leaves))),
        }
    }

    fn add(&mut self, column: &Column, time: Timestamp, fields: Packed<'_>, max: usize) {
        fields.each(&column.field, &mut |value| {
            if let Some(texts) = &mut self.texts {
                texts.add(time, value, max);
            }
            if let Some(numbers) = &mut self.numbers
                && let Some(number) = Num::of_scalar(value)
            {
                numbers.add(&column.statistics, time, number, max);
            }
        });
    }

    fn expire(&mut self, column: &Column, before: Timestamp) {
        if let Some(texts) = &mut self.texts {
            texts.expire(before);
        }
        if let Some(numbers) = &mut self.numbers {
            numbers.expire(&column.statistics, before);
        }
    }

    fn answer(&self, column: &Column, statistic: Statistic) -> Answer {
        let texts = self.texts.as_deref();
        match statistic {
            Statistic::Values => Answer::Values(texts.map(Texts::values).unwrap_or_default()),
            Statistic::Top => Answer::Value(texts.and_then(Texts::top)),
            number => Answer::Number(self.number(column, number)),
        }
    }

    fn number(&self, column: &Column, statistic: Statistic) -> Option<Num> {
        match statistic {
            Statistic::Distinct => self.texts.as_deref().map(|texts| Num::Int(texts.distinct() as i128)),
            Statistic::Share => self.texts.as_deref().and_then(Texts::share),
            other => self.numbers.as_deref().and_then(|numbers| numbers.answer(&column.statistics, other)),
        }
    }

    fn is_partial(&self, statistic: Statistic) -> bool {
        match statistic.is_of_texts() {
            true => self.texts.as_deref().is_some_and(Texts::is_partial),
            false => self.numbers.as_deref().is_some_and(|numbers| numbers.is_partial(statistic)),
        }
    }
}

impl Figures {
    /// Of a window whose signals leave one by one: call [`Figures::expire`] before each [`Figures::add`].
    pub fn sliding(declared: &Aggregates) -> Self {
        Figures { patterns: vec![Pattern::default(); declared.0.len()].into(), leaves: true }
    }

    /// Of a window that is emptied as a whole, and of an open alert.
    pub fn total(declared: &Aggregates) -> Self {
        Figures { leaves: false, ..Figures::sliding(declared) }
    }

    /// Adds a signal of the pattern at that place in the rule, in the order of time; `max` is how many signals, and
    /// values of a field, are kept. Says whether an older signal had to leave for it.
    pub fn add(
        &mut self,
        declared: &Aggregates,
        pattern: usize,
        time: Timestamp,
        fields: Packed<'_>,
        max: usize,
    ) -> bool {
        let of_pattern = &mut self.patterns[pattern];
        let declared = &declared.0[pattern];
        let max = max.clamp(1, VALUES_KEPT_MAX);
        if needs_more(declared) {
            let more = of_pattern.more.get_or_insert_with(|| Box::new(More::new(declared, self.leaves)));
            more.add(declared, time, fields, self.leaves, max);
        }
        of_pattern.add(time, self.leaves, max)
    }

    /// Texts of the signal that was added last, at this time, are left out: there were too many in it.
    pub fn leave_out(&mut self, pattern: usize, time: Timestamp) {
        let columns = self.patterns[pattern].more.iter_mut().flat_map(|more| &mut more.columns);
        columns.filter_map(|column| column.texts.as_mut()).for_each(|texts| texts.leave_out(time));
    }

    /// Forgets the signals before this time, where signals leave.
    pub fn expire(&mut self, declared: &Aggregates, before: Timestamp) {
        if self.leaves {
            for (pattern, declared) in self.patterns.iter_mut().zip(&declared.0) {
                pattern.expire(declared, before);
            }
        }
    }

    pub fn clear(&mut self) {
        self.patterns.iter_mut().for_each(|pattern| *pattern = Pattern::default());
    }

    /// The same aggregates, to which signals are only added from here on: a window becomes an open alert's total.
    pub fn into_total(mut self) -> Self {
        if self.leaves {
            self.patterns.iter_mut().for_each(Pattern::keep_all);
            self.leaves = false;
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.iter().all(|pattern| pattern.len() == 0)
    }

    /// Signals of a pattern; at least so many where [`Figures::partial`] names the count.
    pub fn count(&self, pattern: usize) -> u64 {
        self.patterns[pattern].len()
    }

    /// An aggregate that is a number: of the column at that place of the pattern's. `None` of nothing.
    pub fn number(&self, declared: &Aggregates, pattern: usize, column: usize, statistic: Statistic) -> Option<Num> {
        let column_of = &declared.0[pattern].columns[column];
        match &self.patterns[pattern].more {
            Some(more) => more.columns[column].number(column_of, statistic),
            None => Figures::of_nothing(statistic),
        }
    }

    /// An aggregate of no values.
    pub fn of_nothing(statistic: Statistic) -> Option<Num> {
        matches!(statistic, Statistic::Distinct | Statistic::Sum).then_some(Num::Int(0))
    }

    /// All that scripts see of the patterns.
    pub fn views(&self, rule: &Rule) -> Vec<PatternView> {
        let parts = rule.patterns.iter().zip(&rule.aggregates.0).zip(&self.patterns);
        parts.map(|((pattern, declared), held)| held.view(&pattern.name, declared)).collect()
    }

    /// What is over fewer signals than the window had, as authors write it: `failure.distinct("user.name")`. Of a
    /// `count` and `distinct` it is known that they are at least what they say.
    pub fn partial(&self, rule: &Rule) -> Vec<String> {
        self.partial_of(&rule.aggregates, rule.patterns.iter().map(|pattern| &*pattern.name))
    }

    /// The same of patterns by these names.
    pub fn partial_of<'a>(&self, declared: &Aggregates, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let parts = names.zip(&declared.0).zip(&self.patterns);
        parts.flat_map(|((name, declared), held)| held.partial(name, declared)).collect()
    }
}

fn needs_more(declared: &PatternAggregates) -> bool {
    declared.first.is_some() || declared.last.is_some() || !declared.columns.is_empty()
}

impl Pattern {
    fn add(&mut self, time: Timestamp, leaves: bool, max: usize) -> bool {
        if !leaves {
            self.count += 1;
            return false;
        }
        self.times.push_back(time);
        let is_over = self.times.len() > max;
        if is_over {
            self.cut = self.times.pop_front();
            if let Some(more) = &mut self.more {
                more.firsts.pop_front();
            }
        }
        is_over
    }

    fn expire(&mut self, declared: &PatternAggregates, before: Timestamp) {
        if self.times.back().is_none_or(|last| *last < before) {
            if !self.times.is_empty() {
                *self = Pattern::default();
            }
            return;
        }
        let left = self.times.iter().take_while(|time| **time < before).count();
        self.times.drain(..left);
        self.cut = self.cut.filter(|cut| *cut >= before);
        if let Some(more) = &mut self.more {
            let left = left.min(more.firsts.len());
            more.firsts.drain(..left);
            let columns = more.columns.iter_mut().zip(&declared.columns);
            columns.for_each(|(held, column)| held.expire(column, before));
        }
    }

    fn keep_all(&mut self) {
        self.count = std::mem::take(&mut self.times).len() as u64;
        self.cut = self.cut.map(|_| Timestamp::MAX);
        let Some(more) = &mut self.more else { return };
        more.firsts.truncate(1);
        for held in &mut more.columns {
            held.texts.iter_mut().for_each(|texts| texts.keep_all());
            held.numbers.iter_mut().for_each(|numbers| numbers.keep_all());
        }
    }

    fn len(&self) -> u64 {
        self.count + self.times.len() as u64
    }

    fn view(&self, name: &Arc<str>, declared: &PatternAggregates) -> PatternView {
        let more = match self.more.as_deref() {
            Some(more) => Cow::Borrowed(more),
            None => Cow::Owned(More::new(declared, false)),
        };
        let answers = declared.columns.iter().zip(&more.columns).flat_map(|(column, held)| {
            let answer = |statistic: &Statistic| (column.field.clone(), *statistic, held.answer(column, *statistic));
            column.statistics.iter().map(answer)
        });
        PatternView {
            name: name.clone(),
            count: self.len(),
            first: more.firsts.front().cloned(),
            last: more.last.clone(),
            answers: answers.collect(),
        }
    }

    fn partial(&self, name: &str, declared: &PatternAggregates) -> Vec<String> {
        let count = self.cut.is_some().then(|| format!("{name}.count"));
        let columns = self.more.iter().flat_map(|more| declared.columns.iter().zip(&more.columns));
        let aggregates = columns.flat_map(|(column, held)| {
            let partial = column.statistics.iter().filter(|statistic| held.is_partial(**statistic));
            partial.map(|statistic| format!("{name}.{}", statistic.written(&column.field)))
        });
        count.into_iter().chain(aggregates).collect()
    }
}

impl More {
    fn new(declared: &PatternAggregates, leaves: bool) -> Self {
        More { columns: declared.columns.iter().map(|column| Held::new(column, leaves)).collect(), ..More::default() }
    }

    fn add(&mut self, declared: &PatternAggregates, time: Timestamp, fields: Packed<'_>, leaves: bool, max: usize) {
        let seen = |paths: &[Arc<str>]| Arc::new(Seen { time, fields: fields.to_fields().project(paths) });
        if let Some(paths) = &declared.first
            && (leaves || self.firsts.is_empty())
        {
            self.firsts.push_back(seen(paths));
        }
        if let Some(paths) = &declared.last {
            self.last = Some(seen(paths));
        }
        let columns = self.columns.iter_mut().zip(&declared.columns);
        columns.for_each(|(held, column)| held.add(column, time, fields, max));
    }
}
