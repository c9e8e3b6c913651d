//! From the text of Sigma files to rules. A wrong rule loses only itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    document::{self, Document, DocumentKind},
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
    /// The files, for further findings in them.
    pub files: BTreeMap<PathBuf, SigmaFile>,
}

/// Loads the rules of Sigma files, by their path and text.
pub(in crate::rule) fn load<'a>(
    texts: impl Iterator<Item = (&'a PathBuf, &'a String)>,
    options: &SigmaOptions,
) -> SigmaLoaded {
    let mut loaded = SigmaLoaded::default();
    let texts: Vec<_> = texts.collect();
    let files: BTreeMap<PathBuf, SigmaFile> =
        texts.iter().map(|(path, text)| ((*path).clone(), SigmaFile::new(path, text))).collect();
    if !texts.is_empty() {
        let sources = log_sources(options, &mut loaded.found);
        for (path, text) in &texts {
            load_file(&files[*path], text, &sources, &mut loaded);
        }
    }
    loaded.files = files;
    loaded
}

fn load_file(file: &SigmaFile, text: &str, sources: &LogSources, loaded: &mut SigmaLoaded) {
    let documents = document::read(file, text);
    loaded.refused += documents.refused;
    loaded.found.extend(documents.found);
    for (document, mut report) in documents.good {
        match document.kind {
            DocumentKind::Detection => match detection_rule(&document, sources, &mut report) {
                Some(rule) if !report.has_errors() => loaded.rules.push(rule),
                _ => loaded.refused += 1,
            },
            DocumentKind::Correlation | DocumentKind::Filter => {
                let message = "correlations and filters are not read yet";
                report.error("sigma-unsupported", document.root.at, message, None);
                loaded.refused += 1;
            }
        }
        loaded.found.extend(report.found);
    }
}

fn detection_rule(document: &Document, sources: &LogSources, report: &mut Report<'_>) -> Option<Rule> {
    let rule = DetectionRule::parse(document, report)?;
    let predicate = rule.predicate(sources, report)?;
    Some(rule.build(predicate, report))
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
