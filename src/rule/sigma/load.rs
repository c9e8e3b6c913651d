//! From the text of Sigma files to rules. A wrong rule loses only itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    correlation::{self, Detected},
    document::{self, Common, Document, DocumentKind},
    filter,
    report::{Report, SigmaFile},
    rule::DetectionRule,
    sources::{self, LogSources, Row},
    yaml::{Node, YamlError},
};
use crate::rule::{Diagnostic, Level, Rule, source::hash_of};

/// What Sigma rules are read with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigmaOptions {
    /// Files that say what log sources look like: path and text, in the order in which they apply.
    pub pipelines: Vec<(PathBuf, String)>,
}

impl SigmaOptions {
    /// What is wrong with the pipelines.
    pub fn findings(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        log_sources(self, &mut found);
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
        let sources = log_sources(options, &mut loaded.found);
        let mut sorted = Sorted::default();
        texts.iter().for_each(|(path, text)| sorted.read(&files[*path], text, &mut loaded));
        sorted.build(&sources, others, &mut loaded);
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
        for (document, mut report) in documents.good {
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

    /// Filters change rules, the rules are lowered, and correlations are built over them.
    fn build(mut self, sources: &LogSources, others: &[Rule], loaded: &mut SigmaLoaded) {
        loaded.besides.extend(self.filters.iter().map(|(_, report)| report.file.path.clone()));
        let of_correlations: Vec<&Common> = self.correlations.iter().map(|(document, _)| &document.common).collect();
        let mut rules: Vec<&mut DetectionRule> =
            self.detections.iter_mut().filter_map(|draft| draft.rule.as_mut()).collect();
        let filtered = filter::apply(self.filters, &mut rules, &of_correlations);
        loaded.refused += filtered.refused;
        loaded.found.extend(filtered.found);
        let lowered: Vec<Option<Rule>> = self.detections.iter_mut().map(|draft| draft.lower(sources)).collect();
        loaded.refused += lowered.iter().filter(|rule| rule.is_none()).count();
        let detected: Vec<Detected<'_>> =
            self.detections.iter().zip(&lowered).map(|(draft, rule)| draft.detected(rule.as_ref())).collect();
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
    fn lower(&mut self, sources: &LogSources) -> Option<Rule> {
        let rule = self.rule.as_ref()?;
        let predicate = rule.predicate(sources, &mut self.report)?;
        (!self.report.has_errors()).then(|| rule.build(predicate, &self.report))
    }

    fn detected<'a>(&'a self, rule: Option<&'a Rule>) -> Detected<'a> {
        Detected { file: self.report.file, common: &self.common, rule, paths: &|field| vec![field.into()] }
    }
}

/// What is built in, below the plain maps of the user: of two files the later one decides.
fn log_sources(options: &SigmaOptions, found: &mut Vec<Diagnostic>) -> LogSources {
    let mut sources = LogSources::built_in();
    for (path, text) in &options.pipelines {
        match sources::only_document(text).and_then(|root| plain_map(&root)) {
            Ok(rows) => sources.put_first(rows),
            Err(error) => {
                let file = SigmaFile::new(path, text);
                found.push(file.finding(Level::Error, "syntax", error.at, error.message));
            }
        }
    }
    sources
}

fn plain_map(root: &Node) -> Result<Vec<Row>, YamlError> {
    if sources::is_map(root) {
        return sources::read_map(root);
    }
    let message = "no map of log sources: it has neither `category` nor `service`".to_owned();
    Err(YamlError { at: root.at, message })
}

/// Whether a file is one of Sigma rules.
pub(in crate::rule) fn is_sigma(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
}
