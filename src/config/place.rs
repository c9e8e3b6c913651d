//! Where in the file a key or its value stands.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use toml_edit::{Document, Item, Table, TableLike, Value};

use super::error::{ConfigError, Place, Problem};

/// One step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// The way to a value: `input`, 1, `topics`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Way(pub Vec<Step>);

impl Way {
    pub fn to(key: &str) -> Self {
        Way::default().key(key)
    }

    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Way(steps)
    }

    /// The key that an operator would name: the last one on the way.
    pub fn last_key(&self) -> &str {
        let key = |step: &'_ Step| matches!(step, Step::Key(_));
        match self.0.iter().rfind(|step| key(step)) {
            Some(Step::Key(key)) => key,
            _ => "",
        }
    }

    /// The table that holds the value, as a header in TOML: `[kafka]`, `[[input]]`.
    pub fn table(&self) -> String {
        let keys: Vec<&str> =
            self.0.iter().filter_map(|step| if let Step::Key(key) = step { Some(&**key) } else { None }).collect();
        match (keys.as_slice(), self.0.last()) {
            ([], _) => "the configuration".to_owned(),
            (keys, Some(Step::Index(_))) => format!("[[{}]]", keys.join(".")),
            (keys, _) => format!("[{}]", keys.join(".")),
        }
    }
}

/// Which part of an entry a mistake is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Key,
    Value,
}

/// A configuration file's text with the places of all that is in it.
#[derive(Debug)]
pub struct SourceFile {
    path: PathBuf,
    document: Document<String>,
}

impl SourceFile {
    pub fn parse(path: &Path, text: String) -> Result<Self, Box<ConfigError>> {
        match Document::parse(text.clone()) {
            Ok(document) => Ok(SourceFile { path: path.to_owned(), document }),
            Err(error) => {
                let problem = Problem::Syntax(error.message().trim().replace('\n', ", "));
                let place = place_in(path, &text, error.span().map_or(0, |span| span.start));
                Err(Box::new(ConfigError { place, problem }))
            }
        }
    }

    pub fn text(&self) -> &str {
        self.document.raw()
    }

    /// The folder that relative paths in the file start from.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The place of what is at `way`, or of the nearest thing around it that is written.
    pub fn place(&self, way: &Way, part: Part) -> Place {
        match self.span(way, part) {
            Some(span) => place_in(&self.path, self.text(), span.start),
            None => Place::Whole(self.path.clone()),
        }
    }

    fn span(&self, way: &Way, part: Part) -> Option<Range<usize>> {
        let mut node = Node::Item(self.document.as_item());
        let mut around = None;
        for (depth, step) in way.0.iter().enumerate() {
            let last = depth + 1 == way.0.len();
            let (next, key) = match step {
                Step::Key(key) => match node.entry(key) {
                    Some((key, item)) => (Node::Item(item), key.span()),
                    None => return around,
                },
                Step::Index(index) => match node.element(*index) {
                    Some(next) => (next, None),
                    None => return around,
                },
            };
            around = if last && part == Part::Key { key.or(next.span()) } else { next.span().or(key) }.or(around);
            node = next;
        }
        around
    }
}

/// Line and column, from 1, of a byte of the text.
fn place_in(path: &Path, text: &str, offset: usize) -> Place {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place::File {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

enum Node<'a> {
    Item(&'a Item),
    Table(&'a Table),
    Value(&'a Value),
}

impl<'a> Node<'a> {
    fn entry(&self, key: &str) -> Option<(&'a toml_edit::Key, &'a Item)> {
        let table: &'a dyn TableLike = match self {
            Node::Item(item) => item.as_table_like()?,
            Node::Table(table) => *table,
            Node::Value(value) => value.as_inline_table()?,
        };
        table.get_key_value(key)
    }

    fn element(&self, index: usize) -> Option<Node<'a>> {
        match self {
            Node::Item(Item::ArrayOfTables(tables)) => tables.get(index).map(Node::Table),
            Node::Item(Item::Value(Value::Array(items))) | Node::Value(Value::Array(items)) => {
                items.get(index).map(Node::Value)
            }
            _ => None,
        }
    }

    fn span(&self) -> Option<Range<usize>> {
        match self {
            Node::Item(item) => item.span(),
            Node::Table(table) => table.span(),
            Node::Value(value) => value.span(),
        }
    }
}
