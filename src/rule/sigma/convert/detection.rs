//! Detections as tests of an event in Rhai: the same questions that lowering asks, in the functions of the language.

use crate::rule::{
    number::Num,
    sigma::{
        condition::{self, Condition, Quantity},
        detection::{Detection, Flags, Item, Named, Value, Valued},
        lower::{TextShape, shape},
        value::{Piece, Text},
        yaml::Mark,
    },
    text::TextTest,
};

use super::{
    Refusal,
    expression::{Expression, field, literal},
};

/// Ways to have `N of` several detections that are written out.
const WAYS_MAX: usize = 200;

fn refused<T>(at: Mark, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(at, message))
}

/// A named detection; `None` of one that says nothing. The refusal names the filter that it is of.
pub fn named(of: &Named) -> Result<Option<Expression>, Refusal> {
    detection(&of.detection).map_err(|refusal| Refusal { of_filter: of.of_filter.clone(), ..refusal })
}

/// A detection; `None` of one that says nothing.
pub fn detection(of: &Detection) -> Result<Option<Expression>, Refusal> {
    let parts = |parts: &[Detection]| {
        let parts: Result<Vec<_>, _> = parts.iter().filter_map(|part| detection(part).transpose()).collect();
        parts.map(|parts| (!parts.is_empty()).then_some(parts))
    };
    Ok(match of {
        Detection::All(inner) => parts(inner)?.map(Expression::all),
        Detection::Any(inner) => parts(inner)?.map(Expression::any),
        Detection::Item(of) => Some(item(of)?),
    })
}

/// A condition over detections; `name` gives what stands for each, `None` for one that says nothing.
pub fn condition(
    of: &Condition,
    named: &[Named],
    name: &dyn Fn(&str) -> Option<Expression>,
) -> Result<Option<Expression>, Refusal> {
    let parts = |parts: &[Condition]| {
        let parts: Result<Vec<_>, _> =
            parts.iter().filter_map(|part| condition(part, named, name).transpose()).collect();
        parts.map(|parts| (!parts.is_empty()).then_some(parts))
    };
    Ok(match of {
        Condition::And(inner) => parts(inner)?.map(Expression::all),
        Condition::Or(inner) => parts(inner)?.map(Expression::any),
        Condition::Not(inner) => condition(inner, named, name)?.map(Expression::negated),
        Condition::Name { name: own, .. } => name(own),
        Condition::Of { quantity, pattern, at } => {
            let meant: Vec<&Named> = named.iter().filter(|own| condition::names(pattern, &own.name)).collect();
            let parts: Vec<Expression> = meant.iter().filter_map(|own| name(&own.name)).collect();
            if parts.is_empty() {
                return Ok(None);
            }
            Some(match quantity {
                Quantity::All => Expression::all(parts),
                Quantity::AtLeast(1) => Expression::any(parts),
                Quantity::AtLeast(number) => {
                    let mut ways = Vec::new();
                    choose(*number, &parts, &mut Vec::new(), &mut ways);
                    if ways.len() > WAYS_MAX {
                        let message = format!("`{number} of` so many detections can't be written out");
                        // A filter's condition means its own detections alone.
                        let of_filter = meant.first().and_then(|own| own.of_filter.clone());
                        return Err(Refusal { of_filter, ..Refusal::new(*at, message) });
                    }
                    Expression::any(ways)
                }
            })
        }
    })
}

/// Every choice of so many parts, one more than are written out at most.
fn choose(number: usize, parts: &[Expression], chosen: &mut Vec<Expression>, ways: &mut Vec<Expression>) {
    if ways.len() > WAYS_MAX || number > parts.len() {
        return;
    }
    if number == 0 {
        ways.push(Expression::all(chosen.iter().cloned()));
        return;
    }
    chosen.push(parts[0].clone());
    choose(number - 1, &parts[1..], chosen, ways);
    chosen.pop();
    choose(number, &parts[1..], chosen, ways);
}

fn leaf(text: String) -> Expression {
    Expression::Leaf(text)
}

fn item(of: &Item) -> Result<Expression, Refusal> {
    // Without a field, the event itself is asked: all of its values.
    let path = of.field.as_deref().map_or("e".to_owned(), field);
    let (mut parts, mut numbers, mut networks) = (Vec::new(), Vec::new(), Vec::new());
    for Valued { at, value } in &of.values {
        match value {
            Value::Number { value, .. } if !of.all && of.field.is_some() => numbers.push(number(*value, *at)?),
            Value::Cidr(network) if !of.all => networks.push(literal(network)),
            value => parts.push(test(&path, of.field.is_none(), value, *at)?),
        }
    }
    match &numbers[..] {
        [] => {}
        [number] => parts.push(leaf(format!("{path} == {number}"))),
        numbers => parts.push(leaf(format!("{path} in [{}]", numbers.join(", ")))),
    }
    if !networks.is_empty() {
        parts.push(cidr(&path, &networks));
    }
    let test = if of.all { Expression::all(parts) } else { Expression::any(parts) };
    Ok(if of.negated { test.negated() } else { test })
}

fn cidr(path: &str, networks: &[String]) -> Expression {
    match networks.len() {
        0..=8 => leaf(format!("cidr({path}, {})", networks.join(", "))),
        _ => leaf(format!("cidr({path}, [{}])", networks.join(", "))),
    }
}

pub fn number(of: Num, at: Mark) -> Result<String, Refusal> {
    match of {
        Num::Int(number) if i64::try_from(number).is_ok() => Ok(number.to_string()),
        Num::Int(_) => refused(at, "a number beyond 64 bits"),
        Num::Float(number) => {
            let written = format!("{number:?}");
            // Rhai wants a point before an exponent.
            Ok(if written.contains('.') { written } else { written.replacen('e', ".0e", 1) })
        }
    }
}

fn test(path: &str, is_keyword: bool, value: &Value, at: Mark) -> Result<Expression, Refusal> {
    Ok(match value {
        Value::Null | Value::Exists(false) => leaf(format!("exists({path})")).negated(),
        Value::Exists(true) => leaf(format!("exists({path})")),
        Value::Number { written, .. } | Value::Bool { written, .. } if is_keyword => {
            leaf(format!("{path}.icontains({})", literal(written)))
        }
        Value::Number { value, .. } => leaf(format!("{path} == {}", number(*value, at)?)),
        Value::Bool { value, .. } => leaf(format!("ieq({path}, \"{value}\")")),
        Value::Text { text: own, cased } => text(path, is_keyword, own, *cased, at)?,
        Value::Regex { regex: own, flags } => regex(path, own, *flags, at)?,
        Value::Cidr(network) => cidr(path, &[literal(network)]),
        Value::Compare(comparison, than) => leaf(format!("{path} {} {}", comparison.name(), number(*than, at)?)),
        Value::FieldRef { field: other, test, cased } => reference(path, &field(other), *test, *cased, at)?,
        Value::Date { .. } => {
            return refused(at, "the language has no function for the parts of a time that a field holds");
        }
        Value::AnyOf(values) => {
            let tests: Result<Vec<_>, _> = values.iter().map(|value| self::test(path, is_keyword, value, at)).collect();
            Expression::any(tests?)
        }
    })
}

fn text(path: &str, is_keyword: bool, own: &Text, cased: bool, at: Mark) -> Result<Expression, Refusal> {
    let Some(own) = own.without_bytes() else { return refused(at, "the encoded bytes are no text") };
    if let Some(name) = own.placeholder() {
        return refused(at, format!("nothing says what `%{name}%` stands for"));
    }
    let own = if is_keyword { own.after_any().before_any() } else { own };
    let (test, wanted) = match shape(&own) {
        TextShape::Anything => return Ok(leaf(format!("{path}.contains(\"\")"))),
        TextShape::Is(test, wanted) => (test, wanted),
    };
    let wanted_literal = literal(&wanted);
    Ok(leaf(match (test, cased) {
        (TextTest::Contains, false) => format!("{path}.icontains({wanted_literal})"),
        (TextTest::StartsWith, false) => format!("{path}.istarts_with({wanted_literal})"),
        (TextTest::EndsWith, false) => format!("{path}.iends_with({wanted_literal})"),
        (TextTest::Equals, false) => format!("ieq({path}, {wanted_literal})"),
        (TextTest::Like, false) => format!("like({path}, {wanted_literal})"),
        (TextTest::Contains, true) => format!("{path}.contains({wanted_literal})"),
        (TextTest::StartsWith, true) => format!("{path}.starts_with({wanted_literal})"),
        (TextTest::EndsWith, true) => format!("{path}.ends_with({wanted_literal})"),
        (TextTest::Equals, true) => format!("{path} == {wanted_literal}"),
        // `like` ignores case.
        (TextTest::Like, true) => format!("matches({path}, {})", literal(&as_regex(&own))),
    }))
}

/// A text with wildcards as a regex that minds case.
fn as_regex(text: &Text) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Plain(plain) => regex_syntax::escape(plain),
        Piece::One => ".".to_owned(),
        _ => ".*".to_owned(),
    };
    format!("(?s)^{}$", text.pieces().iter().map(piece).collect::<String>())
}

fn regex(path: &str, regex: &Text, flags: Flags, at: Mark) -> Result<Expression, Refusal> {
    match regex.as_plain() {
        Some(plain) => Ok(leaf(format!("matches({path}, {})", literal(&format!("{}{plain}", flags.written()))))),
        None => refused(at, "nothing says what the placeholders of the regex stand for"),
    }
}

fn reference(path: &str, other: &str, test: TextTest, cased: bool, at: Mark) -> Result<Expression, Refusal> {
    let test = match (test, cased) {
        (TextTest::Equals, false) => return Ok(leaf(format!("ieq({path}, {other})"))),
        (TextTest::Contains, false) => "icontains",
        (TextTest::StartsWith, false) => "istarts_with",
        (TextTest::EndsWith, false) => "iends_with",
        (TextTest::Contains, true) => "contains",
        (TextTest::StartsWith, true) => "starts_with",
        (TextTest::EndsWith, true) => "ends_with",
        (TextTest::Equals | TextTest::Like, _) => {
            return refused(at, "two fields with `==` compare numbers as such, not texts that mind case");
        }
    };
    Ok(leaf(format!("{path}.{test}({other})")))
}
