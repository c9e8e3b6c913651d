//! One record two ways: Tripline's decoder and matcher, and `serde_json` with interpreted rules. Both have to say the
//! same.
//!
//! `serde_json` is another's parser with other limits, so records that only one of the two can take for a reason of its
//! own are passed over: see [`Both::check`].

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use tripline::{
    decode::{DecodeSpec, Decoder, Format, Limits, Timing},
    detect::{Detector, Raw, Source, SourceState},
    event::{Event, Fields, Number, Timestamp, Value},
    rule::{LoadOptions, RuleFiles, RuleSet, load},
};

const LIMITS: Limits = Limits { record_bytes_max: 1 << 20, depth_max: 16, fields_max: 100 };

/// A statement that no rule needs and that is never lowered: a closure with it is run by Rhai.
const INTERPRETED: &str = "while false {}";

/// What the rules ask, of fields that [`SEEDS`] have.
const PREDICATES: &[&str] = &[
    r#"e.a == 1"#,
    r#"e.a == "1""#,
    r#"e.a != "x""#,
    r#"!(e.a == "x")"#,
    r#"e.a.b == true || e.a.b == "y""#,
    r#"e.a.b.c > 5"#,
    r#"exists(e.a)"#,
    r#"exists(e.a.b) && !exists(e.a.b.c)"#,
    r#"len(e.a) > 1"#,
    r#"e.a in ["x", 2, true]"#,
    r#"e.a == e.b"#,
    r#"e.image.iends_with("\\cmd.exe")"#,
    r#"e.image.icontains("powershell") && e.command.icontains("-enc")"#,
    r#"like(e.command, "*whoami*")"#,
    r#"e.channel == "Security" && e.id == 4625 && matches(e.user, "^adm")"#,
    r#"e.channel == "Security" && e.id in [4624, 4625] && !e.user.ends_with("$")"#,
    r#"cidr(e.source.ip, "10.0.0.0/8", "::1")"#,
    r#"e.tags == "x" && "y" in e.tags"#,
    r#"e.icontains("WHOAMI\" & ")"#,
    r#"e.iends_with("\\CMD.exe") && !e.contains("host$")"#,
    r#"matches(e, "(?i)power.*l") || e.starts_with("admin")"#,
];

/// Records to start from.
pub const SEEDS: &[&str] = &[
    r#"{"a": 1, "b": "1"}"#,
    r#"{"a": "x", "b": ["x", 2, null, [true]]}"#,
    r#"{"a": {"b": true, "b.c": 7}, "b": {}}"#,
    r#"{"a.b": {"c": -0.5e3}, "a": [{"b": "y"}, {"b": {"c": 9}}]}"#,
    r#"{"image": "C:\\Windows\\System32\\cmd.exe", "command": "cmd /c \"whoami\" \u0026 \ud83d\ude00 é"}"#,
    r#"{"image":"C:\\Windows\\PowerShell.exe","command":"powershell -ENC aGk=","channel":"Sysmon","id":1}"#,
    r#"{"channel": "Security", "id": 4625, "user": "administrator", "source": {"ip": "10.1.2.3"}}"#,
    r#"{"channel": "Security", "id": "4624", "user": "host$", "source.ip": ["8.8.8.8", "::1"], "tags": ["x", "y"]}"#,
];

/// The same rules, compiled and interpreted.
pub struct Both {
    source: Source,
    interpreted: RuleSet,
    offset: u64,
}

impl Default for Both {
    fn default() -> Self {
        Both::new()
    }
}

impl Both {
    /// # Panics
    /// When the rules do not load.
    pub fn new() -> Self {
        let spec = DecodeSpec { format: Format::Json, ..DecodeSpec::default() };
        let decoder = Decoder::new(&spec, LIMITS, Timing::Live).expect("a decoder");
        let state = SourceState {
            input: "fuzz".into(),
            partition: 0,
            lateness: Duration::MAX,
            watermark: None,
            epoch: 1,
            max_clock_skew: None,
        };
        let detector = Detector::new(Arc::new(rules("")), u32::MAX);
        Both { source: Source::new(state, decoder, detector), interpreted: rules(INTERPRETED), offset: 0 }
    }

    /// Reads a record both ways. Says whether both took it.
    ///
    /// # Panics
    /// When they differ, but for what `serde_json` alone refuses (numbers beyond a double), what Tripline alone
    /// refuses (its limits on depth, members and paths), and what `serde_json` can't tell (how a number was written).
    pub fn check(&mut self, bytes: &[u8]) -> bool {
        self.offset += 1;
        let position = self.source.position(self.offset);
        let raw = Raw { offset: self.offset, bytes, timestamp_ms: Some(0), clock: None };
        let ours = self.source.read(raw).map(|signals| signals.iter().map(|s| s.rule.to_string()).collect());
        let Ok(text) = std::str::from_utf8(bytes) else {
            assert!(ours.is_err(), "taken, and no UTF-8");
            return false;
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
        let theirs = serde_json::from_str::<Tree>(text);
        let ours: BTreeSet<String> = match (ours, &theirs) {
            (Ok(ours), Ok(Tree::Object(_))) => ours,
            (Ok(_), Err(error)) if error.to_string().starts_with("number out of range") => return false,
            (Err(reject), Ok(Tree::Object(_))) => {
                let limited = ["too_deep", "too_many_fields", "path_too_long"].contains(&reject.reason.as_str());
                assert!(limited, "refused, and JSON: {reject}: {text:?}");
                return false;
            }
            (Ok(_), _) => panic!("taken, and no JSON object: {text:?}"),
            (Err(_), _) => return false,
        };
        let mut fields = Fields::builder();
        let Ok(Tree::Object(members)) = theirs else { return false };
        if !members.iter().all(|(_, tree)| tree.numbers_stand_in(text)) {
            return false;
        }
        members.into_iter().for_each(|(name, tree)| put(name, tree, &mut fields));
        // the event's time differs where the record has one; no rule asks for it
        let event = Arc::new(Event { time: Timestamp(0), position, fields: fields.build() });
        let matches = |rule: &&Arc<tripline::rule::Rule>| rule.patterns[0].predicate.test(&event) == Ok(true);
        let theirs = self.interpreted.rules.iter().filter(matches).map(|rule| rule.id().to_string()).collect();
        assert_eq!(ours, theirs, "compiled on the left, interpreted on the right: {text:?}");
        true
    }
}

fn rules(prefix: &str) -> RuleSet {
    let rule = |(at, predicate): (usize, &&str)| {
        format!(
            "rule(#{{ id: \"r{at:02}\", title: \"t\", severity: \"low\", event: |e| {{ {prefix} {predicate} }} }});\n"
        )
    };
    let text: String = PREDICATES.iter().enumerate().map(rule).collect();
    let files = RuleFiles { files: [("fuzz.rhai".into(), text)].into(), ..RuleFiles::default() };
    let loaded = load(&files, &LoadOptions::default(), None);
    assert!(!loaded.has_errors() && loaded.set.rules.len() == PREDICATES.len(), "{:?}", loaded.diagnostics);
    loaded.set
}

/// JSON as `serde_json` reads it, with every member of an object in order, repeated ones too.
enum Tree {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Whether each number is written in the record as `serde_json` writes it: else it can't be compared as text.
    fn numbers_stand_in(&self, text: &str) -> bool {
        match self {
            Tree::Number(number) => text.contains(&number.to_string()),
            Tree::Array(items) => items.iter().all(|item| item.numbers_stand_in(text)),
            Tree::Object(members) => members.iter().all(|(_, member)| member.numbers_stand_in(text)),
            Tree::Null | Tree::Bool(_) | Tree::Text(_) => true,
        }
    }

    fn into_value(self) -> Value {
        match self {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(value),
            Tree::Number(number) => Value::Number(Number::from_written(&number.to_string())),
            Tree::Text(text) => Value::text(text),
            Tree::Array(items) => Value::Array(items.into_iter().map(Tree::into_value).collect()),
            Tree::Object(members) => {
                Value::Object(members.into_iter().map(|(name, tree)| (name.into(), tree.into_value())).collect())
            }
        }
    }
}

/// Objects become dotted paths.
fn put(path: String, tree: Tree, out: &mut tripline::event::FieldsBuilder) {
    match tree {
        Tree::Object(members) => {
            for (name, tree) in members {
                put(if path.is_empty() { name } else { format!("{path}.{name}") }, tree, out);
            }
        }
        tree => out.put(path, tree.into_value()),
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Tree::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(member) = members.next_entry()? {
            all.push(member);
        }
        Ok(Tree::Object(all))
    }
}
