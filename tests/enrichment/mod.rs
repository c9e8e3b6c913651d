//! Where an address is and whose it is, from databases that the tests write.

mod database;

use std::{collections::BTreeMap, sync::Arc};

use database::database;
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value as Json, json};
use tripline::{
    event::{Event, Fields, Position, Timestamp, Value},
    rule::{Database, Enrichment, LoadOptions, Loaded, RuleFiles, load},
};

/// A database of two networks.
pub fn geo(city: &str) -> Vec<u8> {
    database(&[
        (
            "192.0.2.0/24",
            json!({
                "country": { "iso_code": "KR", "geoname_id": 1835841, "names": { "en": "South Korea", "de": "Südkorea" } },
                "continent": { "code": "AS" },
                "city": { "names": { "en": city } },
                "subdivisions": [{ "iso_code": "11", "names": { "en": "Seoul" } }],
                "location": { "latitude": 37.5, "longitude": 126.9, "time_zone": "Asia/Seoul" },
            }),
        ),
        ("198.51.100.0/25", json!({ "country": { "iso_code": "DE" } })),
    ])
}

fn asn() -> Vec<u8> {
    let record = json!({ "autonomous_system_number": 64_500, "autonomous_system_organization": "Example Net" });
    database(&[("192.0.2.0/24", record)])
}

fn both() -> Enrichment {
    let open = |bytes| Some(Arc::new(Database::open(bytes).expect("a database")));
    Enrichment { geo: open(geo("Seoul")), asn: open(asn()) }
}

fn loaded(rule: &str, enrichment: Enrichment, has_configuration: bool) -> Loaded {
    let files = RuleFiles { files: BTreeMap::from([("r.rhai".into(), rule.to_owned())]), ..RuleFiles::default() };
    let inputs = has_configuration.then(|| ["in".to_owned()].into());
    load(&files, &LoadOptions { inputs, enrichment, ..LoadOptions::default() }, None)
}

/// What helps against the first error.
fn help(loaded: &Loaded) -> &str {
    let error = loaded.diagnostics.iter().find(|finding| finding.is_error());
    error.and_then(|error| error.help.as_deref()).unwrap_or_default()
}

fn event(fields: Json) -> Arc<Event> {
    let entries = fields.as_object().expect("an object").iter();
    let fields: Fields = entries.map(|(name, value)| (name.clone(), Value::from_json(value))).collect();
    Arc::new(Event { time: Timestamp(0), position: Position { input: "in".into(), partition: 0, offset: 0 }, fields })
}

/// A statement that keeps a closure from being lowered.
const SCRIPT: &str = "while false {}";

/// The answer of a predicate, which is lowered, and which Rhai answers the same.
#[track_caller]
fn holds(predicate: &str, fields: Json) -> bool {
    let rules = format!(
        "rule(#{{ id: \"a\", event: |e| {predicate} }}); rule(#{{ id: \"b\", event: |e| {{ {SCRIPT} {predicate} }} }});"
    );
    let loaded = loaded(&rules, both(), true);
    assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
    let [lowered, script] = [0, 1].map(|at| &loaded.set.rules[at].patterns[0].predicate);
    assert!(!lowered.runs_script() && script.runs_script(), "{predicate}: {:#?}", loaded.diagnostics);
    let event = event(fields);
    let answers = [lowered, script].map(|predicate| predicate.test(&event).expect("no script fails"));
    assert_eq!(answers[0], answers[1], "lowered and interpreted: {predicate} of {event:?}");
    answers[0]
}

fn address() -> impl Strategy<Value = Json> {
    let one = select(vec![
        json!("192.0.2.7"),
        json!("::ffff:192.0.2.7"),
        json!("198.51.100.9"),
        json!("198.51.100.200"),
        json!("203.0.113.1"),
        json!("host"),
        json!(7),
        json!(null),
        json!({ "x": "192.0.2.7" }),
    ]);
    prop_oneof![2 => one.clone(), 1 => vec(one, 0..4).prop_map(Json::from)]
}

fn found() -> impl Strategy<Value = &'static str> {
    select(vec![
        "geo(e.ip)",
        "geo(e.ip).country",
        "geo(e.ip).city",
        "geo(e.ip).latitude",
        "asn(e.ip)",
        "asn(e.ip).name",
        "geo(e.other).country",
        "asn(lower(e.ip)).number",
        "{ let place = geo(e.ip); place.country }",
    ])
}

fn asked() -> impl Strategy<Value = String> {
    let literal = select(vec!["\"KR\"", "\"DE\"", "64500", "37.5", "\"Seoul\"", "e.ip", "e.other"]);
    let comparison = select(vec!["==", "!=", "<", ">="]);
    prop_oneof![
        4 => (found(), comparison, literal).prop_map(|(found, how, literal)| format!("({found}) {how} {literal}")),
        1 => (found(), found()).prop_map(|(one, other)| format!("({one}) == ({other})")),
        1 => found().prop_map(|found| format!("exists({found})")),
        1 => found().prop_map(|found| format!("len({found}) == 2")),
        1 => found().prop_map(|found| format!("({found}) in [\"KR\", 64500]")),
        1 => found().prop_map(|found| format!("({found}).icontains(\"e\") || matches({found}, \"^[KS]\")")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_looked_up_is_the_same_lowered_and_interpreted(
        (one, other, is_not) in (asked(), asked(), any::<bool>()),
        ip in address(),
        also in address(),
    ) {
        let not = if is_not { "!" } else { "" };
        holds(&format!("({one}) || {not}({other})"), json!({ "ip": ip, "other": also }));
    }
}

#[test]
fn an_address_has_a_place_and_an_owner() {
    let known = || json!({ "ip": "192.0.2.7" });
    for predicate in [
        r#"geo(e.ip).country == "KR""#,
        r#"geo(e.ip) == "KR" && exists(geo(e.ip))"#,
        r#"geo(e.ip).country_name == "South Korea" && geo(e.ip).continent == "AS" && geo(e.ip).region == 11"#,
        r#"geo(e.ip).city.icontains("seo") && geo(e.ip).latitude > 37 && geo(e.ip).timezone == "Asia/Seoul""#,
        r#"asn(e.ip) == 64500 && asn(e.ip).number < 64501 && asn(e.ip).name == "Example Net""#,
        r#"geo(e.ip).country in ["KP", "KR"] && !(asn(e.ip) in [1, 2])"#,
        r#"{ let place = geo(e.ip); place.country == "KR" && place.city != "Busan" }"#,
    ] {
        assert!(holds(predicate, known()), "{predicate}");
    }
    assert!(holds(r#"geo(e.ip).country == "KR""#, json!({ "ip": "::ffff:192.0.2.7" })));
}

#[test]
fn what_is_not_known_is_missing() {
    for fields in [json!({}), json!({ "ip": "203.0.113.1" }), json!({ "ip": "host" }), json!({ "ip": "2001:db8::1" })] {
        assert!(!holds(
            r#"geo(e.ip).country != "KR" || exists(asn(e.ip)) || geo(e.ip).country == geo(e.ip).country"#,
            fields
        ));
    }
    let no_city = json!({ "ip": "198.51.100.9" });
    assert!(holds(r#"geo(e.ip).country == "DE" && !exists(geo(e.ip).city)"#, no_city));
}

#[test]
fn an_array_of_addresses_has_the_places_of_each() {
    let two = || json!({ "ip": ["198.51.100.9", "192.0.2.7", "203.0.113.1"] });
    assert!(holds(r#"geo(e.ip).country == "DE" && geo(e.ip).country == "KR" && asn(e.ip) == 64500"#, two()));
    assert!(holds("len(geo(e.ip).country) == 2", two()));
}

#[test]
fn without_a_database_the_rule_is_wrong_or_warned_of_and_the_value_missing() {
    let rule = r#"rule(#{ id: "r", event: |e| geo(e.ip).country != "KR" })"#;
    let with = loaded(rule, Enrichment::default(), true);
    assert!(with.has_errors() && with.set.rules.is_empty());
    assert!(help(&with).contains("[enrichment]"));
    let without = loaded(rule, Enrichment::default(), false);
    assert!(!without.has_errors());
    assert!(without.diagnostics.iter().any(|finding| finding.code == "no-database"));
    let answer = without.set.rules[0].patterns[0].predicate.test(&event(json!({ "ip": "192.0.2.7" })));
    assert_eq!(answer, Ok(false));
}

#[test]
fn members_are_checked_and_the_database_belongs_to_the_hash() {
    let wrong = loaded(r#"rule(#{ id: "r", event: |e| geo(e.ip).cuntry == "KR" })"#, both(), true);
    assert_eq!(help(&wrong), "did you mean `country`?");
    let rule = r#"rule(#{ id: "r", event: |e| geo(e.ip).country == "KR" })"#;
    let other = Enrichment { geo: Some(Arc::new(Database::open(geo("Busan")).expect("a database"))), ..both() };
    assert_ne!(loaded(rule, both(), true).set.hash, loaded(rule, other, true).set.hash);
}

#[test]
fn other_bytes_are_no_database() {
    assert!(Database::open(b"no database".to_vec()).is_err());
    assert!(Database::open(geo("Seoul")[..100].to_vec()).is_err());
}
