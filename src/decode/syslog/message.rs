//! What follows the time of a line: host, tag and message as RFC 3164 has them, or the header of RFC 5424.
//!
//! RFC 3164 describes what was seen, so much is optional: a single word before a colon may be the host or the
//! program, `-` stands for nothing, and what is no structured data is part of the message.

use std::net::IpAddr;

use super::structured;

/// What the grammars call space.
pub const BLANKS: [char; 2] = [' ', '\t'];

/// The parts of a line after its time; what the line leaves out is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Message<'a> {
    pub host: Option<&'a str>,
    pub app: Option<&'a str>,
    pub process: Option<&'a str>,
    pub id: Option<&'a str>,
    /// Elements of structured data, one after another.
    pub structured: &'a str,
    pub text: &'a str,
}

impl<'a> Message<'a> {
    /// Of a line in the way of RFC 3164; `rest` is what follows the time.
    pub fn rfc_3164(rest: &'a str) -> Self {
        let (first, second, left) = words(rest);
        let (structured, text) = structured_and_text(rest, left);
        let message = Message { structured, text, ..Message::default() };
        match (first, second) {
            (Word::Missing | Word::Nil, Word::Missing) | (_, Word::Nil) => message,
            (Word::Is(word), Word::Missing) => {
                let of_program = |(app, process)| Message { app: Some(app), process: Some(process), ..message };
                let is_program = left.starts_with(':') && word.parse::<IpAddr>().is_err();
                with_process(word).map(of_program).unwrap_or(match is_program {
                    true => Message { app: Some(word), ..message },
                    false => Message { host: Some(word), ..message },
                })
            }
            (host, Word::Is(tag)) => {
                let (app, process) = with_process(tag).map_or((tag, None), |(app, process)| (app, Some(process)));
                Message { host: host.named(), app: Some(app), process, ..message }
            }
        }
    }

    /// Of a line of RFC 5424; `None` when the header is broken.
    pub fn rfc_5424(rest: &'a str) -> Option<Self> {
        if rest.is_empty() {
            return None;
        }
        let (host, left) = header_word(rest)?;
        if host.ends_with(':') {
            return None;
        }
        let (app, left) = header_word(after_blanks(left)?)?;
        let (process, left) = header_word(after_blanks(left)?)?;
        let (id, left) = header_word(after_blanks(left)?)?;
        let left = left.trim_start_matches(BLANKS);
        let (structured, left) = match left.strip_prefix('-') {
            Some(left) => ("", left),
            None => left.split_at(structured::length(left, false)?),
        };
        let named = |word: &'a str| (word != "-").then_some(word);
        Some(Message {
            host: named(host),
            app: named(app),
            process: named(process),
            id: named(id),
            structured,
            text: left.trim_start_matches(BLANKS),
        })
    }
}

/// A word where a line may name something.
#[derive(Debug, Clone, Copy)]
enum Word<'a> {
    Missing,
    /// `-`
    Nil,
    Is(&'a str),
}

impl<'a> Word<'a> {
    fn named(self) -> Option<&'a str> {
        if let Word::Is(word) = self { Some(word) } else { None }
    }
}

/// The one or two words before the message, and what follows them. The first may hold colons, as an IPv6 address
/// does, but for the last of it; the second ends at one.
fn words(rest: &str) -> (Word<'_>, Word<'_>, &str) {
    let start = rest.strip_prefix(' ').unwrap_or(rest);
    let word = &start[..start.find(char::is_whitespace).unwrap_or(start.len())];
    let (first, left) = match word {
        "" | ":" => return (Word::Missing, Word::Missing, rest),
        "-" => (Word::Nil, &start[1..]),
        word => {
            let word = word.strip_suffix(':').unwrap_or(word);
            (Word::Is(word), &start[word.len()..])
        }
    };
    let Some(start) = left.strip_prefix(' ') else { return (first, Word::Missing, left) };
    let word = &start[..start.find(|c: char| c == ':' || c.is_whitespace()).unwrap_or(start.len())];
    match word {
        "" => (first, Word::Missing, left),
        "-" => (first, Word::Nil, &start[1..]),
        word => (first, Word::Is(word), &start[word.len()..]),
    }
}

/// `sshd[12]`: the program and its process.
fn with_process(tag: &str) -> Option<(&str, &str)> {
    let (app, process) = tag.strip_suffix(']')?.split_once('[')?;
    (!process.is_empty() && !process.contains(']') && !app.contains(':')).then_some((app, process))
}

/// What follows the words of RFC 3164. A dash is text there, not structured data that is left out.
fn structured_and_text<'a>(rest: &'a str, left: &'a str) -> (&'a str, &'a str) {
    let left = left.trim_start_matches(BLANKS);
    let left = left.strip_prefix(':').unwrap_or(left).trim_start_matches(BLANKS);
    if left.starts_with('-') {
        return ("", left);
    }
    let (structured, text) = left.split_at(structured::length(left, true).unwrap_or(0));
    let text = text.trim_start_matches(BLANKS);
    let before = rest[..rest.len() - text.len()].trim_end();
    // the nil word of a line that has only that before the message
    if structured.is_empty() && (before.ends_with(" -") || before.ends_with(":-") || before == "-") {
        return ("", &rest[before.len() - 1..]);
    }
    (structured, text)
}

/// A word of the header of RFC 5424, and what follows.
fn header_word(left: &str) -> Option<(&str, &str)> {
    let left = left.trim_start_matches(BLANKS);
    let (word, left) = left.split_at(left.find(char::is_whitespace).unwrap_or(left.len()));
    (!word.is_empty() && word != ":").then_some((word, left))
}

/// What follows at least one blank.
fn after_blanks(left: &str) -> Option<&str> {
    left.starts_with(BLANKS).then(|| left.trim_start_matches(BLANKS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use syslog_loose::{Message as Loose, ProcId, Variant};

    use super::*;

    /// What `syslog_loose` makes of the same, its nil time in front.
    fn loose(line: &str, variant: Variant) -> Option<Loose<&str>> {
        syslog_loose::parse_message_with_year_exact(line, |_| 2000, variant).ok()
    }

    fn agrees(own: Message<'_>, loose: &Loose<&str>, text: &str) -> Result<(), TestCaseError> {
        prop_assert_eq!(own.app, loose.appname);
        prop_assert_eq!(own.id, loose.msgid);
        let process = own.process.map(ProcId::from);
        prop_assert_eq!(&process, &loose.procid);
        let own: Vec<_> = structured::parameters(own.structured).collect();
        let elements = loose.structured_data.iter();
        let theirs: Vec<_> = elements
            .flat_map(|element| element.params.iter().map(|(name, value)| (element.id, *name, *value)))
            .collect();
        prop_assert_eq!(own, theirs);
        prop_assert_eq!(text, loose.msg);
        Ok(())
    }

    const WORDS: &str = "(- |: | |\t|[a-c]{1,2} |[a-c]{1,2}:|[a-c]\\[[0-9]{1,2}\\]:? |\\[a|\\]|=|\"|\\\\|\\[a b=\"[a-c\\\\\\]]{0,3}\"\\]|\\[x@1\\]|\\[\\]|::1 |é| c=\"\"){0,9}";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_line_of_rfc_3164_reads_as_another_reader_reads_it(rest in WORDS) {
            let rest = rest.trim_end();
            let blank = if rest.is_empty() || rest.starts_with(' ') { "" } else { " " };
            let line = format!("-{blank}{rest}");
            let loose = loose(&line, Variant::RFC3164).expect("every line is one");
            let own = Message::rfc_3164(rest);
            // on purpose: a dash is text, and a word before a colon is a program
            let dashless = own.text.strip_prefix('-').filter(|_| own.structured.is_empty());
            let text = dashless.map_or(own.text, |text| text.trim_start_matches(BLANKS));
            let named = own.host.or(own.app.filter(|_| loose.appname.is_none()));
            prop_assert_eq!(named, loose.hostname);
            let own = Message { app: own.app.filter(|_| loose.appname.is_some()), ..own };
            agrees(own, &loose, text)?;
        }

        #[test]
        fn a_line_of_rfc_5424_reads_as_another_reader_reads_it(rest in WORDS) {
            let rest = rest.trim_end();
            let blank = if rest.is_empty() || rest.starts_with(' ') { "" } else { " " };
            let line = format!("<34>1 -{blank}{rest}");
            let loose = loose(&line, Variant::RFC5424);
            let own = Message::rfc_5424(rest);
            prop_assert_eq!(own.is_some(), loose.is_some());
            if let (Some(own), Some(loose)) = (own, loose) {
                prop_assert_eq!(own.host, loose.hostname);
                agrees(own, &loose, own.text)?;
            }
        }
    }
}
