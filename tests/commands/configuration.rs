//! A configuration that is wrong: file, line, column and what to write instead; and no secret is ever shown.

use super::{EACH, Folder};

const SECRET: &str = "hunter2";

/// What `run` and `check` say about a configuration; neither may start with it.
#[track_caller]
fn refused(content: &str) -> String {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write("etc/tripline.toml", content);
    let checked = folder.run("check --config etc/tripline.toml rules").exits(2);
    let ran = folder.run("run --config etc/tripline.toml --rules rules --data data").exits(2);
    assert_eq!(ran.stderr, checked.stderr);
    assert_eq!((&*ran.stdout, &*checked.stdout), ("", ""));
    assert!(!ran.stderr.contains(SECRET), "{}", ran.stderr);
    assert!(!folder.path("data").exists(), "nothing is touched before the configuration is right");
    ran.stderr
}

#[track_caller]
fn says(content: &str, place: &str, parts: &[&str]) {
    let told = refused(content);
    assert!(told.contains(&format!("error: etc/tripline.toml:{place}: ")), "{place} is not in {told}");
    for part in parts {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_right_one() {
    says("[http]\nlistn = \"127.0.0.1:0\"\n", "2:1", &["`listn`", "did you mean `listen`?"]);
    says("[htpp]\n", "1:2", &["did you mean `http`?"]);
    says("[[sink]]\nname = \"a\"\ntype = \"webhok\"\n", "3:8", &["did you mean `webhook`?"]);
    says("[[input]]\nname = \"a\"\ntype = \"http\"\nlatenes = \"1s\"\n", "4:1", &["did you mean `lateness`?"]);
}

#[test]
fn a_wrong_value_says_what_one_looks_like() {
    says("[http]\nlisten = \"localhost\"\n", "2:10", &["\"127.0.0.1:8686\""]);
    says("[log]\nretention = \"7 parsecs\"\n", "2:13", &["\"7d\"", "7 parsecs"]);
    says("[log]\nsegment_bytes = \"12 XB\"\n", "2:17", &["\"64KiB\""]);
    says("[signals]\npartitions = 0\n", "2:14", &["partitions"]);
    says("[[input]]\nname = \"a\"\ntype = \"http\"\ntimezone = \"Mars/Base\"\n", "4:12", &["Mars/Base"]);
    says(
        "[[input]]\nname = \"a\"\ntype = \"http\"\n[[input.extract]]\nfield = \"message\"\nregex = '('\n",
        "6:9",
        &["regex"],
    );
    says("[http]\nlisten = \n", "2:10", &["not TOML"]);
}

#[test]
fn an_address_that_others_reach_is_refused_unless_that_is_meant() {
    says("[http]\nlisten = \"0.0.0.0:0\"\n", "2:10", &["allow_unauthenticated = true"]);
    says("[syslog]\nlisten = \"0.0.0.0:0\"\n", "2:10", &["allow_unauthenticated = true"]);
}

#[test]
fn all_errors_are_told_at_once() {
    let told = refused("[http]\nlistn = 1\n[log]\nretention = 5\n[[input]]\nname = \"alerts\"\ntype = \"http\"\n");
    let places: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("error: etc/tripline.toml:")).collect();
    assert_eq!(places.len(), 3, "{told}");
}

#[test]
fn the_environment_is_named_like_a_place() {
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH);
    let mut command = folder.command("check --config /dev/null rules");
    let ran =
        super::Ran::from(command.env("TRIPLINE__HTTP__LISTN", "x").output().expect("the program starts")).exits(2);
    assert!(ran.stderr.contains("TRIPLINE__HTTP__LISTN") && ran.stderr.contains("`listen`"), "{}", ran.stderr);
    let mut command = folder.command("check rules");
    let unread = command.env("TRIPLINE__HTTP__LISTN", "x").output().expect("the program starts");
    super::Ran::from(unread).exits(0);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = Folder::new();
    for command in ["run", "check"] {
        let ran = folder.run(&format!("{command} --config none.toml")).exits(2);
        assert!(ran.stderr.starts_with("error: none.toml: "), "{}", ran.stderr);
    }
    folder.write("c.toml", "[rules]\npath = \"norules\"\n[http]\nlisten = \"127.0.0.1:0\"\n");
    let ran = folder.run("run --config c.toml").exits(2);
    assert!(ran.stderr.contains("norules: No such file"), "{}", ran.stderr);
}

#[test]
fn secrets_are_never_shown() {
    let wrong = [
        format!("[[sink]]\nname = \"w\"\ntype = \"webhook\"\nurl = \"htp://u:{SECRET}@x/{SECRET}\"\n"),
        format!("[[sink]]\nname = \"m\"\ntype = \"email\"\nhost = \"h\"\npassword = \"{SECRET}\"\n"),
        format!("[[sink]]\nname = \"m\"\ntype = \"email\"\nhost = \"h\"\npassword = {SECRET}\n"),
        format!("[[sink]]\nname = \"m\"\ntype = \"email\"\nhost = \"h\"\npassword = [\"{SECRET}\"]\n"),
        format!("[[sink]]\nname = \"m\"\ntype = \"email\"\nhost = \"h\"\npassword_fil = \"{SECRET}\"\n"),
    ];
    for content in wrong {
        refused(&content);
    }
    let folder = Folder::new();
    folder.write("rules/each.rhai", EACH).write(
        "c.toml",
        format!("[kafka]\nbrokers = [\"127.0.0.1:1\"]\n[kafka.properties]\n\"sasl.passwod\" = \"{SECRET}\"\n"),
    );
    let ran = folder.run("run --config c.toml").exits(2);
    assert!(ran.stderr.contains("sasl.passwod") && !ran.stderr.contains(SECRET), "{}", ran.stderr);
}
