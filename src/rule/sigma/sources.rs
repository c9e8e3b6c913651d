//! Which events log sources speak of: Windows channels are built in, plain maps are the user's.
//!
//! Whose log an event is from is known of two kinds of events: those with a Windows channel (`Channel`), and those that
//! name their operating system as ECS does (`host.os.type`). A rule for another product sees neither, nor does one for
//! no product and a source that nothing maps (a web server, a database) see Windows channels. That apart, what nothing
//! maps limits nothing.

use std::collections::BTreeSet;

use super::{
    detection::{Detection, Item, Value, Valued},
    logsource::LogSource,
    value::Text,
    windows,
    yaml::{self, Entry, Mark, Node, ScalarKind, YamlError},
};
use crate::rule::number::Num;

/// The field that every event of a Windows event log has.
const CHANNEL: &str = "Channel";

/// Where ECS has the operating system of the host.
const OS_TYPE: &str = "host.os.type";

/// The products that ECS has in [`OS_TYPE`].
const OPERATING_SYSTEMS: [&str; 3] = ["windows", "linux", "macos"];

/// Maps of log sources, those of the user before those that are built in.
#[derive(Debug, Clone, Default)]
pub struct LogSources {
    rows: Vec<Row>,
}

/// What events of a category or service have.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub product: String,
    pub kind: Kind,
    pub name: String,
    /// A field with the values one of which it has.
    pub fields: Vec<(String, Vec<Value>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Category,
    Service,
}

/// The events that a log source speaks of.
#[derive(Debug)]
pub struct Limit {
    /// What an event of it has.
    pub detection: Detection,
    /// Whether something says what its events look like.
    pub is_mapped: bool,
}

impl LogSources {
    pub fn built_in() -> Self {
        LogSources { rows: windows::rows().collect() }
    }

    /// With further rows, which are asked before those that are there.
    pub fn put_first(&mut self, rows: Vec<Row>) {
        self.rows.splice(0..0, rows);
    }

    /// The fields that tell log sources apart, as rules name them.
    pub fn fields(&self) -> BTreeSet<&str> {
        let of_rows = self.rows.iter().flat_map(|row| &row.fields).map(|(field, _)| field.as_str());
        of_rows.chain([CHANNEL]).collect()
    }

    fn row(&self, product: Option<&str>, kind: Kind, name: &str) -> Option<&Row> {
        let is_of =
            |row: &&Row| row.kind == kind && row.name == name && product.is_none_or(|product| row.product == product);
        self.rows.iter().find(is_of)
    }

    /// `names` gives what a field that tells log sources apart is called in the events of the rule.
    pub fn limit(&self, source: &LogSource, names: &dyn Fn(&str) -> Vec<String>) -> Limit {
        let product = source.product.as_deref();
        let find = |kind, name: &Option<String>| self.row(product, kind, name.as_deref()?);
        let rows = [find(Kind::Category, &source.category), find(Kind::Service, &source.service)];
        let rows: Vec<&Row> = rows.into_iter().flatten().collect();
        let is = |field: &str, values: Vec<Value>| {
            let one = |name: String| item(name, values.clone(), source.at);
            Detection::Any(names(field).into_iter().map(one).collect())
        };
        let mapped = rows.iter().flat_map(|row| &row.fields).map(|(field, values)| is(field, values.clone()));
        let mapped = Detection::All(mapped.collect());
        let no_channel = || {
            let one = |name: String| item(name, vec![Value::Exists(false)], source.at);
            Detection::All(names(CHANNEL).into_iter().map(one).collect())
        };
        let is_mapped = !rows.is_empty();
        let not_of_another_system = |product: &str| {
            let is_system = OPERATING_SYSTEMS.contains(&product);
            let values = vec![Value::Exists(false), text(product)];
            is_system.then(|| item(OS_TYPE.to_owned(), values, source.at))
        };
        let detection = match product {
            Some(_) if is_mapped => mapped,
            // What is no Windows event may be of a like log of another product.
            None if is_mapped => Detection::Any(vec![no_channel(), mapped]),
            Some("windows") => Detection::All(not_of_another_system("windows").into_iter().collect()),
            Some(product) => Detection::All([no_channel()].into_iter().chain(not_of_another_system(product)).collect()),
            None => no_channel(),
        };
        Limit { detection, is_mapped }
    }
}

fn item(field: String, values: Vec<Value>, at: Mark) -> Detection {
    let values = values.into_iter().map(|value| Valued { at, value }).collect();
    Detection::Item(Item { field: Some(field), at, modifiers: Vec::new(), all: false, negated: false, values })
}

/// Whether a document is a plain map of log sources.
pub fn is_map(root: &Node) -> bool {
    root.get("transformations").is_none()
        && [Kind::Category, Kind::Service].iter().any(|kind| root.get(kind.key()).is_some())
}

impl Kind {
    fn key(self) -> &'static str {
        match self {
            Kind::Category => "category",
            Kind::Service => "service",
        }
    }
}

/// Reads a plain map: `{"category": {name: {field: [values]}}, "service": {…}}`, of Windows logs where `product` names
/// no other. Other keys are for people.
///
/// # Errors
/// What in it is none, and where.
pub fn read_map(root: &Node) -> Result<Vec<Row>, YamlError> {
    let wrong = |node: &Node, what: &str| YamlError { at: node.at, message: format!("{what}, not {}", node.kind()) };
    let map = |node: &'_ Node, what: &str| node.as_map().map(<[Entry]>::to_vec).ok_or_else(|| wrong(node, what));
    let product = match root.get("product") {
        Some(node) => node.as_text().ok_or_else(|| wrong(node, "`product` is a text"))?.to_lowercase(),
        None => "windows".to_owned(),
    };
    let mut rows = Vec::new();
    for kind in [Kind::Category, Kind::Service] {
        let Some(node) = root.get(kind.key()) else { continue };
        for Entry { key, value, .. } in map(node, "names with fields belong here")? {
            let fields = map(&value, "fields with values belong here")?.iter().map(fields).collect::<Result<_, _>>()?;
            rows.push(Row { product: product.clone(), kind, name: key.to_lowercase(), fields });
        }
    }
    Ok(rows)
}

fn fields(entry: &Entry) -> Result<(String, Vec<Value>), YamlError> {
    let nodes = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
    let value = |node: &Node| {
        let message = || format!("a value is a text, a number or a boolean, not {}", node.kind());
        let scalar = node.as_scalar().ok_or_else(|| YamlError { at: node.at, message: message() })?;
        let written = scalar.text.clone();
        match scalar.kind {
            ScalarKind::Text => Ok(text(&written)),
            ScalarKind::Number(value) => Ok(Value::Number { value, written }),
            ScalarKind::Bool(value) => Ok(Value::Bool { value, written }),
            ScalarKind::Null => Err(YamlError { at: node.at, message: message() }),
        }
    };
    Ok((entry.key.clone(), nodes.iter().map(value).collect::<Result<_, _>>()?))
}

/// The single document of a file.
///
/// # Errors
/// Where there is none or there are several, or it is no YAML.
pub fn only_document(text: &str) -> Result<Node, YamlError> {
    let mut documents = yaml::documents(text).into_iter();
    match (documents.next(), documents.next()) {
        (Some(document), None) => document,
        (None, _) => Err(YamlError { at: Mark::START, message: "the file is empty".to_owned() }),
        (Some(_), Some(_)) => Err(YamlError { at: Mark::START, message: "one document belongs here".to_owned() }),
    }
}

/// A number as rules have it.
pub(super) fn number(value: i64) -> Value {
    Value::Number { value: Num::Int(value.into()), written: value.to_string() }
}

/// A whole text, in any case.
pub(super) fn text(text: &str) -> Value {
    Value::Text { text: Text::plain(text), cased: false }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::event::{Event, Fields, Position, SharedEvent, Timestamp, Value as Json};
    use crate::rule::sigma::{
        lower::lower_alone,
        report::{Report, SigmaFile},
    };

    fn source(category: &str, product: &str, service: &str) -> LogSource {
        let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        LogSource { category: part(category), product: part(product), service: part(service), at: Mark::START }
    }

    fn event(json: serde_json::Value) -> SharedEvent {
        let Json::Object(entries) = Json::from_json(&json) else { panic!("an object") };
        let fields: Fields = entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        Arc::new(Event {
            fields,
            time: Timestamp(0),
            position: Position { input: "i".into(), partition: 0, offset: 0 },
        })
    }

    fn sees(sources: &LogSources, source: &LogSource, json: serde_json::Value) -> bool {
        let file = SigmaFile::new(Path::new("r.yml"), "");
        let limit = sources.limit(source, &|field| vec![field.to_owned()]).detection;
        let predicate = lower_alone(&limit, &mut Report::new(&file));
        predicate.is_none_or(|predicate| predicate.test(&event(json)).unwrap())
    }

    #[test]
    fn windows_categories_are_channels_and_event_ids() {
        let sources = LogSources::built_in();
        let process = source("process_creation", "windows", "");
        let sysmon = "Microsoft-Windows-Sysmon/Operational";
        assert!(sees(&sources, &process, serde_json::json!({"Channel": sysmon, "EventID": 1})));
        assert!(sees(&sources, &process, serde_json::json!({"Channel": sysmon.to_lowercase(), "EventID": "1"})));
        assert!(!sees(&sources, &process, serde_json::json!({"Channel": sysmon, "EventID": 3})));
        assert!(!sees(&sources, &process, serde_json::json!({"Channel": "Security", "EventID": 1})));
        let security = source("", "windows", "security");
        assert!(sees(&sources, &security, serde_json::json!({"Channel": "Security", "EventID": 4624})));
    }

    #[test]
    fn a_rule_for_another_product_sees_no_event_whose_product_is_known() {
        let sources = LogSources::built_in();
        let linux = source("process_creation", "linux", "");
        assert!(!sees(&sources, &linux, serde_json::json!({"Channel": "Security"})));
        assert!(!sees(&sources, &linux, serde_json::json!({"host": {"os": {"type": "windows"}}})));
        assert!(sees(&sources, &linux, serde_json::json!({"host.os.type": "linux"})));
        assert!(sees(&sources, &linux, serde_json::json!({"type": "EXECVE"})));
        let windows = source("", "windows", "unheard-of");
        assert!(!sees(&sources, &windows, serde_json::json!({"host.os.type": "linux"})));
        assert!(sees(&sources, &windows, serde_json::json!({"a": 1})));
    }

    #[test]
    fn what_nothing_maps_limits_nothing_but_for_windows_channels() {
        let (sources, web) = (LogSources::built_in(), source("webserver", "", ""));
        assert!(!sources.limit(&web, &|field| vec![field.to_owned()]).is_mapped);
        assert!(sees(&sources, &web, serde_json::json!({"c-uri": "/"})));
        assert!(!sees(&sources, &web, serde_json::json!({"Channel": "Security"})));
    }

    #[test]
    fn a_plain_map_goes_before_what_is_built_in() {
        let map = r#"{"category": {"process_creation": {"Channel": ["Own"], "EventID": [7, "x"]}}, "notes": ["…"]}"#;
        let root = only_document(map).unwrap();
        let mut sources = LogSources::built_in();
        assert!(is_map(&root));
        sources.put_first(read_map(&root).unwrap());
        let process = source("process_creation", "windows", "");
        assert!(sees(&sources, &process, serde_json::json!({"Channel": "Own", "EventID": "X"})));
        assert!(!sees(&sources, &process, serde_json::json!({"Channel": "Own", "EventID": 1})));
        let wrong = only_document("category:\n  a: 1\n").unwrap();
        assert_eq!(read_map(&wrong).unwrap_err().at, Mark { line: 2, column: 6 });
    }
}
