//! Filters: what the rules that they name have to look for besides (specification v2.1, "Sigma Filters"). A filter's
//! condition is added to a rule's with `and`, so one that leaves events out reads `not selection`.
//!
//! A filter changes the tree of a rule, before pipelines do and before it is lowered. It changes no correlation.

use super::{
    condition::Condition,
    detection::{Detections, Named},
    document::{Common, Document},
    logsource::LogSource,
    lower,
    report::Report,
    rule::DetectionRule,
    yaml::{Entry, Mark, Node, Yaml},
};
use crate::rule::{Diagnostic, diagnostic::did_you_mean};

/// The word for every rule of the log source.
const ANY: &str = "any";

/// Lowering of a filter without the pipelines of its rules finds these; only a rule shows whether they are mistakes.
const LEFT_TO_RULES: [&str; 1] = ["sigma-placeholder"];

/// A filter as it is written.
#[derive(Debug)]
struct Filter {
    logsource: LogSource,
    at: Mark,
    /// `None` for every rule of the log source.
    rules: Option<Vec<Reference>>,
    detections: Detections,
}

#[derive(Debug)]
struct Reference {
    text: String,
    at: Mark,
    /// Whether some rule is meant by it, and changed.
    is_known: bool,
    is_applied: bool,
}

/// What filters did.
#[derive(Debug, Default)]
pub struct Filtered {
    pub found: Vec<Diagnostic>,
    /// Filters that did not load.
    pub refused: usize,
}

/// Adds the filters of these documents to the rules that they name. `others` are what else has an id or a name, and is
/// no rule over single events.
pub fn apply(documents: Vec<(Document, Report<'_>)>, rules: &mut [&mut DetectionRule], others: &[&Common]) -> Filtered {
    let mut filtered = Filtered::default();
    for (number, (document, mut report)) in documents.into_iter().enumerate() {
        match Filter::read(&document, &mut report) {
            Some(mut filter) => {
                filter.apply(number, rules, &mut report);
                filter.tell(rules, others, &mut report);
            }
            None => filtered.refused += 1,
        }
        filtered.found.extend(report.found);
    }
    filtered
}

impl Filter {
    fn read(document: &Document, report: &mut Report<'_>) -> Option<Self> {
        let entry = document.root.entry("filter")?;
        let Some(entries) = entry.value.as_map() else {
            let message = format!("`filter` is a map, not {}", entry.value.kind());
            report.error("wrong-type", entry.value.at, message, None);
            return None;
        };
        let logsource = LogSource::parse(&document.root, report);
        let rules = rules(&entry.value, entry.at, report);
        if let Some(list) = entry.value.get("condition").filter(|condition| condition.as_list().is_some()) {
            report.error("wrong-type", list.at, "a filter has one condition", None);
        }
        let entries: Vec<Entry> = entries.iter().filter(|entry| entry.key != "rules").cloned().collect();
        let detections = Node { at: entry.value.at, yaml: Yaml::Map(entries) };
        let detections = Detections::parse(&detections, report);
        detections.iter().for_each(|detections| check_alone(detections, report));
        let filter = Filter { logsource: logsource?, at: entry.at, rules: rules?, detections: detections? };
        (!report.has_errors()).then_some(filter)
    }

    /// Adds it to the rules that it is for.
    fn apply(&mut self, number: usize, rules: &mut [&mut DetectionRule], report: &mut Report<'_>) {
        let mut is_applied = false;
        for rule in rules.iter_mut() {
            let is_of_source = self.logsource.covers(&rule.logsource);
            let is_named = match &mut self.rules {
                None => true,
                Some(references) => {
                    let mut found = false;
                    for reference in references.iter_mut().filter(|reference| rule.common.is_called(&reference.text)) {
                        reference.is_known = true;
                        reference.is_applied |= is_of_source;
                        found = true;
                    }
                    found
                }
            };
            if is_named && is_of_source {
                is_applied = true;
                self.add_to(&mut rule.detections, number);
            }
        }
        if !is_applied && self.rules.is_none() {
            let message = format!("no rule is of the log source {}: the filter changes nothing", self.logsource);
            report.warning("unused-filter", self.at, message, None);
        }
    }

    /// Names of detections that start with `_` are not in `them`, so those of the rule go on meaning its own.
    fn add_to(&self, rule: &mut Detections, number: usize) {
        let prefix = format!("_filter{number}_");
        rule.named.extend(
            self.detections
                .named
                .iter()
                .map(|named| Named { name: format!("{prefix}{}", named.name), ..named.clone() }),
        );
        let Some(condition) = self.detections.conditions.first() else { return };
        for own in &mut rule.conditions {
            *own = Condition::And(vec![own.clone(), renamed(condition, &prefix)]);
        }
    }

    /// Reports what it names in vain, and one that keeps what it describes instead of leaving it out.
    fn tell(&self, rules: &[&mut DetectionRule], others: &[&Common], report: &mut Report<'_>) {
        for reference in self.rules.iter().flatten().filter(|reference| !reference.is_applied) {
            let name = &reference.text;
            let (message, help) = match (reference.is_known, others.iter().any(|other| other.is_called(name))) {
                (true, _) => {
                    let message =
                        format!("`{name}` is not of the log source {}: the filter leaves it alone", self.logsource);
                    (message, None)
                }
                (false, true) => {
                    let help = "filter the rules over single events that it refers to".to_owned();
                    (format!("`{name}` is no rule over single events: the filter leaves it alone"), Some(help))
                }
                (false, false) => {
                    let known: Vec<String> = rules.iter().flat_map(|rule| rule.common.called()).collect();
                    let help = did_you_mean(name, known.iter().map(String::as_str));
                    (format!("no rule has the id or name `{name}`"), help)
                }
            };
            report.warning("unused-filter", reference.at, message, help);
        }
        if self.detections.conditions.iter().all(|condition| !condition.negates()) {
            let message = "the filter keeps what it describes, and leaves out everything else";
            let help = "to leave out what it describes, write `condition: not selection`".to_owned();
            report.warning("filter-keeps", self.at, message, Some(help));
        }
    }
}

fn rules(node: &Node, at: Mark, report: &mut Report<'_>) -> Option<Option<Vec<Reference>>> {
    let Some(entry) = node.entry("rules") else {
        let help = Some("add `rules:` with ids or names, or `rules: any`".to_owned());
        report.error("missing-key", at, "the filter names no rules", help);
        return None;
    };
    if entry.value.as_text().is_some_and(|text| text.eq_ignore_ascii_case(ANY)) {
        return Some(None);
    }
    let items = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
    if items.is_empty() {
        return Some(None);
    }
    let mut references = Vec::new();
    for item in items {
        let Some(text) = item.as_text() else {
            report.error(
                "wrong-type",
                item.at,
                format!("`rules` is a list of texts, and this is {}", item.kind()),
                None,
            );
            return None;
        };
        references.push(Reference { text: text.to_owned(), at: item.at, is_known: false, is_applied: false });
    }
    Some(Some(references))
}

/// What is wrong with a filter is found in its own file, not in those of the rules that it changes.
fn check_alone(detections: &Detections, report: &mut Report<'_>) {
    let mut alone = Report::new(report.file);
    lower::lower(detections, &mut alone);
    report.found.extend(alone.found.into_iter().filter(|finding| !LEFT_TO_RULES.contains(&finding.code)));
}

/// The condition over detections whose names have a prefix.
fn renamed(condition: &Condition, prefix: &str) -> Condition {
    let all = |parts: &[Condition]| parts.iter().map(|part| renamed(part, prefix)).collect();
    match condition {
        Condition::And(parts) => Condition::And(all(parts)),
        Condition::Or(parts) => Condition::Or(all(parts)),
        Condition::Not(part) => Condition::Not(Box::new(renamed(part, prefix))),
        Condition::Name { name, at } => Condition::Name { name: format!("{prefix}{name}"), at: *at },
        Condition::Of { quantity, pattern, at } => {
            let pattern = if pattern == "them" { "*" } else { pattern };
            Condition::Of { quantity: *quantity, pattern: format!("{prefix}{pattern}"), at: *at }
        }
    }
}
