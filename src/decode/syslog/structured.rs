//! Structured data (RFC 5424, 6.3): `[element name="value" …]`, one element after another.

use super::message::BLANKS;

/// The length of the elements that `text` starts with; `None` when it starts with none. What stands in brackets and is
/// no element has no parameters, or, where `strict`, ends them; strict elements have parameters.
pub fn length(text: &str, strict: bool) -> Option<usize> {
    let mut left = text;
    while let Some((_, parameters, after)) = next(left, strict) {
        if strict && parameters.is_empty() {
            break;
        }
        left = after;
    }
    let length = text.len() - left.len();
    (length > 0).then_some(length)
}

/// Element, name and value of each parameter of such elements, values as they stand between their quotes.
pub fn parameters(elements: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut left = elements;
    let elements = std::iter::from_fn(move || {
        let (id, parameters, after) = next(left, false)?;
        left = after;
        Some((id, parameters))
    });
    elements.flat_map(|(id, parameters)| {
        let mut left = parameters;
        std::iter::from_fn(move || {
            let (name, value, after) = parameter(left)?;
            left = after.strip_prefix(' ').unwrap_or(after);
            Some((id, name, value))
        })
    })
}

/// The element that `text` starts with: its name, its parameters and what follows.
fn next(text: &str, strict: bool) -> Option<(&str, &str, &str)> {
    let loose = || {
        let (_, after) = text.strip_prefix('[')?.split_once(']')?;
        Some(("", "", after))
    };
    element(text).or_else(|| if strict { None } else { loose() })
}

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
