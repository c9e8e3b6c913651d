//! An extract's `when`: `field == "value"`, joined by `&&`.

use crate::decode::SpecError;

/// `field == "value"`
#[derive(Debug, PartialEq, Eq)]
pub struct Test {
    pub field: String,
    pub value: String,
}

/// Reads a `when`: `field == "value"`, joined by `&&`; `\"` and `\\` escape.
pub fn read_when(when: &str) -> Result<Vec<Test>, SpecError> {
    let mut scanner = Scanner { when, at: 0 };
    let mut tests = Vec::new();
    loop {
        let field = scanner.field()?;
        scanner.expect("==", "`==` was expected: a test is `field == \"value\"`")?;
        tests.push(Test { field, value: scanner.value()? });
        if scanner.rest().is_empty() {
            return Ok(tests);
        }
        scanner
            .expect("&&", "`&&` or the end was expected: only `field == \"value\"` joined by `&&` can stand here")?;
    }
}

struct Scanner<'a> {
    when: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.when[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        &self.when[self.at..]
    }

    fn field(&mut self) -> Result<String, SpecError> {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "=\"&|!<>()".contains(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.wrong("a field's name was expected"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn expect(&mut self, token: &str, what: &'static str) -> Result<(), SpecError> {
        if !self.rest().starts_with(token) {
            return Err(self.wrong(what));
        }
        self.at += token.len();
        Ok(())
    }

    fn value(&mut self) -> Result<String, SpecError> {
        self.expect("\"", "a text in double quotes was expected")?;
        let mut value = String::new();
        let mut chars = self.when[self.at..].char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.at += at + 1;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                    _ => {
                        self.at += at;
                        return Err(self.wrong("an unknown escape: `\\\"` and `\\\\` are known"));
                    }
                },
                char => value.push(char),
            }
        }
        self.at = self.when.len();
        Err(self.wrong("the closing quote is missing"))
    }

    fn wrong(&self, what: &'static str) -> SpecError {
        let column = self.when[..self.at].chars().count() + 1;
        SpecError::When { when: self.when.to_owned(), column, what }
    }
}
