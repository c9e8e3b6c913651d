//! What converted rules look like, and what is refused.

use super::{correlation::LISTS_MAX, *};
use crate::{
    event::{Number, Timestamp, Value},
    rule::{Answer, LoadOptions, Pattern, PatternView, RuleFiles, Statistic, VALUES_MAX, WindowView, load},
};

const HEAD: &str =
    "title: T\nid: i\nlevel: high\nfalsepositives: [none]\nlogsource: {product: windows, category: process_creation}\n";

fn converted(rule: &str) -> Result<String, String> {
    let converted = convert(&[("r.yml".into(), rule.to_owned())].into(), &[], &SigmaOptions::default());
    match converted.rules.into_iter().next() {
        Some(rule) => Ok(rule),
        None => {
            let one = converted.found.iter().find(|finding| finding.is_error()).expect("a finding");
            Err(format!("{}:{} {}", one.place.line, one.place.column, one.message))
        }
    }
}

/// What the closure of a rule whose only detection is this asks, besides that an event is from no Windows channel.
fn asked(item: &str) -> String {
    let rule = format!("title: T\nlogsource: {{category: x}}\ndetection:\n  s:\n    {item}\n  condition: s\n");
    let text = converted(&rule).unwrap();
    let start = "    event: |e| !exists(e.Channel) && ";
    text.lines().find_map(|line| line.strip_prefix(start)).expect("a line").trim_end_matches(',').to_owned()
}

#[test]
fn a_rule_reads_as_an_analyst_would_write_it() {
    let rule = format!(
        "{HEAD}tags: [attack.execution, attack.t1059.001]\nauthor: A\nfields: [User]\ndetection:\n  selection:\n    \
         Image|endswith: ['\\powershell.exe', '\\pwsh.exe']\n  filter_main:\n    User: SYSTEM\n  filter-opt:\n    \
         ParentImage: null\n  condition: selection and not 1 of filter*\n"
    );
    assert_eq!(
        converted(&rule).unwrap(),
        r#"rule(#{
    id: "i",
    title: "T",
    severity: "high",
    author: "A",
    attack: ["T1059.001"],
    tags: ["attack.execution", "attack.t1059.001"],
    false_positives: ["none"],

    event: |e| {
        let source = ieq(e.Channel, "Microsoft-Windows-Sysmon/Operational") && e.EventID == 1;
        let selection = e.Image.iends_with("\\powershell.exe") || e.Image.iends_with("\\pwsh.exe");
        let filter_main = ieq(e.User, "SYSTEM");
        let filter_opt = !exists(e.ParentImage);
        source && selection && !(filter_main || filter_opt)
    },
    alert: |w| #{
        "User": w.event.last.User,
    },
});
"#
    );
}

#[test]
fn every_kind_of_value_has_its_function() {
    for (item, test) in [
        ("a: x", "ieq(e.a, \"x\")"),
        ("a|cased: x", "e.a == \"x\""),
        ("a: 'x*'", "e.a.istarts_with(\"x\")"),
        ("a: 'x*y?z'", "like(e.a, \"x*y?z\")"),
        ("a|cased: 'x.*y'", "matches(e.a, \"(?s)^x\\\\..*y$\")"),
        ("a: '*'", "e.a.contains(\"\")"),
        ("a|contains|all: [x, y]", "e.a.icontains(\"x\") && e.a.icontains(\"y\")"),
        ("a: [1, 2, x]", "(ieq(e.a, \"x\") || e.a in [1, 2])"),
        ("a: true", "ieq(e.a, \"true\")"),
        ("a|neq: 5", "!(e.a == 5)"),
        ("a|gte: 1.5", "e.a >= 1.5"),
        ("a|exists: true", "exists(e.a)"),
        ("a|re|i: '^x'", "matches(e.a, \"(?i)^x\")"),
        ("a|cidr: [10.0.0.0/8, 'fd00::/8']", "cidr(e.a, \"10.0.0.0/8\", \"fd00::/8\")"),
        ("a|fieldref|endswith: b.c-d", "e.a.iends_with(e[\"b.c-d\"])"),
        ("- evil", "e.icontains(\"evil\")"),
    ] {
        assert_eq!(asked(item), test, "{item}");
    }
}

#[test]
fn so_many_of_several_are_written_out() {
    let rule = "title: T\nlogsource: {category: x}\ndetection:\n  a1: {a: x}\n  a2: {a: y}\n  a3: {a: z}\n  condition: 2 of a*\n";
    assert!(converted(rule).unwrap().contains("source && ((a1 && a2) || (a1 && a3) || (a2 && a3))\n"));
}

#[test]
fn names_that_rhai_keeps_get_others() {
    let rule = "title: T\nlogsource: {category: x}\ndetection:\n  if: {a: x}\n  1-x: {a: y}\n  1_x: {a: z}\n  condition: if or 1-x or 1_x\n";
    assert!(converted(rule).unwrap().contains("source && (if_ || d1_x || d1_x_)\n"));
}

#[test]
fn what_rhai_can_not_say_is_refused_at_its_place() {
    let refused = |item: &str| converted(&format!("{HEAD}detection:\n  s:\n    {item}\n  condition: s\n")).unwrap_err();
    assert_eq!(
        refused("a|hour: 5"),
        "8:13 not to be said in Rhai: the language has no function for the parts of a time that a field holds"
    );
    assert!(refused("a|cased|fieldref: b").contains("two fields with `==`"));
    assert!(refused("a|expand: '%x%'").contains("nothing says what `%x%` stands for"));
}

/// All rules that come of a file, or what can't be said.
fn all_of(text: &str) -> String {
    let converted = convert(&[("r.yml".into(), text.to_owned())].into(), &[], &SigmaOptions::default());
    let errors: Vec<String> =
        converted.found.iter().filter(|finding| finding.is_error()).map(|finding| finding.message.clone()).collect();
    if errors.is_empty() { converted.rules.join("\n") } else { errors.join("\n") }
}

const FAILED: &str = "---\ntitle: Failed\nname: failed\nlogsource: {product: windows, service: security}\ndetection:\n  \
    selection: {EventID: 4625}\n  condition: selection\n";

#[test]
fn a_correlation_reads_as_an_analyst_would_write_it() {
    let chain = "title: Failures, then a login\nid: c\nlevel: high\ncorrelation:\n  type: temporal_ordered\n  rules: [many, login]\n  \
        group-by: [User]\n  timespan: 90m\n---\ntitle: Many\nname: many\nid: m\ncorrelation:\n  type: event_count\n  \
        rules: [failed]\n  group-by: [User]\n  timespan: 1h\n  condition: {gte: 10}\n---\ntitle: Login\nname: login\n\
        logsource: {product: windows, service: security}\ndetection:\n  selection: {EventID: 4624}\n  filter: {User|endswith: $}\n  \
        condition: selection and not filter\n";
    assert_eq!(
        all_of(&format!("{chain}{FAILED}")),
        r#"rule(#{
    id: "m",
    title: "Many",
    severity: "medium",
    audience: "rules",

    events: #{
        failed: |e| ieq(e.Channel, "Security") && e.EventID == 4625,
    },
    by: ["User"],
    within: "1h",
    all_of: [times(10, "failed")],
});

rule(#{
    id: "c",
    title: "Failures, then a login",
    severity: "high",
    input: #{ many: "alerts" },

    events: #{
        login: |e| {
            let source = ieq(e.Channel, "Security");
            let selection = e.EventID == 4624;
            let filter = e.User.iends_with("$");
            source && selection && !filter
        },
        many: |e| e.rule.id == "m",
    },
    by: #{
        login: ["User"],
        many: ["entity.User"],
    },
    within: "90m",
    sequence: ["many", "login"],
});
"#
    );
}

#[test]
fn every_kind_of_bound_has_its_words() {
    let asked = |rest: &str| {
        let rule = format!("title: C\ncorrelation:\n  rules: [failed]\n  timespan: 2d\n{rest}\n{FAILED}");
        let text = all_of(&rule);
        if text.starts_with("rule(") {
            let files = RuleFiles { files: [("r.rhai".into(), text.clone())].into(), ..RuleFiles::default() };
            let found = load(&files, &LoadOptions::default(), None).diagnostics;
            assert!(!found.iter().any(Diagnostic::is_error), "{found:#?}");
        }
        let line = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::to_owned);
        let window = line("within: ").or_else(|| line("from_first: ").map(|span| format!("from first {span}")));
        let asks = line("when: |w| ").or_else(|| line("all_of: ")).unwrap_or(text.clone());
        format!("{} {}", window.unwrap_or_default().trim_end_matches(','), asks.trim_end_matches(','))
    };
    let of = |kind: &str, condition: &str| asked(&format!("  type: {kind}\n  condition: {{{condition}}}"));
    assert_eq!(of("event_count", "lt: 3"), "from first \"2d\" w.failed.count < 3");
    assert_eq!(of("value_count", "field: User, gte: 3"), "\"2d\" w.failed.distinct(\"User\") >= 3");
    assert_eq!(of("value_count", "field: [User, Host], gt: 3"), "\"2d\" w.all.distinct([\"User\", \"Host\"]) > 3");
    assert_eq!(of("value_sum", "field: n, gt: 1.5"), "\"2d\" w.failed.sum(\"n\") > 1.5");
    assert_eq!(
        of("value_avg", "field: n, gt: 1, lte: 3"),
        "\"2d\" w.failed.avg(\"n\") > 1 && w.failed.avg(\"n\") <= 3"
    );
    assert_eq!(of("value_median", "field: n, gt: 1"), "\"2d\" w.failed.percentile(\"n\", 50) > 1");
    assert_eq!(
        of("value_percentile", "field: n, percentile: 99.5, gt: 1"),
        "\"2d\" w.failed.percentile(\"n\", 99.5) > 1"
    );
    assert_eq!(of("value_percentile", "field: image, lte: 1"), "\"2d\" w.failed.share(\"image\") <= 1");
    // What the language takes is written, and nothing else.
    assert_eq!(of("event_count", "lt: 20000"), "from first \"2d\" w.failed.count < 20000");
    assert_eq!(of("event_count", "gte: 10000"), "\"2d\" [times(10000, \"failed\")]");
    assert_eq!(of("value_count", "field: User, gte: 10000"), "\"2d\" w.failed.distinct(\"User\") >= 10000");
    let beyond =
        "not to be said in Rhai: a bound beyond 10000: a window tells so many different values of a group apart";
    assert!(of("value_count", "field: User, lte: 10000").contains(beyond));
}

#[test]
fn a_filter_is_folded_into_the_rule() {
    let text = all_of(&format!(
        "title: F\nlogsource: {{product: windows}}\nfilter:\n  rules: any\n  selection: {{User: x}}\n  condition: not selection\n{FAILED}"
    ));
    assert!(text.contains("let filter0_selection = ieq(e.User, \"x\");"), "{text}");
    assert!(text.contains("source && selection && !filter0_selection\n"), "{text}");
    let twice = format!(
        "{FAILED}---\ntitle: C\ncorrelation:\n  type: event_count\n  rules: [faild]\n  timespan: 1h\n  condition: {{gt: 1}}\n"
    );
    assert_eq!(all_of(&twice), "no rule has the id or name `faild`");
}

/// What comes of several files, and its errors with their places.
fn all_in(files: &[(&str, &str)]) -> (Converted, Vec<String>) {
    let texts = files.iter().map(|(path, text)| (path.into(), (*text).to_owned())).collect();
    let converted = convert(&texts, &[], &SigmaOptions::default());
    let errors = converted.found.iter().filter(|finding| finding.is_error());
    let told = |Diagnostic { place, message, .. }: &Diagnostic| {
        format!("{}:{}:{} {message}", place.file.display(), place.line, place.column)
    };
    let errors = errors.map(told).collect();
    (converted, errors)
}

const HOUR: &str = "not to be said in Rhai: the language has no function for the parts of a time that a field holds";

fn rule(name: &str, item: &str) -> String {
    format!(
        "title: {name}\nname: {name}\nid: {name}\nlogsource: {{category: x}}\ndetection:\n  s: {{{item}}}\n  condition: s\n"
    )
}

/// A correlation whose text is one line.
fn any_of(name: &str, rules: &str) -> String {
    format!(
        "{{title: {name}, name: {name}, id: {name}, correlation: {{type: temporal, rules: [{rules}], timespan: 1h}}}}\n"
    )
}

#[test]
fn a_correlation_is_refused_with_its_rule_and_each_is_told_where_it_stands() {
    let (converted, errors) = all_in(&[("c.yml", &any_of("c", "r")), ("r.yml", &rule("r", "a|hour: 5"))]);
    assert_eq!(
        errors,
        ["c.yml:1:28 not to be said in Rhai: its rule `r` is refused".to_owned(), format!("r.yml:6:15 {HOUR}")]
    );
    assert_eq!((converted.rules.len(), converted.refused), (0, 2));
}

#[test]
fn what_a_filter_can_not_say_is_told_once_and_in_its_file() {
    let filter = "title: F\nlogsource: {category: x}\nfilter:\n  rules: any\n  s: {a|hour: 5}\n  condition: not s\n";
    let (converted, errors) =
        all_in(&[("a.yml", &rule("a", "a: 1")), ("b.yml", &rule("b", "b: 1")), ("f.yml", filter)]);
    let misfit = |file: &str| format!("{file}:1:1 a filter does not fit this rule");
    assert_eq!(errors, [misfit("a.yml"), misfit("b.yml"), format!("f.yml:5:15 {HOUR}")]);
    assert_eq!((converted.rules.len(), converted.refused), (0, 2));
    let ways: String = (0..12).map(|number| format!("  s{number}: {{a: {number}}}\n")).collect();
    let filter = format!("title: F\nlogsource: {{category: x}}\nfilter:\n  rules: any\n{ways}  condition: 4 of s*\n");
    let (_, errors) = all_in(&[("a.yml", &rule("a", "a: 1")), ("f.yml", &filter)]);
    assert_eq!(errors[0], misfit("a.yml"));
    assert!(errors[1].starts_with("f.yml:17:") && errors[1].contains("`4 of` so many detections"), "{errors:?}");
}

#[test]
fn what_asks_for_the_alerts_of_a_refused_correlation_is_refused_with_it() {
    let (converted, errors) = all_in(&[
        ("c.yml", &any_of("inner", "r")),
        ("d.yml", &any_of("outer", "inner")),
        ("r.yml", &rule("r", "a|hour: 5")),
    ]);
    assert_eq!(
        errors[..2],
        [
            "c.yml:1:40 not to be said in Rhai: its rule `r` is refused",
            "d.yml:1:40 not to be said in Rhai: its rule `inner` is refused"
        ]
    );
    assert_eq!((converted.rules.len(), converted.refused), (0, 3), "{:#?}", converted.rules);
}

#[test]
fn a_refused_correlation_silences_nothing() {
    let (converted, _) = all_in(&[
        ("c.yml", &any_of("inner", "good")),
        ("d.yml", &any_of("outer", "inner, also, bad")),
        ("r.yml", &["good", "also"].map(|name| rule(name, "a: 1")).join("---\n")),
        ("s.yml", &rule("bad", "a|hour: 5")),
    ]);
    let heads: Vec<Vec<&str>> =
        converted.rules.iter().map(|text| text.lines().skip(1).take(4).map(str::trim).collect()).collect();
    let title = |name: &str| format!("title: \"{name}\",");
    assert_eq!((heads[0][1], heads[1][1]), (&*title("also"), &*title("inner")));
    assert!(!converted.rules.concat().contains("audience"), "{:#?}", converted.rules);
    assert_eq!((converted.rules.len(), converted.refused), (2, 2));
}

/// Two correlations, of which the inner one is over rules, and tells the outer one the fields that it does not group by.
fn told(rules: &[String], fields: &str) -> String {
    let names = rules.join(", ");
    let rules: String = rules.iter().map(|name| format!("---\n{}", rule(name, &format!("a: {name}")))).collect();
    format!(
        "title: Inner\nname: inner\nid: inner\ncorrelation:\n  type: temporal\n  rules: [{names}]\n  group-by: [User]\n  \
         timespan: 1h\n---\ntitle: Outer\nid: outer\ncorrelation:\n  type: event_count\n  rules: [inner]\n  \
         group-by: [{fields}]\n  timespan: 1d\n  condition: {{gte: 2}}\n{rules}"
    )
}

fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}{number:02}")).collect()
}

#[test]
fn what_several_rules_tell_of_a_field_is_one_list() {
    let text = all_of(&told(&numbered("r", 2), "w"));
    assert!(text.contains("alert: |w| #{ \"w\": union([w.r00.values(\"w\"), w.r01.values(\"w\")]) },"), "{text}");
    let text = all_of(&told(&numbered("r", 1), "w"));
    assert!(text.contains("alert: |w| #{ \"w\": w.r00.values(\"w\") },"), "{text}");
}

/// A window with as many different values of every field as are kept, of several types.
fn full(rule: &Rule) -> Arc<WindowView> {
    let value = |pattern: usize, at: usize| match at % 3 {
        0 => Value::text(format!("{pattern} {at}")),
        1 => Value::Number(Number::from_written(&(pattern * VALUES_MAX + at).to_string())),
        _ => Value::Number(Number::from_written(&format!("{}.5", pattern * VALUES_MAX + at))),
    };
    let pattern = |(number, pattern): (usize, &Pattern)| {
        let values = || Answer::Values((0..VALUES_MAX).map(|at| value(number, at)).collect());
        let columns = rule.aggregates.0[number].columns.iter();
        PatternView {
            name: pattern.name.clone(),
            count: VALUES_MAX as u64,
            first: None,
            last: None,
            answers: columns.map(|column| (column.field.clone(), Statistic::Values, values())).collect(),
        }
    };
    let patterns = rule.patterns.iter().enumerate().map(pattern).collect();
    Arc::new(WindowView { key: vec!["k".into()], start: Timestamp(0), end: Timestamp(1), patterns, together: None })
}

#[test]
fn no_window_has_more_values_than_an_alert_has_room_for() {
    let of = |rules: usize, fields: usize| all_of(&told(&numbered("r", rules), &numbered("f", fields).join(", ")));
    for (rules, fields) in [(1, LISTS_MAX), (LISTS_MAX, 1), (3, LISTS_MAX / 3)] {
        let files = RuleFiles { files: [("r.rhai".into(), of(rules, fields))].into(), ..RuleFiles::default() };
        let loaded = load(&files, &LoadOptions::default(), None);
        assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
        let inner = loaded.set.get("inner").expect("it loads");
        let told = inner.alert.as_ref().expect("it tells").alert(&full(inner)).expect("it stays within the limits");
        let values: Vec<usize> = told.fields.values().map(|told| told.as_array().map_or(0, Vec::len)).collect();
        assert_eq!(values, vec![rules * VALUES_MAX; fields]);
    }
    for (rules, fields) in [(1, LISTS_MAX + 1), (LISTS_MAX + 1, 1)] {
        let text = of(rules, fields);
        assert!(text.contains(&format!("{} lists of values in an alert", LISTS_MAX + 1)), "{text}");
    }
}
