//! Loading: from the text of rule files to the rules that run, with every finding on the way.
//!
//! A file that does not parse or evaluate loses its own rules only, a wrong rule loses itself only. It reads no file:
//! what `import` finds are the files that were given.

mod evaluate;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use serde::{Deserialize, Serialize};

use super::{
    Diagnostic, Enrichment, Level, ListText, Lists, Place, Rule, RuleSet, ScriptLimits,
    analysis::Beside,
    declare::{self, Surroundings},
    diagnostic::in_order,
    engine, layers,
    reference::Reference,
    sigma::{self, SigmaLoaded, SigmaOptions, is_sigma},
    source::{self, Source, hash_of, is_library},
    token::Tokens,
};
use crate::event::InputName;

/// Parsing and checking recurse with the depth of the text; with the limits on depth this is far more than enough.
const STACK_BYTES: usize = 64 << 20;

/// Rhai counts lines, and columns of a line, up to 65,535.
const PLACES_MAX: usize = 65_000;

/// Names of fields that are looked up fast; further ones take a longer way to the same answer.
const FIELDS_MAX: usize = 10_000;

/// The text of rule files, read by the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFiles {
    /// The folder that paths are relative to.
    pub root: PathBuf,
    /// By path relative to the root, in byte order. Those under `lib/` are only imported.
    pub files: BTreeMap<PathBuf, String>,
    /// The files under `lists/`, by path relative to the root.
    pub lists: BTreeMap<PathBuf, ListText>,
}

impl RuleFiles {
    /// The Sigma rules, by path relative to the root; and what is left, which is Rhai.
    pub fn sigma_apart(self) -> (BTreeMap<PathBuf, String>, RuleFiles) {
        let (mut sigma, files): (BTreeMap<_, _>, _) = self.files.into_iter().partition(|(path, _)| is_sigma(path));
        sigma.retain(|path, _| !is_library(path));
        (sigma, RuleFiles { files, ..self })
    }
}

#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The configured inputs; `None` without a configuration.
    pub inputs: Option<BTreeSet<String>>,
    /// An input that every rule reads besides those that it names.
    pub read_by_all: Option<InputName>,
    /// What `geo` and `asn` look addresses up in.
    pub enrichment: Enrichment,
    pub limits: ScriptLimits,
    /// What Sigma rules are read with.
    pub sigma: Arc<SigmaOptions>,
}

impl LoadOptions {
    /// With a configuration that has these inputs.
    pub fn of_inputs(inputs: impl IntoIterator<Item = String>) -> Self {
        LoadOptions { inputs: Some(inputs.into_iter().collect()), ..LoadOptions::default() }
    }
}

/// The rules that are good, and all findings in order of files and lines.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    pub set: RuleSet,
    pub diagnostics: Vec<Diagnostic>,
    /// Rules that did not load; a file that does not parse or evaluate counts as one.
    pub refused: usize,
}

impl Loaded {
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Loads rules. On a reload, with the rules that ran before as `previous`, a file with errors keeps its last good
/// rules, and a warning says so.
pub fn load(files: &RuleFiles, options: &LoadOptions, previous: Option<&RuleSet>) -> Loaded {
    thread::scope(|scope| {
        let loader = thread::Builder::new().name("rules".to_owned()).stack_size(STACK_BYTES);
        let loading = loader.spawn_scoped(scope, || Loading::new(files, options, previous).finish(previous));
        match loading.expect("a thread to load rules on").join() {
            Ok(loaded) => loaded,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct Loading<'a> {
    options: &'a LoadOptions,
    /// What the Sigma files gave.
    /// Sigma files by path and text; they are loaded when all other rules are.
    of_sigma: Vec<(&'a PathBuf, &'a String)>,
    sigma: SigmaLoaded,
    sources: BTreeMap<PathBuf, Source>,
    /// Hash of each file that declares rules, with everything that it could import.
    hashes: BTreeMap<PathBuf, String>,
    /// Files that do not parse.
    unparsed: BTreeSet<PathBuf>,
    found: Vec<Diagnostic>,
    fields: BTreeSet<String>,
    reference: Arc<Reference>,
    refused: usize,
}

impl<'a> Loading<'a> {
    fn new(files: &'a RuleFiles, options: &'a LoadOptions, previous: Option<&RuleSet>) -> Self {
        let (of_sigma, scripts): (Vec<_>, Vec<_>) = files.files.iter().partition(|(path, _)| is_sigma(path));
        let (libraries, rules): (Vec<_>, Vec<_>) = scripts.iter().copied().partition(|(path, _)| is_library(path));
        let imported: String =
            libraries.iter().map(|(path, text)| format!("{} {}\n", path.display(), hash_of(text))).collect();
        let hash = |text: &str| hash_of(format!("{}\n{imported}", hash_of(text)));
        let sigma_hash = options.sigma.hash();
        let of_sigma: Vec<_> = of_sigma.into_iter().filter(|(path, _)| !is_library(path)).collect();
        let hashes = rules
            .iter()
            .map(|(path, text)| ((*path).clone(), hash(text)))
            .chain(of_sigma.iter().map(|(path, text)| {
                let hash = hash_of(format!("{}\n{sigma_hash}", hash_of(text)));
                ((*path).clone(), hash)
            }))
            .collect();
        let mut found = Vec::new();
        let lists = Lists::read(&files.lists, previous.map(|previous| &previous.lists), &mut found);
        let mut loading = Loading {
            options,
            of_sigma,
            sigma: SigmaLoaded::default(),
            sources: BTreeMap::new(),
            hashes,
            unparsed: BTreeSet::new(),
            found,
            fields: BTreeSet::new(),
            reference: Arc::new(Reference {
                lists,
                written: BTreeSet::new(),
                enrichment: options.enrichment.clone(),
                is_configured: options.inputs.is_some(),
            }),
            refused: 0,
        };
        let tokens = Tokens::default();
        let parser = engine::parser(&options.limits, &tokens);
        for (path, text) in &scripts {
            tokens.restart();
            loading.parse(path, text, &parser, &tokens);
        }
        loading.refused = rules.iter().filter(|(path, _)| !loading.sources.contains_key(*path)).count();
        loading.fields = tokens.names();
        let written = loading.sources.values().flat_map(|source| source.written_lists.iter().cloned()).collect();
        loading.reference = Arc::new(Reference { written, ..(*loading.reference).clone() });
        loading
    }

    fn parse(&mut self, path: &Path, text: &str, parser: &rhai::Engine, tokens: &Tokens) {
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        if text.len() > self.options.limits.file_bytes || text.lines().count().max(longest) > PLACES_MAX {
            let message = format!(
                "the file is too large: at most {} bytes, {PLACES_MAX} lines, and characters a line",
                self.options.limits.file_bytes
            );
            let place = source::place(path, rhai::Position::NONE);
            self.found.push(source::diagnostic("", Level::Error, "too-large", place, message));
            return;
        }
        match parser.compile(text) {
            Ok(ast) => {
                let parsed = Source::new(path, text, ast, tokens.take_log());
                self.sources.insert(path.to_owned(), parsed);
            }
            Err(error) => {
                self.found.push(evaluate::parse_error(path, text, &error));
                self.unparsed.insert(path.to_owned());
            }
        }
    }

    fn finish(mut self, previous: Option<&RuleSet>) -> Loaded {
        let limits = &self.options.limits;
        let fields = || self.fields.iter().take(FIELDS_MAX).map(String::as_str);
        let runner = Arc::new(engine::runner(limits, limits.call_operations, fields(), &self.reference));
        let evaluator = evaluate::Evaluator::new(limits, fields(), &self.sources, &self.unparsed, &self.reference);
        let beside = Beside { sources: &self.sources, reference: &self.reference };
        let mut rules: Vec<Rule> = Vec::new();
        let mut found = std::mem::take(&mut self.found);
        for (path, source) in self.sources.iter().filter(|(path, _)| !is_library(path)) {
            let (declared, errors) = evaluator.evaluate(path, source);
            self.refused += errors.len();
            found.extend(errors);
            let around = Surroundings {
                source,
                beside: &beside,
                engine: &runner,
                inputs: self.options.inputs.as_ref(),
                read_by_all: self.options.read_by_all.as_ref(),
                run_depth: limits.run_depth,
            };
            for declared in &declared {
                let built = declare::build(declared, &around);
                self.refused += usize::from(built.rule.is_none());
                found.extend(built.found);
                rules.extend(built.rule);
            }
        }
        let others: Vec<&Rule> = rules.iter().collect();
        self.sigma = sigma::load(std::mem::take(&mut self.of_sigma).into_iter(), &self.options.sigma, &others);
        self.refused += self.sigma.refused;
        found.append(&mut self.sigma.found);
        rules.append(&mut self.sigma.rules);
        self.settle(rules, found, previous)
    }

    /// Keeps the last good rules of files with errors, and of two rules with one id the first.
    fn settle(self, rules: Vec<Rule>, mut found: Vec<Diagnostic>, previous: Option<&RuleSet>) -> Loaded {
        let mut rules: Vec<Arc<Rule>> = rules.into_iter().map(Arc::new).collect();
        let mut sources = self.hashes.clone();
        let wrong: BTreeSet<PathBuf> =
            found.iter().filter(|finding| finding.is_error()).map(|finding| finding.place.file.clone()).collect();
        for path in &wrong {
            let Some(previous) = previous else { continue };
            let last: Vec<Arc<Rule>> = previous.rules.iter().filter(|rule| rule.place.file == *path).cloned().collect();
            if last.is_empty() {
                continue;
            }
            rules.retain(|rule| rule.place.file != *path);
            let message = format!("the file has errors: its {} rule(s) stay as they were", last.len());
            let place = source::place(path, rhai::Position::NONE);
            found.push(self.finding(Level::Warning, "kept", place, message));
            rules.extend(last);
            if let Some(hash) = previous.sources.get(path) {
                sources.insert(path.clone(), hash.clone());
            }
        }
        let declared = rules.len();
        let rules = self.without_twins(rules, &mut found);
        let rules = self.without_circles(rules, &mut found);
        let refused = self.refused + declared - rules.len();
        let files: HashSet<&Path> = rules.iter().map(|rule| rule.place.file.as_path()).collect();
        sources.retain(|path, _| files.contains(path.as_path()) || self.sigma.besides.contains(path));
        let all: String = sources.iter().map(|(path, hash)| format!("{} {hash}\n", path.display())).collect();
        let all = format!("{all}{}", self.reference.hashes());
        in_order(&mut found);
        let lists = self.reference.lists.clone();
        let set = RuleSet { rules, hash: hash_of(&all), sources, lists, ..RuleSet::default() };
        Loaded { set, diagnostics: found, refused }
    }

    /// A finding in a file of either language, with the line there.
    fn finding(&self, level: Level, code: &'static str, place: Place, message: String) -> Diagnostic {
        match (self.sources.get(&place.file), self.sigma.files.get(&place.file)) {
            (Some(source), _) => source.diagnostic_at(level, code, place, message),
            (None, Some(file)) => file.finding_at(level, code, place, message),
            (None, None) => source::diagnostic("", level, code, place, message),
        }
    }

    /// Leaves out rules on alerts that ask for alerts of rules on alerts.
    fn without_circles(&self, mut rules: Vec<Arc<Rule>>, found: &mut Vec<Diagnostic>) -> Vec<Arc<Rule>> {
        let mut wrong = BTreeSet::new();
        for finding in layers::check(&rules) {
            let rule = &rules[finding.rule];
            let at = self.finding(finding.level, finding.code, rule.place.clone(), finding.message);
            wrong.extend(at.is_error().then(|| rule.id().clone()));
            found.push(Diagnostic { help: finding.help, ..at });
        }
        rules.retain(|rule| !wrong.contains(rule.id()));
        rules
    }

    fn without_twins(&self, mut rules: Vec<Arc<Rule>>, found: &mut Vec<Diagnostic>) -> Vec<Arc<Rule>> {
        let place = |rule: &Rule| (rule.place.file.clone(), rule.place.line, rule.place.column);
        rules.sort_by_key(|rule| place(rule));
        let mut by_id: BTreeMap<Arc<str>, Arc<Rule>> = BTreeMap::new();
        for rule in rules {
            match by_id.get(rule.id()) {
                None => {
                    by_id.insert(rule.id().clone(), rule);
                }
                Some(first) => {
                    let message = format!(
                        "the id `{}` is taken: {}:{}:{} has it",
                        rule.id(),
                        first.place.file.display(),
                        first.place.line,
                        first.place.column
                    );
                    let twin = self.finding(Level::Error, "duplicate-id", rule.place.clone(), message);
                    let help = Some("give the rule an id of its own".to_owned());
                    found.push(Diagnostic { help, ..twin });
                }
            }
        }
        by_id.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
