//! Correlations: rules over what other rules find (specification v2.1, "Sigma Correlation Rules").
//!
//! [`read`] takes in what a document says, [`directory`] and [`layers`] find out what it refers to, [`window`] what that
//! means over time, and [`lower`] makes the rule: patterns, key and window of the same plan that Rhai rules have. A
//! correlation of correlations is a rule on their alerts. Nothing here runs a script.

mod bounds;
mod directory;
mod layers;
mod lower;
mod read;
mod window;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use self::{
    directory::{Directory, Target, Unfound},
    lower::{Head, Part, Source, lower},
    read::Correlation,
};
use super::{
    document::{Common, Document, Named},
    report::{Report, SigmaFile},
    rule::meta,
};
use crate::rule::{Audience, Diagnostic, Rule};

/// A rule over single events, as correlations find it.
pub struct Detected<'a> {
    pub file: &'a SigmaFile,
    pub common: &'a Common,
    /// As it alerts by itself; `None` where it did not load.
    pub rule: Option<&'a Rule>,
    /// The paths that one of its fields is read at.
    pub paths: &'a dyn Fn(&str) -> Vec<Arc<str>>,
}

/// A rule that a correlation makes.
#[derive(Debug)]
pub struct Built {
    pub rule: Rule,
    /// What each of its patterns looks at.
    pub looks: Vec<Looks>,
    /// Whether that alerts by itself, too.
    pub generates: bool,
}

/// What a pattern of a correlation looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Looks {
    /// The events of a rule, by its place among the detected.
    Events(usize),
    /// The alerts of the rule with this id.
    Alerts(Arc<str>),
}

/// The rules that correlations make.
#[derive(Debug, Default)]
pub struct Correlated {
    /// Each after those that it refers to.
    pub rules: Vec<Built>,
    pub found: Vec<Diagnostic>,
    /// Correlations that did not load.
    pub refused: usize,
    /// The places, among the detected, of those that no longer alert by themselves: a correlation refers to them, and
    /// none that does has `generate`.
    pub silenced: BTreeSet<usize>,
}

/// A correlation on its way to a rule.
struct Draft<'f> {
    common: Common,
    report: Report<'f>,
    /// `None` where something is wrong.
    correlation: Option<Correlation>,
    /// One for each reference.
    targets: Vec<Target>,
}

/// Builds the rules of correlations; `others` are rules that are not Sigma's.
pub fn build(detected: &[Detected<'_>], documents: Vec<(Document, Report<'_>)>, others: &[&Rule]) -> Correlated {
    let mut drafts: Vec<Draft<'_>> = documents.into_iter().map(|(document, report)| draft(document, report)).collect();
    let directory = directory(detected, &drafts, others);
    let loaded = |at: usize| detected[at].rule.is_some();
    drafts.iter_mut().for_each(|draft| find_targets(draft, &directory, &loaded));
    let order = layers::order(&mut drafts, others);
    let told = told(&drafts);
    let mut built: BTreeMap<usize, Built> = BTreeMap::new();
    for at in &order {
        let told = told.get(at).cloned().unwrap_or_default();
        if let Some(rule) = rule_of(&mut drafts, *at, (detected, others), &built, told) {
            built.insert(*at, rule);
        }
    }
    finish(drafts, built, &order)
}

fn draft<'f>(document: Document, mut report: Report<'f>) -> Draft<'f> {
    let correlation = Correlation::read(&document, &mut report);
    Draft { common: document.common, report, correlation, targets: Vec::new() }
}

fn directory(detected: &[Detected<'_>], drafts: &[Draft<'_>], others: &[&Rule]) -> Directory {
    let mut directory = Directory::default();
    let mut add = |common: &Common, file: &SigmaFile, target| {
        let name = common.name.as_ref().map(|name| name.text.as_str());
        directory.add(&common.rule_id(), name, &file.path, target);
    };
    detected.iter().enumerate().for_each(|(at, rule)| add(rule.common, rule.file, Target::Detected(at)));
    drafts.iter().enumerate().for_each(|(at, draft)| add(&draft.common, draft.report.file, Target::Correlation(at)));
    for (at, rule) in others.iter().enumerate() {
        directory.add(rule.id(), None, &rule.place.file, Target::Other(at));
    }
    directory
}

/// Finds what the correlation refers to; one that refers to nothing is wrong.
fn find_targets(draft: &mut Draft<'_>, directory: &Directory, loaded: &dyn Fn(usize) -> bool) {
    let Some(correlation) = &draft.correlation else { return };
    let mut targets = Vec::new();
    for reference in &correlation.rules {
        match directory.find(&reference.text, &draft.report.file.path) {
            Ok(Target::Detected(at)) if !loaded(at) => not_loaded(reference, &mut draft.report),
            Ok(target) => targets.push(target),
            Err(Unfound::Several) => {
                let message = format!("several rules are named `{}`", reference.text);
                let help = Some("refer to one by its id".to_owned());
                draft.report.error("unknown-rule", reference.at, message, help);
            }
            Err(Unfound::Unknown(help)) => {
                let message = format!("no rule has the id or name `{}`", reference.text);
                let help = help.or_else(|| Some("it is looked for in all files that are given".to_owned()));
                draft.report.error("unknown-rule", reference.at, message, help);
            }
        }
    }
    if targets.len() < correlation.rules.len() {
        draft.correlation = None;
    }
    draft.targets = targets;
}

fn not_loaded(reference: &Named, report: &mut Report<'_>) {
    report.error("unknown-rule", reference.at, format!("the rule `{}` did not load", reference.text), None);
}

/// The fields that others ask of each correlation's alerts.
fn told(drafts: &[Draft<'_>]) -> BTreeMap<usize, BTreeSet<String>> {
    let mut told: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for draft in drafts {
        let Some(correlation) = &draft.correlation else { continue };
        for (reference, target) in correlation.rules.iter().zip(&draft.targets) {
            let Target::Correlation(inner) = target else { continue };
            let Some(of_inner) = &drafts[*inner].correlation else { continue };
            let fields = correlation.names().filter_map(|name| correlation.field(&name.text, &reference.text));
            let asked = fields.filter(|field| of_inner.group_by.iter().all(|name| name.text != *field));
            told.entry(*inner).or_default().extend(asked.map(str::to_owned));
        }
    }
    told
}

fn rule_of(
    drafts: &mut [Draft<'_>],
    at: usize,
    (detected, others): (&[Detected<'_>], &[&Rule]),
    built: &BTreeMap<usize, Built>,
    told: BTreeSet<String>,
) -> Option<Built> {
    let correlation = drafts[at].correlation.clone()?;
    let targets = drafts[at].targets.clone();
    let names: Vec<Option<String>> = targets.iter().map(|target| name_of(target, drafts)).collect();
    let report = &mut drafts[at].report;
    let mut parts = Vec::new();
    for ((reference, target), name) in correlation.rules.iter().zip(&targets).zip(&names) {
        let source = match target {
            Target::Detected(at) => detected[*at].rule.map(|rule| Source::Events(&detected[*at], rule)),
            Target::Correlation(at) => built.get(at).map(|built| Source::Alerts(&built.rule, name.as_deref())),
            Target::Other(at) => others.get(*at).map(|rule| Source::Alerts(rule, None)),
        };
        match source {
            Some(source) => {
                let looks = match target {
                    Target::Detected(at) => Looks::Events(*at),
                    Target::Correlation(_) | Target::Other(_) => Looks::Alerts(source.id().clone()),
                };
                parts.push(Part { reference, source, looks });
            }
            None => not_loaded(reference, report),
        }
    }
    if parts.len() < targets.len() {
        return None;
    }
    if correlation.group_by.is_empty() {
        let help = "add `group-by:`, or leave it so when the rule means everybody together".to_owned();
        let message = "a correlation without `group-by` has one window for all: the work can't spread";
        report.warning("no-by", correlation.at, message, Some(help));
    }
    let (meta, place) = (meta(&drafts[at].common, &drafts[at].report), drafts[at].report.file.place(correlation.at));
    let report = &mut drafts[at].report;
    let built = lower(&correlation, &parts, Head { meta, place, told }, report);
    built.filter(|_| !report.has_errors())
}

fn name_of(target: &Target, drafts: &[Draft<'_>]) -> Option<String> {
    drafts[target.correlation()?].common.name.as_ref().map(|name| name.text.clone())
}

/// What no longer alerts by itself: a correlation among these looks at it, and none that does has `generate`.
pub fn silenced<'b>(built: impl Iterator<Item = &'b Built> + Clone) -> HashSet<&'b Looks> {
    let looks = |generating: bool| {
        built.clone().filter(move |built| built.generates == generating).flat_map(|built| &built.looks)
    };
    let generated: HashSet<&Looks> = looks(true).collect();
    looks(false).filter(|looks| !generated.contains(looks)).collect()
}

impl Built {
    /// Who is told of its alerts, where these no longer alert by themselves.
    pub fn audience(&self, silenced: &HashSet<&Looks>) -> Audience {
        let is_silenced = silenced.contains(&Looks::Alerts(self.rule.id().clone()));
        if is_silenced { Audience::Rules } else { Audience::Everyone }
    }
}

fn finish(drafts: Vec<Draft<'_>>, mut built: BTreeMap<usize, Built>, order: &[usize]) -> Correlated {
    let silenced = silenced(built.values());
    let events = |looks: &&Looks| if let Looks::Events(at) = looks { Some(*at) } else { None };
    let detected = silenced.iter().filter_map(events).collect();
    let audiences: Vec<Audience> = built.values().map(|built| built.audience(&silenced)).collect();
    built.values_mut().zip(audiences).for_each(|(built, audience)| built.rule.audience = audience);
    Correlated {
        refused: drafts.len() - built.len(),
        found: drafts.into_iter().flat_map(|draft| draft.report.found).collect(),
        rules: order.iter().filter_map(|at| built.remove(at)).collect(),
        silenced: detected,
    }
}
