//! `--geo` and `--asn`: what commands without a configuration look addresses up in.

use super::Folder;
use crate::enrichment::geo;

const RULE: &str = r#"rule(#{
    id: "far", title: "From far away", severity: "low", by: ["ip"],
    event: |e| geo(e.ip).country == "KR",
    tests: [#{ name: "from Korea", events: [#{ at: "0s", event: #{ ip: "192.0.2.7" } }], alerts: [#{ key: ["192.0.2.7"] }] }],
});"#;

#[test]
fn addresses_are_looked_up_in_the_database_that_is_given() {
    let folder = Folder::new();
    folder.write("rules/far.rhai", RULE).write("geo.mmdb", geo("Seoul"));
    folder
        .write("in.ndjson", "{\"ts\":1704067200,\"ip\":\"192.0.2.7\"}\n{\"ts\":1704067201,\"ip\":\"198.51.100.9\"}\n");
    let replay = "replay --rules rules --input in.ndjson --format json";
    let found = folder.run(&format!("{replay} --geo geo.mmdb")).exits(0).json();
    assert_eq!((found.len(), &found[0]["key"][0]), (1, &"192.0.2.7".into()));
    assert_eq!(folder.run(replay).exits(0).json().len(), 0, "without a database nothing is known");
    folder.run("test rules --geo geo.mmdb").exits(0);
    folder.run("test rules").exits(1);
    let explained = folder.run("explain --rule far --rules rules --input in.ndjson --geo geo.mmdb").exits(0);
    assert!(explained.stdout.contains("geo(e.ip).country is \"KR\", e.ip is \"192.0.2.7\""), "{}", explained.stdout);
    assert!(!explained.stdout.contains("script at"), "{}", explained.stdout);
}

#[test]
fn a_database_that_can_not_be_read_ends_the_command() {
    let folder = Folder::new();
    folder.write("rules/far.rhai", RULE).write("asn.mmdb", "no database");
    for wrong in ["--asn asn.mmdb", "--geo missing.mmdb"] {
        let ran = folder.run(&format!("test rules {wrong}")).exits(2);
        assert!(ran.stderr.contains(".mmdb"), "{}", ran.stderr);
    }
}
