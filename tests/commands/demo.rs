//! `tripline demo`: the story's alerts, on any machine, within its time.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{Folder, repository};

/// From start to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_demo_shows_the_storys_alerts_and_ends() {
    let folder = Folder::new();
    let started = Instant::now();
    let ran = folder.run(&format!("demo --rules {}", repository().join("rules").display())).exits(0);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    let page = std::fs::read_to_string(repository().join("examples/demo/README.md")).expect("the demo has a page");
    let rules: BTreeSet<&str> = page
        .lines()
        .filter(|line| line.starts_with("| 1"))
        .filter_map(|line| line.split('|').nth(2).map(|cell| cell.trim().trim_matches('`')))
        .collect();
    assert!(rules.len() >= 5, "{page}");
    for rule in rules {
        assert!(ran.stdout.contains(&format!("    rule    {rule}\n")), "{rule} is not in:\n{}", ran.stdout);
    }
    let alerts = ran.stdout.lines().filter(|line| line.starts_with("2024-"));
    let rules = ran.stdout.lines().filter_map(|line| line.strip_prefix("    rule    "));
    // What follows from other alerts, or from lists that they write, is told after them.
    let follows = |rule: &str| ["entity-risk", "ssh-login-from-scanner"].contains(&rule);
    let times: Vec<&str> = alerts.zip(rules).filter(|(_, rule)| !follows(rule)).map(|(time, _)| time).collect();
    assert!(times.len() >= 5 && times.is_sorted(), "the story is told in its order: {times:#?}");
    assert!(ran.stderr.contains("alerts from"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(folder.path(".")).expect("the folder").count(), 0, "the demo leaves nothing behind");
}

#[test]
fn without_the_rules_the_demo_says_where_to_run_it() {
    let ran = Folder::new().run("demo").exits(2);
    assert!(ran.stderr.contains("--rules"), "{}", ran.stderr);
}
