//! Functions on fields, and what a check needs to know of every function.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Arc, PoisonError, RwLock},
};

use regex::{Regex, RegexBuilder};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map, NativeCallContext, Position};

use crate::{
    event::Value,
    rule::{
        enrichment::Lookup,
        field::Field,
        term::{TextFunction, TimePart, Zone},
        text::{Network, TextTest},
        token::CONTAINS,
    },
};

/// Networks that one `cidr` takes.
const NETWORKS_MAX: usize = 16;

/// What a function gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rule) enum Gives {
    /// True or false.
    Test,
    /// A value that may be missing.
    Value,
    /// What is known of an address, with members.
    Found(Lookup),
    /// Nothing: it adds to a list.
    Nothing,
}

/// A function of the rule language.
#[derive(Debug, Clone)]
pub(in crate::rule) struct Function {
    pub(in crate::rule) name: &'static str,
    /// How many arguments it takes, the field included.
    pub(in crate::rule) arguments: RangeInclusive<usize>,
    pub(in crate::rule) gives: Gives,
    pub(in crate::rule) usage: &'static str,
}

const fn function(name: &'static str, least: usize, most: usize, gives: Gives, usage: &'static str) -> Function {
    Function { name, arguments: RangeInclusive::new(least, most), gives, usage }
}

/// The functions of a predicate.
pub(in crate::rule) const FUNCTIONS: [Function; 22] = [
    function(CONTAINS, 2, 2, Gives::Test, "e.a.contains(\"text\")"),
    function("icontains", 2, 2, Gives::Test, "e.a.icontains(\"text\")"),
    function("starts_with", 2, 2, Gives::Test, "e.a.starts_with(\"text\")"),
    function("istarts_with", 2, 2, Gives::Test, "e.a.istarts_with(\"text\")"),
    function("ends_with", 2, 2, Gives::Test, "e.a.ends_with(\"text\")"),
    function("iends_with", 2, 2, Gives::Test, "e.a.iends_with(\"text\")"),
    function("ieq", 2, 2, Gives::Test, "ieq(e.a, \"text\")"),
    function("like", 2, 2, Gives::Test, "like(e.a, \"*\\\\cmd.exe\")"),
    function("matches", 2, 2, Gives::Test, "matches(e.a, \"regex\")"),
    function("cidr", 2, NETWORKS_MAX + 1, Gives::Test, "cidr(e.a, \"10.0.0.0/8\")"),
    function("exists", 1, 1, Gives::Test, "exists(e.a)"),
    function("len", 1, 1, Gives::Value, "len(e.a)"),
    function("lower", 1, 1, Gives::Value, "lower(e.a)"),
    function("base64", 1, 1, Gives::Value, "base64(e.a)"),
    function("entropy", 1, 1, Gives::Value, "entropy(e.a)"),
    function("edit_distance", 2, 2, Gives::Value, "edit_distance(e.a, \"text\")"),
    function("hour", 1, 2, Gives::Value, "hour(e, \"Asia/Seoul\")"),
    function("weekday", 1, 2, Gives::Value, "weekday(e, \"Asia/Seoul\")"),
    function("in_list", 2, 2, Gives::Test, "in_list(e.a, \"name\")"),
    function("geo", 1, 1, Gives::Found(Lookup::Geo), "geo(e.a).country"),
    function("asn", 1, 1, Gives::Found(Lookup::Asn), "asn(e.a)"),
    function("list_add", 3, 3, Gives::Nothing, "list_add(\"name\", w.key[0], \"24h\")"),
];

/// Functions on texts, numbers, arrays and maps: Rhai's own, and what stands beside them.
pub(in crate::rule) const STANDARD: &str = "PI E abs acos all append asin atan bytes call ceiling chars chop clear \
    cos curry dedup degrees drain drop exp extract extend extract fill_with filter find find_map floor for_each \
    fraction from get hypot index_of insert int is_empty is_even is_infinite is_nan is_odd is_zero keys last ln log \
    make_lower make_upper map max min mixin order pad parse_float parse_int pop push radians range reduce reduce_rev \
    remove replace retain reverse round set shift sign sin some sort sort_by sort_desc splice split split_rev sqrt \
    sub_string tan to_array to_binary to_chars to_debug to_degrees to_float to_hex to_int to_lower to_octal \
    to_radians to_string to_upper trim truncate type_of values zip char_at crop any Fn is_shared print debug rule \
    times none global to_json len contains starts_with ends_with is_anonymous name union";

pub(super) fn register(engine: &mut Engine) {
    for (name, test, ignore_case) in TextTest::NAMED {
        engine.register_fn(name, move |field: &mut Field, wanted: ImmutableString| {
            field.test_text(test, ignore_case, &wanted)
        });
        engine.register_fn(name, move |field: &mut Field, wanted: Field| {
            field.test_text_field(test, ignore_case, &wanted)
        });
        engine.register_fn(name, move |text: ImmutableString, wanted: Field| {
            wanted.any_text(&mut |wanted| test.test(ignore_case, &text, wanted))
        });
        engine.register_fn(name, move |text: ImmutableString, wanted: ImmutableString| {
            test.test(ignore_case, &text, &wanted)
        });
    }
    engine.register_fn(CONTAINS, |context: NativeCallContext, list: &mut Array, item: Dynamic| {
        context.call_native_fn::<bool>("contains", (list.clone(), item))
    });
    engine.register_fn(CONTAINS, |map: &mut Map, key: ImmutableString| map.contains_key(key.as_str()));
    engine.register_fn("exists", |field: &mut Field| field.exists());
    register_values(engine);
    register_regex(engine);
    register_cidr(engine);
    register_time(engine);
}

fn register_values(engine: &mut Engine) {
    engine.register_fn("len", |field: &mut Field| field.len());
    for (name, function) in TextFunction::NAMED {
        let result = function.function();
        engine.register_fn(name, move |field: &mut Field| field.of_texts(&result));
        engine.register_fn(name, move |text: ImmutableString| Field::result(result(&text)));
    }
    engine.register_fn("edit_distance", |field: &mut Field, other: ImmutableString| {
        field.edit_distance(Some(&Value::text(other)))
    });
    engine.register_fn("edit_distance", |field: &mut Field, other: Field| field.edit_distance(other.value().as_ref()));
    engine.register_fn("edit_distance", |text: ImmutableString, other: ImmutableString| {
        Field::Value(Value::text(text)).edit_distance(Some(&Value::text(other)))
    });
}

/// A regex as `matches` takes it, or what is wrong with it.
pub(in crate::rule) fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(4 << 20).dfa_size_limit(1 << 20).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the regex compiles to more than 4 MiB".to_owned(),
        error => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    })
}

/// Compiled regexes by their text, up to a bound: rules write them as literals, so few are ever seen.
#[derive(Debug, Default)]
struct Regexes(RwLock<HashMap<ImmutableString, Regex>>);

impl Regexes {
    const KEPT_MAX: usize = 10_000;

    fn get(&self, pattern: &ImmutableString) -> Result<Regex, Box<EvalAltResult>> {
        if let Some(regex) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
            return Ok(regex.clone());
        }
        let regex = regex(pattern).map_err(|error| error_of(format!("bad regex: {error}")))?;
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < Self::KEPT_MAX {
            kept.insert(pattern.clone(), regex.clone());
        }
        Ok(regex)
    }
}

fn register_regex(engine: &mut Engine) {
    let regexes = Arc::new(Regexes::default());
    let shared = regexes.clone();
    engine.register_fn("matches", move |field: &mut Field, pattern: ImmutableString| {
        let regex = shared.get(&pattern)?;
        Ok::<_, Box<EvalAltResult>>(field.any_text(&mut |text| regex.is_match(text)))
    });
    engine.register_fn("matches", move |text: ImmutableString, pattern: ImmutableString| {
        Ok::<_, Box<EvalAltResult>>(regexes.get(&pattern)?.is_match(&text))
    });
}

fn register_cidr(engine: &mut Engine) {
    for count in 1..=NETWORKS_MAX {
        let mut types = vec![std::any::TypeId::of::<Field>()];
        types.resize(count + 1, std::any::TypeId::of::<ImmutableString>());
        engine.register_raw_fn("cidr", &types, |_, args| {
            let networks = args[1..].iter().map(|arg| network(arg)).collect::<Result<Vec<_>, _>>()?;
            let field = args[0].read_lock::<Field>().ok_or_else(|| error_of("cidr takes a field".to_owned()))?;
            Ok(in_networks(&field, &networks))
        });
    }
    engine.register_fn("cidr", |field: &mut Field, list: Array| {
        let networks = list.iter().map(network).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, Box<EvalAltResult>>(in_networks(field, &networks))
    });
}

fn network(text: &Dynamic) -> Result<Network, Box<EvalAltResult>> {
    let text = text.read_lock::<ImmutableString>();
    text.as_deref()
        .and_then(|text| Network::parse(text))
        .ok_or_else(|| error_of(format!("`{}` is no network", text.as_deref().map_or("", |text| text.as_str()))))
}

fn in_networks(field: &Field, networks: &[Network]) -> bool {
    field.any_text(&mut |text| networks.iter().any(|network| network.contains(text)))
}

fn register_time(engine: &mut Engine) {
    for (name, part) in TimePart::NAMED {
        let read = move |event: &Field, zone: &Zone| Field::result(event.time().and_then(|time| part.of(time, zone)));
        engine.register_fn(name, move |event: &mut Field| read(event, &Zone::utc()));
        engine.register_fn(name, move |event: &mut Field, zone: ImmutableString| {
            let zone = Zone::named(&zone).ok_or_else(|| error_of(format!("`{zone}` is no time zone")))?;
            Ok::<_, Box<EvalAltResult>>(read(event, &zone))
        });
    }
}

pub(super) fn error_of(reason: String) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(reason.into(), Position::NONE))
}
