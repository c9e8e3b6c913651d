//! Regular expressions whose groups are found in storage that every record reuses.

use std::fmt;

use memchr::memmem::Finder;
use regex_automata::{
    meta::{BuildError, Regex},
    util::primitives::NonMaxUsize,
};
use regex_syntax::hir::{Hir, HirKind};

/// What a compiled expression may take.
const SIZE_MAX: usize = 10 << 20;

/// Shorter literals are in so many texts that looking for them gains nothing.
const LITERAL_BYTES_MIN: usize = 3;

/// A regular expression.
pub struct Expression {
    regex: Regex,
    /// Stands in every text that it matches.
    literal: Option<Finder<'static>>,
}

/// Where the groups of the last match stand.
#[derive(Debug, Default)]
pub struct Groups(Vec<Option<NonMaxUsize>>);

impl Expression {
    /// # Errors
    /// What is wrong with it, for people.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let config = Regex::config().nfa_size_limit(Some(SIZE_MAX));
        let regex = Regex::builder().configure(config).build(pattern).map_err(|error| what(&error))?;
        let literal = regex_syntax::parse(pattern).ok().and_then(|hir| literal(&hir));
        let literal = literal.filter(|literal| literal.len() >= LITERAL_BYTES_MIN);
        Ok(Expression { regex, literal: literal.map(|literal| Finder::new(&literal).into_owned()) })
    }

    /// The numbers and names of the groups that have one.
    pub fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = self.regex.group_info().pattern_names(regex_automata::PatternID::ZERO);
        names.enumerate().filter_map(|(number, name)| Some((number, name?)))
    }

    /// Whether a look at the text leaves it open that it matches.
    pub fn may_match(&self, text: &str) -> bool {
        self.literal.as_ref().is_none_or(|literal| literal.find(text.as_bytes()).is_some())
    }

    /// Whether it matches, and if it does, where its groups stand.
    pub fn find(&self, text: &str, groups: &mut Groups) -> bool {
        groups.0.resize(self.regex.group_info().slot_len(), None);
        self.regex.search_slots(&text.into(), &mut groups.0).is_some()
    }
}

impl Groups {
    /// What a group of the match in `text` holds; `None` when it is no part of the match.
    pub fn of<'t>(&self, number: usize, text: &'t str) -> Option<&'t str> {
        let at = |slot: usize| self.0.get(slot).copied().flatten().map(NonMaxUsize::get);
        text.get(at(2 * number)?..at(2 * number + 1)?)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("literal", &self.literal).finish_non_exhaustive()
    }
}

fn what(error: &BuildError) -> String {
    match (error.syntax_error(), error.size_limit()) {
        (Some(error), _) => error.to_string(),
        (None, Some(max)) => format!("compiled it takes more than {max} bytes"),
        (None, None) => error.to_string(),
    }
}

/// The longest literal that stands in every match.
fn literal(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(literal.0.to_vec()),
        HirKind::Capture(capture) => literal(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => literal(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(literal).max_by_key(Vec::len),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal_of(pattern: &str) -> Option<String> {
        literal(&regex_syntax::parse(pattern).unwrap()).map(|literal| String::from_utf8(literal).unwrap())
    }

    #[test]
    fn a_literal_stands_in_every_match() {
        assert_eq!(literal_of(r"^user (?<user.name>\S+) logged in(?: from .*)?$").unwrap(), " logged in");
        assert_eq!(literal_of(r"(?<a>id=(?:\d+))+").unwrap(), "id=");
        for none in [r"\d+", "(?i)failed", "a|b", "(?:never)?x*"] {
            assert_eq!(literal_of(none), None, "{none}");
        }
        let expression = Expression::new(r"(?<source.ip>\S+) did (?<done>\w)").unwrap();
        assert!(expression.may_match("he did x") && !expression.may_match("nobody"));
    }

    #[test]
    fn groups_are_those_of_the_last_match() {
        let mut groups = Groups::default();
        let (two, one) = (Expression::new("(?<a.b>x)(?<c>y)?").unwrap(), Expression::new("(?<c>é)").unwrap());
        assert_eq!(two.names().collect::<Vec<_>>(), [(1, "a.b"), (2, "c")]);
        assert!(two.find("-xy", &mut groups));
        assert_eq!((groups.of(1, "-xy"), groups.of(2, "-xy")), (Some("x"), Some("y")));
        assert!(two.find("x", &mut groups));
        assert_eq!((groups.of(1, "x"), groups.of(2, "x")), (Some("x"), None));
        assert!(one.find("caf\u{e9}", &mut groups));
        assert_eq!((groups.of(1, "caf\u{e9}"), groups.of(2, "caf\u{e9}")), (Some("é"), None));
        assert!(!one.find("cafe", &mut groups));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(Expression::new("(").unwrap_err().contains("unclosed group"));
        assert!(Expression::new("(?:a{1000}){1000}").unwrap_err().contains("more than"));
    }
}
