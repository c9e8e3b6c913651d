//! YAML with the place of every value: documents of one file, each parsed by itself, so that a broken one loses only
//! itself.
//!
//! Plain scalars mean what YAML 1.2's core schema says (`yes` is a text, `null`, `~` and nothing at all are null), and
//! keep how they are written. A document is bounded in depth and in values, those that aliases repeat included. It
//! knows nothing of rules.

use std::collections::{BTreeSet, HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use crate::rule::number::Num;

/// Lists and maps inside each other.
const DEPTH_MAX: usize = 32;

/// Values of one document.
const VALUES_MAX: usize = 100_000;

/// Of texts further to the right only the start is known.
const COLUMN_MAX: usize = 1_000;

/// Where a value stands in its file; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    pub line: usize,
    pub column: usize,
}

impl Mark {
    pub const START: Mark = Mark { line: 1, column: 1 };
}

/// A value at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub at: Mark,
    pub yaml: Yaml,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Yaml {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file, each key once.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    /// Where the key stands.
    pub at: Mark,
    pub value: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    pub kind: ScalarKind,
    /// The text; of what is not quoted, as it is written.
    pub text: String,
    /// Characters from the scalar's place to the text, where the text stands in the file as it is, on one line.
    inside: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScalarKind {
    Null,
    Bool(bool),
    Number(Num),
    Text,
}

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    pub at: Mark,
    pub message: String,
}

impl Node {
    pub fn as_map(&self) -> Option<&[Entry]> {
        if let Yaml::Map(entries) = &self.yaml { Some(entries) } else { None }
    }

    pub fn as_list(&self) -> Option<&[Node]> {
        if let Yaml::List(items) = &self.yaml { Some(items) } else { None }
    }

    pub fn as_scalar(&self) -> Option<&Scalar> {
        if let Yaml::Scalar(scalar) = &self.yaml { Some(scalar) } else { None }
    }

    /// The text of a scalar that is not null: numbers and booleans as they are written.
    pub fn as_text(&self) -> Option<&str> {
        self.as_scalar().filter(|scalar| scalar.kind != ScalarKind::Null).map(|scalar| scalar.text.as_str())
    }

    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|scalar| scalar.kind == ScalarKind::Null)
    }

    /// The entry of a map; `None` where this is no map or has no such key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.as_map()?.iter().find(|entry| entry.key == key)
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match &self.yaml {
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
            Yaml::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => "nothing",
                ScalarKind::Bool(_) => "a boolean",
                ScalarKind::Number(_) => "a number",
                ScalarKind::Text => "a text",
            },
        }
    }

    /// Values in it.
    pub fn size(&self) -> usize {
        measure(self).0
    }

    /// The place of the character at `offset` (in bytes) of a scalar's text, as near as it is known.
    pub fn inside(&self, offset: usize) -> Mark {
        let Some(Scalar { text, inside: Some(skipped), .. }) = self.as_scalar() else { return self.at };
        let before = text.get(..offset).map_or(0, |before| before.chars().count());
        Mark { line: self.at.line, column: self.at.column + skipped + before }
    }
}

/// The documents of a file, in order; nothing for one that is empty.
pub fn documents(text: &str) -> Vec<Result<Node, YamlError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    chunks(text).into_iter().filter_map(|(line, chunk)| document(chunk, line).transpose()).collect()
}

/// The text of each document with the number of lines before it. A line that starts with `---` always starts a
/// document: no scalar may hold one.
fn chunks(text: &str) -> Vec<(usize, &str)> {
    let is_start = |line: &str| {
        line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    };
    let (mut chunks, mut start, mut start_line, mut at) = (Vec::new(), 0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        // Directives (`%YAML 1.2`) belong to the document that follows.
        let only_directives = || text[start..at].lines().all(|line| line.is_empty() || line.starts_with(['%', '#']));
        if is_start(line) && !only_directives() {
            chunks.push((start_line, &text[start..at]));
            (start, start_line) = (at, number);
        }
        at += line.len();
    }
    chunks.push((start_line, &text[start..]));
    chunks
}

fn document(text: &str, lines_before: usize) -> Result<Option<Node>, YamlError> {
    let mut builder = Builder::new(text, lines_before);
    let mut parser = Parser::new(StrInput::new(text));
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| YamlError {
            at: builder.mark(error.marker().line(), error.marker().col()),
            message: error.info().to_owned(),
        })?;
        if builder.root.is_some() && matches!(event, Event::DocumentStart(_)) {
            return Err(builder.error(span, "a second document that no `---` starts"));
        }
        builder.take(event, span)?;
    }
    Ok(builder.root.filter(|root| !root.is_null()))
}

/// Lists and maps that are being filled.
struct Builder<'t> {
    lines: Vec<&'t str>,
    lines_before: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    values: usize,
    root: Option<Node>,
}

struct Open {
    at: Mark,
    anchor: usize,
    filled: Filled,
}

enum Filled {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, keys: BTreeSet<String>, key: Option<(String, Mark)> },
}

impl<'t> Builder<'t> {
    fn new(text: &'t str, lines_before: usize) -> Self {
        let lines = text.lines().collect();
        Builder { lines, lines_before, open: Vec::new(), anchors: HashMap::new(), values: 0, root: None }
    }

    /// Of the parser's line, which counts from 1, and column, which counts from 0.
    fn mark(&self, line: usize, column: usize) -> Mark {
        Mark { line: self.lines_before + line.max(1), column: column + 1 }
    }

    fn error(&self, span: Span, message: impl Into<String>) -> YamlError {
        YamlError { at: self.mark(span.start.line(), span.start.col()), message: message.into() }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let at = self.mark(span.start.line(), span.start.col());
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let kind = if style == ScalarStyle::Plain && !is_text { kind_of(&text) } else { ScalarKind::Text };
                let inside = self.inside(&text, style, span);
                let scalar = Scalar { kind, text: text.into_owned(), inside };
                self.put(Node { at, yaml: Yaml::Scalar(scalar) }, anchor, span)
            }
            Event::SequenceStart(anchor, _) => self.start(at, anchor, Filled::List(Vec::new()), span),
            Event::MappingStart(anchor, _) => {
                self.start(at, anchor, Filled::Map { entries: Vec::new(), keys: BTreeSet::new(), key: None }, span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { at, anchor, filled }) = self.open.pop() else { return Ok(()) };
                let yaml = match filled {
                    Filled::List(items) => Yaml::List(items),
                    Filled::Map { entries, .. } => Yaml::Map(entries),
                };
                self.put(Node { at, yaml }, anchor, span)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(self.error(span, "an alias inside of what it stands for"));
                };
                let (size, depth) = measure(node);
                self.values += size;
                if self.values > VALUES_MAX || self.open.len() + depth > DEPTH_MAX {
                    return Err(self.too_large(span));
                }
                self.put(Node { at, yaml: node.yaml.clone() }, 0, span)
            }
        }
    }

    fn too_large(&self, span: Span) -> YamlError {
        self.error(span, format!("more than {VALUES_MAX} values, or {DEPTH_MAX} lists and maps inside each other"))
    }

    fn start(&mut self, at: Mark, anchor: usize, filled: Filled, span: Span) -> Result<(), YamlError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.too_large(span));
        }
        self.open.push(Open { at, anchor, filled });
        Ok(())
    }

    /// Puts a whole value where it belongs.
    fn put(&mut self, node: Node, anchor: usize, span: Span) -> Result<(), YamlError> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(self.too_large(span));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.filled) {
            None => self.root = Some(node),
            Some(Filled::List(items)) => items.push(node),
            Some(Filled::Map { entries, keys, key }) => match key.take() {
                Some((key, at)) => entries.push(Entry { key, at, value: node }),
                None => {
                    let Yaml::Scalar(scalar) = node.yaml else {
                        return Err(YamlError { at: node.at, message: "a key that is no text".to_owned() });
                    };
                    if !keys.insert(scalar.text.clone()) {
                        let message = format!("the key `{}` stands here twice", scalar.text);
                        return Err(YamlError { at: node.at, message });
                    }
                    *key = Some((scalar.text, node.at));
                }
            },
        }
        Ok(())
    }

    /// See [`Scalar`].
    fn inside(&self, text: &str, style: ScalarStyle, span: Span) -> Option<usize> {
        let skipped = match style {
            ScalarStyle::Plain => 0,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
            ScalarStyle::Literal | ScalarStyle::Folded => return None,
        };
        if span.start.col() > COLUMN_MAX {
            return None;
        }
        let line = self.lines.get(span.start.line().checked_sub(1)?)?;
        let (start, _) = line.char_indices().nth(span.start.col() + skipped)?;
        line[start..].starts_with(text).then_some(skipped)
    }
}

/// Values in it, and how deep it is.
fn measure(node: &Node) -> (usize, usize) {
    let within = |parts: &mut dyn Iterator<Item = &Node>| {
        parts.map(measure).fold((1, 1), |(size, depth), part| (size + part.0, depth.max(part.1 + 1)))
    };
    match &node.yaml {
        Yaml::Scalar(_) => (1, 0),
        Yaml::List(items) => within(&mut items.iter()),
        Yaml::Map(entries) => within(&mut entries.iter().map(|entry| &entry.value)),
    }
}

/// What a plain scalar is in the core schema of YAML 1.2.2, section 10.3.2.
fn kind_of(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        "true" | "True" | "TRUE" => ScalarKind::Bool(true),
        "false" | "False" | "FALSE" => ScalarKind::Bool(false),
        text => number(text).map_or(ScalarKind::Text, ScalarKind::Number),
    }
}

fn number(text: &str) -> Option<Num> {
    let of_base = |digits: &str, base: u32| {
        let all = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
        if all { i128::from_str_radix(digits, base).ok().map(Num::Int) } else { None }
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return of_base(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return of_base(digits, 8);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Num::Int);
    }
    // Rust's floats know `inf` and `nan` by other names; a number starts with a digit, or with a point before one.
    let starts = digits.strip_prefix('.').unwrap_or(digits).starts_with(|char: char| char.is_ascii_digit());
    let float: f64 = if starts { text.parse().ok()? } else { return None };
    float.is_finite().then_some(Num::Float(float))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        documents(text).remove(0).unwrap()
    }

    fn fault(text: &str) -> (usize, usize, String) {
        let YamlError { at, message } = documents(text).into_iter().find_map(Result::err).unwrap();
        (at.line, at.column, message)
    }

    #[test]
    fn every_value_knows_its_place() {
        let node = one("# a rule\ntitle: 'x y'\ndetection:\n    ö: [1, two]\n");
        let place = |node: &Node| (node.at.line, node.at.column);
        assert_eq!(place(node.get("title").unwrap()), (2, 8));
        assert_eq!(node.get("title").unwrap().inside(2), Mark { line: 2, column: 11 });
        let list = node.get("detection").unwrap().get("ö").unwrap();
        assert_eq!(place(list), (4, 8));
        assert_eq!(place(&list.as_list().unwrap()[1]), (4, 12));
        assert_eq!(node.get("detection").unwrap().entry("ö").unwrap().at, Mark { line: 4, column: 5 });
    }

    #[test]
    fn plain_scalars_are_those_of_the_core_schema() {
        let kind = |text: &str| kind_of(text);
        assert_eq!(kind("4688"), ScalarKind::Number(Num::Int(4688)));
        assert_eq!(kind("0x1F"), ScalarKind::Number(Num::Int(31)));
        assert_eq!(kind("-1.5"), ScalarKind::Number(Num::Float(-1.5)));
        assert_eq!(
            (kind("null"), kind("~"), kind("True")),
            (ScalarKind::Null, ScalarKind::Null, ScalarKind::Bool(true))
        );
        for text in ["yes", "off", "1.2.3.4", "2024-01-01", "0x", "-", "inf", "nan", ".", "1:30", "%a%"] {
            assert_eq!(kind(text), ScalarKind::Text, "{text}");
        }
        assert!(one("a: '1'").get("a").unwrap().as_scalar().unwrap().kind == ScalarKind::Text);
        assert!(one("a: !!str 1").get("a").unwrap().as_scalar().unwrap().kind == ScalarKind::Text);
    }

    #[test]
    fn a_broken_document_loses_only_itself() {
        let documents = documents("a: 1\n---\nb: [1\n---\nc: 2\n");
        assert!(documents[0].is_ok() && documents[1].is_err() && documents[2].is_ok());
        assert_eq!(documents[2].as_ref().unwrap().entry("c").unwrap().at, Mark { line: 5, column: 1 });
        assert!(super::documents("---\n# nothing\n---\n").is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_at_its_place() {
        assert_eq!(fault("a: 1\nb: 2\na: 3\n"), (3, 1, "the key `a` stands here twice".to_owned()));
        assert_eq!(fault("a: 1\n  b: 2\n").0, 2);
        assert!(fault("? [a]\n: 1\n").2.contains("no text"));
    }

    #[test]
    fn what_aliases_repeat_is_bounded() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for at in 1..9 {
            let repeated = format!("*a{}, ", at - 1).repeat(9);
            text.push_str(&format!("a{at}: &a{at} [{repeated}*a{}]\n", at - 1));
        }
        assert!(fault(&text).2.contains("values"));
        assert!(fault(&"- ".repeat(100)).2.contains("inside each other"));
        fault(&"[".repeat(100_000));
        assert_eq!(one("a: &x [1]\nb: *x\n").get("b").unwrap().as_list().unwrap().len(), 1);
    }
}
