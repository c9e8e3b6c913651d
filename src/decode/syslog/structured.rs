//! Structured data (RFC 5424, 6.3): `[element name="value" …]`, one element after another.

use super::message::BLANKS;

/// What stands in brackets and is no element, at most so many times. That it is none may show only at the end of the
/// text, so without a bound a record would cost the square of its length.
const BROKEN_MAX: usize = 16;

/// The length of the elements that `text` starts with; `None` when it starts with none. What stands in brackets and is
/// no element has no parameters, or, where `strict` and after [`BROKEN_MAX`] of them, ends them; strict elements have
/// parameters.
pub fn length(text: &str, strict: bool) -> Option<usize> {
    let mut elements = Elements { left: text, broken_max: if strict { 0 } else { BROKEN_MAX } };
    let mut left = text;
    while let Some((_, parameters)) = elements.next() {
        if strict && parameters.is_empty() {
            break;
        }
        left = elements.left;
    }
    let length = text.len() - left.len();
    (length > 0).then_some(length)
}

/// Element, name and value of each parameter of such elements, values as they stand between their quotes.
pub fn parameters(elements: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let elements = Elements { left: elements, broken_max: BROKEN_MAX };
    elements.flat_map(|(id, parameters)| {
        let mut left = parameters;
        std::iter::from_fn(move || {
            let (name, value, after) = parameter(left)?;
            left = after.strip_prefix(' ').unwrap_or(after);
            Some((id, name, value))
        })
    })
}

/// Names and parameters of elements, one after another.
struct Elements<'a> {
    left: &'a str,
    /// How many that are broken may still come.
    broken_max: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (id, parameters, after) = element(self.left).or_else(|| {
            self.broken_max = self.broken_max.checked_sub(1)?;
            let (_, after) = self.left.strip_prefix('[')?.split_once(']')?;
            Some(("", "", after))
        })?;
        self.left = after;
        Some((id, parameters))
    }
}

/// The element that `text` starts with: its name, its parameters and what follows.
fn element(text: &str) -> Option<(&str, &str, &str)> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(|c: char| c.is_whitespace() || c == ']' || c == '=')?;
    let (id, inside) = inside.split_at(end);
    let parameters = inside.trim_start_matches(BLANKS);
    let mut left = parameters;
    let mut following = Some(parameters);
    while let Some((_, _, after)) = following.and_then(parameter) {
        left = after;
        following = left.strip_prefix(' ');
    }
    let length = parameters.len() - left.len();
    let after = left.strip_prefix(']')?;
    (!id.is_empty()).then_some((id, &parameters[..length], after))
}

/// `name="value"` and what follows.
fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (name, after) = text.split_at(text.find([']', '='])?);
    let quoted = after.strip_prefix('=')?.trim_start_matches(BLANKS).strip_prefix('"')?;
    let mut is_escaped = false;
    let end = quoted.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })?;
    (!name.is_empty()).then(|| (name, &quoted[..end], &quoted[end + 1..]))
}

/// Appends a value without its escapes: `\"`, `\\` and `\]`, and `\n` for a line's end. Before others a backslash is
/// itself.
pub fn unescape(value: &str, into: &mut String) {
    let mut left = value;
    while let Some((plain, escaped)) = left.split_once('\\') {
        into.push_str(plain);
        let Some(char) = escaped.chars().next() else { return };
        match char {
            'n' => into.push('\n'),
            '"' | ']' | '\\' => into.push(char),
            char => into.extend(['\\', char]),
        }
        left = &escaped[char.len_utf8()..];
    }
    into.push_str(left);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_their_elements() {
        let text = r#"[a@1 x="1" y= "a \"b\"]"][none][b z=""] rest"#;
        let length = length(text, false).unwrap();
        assert_eq!(&text[length..], " rest");
        let found: Vec<_> = parameters(&text[..length]).collect();
        assert_eq!(found, [("a@1", "x", "1"), ("a@1", "y", r#"a \"b\"]"#), ("b", "z", "")]);
    }

    #[test]
    fn what_follows_many_broken_elements_is_text() {
        for (broken, after) in [(r#"[a " b="]"#, ""), ("[]", r#"[a b="c"]"#)] {
            let text = |count: usize| format!("{}{after}", broken.repeat(count));
            assert_eq!(length(&text(BROKEN_MAX), false), Some(text(BROKEN_MAX).len()));
            assert_eq!(length(&text(BROKEN_MAX + 1), false), Some(broken.len() * BROKEN_MAX));
            assert_eq!(length(&text(1), true), None);
        }
    }

    #[test]
    fn escapes_are_taken_out() {
        let plain = |value: &str| {
            let mut out = String::new();
            unescape(value, &mut out);
            out
        };
        assert_eq!(plain(r#"a\"b\\c\]d\ne\xf\é"#), "a\"b\\c]d\ne\\xf\\é");
        assert_eq!(plain("plain"), "plain");
    }

    #[test]
    fn unescaping_is_what_another_reader_does() {
        for value in ["", r"a\n\\n\q", r#"\\\"\]"#, "é\\é"] {
            let element = syslog_loose::StructuredElement { id: "a", params: vec![("b", value)] };
            let mut own = String::new();
            unescape(value, &mut own);
            assert_eq!(element.params().next().unwrap().1, own, "{value}");
        }
    }
}
