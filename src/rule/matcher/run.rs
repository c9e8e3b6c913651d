//! Runs of characters that a regex can't match without, `[0-9a-f]{64}`: looked for before the regex is, since nearly
//! all of a text is leapt over.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Shorter runs say little.
const LENGTH_MIN: usize = 8;

/// So many bytes of a set at least stand, one behind the other, in every text that the regex matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    length: usize,
    /// By byte: all from 128 on, or none of them.
    set: Box<[bool; 256]>,
}

impl Run {
    /// The longest that the regex repeats; `None` where there is none of [`LENGTH_MIN`] or more.
    pub(super) fn of_regex(pattern: &str) -> Option<Self> {
        let hir = regex_syntax::Parser::new().parse(pattern).ok()?;
        longest(&hir).filter(|run| run.length >= LENGTH_MIN)
    }

    /// Whether such a run stands in the text. Looks at a window from its end, and goes on behind the first byte that is
    /// not in the set (the leap is that of Boyer and Moore, "A fast string searching algorithm", 1977).
    pub(super) fn stands_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let mut start = 0;
        while let Some(window) = bytes.get(start..start + self.length) {
            match window.iter().rposition(|byte| !self.set[usize::from(*byte)]) {
                Some(other) => start += other + 1,
                None => return true,
            }
        }
        false
    }
}

fn longest(hir: &Hir) -> Option<Run> {
    match hir.kind() {
        HirKind::Repetition(repetition) => match set(&repetition.sub) {
            Some(set) => Some(Run { length: repetition.min as usize, set }),
            None if repetition.min > 0 => longest(&repetition.sub),
            None => None,
        },
        HirKind::Capture(capture) => longest(&capture.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(longest).max_by_key(|run| run.length),
        _ => None,
    }
}

/// The bytes of all texts that match, of an expression for one character; a character beyond ASCII is of bytes from
/// 128 on.
fn set(hir: &Hir) -> Option<Box<[bool; 256]>> {
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else { return None };
    let mut set = Box::new([false; 256]);
    for range in class.iter() {
        let ascii = u32::from(range.start())..=u32::from(range.end()).min(127);
        ascii.for_each(|char| set[char as usize] = true);
        if !range.end().is_ascii() {
            set[128..].fill(true);
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    fn length(pattern: &str) -> Option<usize> {
        Run::of_regex(pattern).map(|run| run.length)
    }

    #[test]
    fn a_regex_needs_the_longest_run_that_it_repeats() {
        assert_eq!(length(r"\s[a-fA-F0-9]{64}\s[a-fA-F0-9]{16}"), Some(64));
        assert_eq!(length(r"x(?:ab[0-9]{9,}){2}y"), Some(9));
        assert_eq!(length(".{1000,}"), Some(1000));
        for none in ["[0-9]{7}", "[0-9]*", "(?:[0-9]{9}|a)", "(?:[0-9]{9})?", "a"] {
            assert_eq!(length(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_text_that_matches_is_without_the_run(
            (pattern, run) in prop::sample::select(vec!["[ab]{8}", "c[ab]{9}", "[aé]{8,10}", "[^b]{8}"])
                .prop_map(|pattern| (Regex::new(pattern).unwrap(), Run::of_regex(pattern).unwrap())),
            text in "[abc]{0,12}[aé]{0,12}[abcé]{0,20}",
        ) {
            prop_assert!(run.stands_in(&text) || !pattern.is_match(&text));
            let bytes = text.as_bytes();
            let really = bytes.windows(run.length).any(|window| window.iter().all(|byte| run.set[usize::from(*byte)]));
            prop_assert_eq!(run.stands_in(&text), really);
        }
    }
}
