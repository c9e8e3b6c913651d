//! Which host a record is about, found without decoding it: received records are partitioned by it.
//!
//! A broken record has no host; it is never an error here. The decoder will say what is wrong with it.

use std::borrow::Cow;

use super::{Format, syslog::Header};

/// The `host.name` that decoding the record would give it, or `None` when the record has none, is broken, or says so
/// only through an extract.
pub fn host_name(format: Format, bytes: &[u8]) -> Option<Cow<'_, str>> {
    let bytes = bytes.trim_ascii_start();
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    match format {
        Format::Json => in_json(bytes),
        Format::Auto if bytes.starts_with(b"{") => in_json(bytes),
        Format::Auto | Format::Syslog => {
            let header = Header::of(std::str::from_utf8(bytes).ok()?)?;
            let syslog = format == Format::Syslog || !bytes[0].is_ascii_digit() || header.has_tag();
            header.host().filter(|_| syslog).map(Cow::Borrowed)
        }
        Format::Line | Format::Clf | Format::ApacheError => None,
    }
}

/// Skims the top level of an object for `"host.name": "…"` or `"host": {"name": "…"}`.
fn in_json(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let mut skim = Skim { bytes, at: 0 };
    let value = skim.member(&[b"host.name", b"host"])?;
    let text = match value {
        [b'{', ..] => Skim { bytes: value, at: 0 }.member(&[b"name"])?,
        text => text,
    };
    // a name with escapes is rare, and serde_json's to unescape
    match text {
        [b'"', plain @ .., b'"'] if !plain.contains(&b'\\') => std::str::from_utf8(plain).ok().map(Cow::Borrowed),
        [b'"', ..] => serde_json::from_slice(text).ok().map(Cow::Owned),
        _ => None,
    }
    .filter(|name| !name.is_empty())
}

/// Walks one object's members without looking into them.
struct Skim<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Skim<'a> {
    /// The value of the first member with one of these names, as written.
    fn member(&mut self, names: &[&[u8]]) -> Option<&'a [u8]> {
        self.token(b'{')?;
        loop {
            self.space();
            let name = self.value()?;
            self.space();
            self.token(b':')?;
            self.space();
            let value = self.value()?;
            if names.iter().any(|wanted| name.get(1..name.len() - 1) == Some(*wanted)) {
                return Some(value);
            }
            self.space();
            self.token(b',')?;
        }
    }

    fn token(&mut self, token: u8) -> Option<()> {
        (self.bytes.get(self.at) == Some(&token)).then(|| self.at += 1)
    }

    fn space(&mut self) {
        self.at += self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    /// Steps over a value, brackets counted and strings respected; `None` when the record ends within.
    fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut open = 0_usize;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => self.string()?,
                b'{' | b'[' => open += 1,
                b'}' | b']' if open == 0 => break,
                b'}' | b']' => open -= 1,
                b',' if open == 0 => break,
                _ => {}
            }
            self.at += 1;
            if open == 0 && matches!(self.bytes[self.at - 1], b'"' | b'}' | b']') {
                break;
            }
        }
        (self.at > start).then(|| &self.bytes[start..self.at])
    }

    /// Moves to the closing quote.
    fn string(&mut self) -> Option<()> {
        loop {
            self.at += 1;
            match *self.bytes.get(self.at)? {
                b'"' => return Some(()),
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Option<String> {
        host_name(Format::Auto, text.as_bytes()).map(Cow::into_owned)
    }

    #[test]
    fn json_names_it_nested_or_dotted() {
        assert_eq!(host(r#"{"a": {"host.name": "no"}, "host": {"ip": ["x"], "name": "web-1"}}"#).unwrap(), "web-1");
        assert_eq!(host(r#"{ "t" : 1 , "l":[1,{"x":"}"}], "host.name" : "web-2"} "#).unwrap(), "web-2");
        assert_eq!(host(r#"{"host": {"name": "a\u0062"}}"#).unwrap(), "ab");
    }

    #[test]
    fn syslog_names_it_in_its_header() {
        assert_eq!(host("<34>1 2024-05-01T10:00:00Z gate su - - - x").unwrap(), "gate");
        assert_eq!(host("Dec 10 06:55:46 gate sshd[1]: x").unwrap(), "gate");
        assert_eq!(host("2024-05-01T10:00:00Z gate sshd[1]: x").unwrap(), "gate");
    }

    #[test]
    fn a_record_without_one_or_a_broken_one_has_none() {
        for none in [
            "",
            "{",
            "{\"host",
            r#"{"host": {"name": "x"#,
            r#"{"host": "web"#,
            r#"{"host": {"name": 7}}"#,
            r#"{"host": {}}"#,
            r#"{"host":{"name":""}}"#,
            "hello world again",
            "2024-05-01 10:00:00 INFO started",
            "[1,2]",
            r#"{"a":1}"#,
            r#"{"host":null}"#,
        ] {
            assert_eq!(host(none), None, "{none}");
        }
        assert_eq!(host_name(Format::Auto, b"<13>\xff\xfe host x: y"), None);
        assert_eq!(host_name(Format::Line, b"Dec 10 06:55:46 gate sshd[1]: x"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), object in "\\{[\\[\\]{}\":,\\\\a ]{0,30}") {
            let _ = host_name(Format::Auto, &bytes);
            let _ = host_name(Format::Auto, object.as_bytes());
            let _ = host_name(Format::Syslog, &bytes);
        }
    }
}
