//! `when` and `alert`: closures over a window.

use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, FLOAT, INT, ImmutableString, Map, Position};

use super::{
    AlertText, WindowView,
    aggregate::Signals,
    duration,
    field::Field,
    number::Num,
    predicate::answer,
    script::{Script, ScriptError},
    token::{in_tree, written},
};
use crate::event::Value;

/// A `when` or `alert` closure.
#[derive(Debug)]
pub struct WindowScript(pub(super) Script);

/// A window as a script holds it.
#[derive(Debug, Clone)]
struct Window(Arc<WindowView>);

impl WindowScript {
    /// Calls a `when` closure.
    ///
    /// # Errors
    /// When the script fails, is stopped at a limit, or answers something else than true or false.
    pub fn test(&self, view: &Arc<WindowView>) -> Result<bool, ScriptError> {
        answer(&self.0, Dynamic::from(Window(view.clone())))
    }

    /// Calls an `alert` closure.
    ///
    /// # Errors
    /// When the script fails, is stopped at a limit, or gives something else than a map of data.
    pub fn alert(&self, view: &Arc<WindowView>) -> Result<AlertText, ScriptError> {
        let result = self.0.call(Dynamic::from(Window(view.clone())))?;
        let Some(map) = result.read_lock::<Map>() else {
            return Err(self.0.error(format!("alert gave {}, not a map", self.0.type_name(&result))));
        };
        let mut text = AlertText::default();
        for (name, value) in map.iter() {
            let value = to_json(value)
                .ok_or_else(|| self.0.error(format!("alert gave {} as `{name}`", self.0.type_name(value))))?;
            match (name.as_str(), value) {
                ("title", serde_json::Value::Null) => {}
                ("title", serde_json::Value::String(title)) => text.title = Some(title),
                ("title", value) => text.title = Some(value.to_string()),
                (name, value) => {
                    text.fields.insert(written(name).into_owned(), value);
                }
            }
        }
        Ok(text)
    }
}

/// Data as JSON; `None` for what is no data, such as a function.
pub(super) fn to_json(value: &Dynamic) -> Option<serde_json::Value> {
    use serde_json::Value as Json;
    if value.is_unit() {
        return Some(Json::Null);
    }
    if let Ok(value) = value.as_bool() {
        return Some(value.into());
    }
    if let Ok(value) = value.as_int() {
        return Some(value.into());
    }
    if let Ok(value) = value.as_float() {
        return Some(value.into());
    }
    if let Ok(value) = value.as_char() {
        return Some(value.to_string().into());
    }
    if let Some(text) = value.read_lock::<ImmutableString>() {
        return Some(text.as_str().into());
    }
    if let Some(field) = value.read_lock::<Field>() {
        return Some(field.value().map_or(Json::Null, |value| value.to_json()));
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(to_json).collect::<Option<_>>().map(Json::Array);
    }
    let map = value.read_lock::<Map>()?;
    let entries = map.iter().map(|(name, value)| Some((written(name).into_owned(), to_json(value)?)));
    entries.collect::<Option<_>>().map(Json::Object)
}

/// A field's value as Rhai's own; a number beyond its integers is a float.
fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(value) => value.into(),
            None => number.as_f64().map_or(Dynamic::UNIT, Dynamic::from),
        },
        value => value.to_string().into(),
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Window>("window").register_type_with_name::<Signals>("pattern");
    engine.register_indexer_get(|window: &mut Window, name: ImmutableString| property(window, &name));
    engine.register_indexer_get(|signals: &mut Signals, name: ImmutableString| signals_property(signals, &name));
    engine.register_fn("distinct", |signals: &mut Signals, field: &str| count(signals.distinct(field)));
    engine.register_fn("values", |signals: &mut Signals, field: &str| -> Array {
        signals.values(field).iter().map(to_dynamic).collect()
    });
    engine.register_fn("top", |signals: &mut Signals, field: &str| Field::result(signals.top(field)));
    engine.register_fn("sum", |signals: &mut Signals, field: &str| number(Some(signals.sum(field))));
    engine.register_fn("avg", |signals: &mut Signals, field: &str| number(signals.average(field)));
    engine.register_fn("min", |signals: &mut Signals, field: &str| number(signals.least(field)));
    engine.register_fn("max", |signals: &mut Signals, field: &str| number(signals.greatest(field)));
    engine.register_fn("stddev", |signals: &mut Signals, field: &str| number(signals.deviation(field)));
    engine.register_fn("percentile", |signals: &mut Signals, field: &str, percent: INT| {
        number(signals.percentile(field, percent as f64))
    });
    engine.register_fn("percentile", |signals: &mut Signals, field: &str, percent: FLOAT| {
        number(signals.percentile(field, percent))
    });
    engine.register_fn("rate", |signals: &mut Signals, span: &str| {
        let span = duration::parse(span).ok_or_else(|| error_of(format!("`{span}` is no duration")))?;
        Ok::<_, Box<EvalAltResult>>(number(signals.rate(span)))
    });
}

/// Makes `.name` a pattern or property of a window, and a property of a pattern.
pub(super) fn register_name(engine: &mut Engine, name: &str) {
    let word = name.to_owned();
    engine.register_get(in_tree(name), move |window: &mut Window| property(window, &word));
    let word = name.to_owned();
    engine.register_get(in_tree(name), move |signals: &mut Signals| signals_property(signals, &word));
}

fn signals_property(signals: &Signals, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    match name {
        "count" => Ok(count(usize::try_from(signals.count()).unwrap_or(usize::MAX)).into()),
        "first" => Ok(Dynamic::from(Field::kept(signals.kept().next()))),
        "last" => Ok(Dynamic::from(Field::kept(signals.kept().next_back()))),
        name => Err(error_of(format!("a pattern has no `{name}`"))),
    }
}

fn property(window: &Window, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    let view = &window.0;
    match name {
        "key" => Ok(view.key.iter().map(|part| Dynamic::from(part.to_string())).collect::<Array>().into()),
        "start" => Ok(view.start.to_string().into()),
        "end" => Ok(view.end.to_string().into()),
        name => match view.patterns.get_key_value(name) {
            Some((pattern, _)) => Ok(Dynamic::from(Signals { view: view.clone(), pattern: pattern.clone() })),
            None => Err(error_of(format!("the rule has no pattern `{name}`"))),
        },
    }
}

fn count(count: usize) -> INT {
    INT::try_from(count).unwrap_or(INT::MAX)
}

fn number(number: Option<Num>) -> Field {
    Field::result(number.map(Num::to_value))
}

fn error_of(reason: String) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(reason.into(), Position::NONE))
}
