//! Rules with windows: what is read of the map, what travels in signals, what `when` and `alert` see.

use std::time::Duration;

use super::*;
use crate::rule::{Condition, InputSet, Kept, PatternView, Severity, Step, Suppress, Times, Window, WindowView};

const SSH: &str = r#"
rule(#{
    id: "ssh",
    title: "SSH brute force followed by a login",
    severity: "high",
    attack: ["T1110.001", "T1078"],
    input: "auth",
    events: #{
        failure: |e| e.event.action == "ssh_login" && e.event.outcome == "failure",
        success: |e| e.event.action == "ssh_login" && e.event.outcome == "success",
    },
    by: #{ failure: ["source.ip"], success: ["client.ip"] },
    within: "10m",
    sequence: [times(5, "failure"), any("success", "failure")],
    when: |w| w.failure.distinct("user.name") >= 3,
    alert: |w| #{
        title: `${w.key[0]} logged in as ${w.success.last.user.name} after ${w.failure.count} failures`,
        users: w.failure.values("user.name"), top: w.failure.top("user.name"), port: w.success.last.source.port,
        bytes: w.failure.sum("bytes"), none: w.success.avg("bytes"), end: w.end,
    },
    suppress: "1h",
    risk: #{ score: 60, entities: ["source.ip", "user.name"] },
});
"#;

fn kept(offset: u64, json: serde_json::Value) -> Arc<Kept> {
    let event = event(json);
    let position = Position { offset, ..event.position.clone() };
    Arc::new(Kept { time: Timestamp(offset as i64), position, element: 0, fields: event.fields.clone() })
}

fn view(failures: Vec<Arc<Kept>>, successes: Vec<Arc<Kept>>) -> Arc<WindowView> {
    let pattern =
        |signals: Vec<Arc<Kept>>| PatternView { count: signals.len() as u64, signals: Arc::new(signals.into()) };
    let patterns = [("failure".into(), pattern(failures)), ("success".into(), pattern(successes))];
    Arc::new(WindowView {
        key: vec!["203.0.113.9".into()],
        start: Timestamp(0),
        end: Timestamp(60_000_000_000),
        patterns: patterns.into_iter().collect(),
    })
}

#[test]
fn the_whole_map_is_read() {
    let rule = rule(SSH);
    assert_eq!(rule.meta.severity, Severity::High);
    assert_eq!(rule.meta.attack, ["T1110.001", "T1078"]);
    assert_eq!(rule.window, Window::Sliding(Duration::from_secs(600)));
    assert_eq!(rule.inputs, InputSet::Named([Arc::from("auth")].into()));
    let step =
        |n, patterns: &[&str]| Step::Some { n, patterns: patterns.iter().map(|name| Arc::from(*name)).collect() };
    let steps = vec![step(5, &["failure"]), step(1, &["success", "failure"])];
    assert_eq!(rule.condition, Condition::Sequence(steps));
    let day = Duration::from_secs(86_400);
    assert_eq!(rule.suppress, Some(Suppress { span: Duration::from_secs(3600), max: day }));
    assert_eq!(rule.pattern("success").unwrap().by, [Arc::from("client.ip")]);
    assert_eq!((rule.place.line, rule.place.column), (2, 1));
}

#[test]
fn signals_carry_what_the_rule_reads() {
    let rule = rule(SSH);
    let keep = |name: &str| rule.pattern(name).unwrap().keep.iter().map(|path| path.to_string()).collect::<Vec<_>>();
    assert_eq!(keep("failure"), ["bytes", "event.action", "event.outcome", "source.ip", "user.name"]);
    assert_eq!(
        keep("success"),
        ["bytes", "client.ip", "event.action", "event.outcome", "source.ip", "source.port", "user.name"]
    );
}

#[test]
fn reads_are_followed_through_variables_functions_and_closures() {
    let rule = rule(
        r#"
        fn name_of(p) { p.name }
        fn first_of(w) { let signal = w.event.first; signal }
        rule(#{
            id: "r",
            event: |e| { let p = e.process; let hash = "hash"; name_of(p) == "x" && p[hash].md5 == "y" && check(p.parent) },
            alert: |w| { let f = first_of(w); #{ title: `${name_of(f.user)}`, a: [f.host.name], b: |x| w.event.last.inner } },
        });
        fn check(p) { if p.a == 1 { return true; } p.b == 2 }
    "#
        .replace(", b: |x| w.event.last.inner", "")
        .as_str(),
    );
    let keep: Vec<&str> = rule.patterns[0].keep.iter().map(|path| &**path).collect();
    assert_eq!(
        keep,
        ["host.name", "process.hash.md5", "process.name", "process.parent.a", "process.parent.b", "user.name"]
    );
}

#[test]
fn a_window_tests_and_tells() {
    let rule = rule(SSH);
    let users = ["a", "b", "c", "a"];
    let failures: Vec<_> =
        (0..4).map(|at| kept(at, json!({"user.name": users[at as usize], "bytes": at + 1}))).collect();
    let success = kept(9, json!({"user.name": "root", "source.port": 22}));
    let full = view(failures.clone(), vec![success]);
    assert_eq!(rule.when.as_ref().unwrap().test(&full), Ok(true));
    assert_eq!(rule.when.as_ref().unwrap().test(&view(failures[..2].to_vec(), vec![])), Ok(false));
    let alert = rule.alert.as_ref().unwrap().alert(&full).unwrap();
    assert_eq!(alert.title.as_deref(), Some("203.0.113.9 logged in as root after 4 failures"));
    let expected = json!({"bytes": 10, "end": "1970-01-01T00:01:00Z", "none": null, "port": 22, "top": "a",
        "users": ["a", "b", "c"]});
    assert_eq!(serde_json::Value::from(alert.fields), expected);
}

#[test]
fn the_empty_window_is_total_too() {
    let rule = rule(SSH);
    let empty = view(vec![], vec![]);
    assert_eq!(rule.when.as_ref().unwrap().test(&empty), Ok(false));
    let alert = rule.alert.as_ref().unwrap().alert(&empty).unwrap();
    assert_eq!(alert.title.as_deref(), Some("203.0.113.9 logged in as  after 0 failures"));
    assert_eq!(alert.fields["port"], json!(null));
}

#[test]
fn aggregates_compare_like_fields() {
    let text = r#"rule(#{ id: "r", events: #{ failure: |e| e.a == 1, success: |e| e.a == 2 }, within: "1m", by: ["a"],
        any_of: ["failure", "success"], when: |w| WHEN });"#;
    let failures = [json!({"n": 3}), json!({"n": "4"}), json!({"n": 5.5}), json!({"x": 1})];
    let full = view(failures.iter().enumerate().map(|(at, json)| kept(at as u64, json.clone())).collect(), vec![]);
    for (when, wanted) in [
        ("w.failure.count == 4 && w.failure.sum(\"n\") == 12.5 && w.failure.avg(\"n\") > 4.1", true),
        ("w.failure.min(\"n\") == 3 && w.failure.max(\"n\") == 5.5 && w.failure.percentile(\"n\", 50) == 4", true),
        (
            "w.failure.rate(\"30s\") == 2 && w.failure.stddev(\"n\") < 1.1 && w.failure.sum(\"n\") / w.failure.count > 3",
            true,
        ),
        ("w.success.avg(\"n\") < 1 || w.success.avg(\"n\") >= 1 || w.success.min(\"n\") != 1", false),
        ("w.success.sum(\"n\") == 0 && w.success.distinct(\"n\") == 0 && !exists(w.success.max(\"n\"))", true),
        (
            "w.failure.first.n == 3 && w.failure.last.x == 1 && !exists(w.failure.last.n) && w.success.last.n != 1",
            false,
        ),
        (
            "\"4\" in w.failure.values(\"n\") && w.failure.values(\"n\").len() == 3 && w.key[0].starts_with(\"203.\")",
            true,
        ),
    ] {
        let rule = rule(&text.replace("WHEN", when));
        assert_eq!(rule.when.as_ref().unwrap().test(&full), Ok(wanted), "{when}");
    }
}

#[test]
fn without_a_list_each_pattern_has_to_occur() {
    let all = rule("rule(#{ id: \"r\", events: #{ b: |e| e.a == 1, a: |e| e.a == 2 }, within: \"1m\", by: [\"x\"] })");
    let times = |pattern: &str| Times { n: 1, pattern: pattern.into() };
    assert_eq!(all.condition, Condition::AllOf(vec![times("a"), times("b")]));
    let alone =
        rule("rule(#{ id: \"r\", event: |e| e.a == 1, within: \"1m\", by: [\"x\"], when: |w| w.event.count > 3 })");
    assert_eq!(alone.condition, Condition::AllOf(vec![]));
}

#[test]
fn tests_are_spread_out() {
    let text = r#"rule(#{ id: "r", event: |e| e.a == 1, tests: [ #{
        name: "t", lateness: "5s", until: "2024-01-01T01:00:00Z", with: ["other"],
        events: [
            #{ at: "10s", repeat: 3, every: "5s", event: #{ a: #{ b: 1 }, "c.d": [1, 2.5], gone: () }, input: "auth" },
            #{ at: "2024-01-01T00:00:01.5Z", raw: "<13>x", format: "syslog" },
        ],
        alerts: [ #{ key: ["203.0.113.9"], counts: #{ event: 3 } } ] } ] });"#;
    let test = &rule(text).tests[0];
    let at: Vec<i64> =
        test.events.iter().map(|event| event.at.since(crate::rule::TEST_EPOCH).as_millis() as i64).collect();
    assert_eq!(at, [10_000, 15_000, 20_000, 1_500]);
    let TestBody::Fields(fields) = &test.events[0].body else { panic!("fields") };
    assert_eq!(serde_json::Value::from(fields.to_json()), json!({"a.b": 1, "c.d": [1, 2.5]}));
    assert!(
        matches!(&test.events[3].body, TestBody::Raw { line, format: Some(format) } if line == "<13>x" && format == "syslog")
    );
    assert_eq!(test.alerts, [json!({"counts": {"event": 3}, "key": ["203.0.113.9"]})]);
    assert_eq!((test.lateness, test.with.len()), (Some(Duration::from_secs(5)), 1));
    assert_eq!(test.until.unwrap().since(crate::rule::TEST_EPOCH), Duration::from_secs(3600));
}
