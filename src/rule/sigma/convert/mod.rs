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
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{closure::closure, correlation::Writing, expression::literal, head::head};
use super::{
    correlation::{Looks, silenced},
    load::{Draft, SigmaLoaded, SigmaOptions, Whole, around},
    report::{Report, SigmaFile},
    rule::{Around, DetectionRule, meta},
    yaml::Mark,
};
use crate::rule::{Audience, Diagnostic, Rule, diagnostic::in_order};

/// The rules of Sigma files in Rhai.
#[derive(Debug, Default)]
pub struct Converted {
    /// One `rule(#{…})` for each, those that others refer to before them.
    pub rules: Vec<String>,
    /// Errors, of what could not be converted too, and warnings; in order of files and lines, each once.
    pub found: Vec<Diagnostic>,
    pub refused: usize,
}

/// What can't be said in Rhai, and where it stands.
struct Refusal {
    /// The filter that put it into the rule, if one did.
    of_filter: Option<Arc<SigmaFile>>,
    at: Mark,
    message: String,
}

impl Refusal {
    fn new(at: Mark, message: impl Into<String>) -> Self {
        Refusal { of_filter: None, at, message: message.into() }
    }
}

impl Converted {
    /// Leaves out the rule at `at` of the file.
    fn refuse(&mut self, file: &SigmaFile, at: Mark, refusal: Refusal) {
        let Refusal { of_filter, at: refused_at, message } = refusal;
        let message = format!("not to be said in Rhai: {message}");
        let mut report = Report::new(file);
        report.error_of(of_filter.as_deref(), at, "sigma-unsupported", (refused_at, message), None);
        self.found.append(&mut report.found);
        self.refused += 1;
    }
}

/// Converts the rules of Sigma files, by path and text; findings name the path. Filters are folded into the rules that they
/// change, and rules that only correlations ask for into those. Correlations may refer to `others`, which are Rhai's. A
/// correlation that is refused silences nothing, and what refers to its alerts is refused with it.
pub fn convert(texts: &BTreeMap<PathBuf, String>, others: &[&Rule], options: &SigmaOptions) -> Converted {
    let files: BTreeMap<&Path, SigmaFile> =
        texts.iter().map(|(path, text)| (path.as_path(), SigmaFile::new(path, text))).collect();
    let mut loaded = SigmaLoaded::default();
    let around = around(options, &mut loaded.found);
    let read = files.values().zip(texts.values()).map(|(file, text)| (file, text.as_str()));
    let whole = Whole::of(read, &around, others, &mut loaded);
    let mut converted = Converted { rules: Vec::new(), found: loaded.found, refused: loaded.refused };
    converted.found.extend(whole.drafts.iter().flat_map(|draft| draft.report.found.iter().cloned()));
    converted.found.extend(whole.correlated.found.iter().cloned());
    let mut writing = Writing { whole: &whole, around: &around, others, refused: HashSet::new() };
    let mut correlations = Vec::new();
    for built in &whole.correlated.rules {
        match writing.correlation(built) {
            Ok(body) => correlations.push((built, body)),
            Err(refusal) => {
                writing.refused.insert(built.rule.id());
                // It came of one of the files.
                converted.refuse(&files[&*built.rule.place.file], refusal.at, refusal);
            }
        }
    }
    let silenced = silenced(correlations.iter().map(|(built, _)| *built));
    for (draft, rule) in asked_by_themselves(&whole, &silenced) {
        match detected(rule, &around, draft) {
            Ok(text) => converted.rules.push(text),
            Err(refusal) => converted.refuse(draft.report.file, rule.at, refusal),
        }
    }
    for (built, body) in correlations {
        let audience = built.audience(&silenced);
        converted.rules.push(format!("rule(#{{\n{}{body}}});\n", head(&built.rule.meta, audience)));
    }
    in_order(&mut converted.found);
    converted
}

/// The rules that loaded and alert by themselves.
fn asked_by_themselves<'w, 'f>(
    whole: &'w Whole<'f>,
    silenced: &HashSet<&Looks>,
) -> impl Iterator<Item = (&'w Draft<'f>, &'w DetectionRule)> {
    let loaded = whole.drafts.iter().zip(&whole.lowered).enumerate().filter(|(_, (_, rule))| rule.is_some());
    let alone = loaded.filter(|(at, _)| !silenced.contains(&Looks::Events(*at)));
    alone.filter_map(|(_, (draft, _))| Some((draft, draft.rule.as_ref()?)))
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
