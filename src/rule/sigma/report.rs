//! Findings in a Sigma file, at their places.

use std::path::{Path, PathBuf};

use super::yaml::Mark;
use crate::rule::{Diagnostic, Level, Place, source};

/// A Sigma file as findings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigmaFile {
    pub path: PathBuf,
    /// The first 12 hex digits of the text's SHA-256.
    pub version: String,
    lines: Vec<String>,
}

impl SigmaFile {
    pub fn new(path: &Path, text: &str) -> Self {
        SigmaFile {
            path: path.to_owned(),
            version: source::hash_of(text)[..12].to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    pub fn place(&self, at: Mark) -> Place {
        Place { file: self.path.clone(), line: at.line, column: at.column }
    }

    pub fn finding(&self, level: Level, code: &'static str, at: Mark, message: impl Into<String>) -> Diagnostic {
        self.finding_at(level, code, self.place(at), message.into())
    }

    pub fn finding_at(&self, level: Level, code: &'static str, place: Place, message: String) -> Diagnostic {
        let line = self.lines.get(place.line - 1).map_or("", String::as_str);
        source::diagnostic(line, level, code, place, message)
    }
}

/// What is found in one document.
#[derive(Debug)]
pub struct Report<'f> {
    pub file: &'f SigmaFile,
    pub found: Vec<Diagnostic>,
}

impl<'f> Report<'f> {
    pub fn new(file: &'f SigmaFile) -> Self {
        Report { file, found: Vec::new() }
    }

    pub fn error(&mut self, code: &'static str, at: Mark, message: impl Into<String>, help: Option<String>) {
        let finding = self.file.finding(Level::Error, code, at, message);
        self.found.push(Diagnostic { help, ..finding });
    }

    /// An error in what a filter put into the rule: it is told in the filter's file, and that there is one at `rule_at`.
    pub fn error_of(
        &mut self,
        of_filter: Option<&SigmaFile>,
        rule_at: Mark,
        code: &'static str,
        (at, message): (Mark, String),
        help: Option<String>,
    ) {
        let Some(file) = of_filter else { return self.error(code, at, message, help) };
        let of_rule = self.file.finding(Level::Error, code, rule_at, "a filter does not fit this rule");
        self.found.push(Diagnostic { help, ..file.finding(Level::Error, code, at, message) });
        self.found.push(Diagnostic { also: vec![file.place(at)], ..of_rule });
    }

    pub fn warning(&mut self, code: &'static str, at: Mark, message: impl Into<String>, help: Option<String>) {
        let finding = self.file.finding(Level::Warning, code, at, message);
        self.found.push(Diagnostic { help, ..finding });
    }

    pub fn note(&mut self, code: &'static str, at: Mark, message: impl Into<String>, help: Option<String>) {
        let finding = self.file.finding(Level::Note, code, at, message);
        self.found.push(Diagnostic { help, ..finding });
    }

    pub fn has_errors(&self) -> bool {
        self.found.iter().any(Diagnostic::is_error)
    }
}
