//! A detection rule: its tree while it may still change, and the rule that the engine runs.

use std::sync::Arc;

use super::{
    detection::{Detection, Detections},
    document::{Common, Document},
    logsource::LogSource,
    lower,
    pipeline::Pipelines,
    report::{Report, SigmaFile},
    sources::{Limit, LogSources},
    yaml::{Entry, Mark, Scalar},
};
use crate::rule::{
    Aggregates, Audience, Condition, Cost, InputSet, Meta, Pattern, Predicate, Rule, Severity, Side, Times, Window,
    predicate::EVERYWHERE, shape::Shape,
};

/// The one pattern of a detection rule.
pub const PATTERN: &str = "event";

/// What text of an event without fields of its own is found in.
const MESSAGE: &str = "message";

/// A detection rule before it is lowered.
#[derive(Debug, Clone)]
pub struct DetectionRule {
    pub common: Common,
    pub logsource: LogSource,
    pub detections: Detections,
    /// What the document says of itself in single values: conditions of pipelines ask for it.
    pub attributes: Vec<(String, Scalar)>,
    /// Where the document starts.
    pub at: Mark,
    /// As it was before pipelines, where there are any.
    before: Option<Box<DetectionRule>>,
}

/// What changes rules on their way.
#[derive(Debug, Default)]
pub struct Around {
    pub sources: LogSources,
    pub pipelines: Pipelines,
}

impl DetectionRule {
    /// Reads the document of a detection. `None` where something in it is wrong, which is then reported.
    pub fn parse(document: &Document, report: &mut Report<'_>) -> Option<Self> {
        let logsource = LogSource::parse(&document.root, report);
        let detections = Detections::parse(document.root.get("detection")?, report);
        let (common, at) = (document.common.clone(), document.root.at);
        let attribute = |entry: &Entry| Some((entry.key.clone(), entry.value.as_scalar()?.clone()));
        let attributes = document.root.as_map()?.iter().filter_map(attribute).collect();
        Some(DetectionRule { common, logsource: logsource?, detections: detections?, attributes, at, before: None })
    }

    /// Sends the rule through the pipelines. `false` where one refuses it, which is then reported.
    pub fn pass(&mut self, around: &Around, report: &mut Report<'_>) -> bool {
        if around.pipelines.is_empty() {
            return true;
        }
        self.before = Some(Box::new(self.clone()));
        around.pipelines.apply(self, &[], report).is_some()
    }

    /// What fields are called in the rule's events: several names where a pipeline has several for one.
    pub fn names_of(&self, fields: &[&str], around: &Around, file: &SigmaFile) -> Vec<Vec<String>> {
        let as_they_are = || fields.iter().map(|field| vec![(*field).to_owned()]).collect();
        let Some(before) = &self.before else { return as_they_are() };
        let mut before = (**before).clone();
        around.pipelines.apply(&mut before, fields, &mut Report::new(file)).unwrap_or_else(as_they_are)
    }

    /// Whether a pipeline changed what it looks for.
    pub fn is_translated(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.detections != self.detections)
    }

    /// What an event of the rule has: its detections, and `limit`, which says that it is from its log source. `None` where
    /// something is wrong, which is then reported.
    pub fn predicate(&self, limit: &Detection, report: &mut Report<'_>) -> Option<Predicate> {
        let detections = lower::lower(&self.detections, report)?;
        if let Predicate::Constant(answer) = detections {
            let message = format!("the rule's condition is always {answer}, whatever the event");
            report.warning("constant", self.at, message, None);
        }
        let limit = lower::lower_alone(limit, report);
        let predicate = Predicate::all(limit.into_iter().chain([detections]));
        if predicate.cost() == Cost::Scan {
            let help = Some("begin with a text, a number or a network that has to be in a field".to_owned());
            report.note("scan", self.at, "every event is looked at: no literal has to be in it", help);
        }
        Some(predicate)
    }

    /// What the events of its log source have, and whether something says so.
    pub fn limit(&self, around: &Around, file: &SigmaFile) -> Limit {
        let fields: Vec<&str> = around.sources.fields().into_iter().collect();
        let renamed = self.names_of(&fields, around, file);
        let names = |field: &str| {
            let known = fields.iter().position(|own| *own == field);
            known.map_or(vec![field.to_owned()], |at| renamed[at].clone())
        };
        around.sources.limit(&self.logsource, &names)
    }

    /// The rule that fires on each event of which the predicate holds.
    pub fn build(&self, predicate: Predicate, report: &Report<'_>) -> Rule {
        let inputs = InputSet::All;
        let keep = self.kept_fields(&predicate);
        let window = Window::None;
        let condition = Condition::AllOf(vec![Times { n: 1, pattern: PATTERN.into() }]);
        let mut shape = Shape::new(&inputs, &window, &condition, None);
        shape.pattern::<Arc<str>>(PATTERN, &format!("{predicate:?}"), &[], &keep);
        let pattern = Pattern {
            name: PATTERN.into(),
            side: Side::Both,
            predicate,
            asks_lists: None,
            by: Vec::new(),
            keep,
            sees_closed: false,
        };
        Rule {
            meta: meta(&self.common, report),
            sources: inputs.clone(),
            inputs,
            patterns: vec![pattern],
            by: Vec::new(),
            window,
            condition,
            when: None,
            alert: None,
            tells: Vec::new(),
            then: None,
            value: None,
            aggregates: Aggregates::default(),
            together: None,
            suppress: None,
            audience: Audience::Everyone,
            shape: shape.finish(),
            tests: Vec::new(),
            place: report.file.place(self.at),
        }
    }

    /// What its alerts show: the rule's `fields`, and those that it asks. In byte order.
    pub fn kept_fields(&self, predicate: &Predicate) -> Vec<Arc<str>> {
        let mut keep: Vec<Arc<str>> = self.common.fields.iter().map(|field| field.as_str().into()).collect();
        predicate.each_path(&mut |path| keep.push(if &**path == EVERYWHERE { MESSAGE.into() } else { path.clone() }));
        keep.retain(|path| !path.is_empty());
        keep.sort_unstable();
        keep.dedup();
        keep
    }
}

/// What alerts say of a Sigma rule.
pub fn meta(common: &Common, report: &Report<'_>) -> Meta {
    Meta {
        id: common.rule_id().into(),
        title: common.title.clone(),
        version: report.file.version.clone(),
        severity: common.level.unwrap_or(Severity::Medium),
        description: common.description.clone(),
        author: common.author.clone(),
        status: common.status,
        references: common.references.clone(),
        false_positives: common.false_positives.clone(),
        runbook: None,
        attack: common.tags.iter().filter_map(|tag| technique(tag)).collect(),
        tags: common.tags.clone(),
        risk: None,
    }
}

/// `T1059.001` of `attack.t1059.001`.
fn technique(tag: &str) -> Option<String> {
    let rest = tag.to_uppercase().strip_prefix("ATTACK.T")?.to_owned();
    let parts: Vec<&str> = rest.split('.').collect();
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_technique = match parts[..] {
        [technique] => digits(technique, 4),
        [technique, sub] => digits(technique, 4) && digits(sub, 3),
        _ => false,
    };
    is_technique.then(|| format!("T{rest}"))
}
