//! What a text has to hold for a test of it to be true: literals that are looked for all at once, before any test.

use std::sync::Arc;

use regex_syntax::hir::{Class, Hir, HirKind};

use super::super::{
    glob::{Glob, globs},
    text::{TextTest, fold},
};
use crate::event::escape;

/// More alternatives than this are no needles of a regex.
const ALTERNATIVES_MAX: usize = 64;

/// Members of a character class that are looked at for what they fold to.
const CLASS_MAX: usize = 8;

/// Where in the folded text the needle stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
    Whole,
}

/// A folded literal that stands in the folded text wherever the test is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needle {
    pub(super) place: Place,
    pub(super) text: Arc<[u8]>,
    /// Where the needle stands, the test is true.
    pub(super) proves: bool,
}

impl Needle {
    /// Of a whole text.
    pub(super) fn whole(text: &str, ignore_case: bool) -> Self {
        Needle { place: Place::Whole, text: bytes(&fold(text)), proves: ignore_case }
    }

    /// The same, to be looked for in a record that is JSON.
    pub(super) fn within_json(&self) -> Self {
        let mut escaped = String::new();
        escape(&String::from_utf8_lossy(&self.text), &mut escaped);
        Needle { place: Place::Anywhere, text: bytes(&escaped), proves: false }
    }

    /// Of a test of a text; `None` when nothing has to be there.
    pub(super) fn of_text(test: TextTest, ignore_case: bool, wanted: &str) -> Option<Self> {
        let place = match test {
            TextTest::Contains => Place::Anywhere,
            TextTest::StartsWith => Place::Start,
            TextTest::EndsWith => Place::End,
            TextTest::Equals => Place::Whole,
            TextTest::Like => return of_glob(wanted),
        };
        let needed = place == Place::Whole || !wanted.is_empty();
        needed.then(|| Needle { place, text: bytes(&fold(wanted)), proves: ignore_case })
    }
}

fn bytes(text: &str) -> Arc<[u8]> {
    text.as_bytes().into()
}

/// The longest piece between wildcards. Whatever two characters are one letter to a glob fold alike.
fn of_glob(pattern: &str) -> Option<Needle> {
    let globs = globs(pattern);
    let literal = |globs: &[Glob]| -> String {
        let chars = globs.iter().filter_map(|glob| if let Glob::Char(char) = glob { Some(*char) } else { None });
        fold(&chars.collect::<String>()).into_owned()
    };
    let is_char = |glob: &Glob| matches!(glob, Glob::Char(_));
    let needle = |place, text: String| Needle { place, text: bytes(&text), proves: false };
    if globs.iter().all(is_char) {
        return Some(needle(Place::Whole, literal(&globs)));
    }
    let mut best: Option<Needle> = None;
    let mut end = 0;
    for piece in globs.split(|glob| !is_char(glob)) {
        let start = end;
        end += piece.len() + 1;
        let place = match (start == 0, end > globs.len()) {
            (true, _) => Place::Start,
            (_, true) => Place::End,
            _ => Place::Anywhere,
        };
        if best.as_ref().is_none_or(|best| best.text.len() < piece.len()) {
            best = Some(needle(place, literal(piece)));
        }
    }
    best.filter(|needle| !needle.text.is_empty())
}

/// Literals one of which stands in every text that the regex matches; `None` where there are none.
pub(super) fn of_regex(pattern: &str) -> Option<Vec<Needle>> {
    let hir = regex_syntax::Parser::new().parse(pattern).ok()?;
    let needle = |text: String| Needle { place: Place::Anywhere, text: bytes(&text), proves: false };
    required(&hir).map(|literals| literals.into_iter().map(needle).collect())
}

/// Folded texts, none empty, one of which stands in the folded text of each match.
fn required(hir: &Hir) -> Option<Vec<String>> {
    if let Some(text) = only_text(hir) {
        return (!text.is_empty()).then(|| vec![text]);
    }
    match hir.kind() {
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(required(part)?);
            }
            (all.len() <= ALTERNATIVES_MAX).then_some(all)
        }
        HirKind::Concat(parts) => {
            let mut best: Option<Vec<String>> = None;
            let mut run = String::new();
            for part in parts {
                match only_text(part) {
                    Some(text) => run.push_str(&text),
                    None => {
                        let before = std::mem::take(&mut run);
                        let with = |letter: &String| format!("{before}{letter}");
                        letters(part).iter().for_each(|letters| better(&mut best, letters.iter().map(with).collect()));
                        better(&mut best, vec![before]);
                        required(part).into_iter().for_each(|found| better(&mut best, found));
                    }
                }
            }
            better(&mut best, vec![run]);
            best.filter(|best| best.iter().all(|text| !text.is_empty()))
        }
        _ => None,
    }
}

/// The longer the shortest of them the better; of those, the fewer.
fn better(best: &mut Option<Vec<String>>, found: Vec<String>) {
    let rank = |texts: &[String]| (texts.iter().map(String::len).min().unwrap_or(0).min(16), usize::MAX - texts.len());
    if best.as_ref().is_none_or(|best| rank(best) < rank(&found)) {
        *best = Some(found);
    }
}

/// The one text that, folded, everything the expression matches folds to.
fn only_text(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(String::new()),
        HirKind::Literal(literal) => Some(fold(std::str::from_utf8(&literal.0).ok()?).into_owned()),
        HirKind::Class(_) => letters(hir).filter(|letters| letters.len() == 1)?.pop(),
        HirKind::Capture(capture) => only_text(&capture.sub),
        HirKind::Concat(parts) => parts.iter().map(only_text).collect(),
        HirKind::Repetition(_) | HirKind::Alternation(_) => None,
    }
}

/// What the members of a small class fold to, each once: of `[Kk\u{212a}]` it is one letter, of `[Ss\u{17f}]` two.
fn letters(hir: &Hir) -> Option<Vec<String>> {
    let HirKind::Class(class) = hir.kind() else { return None };
    let chars: Vec<char> = match class {
        Class::Unicode(class) => {
            class.iter().flat_map(|range| range.start()..=range.end()).take(CLASS_MAX + 1).collect()
        }
        Class::Bytes(class) => {
            let bytes = class.iter().flat_map(|range| range.start()..=range.end()).take(CLASS_MAX + 1);
            bytes.map(|byte| byte.is_ascii().then_some(char::from(byte))).collect::<Option<_>>()?
        }
    };
    let mut letters: Vec<String> = chars.iter().map(|char| fold(char.encode_utf8(&mut [0; 4])).into_owned()).collect();
    letters.sort_unstable();
    letters.dedup();
    (!letters.is_empty() && chars.len() <= CLASS_MAX).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str) -> Option<(Place, String)> {
        of_glob(pattern).map(|needle| (needle.place, String::from_utf8(needle.text.to_vec()).unwrap()))
    }

    fn regex(pattern: &str) -> Vec<String> {
        of_regex(pattern)
            .unwrap_or_default()
            .iter()
            .map(|needle| String::from_utf8(needle.text.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_glob_needs_its_longest_piece() {
        assert_eq!(glob(r"*\CMD.exe"), Some((Place::End, r"\cmd.exe".into())));
        assert_eq!(glob("C:*"), Some((Place::Start, "c:".into())));
        assert_eq!(glob("a?bcd*e"), Some((Place::Anywhere, "bcd".into())));
        assert_eq!(glob(r"a\*B"), Some((Place::Whole, "a*b".into())));
        assert_eq!((glob("*"), glob("??")), (None, None));
    }

    #[test]
    fn a_regex_needs_its_longest_literal() {
        assert_eq!(regex(r"foo.*barbaz\d"), ["barbaz"]);
        assert_eq!(regex(r"(?i)\bKERNEL32\b"), ["kernel32"]);
        assert_eq!(regex(r"(?i)powershell"), ["powers", "power\u{17f}"]);
        assert_eq!(regex(r"(?:curl|wget)\s+ht"), ["curl", "wget"]);
        assert_eq!(regex(r"(abc)+x?"), ["abc"]);
        assert_eq!(regex(r"\w+`\w"), ["`"]);
        assert_eq!(regex(r#"\\\w\.[ "']"#), [". ", ".\"", ".'"]);
        assert_eq!(regex(r"(?i)as"), ["as", "a\u{17f}"]);
        for none in [r"\d+", "a?", "(a|)", "", ".*"] {
            assert!(regex(none).is_empty(), "{none}");
        }
    }
}
