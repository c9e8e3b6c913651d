//! The `detection` of a rule as a typed tree: named detections, their items with modified values, and the conditions
//! over them. Pipelines change this tree before it is lowered.

use std::sync::Arc;

use super::{
    condition::{self, Condition},
    modifier::Modifier,
    report::{Report, SigmaFile},
    value::Text,
    yaml::{Entry, Mark, Node, ScalarKind, Yaml},
};
pub use crate::rule::term::DatePart;
use crate::rule::{Comparison, number::Num, text::TextTest};

/// All of a rule's `detection`.
#[derive(Debug, Clone, PartialEq)]
pub struct Detections {
    /// In the order of the file.
    pub named: Vec<Named>,
    /// At least one; the rule matches where one of them does.
    pub conditions: Vec<Condition>,
}

/// A search identifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    pub name: String,
    pub at: Mark,
    pub detection: Detection,
    /// Where it is written, if it comes of a filter.
    pub of_filter: Option<Arc<SigmaFile>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Detection {
    /// A map: every one. Empty after a pipeline dropped all of it: it says nothing then.
    All(Vec<Detection>),
    /// A list of maps: at least one. Empty as above.
    Any(Vec<Detection>),
    Item(Item),
}

/// A field with what it has to be; or texts that stand anywhere in the event.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// `None` for keywords.
    pub field: Option<String>,
    pub at: Mark,
    /// As written. Their effect is in the values already.
    pub modifiers: Vec<Modifier>,
    /// Every value has to match, not just one.
    pub all: bool,
    /// The item matches where its values don't.
    pub negated: bool,
    /// At least one; an empty list is null.
    pub values: Vec<Valued>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Valued {
    pub at: Mark,
    pub value: Value,
}

/// What a field is compared with, modifiers applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is no such field, or it is null.
    Null,
    Bool {
        value: bool,
        written: String,
    },
    Number {
        value: Num,
        written: String,
    },
    /// The whole value is like the text; case counts where `cased`.
    Text {
        text: Text,
        cased: bool,
    },
    /// Looked for anywhere in the value. The text has no wildcards: `*` and `?` are the regex's own.
    Regex {
        regex: Text,
        flags: Flags,
    },
    Cidr(String),
    Compare(Comparison, Num),
    Exists(bool),
    /// The value of another field.
    FieldRef {
        field: String,
        test: TextTest,
        cased: bool,
    },
    /// A part of the date that the field holds.
    Date {
        part: DatePart,
        comparison: Comparison,
        number: Num,
    },
    /// Several in the place of one, whatever links the item's values.
    AnyOf(Vec<Value>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_all: bool,
}

impl Flags {
    /// As a regex has them in front: `(?i)`, or nothing.
    pub fn written(self) -> String {
        let letters = [(self.ignore_case, 'i'), (self.multi_line, 'm'), (self.dot_all, 's')];
        let letters: String = letters.into_iter().filter_map(|(set, letter)| set.then_some(letter)).collect();
        if letters.is_empty() { letters } else { format!("(?{letters})") }
    }
}

impl Value {
    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool { .. } => "a boolean",
            Value::Number { .. } => "a number",
            Value::Text { .. } => "a text",
            Value::Regex { .. } => "a regex",
            Value::Cidr(_) => "a network",
            Value::Compare(..) => "a comparison",
            Value::Exists(_) => "a test of existence",
            Value::FieldRef { .. } => "a field",
            Value::Date { .. } => "a part of a date",
            Value::AnyOf(_) => "several values",
        }
    }

    /// Values in it.
    pub fn alternatives(&self) -> usize {
        if let Value::AnyOf(values) = self { values.iter().map(Value::alternatives).sum() } else { 1 }
    }
}

impl Detections {
    /// Reads `detection`. `None` where something in it is wrong, which is then reported.
    pub fn parse(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Some(entries) = node.as_map() else {
            report.error("wrong-type", node.at, format!("`detection` is a map, not {}", node.kind()), None);
            return None;
        };
        let is_named = |entry: &&Entry| !matches!(entry.key.as_str(), "condition" | "timeframe");
        let named: Vec<Option<Named>> = entries.iter().filter(is_named).map(|entry| named(entry, report)).collect();
        if named.is_empty() {
            let help = Some("add one: `selection:` with fields and values".to_owned());
            report.error("empty", node.at, "`detection` names nothing to look for", help);
        }
        if let Some(entry) = node.entry("timeframe") {
            let help = Some("write a correlation: `type: event_count`, with `timespan`".to_owned());
            report.error("sigma-unsupported", entry.at, "`timeframe` belongs to the conditions of Sigma 1", help);
        }
        let conditions = conditions(node, report);
        let named: Vec<Named> = named.into_iter().collect::<Option<_>>()?;
        let detections = Detections { named, conditions: conditions? };
        let fits = condition::check(&detections, report);
        (fits && !detections.named.is_empty()).then_some(detections)
    }
}

fn conditions(node: &Node, report: &mut Report<'_>) -> Option<Vec<Condition>> {
    let Some(entry) = node.entry("condition") else {
        let help = Some("add `condition: selection`".to_owned());
        report.error("missing-key", node.at, "`detection` has no `condition`", help);
        return None;
    };
    let written = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
    if written.is_empty() {
        report.error("empty", entry.value.at, "`condition` is an empty list", None);
        return None;
    }
    let parsed: Vec<Option<Condition>> = written.iter().map(|node| Condition::parse(node, report)).collect();
    parsed.into_iter().collect()
}

/// A named detection. It says where its findings are.
fn named(entry: &Entry, report: &mut Report<'_>) -> Option<Named> {
    let detection = detection(&entry.value, entry.at, report)?;
    Some(Named { name: entry.key.clone(), at: entry.at, detection, of_filter: None })
}

/// A map, a list of maps, or keywords; `at` is where it is named.
pub fn detection(node: &Node, at: Mark, report: &mut Report<'_>) -> Option<Detection> {
    match &node.yaml {
        Yaml::Map(entries) if entries.is_empty() => nothing(node.at, report),
        Yaml::List(items) if items.is_empty() => nothing(node.at, report),
        Yaml::Map(entries) => {
            let items: Vec<Option<Detection>> =
                entries.iter().map(|entry| item(entry, report).map(Detection::Item)).collect();
            items.into_iter().collect::<Option<_>>().map(Detection::All)
        }
        Yaml::List(items) if items.iter().any(|item| item.as_scalar().is_none()) => {
            let parts: Vec<Option<Detection>> = items.iter().map(|item| detection(item, item.at, report)).collect();
            parts.into_iter().collect::<Option<_>>().map(Detection::Any)
        }
        Yaml::List(_) | Yaml::Scalar(_) => modified(None, at, Vec::new(), node, report).map(Detection::Item),
    }
}

fn nothing<T>(at: Mark, report: &mut Report<'_>) -> Option<T> {
    report.error("empty", at, "nothing to look for", None);
    None
}

/// `field|modifier|modifier: value`
fn item(entry: &Entry, report: &mut Report<'_>) -> Option<Item> {
    let mut names = entry.key.split('|');
    let field = names.next().filter(|field| !field.is_empty()).map(str::to_owned);
    let mut modifiers = Vec::new();
    for name in names {
        match Modifier::named(name) {
            Some(modifier) => modifiers.push(modifier),
            None => {
                let help = Modifier::nearest(name).map(|near| format!("did you mean `{near}`?"));
                report.error("sigma-modifier", entry.at, format!("`{name}` is no modifier"), help);
                return None;
            }
        }
    }
    modified(field, entry.at, modifiers, &entry.value, report)
}

fn modified(
    field: Option<String>,
    at: Mark,
    modifiers: Vec<Modifier>,
    node: &Node,
    report: &mut Report<'_>,
) -> Option<Item> {
    let nodes = node.as_list().unwrap_or(std::slice::from_ref(node));
    let mut values = Vec::new();
    for node in nodes {
        let value = value(node, &modifiers, report)?;
        values.push(Valued { at: node.at, value: applied(value, &modifiers, node.at, report)? });
    }
    if values.is_empty() {
        values.push(Valued { at: node.at, value: Value::Null });
    }
    let all = modifiers.contains(&Modifier::All);
    if all && values.len() == 1 {
        let help = Some("leave it out".to_owned());
        report.warning("sigma-modifier", at, "`all` says nothing of a single value", help);
    }
    if let Some(null) = values.iter().find(|valued| valued.value == Value::Null).filter(|_| values.len() > 1) {
        let help = Some("give it a detection of its own, and write `1 of` in the condition".to_owned());
        report.warning("wrong-type", null.at, "`null` among other values: other tools refuse such a list", help);
    }
    let is_odd = |value: &Value| {
        matches!(
            value,
            Value::Text { .. } | Value::Number { .. } | Value::Bool { .. } | Value::Regex { .. } | Value::AnyOf(_)
        )
    };
    if field.is_none()
        && let Some(odd) = values.iter().find(|valued| !is_odd(&valued.value))
    {
        report.error("wrong-type", odd.at, format!("{} has to belong to a field", odd.value.kind()), None);
        return None;
    }
    let negated = modifiers.contains(&Modifier::Neq);
    Some(Item { field, at, modifiers, all, negated, values })
}

/// A value as written.
pub fn value(node: &Node, modifiers: &[Modifier], report: &mut Report<'_>) -> Option<Value> {
    let Some(scalar) = node.as_scalar() else {
        let message = format!("a value is a text, a number, a boolean or `null`, not {}", node.kind());
        report.error("wrong-type", node.at, message, None);
        return None;
    };
    let written = scalar.text.clone();
    if modifiers.contains(&Modifier::Re) && scalar.kind != ScalarKind::Null {
        return Some(Value::Regex { regex: Text::plain(&written), flags: Flags::default() });
    }
    Some(match scalar.kind {
        ScalarKind::Null => Value::Null,
        ScalarKind::Bool(value) => Value::Bool { value, written },
        ScalarKind::Number(value) => Value::Number { value, written },
        ScalarKind::Text => Value::Text { text: Text::parse(&written), cased: false },
    })
}

/// The value behind all modifiers.
fn applied(value: Value, modifiers: &[Modifier], at: Mark, report: &mut Report<'_>) -> Option<Value> {
    let mut value = value;
    for (number, modifier) in modifiers.iter().enumerate() {
        match modifier.apply(value, &modifiers[..number]) {
            Ok(changed) => value = changed,
            Err(reason) => {
                report.error("sigma-modifier", at, format!("`{}` {reason}", modifier.name()), None);
                return None;
            }
        }
    }
    Some(value)
}
