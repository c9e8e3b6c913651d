//! The rules that a command runs: one or several paths as one set, with every finding.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Result, bail};

use super::{args::DatabaseArgs, databases, output::tell, pipelines, rule_files::read_rule_files};
use crate::{
    config::Enrichment,
    rule::{Diagnostic, Level, LoadOptions, Place, Rule, RuleFiles, RuleSet, SigmaOptions, load},
};

/// Loaded rules.
pub struct Rules {
    paths: Vec<PathBuf>,
    options: LoadOptions,
    databases: Enrichment,
    /// Files for Sigma rules.
    pipelines: Vec<PathBuf>,
    /// What each path gave, for the next reload.
    of_path: Vec<RuleSet>,
    /// The folder of each path, which the places in `of_path` are relative to.
    roots: Vec<PathBuf>,
    pub set: Arc<RuleSet>,
    /// With paths as the user can open them.
    pub diagnostics: Vec<Diagnostic>,
    /// Rules that did not load; a file that can't be evaluated counts as one.
    pub refused: usize,
}

impl Rules {
    /// Loads every rule at `paths`, with the databases of addresses that the configuration names, and the pipelines
    /// of Sigma rules.
    ///
    /// # Errors
    /// When a path can't be read. Rules that are wrong are no error: they are in `diagnostics`.
    pub fn load(
        paths: &[PathBuf],
        options: LoadOptions,
        databases: &Enrichment,
        pipelines: &[PathBuf],
    ) -> Result<Self> {
        let mut rules = Self::at(paths, options, databases, pipelines);
        rules.reload()?;
        Ok(rules)
    }

    /// The rules of files that were read, with such pipelines.
    pub fn of(files: RuleFiles, sigma: SigmaOptions, options: LoadOptions, databases: &Enrichment) -> Self {
        let mut rules = Self::at(std::slice::from_ref(&files.root), options, databases, &[]);
        rules.take(vec![files], sigma);
        rules
    }

    fn at(paths: &[PathBuf], options: LoadOptions, databases: &Enrichment, pipelines: &[PathBuf]) -> Self {
        Rules {
            paths: paths.to_vec(),
            options,
            databases: databases.clone(),
            pipelines: pipelines.to_vec(),
            of_path: Vec::new(),
            roots: Vec::new(),
            set: Arc::default(),
            diagnostics: Vec::new(),
            refused: 0,
        }
    }

    /// The same with the databases of the command line.
    ///
    /// # Errors
    /// When a path or a database can't be read.
    pub fn load_with(
        paths: &[PathBuf],
        options: LoadOptions,
        databases: &DatabaseArgs,
        pipelines: &[PathBuf],
    ) -> Result<Self> {
        let databases = Enrichment { geo: databases.geo.clone(), asn: databases.asn.clone() };
        let rules = Rules::load(paths, options, &databases, pipelines)?;
        match rules.diagnostics.iter().find(|finding| finding.code == databases::CODE) {
            Some(Diagnostic { place, message, .. }) => bail!("{}: {message}", place.file.display()),
            None => Ok(rules),
        }
    }

    /// Reads the paths again. A file with errors keeps its last good rules; pipelines with errors stay as they were.
    ///
    /// # Errors
    /// When a path can't be read; then nothing changed.
    pub fn reload(&mut self) -> Result<()> {
        let files = self.paths.iter().map(|path| read_rule_files(path)).collect::<Result<Vec<_>, _>>()?;
        let sigma = pipelines::read(&self.pipelines)?;
        self.take(files, sigma);
        Ok(())
    }

    fn take(&mut self, files: Vec<RuleFiles>, sigma: SigmaOptions) {
        let mut of_path = Vec::new();
        self.diagnostics.clear();
        let wrong = sigma.findings();
        if self.of_path.is_empty() || wrong.is_empty() {
            self.options.sigma = Arc::new(sigma);
        } else {
            self.diagnostics.extend(wrong);
        }
        self.options.enrichment = databases::read(&self.databases, &self.options.enrichment, &mut self.diagnostics);
        self.refused = 0;
        for (at, files) in files.iter().enumerate() {
            let loaded = load(files, &self.options, self.of_path.get(at));
            self.diagnostics.extend(loaded.diagnostics.into_iter().map(|finding| below(&files.root, finding)));
            self.refused += loaded.refused;
            of_path.push(loaded.set);
        }
        self.of_path = of_path;
        self.roots = files.into_iter().map(|files| files.root).collect();
        self.merge();
    }

    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    /// Says on stderr that there is nothing to run, which is seldom what was meant.
    pub fn warn_if_none(&self) {
        if self.set.rules.is_empty() && self.diagnostics.is_empty() {
            let paths: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
            tell(format_args!("warning: no rules in {}", paths.join(", ")));
        }
    }

    /// The file of a place in a rule, as the user can open it.
    pub fn path_of(&self, rule: &str, place: &Place) -> PathBuf {
        let holds = |set: &RuleSet| set.get(rule).is_some_and(|rule| rule.place.file == place.file);
        let root = self.of_path.iter().position(holds).map_or(Path::new(""), |at| &self.roots[at]);
        shown(root, &place.file)
    }

    /// What is wrong with the rules: with source lines for people, as events where machines read the log.
    pub fn show_errors(&self, json: bool) {
        if json { self.log() } else { self.report() }
    }

    /// The errors, as events of the process's own log.
    fn log(&self) {
        for error in self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()) {
            let Place { file, line, column } = &error.place;
            let (code, help) = (error.code, error.help.as_deref());
            tracing::error!(file = %file.display(), line, column, code, help, "{}", error.message);
        }
    }

    /// The errors, and that there are no rules, on stderr.
    pub fn report(&self) {
        self.warn_if_none();
        let coloured = io::stderr().is_terminal();
        for error in self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()) {
            tell(format_args!("{}\n", error.render(coloured)));
        }
    }

    /// One set of several; of two rules with one id the first path's stays.
    fn merge(&mut self) {
        if let [only] = &self.of_path[..] {
            self.set = Arc::new(only.clone());
            return;
        }
        let mut rules: BTreeMap<Arc<str>, (Arc<Rule>, &Path)> = BTreeMap::new();
        for (set, root) in self.of_path.iter().zip(&self.roots) {
            for rule in &set.rules {
                match rules.get(rule.id()) {
                    Some((first, its_root)) => {
                        self.diagnostics.push(repeated(rule, root, &shown(its_root, &first.place.file), &first.place));
                        self.refused += 1;
                    }
                    None => {
                        rules.insert(rule.id().clone(), (rule.clone(), root));
                    }
                }
            }
        }
        let hashes: Vec<&str> = self.of_path.iter().map(|set| set.hash.as_str()).collect();
        self.set = Arc::new(RuleSet {
            rules: rules.into_values().map(|(rule, _)| rule).collect(),
            hash: hashes.join("+"),
            sources: self.of_path.iter().flat_map(|set| set.sources.clone()).collect(),
            ..RuleSet::default()
        });
    }
}

/// `file` is relative to `root`; `.` goes without saying.
pub fn shown(root: &Path, file: &Path) -> PathBuf {
    root.strip_prefix(".").unwrap_or(root).join(file)
}

fn below(root: &Path, mut finding: Diagnostic) -> Diagnostic {
    for place in [&mut finding.place].into_iter().chain(&mut finding.also) {
        place.file = shown(root, &place.file);
    }
    finding
}

fn repeated(rule: &Rule, root: &Path, first_file: &Path, first: &Place) -> Diagnostic {
    let finding = Diagnostic {
        level: Level::Error,
        code: "duplicate-id",
        message: format!(
            "the id `{}` is taken: {}:{}:{} has it",
            rule.id(),
            first_file.display(),
            first.line,
            first.column
        ),
        place: rule.place.clone(),
        length: 1,
        help: Some("give the rule an id of its own".to_owned()),
        also: Vec::new(),
        source: String::new(),
    };
    below(root, finding)
}
