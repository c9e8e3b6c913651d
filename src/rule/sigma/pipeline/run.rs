//! A rule going through steps: what each is for, and what it does to the rule.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    rename::Rename,
    step::{AddCondition, Added, Step, Transformation, placed},
};
use crate::rule::sigma::{
    condition::Condition,
    detection::{self, Detection, Detections, Item},
    report::Report,
    rule::DetectionRule,
    value::Text,
    yaml::{Node, Scalar, Yaml},
};

/// Items and values that steps may make of one rule.
const MADE_MAX: usize = 100_000;

/// A detection, and which steps changed each of its items.
#[derive(Debug, Clone)]
pub enum Part {
    All(Vec<Part>),
    Any(Vec<Part>),
    Item { item: Item, by: Vec<String> },
    Dropped,
}

/// What conditions look at.
pub struct Facts<'r> {
    pub rule: &'r DetectionRule,
    pub parts: &'r [Part],
    /// Ids of the steps that were for the rule.
    pub applied: &'r BTreeSet<String>,
    pub state: &'r BTreeMap<String, Scalar>,
}

impl Facts<'_> {
    pub fn any_item(&self, is: &dyn Fn(&Item) -> bool) -> bool {
        self.parts.iter().any(|part| part.any_item(is))
    }
}

impl Part {
    fn of(detection: Detection) -> Self {
        match detection {
            Detection::All(parts) => Part::All(parts.into_iter().map(Part::of).collect()),
            Detection::Any(parts) => Part::Any(parts.into_iter().map(Part::of).collect()),
            Detection::Item(item) => Part::Item { item, by: Vec::new() },
        }
    }

    fn into_detection(self) -> Option<Detection> {
        let all = |parts: Vec<Part>| parts.into_iter().filter_map(Part::into_detection).collect();
        match self {
            Part::All(parts) => Some(Detection::All(all(parts))),
            Part::Any(parts) => Some(Detection::Any(all(parts))),
            Part::Item { item, .. } => Some(Detection::Item(item)),
            Part::Dropped => None,
        }
    }

    fn any_item(&self, is: &dyn Fn(&Item) -> bool) -> bool {
        match self {
            Part::All(parts) | Part::Any(parts) => parts.iter().any(|part| part.any_item(is)),
            Part::Item { item, .. } => is(item),
            Part::Dropped => false,
        }
    }
}

/// Changes an item; told which names of fields the step is for.
type Changing<'c> = dyn Fn(&Item, &dyn Fn(Option<&str>) -> bool) -> Change + 'c;

/// What a transformation makes of an item.
pub enum Change {
    Nothing,
    /// The step counts as one that changed the item.
    Into(Part),
    /// The rule is refused.
    Failure(&'static str, String),
}

/// The name of a field that an alert shows, or that is watched.
#[derive(Debug, Clone)]
struct Named {
    name: String,
    /// The steps that changed it.
    by: Vec<String>,
    /// The place among the watched.
    watched: Option<usize>,
}

/// A rule between two steps.
pub struct Run<'r> {
    rule: &'r mut DetectionRule,
    vars: &'r BTreeMap<String, Vec<Text>>,
    /// As the rule's detections.
    parts: Vec<Part>,
    fields: Vec<Named>,
    applied: BTreeSet<String>,
    state: BTreeMap<String, Scalar>,
    made: usize,
}

impl<'r> Run<'r> {
    pub fn new(rule: &'r mut DetectionRule, watched: &[&str], vars: &'r BTreeMap<String, Vec<Text>>) -> Self {
        let parts = rule.detections.named.iter().map(|named| Part::of(named.detection.clone())).collect();
        let shown = shown(&rule.common.fields);
        let watched = (0..).zip(watched).map(|(at, field)| Named {
            name: (*field).to_owned(),
            by: Vec::new(),
            watched: Some(at),
        });
        let fields = shown.chain(watched).collect();
        Run { rule, vars, parts, fields, applied: BTreeSet::new(), state: BTreeMap::new(), made: 0 }
    }

    /// Puts what became of the detections and fields into the rule; gives the names of each of the watched.
    pub fn finish(self, watched: usize) -> Vec<Vec<String>> {
        for (named, part) in self.rule.detections.named.iter_mut().zip(self.parts) {
            named.detection = part.into_detection().unwrap_or(Detection::All(Vec::new()));
        }
        let mut names = vec![Vec::new(); watched];
        self.rule.common.fields.clear();
        for field in self.fields {
            match field.watched {
                Some(at) => names[at].push(field.name),
                None => self.rule.common.fields.push(field.name),
            }
        }
        names
    }

    /// `false` where the rule is refused, which is then reported.
    pub fn steps(&mut self, steps: &[Step], report: &mut Report<'_>) -> bool {
        steps.iter().all(|step| self.step(step, report))
    }

    fn step(&mut self, step: &Step, report: &mut Report<'_>) -> bool {
        let facts = self.facts();
        if !step.rule.holds(&|test| test.holds(&facts)) {
            return true;
        }
        let at = self.rule.logsource.at;
        let whole = match &step.transformation {
            Transformation::AddCondition(added) => self.add(added, step, report),
            Transformation::ChangeLogSource { category, product, service } => {
                let logsource = &mut self.rule.logsource;
                (logsource.category, logsource.product, logsource.service) =
                    (category.clone(), product.clone(), service.clone());
                true
            }
            Transformation::AddFields(names) => {
                self.fields.extend(shown(names));
                true
            }
            Transformation::RemoveFields(names) => {
                self.fields.retain(|field| field.watched.is_some() || !names.contains(&field.name));
                true
            }
            Transformation::SetFields(names) => {
                self.fields.retain(|field| field.watched.is_some());
                self.fields.extend(shown(names));
                true
            }
            Transformation::SetState { key, value } => {
                self.state.insert(key.clone(), value.clone());
                true
            }
            Transformation::RuleFailure(message) => {
                report.error("sigma-pipeline", at, format!("a pipeline refuses the rule: {message}"), None);
                false
            }
            Transformation::Nest(steps) => self.steps(steps, report),
            Transformation::Rename(rename) => {
                self.rename_fields(rename, step);
                self.each_item(step, report, &|item, holds| rename.of_item(item, holds))
            }
            Transformation::DropItem => self.each_item(step, report, &|_, _| Change::Into(Part::Dropped)),
            Transformation::ItemFailure(message) => self.each_item(step, report, &|_, _| {
                Change::Failure("sigma-pipeline", format!("a pipeline refuses the item: {message}"))
            }),
            Transformation::Placeholders(placeholders) => {
                let vars = self.vars;
                self.each_item(step, report, &|item, _| placeholders.of_item(item, vars))
            }
            Transformation::Rewrite(rewrite) => self.each_item(step, report, &|item, _| rewrite.of_item(item)),
        };
        self.applied.extend(step.id.clone());
        whole
    }

    fn facts(&self) -> Facts<'_> {
        Facts { rule: self.rule, parts: &self.parts, applied: &self.applied, state: &self.state }
    }

    fn rename_fields(&mut self, rename: &Rename, step: &Step) {
        let facts = self.facts();
        let mut renamed = Vec::new();
        for field in &self.fields {
            let holds = step.field.holds(&|test| test.holds(Some(&field.name), &field.by, &facts));
            match rename.names(Some(&field.name)).filter(|_| holds) {
                Some(names) => {
                    let by: Vec<String> = field.by.iter().chain(&step.id).cloned().collect();
                    renamed.extend(names.into_iter().map(|name| Named { name, by: by.clone(), ..field.clone() }));
                }
                None => renamed.push(field.clone()),
            }
        }
        renamed.truncate(MADE_MAX);
        self.fields = renamed;
    }

    /// Changes the items that the step is for; `change` is also told which other field names it is for.
    fn each_item(&mut self, step: &Step, report: &mut Report<'_>, change: &Changing<'_>) -> bool {
        let mut parts = std::mem::take(&mut self.parts);
        let before = parts.clone();
        let facts = Facts { rule: self.rule, parts: &before, applied: &self.applied, state: &self.state };
        let mut walk = Walk { step, facts, change, made: self.made };
        let failure = parts.iter_mut().enumerate().find_map(|(number, part)| Some((number, walk.part(part).err()?)));
        self.made = walk.made;
        self.parts = parts;
        if let Some((number, (at, code, message))) = failure {
            let of_filter = self.rule.detections.named[number].of_filter.as_deref();
            report.error_of(of_filter, self.rule.at, code, (at, message), None);
            return false;
        }
        true
    }

    fn add(&mut self, added: &AddCondition, step: &Step, report: &mut Report<'_>) -> bool {
        let at = self.rule.logsource.at;
        let detection = match &added.is {
            Added::Known(detection) => detection.clone(),
            Added::Template(node) => {
                let logsource = &self.rule.logsource;
                let of = |part: &Option<String>| part.clone().unwrap_or_default();
                let words = [
                    ("$category", of(&logsource.category)),
                    ("$product", of(&logsource.product)),
                    ("$service", of(&logsource.service)),
                ];
                match detection::detection(&filled(node, &words, at), at, report) {
                    Some(detection) => detection,
                    None => return false,
                }
            }
        };
        let mut part = Part::of(placed(detection, at));
        part.mark(&step.id);
        // Globs such as `1 of them` leave out names that start so.
        let own = added.name.clone().unwrap_or_else(|| format!("pipeline_{}", self.parts.len()));
        let mut name = format!("_{}", own.trim_start_matches('_'));
        let detections: &mut Detections = &mut self.rule.detections;
        while detections.named.iter().any(|named| named.name == name) {
            name.push('_');
        }
        let detection = Detection::All(Vec::new());
        detections.named.push(detection::Named { name: name.clone(), at, detection, of_filter: None });
        self.parts.push(part);
        for condition in &mut detections.conditions {
            let own = Condition::Name { name: name.clone(), at };
            let own = if added.negated { Condition::Not(Box::new(own)) } else { own };
            let before = std::mem::replace(condition, Condition::And(Vec::new()));
            *condition = Condition::And(vec![own, before]);
        }
        true
    }
}

impl Part {
    fn mark(&mut self, id: &Option<String>) {
        match self {
            Part::All(parts) | Part::Any(parts) => parts.iter_mut().for_each(|part| part.mark(id)),
            Part::Item { by, .. } => by.extend(id.clone()),
            Part::Dropped => {}
        }
    }

    fn size(&self) -> usize {
        match self {
            Part::All(parts) | Part::Any(parts) => parts.iter().map(Part::size).sum(),
            Part::Item { item, .. } => item.values.iter().map(|valued| valued.value.alternatives()).sum(),
            Part::Dropped => 0,
        }
    }

    /// Gives each item the steps that changed what it was made of.
    fn inherit(&mut self, steps: &[String]) {
        match self {
            Part::All(parts) | Part::Any(parts) => parts.iter_mut().for_each(|part| part.inherit(steps)),
            Part::Item { by, .. } => by.splice(0..0, steps.iter().cloned()).for_each(drop),
            Part::Dropped => {}
        }
    }
}

fn shown(names: &[String]) -> impl Iterator<Item = Named> {
    names.iter().map(|name| Named { name: name.clone(), by: Vec::new(), watched: None })
}

/// One step on its way through the items.
struct Walk<'w> {
    step: &'w Step,
    facts: Facts<'w>,
    change: &'w Changing<'w>,
    made: usize,
}

type Failed = (crate::rule::sigma::yaml::Mark, &'static str, String);

impl Walk<'_> {
    fn part(&mut self, part: &mut Part) -> Result<(), Failed> {
        let (item, by) = match part {
            Part::All(parts) | Part::Any(parts) => return parts.iter_mut().try_for_each(|part| self.part(part)),
            Part::Dropped => return Ok(()),
            Part::Item { item, by } => (item, by),
        };
        let Walk { step, facts, change, .. } = &*self;
        let is_for = |field: Option<&str>| step.field.holds(&|test| test.holds(field, by, facts));
        // Fields that values refer to have names of their own.
        let refers = matches!(step.transformation, Transformation::Rename(_));
        if !step.item.holds(&|test| test.holds(item, by, facts)) || !(refers || is_for(item.field.as_deref())) {
            return Ok(());
        }
        match change(item, &is_for) {
            Change::Nothing => Ok(()),
            Change::Failure(code, message) => Err((item.at, code, message)),
            Change::Into(mut changed) => {
                changed.mark(&step.id);
                changed.inherit(by);
                self.made += changed.size();
                if self.made > MADE_MAX {
                    let message = format!("pipelines make more than {MADE_MAX} values of one rule");
                    return Err((item.at, "too-large", message));
                }
                *part = changed;
                Ok(())
            }
        }
    }
}

/// A node with words put in the place of others, in its texts.
fn filled(node: &Node, words: &[(&str, String)], at: crate::rule::sigma::yaml::Mark) -> Node {
    let yaml = match &node.yaml {
        Yaml::Scalar(scalar) => {
            let mut scalar = scalar.clone();
            for (word, with) in words {
                scalar.text = scalar.text.replace(&format!("${{{}}}", &word[1..]), with).replace(word, with);
            }
            Yaml::Scalar(scalar)
        }
        Yaml::List(items) => Yaml::List(items.iter().map(|item| filled(item, words, at)).collect()),
        Yaml::Map(entries) => {
            let mut entries = entries.clone();
            for entry in &mut entries {
                entry.value = filled(&entry.value, words, at);
                entry.at = at;
            }
            Yaml::Map(entries)
        }
    };
    Node { at, yaml }
}
