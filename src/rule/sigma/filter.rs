//! Filters: what the rules that they name have to look for besides (specification v2.1, "Sigma Filters"). A filter's
//! condition is added to a rule's with `and`, so one that leaves events out reads `not selection`.
//!
//! A filter changes the tree of a rule, before pipelines do and before it is lowered. It changes no correlation.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    condition::Condition,
    detection::{Detections, Named},
    document::{Common, Document},
    logsource::LogSource,
    lower,
    report::{Report, SigmaFile},
    rule::DetectionRule,
    yaml::{Entry, Mark, Node, Yaml},
};
use crate::rule::{Diagnostic, diagnostic::did_you_mean};

/// The word for every rule of the log source.
const ANY: &str = "any";

/// Filters of one rule, and rules that one filter names.
const FILTERS_PER_RULE_MAX: usize = 100;
const REFERENCES_MAX: usize = 10_000;

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
    file: Arc<SigmaFile>,
}

#[derive(Debug)]
struct Reference {
    text: String,
    at: Mark,
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
    let mut known = Known::new(rules, others);
    for (number, (document, mut report)) in documents.into_iter().enumerate() {
        match Filter::read(&document, &mut report) {
            Some(filter) => filter.apply(number, rules, &mut known, &mut report),
            None => filtered.refused += 1,
        }
        filtered.found.extend(report.found);
    }
    filtered
}

/// What filters can name.
struct Known {
    /// The places of rules over single events, by what they are called.
    rules: HashMap<String, Vec<usize>>,
    others: HashSet<String>,
    /// Filters that each rule has.
    filters: Vec<usize>,
}

impl Known {
    fn new(rules: &[&mut DetectionRule], others: &[&Common]) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, rule) in rules.iter().enumerate() {
            rule.common.called().for_each(|name| by_name.entry(name).or_default().push(at));
        }
        let others = others.iter().flat_map(|other| other.called()).collect();
        Known { rules: by_name, others, filters: vec![0; rules.len()] }
    }

    /// The rules that a reference means: by name as written, by id in any case.
    fn find(&self, reference: &str) -> &[usize] {
        let named = self.rules.get(reference).or_else(|| self.rules.get(&reference.to_lowercase()));
        named.map_or(&[], Vec::as_slice)
    }

    fn is_other(&self, reference: &str) -> bool {
        self.others.contains(reference) || self.others.contains(&reference.to_lowercase())
    }
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
        let file = Arc::new(report.file.clone());
        let filter = Filter { logsource: logsource?, at: entry.at, rules: rules?, detections: detections?, file };
        (!report.has_errors()).then_some(filter)
    }

    /// Adds it to the rules that it is for, and reports what it names in vain.
    fn apply(&self, number: usize, rules: &mut [&mut DetectionRule], known: &mut Known, report: &mut Report<'_>) {
        let mut chosen = BTreeSet::new();
        match &self.rules {
            None => {
                chosen.extend((0..rules.len()).filter(|at| self.logsource.covers(&rules[*at].logsource)));
                if chosen.is_empty() {
                    let message =
                        format!("no rule is of the log source {}: the filter changes nothing", self.logsource);
                    report.warning("unused-filter", self.at, message, None);
                }
            }
            Some(references) => {
                for reference in references {
                    let named = known.find(&reference.text).iter().copied();
                    let of_source: Vec<usize> =
                        named.filter(|at| self.logsource.covers(&rules[*at].logsource)).collect();
                    if of_source.is_empty() {
                        self.tell_unused(reference, known, report);
                    }
                    chosen.extend(of_source);
                }
            }
        }
        for at in chosen {
            known.filters[at] += 1;
            if known.filters[at] > FILTERS_PER_RULE_MAX {
                let message = format!("`{}` has {FILTERS_PER_RULE_MAX} filters already", rules[at].common.title);
                return report.error("too-long", self.at, message, Some("put filters together".to_owned()));
            }
            self.add_to(&mut rules[at].detections, number);
        }
        if self.detections.conditions.iter().all(|condition| !condition.negates()) {
            let message = "the filter keeps what it describes, and leaves out everything else";
            let help = "to leave out what it describes, write `condition: not selection`".to_owned();
            report.warning("filter-keeps", self.at, message, Some(help));
        }
    }

    /// Names of detections that start with `_` are not in `them`, so those of the rule go on meaning its own.
    fn add_to(&self, rule: &mut Detections, number: usize) {
        let prefix = format!("_filter{number}_");
        rule.named.extend(self.detections.named.iter().map(|named| Named {
            name: format!("{prefix}{}", named.name),
            of_filter: Some(self.file.clone()),
            ..named.clone()
        }));
        let Some(condition) = self.detections.conditions.first() else { return };
        for own in &mut rule.conditions {
            *own = Condition::And(vec![own.clone(), renamed(condition, &prefix)]);
        }
    }

    fn tell_unused(&self, reference: &Reference, known: &Known, report: &mut Report<'_>) {
        let name = &reference.text;
        let (message, help) = match (known.find(name).is_empty(), known.is_other(name)) {
            (false, _) => {
                (format!("`{name}` is not of the log source {}: the filter leaves it alone", self.logsource), None)
            }
            (true, true) => {
                let help = "filter the rules over single events that it refers to".to_owned();
                (format!("`{name}` is no rule over single events: the filter leaves it alone"), Some(help))
            }
            (true, false) => {
                let help = did_you_mean(name, known.rules.keys().map(String::as_str));
                (format!("no rule has the id or name `{name}`"), help)
            }
        };
        report.warning("unused-filter", reference.at, message, help);
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
    if items.len() > REFERENCES_MAX {
        report.error("too-long", entry.value.at, format!("a filter names at most {REFERENCES_MAX} rules"), None);
        return None;
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
        references.push(Reference { text: text.to_owned(), at: item.at });
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
