//! The condition of a rule: `selection and not 1 of filter_*`.
//!
//! From loose to tight: `or`, `and`, `not`, `1 of x`, brackets (specification, "Condition").

use super::{
    detection::Detections,
    report::Report,
    yaml::{Mark, Node},
};
use crate::rule::diagnostic::did_you_mean;

/// Brackets and negations inside each other.
const DEPTH_MAX: usize = 64;

/// A condition over named detections.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Name { name: String, at: Mark },
    Of { quantity: Quantity, pattern: String, at: Mark },
}

/// How many of the detections that a pattern names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    All,
    AtLeast(usize),
}

impl Condition {
    /// Reads a condition. `None` where it is none, which is then reported.
    pub fn parse(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Some(text) = node.as_text() else {
            report.error("wrong-type", node.at, format!("`condition` is a text, not {}", node.kind()), None);
            return None;
        };
        if let Some(pipe) = text.find('|') {
            let help = Some("write a correlation: `type: event_count`, with `timespan`".to_owned());
            let message = "counting behind `|` belongs to the conditions of Sigma 1";
            report.error("sigma-unsupported", node.inside(pipe), message, help);
            return None;
        }
        let mut parser = Parser { text, tokens: tokens(text), at: 0, depth: 0, node };
        match parser.whole() {
            Ok(condition) => Some(condition),
            Err(Wrong { offset, message }) => {
                report.error("syntax", node.inside(offset), message, None);
                None
            }
        }
    }

    /// Whether a `not` is in it.
    pub(super) fn negates(&self) -> bool {
        match self {
            Condition::And(parts) | Condition::Or(parts) => parts.iter().any(Condition::negates),
            Condition::Not(_) => true,
            Condition::Name { .. } | Condition::Of { .. } => false,
        }
    }

    /// Visits every name and pattern.
    pub(super) fn each_leaf<'c>(&'c self, visit: &mut dyn FnMut(&'c Condition)) {
        match self {
            Condition::And(parts) | Condition::Or(parts) => parts.iter().for_each(|part| part.each_leaf(visit)),
            Condition::Not(part) => part.each_leaf(visit),
            Condition::Name { .. } | Condition::Of { .. } => visit(self),
        }
    }
}

/// Whether `1 of <pattern>` counts the detection `name`: names that start with `_` only where the pattern does.
pub fn names(pattern: &str, name: &str) -> bool {
    if name.starts_with('_') && !pattern.starts_with('_') {
        return false;
    }
    pattern == "them" || is_like(pattern, name)
}

/// Whether a name is like a pattern with `*` for any text.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(found) = rest.find(piece) else { return false };
        rest = &rest[found + piece.len()..];
    }
    rest.ends_with(last)
}

/// Reports what a condition names and nobody defines, and detections that none asks for. Says whether it fits.
pub(super) fn check(detections: &Detections, report: &mut Report<'_>) -> bool {
    let defined = || detections.named.iter().map(|named| named.name.as_str());
    let mut used = vec![false; detections.named.len()];
    let mut fits = true;
    for condition in &detections.conditions {
        condition.each_leaf(&mut |leaf| match leaf {
            Condition::Name { name, at } => match defined().position(|own| own == name) {
                Some(found) => used[found] = true,
                None => {
                    fits = false;
                    let help = did_you_mean(name, defined());
                    report.error("unknown-pattern", *at, format!("no detection is named `{name}`"), help);
                }
            },
            Condition::Of { pattern, at, .. } => {
                let found: Vec<usize> =
                    defined().enumerate().filter(|(_, own)| names(pattern, own)).map(|(at, _)| at).collect();
                found.iter().for_each(|found| used[*found] = true);
                if found.is_empty() {
                    let message = format!("no detection has a name like `{pattern}`: this part says nothing");
                    report.warning("unknown-pattern", *at, message, None);
                }
            }
            Condition::And(_) | Condition::Or(_) | Condition::Not(_) => {}
        });
    }
    for (named, _) in detections.named.iter().zip(&used).filter(|(named, used)| !**used && !named.name.starts_with('_'))
    {
        let message = format!("no condition asks for `{}`", named.name);
        report.warning("unused-pattern", named.at, message, None);
    }
    fits
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Open,
    Close,
    And,
    Or,
    Not,
    Word(&'t str),
}

/// Each with its offset in bytes.
fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let offset = text.len() - rest.len();
        let Some(char) = rest.chars().next() else { return tokens };
        let length = match char {
            '(' | ')' => 1,
            _ => rest.find(|char: char| char.is_whitespace() || matches!(char, '(' | ')')).unwrap_or(rest.len()),
        };
        let word = &rest[..length];
        tokens.push((
            offset,
            match word {
                "(" => Token::Open,
                ")" => Token::Close,
                _ if word.eq_ignore_ascii_case("and") => Token::And,
                _ if word.eq_ignore_ascii_case("or") => Token::Or,
                _ if word.eq_ignore_ascii_case("not") => Token::Not,
                _ => Token::Word(word),
            },
        ));
        rest = &rest[length..];
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<(usize, Token<'t>)>,
    at: usize,
    depth: usize,
    node: &'t Node,
}

struct Wrong {
    offset: usize,
    message: String,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).map(|(_, token)| *token)
    }

    fn take(&mut self, wanted: Token<'_>) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn offset(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |(offset, _)| *offset)
    }

    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, Wrong> {
        // At the end of the text there is nothing to mark: the last word is.
        let offset = match self.tokens.get(self.at).or(self.tokens.last()) {
            Some((offset, _)) => *offset,
            None => 0,
        };
        Err(Wrong { offset, message: message.into() })
    }

    fn whole(&mut self) -> Result<Condition, Wrong> {
        let condition = self.or()?;
        match self.peek() {
            None => Ok(condition),
            Some(Token::Close) => self.wrong("a `)` that no `(` opens"),
            Some(_) => self.wrong("`and` or `or` is missing before this"),
        }
    }

    fn or(&mut self) -> Result<Condition, Wrong> {
        let mut parts = vec![self.and()?];
        while self.take(Token::Or) {
            parts.push(self.and()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Or(parts) })
    }

    fn and(&mut self) -> Result<Condition, Wrong> {
        let mut parts = vec![self.not()?];
        while self.take(Token::And) {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::And(parts) })
    }

    fn not(&mut self) -> Result<Condition, Wrong> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.wrong(format!("more than {DEPTH_MAX} brackets and negations inside each other"));
        }
        let condition = match self.take(Token::Not) {
            true => Condition::Not(Box::new(self.not()?)),
            false => self.operand()?,
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn operand(&mut self) -> Result<Condition, Wrong> {
        if self.take(Token::Open) {
            let condition = self.or()?;
            return if self.take(Token::Close) { Ok(condition) } else { self.wrong("a `)` is missing here") };
        }
        let at = self.node.inside(self.offset());
        let Some(Token::Word(word)) = self.peek() else {
            return self.wrong("the name of a detection is missing here");
        };
        self.at += 1;
        if self.peek() != Some(Token::Word("of")) {
            return Ok(Condition::Name { name: word.to_owned(), at });
        }
        let quantity = match (word, word.parse()) {
            ("all", _) => Quantity::All,
            ("any", _) => Quantity::AtLeast(1),
            (_, Ok(number)) if number > 0 => Quantity::AtLeast(number),
            _ => {
                self.at -= 1;
                return self.wrong(format!("`{word} of`: how many is a number, `any` or `all`"));
            }
        };
        self.at += 1;
        let at = self.node.inside(self.offset());
        let Some(Token::Word(pattern)) = self.peek() else {
            return self.wrong("`of` needs `them` or the name of detections, such as `selection_*`");
        };
        self.at += 1;
        Ok(Condition::Of { quantity, pattern: pattern.to_owned(), at })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::rule::sigma::{report::SigmaFile, yaml};

    /// The condition with all its brackets, or what is wrong with it.
    fn parsed(text: &str) -> String {
        let written = format!("c: {text:?}");
        let file = SigmaFile::new(Path::new("r.yml"), &written);
        let mut report = Report::new(&file);
        let document = yaml::documents(&written).remove(0).unwrap();
        match Condition::parse(document.get("c").unwrap(), &mut report) {
            Some(condition) => shown(&condition),
            None => format!("{}: {}", report.found[0].place.column, report.found[0].message),
        }
    }

    fn shown(condition: &Condition) -> String {
        let joined =
            |parts: &[Condition], word: &str| format!("({})", parts.iter().map(shown).collect::<Vec<_>>().join(word));
        match condition {
            Condition::And(parts) => joined(parts, " & "),
            Condition::Or(parts) => joined(parts, " | "),
            Condition::Not(part) => format!("!{}", shown(part)),
            Condition::Name { name, .. } => name.clone(),
            Condition::Of { quantity, pattern, .. } => format!("{quantity:?}:{pattern}"),
        }
    }

    #[test]
    fn not_binds_tighter_than_and_and_and_tighter_than_or() {
        assert_eq!(parsed("a or b and not c"), "(a | (b & !c))");
        assert_eq!(parsed("not a and b"), "(!a & b)");
        assert_eq!(parsed("(a or b) and c"), "((a | b) & c)");
        assert_eq!(parsed("not not a"), "!!a");
        assert_eq!(parsed("not 1 of filter_* or all of them"), "(!AtLeast(1):filter_* | All:them)");
        assert_eq!(parsed("any of a* AND 3 of b*"), "(AtLeast(1):a* & AtLeast(3):b*)");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(parsed("a and (b or c"), "17: a `)` is missing here");
        assert_eq!(parsed("a b"), "7: `and` or `or` is missing before this");
        assert_eq!(parsed("a)"), "6: a `)` that no `(` opens");
        assert!(parsed("").contains("missing"));
        assert!(parsed("0 of x").contains("how many"));
        assert!(parsed("a | count() > 5").contains("Sigma 1"));
        assert!(parsed(&"(".repeat(100_000)).contains("inside each other"));
        assert!(parsed(&"not ".repeat(100_000)).contains("inside each other"));
    }

    #[test]
    fn patterns_leave_out_names_with_an_underscore() {
        assert!(names("them", "a") && !names("them", "_a") && names("_a*", "_ab"));
        assert!(names("sel*_x", "selection_x") && !names("sel*_x", "selection_y"));
        assert!(names("a*b*c", "a__b__c") && !names("a*b*c", "a__c") && !names("ab*ba", "aba"));
        assert!(names("exact", "exact") && !names("exact", "exactly"));
    }
}
