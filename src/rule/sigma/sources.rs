//! Which events log sources speak of: Windows channels are built in, plain maps are the user's.
//!
//! Whose log an event is from is known of two kinds of events: those with a Windows channel (`Channel`), and those that
//! name their operating system as ECS does (`host.os.type`). A rule for another product sees neither, nor does one for
//! no product and a source that nothing maps (a web server, a database) see Windows channels. That apart, what nothing
//! maps limits nothing.

use std::sync::Arc;

use super::{
    logsource::LogSource,
    windows,
    yaml::{self, Entry, Mark, Node, ScalarKind, YamlError},
};
use crate::rule::{
    Comparison, Predicate,
    field_test::{Asks, FieldTest, Literal, OneOf},
    number::Num,
    text::TextTest,
};

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
    pub fields: Vec<(String, Vec<Literal>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Category,
    Service,
}

/// The events that a log source speaks of.
#[derive(Debug)]
pub struct Limit {
    pub predicate: Predicate,
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

    fn row(&self, product: Option<&str>, kind: Kind, name: &str) -> Option<&Row> {
        let is_of =
            |row: &&Row| row.kind == kind && row.name == name && product.is_none_or(|product| row.product == product);
        self.rows.iter().find(is_of)
    }

    pub fn limit(&self, source: &LogSource) -> Limit {
        let product = source.product.as_deref();
        let find = |kind, name: &Option<String>| self.row(product, kind, name.as_deref()?);
        let rows = [find(Kind::Category, &source.category), find(Kind::Service, &source.service)];
        let rows: Vec<&Row> = rows.into_iter().flatten().collect();
        let mapped =
            Predicate::all(rows.iter().flat_map(|row| &row.fields).map(|(field, values)| one_of(field, values)));
        let is_mapped = !rows.is_empty();
        let predicate = match product {
            Some(_) if is_mapped => mapped,
            // What is no Windows event may be of a like log of another product.
            None if is_mapped => Predicate::any([exists(CHANNEL).negated(), mapped]),
            Some("windows") => not_of_another_system("windows"),
            Some(product) => Predicate::all([exists(CHANNEL).negated(), not_of_another_system(product)]),
            None => exists(CHANNEL).negated(),
        };
        Limit { predicate, is_mapped }
    }
}

fn field(path: &str, asks: Asks) -> Predicate {
    Predicate::Field(FieldTest { path: path.into(), asks })
}

fn exists(path: &str) -> Predicate {
    field(path, Asks::Exists)
}

fn text(path: &str, text: &str) -> Predicate {
    field(path, Asks::text(TextTest::Equals, true, text))
}

/// True where an event does not name its system; where it does, that of the product, if that is one.
fn not_of_another_system(product: &str) -> Predicate {
    match OPERATING_SYSTEMS.contains(&product) {
        true => Predicate::any([exists(OS_TYPE).negated(), text(OS_TYPE, product)]),
        false => Predicate::Constant(true),
    }
}

fn one_of(path: &str, values: &[Literal]) -> Predicate {
    let (mut numbers, mut parts) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Literal::Text(wanted) => parts.push(text(path, wanted)),
            Literal::Bool(value) => parts.push(text(path, if *value { "true" } else { "false" })),
            Literal::Number(_) => numbers.push(value.clone()),
        }
    }
    parts.extend(match &numbers[..] {
        [] => None,
        [number] => Some(field(path, Asks::Compare(Comparison::Equal, number.clone()))),
        _ => Some(field(path, Asks::In(OneOf::new(numbers)))),
    });
    Predicate::any(parts)
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

fn fields(entry: &Entry) -> Result<(String, Vec<Literal>), YamlError> {
    let nodes = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
    let literal = |node: &Node| {
        let message = || format!("a value is a text, a number or a boolean, not {}", node.kind());
        let scalar = node.as_scalar().ok_or_else(|| YamlError { at: node.at, message: message() })?;
        match scalar.kind {
            ScalarKind::Text => Ok(Literal::Text(scalar.text.as_str().into())),
            ScalarKind::Number(number) => Ok(Literal::Number(number)),
            ScalarKind::Bool(value) => Ok(Literal::Bool(value)),
            ScalarKind::Null => Err(YamlError { at: node.at, message: message() }),
        }
    };
    Ok((entry.key.clone(), nodes.iter().map(literal).collect::<Result<_, _>>()?))
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

/// A literal of a number.
pub(super) fn number(value: i64) -> Literal {
    Literal::Number(Num::Int(value.into()))
}

/// A literal of a text.
pub(super) fn literal(text: &str) -> Literal {
    Literal::Text(Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Fields, Position, SharedEvent, Timestamp, Value};

    fn source(category: &str, product: &str, service: &str) -> LogSource {
        let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        LogSource { category: part(category), product: part(product), service: part(service), at: Mark::START }
    }

    fn event(json: serde_json::Value) -> SharedEvent {
        let Value::Object(entries) = Value::from_json(&json) else { panic!("an object") };
        let fields: Fields = entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        Arc::new(Event {
            fields,
            time: Timestamp(0),
            position: Position { input: "i".into(), partition: 0, offset: 0 },
        })
    }

    fn sees(sources: &LogSources, source: &LogSource, json: serde_json::Value) -> bool {
        sources.limit(source).predicate.test(&event(json)).unwrap()
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
        let limit = LogSources::built_in().limit(&source("webserver", "", ""));
        assert!(!limit.is_mapped);
        assert!(limit.predicate.test(&event(serde_json::json!({"c-uri": "/"}))).unwrap());
        assert!(!limit.predicate.test(&event(serde_json::json!({"Channel": "Security"}))).unwrap());
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
