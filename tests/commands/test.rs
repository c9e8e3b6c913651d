//! `tripline test`: says what passed, shows what did not so that it can be mended, and counts last.

use super::{EACH, Folder};

const WRONG: &str = r#"rule(#{
    id: "wrong", title: "Wrong", severity: "low", event: |e| e.x == 1, by: ["k"],
    tests: [
        #{ name: "another key", events: [#{ at: "0s", event: #{ x: 1, k: "a" } }], alerts: [#{ key: ["b"] }] },
        #{ name: "one is missing", events: [], alerts: [#{ key: ["a"] }] },
        #{ name: "one too many", events: [#{ at: "5s", event: #{ x: 1, k: "a" } }], alerts: [] },
        #{ name: "right", events: [], alerts: [] },
    ],
});
"#;

#[test]
fn passing_tests_exit_0_and_the_count_is_last() {
    let folder = Folder::new();
    let ran = folder.write("rules/each.rhai", EACH).run("test").exits(0);
    assert_eq!(ran.stdout, "ok      each: one\nok      each: none\n2 passed, 0 failed\n");
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_failing_test_says_where_it_stands_what_was_expected_and_what_came() {
    let folder = Folder::new();
    let ran = folder.write("my/wrong.rhai", WRONG).run("test my").exits(1);
    assert_eq!(
        ran.stdout,
        r#"FAILED  wrong: another key
    my/wrong.rhai:4:9
    alert 0 key[0]: expected "b", found "a"; it was
    "2024-01-01T00:00:00Z" key ["a"] counts {"event":1}: "Wrong"
FAILED  wrong: one is missing
    my/wrong.rhai:5:9
    alert 0 is missing: expected {"key":["a"]}, 0 alerts came
FAILED  wrong: one too many
    my/wrong.rhai:6:9
    1 more than the 0 expected came
    "2024-01-01T00:00:05Z" key ["a"] counts {"event":1}: "Wrong"
ok      wrong: right
1 passed, 3 failed
"#
    );
}

#[test]
fn a_rule_that_does_not_load_fails_the_run_and_the_others_are_tested() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("rules/odd.rhai", "rule(#{ id: \"odd\", severty: \"low\" });");
    let ran = folder.run("test rules").exits(1);
    assert!(ran.stdout.ends_with("2 passed, 0 failed\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("rules/odd.rhai:1:") && ran.stderr.contains("severity"), "{}", ran.stderr);
}

#[test]
fn several_paths_are_one_run() {
    let folder = Folder::new();
    folder.write("a/each.rhai", EACH).write("b/wrong.rhai", WRONG);
    let ran = folder.run("test a b/wrong.rhai").exits(1);
    assert!(ran.stdout.contains("    b/wrong.rhai:4:9\n") && ran.stdout.ends_with("3 passed, 3 failed\n"), "{ran:?}");
}

#[test]
fn a_path_without_rules_is_warned_of_and_one_that_is_not_there_exits_2() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("empty")).expect("a folder");
    let empty = folder.run("test empty").exits(0);
    assert_eq!((&*empty.stdout, &*empty.stderr), ("0 passed, 0 failed\n", "warning: no rules in empty\n"));
    let missing = folder.run("test nowhere").exits(2);
    assert_eq!(missing.stderr, "error: nowhere: No such file or directory (os error 2)\n");
}
