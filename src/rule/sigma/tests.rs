//! Whatever a file holds, loading it ends, says what is wrong where, and leaves the other rules alone.

use std::path::PathBuf;

use proptest::prelude::*;

use super::{SigmaOptions, load};

const GOOD: &str = "title: Good
logsource:
    category: process_creation
    product: windows
detection:
    selection:
        Image|endswith: '\\whoami.exe'
        CommandLine|contains|all:
            - &anchor \"-a\"
            - *anchor
    filter:
        - User: null
        - keyword
    text: |
        folded
          text
    condition: selection and not 1 of filter* or (text)
tags: [attack.t1033, 'x']
level: high
falsepositives:
    - None
";

fn loaded(text: &str) -> (usize, usize, usize) {
    let (path, text) = (PathBuf::from("r.yml"), text.to_owned());
    let loaded = load([(&path, &text)].into_iter(), &SigmaOptions::default(), &[]);
    for finding in &loaded.found {
        assert!(finding.place.line >= 1 && finding.place.column >= 1);
        finding.render(false);
    }
    (loaded.rules.len(), loaded.refused, loaded.found.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_text_brings_loading_down(
        changes in proptest::collection::vec(
            (
                any::<proptest::sample::Index>(),
                0..4,
                proptest::sample::select("{}[]:,-&*!|>'\"%@`#?~\\\t\n\r \u{feff}\u{85}\u{2028}é0aы".chars().collect::<Vec<_>>()),
            ),
            1..12,
        ),
    ) {
        let mut chars: Vec<char> = GOOD.chars().collect();
        for (at, how, with) in changes {
            if chars.is_empty() {
                break;
            }
            let at = at.index(chars.len());
            match how {
                0 => drop(chars.remove(at)),
                1 if at > 0 => chars.truncate(at),
                2 => chars[at] = with,
                _ => chars.insert(at, with),
            }
        }
        loaded(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn no_noise_brings_loading_down(noise in "[\\PC\n\t:'\"&*\\[\\]{}|>%-]{0,200}") {
        loaded(&noise);
    }
}

#[test]
fn a_broken_rule_leaves_those_before_and_behind_alone() {
    let rule = |title: &str| GOOD.replace("title: Good", &format!("title: {title}"));
    let (rules, refused, _) = loaded(&format!("{}---\n{}---\n{}", rule("One"), rule("[Two"), rule("Three")));
    assert_eq!((rules, refused), (2, 1));
}

#[test]
fn what_is_wrong_with_the_metadata_and_the_detection_is_found_at_once() {
    let wrong = GOOD.replace("level: high", "level: hihg").replace("|contains", "|contians");
    assert_ne!(wrong, GOOD);
    let (rules, refused, found) = loaded(&wrong);
    assert_eq!((rules, refused), (0, 1));
    assert!(found >= 2, "{found}");
}

const PROCESS: &str = "title: Process
name: process
logsource: {category: process_creation, product: windows}
detection:
    selection: {Image: a}
    condition: selection
level: low
";

/// The errors of files behind a pipeline: file, line, column and what is wrong.
fn errors(files: &[(&str, &str)], steps: &str) -> Vec<String> {
    let files: Vec<(PathBuf, String)> = files.iter().map(|(path, text)| (path.into(), (*text).to_owned())).collect();
    let pipeline = format!("transformations:\n{steps}");
    let options = SigmaOptions { pipelines: vec![("p.yml".into(), pipeline)] };
    let found = load(files.iter().map(|(path, text)| (path, text)), &options, &[]).found;
    let errors = found.into_iter().filter(|finding| finding.is_error());
    errors
        .map(|error| {
            let place = error.place;
            format!("{}:{}:{} {}", place.file.display(), place.line, place.column, error.message)
        })
        .collect()
}

#[test]
fn what_a_pipeline_refuses_in_a_filter_is_told_in_the_file_of_the_filter() {
    let filter = "title: Filter\nlogsource: {product: windows}\nfilter:\n    rules: process\n    selection:\n        \
                  Hash: x\n    condition: not selection\n";
    let steps = "- {type: detection_item_failure, message: no hashes, field_name_conditions: [{type: include_fields, fields: [Hash]}]}\n";
    assert_eq!(
        errors(&[("filter.yml", filter), ("rule.yml", PROCESS)], steps),
        ["filter.yml:6:9 a pipeline refuses the item: no hashes", "rule.yml:1:1 a filter does not fit this rule",]
    );
}

#[test]
fn a_group_can_not_be_of_a_field_that_a_pipeline_reads_at_several_places() {
    let correlation = "title: Many\ncorrelation:\n    type: value_count\n    rules: process\n    group-by: [User]\n    \
                       timespan: 1h\n    condition: {field: Image, gte: 2}\n";
    let steps = "- {type: field_name_mapping, mapping: {User: [user.name, user.id], Image: exe}}\n";
    assert_eq!(
        errors(&[("rule.yml", PROCESS), ("c.yml", correlation)], steps),
        ["c.yml:5:16 pipelines read `User` at `user.name`, `user.id`: a correlation needs one place"]
    );
    let steps = "- {type: field_name_mapping, mapping: {Image: [exe, process.executable]}}\n";
    let found = errors(&[("rule.yml", PROCESS), ("c.yml", correlation)], steps);
    assert!(found.len() == 1 && found[0].starts_with("c.yml:7:24 pipelines read `Image` at"), "{found:?}");
}

#[test]
fn a_taxonomy_of_its_own_wants_a_pipeline_that_translates_it() {
    let rule = PROCESS.replace("title: Process", "title: Process\ntaxonomy: ecs");
    let warns = |mapping: &str| {
        let pipeline = format!("transformations:\n- {{type: field_name_mapping, mapping: {mapping}}}\n");
        let options = SigmaOptions { pipelines: vec![("p.yml".into(), pipeline)] };
        let loaded = load([(&PathBuf::from("r.yml"), &rule)].into_iter(), &options, &[]);
        loaded.found.iter().any(|finding| finding.code == "sigma-taxonomy")
    };
    assert!(warns("{Other: process.executable}"));
    assert!(!warns("{Image: process.executable}"));
}
