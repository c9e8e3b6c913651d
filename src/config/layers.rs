//! The layers, merged, and read section by section; a mistake is noted with its place and reading goes on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use config::{FileFormat, Map, Source, Value, ValueKind};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::{
    error::{ConfigError, Place, Problem, nearest},
    keys::keys,
    place::{Part, SourceFile, Step, Way},
    units::{Properties, Secret, Text},
};

/// What the environment's variables of ours start with.
pub const PREFIX: &str = "TRIPLINE__";

/// File and environment as one tree, whose leaves know where they come from.
pub struct Layers {
    file: Option<SourceFile>,
    root: Value,
    errors: Vec<ConfigError>,
}

impl Layers {
    /// # Errors
    /// When the file can't be read or is not TOML: then nothing else can be said.
    pub fn merge(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<ConfigError>> {
        let file = file.map(read).transpose().map_err(|error| vec![*error])?;
        let mut builder = config::Config::builder();
        if let Some(file) = &file {
            builder = builder.add_source(config::File::from_str(file.text(), FileFormat::Toml));
        }
        let merged = builder.add_source(Environment::new(environment)).build().map_err(|error| {
            let place = file.as_ref().map_or(Place::Defaults, |file| file.place(&Way::default(), Part::Value));
            vec![ConfigError { place, problem: Problem::Syntax(error.to_string()) }]
        })?;
        Ok(Layers { file, root: merged.cache, errors: Vec::new() })
    }

    /// Every mistake noted, in the order of their places.
    pub fn finish(mut self) -> Vec<ConfigError> {
        self.errors.sort_by(|a, b| a.place.cmp(&b.place));
        self.errors
    }

    /// Top-level keys that are none of `known`.
    pub fn refuse_other_sections(&mut self, known: &[&str]) {
        for name in table(&self.root).map(sorted).unwrap_or_default() {
            if !known.contains(&&*name) {
                self.unknown(&Way::default(), &name, known);
            }
        }
    }

    /// A section such as `[http]`; what is missing or wrong is left out.
    pub fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        let way = Way::to(name);
        match self.get(&way).cloned() {
            None => T::default(),
            Some(value) => self.read(&way, value),
        }
    }

    /// Whether anything is written in the section or below it; a header alone is nothing.
    pub fn has_keys(&self, name: &str) -> bool {
        self.get(&Way::to(name)).is_some_and(has_leaf)
    }

    /// An array of tables such as `[[input]]`; empty when there is none.
    pub fn tables<T: DeserializeOwned + Default>(&mut self, way: &Way) -> Vec<(Way, T)> {
        let elements = match self.get(way).cloned() {
            None => return Vec::new(),
            Some(value) if origin(&value).is_some() => {
                self.note(way, Part::Key, Problem::FileOnly(way.last_key().to_owned()));
                return Vec::new();
            }
            Some(value) => match value.kind {
                ValueKind::Array(elements) => elements,
                _ => {
                    let name = way.last_key();
                    let reason = format!("expected [[{name}]] tables; write [[{name}]] with two brackets");
                    self.wrong(way, reason);
                    return Vec::new();
                }
            },
        };
        let ways = (0..).map(|index| way.index(index));
        ways.zip(elements).map(|(way, element)| (way.clone(), self.read(&way, element))).collect()
    }

    /// The keys that are written in the table at `way`.
    pub fn written_keys(&self, way: &Way) -> Vec<String> {
        self.get(way).and_then(table).map(sorted).unwrap_or_default()
    }

    /// Notes a mistake in the key or value at `way`.
    pub fn note(&mut self, way: &Way, part: Part, problem: Problem) {
        self.errors.push(ConfigError { place: self.place(way, part), problem });
    }

    /// Notes a value that is not what its key asks for.
    pub fn wrong(&mut self, way: &Way, reason: impl Into<String>) {
        self.note(way, Part::Value, Problem::Value { key: way.last_key().to_owned(), reason: reason.into() });
    }

    /// Notes that the table at `way` lacks a key; not when it is there with a value that was noted already.
    pub fn missing(&mut self, way: &Way, table: impl Into<String>, key: &str, example: &str) {
        if self.get(&way.key(key)).is_some() {
            return;
        }
        let problem = Problem::Missing { table: table.into(), key: key.to_owned(), example: example.to_owned() };
        self.note(way, Part::Value, problem);
    }

    /// Notes an unknown key of the table at `way`.
    pub fn unknown(&mut self, way: &Way, key: &str, known: &[&str]) {
        let problem = Problem::UnknownKey {
            key: key.to_owned(),
            table: way.table(),
            nearest: nearest(key, known.iter().copied()),
            known: known.iter().map(|&key| key.to_owned()).collect(),
        };
        self.note(&way.key(key), Part::Key, problem);
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, way: &Way, found: &str, accepted: &[(&str, T)]) -> Option<T> {
        if let Some((_, value)) = accepted.iter().find(|(word, _)| *word == found) {
            return Some(*value);
        }
        let words = || accepted.iter().map(|(word, _)| *word);
        let problem = Problem::NotOneOf {
            key: way.last_key().to_owned(),
            found: found.to_owned(),
            nearest: nearest(found, words()),
            accepted: words().map(str::to_owned).collect(),
        };
        self.note(way, Part::Value, problem);
        None
    }

    /// A path as written at `way`: from the file, or by default, relative to the file's folder; from the environment,
    /// relative to the folder that the process runs in.
    pub fn path(&self, way: &Way, written: &str) -> PathBuf {
        match (&self.file, self.get(way).and_then(origin)) {
            (Some(file), None) => file.folder().join(written),
            _ => PathBuf::from(written),
        }
    }

    /// The text of a file that is named at `way`, without the line's end.
    fn secret_file(&mut self, way: &Way, written: &str) -> Option<SecretString> {
        let path = self.path(way, written);
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).into()),
            Err(error) => {
                let key = way.last_key().to_owned();
                self.note(way, Part::Value, Problem::FileUnreadable { key, path, reason: error.to_string() });
                None
            }
        }
    }

    /// The secret `key` of the table at `way`, written there or in the file that `key_file` names.
    pub fn secret(
        &mut self,
        way: &Way,
        key: &str,
        written: Option<Secret>,
        file: Option<Text>,
    ) -> Option<SecretString> {
        let file_way = way.key(&format!("{key}_file"));
        match (written, file) {
            (Some(_), Some(_)) => {
                self.note(&file_way, Part::Key, Problem::Both { key: key.to_owned() });
                None
            }
            (Some(Secret(secret)), None) => Some(secret),
            (None, Some(Text(path))) => self.secret_file(&file_way, &path),
            (None, None) => None,
        }
    }

    /// Properties at `way`; for each `K_file`, the property K is what that file holds.
    pub fn properties(&mut self, way: &Way, written: Option<Properties>) -> BTreeMap<String, SecretString> {
        let mut properties = written.unwrap_or_default().0;
        let files: Vec<String> = properties.keys().filter(|name| name.ends_with("_file")).cloned().collect();
        for file in files {
            let path = properties.remove(&file).unwrap_or_default();
            let name = file.trim_end_matches("_file");
            if properties.contains_key(name) {
                self.note(&way.key(&file), Part::Key, Problem::Both { key: name.to_owned() });
            } else if let Some(secret) = self.secret_file(&way.key(&file), path.expose_secret()) {
                properties.insert(name.to_owned(), secret);
            }
        }
        properties
    }

    fn get(&self, way: &Way) -> Option<&Value> {
        way.0.iter().try_fold(&self.root, |value, step| match (step, &value.kind) {
            (Step::Key(key), ValueKind::Table(table)) => table.get(key),
            (Step::Index(index), ValueKind::Array(items)) => items.get(*index),
            _ => None,
        })
    }

    fn place(&self, way: &Way, part: Part) -> Place {
        match (self.get(way).and_then(origin), &self.file) {
            (Some(variable), _) => Place::Variable(variable.to_owned()),
            (None, Some(file)) => file.place(way, part),
            (None, None) => Place::Defaults,
        }
    }

    /// Reads a table. Each key that is unknown or wrong is noted and taken out, until the rest reads.
    fn read<T: DeserializeOwned + Default>(&mut self, way: &Way, mut value: Value) -> T {
        let Some(written) = table(&value).map(sorted) else {
            self.wrong(way, format!("expected a table; write {} above its keys", way.table()));
            return T::default();
        };
        for key in written.iter().filter(|key| !keys::<T>().contains(&&***key)) {
            self.unknown(way, key, keys::<T>());
            remove(&mut value, &[Step::Key(key.clone())]);
        }
        loop {
            let error = match serde_path_to_error::deserialize(value.clone()) {
                Ok(read) => return read,
                Err(error) => error,
            };
            let steps = steps(error.path());
            let mut at = way.clone();
            at.0.extend(steps.iter().cloned());
            self.wrong(&at, message(error.into_inner()));
            if !remove(&mut value, &steps) {
                return T::default();
            }
        }
    }
}

fn read(path: &Path) -> Result<SourceFile, Box<ConfigError>> {
    match std::fs::read_to_string(path) {
        Ok(text) => SourceFile::parse(path, text),
        Err(error) => {
            let (place, problem) = (Place::Whole(path.to_owned()), Problem::Unreadable(error.to_string()));
            Err(Box::new(ConfigError { place, problem }))
        }
    }
}

/// The variable that a value, or the first leaf of a table, comes from.
fn origin(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::Table(table) => sorted(table).iter().find_map(|key| origin(&table[key])),
        _ => value.origin(),
    }
}

fn table(value: &Value) -> Option<&Map<String, Value>> {
    if let ValueKind::Table(table) = &value.kind { Some(table) } else { None }
}

fn has_leaf(value: &Value) -> bool {
    table(value).is_none_or(|table| table.values().any(has_leaf))
}

fn sorted(table: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> = table.keys().cloned().collect();
    names.sort();
    names
}

fn steps(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// Takes the last key on the way out of its table; an element of a list takes its whole list along.
fn remove(value: &mut Value, steps: &[Step]) -> bool {
    let Some(last) = steps.iter().rposition(|step| matches!(step, Step::Key(_))) else { return false };
    let mut node = value;
    for step in &steps[..last] {
        let next = match (step, &mut node.kind) {
            (Step::Key(key), ValueKind::Table(table)) => table.get_mut(key),
            (Step::Index(index), ValueKind::Array(items)) => items.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        node = next;
    }
    match (&steps[last], &mut node.kind) {
        (Step::Key(key), ValueKind::Table(table)) => table.remove(key).is_some(),
        _ => false,
    }
}

/// The innermost words of an error: place and key are told by us.
fn message(error: config::ConfigError) -> String {
    match error {
        config::ConfigError::At { error, .. } => message(*error),
        config::ConfigError::Type { unexpected, expected, .. } => format!("expected {expected}, found {unexpected}"),
        other => other.to_string(),
    }
}

/// Variables as a layer: `TRIPLINE__HTTP__LISTEN` is `listen` of `[http]`, and
/// `TRIPLINE__KAFKA__PROPERTIES__FETCH_MIN_BYTES` is the property `fetch.min.bytes`. An empty one says nothing.
#[derive(Debug, Clone)]
struct Environment(Vec<(String, String)>);

impl Environment {
    fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        let mut ours: Vec<_> =
            variables.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty()).collect();
        ours.sort();
        Environment(ours)
    }
}

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let mut sections = Map::new();
        for (variable, text) in &self.0 {
            let mut keys: Vec<String> =
                variable[PREFIX.len()..].split("__").map(|part| part.to_ascii_lowercase()).collect();
            if let [section, properties, name] = keys.as_mut_slice()
                && section == "kafka"
                && properties == "properties"
            {
                *name = property(name);
            }
            insert(&mut sections, &keys, Value::new(Some(variable), text.as_str()));
        }
        Ok(sections)
    }
}

/// `sasl_password` to `sasl.password`; a last `_file` stays.
fn property(name: &str) -> String {
    match name.strip_suffix("_file") {
        Some(name) => format!("{}_file", name.replace('_', ".")),
        None => name.replace('_', "."),
    }
}

fn insert(into: &mut Map<String, Value>, keys: &[String], value: Value) {
    match keys {
        [] => {}
        [key] => {
            into.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let child = into.entry(key.clone()).or_insert_with(|| Value::new(None, Map::<String, Value>::new()));
            if let ValueKind::Table(table) = &mut child.kind {
                insert(table, rest, value);
            }
        }
    }
}
