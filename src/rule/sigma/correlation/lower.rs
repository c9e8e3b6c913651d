//! From a correlation whose references are found to a rule: a pattern for each rule that it refers to.
//!
//! A rule over single events becomes a pattern over events. Of another correlation, and of a rule that is not Sigma's,
//! the alerts are what counts: their pattern is over alerts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Built, Detected, Looks,
    read::{Correlation, Criterion},
    window::{Asked, Member},
};
use crate::{
    event::{ALERTS, ENTITY},
    rule::{
        Aggregates, Audience, Comparison, FieldTest, InputSet, Meta, Pattern, Place, Predicate, Rule, Side, Statistic,
        Told, Window,
        diagnostic::did_you_mean,
        field_test::{Asks, Literal},
        shape::Shape,
        sigma::{document::Named, report::Report},
    },
};

/// Fields besides those of its key that a correlation's alerts tell.
const TOLD_MAX: usize = 100;

/// What signals tell of an alert.
const OF_ALERTS: [&str; 4] = ["counts", "evidence", "id", "title"];

/// What a reference turned out to be.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Events(&'a Detected<'a>, &'a Rule),
    /// Another correlation, as it runs.
    Alerts(&'a Rule, Option<&'a str>),
}

/// A rule that a correlation refers to.
pub struct Part<'a> {
    pub reference: &'a Named,
    pub source: Source<'a>,
    pub looks: Looks,
}

/// What is the same of all rules of a document.
pub struct Head {
    pub meta: Meta,
    pub place: Place,
    /// Fields whose values those who refer to this correlation ask of its alerts.
    pub told: BTreeSet<String>,
}

impl<'a> Source<'a> {
    pub fn id(&self) -> &'a Arc<str> {
        match self {
            Source::Events(_, rule) | Source::Alerts(rule, _) => rule.id(),
        }
    }
}

impl Part<'_> {
    fn id(&self) -> &Arc<str> {
        self.source.id()
    }

    fn name(&self) -> Arc<str> {
        let name = match self.source {
            Source::Events(detected, _) => detected.common.name.as_ref().map(|name| name.text.as_str()),
            Source::Alerts(_, name) => name,
        };
        name.map_or_else(|| self.id().clone(), Arc::from)
    }

    fn side(&self) -> Side {
        match self.source {
            Source::Events(..) => Side::Events,
            Source::Alerts(..) => Side::Alerts,
        }
    }

    fn predicate(&self) -> Option<Predicate> {
        match self.source {
            Source::Events(_, rule) => rule.patterns.first().map(|pattern| pattern.predicate.clone()),
            Source::Alerts(rule, _) => Some(Predicate::Field(FieldTest {
                path: "rule.id".into(),
                asks: Asks::Compare(Comparison::Equal, Literal::Text(rule.id().clone())),
            })),
        }
    }

    /// What its signals carry in any case.
    fn keeps(&self) -> BTreeSet<Arc<str>> {
        match self.source {
            Source::Events(_, rule) => rule.patterns.iter().flat_map(|pattern| pattern.keep.iter().cloned()).collect(),
            // An alert that nobody else is told of is evidence with all that it knows.
            Source::Alerts(..) => OF_ALERTS.map(Arc::from).into(),
        }
    }

    /// Changes where what it matches changes.
    fn identity(&self) -> String {
        match self.source {
            Source::Events(_, rule) => format!("{:016x}", rule.shape),
            Source::Alerts(rule, _) => rule.id().to_string(),
        }
    }

    /// The path of a field; `at` is what asks for it.
    fn path(&self, field: &str, at: &Named, report: &mut Report<'_>) -> Option<Arc<str>> {
        match self.source {
            Source::Events(detected, _) => match &(detected.paths)(field)[..] {
                [path] => Some(path.clone()),
                paths => {
                    let places: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
                    let message = match places.len() {
                        0 => format!("a pipeline leaves no name for `{field}`"),
                        _ => {
                            format!("pipelines read `{field}` at {}: a correlation needs one place", places.join(", "))
                        }
                    };
                    let help = "let the pipeline give one name to it, for these rules by `rule_conditions`".to_owned();
                    report.error("wrong-key", at.at, message, Some(help));
                    None
                }
            },
            Source::Alerts(rule, _) => {
                let path = path_of_alert(rule, field);
                if path.is_none() {
                    let message = format!("the alerts of `{}` don't tell `{field}`", self.reference.text);
                    let help = Some(format!("add `{field}` to its `by`"));
                    report.error("wrong-key", at.at, message, help);
                }
                path
            }
        }
    }
}

/// Where an alert of the rule has a field: in its key, among what it tells, or, for a rule over single events, in its
/// evidence.
fn path_of_alert(rule: &Rule, field: &str) -> Option<Arc<str>> {
    if rule.by.iter().any(|name| **name == *field) {
        return Some(format!("{ENTITY}.{field}").into());
    }
    if rule.tells.iter().any(|told| *told.name == *field) {
        return Some(format!("fields.{field}").into());
    }
    let keeps = rule.patterns.iter().all(|pattern| pattern.keep.iter().any(|path| **path == *field));
    (rule.window == Window::None && keeps).then(|| format!("evidence.fields.{field}").into())
}

impl Correlation {
    /// The field that `name` stands for in the rule that is referred to: an alias, or itself.
    pub fn field<'a>(&'a self, name: &'a str, reference: &str) -> Option<&'a str> {
        match self.aliases.iter().find(|alias| alias.name.text == name) {
            Some(alias) => alias.fields.iter().find(|(rule, _)| rule.text == reference).map(|(_, field)| &*field.text),
            None => Some(name),
        }
    }

    /// The names by which it groups events and looks at their values.
    pub fn names(&self) -> impl Iterator<Item = &Named> {
        let fields = match &self.criterion {
            Criterion::Bounds(bounded) => &bounded.fields[..],
            Criterion::All | Criterion::Expression { .. } => &[],
        };
        self.group_by.iter().chain(fields)
    }
}

/// Builds the rule. `None` where something is wrong, which is then reported.
pub fn lower(correlation: &Correlation, parts: &[Part<'_>], head: Head, report: &mut Report<'_>) -> Option<Built> {
    check_aliases(correlation, parts, report);
    let parts = by_name(parts, report)?;
    let (by, values) = paths(correlation, &parts, report)?;
    let member = |((name, part), values): (&(Arc<str>, &Part<'_>), Vec<Arc<str>>)| Member {
        name: name.clone(),
        reference: part.reference.text.clone(),
        values,
    };
    let members: Vec<Member> = parts.iter().zip(values.clone()).map(member).collect();
    let Asked { window, condition, when, mut aggregates, together } = Asked::of(correlation, &members, report)?;
    let tells = tells(&head.told, &parts, &mut aggregates, report)?;
    let inputs = inputs(&parts);
    let mut shape = Shape::new(&inputs, &window, &condition, None);
    let mut patterns = Vec::new();
    for (at, ((name, part), by)) in parts.iter().zip(by).enumerate() {
        let mut keep = part.keeps();
        keep.extend(by.iter().chain(&values[at]).cloned());
        keep.extend(tells.iter().filter_map(|told| told.paths.get(at).cloned()));
        let keep: Vec<Arc<str>> = keep.into_iter().collect();
        shape.pattern(name, &part.identity(), &by, &keep);
        let (name, predicate) = (name.clone(), part.predicate()?);
        patterns.push(Pattern { name, side: part.side(), predicate, asks_lists: None, by, keep, sees_closed: false });
    }
    shape.aggregates(&aggregates, together.as_ref());
    let looks = parts.iter().map(|(_, part)| part.looks.clone()).collect();
    let rule = Rule {
        meta: head.meta,
        sources: inputs.clone(),
        inputs,
        patterns,
        by: correlation.group_by.iter().map(|name| name.text.as_str().into()).collect(),
        window,
        condition,
        when,
        alert: None,
        tells,
        then: None,
        value: None,
        aggregates,
        together,
        suppress: None,
        audience: Audience::Everyone,
        shape: shape.finish(),
        tests: Vec::new(),
        place: head.place,
    };
    Some(Built { rule, looks, generates: correlation.generate })
}

/// The parts in byte order of their pattern names, each another.
fn by_name<'p, 'a>(parts: &'p [Part<'a>], report: &mut Report<'_>) -> Option<Vec<(Arc<str>, &'p Part<'a>)>> {
    let mut ids: BTreeMap<&Arc<str>, &Named> = BTreeMap::new();
    for part in parts {
        if let Some(first) = ids.insert(part.id(), part.reference) {
            let message = format!("`{}` is the rule `{}` again", part.reference.text, first.text);
            report.error("twice", part.reference.at, message, None);
            return None;
        }
    }
    let mut named: Vec<(Arc<str>, &Part<'_>)> = parts.iter().map(|part| (part.name(), part)).collect();
    // Rules of different files may share a name; their ids differ.
    let names: Vec<Arc<str>> = named.iter().map(|(name, _)| name.clone()).collect();
    for (name, part) in named.iter_mut().filter(|(name, _)| names.iter().filter(|other| *other == name).count() > 1) {
        *name = part.id().clone();
    }
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(named)
}

/// For each part the paths of its key, and of the values that are looked at.
type Paths = (Vec<Vec<Arc<str>>>, Vec<Vec<Arc<str>>>);

fn paths(correlation: &Correlation, parts: &[(Arc<str>, &Part<'_>)], report: &mut Report<'_>) -> Option<Paths> {
    let fields = match &correlation.criterion {
        Criterion::Bounds(bounded) => &bounded.fields[..],
        Criterion::All | Criterion::Expression { .. } => &[],
    };
    let mut of = |names: &[Named]| -> Option<Vec<Vec<Arc<str>>>> {
        let mut path = |part: &Part<'_>, name: &Named| {
            let Some(field) = correlation.field(&name.text, &part.reference.text) else {
                let message = format!("the alias `{}` has no field for `{}`", name.text, part.reference.text);
                let help = Some(format!("add `{}: FieldName` to it", part.reference.text));
                report.error("no-key", name.at, message, help);
                return None;
            };
            part.path(field, name, report)
        };
        let of_part = |(_, part): &(Arc<str>, &Part<'_>)| names.iter().map(|name| path(part, name)).collect();
        parts.iter().map(of_part).collect()
    };
    let (by, values) = (of(&correlation.group_by), of(fields));
    Some((by?, values?))
}

fn check_aliases(correlation: &Correlation, parts: &[Part<'_>], report: &mut Report<'_>) {
    for alias in &correlation.aliases {
        for (rule, _) in &alias.fields {
            if parts.iter().all(|part| part.reference.text != rule.text) {
                let known = parts.iter().map(|part| part.reference.text.as_str());
                let help = did_you_mean(&rule.text, known);
                let message = format!("the correlation does not refer to `{}`", rule.text);
                report.error("unknown-rule", rule.at, message, help);
            }
        }
        if correlation.names().all(|name| name.text != alias.name.text) {
            let help = Some("name it in `group-by`".to_owned());
            let message = format!("nothing uses the alias `{}`", alias.name.text);
            report.warning("unused-pattern", alias.name.at, message, help);
        }
    }
}

/// What the rule's alerts tell, for those who refer to it.
fn tells(
    told: &BTreeSet<String>,
    parts: &[(Arc<str>, &Part<'_>)],
    aggregates: &mut Aggregates,
    report: &mut Report<'_>,
) -> Option<Vec<Told>> {
    if told.len() > TOLD_MAX {
        let message = format!("others ask more than {TOLD_MAX} fields of the alerts of this correlation");
        report.error("too-long", parts.first()?.1.reference.at, message, None);
        return None;
    }
    let mut tells = Vec::new();
    for name in told {
        let path = |(_, part): &(Arc<str>, &Part<'_>)| part.path(name, part.reference, report);
        let paths: Vec<Arc<str>> = parts.iter().map(path).collect::<Option<_>>()?;
        for (pattern, path) in paths.iter().enumerate() {
            aggregates.add(pattern, Statistic::Values, path);
        }
        tells.push(Told { name: name.as_str().into(), paths });
    }
    Some(tells)
}

fn inputs(parts: &[(Arc<str>, &Part<'_>)]) -> InputSet {
    let sides: Vec<Side> = parts.iter().map(|(_, part)| part.side()).collect();
    match (sides.contains(&Side::Events), sides.contains(&Side::Alerts)) {
        (false, true) => InputSet::Named([ALERTS.into()].into()),
        (true, true) => InputSet::AllAndAlerts,
        _ => InputSet::All,
    }
}
