//! Names of variables and patterns: near to those of the Sigma rule, and such that Rhai takes them.

use crate::rule::aggregate::WINDOW_WORDS;

/// Words that Rhai keeps for itself, the event and the window.
const RESERVED: [&str; 61] = [
    "e",
    "w",
    "true",
    "false",
    "let",
    "const",
    "is",
    "if",
    "else",
    "switch",
    "do",
    "while",
    "until",
    "loop",
    "for",
    "in",
    "continue",
    "break",
    "return",
    "throw",
    "try",
    "catch",
    "fn",
    "private",
    "this",
    "import",
    "export",
    "as",
    "global",
    "static",
    "shared",
    "sync",
    "async",
    "await",
    "yield",
    "goto",
    "exit",
    "match",
    "case",
    "default",
    "void",
    "null",
    "nil",
    "public",
    "protected",
    "new",
    "use",
    "with",
    "module",
    "package",
    "super",
    "var",
    "thread",
    "spawn",
    "go",
    "Fn",
    "call",
    "curry",
    "print",
    "debug",
    "eval",
];

/// A variable's name for each detection, each another.
pub fn variables(names: &[&str]) -> Vec<String> {
    let mut variables: Vec<String> = Vec::new();
    for name in names {
        variables.push(free(&variable(name), &variables));
    }
    variables
}

/// A name that Rhai takes for a variable.
fn variable(name: &str) -> String {
    let letter = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
    let mut variable: String = name.trim_start_matches('_').chars().map(letter).collect();
    if !variable.starts_with(|char: char| char.is_ascii_alphabetic()) {
        variable.insert(0, 'd');
    }
    if RESERVED.contains(&variable.as_str()) {
        variable.push('_');
    }
    variable
}

/// What patterns are called, in the byte order of the names that they have: each by its own name where that is one, else
/// by the title of the rule.
pub fn patterns(named: &[(&str, &str)]) -> Vec<String> {
    let mut patterns: Vec<String> = Vec::new();
    for (name, title) in named {
        let is_name = |name: &str| {
            let is_letter = |char: char| char.is_ascii_alphanumeric() || char == '_';
            name.starts_with(|char: char| char.is_ascii_alphabetic()) && name.chars().all(is_letter)
        };
        let words: Vec<&str> =
            title.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let title = words.join("_").to_lowercase();
        let mut pattern = variable(if is_name(name) || title.is_empty() { name } else { &title });
        if WINDOW_WORDS.contains(&pattern.as_str()) {
            pattern.push('_');
        }
        patterns.push(free(&pattern, &patterns));
    }
    // Events of one time that several patterns match come in the order of the patterns' names.
    if !patterns.is_sorted() {
        let digits = patterns.len().to_string().len();
        for (number, pattern) in (1..).zip(&mut patterns) {
            *pattern = format!("p{number:0digits$}_{pattern}");
        }
    }
    patterns
}

pub fn free(name: &str, taken: &[String]) -> String {
    let mut free = name.to_owned();
    while taken.contains(&free) {
        free.push('_');
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_keep_their_names_where_they_can() {
        assert_eq!(patterns(&[("failed_login", "x"), ("success", "y")]), ["failed_login", "success"]);
        assert_eq!(
            patterns(&[("0b1c-2", "Failed: login!"), ("0b1c-3", "…")]),
            ["failed_login", "d0b1c_3"][..1]
                .iter()
                .map(|name| format!("p1_{name}"))
                .chain(["p2_d0b1c_3".to_owned()])
                .collect::<Vec<_>>()
        );
        assert_eq!(patterns(&[("all", ""), ("loop", "")]), ["all_", "loop_"]);
    }

    #[test]
    fn the_order_of_patterns_stays() {
        assert_eq!(patterns(&[("1-a", "Zebra"), ("2-b", "Ape")]), ["p1_zebra", "p2_ape"]);
    }
}
