//! What an event has at a name.

use serde_json::Value as Json;

/// Every text, number and boolean at `name`, arrays opened. `a.b` is `b` of the object `a`, and the member that is
/// called `a.b`; in an array of objects it is the member of each.
pub fn values<'a>(event: &'a Json, name: &str) -> Vec<&'a Json> {
    let mut found = Vec::new();
    collect(event, name, &mut found);
    found
}

fn collect<'a>(at: &'a Json, name: &str, found: &mut Vec<&'a Json>) {
    match at {
        Json::Array(items) => items.iter().for_each(|item| collect(item, name, found)),
        Json::Object(members) => {
            for (key, value) in members {
                if key == name {
                    scalars(value, found);
                } else if let Some(rest) = below(name, key) {
                    collect(value, rest, found);
                }
            }
        }
        _ => {}
    }
}

/// What follows `name.` in a longer name.
fn below<'a>(longer: &'a str, name: &str) -> Option<&'a str> {
    longer.strip_prefix(name)?.strip_prefix('.')
}

fn scalars<'a>(value: &'a Json, found: &mut Vec<&'a Json>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| scalars(item, found)),
        Json::Null | Json::Object(_) => {}
        scalar => found.push(scalar),
    }
}

/// Every text, number and boolean of the event, for keywords.
pub fn all(event: &Json) -> Vec<&Json> {
    match event {
        Json::Null => Vec::new(),
        Json::Array(items) => items.iter().flat_map(all).collect(),
        Json::Object(members) => members.values().flat_map(all).collect(),
        scalar => vec![scalar],
    }
}

/// Whether there is anything at `name`: an empty text, array or an object with something in it too, null not.
pub fn exists(event: &Json, name: &str) -> bool {
    match event {
        Json::Array(items) => items.iter().any(|item| exists(item, name)),
        Json::Object(members) => members.iter().any(|(key, value)| {
            if key == name || below(key, name).is_some() {
                is_something(value)
            } else {
                below(name, key).is_some_and(|rest| exists(value, rest))
            }
        }),
        _ => false,
    }
}

fn is_something(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Object(members) => members.values().any(is_something),
        _ => true,
    }
}

/// As it is written.
pub fn text(scalar: &Json) -> String {
    match scalar {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A number, or a text that is one.
pub fn number(scalar: &Json) -> Option<f64> {
    match scalar {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match serde_json::from_str(text) {
            Ok(Json::Number(number)) if !text.contains(char::is_whitespace) => number.as_f64(),
            _ => None,
        },
        _ => None,
    }
}
