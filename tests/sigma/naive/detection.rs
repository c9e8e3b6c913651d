//! Detections: maps, whose items all have to hold; lists, of which one has to; and keywords.

use serde_json::Value as Json;
use serde_yaml_ng::Value as Yaml;

use super::{
    event,
    values::{Wanted, wanted},
};

#[derive(Debug)]
pub enum Detection {
    All(Vec<Detection>),
    Any(Vec<Detection>),
    Item(Item),
}

/// `field|modifier: values`, and without a field keywords.
#[derive(Debug)]
pub struct Item {
    field: Option<String>,
    wanted: Vec<Wanted>,
    /// `all`: every value, not one of them.
    all: bool,
    /// `neq`: none of them.
    negated: bool,
}

impl Detection {
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: &Yaml) -> Result<Self, String> {
        match value {
            Yaml::Mapping(map) if map.is_empty() => Err("an empty map".to_owned()),
            Yaml::Mapping(map) => {
                let items = map.iter().map(|(key, value)| {
                    Item::read(key.as_str().ok_or("a field that is no text")?, value).map(Detection::Item)
                });
                items.collect::<Result<_, _>>().map(Detection::All)
            }
            Yaml::Sequence(list) if list.is_empty() => Err("an empty list".to_owned()),
            Yaml::Sequence(list) => list.iter().map(Detection::read).collect::<Result<_, _>>().map(Detection::Any),
            keyword => Item::read("", keyword).map(Detection::Item),
        }
    }

    pub fn matches(&self, event: &Json) -> bool {
        match self {
            Detection::All(parts) => parts.iter().all(|part| part.matches(event)),
            Detection::Any(parts) => parts.iter().any(|part| part.matches(event)),
            Detection::Item(item) => item.matches(event),
        }
    }
}

impl Item {
    fn read(key: &str, value: &Yaml) -> Result<Self, String> {
        let mut words = key.split('|');
        let field = words.next().filter(|field| !field.is_empty()).map(str::to_owned);
        let modifiers: Vec<&str> = words.collect();
        let values = match value {
            // Nothing at all is null.
            Yaml::Sequence(list) if list.is_empty() => vec![Yaml::Null],
            Yaml::Sequence(list) => list.clone(),
            one => vec![one.clone()],
        };
        let all = modifiers.contains(&"all");
        let negated = modifiers.contains(&"neq");
        let others: Vec<&str> = modifiers.into_iter().filter(|name| !["all", "neq"].contains(name)).collect();
        let wanted = values
            .iter()
            .map(|value| wanted(value, &others, field.is_none()))
            .collect::<Result<_, _>>()
            .map_err(|why| format!("{key}: {why}"))?;
        Ok(Item { field, wanted, all, negated })
    }

    fn matches(&self, event: &Json) -> bool {
        let holds = |wanted: &Wanted| match &self.field {
            Some(field) => wanted.holds_of_field(event, field),
            None => event::all(event).into_iter().any(|scalar| wanted.holds(scalar, event)),
        };
        let answer = if self.all { self.wanted.iter().all(holds) } else { self.wanted.iter().any(holds) };
        answer != self.negated
    }
}
