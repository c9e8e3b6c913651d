//! From the text of Sigma files to rules. A wrong rule loses only itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    correlation::{self, Detected},
    document::{self, Common, Document, DocumentKind},
    filter,
    pipeline::{Pipeline, Pipelines},
    report::{Report, SigmaFile},
    rule::{Around, DetectionRule},
    sources::{self, LogSources, Row},
    yaml::{Node, YamlError},
};
use crate::rule::{Diagnostic, Rule, source::hash_of};

/// What Sigma rules are read with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigmaOptions {
    /// Processing pipelines, and plain maps of log sources: path (or name, of those that are built in) and text.
    pub pipelines: Vec<(PathBuf, String)>,
}

impl SigmaOptions {
    /// What is wrong with the pipelines.
    pub fn findings(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        around(self, &mut found);
        found
    }

    /// Changes with everything that can change a rule.
    pub(in crate::rule) fn hash(&self) -> String {
        let all: String = self.pipelines.iter().map(|(_, text)| hash_of(text) + "\n").collect();
        hash_of(all)
    }
}

/// What came of Sigma files.
#[derive(Debug, Default)]
pub(in crate::rule) struct SigmaLoaded {
    pub rules: Vec<Rule>,
    pub found: Vec<Diagnostic>,
    /// Documents that made no rule because something in them is wrong.
    pub refused: usize,
    /// Files that changed or made rules of other files.
    pub besides: BTreeSet<PathBuf>,
    /// The files, for further findings in them.
    pub files: BTreeMap<PathBuf, SigmaFile>,
}

/// Loads the rules of Sigma files, by their path and text. Correlations may refer to `others`, which are not Sigma's.
pub(in crate::rule) fn load<'a>(
    texts: impl Iterator<Item = (&'a PathBuf, &'a String)>,
    options: &SigmaOptions,
    others: &[Rule],
) -> SigmaLoaded {
    let mut loaded = SigmaLoaded::default();
    let texts: Vec<_> = texts.collect();
    let files: BTreeMap<PathBuf, SigmaFile> =
        texts.iter().map(|(path, text)| ((*path).clone(), SigmaFile::new(path, text))).collect();
    if !texts.is_empty() {
        let around = around(options, &mut loaded.found);
        let mut sorted = Sorted::default();
        texts.iter().for_each(|(path, text)| sorted.read(&files[*path], text, &mut loaded));
        sorted.build(&around, others, &mut loaded);
    }
    loaded.files = files;
    loaded
}

/// Findings about what alerts say: a rule that does not alert by itself may leave it out.
const OF_ALERTS: [&str; 2] = ["no-false-positives", "no-severity"];

/// A rule over single events on its way.
struct Draft<'f> {
    common: Common,
    report: Report<'f>,
    /// `None` where something is wrong.
    rule: Option<DetectionRule>,
}

/// The documents of all files by their kind.
#[derive(Default)]
struct Sorted<'f> {
    detections: Vec<Draft<'f>>,
    correlations: Vec<(Document, Report<'f>)>,
    filters: Vec<(Document, Report<'f>)>,
}

impl<'f> Sorted<'f> {
    fn read(&mut self, file: &'f SigmaFile, text: &str, loaded: &mut SigmaLoaded) {
        let documents = document::read(file, text);
        loaded.refused += documents.refused;
        loaded.found.extend(documents.found);
        for (document, mut report) in documents.readable {
            match document.kind {
                DocumentKind::Detection => {
                    let rule = DetectionRule::parse(&document, &mut report);
                    self.detections.push(Draft { common: document.common, report, rule });
                }
                DocumentKind::Correlation => self.correlations.push((document, report)),
                DocumentKind::Filter => self.filters.push((document, report)),
            }
        }
    }

    /// Filters change rules, then pipelines do; they are lowered, and correlations are built over them.
    fn build(mut self, around: &Around, others: &[Rule], loaded: &mut SigmaLoaded) {
        loaded.besides.extend(self.filters.iter().map(|(_, report)| report.file.path.clone()));
        let of_correlations: Vec<&Common> = self.correlations.iter().map(|(document, _)| &document.common).collect();
        let mut rules: Vec<&mut DetectionRule> =
            self.detections.iter_mut().filter_map(|draft| draft.rule.as_mut()).collect();
        let filtered = filter::apply(self.filters, &mut rules, &of_correlations);
        loaded.refused += filtered.refused;
        loaded.found.extend(filtered.found);
        let lowered: Vec<Option<Rule>> = self.detections.iter_mut().map(|draft| draft.lower(around)).collect();
        loaded.refused += lowered.iter().filter(|rule| rule.is_none()).count();
        let paths: Vec<_> = self.detections.iter().map(|draft| move |field: &str| draft.paths(field, around)).collect();
        let detected: Vec<Detected<'_>> = (self.detections.iter().zip(&lowered).zip(&paths))
            .map(|((draft, rule), paths)| {
                let (file, common) = (draft.report.file, &draft.common);
                Detected { file, common, rule: rule.as_ref(), paths }
            })
            .collect();
        let correlated = correlation::build(&detected, self.correlations, others);
        loaded.refused += correlated.refused;
        loaded.found.extend(correlated.found);
        for (at, (draft, rule)) in self.detections.into_iter().zip(lowered).enumerate() {
            let is_silenced = correlated.silenced.contains(&at);
            match is_silenced {
                true => loaded.besides.extend([draft.report.file.path.clone()]),
                false => loaded.rules.extend(rule),
            }
            let found = draft.report.found.into_iter();
            loaded.found.extend(found.filter(|finding| !is_silenced || !OF_ALERTS.contains(&finding.code)));
        }
        loaded.rules.extend(correlated.rules);
    }
}

impl Draft<'_> {
    fn lower(&mut self, around: &Around) -> Option<Rule> {
        let rule = self.rule.as_mut()?;
        if !rule.pass(around, &mut self.report) {
            return None;
        }
        let predicate = rule.predicate(around, &mut self.report)?;
        (!self.report.has_errors()).then(|| rule.build(predicate, &self.report))
    }

    /// The paths that one of the rule's fields is read at.
    fn paths(&self, field: &str, around: &Around) -> Vec<Arc<str>> {
        let names = self.rule.as_ref().and_then(|rule| rule.names_of(&[field], around, self.report.file).pop());
        names.map_or(vec![field.into()], |names| names.iter().map(|name| name.as_str().into()).collect())
    }
}

/// What is built in, below the plain maps of the user (of two files the later one decides), and the pipelines.
pub fn around(options: &SigmaOptions, found: &mut Vec<Diagnostic>) -> Around {
    let mut sources = LogSources::built_in();
    let mut pipelines = Vec::new();
    for (path, text) in &options.pipelines {
        let file = SigmaFile::new(path, text);
        let mut report = Report::new(&file);
        match sources::only_document(text).and_then(|root| read(&root, &mut report)) {
            Ok(Written::Map(rows)) => sources.put_first(rows),
            Ok(Written::Pipeline(pipeline)) => pipelines.extend(pipeline),
            Err(error) => report.error("syntax", error.at, error.message, None),
        }
        found.extend(report.found);
    }
    Around { sources, pipelines: Pipelines::new(pipelines) }
}

/// What a file for `pipelines` holds.
enum Written {
    Map(Vec<Row>),
    /// `None` where it is not whole, which is reported.
    Pipeline(Option<Pipeline>),
}

fn read(root: &Node, report: &mut Report<'_>) -> Result<Written, YamlError> {
    if sources::is_map(root) {
        return sources::read_map(root).map(Written::Map);
    }
    if root.get("transformations").is_some() {
        return Ok(Written::Pipeline(Pipeline::read(root, report)));
    }
    let message = "neither a pipeline (`transformations`) nor a map of log sources (`category`, `service`)".to_owned();
    Err(YamlError { at: root.at, message })
}

/// Whether a file is one of Sigma rules.
pub(in crate::rule) fn is_sigma(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
}
