//! From the tree of a rule to the predicate that the matcher runs.
//!
//! Texts ignore case unless they are `cased`. One literal at a field's start, end or anywhere in it becomes that text
//! test, several between wildcards a pattern of `like`. A field that an event lacks makes every test false, and what
//! negates one true.

use std::{collections::HashMap, sync::Arc};

use super::{
    condition::{self, Condition, Quantity},
    detection::{Detection, Detections, Flags, Item, Value, Valued},
    report::{Report, SigmaFile},
    value::{Piece, Text},
    yaml::Mark,
};
use crate::rule::{
    Comparison, Predicate,
    field_test::{Asks, FieldTest, Literal, OneOf, Pattern, TermTest},
    predicate::EVERYWHERE,
    term::Term,
    text::{Network, TextTest},
};

/// Tests of one rule: conditions that name large detections often, or `N of` many, are refused above it.
const TESTS_MAX: usize = 100_000;

/// The predicate of a rule's detections. `None` where something is wrong, which is then reported.
pub fn lower(detections: &Detections, report: &mut Report<'_>) -> Option<Predicate> {
    let mut lowering = Lowering { detections, named: HashMap::new(), tests: 0, fits: true, of_filter: None, report };
    let conditions: Vec<Predicate> =
        detections.conditions.iter().filter_map(|condition| lowering.condition(condition)).collect();
    let at = detections.named.first().map_or(Mark::START, |named| named.at);
    if lowering.tests > TESTS_MAX {
        let message = format!("more than {TESTS_MAX} tests come of this rule");
        lowering.report.error("too-large", at, message, Some("split it into several rules".to_owned()));
        return None;
    }
    if !lowering.fits {
        return None;
    }
    if conditions.is_empty() {
        lowering.report.error("empty", at, "the condition says nothing: no detection is left in it", None);
        return None;
    }
    Some(Predicate::any(conditions))
}

/// The predicate of a detection that no condition names. `None` where it says nothing, or something in it is wrong,
/// which is then reported.
pub fn lower_alone(detection: &Detection, report: &mut Report<'_>) -> Option<Predicate> {
    let detections = Detections { named: Vec::new(), conditions: Vec::new() };
    let mut lowering =
        Lowering { detections: &detections, named: HashMap::new(), tests: 0, fits: true, of_filter: None, report };
    let predicate = lowering.detection(detection);
    predicate.filter(|_| lowering.fits)
}

/// The test that a text with wildcards comes to.
#[derive(Debug)]
pub enum TextShape {
    /// Any value is like it.
    Anything,
    Is(TextTest, String),
}

/// The simplest test of a text that has neither bytes nor placeholders.
pub fn shape(text: &Text) -> TextShape {
    let (test, wanted) = match text.pieces() {
        [] => (TextTest::Equals, String::new()),
        pieces if pieces.iter().all(|piece| *piece == Piece::Any) => return TextShape::Anything,
        [Piece::Plain(plain)] => (TextTest::Equals, plain.clone()),
        [Piece::Plain(plain), Piece::Any] => (TextTest::StartsWith, plain.clone()),
        [Piece::Any, Piece::Plain(plain)] => (TextTest::EndsWith, plain.clone()),
        [Piece::Any, Piece::Plain(plain), Piece::Any] => (TextTest::Contains, plain.clone()),
        _ => (TextTest::Like, text.to_string()),
    };
    TextShape::Is(test, wanted)
}

struct Lowering<'d, 'r, 'f> {
    detections: &'d Detections,
    /// By name; `None` of one that says nothing.
    named: HashMap<&'d str, Option<Predicate>>,
    tests: usize,
    fits: bool,
    /// Whose detection is looked at, if it is that of a filter.
    of_filter: Option<Arc<SigmaFile>>,
    report: &'r mut Report<'f>,
}

impl<'d> Lowering<'d, '_, '_> {
    /// `None` of a part that says nothing: it is left out of what it is a part of.
    fn condition(&mut self, condition: &'d Condition) -> Option<Predicate> {
        match condition {
            Condition::And(parts) => joined(parts.iter().filter_map(|part| self.condition(part)), Predicate::all),
            Condition::Or(parts) => joined(parts.iter().filter_map(|part| self.condition(part)), Predicate::any),
            Condition::Not(part) => self.condition(part).map(Predicate::negated),
            Condition::Name { name, .. } => self.named(name),
            Condition::Of { quantity, pattern, .. } => {
                let detections = self.detections;
                let names = detections.named.iter().filter(|named| condition::names(pattern, &named.name));
                let parts: Vec<Predicate> = names.filter_map(|named| self.named(&named.name)).collect();
                if parts.is_empty() {
                    return None;
                }
                Some(match quantity {
                    Quantity::All => Predicate::all(parts),
                    Quantity::AtLeast(1) => Predicate::any(parts),
                    Quantity::AtLeast(number) => self.at_least(*number, &parts),
                })
            }
        }
    }

    /// A named detection; each use counts, for each is a copy.
    fn named(&mut self, name: &'d str) -> Option<Predicate> {
        if !self.named.contains_key(name) {
            let named = self.detections.named.iter().find(|named| named.name == name)?;
            let outer = std::mem::replace(&mut self.of_filter, named.of_filter.clone());
            let predicate = self.detection(&named.detection);
            self.of_filter = outer;
            self.named.insert(name, predicate);
        }
        let predicate = self.named.get(name)?.as_ref()?;
        self.tests += predicate.size();
        (self.tests <= TESTS_MAX).then(|| predicate.clone())
    }

    /// Every way in which so many of the parts hold.
    fn at_least(&mut self, number: usize, parts: &[Predicate]) -> Predicate {
        let Some((first, rest)) = parts.split_first().filter(|_| number > 0) else {
            return Predicate::Constant(number == 0);
        };
        if number > parts.len() || self.tests > TESTS_MAX {
            return Predicate::Constant(false);
        }
        self.tests += first.size();
        let with = self.at_least(number - 1, rest);
        let without = self.at_least(number, rest);
        Predicate::any([Predicate::all([first.clone(), with]), without])
    }

    fn detection(&mut self, detection: &Detection) -> Option<Predicate> {
        match detection {
            Detection::All(parts) => joined(parts.iter().filter_map(|part| self.detection(part)), Predicate::all),
            Detection::Any(parts) => joined(parts.iter().filter_map(|part| self.detection(part)), Predicate::any),
            Detection::Item(item) => Some(self.item(item)),
        }
    }

    fn item(&mut self, item: &Item) -> Predicate {
        let path: Arc<str> = item.field.as_deref().unwrap_or(EVERYWHERE).into();
        let mut parts = Vec::new();
        let (mut numbers, mut networks) = (Vec::new(), Vec::new());
        for Valued { at, value } in &item.values {
            // Of several numbers or networks one is equal: that is one test.
            match value {
                Value::Number { value, .. } if !item.all && item.field.is_some() => {
                    numbers.push(Literal::Number(*value))
                }
                Value::Cidr(network) if !item.all => networks.extend(self.network(network, *at)),
                value => parts.push(self.value(&path, value, *at)),
            }
        }
        networks.sort_unstable();
        networks.dedup();
        parts.extend(equal_to_one(&path, numbers));
        parts.extend((!networks.is_empty()).then(|| field(&path, Asks::Cidr(networks.into()))));
        let predicate = if item.all { Predicate::all(parts) } else { Predicate::any(parts) };
        if item.negated { predicate.negated() } else { predicate }
    }

    fn value(&mut self, path: &Arc<str>, value: &Value, at: Mark) -> Predicate {
        let keyword = &**path == EVERYWHERE;
        match value {
            Value::Null => field(path, Asks::Exists).negated(),
            Value::Exists(true) => field(path, Asks::Exists),
            Value::Exists(false) => field(path, Asks::Exists).negated(),
            Value::Number { written, .. } | Value::Bool { written, .. } if keyword => {
                self.text(path, &Text::plain(written), false, at)
            }
            Value::Number { value, .. } => equal_to_one(path, vec![Literal::Number(*value)]).unwrap_or(NEVER),
            Value::Bool { value, .. } => {
                let written = if *value { "true" } else { "false" };
                field(path, Asks::text(TextTest::Equals, true, written))
            }
            Value::Text { text, cased } => self.text(path, text, *cased, at),
            Value::Regex { regex, flags } => self.regex(path, regex, *flags, at),
            Value::Cidr(network) => match self.network(network, at) {
                Some(network) => field(path, Asks::Cidr([network].into())),
                None => NEVER,
            },
            Value::Compare(comparison, number) => field(path, Asks::Compare(*comparison, Literal::Number(*number))),
            Value::FieldRef { field: other, test, cased } => {
                let other = Term::Field(other.as_str().into());
                field(path, Asks::TextWith { test: *test, ignore_case: !cased, other })
            }
            Value::Date { part, comparison, number } => Predicate::Term(TermTest {
                term: Term::Date(*part, Box::new(Term::Field(path.clone()))),
                asks: Asks::Compare(*comparison, Literal::Number(*number)),
            }),
            Value::AnyOf(values) => {
                Predicate::any(values.iter().map(|value| self.value(path, value, at)).collect::<Vec<_>>())
            }
        }
    }

    fn text(&mut self, path: &Arc<str>, text: &Text, cased: bool, at: Mark) -> Predicate {
        let Some(text) = self.settled(text, at) else { return NEVER };
        let text = if &**path == EVERYWHERE { text.after_any().before_any() } else { text };
        match shape(&text) {
            TextShape::Anything => field(path, Asks::text(TextTest::Contains, false, "")),
            TextShape::Is(test, wanted) => field(path, Asks::text(test, !cased, &wanted)),
        }
    }

    /// The text with what encodings made of it, if that is text, and without placeholders.
    fn settled(&mut self, text: &Text, at: Mark) -> Option<Text> {
        if let Some(name) = text.placeholder() {
            return self.placeholder(name, at);
        }
        let settled = text.without_bytes();
        if settled.is_none() {
            let help = Some("put `base64` or `base64offset` behind it".to_owned());
            return self.wrong("sigma-modifier", at, "the encoded bytes are no text", help);
        }
        settled
    }

    fn placeholder<T>(&mut self, name: &str, at: Mark) -> Option<T> {
        let help = format!(
            "name a pipeline with `vars: {{{name}: [..]}}` and `type: value_placeholders`: `--pipeline FILE`, or `[sigma] pipelines`"
        );
        self.wrong("sigma-placeholder", at, &format!("nothing says what `%{name}%` stands for"), Some(help))
    }

    fn regex(&mut self, path: &Arc<str>, regex: &Text, flags: Flags, at: Mark) -> Predicate {
        if let Some(name) = regex.placeholder() {
            return self.placeholder(name, at).unwrap_or(NEVER);
        }
        let written = format!("{}{}", flags.written(), regex.as_plain().unwrap_or_default());
        match Pattern::new(&written) {
            Ok(pattern) => field(path, Asks::Matches(pattern)),
            Err(error) => self.wrong("bad-literal", at, &format!("bad regex: {error}"), None).unwrap_or(NEVER),
        }
    }

    fn network(&mut self, written: &str, at: Mark) -> Option<Network> {
        let network = Network::parse(written);
        if network.is_none() {
            let help = Some("a network is written `10.0.0.0/8` or `fd00::/8`".to_owned());
            return self.wrong("bad-literal", at, &format!("`{written}` is no network"), help);
        }
        network
    }

    fn wrong<T>(&mut self, code: &'static str, at: Mark, message: &str, help: Option<String>) -> Option<T> {
        self.fits = false;
        let rule_at = self.detections.named.first().map_or(Mark::START, |named| named.at);
        self.report.error_of(self.of_filter.as_deref(), rule_at, code, (at, message.to_owned()), help);
        None
    }
}

/// In the place of what is wrong, which is reported.
const NEVER: Predicate = Predicate::Constant(false);

fn field(path: &Arc<str>, asks: Asks) -> Predicate {
    Predicate::Field(FieldTest { path: path.clone(), asks })
}

fn equal_to_one(path: &Arc<str>, numbers: Vec<Literal>) -> Option<Predicate> {
    match &numbers[..] {
        [] => None,
        [number] => Some(field(path, Asks::Compare(Comparison::Equal, number.clone()))),
        _ => Some(field(path, Asks::In(OneOf::new(numbers)))),
    }
}

fn joined(parts: impl Iterator<Item = Predicate>, join: impl FnOnce(Vec<Predicate>) -> Predicate) -> Option<Predicate> {
    let parts: Vec<Predicate> = parts.collect();
    (!parts.is_empty()).then(|| join(parts))
}
