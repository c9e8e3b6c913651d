//! The `correlation` of a document as a typed tree: what it says, not yet what it means. What it names is looked up
//! later, among all rules.

use std::{collections::BTreeSet, time::Duration};

use super::bounds::Bounds;
use crate::rule::{
    Num,
    diagnostic::did_you_mean,
    duration::LONGEST,
    entry::listed,
    sigma::{
        condition::Condition,
        document::{Document, Named},
        report::Report,
        yaml::{Entry, Mark, Node, ScalarKind},
    },
};

/// Rules that one correlation refers to, and fields that it names in one place.
const NAMES_MAX: usize = 100;

const KEYS: [&str; 7] = ["type", "rules", "group-by", "timespan", "aliases", "condition", "generate"];

/// Seconds of each unit of a `timespan`; months and years are as long as they are on average.
const UNITS: [(&str, u64); 7] =
    [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800), ("M", 2_629_746), ("y", 31_556_952)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    EventCount,
    ValueCount,
    ValueSum,
    ValueAvg,
    ValuePercentile,
    ValueMedian,
    Temporal,
    TemporalOrdered,
}

const KINDS: [(&str, Kind); 8] = [
    ("event_count", Kind::EventCount),
    ("value_count", Kind::ValueCount),
    ("value_sum", Kind::ValueSum),
    ("value_avg", Kind::ValueAvg),
    ("value_percentile", Kind::ValuePercentile),
    ("value_median", Kind::ValueMedian),
    ("temporal", Kind::Temporal),
    ("temporal_ordered", Kind::TemporalOrdered),
];

impl Kind {
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    pub fn is_temporal(self) -> bool {
        matches!(self, Kind::Temporal | Kind::TemporalOrdered)
    }

    /// Whether it is about the values of a field.
    pub fn is_of_values(self) -> bool {
        !self.is_temporal() && self != Kind::EventCount
    }

    /// Whether its condition counts something.
    fn counts(self) -> bool {
        self.is_temporal() || matches!(self, Kind::EventCount | Kind::ValueCount)
    }
}

/// A correlation as it is written.
#[derive(Debug, Clone)]
pub struct Correlation {
    pub kind: Kind,
    /// Where `correlation` stands.
    pub at: Mark,
    /// References to rules, by id or name, each once.
    pub rules: Vec<Named>,
    pub group_by: Vec<Named>,
    pub timespan: Duration,
    pub aliases: Vec<Alias>,
    pub criterion: Criterion,
    /// Whether the rules that it refers to alert by themselves too.
    pub generate: bool,
}

/// A name for different fields of different rules.
#[derive(Debug, Clone)]
pub struct Alias {
    pub name: Named,
    /// A reference to a rule, and the field that the alias stands for in it.
    pub fields: Vec<(Named, Named)>,
}

/// What `condition` asks for.
#[derive(Debug, Clone)]
pub enum Criterion {
    /// Every rule.
    All,
    /// Of rules, by their names in an expression.
    Expression {
        condition: Condition,
        at: Mark,
    },
    Bounds(Bounded),
}

/// A number within bounds.
#[derive(Debug, Clone)]
pub struct Bounded {
    pub bounds: Bounds,
    /// The fields whose values are looked at; none where events or rules are counted.
    pub fields: Vec<Named>,
    pub percentile: Option<f64>,
    pub at: Mark,
}

impl Correlation {
    /// Reads a document with `correlation`. `None` where something is wrong, which is then reported.
    pub fn read(document: &Document, report: &mut Report<'_>) -> Option<Self> {
        let entry = document.root.entry("correlation")?;
        let node = &entry.value;
        if node.as_map().is_none() {
            report.error("wrong-type", node.at, format!("`correlation` is a map, not {}", node.kind()), None);
            return None;
        }
        unknown_keys(node, &KEYS, report);
        let kind = kind(node, entry.at, report);
        let timespan = timespan(node, entry.at, report);
        let rules = names(node, "rules", report);
        let group_by = names(node, "group-by", report);
        let aliases = aliases(node, report);
        let criterion = criterion(node, kind?, entry.at, report);
        let generate = [document.root.entry("generate"), node.entry("generate")];
        let generate = generate.into_iter().flatten().filter_map(|entry| flag(entry, report)).any(|value| value);
        let mut rules = rules?;
        let criterion = criterion?;
        if let Criterion::Expression { condition, .. } = &criterion {
            same_rules(condition, &mut rules, report);
        }
        if rules.is_empty() && !report.has_errors() {
            let help = Some("add `rules:` with their ids or names".to_owned());
            report.error("missing-key", entry.at, "the correlation refers to no rules", help);
        }
        let correlation = Correlation {
            kind: kind?,
            at: entry.at,
            rules,
            group_by: group_by?,
            timespan: timespan?,
            aliases: aliases?,
            criterion,
            generate,
        };
        (!report.has_errors()).then_some(correlation)
    }
}

fn unknown_keys(node: &Node, known: &[&str], report: &mut Report<'_>) {
    for entry in node.as_map().unwrap_or_default().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let help = did_you_mean(&entry.key, known.iter().copied())
            .or_else(|| Some(format!("there is {}", listed(known.iter().copied()))));
        report.error("unknown-key", entry.at, format!("unknown key `{}`", entry.key), help);
    }
}

fn kind(node: &Node, at: Mark, report: &mut Report<'_>) -> Option<Kind> {
    let Some(entry) = node.entry("type") else {
        let help = Some("add `type: event_count`, or another".to_owned());
        report.error("missing-key", at, "the correlation has no `type`", help);
        return None;
    };
    let written = entry.value.as_text().unwrap_or_default().to_lowercase();
    let found = KINDS.iter().find(|(name, _)| *name == written).map(|(_, kind)| *kind);
    if found.is_none() {
        let names = || KINDS.iter().map(|(name, _)| *name);
        let help = did_you_mean(&written, names()).or_else(|| Some(format!("one of {}", listed(names()))));
        report.error("unknown-value", entry.value.at, format!("`{written}` is no type of correlation"), help);
    }
    found
}

fn timespan(node: &Node, at: Mark, report: &mut Report<'_>) -> Option<Duration> {
    let help = || Some("write a number and a unit (s, m, h, d, w): `timespan: 90m`".to_owned());
    let Some(entry) = node.entry("timespan") else {
        report.error("missing-key", at, "the correlation has no `timespan`", help());
        return None;
    };
    let span = entry.value.as_text().and_then(parse_timespan);
    if span.is_none() {
        let message = match entry.value.as_text() {
            Some(text) => format!("`{text}` is no timespan"),
            None => format!("`timespan` is a text, not {}", entry.value.kind()),
        };
        report.error("bad-duration", entry.value.at, message, help());
    }
    span
}

/// `15m`; `None` for anything else, for no time at all and for more than ten years.
fn parse_timespan(text: &str) -> Option<Duration> {
    let digits = text.find(|char: char| !char.is_ascii_digit())?;
    let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == &text[digits..])?;
    let span = Duration::from_secs(text[..digits].parse::<u64>().ok()?.checked_mul(*unit)?);
    (!span.is_zero() && span <= LONGEST).then_some(span)
}

/// The texts of a list, each once; a text alone is a list of one, and nothing an empty one.
fn names(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Vec<Named>> {
    let Some(entry) = node.entry(key).filter(|entry| !entry.value.is_null()) else { return Some(Vec::new()) };
    texts(entry, report)
}

fn texts(entry: &Entry, report: &mut Report<'_>) -> Option<Vec<Named>> {
    let items = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
    if items.len() > NAMES_MAX {
        let message = format!("`{}` has more than {NAMES_MAX} elements", entry.key);
        report.error("too-long", entry.value.at, message, None);
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut named = Vec::new();
    for item in items {
        let Some(text) = item.as_text().filter(|text| !text.trim().is_empty()) else {
            let message = format!("`{}` is a list of texts, and this is {}", entry.key, item.kind());
            report.error("wrong-type", item.at, message, None);
            return None;
        };
        if seen.insert(text) {
            named.push(Named { text: text.to_owned(), at: item.at });
        } else {
            report.error("twice", item.at, format!("`{}` names `{text}` twice", entry.key), None);
        }
    }
    Some(named)
}

fn aliases(node: &Node, report: &mut Report<'_>) -> Option<Vec<Alias>> {
    let Some(entry) = node.entry("aliases").filter(|entry| !entry.value.is_null()) else { return Some(Vec::new()) };
    let Some(entries) = entry.value.as_map() else {
        report.error("wrong-type", entry.value.at, format!("`aliases` is a map, not {}", entry.value.kind()), None);
        return None;
    };
    let size = entries.iter().map(|alias| alias.value.as_map().map_or(1, <[Entry]>::len)).max().unwrap_or(0);
    if entries.len().max(size) > NAMES_MAX {
        let message = format!("there are at most {NAMES_MAX} aliases, each for {NAMES_MAX} rules");
        report.error("too-long", entry.value.at, message, None);
        return None;
    }
    entries.iter().map(|alias| one_alias(alias, report)).collect()
}

fn one_alias(alias: &Entry, report: &mut Report<'_>) -> Option<Alias> {
    let Some(entries) = alias.value.as_map() else {
        let message = format!("an alias is a map of rules to fields, not {}", alias.value.kind());
        report.error("wrong-type", alias.value.at, message, Some("write `rule_name: FieldName`".to_owned()));
        return None;
    };
    let mut fields = Vec::new();
    for entry in entries {
        let Some(field) = entry.value.as_text() else {
            let message = format!("the field of an alias is a text, not {}", entry.value.kind());
            report.error("wrong-type", entry.value.at, message, None);
            return None;
        };
        let rule = Named { text: entry.key.clone(), at: entry.at };
        fields.push((rule, Named { text: field.to_owned(), at: entry.value.at }));
    }
    Some(Alias { name: Named { text: alias.key.clone(), at: alias.at }, fields })
}

fn criterion(node: &Node, kind: Kind, at: Mark, report: &mut Report<'_>) -> Option<Criterion> {
    let Some(entry) = node.entry("condition").filter(|entry| !entry.value.is_null()) else {
        if kind.is_temporal() {
            return Some(Criterion::All);
        }
        let message = format!("`{}` has no `condition`", kind.name());
        report.error("missing-key", at, message, Some("add `condition:` with `gte: 10`, or another bound".to_owned()));
        return None;
    };
    let node = &entry.value;
    if node.as_map().is_some() {
        return bounded(node, kind, report).map(Criterion::Bounds);
    }
    if !kind.is_temporal() {
        let message = format!("the condition of `{}` is a map of bounds, not {}", kind.name(), node.kind());
        let help = "write `gte: 10`; names of rules belong to `temporal` and `temporal_ordered`".to_owned();
        report.error("wrong-condition", node.at, message, Some(help));
        return None;
    }
    Condition::parse(node, report).map(|condition| Criterion::Expression { condition, at: node.at })
}

fn bounded(node: &Node, kind: Kind, report: &mut Report<'_>) -> Option<Bounded> {
    let known: Vec<&str> = Bounds::KEYS.into_iter().chain(["field", "percentile"]).collect();
    unknown_keys(node, &known, report);
    let bounds = Bounds::read(node, kind.counts(), report);
    let fields = match node.entry("field") {
        None => Vec::new(),
        Some(entry) if kind.is_of_values() => texts(entry, report)?,
        Some(entry) => {
            let help = (kind == Kind::EventCount).then(|| "count values with `type: value_count`".to_owned());
            report.error("wrong-condition", entry.at, format!("`field` says nothing to `{}`", kind.name()), help);
            return None;
        }
    };
    if kind.is_of_values() && fields.is_empty() {
        let help = Some("add `field:` with its name to `condition`".to_owned());
        report.error("missing-key", node.at, format!("`{}` needs a `field`", kind.name()), help);
    }
    if fields.len() > 1 && kind != Kind::ValueCount {
        let message = format!("`{}` is over one field; combinations of several can only be counted", kind.name());
        report.error("wrong-condition", fields[1].at, message, None);
    }
    let percentile = match node.entry("percentile") {
        None => None,
        Some(entry) => Some(percentile(entry, kind, report)?),
    };
    Some(Bounded { bounds: bounds?, fields, percentile, at: node.at })
}

fn percentile(entry: &Entry, kind: Kind, report: &mut Report<'_>) -> Option<f64> {
    if kind != Kind::ValuePercentile {
        let message = format!("`percentile` says nothing to `{}`", kind.name());
        report.error("wrong-condition", entry.at, message, None);
        return None;
    }
    let percent = entry.value.as_scalar().and_then(|scalar| match scalar.kind {
        ScalarKind::Number(number) => Some(number),
        _ => Num::parse(&scalar.text),
    });
    let percent = percent.map(Num::as_f64).filter(|percent| (0.0..=100.0).contains(percent));
    if percent.is_none() {
        report.error("out-of-range", entry.value.at, "`percentile` is not a number from 0 to 100", None);
    }
    percent
}

fn flag(entry: &Entry, report: &mut Report<'_>) -> Option<bool> {
    match entry.value.as_scalar().map(|scalar| scalar.kind) {
        Some(ScalarKind::Bool(value)) => Some(value),
        _ => {
            let message = format!("`{}` is true or false, not {}", entry.key, entry.value.kind());
            report.error("wrong-type", entry.value.at, message, None);
            None
        }
    }
}

/// An expression names the rules itself; where `rules` is there too, both have to name the same.
fn same_rules(condition: &Condition, rules: &mut Vec<Named>, report: &mut Report<'_>) {
    let mut named: Vec<Named> = Vec::new();
    condition.each_leaf(&mut |leaf| match leaf {
        Condition::Name { name, at } if named.iter().all(|known| known.text != *name) => {
            named.push(Named { text: name.clone(), at: *at });
        }
        Condition::Of { at, .. } => {
            let help = Some("name each rule, with `and`, `or` and `not`".to_owned());
            report.error("wrong-condition", *at, "`of` belongs to the conditions of detections", help);
        }
        _ => {}
    });
    if named.len() > NAMES_MAX {
        let message = format!("the condition names more than {NAMES_MAX} rules");
        report.error("too-long", named[NAMES_MAX].at, message, None);
    }
    if rules.is_empty() {
        *rules = named;
        return;
    }
    let lacks = |list: &[Named], name: &Named| list.iter().all(|other| other.text != name.text);
    for name in named.iter().filter(|name| lacks(rules, name)) {
        let help = did_you_mean(&name.text, rules.iter().map(|rule| rule.text.as_str()));
        report.error("unknown-rule", name.at, format!("`rules` does not list `{}`", name.text), help);
    }
    for rule in rules.iter().filter(|rule| lacks(&named, rule)) {
        report.error("unused-pattern", rule.at, format!("the condition never names `{}`", rule.text), None);
    }
}
