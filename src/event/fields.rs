//! An event's fields under their dotted names: nested objects and dotted names are the same path.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Value;

/// Fields by dotted path, in byte order of the path. Objects are flattened; null and `{}` are absent. Arrays stay
/// values; a path that leads through an array of objects reads that member of every element.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields(Vec<(Arc<str>, Value)>);

impl Fields {
    pub fn builder() -> FieldsBuilder {
        FieldsBuilder::default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.0.iter().map(|(path, value)| (path, value))
    }

    /// The value at `path`: a scalar, an array, or an array gathered from the objects of one. `None` when missing.
    pub fn get(&self, path: &str) -> Option<Cow<'_, Value>> {
        if let Some(value) = self.exact(path) {
            return Some(Cow::Borrowed(value));
        }
        let mut gathered = Vec::new();
        for (dot, _) in path.match_indices('.') {
            if let Some(Value::Array(items)) = self.exact(&path[..dot]) {
                items.iter().for_each(|item| gather(item, &path[dot + 1..], &mut gathered));
            }
        }
        (!gathered.is_empty()).then_some(Cow::Owned(Value::Array(gathered)))
    }

    /// Whether there is a value at `path` or below it.
    pub fn exists(&self, path: &str) -> bool {
        self.get(path).is_some_and(|value| !matches!(*value, Value::Null)) || {
            let at = self.0.partition_point(|(name, _)| &**name < path);
            self.0[at..]
                .iter()
                .take_while(|(name, _)| name.starts_with(path))
                .any(|(name, _)| name.as_bytes().get(path.len()) == Some(&b'.'))
        }
    }

    /// Visits every scalar at `path`, arrays opened, until `visit` answers true; says whether it did.
    pub fn any(&self, path: &str, visit: &mut dyn FnMut(&Value) -> bool) -> bool {
        self.get(path).is_some_and(|value| value.any_scalar(visit))
    }

    /// Only the fields at `paths`, and below them.
    pub fn project<P: AsRef<str>>(&self, paths: &[P]) -> Fields {
        let mut kept = FieldsBuilder::default();
        for path in paths.iter().map(AsRef::as_ref) {
            match self.get(path) {
                Some(value) => kept.put(path, value.into_owned()),
                None => {
                    let below = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
                    for (name, value) in self.iter().filter(|(name, _)| below(name)) {
                        kept.put(name, value.clone());
                    }
                }
            }
        }
        kept.build()
    }

    /// One flat JSON object, dotted names as keys.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.iter().map(|(path, value)| (path.to_string(), value.to_json())).collect()
    }

    fn exact(&self, path: &str) -> Option<&Value> {
        let at = self.0.binary_search_by(|(name, _)| (**name).cmp(path)).ok()?;
        Some(&self.0[at].1)
    }
}

fn gather(item: &Value, path: &str, into: &mut Vec<Value>) {
    match item {
        Value::Array(items) => items.iter().for_each(|item| gather(item, path, into)),
        Value::Object(entries) => {
            for (name, value) in entries {
                match path.strip_prefix(&**name) {
                    Some("") => into.push(value.clone()),
                    Some(rest) if rest.starts_with('.') => gather(value, &rest[1..], into),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Builds [`Fields`]; of two values at one path the later one stays.
#[derive(Debug, Default)]
pub struct FieldsBuilder(Vec<(Arc<str>, Value)>);

impl FieldsBuilder {
    /// Puts `value` at `path`; an object is flattened below it.
    pub fn put(&mut self, path: impl AsRef<str>, value: Value) {
        match value {
            Value::Null => {}
            Value::Object(entries) => {
                for (name, value) in entries {
                    self.put(format!("{}.{name}", path.as_ref()), value);
                }
            }
            value => self.0.push((path.as_ref().into(), value)),
        }
    }

    pub fn put_text(&mut self, path: impl AsRef<str>, text: impl AsRef<str>) {
        self.put(path, Value::text(text));
    }

    /// Puts every field of `fields`.
    pub fn extend(&mut self, fields: Fields) {
        self.0.extend(fields.0);
    }

    pub fn build(self) -> Fields {
        let mut entries = self.0;
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.reverse();
        entries.dedup_by(|(later, _), (kept, _)| later == kept);
        entries.reverse();
        Fields(entries)
    }
}

impl FromIterator<(String, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        let mut builder = FieldsBuilder::default();
        entries.into_iter().for_each(|(path, value)| builder.put(path, value));
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: serde_json::Value) -> Fields {
        let Value::Object(entries) = Value::from_json(&json) else { panic!("an object") };
        entries.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }

    #[test]
    fn nested_and_dotted_names_are_one_path() {
        let event = fields(serde_json::json!({"source": {"ip": "10.0.0.1"}, "source.port": 22}));
        assert_eq!(event.get("source.ip").unwrap().to_string(), "10.0.0.1");
        assert_eq!(event.get("source.port").unwrap().to_string(), "22");
        assert!(event.exists("source") && !event.exists("sourc"));
    }

    #[test]
    fn of_two_values_at_one_path_the_later_stays() {
        let event = fields(serde_json::json!({"a": {"b": 1}, "a.b": 2}));
        assert_eq!(event.get("a.b").unwrap().to_string(), "2");
        assert_eq!(event.len(), 1);
    }

    #[test]
    fn a_path_leads_through_arrays_of_objects() {
        let event = fields(serde_json::json!({"a": [{"b": {"c": 1}}, {"b.c": 2}, 7]}));
        let mut seen = Vec::new();
        event.any("a.b.c", &mut |value| {
            seen.push(value.to_string());
            false
        });
        assert_eq!(seen, ["1", "2"]);
    }

    #[test]
    fn projection_keeps_what_stands_below_a_path() {
        let event = fields(serde_json::json!({"user": {"name": "a", "id": 1}, "other": 1}));
        assert_eq!(event.project(&["user"]).len(), 2);
    }
}
