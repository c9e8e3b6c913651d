//! The documents of a Sigma file: what kind each is, what all kinds say of themselves, and collections, whose
//! `action: global`, `reset` and `repeat` make several rules of one text.

use super::{
    report::{Report, SigmaFile},
    yaml::{self, Entry, Mark, Node, Yaml},
};
use crate::rule::{Diagnostic, Level, Severity, Status, diagnostic::did_you_mean};

/// Values of all documents of a file, after `global` and `repeat` copied them.
const VALUES_MAX: usize = 1_000_000;

/// A document of a file, complete: what a collection adds is in it.
#[derive(Debug, Clone)]
pub struct Document {
    /// A map.
    pub root: Node,
    pub kind: DocumentKind,
    pub common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// With `detection`.
    Detection,
    /// With `correlation`.
    Correlation,
    /// With `filter`.
    Filter,
}

/// What every kind of document says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Common {
    pub title: String,
    pub id: Option<Named>,
    pub name: Option<Named>,
    /// One other than Sigma's own.
    pub taxonomy: Option<Named>,
    pub status: Option<Status>,
    pub level: Option<Severity>,
    pub description: String,
    pub author: Option<String>,
    pub references: Vec<String>,
    pub tags: Vec<String>,
    pub false_positives: Vec<String>,
    pub fields: Vec<String>,
}

/// A name and where it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    pub text: String,
    pub at: Mark,
}

const LEVELS: [(&str, Severity); 5] = [
    ("informational", Severity::Info),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

/// The taxonomy of rules that name none.
const TAXONOMY: &str = "sigma";

/// Keys that the specification names. Others are the author's own.
const KEYS: [&str; 23] = [
    "title",
    "id",
    "related",
    "name",
    "taxonomy",
    "status",
    "description",
    "license",
    "author",
    "references",
    "date",
    "modified",
    "logsource",
    "detection",
    "correlation",
    "filter",
    "fields",
    "falsepositives",
    "level",
    "tags",
    "scope",
    "generate",
    "action",
];

/// The documents of a file that are worth reading on, each with its findings: those that are whole, and detection rules
/// of which only the metadata is wrong. And how many are not, with what is wrong with them.
pub struct Documents<'f> {
    pub readable: Vec<(Document, Report<'f>)>,
    pub refused: usize,
    pub found: Vec<Diagnostic>,
}

/// Reads the documents of a file.
pub fn read<'f>(file: &'f SigmaFile, text: &str) -> Documents<'f> {
    let mut documents = Documents { readable: Vec::new(), refused: 0, found: Vec::new() };
    let mut collection = Collection::default();
    for document in yaml::documents(text) {
        let mut report = Report::new(file);
        let root = match document {
            Ok(root) => collection.next(root, &mut report),
            Err(error) => {
                report.error("syntax", error.at, error.message, None);
                None
            }
        };
        let document = root.and_then(|root| Document::of(root, &mut report));
        let has_errors = report.has_errors();
        match document {
            Some(document) if !has_errors || document.kind == DocumentKind::Detection => {
                documents.readable.push((document, report))
            }
            _ => {
                documents.refused += usize::from(has_errors);
                documents.found.extend(report.found);
            }
        }
    }
    if documents.readable.is_empty() && documents.found.is_empty() && !collection.has_global() {
        documents.found.push(file.finding(Level::Warning, "empty", Mark::START, "the file holds no rule"));
    }
    documents
}

/// What earlier documents give to later ones.
#[derive(Default)]
struct Collection {
    global: Option<Node>,
    previous: Option<Node>,
    values: usize,
}

impl Collection {
    fn has_global(&self) -> bool {
        self.global.is_some()
    }

    /// The rule that a document makes; `None` for one that only says what others have, or is wrong.
    fn next(&mut self, mut root: Node, report: &mut Report<'_>) -> Option<Node> {
        let Yaml::Map(entries) = &mut root.yaml else {
            report.error("wrong-type", root.at, format!("a rule is a map, not {}", root.kind()), None);
            return None;
        };
        let action = entries.iter().position(|entry| entry.key == "action").map(|at| entries.remove(at));
        let is_meta = entries.iter().any(|entry| matches!(entry.key.as_str(), "correlation" | "filter"));
        let rule = match action.as_ref().map(|action| (action, action.value.as_text().unwrap_or_default())) {
            None if is_meta => return self.counted(root, report),
            None => {
                self.global.iter().for_each(|global| overlay(&mut root, global));
                root
            }
            Some((_, "global")) => {
                self.previous = Some(root.clone());
                self.global = Some(root);
                return None;
            }
            Some((_, "reset")) => {
                self.global = None;
                return None;
            }
            Some((_, "repeat")) => match self.previous.take() {
                Some(mut previous) => {
                    overlay(&mut previous, &root);
                    previous
                }
                None => {
                    report.error("sigma-collection", root.at, "there is no rule before this to repeat", None);
                    return None;
                }
            },
            Some((action, other)) => {
                let help = did_you_mean(other, ["global", "reset", "repeat"]);
                let help = help.or(Some("one of global, reset, repeat".to_owned()));
                report.error("unknown-value", action.value.at, format!("`{other}` is no action"), help);
                return None;
            }
        };
        let rule = self.counted(rule, report)?;
        self.previous = Some(rule.clone());
        Some(rule)
    }

    fn counted(&mut self, rule: Node, report: &mut Report<'_>) -> Option<Node> {
        self.values += rule.size();
        if self.values > VALUES_MAX {
            let message = format!("the rules of this file have more than {VALUES_MAX} values, repeated ones included");
            report.error("too-large", rule.at, message, None);
            return None;
        }
        Some(rule)
    }
}

/// Puts what `over` has over what `base` has, map by map.
fn overlay(base: &mut Node, over: &Node) {
    let (Yaml::Map(entries), Yaml::Map(new)) = (&mut base.yaml, &over.yaml) else {
        *base = over.clone();
        return;
    };
    for entry in new {
        match entries.iter_mut().find(|own| own.key == entry.key) {
            Some(own) if entry.value.as_map().is_some() => overlay(&mut own.value, &entry.value),
            Some(own) => *own = entry.clone(),
            None => entries.push(entry.clone()),
        }
    }
}

impl Document {
    fn of(root: Node, report: &mut Report<'_>) -> Option<Self> {
        let entries = root.as_map()?;
        let has = |key: &str| entries.iter().any(|entry| entry.key == key);
        let kind = match (has("correlation"), has("filter"), has("detection")) {
            (true, ..) => DocumentKind::Correlation,
            (_, true, _) => DocumentKind::Filter,
            (.., true) => DocumentKind::Detection,
            _ if has("transformations") => {
                let help =
                    "name the file in `[sigma] pipelines`, or with `--pipeline`, and keep it outside of the rules";
                report.error("sigma-kind", root.at, "a processing pipeline is no rule", Some(help.to_owned()));
                return None;
            }
            _ => {
                let near =
                    entries.iter().find_map(|entry| did_you_mean("detection", [entry.key.as_str()]).map(|_| entry));
                let help = near.map(|entry| format!("`{}` should read `detection`", entry.key));
                let message = "no Sigma rule: it has neither `detection` nor `correlation` nor `filter`";
                report.error("sigma-kind", near.map_or(root.at, |entry| entry.at), message, help);
                return None;
            }
        };
        for entry in entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
            if let Some(help) = did_you_mean(&entry.key, KEYS) {
                report.warning("unknown-key", entry.at, format!("unknown key `{}`", entry.key), Some(help));
            }
        }
        let common = Common::read(&root, kind, report);
        Some(Document { root, kind, common })
    }
}

impl Common {
    fn read(root: &Node, kind: DocumentKind, report: &mut Report<'_>) -> Self {
        let title = text(root, "title", report);
        if root.get("title").is_none_or(Node::is_null) {
            report.error("no-title", root.at, "the rule has no `title`", Some("add `title: …`".to_owned()));
        }
        let level = root.entry("level").filter(|entry| !entry.value.is_null());
        if level.is_none() && kind == DocumentKind::Detection {
            let help = Some("add `level: medium`".to_owned());
            report.warning("no-severity", root.at, "the rule has no `level`; its alerts are `medium`", help);
        }
        let false_positives = texts(root, "falsepositives", report);
        if false_positives.is_empty() && kind == DocumentKind::Detection {
            let help = Some("add `falsepositives:`: what looks the same and is harmless".to_owned());
            report.warning("no-false-positives", root.at, "the rule notes no false positives", help);
        }
        Common {
            title: title.map_or(String::new(), |title| title.text),
            id: text(root, "id", report).filter(|id| !id.text.is_empty()),
            name: text(root, "name", report).filter(|name| !name.text.is_empty()),
            taxonomy: text(root, "taxonomy", report).filter(|taxonomy| !taxonomy.text.eq_ignore_ascii_case(TAXONOMY)),
            status: root.entry("status").and_then(|entry| one_of(entry, &Status::NAMES, report)),
            level: level.and_then(|entry| one_of(entry, &LEVELS, report)),
            description: text(root, "description", report).map_or(String::new(), |text| text.text),
            author: text(root, "author", report).map(|author| author.text),
            references: texts(root, "references", report),
            tags: texts(root, "tags", report),
            false_positives,
            fields: texts(root, "fields", report),
        }
    }

    /// What the rule is called: its id, else a name made of its title.
    pub fn rule_id(&self) -> String {
        match &self.id {
            Some(id) => id.text.to_lowercase(),
            None => slug(&self.title),
        }
    }
}

impl Common {
    /// By what it can be referred to.
    pub fn called(&self) -> impl Iterator<Item = String> {
        self.name.iter().map(|name| name.text.clone()).chain([self.rule_id()])
    }
}

/// Lower case, with hyphens for all that is neither letter nor digit.
fn slug(title: &str) -> String {
    let words = title.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// The text under a key; `None` where there is none, or where it is none, which is then reported.
fn text(root: &Node, key: &str, report: &mut Report<'_>) -> Option<Named> {
    let node = root.get(key).filter(|node| !node.is_null())?;
    match node.as_text() {
        Some(text) => Some(Named { text: text.trim_end().to_owned(), at: node.at }),
        None => {
            report.error("wrong-type", node.at, format!("`{key}` is a text, not {}", node.kind()), None);
            None
        }
    }
}

/// The texts in the list under a key; a text alone is a list of one.
pub fn texts(root: &Node, key: &str, report: &mut Report<'_>) -> Vec<String> {
    let Some(node) = root.get(key).filter(|node| !node.is_null()) else { return Vec::new() };
    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
    let mut texts = Vec::new();
    for item in items {
        match item.as_text() {
            Some(text) => texts.push(text.trim_end().to_owned()),
            None => {
                let message = format!("`{key}` is a list of texts, and this is {}", item.kind());
                report.error("wrong-type", item.at, message, None);
            }
        }
    }
    texts
}

fn one_of<T: Copy>(entry: &Entry, choices: &[(&str, T)], report: &mut Report<'_>) -> Option<T> {
    if entry.value.is_null() {
        return None;
    }
    let written = entry.value.as_text().unwrap_or_default().to_lowercase();
    if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == written) {
        return Some(*choice);
    }
    let words = || choices.iter().map(|(word, _)| *word);
    let listed = || format!("one of {}", words().collect::<Vec<_>>().join(", "));
    let help = did_you_mean(&written, words()).unwrap_or_else(listed);
    report.error("unknown-value", entry.value.at, format!("`{written}` is no {}", entry.key), Some(help));
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read_all(text: &str) -> (Vec<Document>, Vec<String>) {
        let file = SigmaFile::new(Path::new("r.yml"), text);
        let documents = read(&file, text);
        let messages = documents.found.iter().map(|finding| finding.message.clone()).collect();
        (documents.readable.into_iter().map(|(document, _)| document).collect(), messages)
    }

    fn field(document: &Document, name: &str) -> Option<String> {
        Some(document.root.get("detection")?.get(name)?.as_text()?.to_owned())
    }

    #[test]
    fn a_global_document_gives_to_all_that_follow_until_reset() {
        let (rules, found) = read_all(
            "action: global\ntitle: A\ndetection:\n  condition: x\n---\ndetection:\n  x: one\n---\ndetection:\n  x: two\n\
             ---\naction: reset\n---\ntitle: B\ndetection:\n  x: three\n",
        );
        assert!(found.is_empty(), "{found:?}");
        let read: Vec<_> =
            rules.iter().map(|rule| (rule.common.title.as_str(), field(rule, "x"), field(rule, "condition"))).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read[0], ("A", some("one"), some("x")));
        assert_eq!(read[1], ("A", some("two"), some("x")));
        assert_eq!(read[2], ("B", some("three"), None));
    }

    #[test]
    fn a_repeated_rule_changes_what_it_names() {
        let (rules, _) = read_all(
            "title: A\ndetection:\n  x: one\n  y: two\n---\naction: repeat\ntitle: B\ndetection:\n  x: three\n",
        );
        assert_eq!((rules[0].common.rule_id(), rules[1].common.rule_id()), ("a".to_owned(), "b".to_owned()));
        assert_eq!((field(&rules[1], "x"), field(&rules[1], "y")), (Some("three".to_owned()), Some("two".to_owned())));
        assert!(read_all("action: repeat\ntitle: B\n").1[0].contains("no rule before"));
    }

    #[test]
    fn what_repeating_copies_is_bounded() {
        let body = format!("title: A\ndetection:\n  x: [{}]\n", "1,".repeat(60_000));
        let (rules, found) = read_all(&format!("{body}{}", "---\naction: repeat\n".repeat(40)));
        assert!(rules.len() < 20 && found.iter().any(|message| message.contains("repeated")));
    }

    #[test]
    fn one_bad_document_loses_only_itself() {
        let (rules, found) = read_all("title: A\ndetection: {}\n---\ntitle: [\n---\ntitle: C\ndetection: {}\n");
        assert_eq!((rules.len(), found.len()), (2, 1));
    }

    #[test]
    fn kinds_are_told_apart() {
        let kind = |key: &str| read_all(&format!("title: A\n{key}: {{}}\n")).0.first().map(|rule| rule.kind);
        assert_eq!(kind("detection"), Some(DocumentKind::Detection));
        assert_eq!(kind("correlation"), Some(DocumentKind::Correlation));
        assert_eq!(kind("filter"), Some(DocumentKind::Filter));
        assert_eq!(kind("other"), None);
        assert!(read_all("").1[0].contains("no rule"));
    }
}
