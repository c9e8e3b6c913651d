//! Placeholders (`%name%` under `expand`): the values of variables, or any text, in their place.

use std::collections::BTreeMap;

use super::{
    keys::Keys,
    run::{Change, Part},
};
use crate::rule::{
    diagnostic::did_you_mean,
    sigma::{
        detection::{Item, Value},
        report::Report,
        value::{Piece, Text},
    },
};

/// Texts that the placeholders of one text may make of it.
const TEXTS_MAX: usize = 10_000;

#[derive(Debug, Clone)]
pub struct Placeholders {
    /// Any text, not the value of a variable.
    wildcard: bool,
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
}

impl Placeholders {
    pub fn read(kind: &str, keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<Self> {
        let (include, exclude) = (keys.texts("include", report), keys.texts("exclude", report));
        if include.is_some() && exclude.is_some() {
            let message = "`include` and `exclude` say the same from two sides: keep one";
            report.error("sigma-unsupported", keys.node.at, message, None);
            return None;
        }
        Some(Placeholders { wildcard: kind == "wildcard_placeholders", include, exclude })
    }

    fn is_for(&self, name: &String) -> bool {
        self.include.as_ref().is_none_or(|names| names.contains(name))
            && self.exclude.as_ref().is_none_or(|names| !names.contains(name))
    }

    pub fn of_item(&self, item: &Item, vars: &BTreeMap<String, Vec<Text>>) -> Change {
        let mut filled = item.clone();
        for valued in &mut filled.values {
            match self.of_value(&valued.value, vars) {
                Ok(value) => valued.value = value,
                Err((code, message)) => return Change::Failure(code, message),
            }
        }
        if filled == *item { Change::Nothing } else { Change::Into(Part::Item { item: filled, by: Vec::new() }) }
    }

    fn of_value(&self, value: &Value, vars: &BTreeMap<String, Vec<Text>>) -> Result<Value, (&'static str, String)> {
        Ok(match value {
            Value::AnyOf(values) => {
                Value::AnyOf(values.iter().map(|value| self.of_value(value, vars)).collect::<Result<_, _>>()?)
            }
            Value::Text { text, cased } => {
                let of = |text| Value::Text { text, cased: *cased };
                one_or_any(self.texts(text, vars, Piece::Any)?.into_iter().map(of).collect())
            }
            Value::Regex { regex, flags } => {
                let any = Piece::Plain(".*".to_owned());
                let of = |regex| Value::Regex { regex, flags: *flags };
                one_or_any(self.texts(regex, vars, any)?.into_iter().map(of).collect())
            }
            other => other.clone(),
        })
    }

    /// Every text that the variables make of one.
    fn texts(
        &self,
        text: &Text,
        vars: &BTreeMap<String, Vec<Text>>,
        any: Piece,
    ) -> Result<Vec<Text>, (&'static str, String)> {
        let mut texts = vec![Text::default()];
        for piece in text.pieces() {
            let choices = match piece {
                Piece::Placeholder(name) if self.is_for(name) && self.wildcard => vec![Text::of([any.clone()])],
                Piece::Placeholder(name) if self.is_for(name) => match vars.get(name) {
                    Some(values) => values.clone(),
                    None => {
                        let near = did_you_mean(name, vars.keys().map(String::as_str));
                        let near = near.map_or(String::new(), |near| format!(": {near}"));
                        return Err(("sigma-placeholder", format!("no pipeline has a variable `{name}`{near}")));
                    }
                },
                piece => vec![Text::of([piece.clone()])],
            };
            if texts.len() * choices.len() > TEXTS_MAX {
                return Err(("too-large", format!("variables make more than {TEXTS_MAX} texts of one")));
            }
            let with = |before: &Text| {
                let before = before.pieces().to_vec();
                let join = move |choice: &Text| Text::of(before.iter().chain(choice.pieces()).cloned());
                choices.iter().map(join).collect::<Vec<_>>()
            };
            texts = texts.iter().flat_map(with).collect();
        }
        Ok(texts)
    }
}

/// Several values in the place of one, where they are several.
pub fn one_or_any(mut values: Vec<Value>) -> Value {
    if values.len() == 1 { values.remove(0) } else { Value::AnyOf(values) }
}
