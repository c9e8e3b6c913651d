//! Operators on fields, and the way from a field to those below it.

use std::ops::{Range, RangeInclusive};

use rhai::{Array, Dynamic, Engine, FLOAT, INT, ImmutableString, Map};

use crate::rule::{
    compare::{Comparison, Operand},
    field::Field,
    number::{Arithmetic, Num},
};

pub(super) fn register(engine: &mut Engine) {
    for (name, comparison) in Comparison::ALL {
        register_comparison(engine, name, comparison);
    }
    for (name, operator) in Arithmetic::NAMED {
        register_arithmetic(engine, name, operator);
    }
    engine.register_fn("-", |field: &mut Field| field.calculate_from(Arithmetic::Subtract, Num::Int(0)));
    register_in(engine);
    engine.register_indexer_get(|field: &mut Field, name: ImmutableString| field.below(&name));
    engine.register_fn("to_string", |field: &mut Field| field.to_string());
    engine.register_fn("to_debug", |field: &mut Field| field.to_string());
}

/// Makes `.name` a field below a field.
pub(super) fn register_name(engine: &mut Engine, name: &str) {
    let below = ImmutableString::from(name);
    engine.register_get(super::super::token::in_tree(name), move |field: &mut Field| field.below(&below));
}

/// A literal beside a field; `None` for what is never equal to one.
fn with_operand<T>(literal: &Dynamic, ask: impl FnOnce(Operand<'_>) -> T) -> Option<T> {
    if let Ok(value) = literal.as_int() {
        return Some(ask(Operand::Number(Num::Int(value.into()))));
    }
    if let Ok(value) = literal.as_float() {
        return Some(ask(Operand::Number(Num::Float(value))));
    }
    if let Ok(value) = literal.as_bool() {
        return Some(ask(Operand::Bool(value)));
    }
    if let Ok(value) = literal.as_char() {
        return Some(ask(Operand::Text(value.encode_utf8(&mut [0; 4]))));
    }
    let text = literal.read_lock::<ImmutableString>()?;
    Some(ask(Operand::Text(&text)))
}

fn register_comparison(engine: &mut Engine, name: &str, comparison: Comparison) {
    let swapped = comparison.swapped();
    macro_rules! against {
        ($($kind:ty => |$value:ident| $operand:expr;)*) => { $(
            engine.register_fn(name, move |field: &mut Field, $value: $kind| field.compare(comparison, $operand));
            engine.register_fn(name, move |$value: $kind, field: Field| field.compare(swapped, $operand));
        )* };
    }
    against! {
        INT => |value| Operand::Number(Num::Int(value.into()));
        FLOAT => |value| Operand::Number(Num::Float(value));
        ImmutableString => |value| Operand::Text(&value);
        bool => |value| Operand::Bool(value);
        char => |value| Operand::Text(value.encode_utf8(&mut [0; 4]));
    }
    macro_rules! never {
        ($($kind:ty),*) => { $(
            engine.register_fn(name, |_: &mut Field, _: $kind| false);
            engine.register_fn(name, |_: $kind, _: Field| false);
        )* };
    }
    never!((), Array, Map);
    engine.register_fn(name, move |left: &mut Field, right: Field| left.compare_field(comparison, &right));
}

fn register_arithmetic(engine: &mut Engine, name: &str, operator: Arithmetic) {
    engine.register_fn(name, move |field: &mut Field, other: INT| field.calculate(operator, Num::Int(other.into())));
    engine.register_fn(name, move |field: &mut Field, other: FLOAT| field.calculate(operator, Num::Float(other)));
    engine.register_fn(name, move |other: INT, field: Field| field.calculate_from(operator, Num::Int(other.into())));
    engine.register_fn(name, move |other: FLOAT, field: Field| field.calculate_from(operator, Num::Float(other)));
    engine.register_fn(name, move |field: &mut Field, other: ImmutableString| {
        Num::parse(&other).map_or(Field::Missing, |other| field.calculate(operator, other))
    });
    engine.register_fn(name, move |other: ImmutableString, field: Field| {
        Num::parse(&other).map_or(Field::Missing, |other| field.calculate_from(operator, other))
    });
    engine.register_fn(name, move |left: &mut Field, right: Field| left.calculate_field(operator, &right));
    macro_rules! missing {
        ($($kind:ty),*) => { $(
            engine.register_fn(name, |_: &mut Field, _: $kind| Field::Missing);
            engine.register_fn(name, |_: $kind, _: Field| Field::Missing);
        )* };
    }
    missing!(bool, (), char);
}

/// `x in y`, which Rhai writes as `contains(y, x)`.
fn register_in(engine: &mut Engine) {
    engine.register_fn("contains", |list: &mut Array, field: Field| list.iter().any(|item| equals(item, &field)));
    engine.register_fn("contains", |text: ImmutableString, field: Field| {
        field.any_text(&mut |value| text.contains(value))
    });
    engine.register_fn("contains", |map: &mut Map, field: Field| field.any_text(&mut |value| map.contains_key(value)));
    engine.register_fn("contains", |range: &mut Range<INT>, field: Field| {
        in_range(&field, range.start, Comparison::Less, range.end)
    });
    engine.register_fn("contains", |range: &mut RangeInclusive<INT>, field: Field| {
        in_range(&field, *range.start(), Comparison::LessOrEqual, *range.end())
    });
    engine.register_fn("contains", |field: &mut Field, other: Field| other.compare_field(Comparison::Equal, field));
    macro_rules! element {
        ($($kind:ty),*) => { $(
            engine.register_fn("contains", |field: &mut Field, value: $kind| equals(&Dynamic::from(value), field));
        )* };
    }
    element!(INT, FLOAT, ImmutableString, bool, char);
}

fn equals(item: &Dynamic, field: &Field) -> bool {
    if let Some(other) = item.read_lock::<Field>() {
        return field.compare_field(Comparison::Equal, &other);
    }
    with_operand(item, |operand| field.compare(Comparison::Equal, operand)).unwrap_or(false)
}

fn in_range(field: &Field, start: INT, below: Comparison, end: INT) -> bool {
    let number = |value: INT| Operand::Number(Num::Int(value.into()));
    field.any(&mut |value| number(start).test(Comparison::GreaterOrEqual, value) && number(end).test(below, value))
}
