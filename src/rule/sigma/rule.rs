//! A detection rule: its tree while it may still change, and the rule that the engine runs.

use std::sync::Arc;

use super::{
    detection::Detections,
    document::{Common, Document},
    logsource::LogSource,
    lower,
    report::Report,
    sources::{Limit, LogSources},
    yaml::Mark,
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
    /// Which events the rule looks at. `None` until something has said it: then its log source does.
    pub limit: Option<Predicate>,
    /// Where the document starts.
    pub at: Mark,
}

impl DetectionRule {
    /// Reads the document of a detection. `None` where something in it is wrong, which is then reported.
    pub fn parse(document: &Document, report: &mut Report<'_>) -> Option<Self> {
        let logsource = LogSource::parse(&document.root, report);
        let detections = Detections::parse(document.root.get("detection")?, report);
        let (common, at) = (document.common.clone(), document.root.at);
        Some(DetectionRule { common, logsource: logsource?, detections: detections?, limit: None, at })
    }

    /// What an event of the rule has: its detections, and that it is from its log source. `None` where something is
    /// wrong, which is then reported.
    pub fn predicate(&self, sources: &LogSources, report: &mut Report<'_>) -> Option<Predicate> {
        let detections = lower::lower(&self.detections, report)?;
        if let Predicate::Constant(answer) = detections {
            let message = format!("the rule's condition is always {answer}, whatever the event");
            report.warning("constant", self.at, message, None);
        }
        let limit = match &self.limit {
            Some(limit) => limit.clone(),
            None => self.limit_of_source(sources, report),
        };
        let predicate = Predicate::all([limit, detections]);
        if predicate.cost() == Cost::Scan {
            let help = Some("begin with a text, a number or a network that has to be in a field".to_owned());
            report.note("scan", self.at, "every event is looked at: no literal has to be in it", help);
        }
        Some(predicate)
    }

    fn limit_of_source(&self, sources: &LogSources, report: &mut Report<'_>) -> Predicate {
        let Limit { predicate, is_mapped } = sources.limit(&self.logsource);
        if !is_mapped {
            let message = format!("nothing maps the log source {}: any event may be of it", self.logsource);
            let help = Some("map it in a file for `--pipeline FILE`, or `[sigma] pipelines`".to_owned());
            report.warning("sigma-log-source", self.logsource.at, message, help);
        }
        predicate
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
