//! What converted rules look like, and what is refused.

use super::*;

const HEAD: &str =
    "title: T\nid: i\nlevel: high\nfalsepositives: [none]\nlogsource: {product: windows, category: process_creation}\n";

fn converted(rule: &str) -> Result<String, String> {
    let converted = convert(Path::new("r.yml"), rule, &SigmaOptions::default());
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
    assert!(converted("title: T\ncorrelation: {}\n").unwrap_err().contains("correlations"));
}
