//! A Sigma rule as the Rhai rule that an analyst would write: the same events match.
//!
//! It reads the same typed tree that is lowered, behind the same pipelines. What the language can't say is refused by
//! name, never left out.

mod detection;
mod expression;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::{
    condition::Condition,
    document::{self, Document, DocumentKind},
    load::{SigmaOptions, around},
    report::{Report, SigmaFile},
    rule::{Around, DetectionRule, meta},
    yaml::Mark,
};
use crate::rule::{Diagnostic, Meta, Status};
use expression::{Expression, literal};

/// The rules of a Sigma file in Rhai.
#[derive(Debug, Default)]
pub struct Converted {
    /// One `rule(#{…})` for each.
    pub rules: Vec<String>,
    /// Errors, of what could not be converted too, and warnings.
    pub found: Vec<Diagnostic>,
    pub refused: usize,
}

/// What can't be said in Rhai, and where it stands.
struct Refusal {
    at: Mark,
    message: String,
}

/// Converts the rules of a Sigma file; `path` is what findings call it.
pub fn convert(path: &Path, text: &str, options: &SigmaOptions) -> Converted {
    let file = SigmaFile::new(path, text);
    let mut converted = Converted::default();
    let around = around(options, &mut converted.found);
    let documents = document::read(&file, text);
    converted.refused += documents.refused;
    converted.found.extend(documents.found);
    for (document, mut report) in documents.readable {
        match rule(&document, &around, &mut report) {
            Some(rule) if !report.has_errors() => converted.rules.push(rule),
            _ => converted.refused += 1,
        }
        converted.found.extend(report.found);
    }
    converted
}

fn rule(document: &Document, around: &Around, report: &mut Report<'_>) -> Option<String> {
    if document.kind != DocumentKind::Detection {
        let message = "correlations and filters are not converted";
        report.error("sigma-unsupported", document.root.at, message, None);
        return None;
    }
    let mut rule = DetectionRule::parse(document, report)?;
    if !rule.pass(around, report) {
        return None;
    }
    let limit = rule.limit(around, report);
    let parts = detection::detection(&limit).and_then(|limit| closure(&rule, limit));
    match parts {
        Ok(event) => {
            let text = head(&meta(&rule.common, report));
            let shown = shown(&rule.common.fields);
            Some(format!("rule(#{{\n{text}\n    event: {event},\n{shown}}});\n"))
        }
        Err(Refusal { at, message }) => {
            report.error("sigma-unsupported", at, format!("not to be said in Rhai: {message}"), None);
            None
        }
    }
}

/// The closure that asks an event; `limit` says that it is of the rule's log source.
fn closure(rule: &DetectionRule, limit: Option<Expression>) -> Result<String, Refusal> {
    let named = &rule.detections.named;
    let names: Vec<&str> = named.iter().map(|named| named.name.as_str()).collect();
    let tests: Vec<Option<Expression>> =
        named.iter().map(|named| detection::detection(&named.detection)).collect::<Result<_, _>>()?;
    let variables = variables(&names);
    // A condition that is one name needs no variables.
    if let [Condition::Name { name, .. }] = &rule.detections.conditions[..] {
        let test = names.iter().position(|own| own == name).and_then(|at| tests[at].clone());
        let parts = limit.into_iter().chain(test);
        return Ok(format!("|e| {}", Expression::all(parts).laid_out("    event: |e| ".len(), 4)));
    }
    let variable = |name: &str| {
        let at = names.iter().position(|own| *own == name)?;
        tests[at].as_ref().map(|_| Expression::Leaf(variables[at].clone()))
    };
    let conditions = rule.detections.conditions.iter();
    let conditions: Vec<Expression> = conditions
        .filter_map(|condition| detection::condition(condition, &names, &variable).transpose())
        .collect::<Result<_, _>>()?;
    let mut lines = Vec::new();
    let mut parts = Vec::new();
    let mut declare = |name: &str, test: &Expression| {
        let start = format!("        let {name} = ");
        lines.push(format!("{start}{};\n", test.laid_out(start.len(), 8)));
    };
    if let Some(limit) = limit {
        let name = free(SOURCE, &variables);
        declare(&name, &limit);
        parts.push(Expression::Leaf(name));
    }
    for (name, test) in variables.iter().zip(&tests) {
        if let Some(test) = test {
            declare(name, test);
        }
    }
    parts.push(Expression::any(conditions));
    Ok(format!("|e| {{\n{}        {}\n    }}", lines.concat(), Expression::all(parts).laid_out(8, 8)))
}

/// What says that an event is of the rule's log source.
const SOURCE: &str = "source";

/// Words that Rhai keeps for itself, and the event.
const RESERVED: [&str; 60] = [
    "e",
    "true",
    "false",
    "let",
    "const",
    "is",
    "if",
    "else",
    "switch",
    "do",
    "while",
    "until",
    "loop",
    "for",
    "in",
    "continue",
    "break",
    "return",
    "throw",
    "try",
    "catch",
    "fn",
    "private",
    "this",
    "import",
    "export",
    "as",
    "global",
    "static",
    "shared",
    "sync",
    "async",
    "await",
    "yield",
    "goto",
    "exit",
    "match",
    "case",
    "default",
    "void",
    "null",
    "nil",
    "public",
    "protected",
    "new",
    "use",
    "with",
    "module",
    "package",
    "super",
    "var",
    "thread",
    "spawn",
    "go",
    "Fn",
    "call",
    "curry",
    "print",
    "debug",
    "eval",
];

/// A variable's name for each detection, each another.
fn variables(names: &[&str]) -> Vec<String> {
    let mut variables: Vec<String> = Vec::new();
    for name in names {
        let mut variable: String = name
            .trim_start_matches('_')
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() { char } else { '_' })
            .collect();
        if !variable.starts_with(|char: char| char.is_ascii_alphabetic()) {
            variable.insert(0, 'd');
        }
        if RESERVED.contains(&variable.as_str()) {
            variable.push('_');
        }
        variables.push(free(&variable, &variables));
    }
    variables
}

fn free(name: &str, taken: &[String]) -> String {
    let mut free = name.to_owned();
    while taken.contains(&free) {
        free.push('_');
    }
    free
}

/// What the rule says of itself.
fn head(meta: &Meta) -> String {
    let mut lines = String::new();
    let mut text = |key: &str, text: &str| {
        if !text.is_empty() {
            lines += &format!("    {key}: {},\n", literal(text));
        }
    };
    text("id", &meta.id);
    text("title", &meta.title);
    text("severity", meta.severity.as_str());
    text("status", meta.status.map_or("", Status::as_str));
    text("description", &meta.description);
    text("author", meta.author.as_deref().unwrap_or_default());
    let lists = [
        ("references", &meta.references),
        ("attack", &meta.attack),
        ("tags", &meta.tags),
        ("false_positives", &meta.false_positives),
    ];
    for (key, texts) in lists {
        lines += &list(key, texts);
    }
    lines
}

fn list(key: &str, texts: &[String]) -> String {
    const WIDTH: usize = 110;
    if texts.is_empty() {
        return String::new();
    }
    let literals: Vec<String> = texts.iter().map(|text| literal(text)).collect();
    let line = format!("    {key}: [{}],\n", literals.join(", "));
    if line.chars().count() <= WIDTH {
        return line;
    }
    let lines: String = literals.iter().map(|literal| format!("        {literal},\n")).collect();
    format!("    {key}: [\n{lines}    ],\n")
}

/// The fields that the rule wants shown.
fn shown(fields: &[String]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let entry = |field: &String| {
        let read = expression::field(field);
        format!("        {}: w.event.last{},\n", literal(field), &read[1..])
    };
    format!("    alert: |w| #{{\n{}    }},\n", fields.iter().map(entry).collect::<String>())
}
