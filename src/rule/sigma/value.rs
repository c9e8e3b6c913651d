//! A text of a rule as Sigma reads it: pieces of plain text between wildcards and placeholders.
//!
//! `*` is any text and `?` one character; a backslash takes the meaning from these and from a backslash, and before
//! anything else is itself (specification, "Escape Character").

use std::fmt;

/// A piece of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Piece {
    Plain(String),
    /// Bytes that an encoding gave, for the encoding that has to follow.
    Bytes(Vec<u8>),
    /// `*`
    Any,
    /// `?`
    One,
    /// `%name%` under `expand`, until a pipeline says what it is.
    Placeholder(String),
}

/// A text in pieces; no two plain ones stand side by side, and none is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Text {
    pieces: Vec<Piece>,
}

impl Text {
    /// Reads wildcards and escapes.
    pub fn parse(written: &str) -> Self {
        let mut text = Text::default();
        let mut chars = written.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '*' => text.push(Piece::Any),
                '?' => text.push(Piece::One),
                '\\' => text.push_char(chars.next_if(|next| matches!(next, '*' | '?' | '\\')).unwrap_or('\\')),
                char => text.push_char(char),
            }
        }
        text
    }

    /// A text without wildcards, as it is.
    pub fn plain(text: &str) -> Self {
        Text::of([Piece::Plain(text.to_owned())])
    }

    pub fn of(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut text = Text::default();
        pieces.into_iter().for_each(|piece| text.push(piece));
        text
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub fn push(&mut self, piece: Piece) {
        match (self.pieces.last_mut(), piece) {
            (Some(Piece::Plain(last)), Piece::Plain(more)) => last.push_str(&more),
            (Some(Piece::Bytes(last)), Piece::Bytes(more)) => last.extend(more),
            (_, Piece::Plain(empty)) if empty.is_empty() => {}
            (_, piece) => self.pieces.push(piece),
        }
    }

    fn push_char(&mut self, char: char) {
        match self.pieces.last_mut() {
            Some(Piece::Plain(last)) => last.push(char),
            _ => self.pieces.push(Piece::Plain(char.to_string())),
        }
    }

    /// The text where it has neither wildcards nor placeholders.
    pub fn as_plain(&self) -> Option<&str> {
        match &self.pieces[..] {
            [] => Some(""),
            [Piece::Plain(text)] => Some(text),
            _ => None,
        }
    }

    pub fn has_wildcards(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Any | Piece::One))
    }

    /// The first placeholder in it.
    pub fn placeholder(&self) -> Option<&str> {
        self.pieces.iter().find_map(|piece| if let Piece::Placeholder(name) = piece { Some(&**name) } else { None })
    }

    /// With what encodings made of it as plain text; `None` where that is no text.
    pub fn without_bytes(&self) -> Option<Self> {
        let piece = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => String::from_utf8(bytes.clone()).ok().map(Piece::Plain),
            piece => Some(piece.clone()),
        };
        Some(Text::of(self.pieces.iter().map(piece).collect::<Option<Vec<_>>>()?))
    }

    /// With any text before it.
    #[must_use]
    pub fn after_any(mut self) -> Self {
        if self.pieces.first() != Some(&Piece::Any) {
            self.pieces.insert(0, Piece::Any);
        }
        self
    }

    /// With any text after it.
    #[must_use]
    pub fn before_any(mut self) -> Self {
        if self.pieces.last() != Some(&Piece::Any) {
            self.pieces.push(Piece::Any);
        }
        self
    }

    /// `%name%` becomes a placeholder; `\%` is a per cent sign.
    #[must_use]
    pub fn with_placeholders(self) -> Self {
        let mut text = Text::default();
        for piece in self.pieces {
            match piece {
                Piece::Plain(plain) => placeholders(&plain, &mut text),
                piece => text.push(piece),
            }
        }
        text
    }
}

fn placeholders(plain: &str, text: &mut Text) {
    let mut rest = plain;
    while let Some(char) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\\%") {
            text.push_char('%');
            rest = after;
            continue;
        }
        let named =
            rest.strip_prefix('%').and_then(|inside| inside.split_once('%')).filter(|(name, _)| !name.is_empty());
        if let Some((name, after)) = named {
            text.push(Piece::Placeholder(name.to_owned()));
            rest = after;
        } else {
            text.push_char(char);
            rest = &rest[char.len_utf8()..];
        }
    }
}

/// As a rule would write it, wildcards and escapes included: reading it gives the same text.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Plain(plain) => f.write_str(&escaped(plain))?,
                Piece::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes))?,
                Piece::Any => f.write_str("*")?,
                Piece::One => f.write_str("?")?,
                Piece::Placeholder(name) => write!(f, "%{name}%")?,
            }
        }
        Ok(())
    }
}

/// Plain text with a backslash before all that would mean something else.
pub fn escaped(plain: &str) -> String {
    let mut escaped = String::with_capacity(plain.len());
    for char in plain.chars() {
        if matches!(char, '*' | '?' | '\\') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Piece {
        Piece::Plain(text.to_owned())
    }

    #[test]
    fn backslashes_escape_as_the_specification_lists_it() {
        let pieces = |written: &str| Text::parse(written).pieces;
        assert_eq!(pieces(r"C:\Windows\x"), [plain(r"C:\Windows\x")]);
        assert_eq!(pieces(r"a\\b"), [plain(r"a\b")]);
        assert_eq!(pieces(r"a\*b"), [plain("a*b")]);
        assert_eq!(pieces(r"a\\*"), [plain(r"a\"), Piece::Any]);
        assert_eq!(pieces(r"a\\\*"), [plain(r"a\*")]);
        assert_eq!((pieces(r"\\\\x"), pieces(r"\\\x")), (vec![plain(r"\\x")], vec![plain(r"\\x")]));
        assert_eq!(pieces(r"x\"), [plain(r"x\")]);
        assert_eq!(pieces("a?b*"), [plain("a"), Piece::One, plain("b"), Piece::Any]);
        assert!(pieces("").is_empty());
    }

    #[test]
    fn what_is_shown_reads_as_the_same_text() {
        for written in [r"*\cmd.exe", r"a\*b?\\*", "", r"\\\\host\share", r"\?"] {
            let text = Text::parse(written);
            assert_eq!(Text::parse(&text.to_string()), text, "{written}");
        }
    }

    #[test]
    fn placeholders_stand_between_per_cent_signs() {
        let pieces = |written: &str| Text::parse(written).with_placeholders().pieces;
        assert_eq!(pieces("%name%"), [Piece::Placeholder("name".into())]);
        assert_eq!(pieces(r"\%plain%name%x"), [plain("%plain"), Piece::Placeholder("name".into()), plain("x")]);
        assert_eq!(pieces("100% of 5"), [plain("100% of 5")]);
        assert_eq!(pieces("%%"), [plain("%%")]);
    }
}
