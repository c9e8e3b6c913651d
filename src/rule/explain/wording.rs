//! Tests in the words of the rule language. Long lists are cut: this is for reading, not for loading.

use crate::rule::{
    enrichment::Thing,
    field_test::{Asks, Literal},
    number::{Arithmetic, Num},
    predicate::EVERYWHERE,
    term::{DatePart, Term, TextFunction, TimePart},
    text::TextTest,
    token,
};

/// Items of a list that are written out.
const ITEMS_MAX: usize = 6;

/// What is asked of `left`, which is written already.
pub(super) fn question(left: &str, asks: &Asks) -> String {
    match asks {
        Asks::Exists => format!("exists({left})"),
        Asks::Compare(comparison, literal) => format!("{left} {} {}", comparison.name(), written(literal)),
        Asks::CompareWith(comparison, other) => format!("{left} {} {}", comparison.name(), term(other)),
        Asks::In(list) => {
            let texts = list.texts.iter().map(|text| quoted(text));
            format!("{left} in [{}]", items(texts.chain(list.others.iter().map(written)), list.len()))
        }
        Asks::Range { from, below, to } => {
            format!("{left} >= {} && {left} {} {}", number(*from), below.name(), number(*to))
        }
        Asks::Text { test, ignore_case, wanted } => text_test(left, *test, *ignore_case, &quoted(wanted)),
        Asks::TextWith { test, ignore_case, other } => text_test(left, *test, *ignore_case, &term(other)),
        Asks::Matches(pattern) => format!("matches({left}, {})", quoted(pattern.written())),
        Asks::Cidr(networks) => {
            let written = networks.iter().map(|network| quoted(&network.to_string()));
            format!("cidr({left}, {})", items(written, networks.len()))
        }
        Asks::InList(list) => format!("in_list({left}, {})", quoted(list.name())),
        Asks::InWritten(list) => format!("in_list({left}, {})", quoted(list)),
    }
}

pub(super) fn term(term: &Term) -> String {
    match term {
        Term::Field(path) => field(path),
        Term::Number(of) => number(*of),
        Term::Known(Some(value)) => super::cut(super::literal(value)),
        Term::Known(None) => "()".to_owned(),
        Term::Calculate(operator, left, right) => {
            format!("({} {} {})", self::term(left), name(&Arithmetic::NAMED, *operator), self::term(right))
        }
        Term::Len(of) => format!("len({})", self::term(of)),
        Term::Text(function, of) => format!("{}({})", name(&TextFunction::NAMED, *function), self::term(of)),
        Term::EditDistance(of, other) => format!("edit_distance({}, {})", self::term(of), self::term(other)),
        Term::Time(part, zone) => match zone.name() {
            "UTC" => format!("{}(e)", name(&TimePart::NAMED, *part)),
            zone => format!("{}(e, {})", name(&TimePart::NAMED, *part), quoted(zone)),
        },
        Term::Found(directory, thing, of) => {
            let found = format!("{}({})", directory.lookup().name(), self::term(of));
            match thing {
                Thing::Itself | Thing::Presence => found,
                Thing::Member(name) => format!("{found}.{name}"),
            }
        }
        Term::Date(part, of) => format!("{} of {}", name(&DatePart::NAMED, *part), self::term(of)),
    }
}

/// `e.a.b`, or `e["@timestamp"]` where a name is no word.
pub(super) fn field(path: &str) -> String {
    if path == EVERYWHERE {
        return "anything of e".to_owned();
    }
    let is_word = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if path.split('.').all(is_word) { format!("e.{path}") } else { format!("e[{}]", quoted(path)) }
}

fn text_test(left: &str, test: TextTest, ignore_case: bool, wanted: &str) -> String {
    let named = TextTest::NAMED.iter().find(|(_, named, ignores)| (*named, *ignores) == (test, ignore_case));
    match (test, named) {
        (TextTest::Equals | TextTest::Like, Some((name, ..))) => format!("{name}({left}, {wanted})"),
        (_, Some((name, ..))) => format!("{left}.{}({wanted})", token::as_written(name)),
        (_, None) => format!("{left} == {wanted}"),
    }
}

fn written(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => quoted(text),
        Literal::Bool(value) => value.to_string(),
        Literal::Number(of) => number(*of),
    }
}

fn number(number: Num) -> String {
    number.to_value().to_string()
}

/// With what a terminal would obey escaped.
fn quoted(text: &str) -> String {
    super::cut(format!("{text:?}"))
}

fn items(written: impl Iterator<Item = String>, count: usize) -> String {
    let mut shown: Vec<String> = written.take(ITEMS_MAX).collect();
    if count > shown.len() {
        shown.push(format!("… {} more", count - shown.len()));
    }
    shown.join(", ")
}

fn name<T: PartialEq, const N: usize>(named: &'static [(&'static str, T); N], wanted: T) -> &'static str {
    named.iter().find(|(_, one)| *one == wanted).map_or("?", |(name, _)| name)
}
