//! Other names for fields: in items, in values that refer to fields, and in what an alert shows.

use super::{
    keys::Keys,
    run::{Change, Part},
};
use crate::rule::sigma::{
    detection::{Item, Value, Valued},
    report::Report,
    yaml::Yaml,
};

#[derive(Debug, Clone)]
pub enum Rename {
    /// A name, `None` for keywords, and what it becomes.
    Whole(Vec<(Option<String>, Vec<String>)>),
    /// The first of these that a name starts with.
    Start(Vec<(String, Vec<String>)>),
    Prefix(String),
    Suffix(String),
}

impl Rename {
    pub fn read(kind: &str, keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<Self> {
        match kind {
            "field_name_prefix" => return keys.needed_text("prefix", report).map(Rename::Prefix),
            "field_name_suffix" => return keys.needed_text("suffix", report).map(Rename::Suffix),
            _ => {}
        }
        let node = keys.needed("mapping", report)?;
        let Yaml::Map(entries) = &node.yaml else {
            report.error("wrong-type", node.at, format!("`mapping` is a map, not {}", node.kind()), None);
            return None;
        };
        let mut mapping = Vec::new();
        for entry in entries {
            let items = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
            let names: Option<Vec<String>> = items.iter().map(|item| item.as_text().map(str::to_owned)).collect();
            let Some(names) = names.filter(|names| !names.is_empty()) else {
                let message = format!("`{}` becomes a name, or a list of names", entry.key);
                report.error("wrong-type", entry.value.at, message, None);
                return None;
            };
            mapping.push((entry.key.clone(), names));
        }
        if kind == "field_name_prefix_mapping" {
            return Some(Rename::Start(mapping));
        }
        let whole = |(name, names): (String, Vec<String>)| (Some(name).filter(|name| name != "null"), names);
        Some(Rename::Whole(mapping.into_iter().map(whole).collect()))
    }

    /// What a field, or with `None` keywords, become; `None` where that stays as it is.
    pub fn names(&self, field: Option<&str>) -> Option<Vec<String>> {
        match (self, field) {
            (Rename::Whole(mapping), field) => {
                mapping.iter().find(|(name, _)| name.as_deref() == field).map(|(_, names)| names.clone())
            }
            (_, None) => None,
            (Rename::Start(mapping), Some(field)) => mapping.iter().find_map(|(start, names)| {
                let rest = field.strip_prefix(start.as_str())?;
                Some(names.iter().map(|name| format!("{name}{rest}")).collect())
            }),
            (Rename::Prefix(prefix), Some(field)) => Some(vec![format!("{prefix}{field}")]),
            (Rename::Suffix(suffix), Some(field)) => Some(vec![format!("{field}{suffix}")]),
        }
    }

    pub fn of_item(&self, item: &Item, is_for: &dyn Fn(Option<&str>) -> bool) -> Change {
        let mut renamed = item.clone();
        let mut refers = false;
        for valued in &mut renamed.values {
            refers |= self.reference(&mut valued.value, is_for);
        }
        match self.names(item.field.as_deref()).filter(|_| is_for(item.field.as_deref())) {
            None if refers => Change::Into(Part::Item { item: renamed, by: Vec::new() }),
            None => Change::Nothing,
            Some(names) => {
                if item.field.is_none() {
                    // A keyword stands anywhere in a value; of a field a text is asked as a whole.
                    renamed.values.iter_mut().for_each(open);
                }
                let named =
                    |name: String| Part::Item { item: Item { field: Some(name), ..renamed.clone() }, by: Vec::new() };
                let mut parts: Vec<Part> = names.into_iter().map(named).collect();
                Change::Into(match parts.len() {
                    1 => parts.remove(0),
                    // What must not be in a field must be in none of those that it becomes.
                    _ if item.negated => Part::All(parts),
                    _ => Part::Any(parts),
                })
            }
        }
    }

    /// Renames the field that a value refers to; says whether it did.
    fn reference(&self, value: &mut Value, is_for: &dyn Fn(Option<&str>) -> bool) -> bool {
        match value {
            Value::AnyOf(values) => {
                let changed: Vec<bool> = values.iter_mut().map(|value| self.reference(value, is_for)).collect();
                changed.contains(&true)
            }
            Value::FieldRef { field, test, cased } => {
                let Some(names) = self.names(Some(field)).filter(|_| is_for(Some(field))) else { return false };
                let (test, cased) = (*test, *cased);
                let mut values: Vec<Value> =
                    names.into_iter().map(|field| Value::FieldRef { field, test, cased }).collect();
                *value = if values.len() == 1 { values.remove(0) } else { Value::AnyOf(values) };
                true
            }
            _ => false,
        }
    }
}

fn open(valued: &mut Valued) {
    fn anywhere(value: &mut Value) {
        match value {
            Value::AnyOf(values) => values.iter_mut().for_each(anywhere),
            Value::Text { text, .. } => *text = std::mem::take(text).after_any().before_any(),
            _ => {}
        }
    }
    anywhere(&mut valued.value);
}
