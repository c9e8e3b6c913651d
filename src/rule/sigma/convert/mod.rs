//! Sigma rules as the Rhai rules that an analyst would write: the same events match, and the same alerts follow.
//!
//! Of detections it reads the typed tree that is lowered, behind the same filters and pipelines; of correlations the rule
//! that they are lowered to. What the language can't say is refused by name, never left out.

mod closure;
mod correlation;
mod detection;
mod expression;
mod head;
mod names;
#[cfg(test)]
mod tests;
mod window;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use self::{closure::closure, correlation::Writing, expression::literal, head::head};
use super::{
    load::{Draft, SigmaLoaded, SigmaOptions, Whole, around},
    report::SigmaFile,
    rule::{Around, DetectionRule, meta},
    yaml::Mark,
};
use crate::rule::{Audience, Diagnostic, Level, Rule};

/// The rules of Sigma files in Rhai.
#[derive(Debug, Default)]
pub struct Converted {
    /// One `rule(#{…})` for each, those that others refer to before them.
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

/// Converts the rules of Sigma files, by path and text; findings name the path. Filters are folded into the rules that they
/// change, and rules that only correlations ask for into those. Correlations may refer to `others`, which are Rhai's.
pub fn convert(texts: &BTreeMap<PathBuf, String>, others: &[&Rule], options: &SigmaOptions) -> Converted {
    let files: BTreeMap<&Path, SigmaFile> =
        texts.iter().map(|(path, text)| (path.as_path(), SigmaFile::new(path, text))).collect();
    let mut loaded = SigmaLoaded::default();
    let around = around(options, &mut loaded.found);
    let read = files.values().zip(texts.values()).map(|(file, text)| (file, text.as_str()));
    let whole = Whole::of(read, &around, others, &mut loaded);
    let mut converted = Converted { rules: Vec::new(), found: loaded.found, refused: loaded.refused };
    let refused = |file: &SigmaFile, Refusal { at, message }: Refusal| {
        file.finding(Level::Error, "sigma-unsupported", at, format!("not to be said in Rhai: {message}"))
    };
    for draft in asked_by_themselves(&whole) {
        let Some(rule) = &draft.rule else { continue };
        match detected(rule, &around, draft) {
            Ok(text) => converted.rules.push(text),
            Err(refusal) => {
                converted.refused += 1;
                converted.found.push(refused(draft.report.file, refusal));
            }
        }
    }
    let writing = Writing { whole: &whole, around: &around, others };
    for built in &whole.correlated.rules {
        match (writing.correlation(built), files.get(&*built.rule.place.file)) {
            (Ok(text), _) => converted.rules.push(text),
            (Err(refusal), Some(file)) => {
                converted.refused += 1;
                converted.found.push(refused(file, refusal));
            }
            (Err(_), None) => converted.refused += 1,
        }
    }
    converted.found.extend(whole.drafts.iter().flat_map(|draft| draft.report.found.iter().cloned()));
    converted.found.extend(whole.correlated.found.iter().cloned());
    converted
}

/// The rules that loaded and alert by themselves.
fn asked_by_themselves<'w, 'f>(whole: &'w Whole<'f>) -> impl Iterator<Item = &'w Draft<'f>> {
    let loaded = whole.drafts.iter().zip(&whole.lowered).enumerate();
    let alone = loaded.filter(|(at, (_, rule))| rule.is_some() && !whole.correlated.silenced.contains(at));
    alone.map(|(_, (draft, _))| draft)
}

fn detected(rule: &DetectionRule, around: &Around, draft: &Draft<'_>) -> Result<String, Refusal> {
    let limit = rule.limit(around, draft.report.file).detection;
    let event = detection::detection(&limit).and_then(|limit| closure(rule, limit, "    event: ".len(), 4))?;
    let head = head(&meta(&rule.common, &draft.report), Audience::Everyone);
    Ok(format!("rule(#{{\n{head}\n    event: {event},\n{}}});\n", shown(&rule.common.fields)))
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
