//! What lists hold, and what is said of wrong ones.

use super::*;

fn lists(files: &[(&str, &str)]) -> (Lists, Vec<String>) {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), Ok((*text).to_owned()))).collect();
    let mut found = Vec::new();
    let lists = Lists::read(&files, None, &mut found);
    (lists, found.iter().map(|finding| format!("{}: {}", finding.place.line, finding.message)).collect())
}

fn only(path: &str, text: &str) -> Arc<List> {
    let (lists, found) = lists(&[(path, text)]);
    assert!(found.is_empty(), "{found:?}");
    lists.get("a").expect("the list is there").clone()
}

#[test]
fn a_line_is_an_entry_and_comments_are_none() {
    let list = only("lists/a.txt", "# bad ones\nalice\n bob  # left in May\r\n\nc#\n");
    assert_eq!(list.len(), 3);
    assert!(list.contains("alice") && list.contains("bob") && list.contains("c#"));
    assert!(!list.contains("Alice"), "case counts, as in ==");
}

#[test]
fn an_address_is_in_every_range_around_it() {
    let list = only("lists/a.txt", "10.0.0.0/8\n192.0.2.7\n2001:db8::/32\n0.0.0.0/31\n");
    for inside in ["10.200.3.4", "192.0.2.7", "2001:DB8:1::9", "::ffff:10.1.1.1", "0.0.0.1"] {
        assert!(list.contains(inside), "{inside}");
    }
    for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "0.0.0.2", "::1", "10"] {
        assert!(!list.contains(outside), "{outside}");
    }
}

#[test]
fn everything_is_in_a_range_of_all() {
    let list = only("lists/a.txt", "0.0.0.0/0\n");
    assert!(list.contains("255.1.2.3") && !list.contains("::1"));
}

#[test]
fn a_dot_stands_for_a_domain_with_all_below_it() {
    let list = only("lists/a.txt", ".evil.example\n*.cdn.example\nplain.example\n");
    for inside in ["evil.example", "a.b.EVIL.example", "x.cdn.example", "plain.example", "evil.example."] {
        assert!(list.contains(inside), "{inside}");
    }
    for outside in ["notevil.example", "cdn.example", "a.plain.example", "example"] {
        assert!(!list.contains(outside), "{outside}");
    }
}

#[test]
fn a_csv_file_gives_a_list_for_each_column() {
    let (lists, found) = lists(&[("lists/a.csv", "ip,\"host, name\"\n10.0.0.1,\"x,\"\"y\"\"\"\n10.0.0.2,z\n")]);
    assert!(found.is_empty(), "{found:?}");
    assert!(lists.get("a").unwrap().contains("10.0.0.2"));
    assert!(lists.get("a:ip").unwrap().contains("10.0.0.1"));
    assert!(lists.get("a:host, name").unwrap().contains("x,\"y\""));
}

#[test]
fn a_json_array_holds_texts_numbers_or_objects_with_a_value() {
    let list = only("lists/a.json", r#"["x", 22, {"value": "10.0.0.0/8", "note": "lab"}]"#);
    assert!(list.contains("x") && list.contains("22") && list.contains("10.1.1.1"));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let wrong = [
        ("lists/a.txt", "x\n10.0.0.0/40\n", "2: `10.0.0.0/40` is no network"),
        ("lists/a.csv", "", "1: the first line names the columns, and there is none"),
        ("lists/a.csv", "a\n\"x\n", "2: a quote is never closed"),
        ("lists/a.csv", "a\nx,y\n", "2: 2 fields, and the first line names 1"),
        ("lists/a.json", "[\n{}]", "1: element 1 is no text, and no object with a `value`"),
    ];
    for (path, text, expected) in wrong {
        let (lists, found) = lists(&[(path, text)]);
        assert_eq!(found, [expected]);
        assert_eq!(lists.unknown("a").0, "the list `a` has errors");
    }
}

#[test]
fn a_broken_list_keeps_its_last_good_version() {
    let (good, _) = lists(&[("lists/a.json", "[\"x\"]")]);
    let mut found = Vec::new();
    let files = [(PathBuf::from("lists/a.json"), Err("not UTF-8".to_owned()))].into();
    let now = Lists::read(&files, Some(&good), &mut found);
    assert!(now.get("a").unwrap().contains("x"));
    assert_eq!(now.hashes(), good.hashes());
    assert_eq!(found.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Error, Level::Warning]);
}

#[test]
fn two_files_of_one_name_are_an_error() {
    let (lists, found) = lists(&[("lists/a.csv", "h\nx\n"), ("lists/a.txt", "y\n")]);
    assert_eq!(found, ["1: the list `a` is there twice: lists/a.csv has it"]);
    assert!(lists.get("a").unwrap().contains("x"));
}
