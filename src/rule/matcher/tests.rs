//! The matcher's promise: the answers of `Predicate::test`, for every rule and event.

use std::{path::PathBuf, sync::Arc};

use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    event::{Event, Fields, Position, Slots, Timestamp, Value},
    rule::{
        InputSet, LoadOptions, Pattern, Predicate, RuleFiles, Side, TermTest,
        compare::Comparison,
        field_test::{Asks, FieldTest, Literal, OneOf, Pattern as Regex},
        load,
        number::Num,
        predicate::EVERYWHERE,
        term::{Term, TextFunction},
        text::{Network, TextTest},
    },
};

const PATHS: [&str; 6] = ["channel", "id", "a", "a.b", "c", "d"];

/// Texts that fold, cut and count in odd ways, and numbers in more than one writing.
const TEXTS: [&str; 30] = [
    "",
    "a",
    "K",
    "k",
    "\u{212a}",
    "ſ",
    "İ",
    "i\u{307}",
    "ß",
    "ab",
    "AB",
    "abc",
    "aBc.exe",
    "kelvin",
    "\u{212a}ELVIN",
    "ΟΔΟΣ",
    "οδοσ",
    "1",
    "1.0",
    "1e0",
    "-3",
    "22",
    "true",
    "10.1.2.3",
    "::ffff:10.1.2.3",
    "fe80::1",
    "abcdefgh",
    "ABCDEFGHIJ",
    "abcdefghijklmnop",
    "x\\cmd.exe",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(&TEXTS[..]).prop_map(str::to_owned),
        1 => prop::collection::vec(select(&TEXTS[..]), 1..5).prop_map(|parts| parts.concat()),
    ]
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        3 => text().prop_map(|text| Literal::Text(text.into())),
        1 => any::<bool>().prop_map(Literal::Bool),
        2 => number().prop_map(Literal::Number),
    ]
}

fn number() -> impl Strategy<Value = Num> {
    prop_oneof![(-4..24i128).prop_map(Num::Int), (-4..4i32).prop_map(|half| Num::Float(f64::from(half) / 2.0))]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    select(&Comparison::ALL[..]).prop_map(|(_, comparison)| comparison)
}

fn glob() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![select(vec!["*", "?", r"\*", r"\"]).prop_map(str::to_owned), text()], 1..5)
        .prop_map(|parts| parts.concat())
}

fn asks() -> impl Strategy<Value = Asks> {
    let text_test = (select(&TextTest::NAMED[..]), text());
    let networks = ["10.0.0.0/8", "10.1.2.3", "::/0", "fe80::/10", "0.0.0.0/0", "::ffff:0:0/96"];
    let regexes = [
        "abc",
        "(?i)kelvin",
        "^ab",
        "(?i)abc.*exe$",
        r"\d+",
        "(?:ab|k)+",
        "(?i)(abcdefgh|cmd)",
        "",
        "(?i)s",
        "[ak]b?c",
        "(?i-u)ABC",
        "x?",
    ];
    prop_oneof![
        1 => Just(Asks::Exists),
        3 => (comparison(), literal()).prop_map(|(comparison, literal)| Asks::Compare(comparison, literal)),
        3 => literal().prop_map(|literal| Asks::Compare(Comparison::Equal, literal)),
        1 => (comparison(), select(&PATHS[..])).prop_map(|(comparison, path)| Asks::CompareWith(comparison, Term::Field(path.into()))),
        2 => prop::collection::vec(literal(), 1..6).prop_map(|literals| Asks::In(OneOf::new(literals))),
        1 => (number(), any::<bool>(), number()).prop_map(|(from, inclusive, to)| Asks::Range {
            from,
            below: if inclusive { Comparison::LessOrEqual } else { Comparison::Less },
            to,
        }),
        8 => text_test.prop_map(|((_, test, ignore_case), wanted)| Asks::text(test, ignore_case, &wanted)),
        2 => (any::<bool>(), glob()).prop_map(|(ignore_case, glob)| Asks::text(TextTest::Like, ignore_case, &glob)),
        2 => select(regexes.to_vec()).prop_map(|regex| Asks::Matches(Regex::new(regex).unwrap())),
        1 => prop::collection::vec(select(networks.to_vec()), 1..3).prop_map(|networks| {
            Asks::Cidr(networks.iter().map(|network| Network::parse(network).unwrap()).collect())
        }),
    ]
}

fn leaf() -> impl Strategy<Value = Predicate> {
    let field = (select(&PATHS[..]), asks());
    prop_oneof![
        12 => field.prop_map(|(path, asks)| Predicate::Field(FieldTest { path: path.into(), asks })),
        1 => (select(&PATHS[..]), asks()).prop_map(|(path, asks)| {
            let term = Term::Text(TextFunction::Lower, Box::new(Term::Field(path.into())));
            Predicate::Term(TermTest { term, asks })
        }),
        1 => (select(&PATHS[..]), asks()).prop_map(|(path, asks)| {
            Predicate::Term(TermTest { term: Term::Len(Box::new(Term::Field(path.into()))), asks })
        }),
        2 => asks().prop_map(|asks| Predicate::Field(FieldTest { path: EVERYWHERE.into(), asks })),
        1 => any::<bool>().prop_map(Predicate::Constant),
        1 => select(vec![SCRIPT, FAILING]).prop_map(script),
    ]
}

/// A pattern as rules have them: a channel and an id, then some of the rest.
fn predicate() -> impl Strategy<Value = Predicate> {
    let tree = leaf().prop_recursive(3, 12, 3, |part| {
        prop_oneof![
            prop::collection::vec(part.clone(), 0..4).prop_map(Predicate::All),
            prop::collection::vec(part.clone(), 0..4).prop_map(Predicate::Any),
            part.prop_map(|part| Predicate::Not(Box::new(part))),
        ]
    });
    let pinned = (select(vec!["System", "SECURITY", "system", "true"]), any::<bool>(), 1..4i128, tree.clone())
        .prop_map(|(channel, ignore_case, id, rest)| {
            let channel = Asks::text(TextTest::Equals, ignore_case, channel);
            let id = Asks::Compare(Comparison::Equal, Literal::Number(Num::Int(id)));
            let field = |path: &str, asks| Predicate::Field(FieldTest { path: path.into(), asks });
            Predicate::All(vec![field("channel", channel), field("id", id), rest])
        });
    prop_oneof![tree, pinned]
}

const SCRIPT: &str = "let n = 0; while n < 2 { n += 1; } n == 2 && e.a == \"a\"";
const FAILING: &str = "let n = 0; while n < 2 { n += 1; } if e.c == \"ab\" { throw \"no\" } true";

fn load_rule(body: &str) -> Rule {
    let text = format!("rule(#{{ id: \"r\", event: |e| {{ {body} }} }})");
    let files =
        RuleFiles { root: PathBuf::new(), files: [(PathBuf::from("a.rhai"), text)].into(), ..RuleFiles::default() };
    let mut rules = load(&files, &LoadOptions::default(), None).set.rules;
    Arc::into_inner(rules.remove(0)).unwrap()
}

fn script(body: &str) -> Predicate {
    let predicate = load_rule(body).patterns.remove(0).predicate;
    assert!(predicate.runs_script());
    predicate
}

fn rule(predicates: Vec<Predicate>, input: Option<&str>) -> Arc<Rule> {
    let mut rule = load_rule("true");
    let pattern = |predicate| Pattern {
        side: Side::Both,
        name: "p".into(),
        predicate,
        asks_lists: None,
        by: vec![],
        keep: vec![],
        sees_closed: false,
    };
    rule.patterns = predicates.into_iter().map(pattern).collect();
    rule.inputs = input.map_or(InputSet::All, |input| InputSet::Named([input.into()].into()));
    Arc::new(rule)
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = || {
        prop_oneof![
            4 => text().prop_map(Value::text),
            1 => any::<bool>().prop_map(Value::Bool),
            2 => select(vec!["1", "2", "1.0", "-3", "1e0", "22", "0.5"]).prop_map(|written| Value::Number(crate::event::Number::from_written(written))),
            1 => Just(Value::Null),
        ]
    };
    prop_oneof![
        6 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Value::Array),
    ]
}

fn event() -> impl Strategy<Value = Arc<Event>> {
    let pins = (select(vec!["System", "SECURITY", "security", "system", "Other"]), 0..5i64);
    (pins, prop::collection::vec((select(&PATHS[..]), value()), 0..6)).prop_map(|((channel, id), entries)| {
        let mut fields = Fields::builder();
        fields.put_text("channel", channel);
        fields.put("id", Value::Number(id.into()));
        entries.into_iter().for_each(|(path, value)| fields.put(path, value));
        let position = Position { input: "i".into(), partition: 0, offset: 0 };
        Arc::new(Event { time: Timestamp(0), position, fields: fields.build() })
    })
}

/// What the matcher says of an event: (rule, pattern) of those that match.
struct Matching {
    matcher: Matcher,
    wanted: Wanted,
    scratch: Scratch,
    slots: Slots,
}

impl Matching {
    fn new(rules: &[Arc<Rule>]) -> Self {
        let wanted = Wanted::new(tested_paths(rules));
        let matcher = Matcher::new(rules, &wanted);
        // Decoders want more than rules do.
        let wanted = wanted.extended(["@timestamp", "time"]);
        Matching { scratch: matcher.scratch(), matcher, wanted, slots: Slots::default() }
    }

    /// Of an event whose record is no JSON.
    fn of(&mut self, event: &Arc<Event>, input: &str) -> Vec<(usize, usize)> {
        self.of_record(event, None, input)
    }

    /// `record` has the text of the record and whether it is plain.
    fn of_record(&mut self, event: &Arc<Event>, record: Option<(&str, bool)>, input: &str) -> Vec<(usize, usize)> {
        self.slots.fill(&self.wanted, &event.fields);
        if let Some((_, is_plain)) = record {
            self.slots.came_of_json(is_plain);
        }
        let text = record.map_or("", |(text, _)| text);
        let seen = Shown { view: self.slots.view(&self.wanted, text), time: event.time, whole: &|| event.clone() };
        let mut matched = Vec::new();
        let mut scripts = |script: &ScriptTest| script.test(event);
        self.matcher.matches(seen, input, &mut self.scratch, &mut scripts, &mut |rule, pattern, answer| {
            if answer == Ok(true) {
                matched.push((rule, pattern));
            }
        });
        matched
    }
}

/// A record with these fields.
fn json(fields: &Fields) -> String {
    let members = fields.iter().map(|(path, value)| format!("\"{path}\":{}", value_json(value)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Numbers as they are written.
fn value_json(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_written().to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(value_json).collect::<Vec<_>>().join(",")),
        value => value.to_json().to_string(),
    }
}

/// The same JSON with every letter and every character beyond ASCII as `\u`, but for the words outside of texts.
fn oddly_escaped(plain: &str) -> String {
    let (mut odd, mut is_text, mut is_escaped) = (String::new(), false, false);
    for char in plain.chars() {
        is_text ^= char == '"' && !is_escaped;
        match char {
            _ if is_text && !is_escaped && (char.is_alphabetic() || !char.is_ascii()) => {
                char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| odd.push_str(&format!("\\u{unit:04x}")));
            }
            _ => odd.push(char),
        }
        is_escaped = char == '\\' && !is_escaped;
    }
    odd
}

fn really(rules: &[Arc<Rule>], event: &Arc<Event>, input: &str) -> Vec<(usize, usize)> {
    let mut matched = Vec::new();
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.inputs.contains(input)) {
        let patterns = rule.patterns.iter().enumerate();
        let answers = patterns.map(|(own, pattern)| (own, pattern.predicate.test(event)));
        matched.extend(answers.filter(|(_, answer)| *answer == Ok(true)).map(|(own, _)| (at, own)));
    }
    matched
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn matches_exactly_what_each_predicate_matches(
        predicates in prop::collection::vec((prop::collection::vec(predicate(), 1..3), any::<bool>()), 1..25),
        events in prop::collection::vec(event(), 1..40),
    ) {
        let rules: Vec<Arc<Rule>> =
            predicates.into_iter().map(|(predicates, all)| rule(predicates, (!all).then_some("i"))).collect();
        let mut matching = Matching::new(&rules);
        // Often enough that gates are learnt and chosen again.
        for round in 0..400 / events.len() {
            for event in &events {
                let input = if round % 7 == 3 { "other" } else { "i" };
                let plain = json(&event.fields);
                let odd = oddly_escaped(&plain);
                let record = [None, Some((&*plain, true)), Some((&*odd, false))][round % 3];
                prop_assert_eq!(matching.of_record(event, record, input), really(&rules, event, input), "round {}: {:?}", round, event.fields);
            }
        }
    }
}

#[test]
fn a_pattern_whose_gate_is_common_waits_for_a_second() {
    let rule = Arc::new(load_rule(r#"e.a.icontains("common") && e.b.icontains("special")"#));
    let mut matching = Matching::new(&[rule]);
    let mut asked = |a: &str, b: &str| {
        let fields = [("a".to_owned(), Value::text(a)), ("b".to_owned(), Value::text(b))].into_iter().collect();
        let position = Position { input: "i".into(), partition: 0, offset: 0 };
        let matched = matching.of(&Arc::new(Event { time: Timestamp(0), position, fields }), "i");
        (matched.len(), matching.scratch.take_counts().asked)
    };
    for _ in 0..500 {
        (0..3).for_each(|_| assert_eq!(asked("nothing", "nothing"), (0, 0)));
        assert_eq!(asked("something common", "nothing"), (0, 0));
        assert_eq!(asked("nothing", "something special"), (0, 0));
        assert_eq!(asked("something common", "something special"), (1, 1));
    }
}

#[test]
fn an_event_is_read_in_full_only_where_a_rule_asks_all_its_values() {
    let field = |path: &str, asks| Predicate::Field(FieldTest { path: path.into(), asks });
    let keyword = field(EVERYWHERE, Asks::text(TextTest::Contains, true, "needle"));
    let channel = field("channel", Asks::text(TextTest::Equals, true, "system"));
    let rules = [rule(vec![Predicate::All(vec![channel, keyword])], None)];
    let event = |channel: &str| {
        let mut fields = Fields::builder();
        fields.put_text("channel", channel);
        fields.put("a", Value::Array(vec![Value::Object(vec![("b".into(), Value::text("a NEEDLE"))])]));
        let position = Position { input: "i".into(), partition: 0, offset: 0 };
        Arc::new(Event { time: Timestamp(0), position, fields: fields.build() })
    };
    let mut matching = Matching::new(&rules);
    assert_eq!(matching.of(&event("System"), "i"), [(0, 0)]);
    for (channel, record) in [("Other", None), ("System", Some(r#"{"channel":"System","a":[{"b":"a thread"}]}"#))] {
        let event = event(channel);
        matching.slots.fill(&matching.wanted, &event.fields);
        if record.is_some() {
            matching.slots.came_of_json(true);
        }
        let view = matching.slots.view(&matching.wanted, record.unwrap_or_default());
        let seen = Shown { view, time: event.time, whole: &|| panic!("nobody asks all values of this event") };
        let mut none = |_: usize, _: usize, _| panic!("no rule matches");
        matching.matcher.matches(seen, "i", &mut matching.scratch, &mut |_| Ok(false), &mut none);
    }
}

#[test]
fn a_keyword_is_found_in_what_stands_beside_the_record() {
    let asks = Asks::text(TextTest::Contains, true, "needle");
    let rules = [rule(vec![Predicate::Field(FieldTest { path: EVERYWHERE.into(), asks })], None)];
    let mut matching = Matching::new(&rules);
    for (beside, matches) in [("a NEEDLE", 1), ("a thread", 0)] {
        let position = Position { input: "i".into(), partition: 0, offset: 0 };
        let fields: Fields = [("found".to_owned(), Value::text(beside))].into_iter().collect();
        let event = Arc::new(Event { time: Timestamp(0), position, fields });
        matching.slots.fill(&matching.wanted, &event.fields);
        matching.slots.came_of_json(true);
        matching.slots.put_beside_json(beside);
        let view = matching.slots.view(&matching.wanted, r#"{"message":"words"}"#);
        let seen = Shown { view, time: event.time, whole: &|| event.clone() };
        let mut matched = 0;
        let mut count = |_: usize, _: usize, _| matched += 1;
        matching.matcher.matches(seen, "i", &mut matching.scratch, &mut |_| Ok(false), &mut count);
        assert_eq!(matched, matches, "{beside}");
    }
}
