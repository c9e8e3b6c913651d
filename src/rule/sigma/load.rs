//! From the text of Sigma files to rules. A wrong rule loses only itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    correlation::{self, Correlated, Detected},
    document::{self, Common, Document, DocumentKind},
    filter,
    pipeline::{Pipeline, Pipelines},
    report::{Report, SigmaFile},
    rule::{Around, DetectionRule},
    sources::{self, Limit, LogSources, Row},
    yaml::{Mark, Node, YamlError},
};
use crate::rule::{Diagnostic, Level, Rule, source::hash_of};

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
    others: &[&Rule],
) -> SigmaLoaded {
    let mut loaded = SigmaLoaded::default();
    let texts: Vec<_> = texts.collect();
    let files: BTreeMap<PathBuf, SigmaFile> =
        texts.iter().map(|(path, text)| ((*path).clone(), SigmaFile::new(path, text))).collect();
    if !texts.is_empty() {
        let around = around(options, &mut loaded.found);
        let texts = texts.iter().map(|(path, text)| (&files[*path], text.as_str()));
        Whole::of(texts, &around, others, &mut loaded).finish(&mut loaded);
    }
    loaded.files = files;
    loaded
}

/// The rules of all files: changed by filters and pipelines, lowered, and with correlations over them.
pub struct Whole<'f> {
    pub drafts: Vec<Draft<'f>>,
    /// Of each draft; `None` of one that did not load.
    pub lowered: Vec<Option<Rule>>,
    pub correlated: Correlated,
}

impl<'f> Whole<'f> {
    /// Reads and lowers; what is wrong, and how many did not load, goes into `loaded`.
    pub fn of<'t>(
        texts: impl Iterator<Item = (&'f SigmaFile, &'t str)>,
        around: &Around,
        others: &[&Rule],
        loaded: &mut SigmaLoaded,
    ) -> Self {
        let mut sorted = Sorted::default();
        texts.for_each(|(file, text)| sorted.read(file, text, loaded));
        sorted.lower(around, others, loaded)
    }

    /// What runs.
    fn finish(self, loaded: &mut SigmaLoaded) {
        loaded.found.extend(self.unmapped());
        for (at, (draft, rule)) in self.drafts.into_iter().zip(self.lowered).enumerate() {
            let is_silenced = self.correlated.silenced.contains(&at);
            match is_silenced {
                true => loaded.besides.extend([draft.report.file.path.clone()]),
                false => loaded.rules.extend(rule),
            }
            let found = draft.report.found.into_iter();
            loaded.found.extend(found.filter(|finding| !is_silenced || !OF_ALERTS.contains(&finding.code)));
        }
        loaded.found.extend(self.correlated.found);
        loaded.rules.extend(self.correlated.rules.into_iter().map(|built| built.rule));
    }
}

impl Whole<'_> {
    /// Of each log source that nothing maps, once: how many rules have it, and where the first are.
    fn unmapped(&self) -> Vec<Diagnostic> {
        let mut of_source: BTreeMap<String, Vec<(&SigmaFile, Mark)>> = BTreeMap::new();
        for draft in self.drafts.iter().filter(|draft| draft.is_unmapped) {
            let Some(rule) = &draft.rule else { continue };
            of_source.entry(rule.logsource.to_string()).or_default().push((draft.report.file, rule.logsource.at));
        }
        let once = |(source, places): (&String, &Vec<(&SigmaFile, Mark)>)| {
            let (file, at) = places[0];
            let of = if places.len() > 1 { format!(" of {} rules", places.len()) } else { String::new() };
            let message = format!("nothing maps the log source {source}{of}: any event may be of it");
            let also = places[1..].iter().take(ALSO_MAX).map(|(file, at)| file.place(*at)).collect();
            let help = "map it in a file for `--pipeline FILE`, or `[sigma] pipelines`".to_owned();
            Diagnostic { help: Some(help), also, ..file.finding(Level::Warning, "sigma-log-source", at, message) }
        };
        of_source.iter().map(once).collect()
    }
}

/// Places besides the first that a finding about many rules names.
const ALSO_MAX: usize = 3;

/// Names of another taxonomy have to become those of the events (specification, "Taxonomy").
fn check_taxonomy(common: &Common, is_translated: bool, report: &mut Report<'_>) {
    let Some(taxonomy) = common.taxonomy.as_ref().filter(|_| !is_translated) else { return };
    let message = format!("nothing translates the taxonomy `{}`: its names are read as they are", taxonomy.text);
    let help = "name a pipeline that maps its names to those of the events: `--pipeline FILE`, or `[sigma] pipelines`";
    report.warning("sigma-taxonomy", taxonomy.at, message, Some(help.to_owned()));
}

/// Findings about what alerts say: a rule that does not alert by itself may leave it out.
const OF_ALERTS: [&str; 2] = ["no-false-positives", "no-severity"];

/// A rule over single events on its way.
pub struct Draft<'f> {
    pub common: Common,
    pub report: Report<'f>,
    /// `None` where something is wrong.
    pub rule: Option<DetectionRule>,
    /// Nothing says what the events of its log source look like.
    is_unmapped: bool,
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
                    self.detections.push(Draft { common: document.common, report, rule, is_unmapped: false });
                }
                DocumentKind::Correlation => self.correlations.push((document, report)),
                DocumentKind::Filter => self.filters.push((document, report)),
            }
        }
    }

    /// Filters change rules, then pipelines do; they are lowered, and correlations are built over them.
    fn lower(mut self, around: &Around, others: &[&Rule], loaded: &mut SigmaLoaded) -> Whole<'f> {
        loaded.besides.extend(self.filters.iter().map(|(_, report)| report.file.path.clone()));
        for (document, report) in self.filters.iter_mut().chain(&mut self.correlations) {
            check_taxonomy(&document.common, !around.pipelines.is_empty(), report);
        }
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
        Whole { drafts: self.detections, lowered, correlated }
    }
}

impl Draft<'_> {
    fn lower(&mut self, around: &Around) -> Option<Rule> {
        let rule = self.rule.as_mut()?;
        if !rule.pass(around, &mut self.report) {
            return None;
        }
        check_taxonomy(&self.common, rule.is_translated(), &mut self.report);
        let Limit { detection: limit, is_mapped } = rule.limit(around, self.report.file);
        self.is_unmapped = !is_mapped;
        let predicate = rule.predicate(&limit, &mut self.report)?;
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
