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
