//! `when` and `alert`: closures over a window.

use std::{collections::HashSet, sync::Arc};

use rhai::{Array, Dynamic, Engine, EvalAltResult, FLOAT, FnPtr, INT, ImmutableString, Map, Position};

use super::{
    ALL, AlertText, Answer, PatternView, Statistic, WindowView,
    aggregate::rate,
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

/// A pattern of a window, by its place; without one, the events of all patterns together.
#[derive(Debug, Clone)]
struct Signals {
    window: Arc<WindowView>,
    at: Option<usize>,
}

impl Signals {
    fn pattern(&self) -> Result<&PatternView, Box<EvalAltResult>> {
        match self.at {
            Some(at) => Ok(&self.window.patterns[at]),
            None => self.window.together.as_ref().ok_or_else(|| error_of(format!("`{ALL}` is not kept"))),
        }
    }

    /// What loading saw is kept; a name that it did not see is an error of the script.
    fn answer(&self, statistic: Statistic, field: &str) -> Result<&Answer, Box<EvalAltResult>> {
        let pattern = self.pattern()?;
        let not_kept = || error_of(format!("`{}.{}` is not kept", pattern.name, statistic.written(field)));
        match self.at {
            Some(_) => pattern.answer(statistic, field).ok_or_else(not_kept),
            None => pattern.answer_of_all(statistic).ok_or_else(not_kept),
        }
    }

    /// Of several fields, or of one for each pattern: of all together there is one such answer.
    fn number_of_all(&self, statistic: Statistic) -> Result<Option<Num>, Box<EvalAltResult>> {
        match self.at {
            None => self.number(statistic, ""),
            Some(_) => Err(error_of("a pattern is asked for one field".to_owned())),
        }
    }

    fn number(&self, statistic: Statistic, field: &str) -> Result<Option<Num>, Box<EvalAltResult>> {
        self.answer(statistic, field).map(|answer| match answer {
            Answer::Number(number) => *number,
            Answer::Value(_) | Answer::Values(_) => None,
        })
    }

    fn field(&self, statistic: Statistic, field: &str) -> Result<Field, Box<EvalAltResult>> {
        Ok(Field::result(self.number(statistic, field)?.map(Num::to_value)))
    }
}

impl WindowScript {
    /// Calls a `when` closure.
    ///
    /// # Errors
    /// When the script fails, is stopped at a limit, or answers something else than true or false.
    pub fn test(&self, view: &Arc<WindowView>) -> Result<bool, ScriptError> {
        answer(&self.0, Dynamic::from(Window(view.clone())))
    }

    /// Calls a closure that measures a window; `None` of nothing.
    ///
    /// # Errors
    /// When the script fails, is stopped at a limit, or gives something else than a number.
    pub fn number(&self, view: &Arc<WindowView>) -> Result<Option<f64>, ScriptError> {
        let result = self.0.call(Dynamic::from(Window(view.clone())))?;
        if let Some(field) = result.read_lock::<Field>() {
            return Ok(field.value().as_ref().and_then(Num::of).map(Num::as_f64));
        }
        let number = result.as_int().map(|value| value as f64).or_else(|_| result.as_float());
        number.map(Some).map_err(|_| self.0.error(format!("value gave {}, not a number", self.0.type_name(&result))))
    }

    pub(super) fn closure(&self) -> &FnPtr {
        &self.0.closure
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

    /// Calls it with something that the functions in it may find.
    pub(super) fn run(&self, view: &Arc<WindowView>, tag: Dynamic) -> Result<(), ScriptError> {
        self.0.call_tagged(Dynamic::from(Window(view.clone())), tag).map(|_| ())
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

/// Each value where it comes first. Values that an alert would show alike are one: 7 and 7.0 are two, as "7" is a third.
fn each_once(values: impl Iterator<Item = Dynamic>) -> Array {
    let mut seen = HashSet::new();
    values.filter(|value| seen.insert(to_json(value).map(|shown| shown.to_string()))).collect()
}

/// Functions that give one number of a field's values.
const NUMBERS: [(&str, Statistic); 6] = [
    ("sum", Statistic::Sum),
    ("avg", Statistic::Avg),
    ("min", Statistic::Min),
    ("max", Statistic::Max),
    ("stddev", Statistic::Stddev),
    ("share", Statistic::Share),
];

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Window>("window").register_type_with_name::<Signals>("pattern");
    engine.register_indexer_get(|window: &mut Window, name: ImmutableString| property(window, &name));
    engine.register_indexer_get(|signals: &mut Signals, name: ImmutableString| signals_property(signals, &name));
    engine.register_fn("distinct", |signals: &mut Signals, field: &str| {
        match signals.number(Statistic::Distinct, field)? {
            Some(Num::Int(count)) => Ok(INT::try_from(count).unwrap_or(INT::MAX)),
            _ => Ok::<_, Box<EvalAltResult>>(0),
        }
    });
    register_of_all(engine);
    engine.register_fn("values", |signals: &mut Signals, field: &str| {
        match signals.answer(Statistic::Values, field)? {
            Answer::Values(values) => Ok::<_, Box<EvalAltResult>>(each_once(values.iter().map(to_dynamic))),
            _ => Ok(Array::new()),
        }
    });
    engine.register_fn("union", |lists: Array| {
        let lists: Option<Vec<Array>> = lists.into_iter().map(Dynamic::try_cast).collect();
        let lists = lists.ok_or_else(|| error_of("`union` takes a list of lists".to_owned()))?;
        Ok::<_, Box<EvalAltResult>>(each_once(lists.into_iter().flatten()))
    });
    engine.register_fn("top", |signals: &mut Signals, field: &str| match signals.answer(Statistic::Top, field)? {
        Answer::Value(value) => Ok::<_, Box<EvalAltResult>>(Field::result(value.clone())),
        _ => Ok(Field::Missing),
    });
    for (name, statistic) in NUMBERS {
        engine.register_fn(name, move |signals: &mut Signals, field: &str| signals.field(statistic, field));
    }
    engine.register_fn("percentile", |signals: &mut Signals, field: &str, percent: INT| {
        signals.field(Statistic::Percentile(percent as f64), field)
    });
    engine.register_fn("percentile", |signals: &mut Signals, field: &str, percent: FLOAT| {
        signals.field(Statistic::Percentile(percent), field)
    });
    engine.register_fn("rate", |signals: &mut Signals, span: &str| {
        let span = duration::parse(span).ok_or_else(|| error_of(format!("`{span}` is no duration")))?;
        let rate = rate(signals.pattern()?.count, signals.window.length(), span);
        Ok::<_, Box<EvalAltResult>>(Field::result(rate.map(Num::to_value)))
    });
}

/// Functions of [`ALL`] that are told several fields, or those of each pattern. Loading has looked at which.
fn register_of_all(engine: &mut Engine) {
    fn register<T: Clone + Send + Sync + 'static>(engine: &mut Engine) {
        engine.register_fn("distinct", |signals: &mut Signals, _: T| {
            match signals.number_of_all(Statistic::Distinct)? {
                Some(Num::Int(count)) => Ok(INT::try_from(count).unwrap_or(INT::MAX)),
                _ => Ok::<_, Box<EvalAltResult>>(0),
            }
        });
        let result = |number: Option<Num>| Field::result(number.map(Num::to_value));
        for (name, statistic) in NUMBERS {
            engine.register_fn(name, move |signals: &mut Signals, _: T| signals.number_of_all(statistic).map(result));
        }
        engine.register_fn("percentile", move |signals: &mut Signals, _: T, percent: INT| {
            signals.number_of_all(Statistic::Percentile(percent as f64)).map(result)
        });
        engine.register_fn("percentile", move |signals: &mut Signals, _: T, percent: FLOAT| {
            signals.number_of_all(Statistic::Percentile(percent)).map(result)
        });
    }
    register::<Array>(engine);
    register::<Map>(engine);
}

/// Makes `.name` a pattern or property of a window, and a property of a pattern.
pub(super) fn register_name(engine: &mut Engine, name: &str) {
    let word = name.to_owned();
    engine.register_get(in_tree(name), move |window: &mut Window| property(window, &word));
    let word = name.to_owned();
    engine.register_get(in_tree(name), move |signals: &mut Signals| signals_property(signals, &word));
}

fn signals_property(signals: &Signals, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    let pattern = signals.pattern()?;
    match name {
        "count" => Ok(INT::try_from(pattern.count).unwrap_or(INT::MAX).into()),
        "first" => Ok(Dynamic::from(Field::kept(pattern.first.as_ref()))),
        "last" => Ok(Dynamic::from(Field::kept(pattern.last.as_ref()))),
        name => Err(error_of(format!("a pattern has no `{name}`"))),
    }
}

fn property(window: &Window, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    let view = &window.0;
    match name {
        "key" => Ok(view.key.iter().map(|part| Dynamic::from(part.to_string())).collect::<Array>().into()),
        "start" => Ok(view.start.to_string().into()),
        "end" => Ok(view.end.to_string().into()),
        ALL => Ok(Dynamic::from(Signals { window: view.clone(), at: None })),
        "occurring" => {
            let occurring = view.patterns.iter().filter(|pattern| pattern.count > 0).count();
            Ok(INT::try_from(occurring).unwrap_or(INT::MAX).into())
        }
        name => match view.patterns.iter().position(|pattern| &*pattern.name == name) {
            Some(at) => Ok(Dynamic::from(Signals { window: view.clone(), at: Some(at) })),
            None => Err(error_of(format!("the rule has no pattern `{name}`"))),
        },
    }
}

fn error_of(reason: String) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(reason.into(), Position::NONE))
}
