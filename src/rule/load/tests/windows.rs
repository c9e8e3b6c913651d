//! Rules with windows: what is read of the map, what travels in signals, what `when` and `alert` see.

use std::time::Duration;

use super::*;
use crate::{
    event::Value,
    rule::{
        Answer, Column, Condition, InputSet, Num, PatternView, Seen, Severity, Statistic, Step, Suppress, Times,
        Window, WindowFacts, WindowView,
    },
};

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

fn seen(json: serde_json::Value) -> Option<Arc<Seen>> {
    Some(Arc::new(Seen { time: Timestamp(0), fields: event(json).fields.clone() }))
}

/// A window with so many failures, and with a success or none.
fn view(failures: u64, users: &[&str], success: Option<Arc<Seen>>) -> Arc<WindowView> {
    let of = |statistic, field: &str, answer| (Arc::from(field), statistic, answer);
    let number = |number: i128| Answer::Number(Some(Num::Int(number)));
    let texts: Vec<Value> = users.iter().map(Value::text).collect();
    let failure = vec![
        of(Statistic::Sum, "bytes", number(10)),
        of(Statistic::Distinct, "user.name", number(texts.len() as i128)),
        of(Statistic::Top, "user.name", Answer::Value(texts.first().cloned())),
        of(Statistic::Values, "user.name", Answer::Values(texts)),
    ];
    let nothing = vec![of(Statistic::Avg, "bytes", Answer::Number(None))];
    let pattern =
        |name: &str, count, last, answers| PatternView { name: name.into(), count, first: None, last, answers };
    Arc::new(WindowView {
        key: vec!["203.0.113.9".into()],
        start: Timestamp(0),
        end: Timestamp(60_000_000_000),
        patterns: vec![
            pattern("failure", failures, None, failure),
            pattern("success", u64::from(success.is_some()), success, nothing),
        ],
        together: None,
    })
}

struct Viewed<'a>(&'a Rule, Arc<WindowView>);

impl WindowFacts for Viewed<'_> {
    fn count(&self, pattern: usize) -> u64 {
        self.1.patterns[pattern].count
    }

    fn number(&self, pattern: usize, column: usize, statistic: Statistic) -> Option<Num> {
        let field = &self.0.aggregates.0[pattern].columns[column].field;
        match self.1.patterns[pattern].answer(statistic, field) {
            Some(Answer::Number(number)) => *number,
            _ => None,
        }
    }

    fn length(&self) -> Duration {
        self.1.length()
    }

    fn view(&self) -> Arc<WindowView> {
        self.1.clone()
    }
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
    let full = view(4, &["a", "b", "c"], seen(json!({"user.name": "root", "source.port": 22})));
    let when = |view: Arc<WindowView>| rule.when.as_ref().unwrap().test(&Viewed(&rule, view));
    assert_eq!(when(full.clone()), Ok(true));
    assert_eq!(when(view(2, &["a", "b"], None)), Ok(false));
    let alert = rule.alert.as_ref().unwrap().alert(&full).unwrap();
    assert_eq!(alert.title.as_deref(), Some("203.0.113.9 logged in as root after 4 failures"));
    let expected = json!({"bytes": 10, "end": "1970-01-01T00:01:00Z", "none": null, "port": 22, "top": "a",
        "users": ["a", "b", "c"]});
    assert_eq!(serde_json::Value::from(alert.fields), expected);
}

#[test]
fn the_empty_window_is_total_too() {
    let rule = rule(SSH);
    let empty = view(0, &[], None);
    assert_eq!(rule.when.as_ref().unwrap().test(&Viewed(&rule, empty.clone())), Ok(false));
    let alert = rule.alert.as_ref().unwrap().alert(&empty).unwrap();
    assert_eq!(alert.title.as_deref(), Some("203.0.113.9 logged in as  after 0 failures"));
    assert_eq!(alert.fields["port"], json!(null));
}

#[test]
fn what_closures_ask_is_what_windows_keep() {
    let rule = rule(SSH);
    let aggregates = &rule.aggregates;
    let written = |pattern: usize| -> Vec<String> {
        let columns = aggregates.0[pattern].columns.iter();
        columns.flat_map(|column| column.statistics.iter().map(|what| what.written(&column.field))).collect()
    };
    let of_failure = ["sum(\"bytes\")", "distinct(\"user.name\")", "top(\"user.name\")", "values(\"user.name\")"];
    assert_eq!(written(0), of_failure);
    assert_eq!(written(1), ["avg(\"bytes\")"]);
    assert_eq!((&aggregates.0[0].first, &aggregates.0[0].last), (&None, &None));
    assert_eq!(aggregates.0[1].last, Some(vec!["source.port".into(), "user.name".into()]));
}

#[test]
fn what_closures_ask_is_found_through_variables_functions_and_constants() {
    let rule = rule(
        r#"
        const SHARE = 99.5;
        fn users(p, field) { p.distinct(field) }
        fn early(w) { let p = w.event; hour(p.first) < 6 }
        let bytes = "bytes";
        rule(#{ id: "r", event: |e| e.a == 1, within: "1m", by: ["a"],
            when: |w| { let p = w.event; let count = p.count; users(p, "user") > 2 && early(w) && p.max(bytes) > count },
            alert: |w| #{ title: `${w.event.percentile("bytes", 95)} ${w.event.percentile(bytes, 50.5)}` } });
        "#,
    );
    let of_event = &rule.aggregates.0[0];
    let column =
        |field: &str, statistics: &[Statistic]| Column { field: field.into(), statistics: statistics.to_vec() };
    let bytes = [Statistic::Max, Statistic::Percentile(50.5), Statistic::Percentile(95.0)];
    assert_eq!(of_event.columns, [column("bytes", &bytes), column("user", &[Statistic::Distinct])]);
    assert_eq!((&of_event.first, &of_event.last), (&Some(vec![]), &None));
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
