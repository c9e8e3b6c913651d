//! Help and version: short, on stdout, and whole.

use super::Folder;

const COMMANDS: [&str; 11] =
    ["run", "init", "demo", "check", "test", "replay", "explain", "status", "topics", "rules", "sigma"];

#[test]
fn help_lists_every_command_with_what_it_does() {
    let help = Folder::new().run("--help").exits(0);
    assert_eq!(help.stderr, "");
    for command in COMMANDS {
        let line = help.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{command} ")));
        let says = line.map(|line| line.trim_start().trim_start_matches(command).trim());
        assert!(says.is_some_and(|says| !says.is_empty()), "{command}: {}", help.stdout);
    }
    assert!(help.stdout.contains("`tripline` alone is `tripline run`"), "{}", help.stdout);
}

#[test]
fn every_option_of_every_command_says_what_it_is_for() {
    let folder = Folder::new();
    for command in COMMANDS {
        let help = folder.run(&format!("{command} --help")).exits(0).stdout;
        let lines: Vec<&str> = help.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("--")) {
            let beside = line.split_once("  ").is_some_and(|(_, text)| !text.trim().is_empty());
            let below = lines.get(at + 1).is_some_and(|next| !next.is_empty() && !next.starts_with(['-', '[', 'P']));
            assert!(beside || below, "{command}: {line} is not explained:\n{help}");
        }
    }
}

#[test]
fn version_is_the_crates() {
    let version = Folder::new().run("--version").exits(0);
    assert_eq!(version.stdout, format!("tripline {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_exits_2_and_names_what_is_right() {
    let folder = Folder::new();
    for (arguments, says) in [
        ("replya", "'replay'"),
        ("replay --rules rules", "--input"),
        ("replay --input x", "--rules"),
        ("replay --rules r --input i --lateness 10", "time unit needed"),
        ("replay --rules r --input i --until tomorrow", "2024-05-01T10:00:00Z"),
        ("replay --rules r --input i --decode jsn", "auto, json, syslog, line, clf, apache_error"),
        ("replay --rules r --input i --format xml", "[possible values: text, json]"),
        ("check --fromat json", "'--format'"),
        ("rules push", "names no kafka.brokers"),
        ("rules", "push"),
    ] {
        let ran = folder.run(arguments).exits(2);
        assert_eq!(ran.stdout, "", "{arguments}");
        assert!(ran.stderr.contains(says), "{arguments}: {}", ran.stderr);
    }
}
