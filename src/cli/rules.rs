//! The rules that a command runs: one or several paths as one set, with every finding.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Result;

use super::rule_files::read_rule_files;
use crate::rule::{Diagnostic, Level, LoadOptions, Rule, RuleSet, load};

/// Loaded rules.
pub struct Rules {
    paths: Vec<PathBuf>,
    options: LoadOptions,
    /// What each path gave, for the next reload.
    of_path: Vec<RuleSet>,
    pub set: Arc<RuleSet>,
    pub diagnostics: Vec<Diagnostic>,
}

impl Rules {
    /// Loads every rule at `paths`. `inputs` are the configured ones, where there is a configuration.
    ///
    /// # Errors
    /// When a path can't be read. Rules that are wrong are no error: they are in `diagnostics`.
    pub fn load(paths: &[PathBuf], inputs: Option<BTreeSet<String>>) -> Result<Self> {
        let options = LoadOptions { inputs, ..LoadOptions::default() };
        let mut rules =
            Rules { paths: paths.to_vec(), options, of_path: Vec::new(), set: Arc::default(), diagnostics: Vec::new() };
        rules.reload()?;
        Ok(rules)
    }

    /// Reads the paths again. A file with errors keeps its last good rules.
    ///
    /// # Errors
    /// When a path can't be read; then nothing changed.
    pub fn reload(&mut self) -> Result<()> {
        let mut of_path = Vec::new();
        let mut diagnostics = Vec::new();
        for (at, path) in self.paths.iter().enumerate() {
            let files = read_rule_files(path)?;
            let mut loaded = load(&files, &self.options, self.of_path.get(at));
            diagnostics.append(&mut loaded.diagnostics);
            of_path.push(loaded.set);
        }
        self.set = Arc::new(merge(&of_path, &mut diagnostics));
        self.of_path = of_path;
        self.diagnostics = diagnostics;
        Ok(())
    }

    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    /// Rules that did not load: one for each place with an error.
    pub fn refused(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .map(|diagnostic| (&diagnostic.place.file, diagnostic.place.line))
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Writes the errors, not the warnings.
    ///
    /// # Errors
    /// When `out` takes no more.
    pub fn report_errors(&self, out: &mut impl Write) -> io::Result<()> {
        let coloured = io::stderr().is_terminal();
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .try_for_each(|error| writeln!(out, "{}\n", error.render(coloured)))
    }
}

/// One set of several; of two rules with one id the first path's stays.
fn merge(sets: &[RuleSet], diagnostics: &mut Vec<Diagnostic>) -> RuleSet {
    if let [only] = sets {
        return only.clone();
    }
    let mut rules: BTreeMap<Arc<str>, Arc<Rule>> = BTreeMap::new();
    for rule in sets.iter().flat_map(|set| &set.rules) {
        match rules.get(rule.id()) {
            Some(first) => diagnostics.push(repeated(rule, first)),
            None => {
                rules.insert(rule.id().clone(), rule.clone());
            }
        }
    }
    let hashes: Vec<&str> = sets.iter().map(|set| set.hash.as_str()).collect();
    RuleSet {
        rules: rules.into_values().collect(),
        hash: hashes.join("+"),
        sources: sets.iter().flat_map(|set| set.sources.clone()).collect(),
    }
}

fn repeated(rule: &Rule, first: &Rule) -> Diagnostic {
    let place = &first.place;
    Diagnostic {
        level: Level::Error,
        code: "duplicate-id",
        message: format!("the id {:?} is taken by {}:{}:{}", rule.id(), place.file.display(), place.line, place.column),
        place: rule.place.clone(),
        length: 1,
        help: Some("give one of them another id".to_owned()),
        source: String::new(),
    }
}
