//! What is wrong with a rule file: where, why, and what to write instead.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level as Title, Renderer, Snippet};
use serde::Serialize;

use super::Place;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The rule, or the whole file where it does not parse or evaluate, is not loaded.
    Error,
    Warning,
    /// Nothing is wrong; `--deny-warnings` lets it pass.
    Note,
}

/// A finding in a rule file. As JSON: `level`, `code`, `message`, `file`, `line`, `column`, `length`, `help`, `source`, and
/// `also` (`file`, `line`, `column`) where there is more of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub level: Level,
    /// A stable name for the kind of finding, such as `unknown-key`: one of [`super::CODES`].
    pub code: &'static str,
    pub message: String,
    #[serde(flatten)]
    pub place: Place,
    /// Characters that it is about, from `place` on; at least 1.
    pub length: usize,
    /// What to write instead.
    pub help: Option<String>,
    /// The first further places where the same is found, where it is said once for all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Place>,
    /// The line of the file, as written.
    pub source: String,
}

impl Diagnostic {
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }

    /// The finding with its source line and a mark below it; several lines, without a last line feed.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let level = match self.level {
            Level::Error => Title::ERROR,
            Level::Warning => Title::WARNING,
            Level::Note => Title::NOTE,
        };
        let path = self.place.file.display().to_string();
        let start = byte_of(&self.source, self.place.column.saturating_sub(1));
        let end = byte_of(&self.source, self.place.column.saturating_sub(1) + self.length);
        let snippet = Snippet::source(self.source.as_str())
            .line_start(self.place.line)
            .path(path.as_str())
            .annotation(AnnotationKind::Primary.span(start..end));
        let group = level.primary_title(self.message.as_str()).id(self.code).element(snippet);
        let place = |place: &Place| format!("{}:{}:{}", place.file.display(), place.line, place.column);
        let also = self.also.iter().map(place).collect::<Vec<_>>().join(", ");
        let also = (!also.is_empty()).then(|| format!("see also {also}"));
        let group = match &also {
            Some(also) => group.element(Title::NOTE.message(also.as_str())),
            None => group,
        };
        let group = match &self.help {
            Some(help) => group.element(Title::HELP.message(help.as_str())),
            None => group,
        };
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Puts findings in the order of files and lines, each once.
pub(super) fn in_order(found: &mut Vec<Diagnostic>) {
    let place = |finding: &Diagnostic| (finding.place.file.clone(), finding.place.line, finding.place.column);
    found.sort_by(|a, b| place(a).cmp(&place(b)).then(a.level.cmp(&b.level)));
    found.dedup();
}

fn byte_of(line: &str, chars: usize) -> usize {
    line.char_indices().nth(chars).map_or(line.len(), |(byte, _)| byte)
}

/// The candidate that the author probably meant: the nearest one, if it is near.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let within = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= within)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Help that names the nearest right name.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_offered() {
        assert_eq!(nearest("severty", ["severity", "status"]), Some("severity"));
        assert_eq!(nearest("High", ["high", "low"]), Some("high"));
        assert_eq!(nearest("x", ["severity", "status"]), None);
    }

    #[test]
    fn rendering_marks_the_place_also_after_wide_characters() {
        let diagnostic = Diagnostic {
            level: Level::Error,
            code: "unknown-key",
            message: "unknown key `severty`".to_owned(),
            place: Place { file: "ssh.rhai".into(), line: 7, column: 6 },
            length: 7,
            help: Some("did you mean `severity`?".to_owned()),
            also: vec![Place { file: "b.rhai".into(), line: 1, column: 2 }],
            source: "  /*ö*/severty: 1".to_owned(),
        };
        let text = diagnostic.render(false);
        assert!(text.contains("error[unknown-key]") && text.contains("ssh.rhai:7:6"), "{text}");
        assert!(text.contains("^^^^^^^") && text.contains("did you mean `severity`?"), "{text}");
        assert!(text.contains("note: see also b.rhai:1:2"), "{text}");
    }
}
