//! `tripline init`: what it writes works at once, and it takes nothing away.

use std::fs;

use super::Folder;

#[test]
fn what_init_writes_passes_its_tests_and_loads() {
    let folder = Folder::new();
    let said = folder.run("init mine").exits(0);
    assert!(said.stdout.contains("tripline run --config mine/tripline.toml"), "{}", said.stdout);
    let tested = folder.run("test mine/rules").exits(0);
    assert!(tested.stdout.contains("ok  ") && tested.stdout.ends_with(" passed, 0 failed\n"), "{}", tested.stdout);
    let checked = folder.run("check --config mine/tripline.toml").exits(0);
    assert!(checked.stdout.ends_with("1 rules, 0 errors, 1 warnings\n"), "{}", checked.stdout);
}

#[test]
fn every_command_that_init_proposes_can_be_typed() {
    for dir in ["", "deep/er"] {
        let folder = Folder::new();
        let said = folder.run(&format!("init {dir}")).exits(0).stdout;
        let proposed: Vec<&str> = said.lines().filter_map(|line| line.trim().strip_prefix("tripline ")).collect();
        assert!(proposed.len() >= 3, "{said}");
        for arguments in proposed.iter().filter(|arguments| arguments.starts_with("test ")) {
            folder.run(arguments).exits(0);
        }
        let replay = proposed.iter().find(|arguments| arguments.starts_with("replay ")).expect("a replay");
        let line = "May  1 10:00:00 web-1 sshd[812]: Failed password for root from 203.0.113.9 port 40022 ssh2\n";
        folder.write("auth.log", line);
        folder.run(&replay.replace("/var/log/auth.log", "auth.log")).exits(0);
        let run = proposed.iter().find(|arguments| arguments.starts_with("run ")).expect("a run");
        assert!(folder.path(run.split(' ').next_back().expect("a file")).is_file(), "{run}");
    }
}

#[test]
fn nothing_is_overwritten() {
    for taken in ["tripline.toml", "rules/ssh_brute_force_success.rhai", "rules/lib/ssh.rhai"] {
        let folder = Folder::new();
        folder.write(&format!("mine/{taken}"), "my own");
        let refused = folder.run("init mine").exits(2);
        assert!(refused.stderr.contains(taken) && refused.stdout.is_empty(), "{refused:?}");
        assert_eq!(folder.read(&format!("mine/{taken}")), "my own");
        let files = walkdir::WalkDir::new(folder.path("mine")).into_iter().flatten();
        assert_eq!(files.filter(|entry| entry.file_type().is_file()).count(), 1);
    }
}

#[test]
fn a_place_that_is_no_folder_is_named() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "").expect("a file");
    let refused = folder.run("init file").exits(2);
    assert!(refused.stderr.starts_with("error: file: can't be created"), "{}", refused.stderr);
}
