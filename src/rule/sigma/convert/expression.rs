//! Rhai as people lay it out: on one line where it fits, else a line for each part.

/// A line of a rule file is broken beyond this.
const WIDTH: usize = 110;

/// A test of an event, in Rhai.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// As it is written.
    Leaf(String),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Expression {
    /// Every one of the parts; parts of the same kind become parts of this.
    pub fn all(parts: impl IntoIterator<Item = Expression>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            if let Expression::All(inner) = part { flat.extend(inner) } else { flat.push(part) }
        }
        joined(flat, Expression::All)
    }

    pub fn any(parts: impl IntoIterator<Item = Expression>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            if let Expression::Any(inner) = part { flat.extend(inner) } else { flat.push(part) }
        }
        joined(flat, Expression::Any)
    }

    pub fn negated(self) -> Self {
        if let Expression::Not(inner) = self { *inner } else { Expression::Not(Box::new(self)) }
    }

    /// The text, whose first line starts at column `at` and whose further ones are indented by `indent` and more.
    pub fn laid_out(&self, at: usize, indent: usize) -> String {
        let line = self.on_one_line();
        if at + line.chars().count() <= WIDTH {
            return line;
        }
        let margin = " ".repeat(indent + 4);
        match self {
            Expression::Leaf(text) => text.clone(),
            Expression::Not(inner) => format!("!{}", inner.in_brackets(indent)),
            Expression::All(parts) | Expression::Any(parts) => {
                let is_all = matches!(self, Expression::All(_));
                let operator = if is_all { "&& " } else { "|| " };
                let part = |part: &Expression| match part {
                    Expression::Any(_) | Expression::All(_) => part.in_brackets(indent + 4),
                    part => part.laid_out(indent + 4 + operator.len(), indent + 4),
                };
                parts.iter().map(part).collect::<Vec<_>>().join(&format!("\n{margin}{operator}"))
            }
        }
    }

    fn in_brackets(&self, indent: usize) -> String {
        let line = format!("({})", self.on_one_line());
        if indent + line.chars().count() <= WIDTH {
            return line;
        }
        let inner = " ".repeat(indent + 4);
        let margin = " ".repeat(indent);
        format!("(\n{inner}{}\n{margin})", self.laid_out(indent + 4, indent))
    }

    fn on_one_line(&self) -> String {
        match self {
            Expression::Leaf(text) => text.clone(),
            Expression::Not(inner) => match &**inner {
                Expression::Leaf(text) if is_call(text) => format!("!{text}"),
                inner => format!("!({})", inner.on_one_line()),
            },
            Expression::All(parts) if parts.is_empty() => "true".to_owned(),
            Expression::Any(parts) if parts.is_empty() => "false".to_owned(),
            Expression::All(parts) | Expression::Any(parts) => {
                let operator = if matches!(self, Expression::All(_)) { " && " } else { " || " };
                let part = |part: &Expression| match part {
                    Expression::Any(_) | Expression::All(_) => format!("({})", part.on_one_line()),
                    part => part.on_one_line(),
                };
                parts.iter().map(part).collect::<Vec<_>>().join(operator)
            }
        }
    }
}

/// One expression of parts, in groups where they are many: an expression is as deep as it has parts, and depth is bounded.
fn joined(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    const GROUP: usize = 50;
    if parts.len() == 1 {
        return parts.remove(0);
    }
    while parts.len() > GROUP {
        parts = parts.chunks(GROUP).map(|group| join(group.to_vec())).collect();
    }
    join(parts)
}

/// Whether a text is a name or a call, which `!` may stand before.
fn is_call(text: &str) -> bool {
    text.ends_with(')') || text.chars().all(|char| char.is_alphanumeric() || char == '_')
}

/// A text as a literal of Rhai.
pub fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for char in text.chars() {
        match char {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            char if char.is_control() => literal.push_str(&format!("\\U{:08x}", u32::from(char))),
            char => literal.push(char),
        }
    }
    literal.push('"');
    literal
}

/// How a closure over `e` reads a field: by name, or in brackets where a part of it is no name.
pub fn field(path: &str) -> String {
    let is_name = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
            && part.chars().any(|char| char != '_')
    };
    if path.split('.').all(is_name) { format!("e.{path}") } else { format!("e[{}]", literal(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(text: &str) -> Expression {
        Expression::Leaf(text.to_owned())
    }

    #[test]
    fn what_fits_stands_on_one_line() {
        let test = Expression::all([leaf("a"), Expression::any([leaf("b"), leaf("c == 1").negated()])]);
        assert_eq!(test.laid_out(0, 0), "a && (b || !(c == 1))");
    }

    #[test]
    fn what_does_not_fit_has_a_line_for_each_part() {
        let long = |name: &str| leaf(&name.repeat(50));
        let test = Expression::all([leaf("first"), Expression::any([long("b"), long("c"), long("d")])]);
        let (b, c, d) = ("b".repeat(50), "c".repeat(50), "d".repeat(50));
        assert_eq!(
            test.laid_out(8, 4),
            format!("first\n        && (\n            {b}\n            || {c}\n            || {d}\n        )")
        );
    }

    #[test]
    fn names_and_texts_are_written_as_rhai_reads_them() {
        assert_eq!(field("process.command_line"), "e.process.command_line");
        assert_eq!(field("cs-method"), "e[\"cs-method\"]");
        assert_eq!(field("a.0b"), "e[\"a.0b\"]");
        assert_eq!(literal("C:\\\"x\"\n\0"), "\"C:\\\\\\\"x\\\"\\n\\U00000000\"");
    }
}
