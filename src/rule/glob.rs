//! Patterns with wildcards: `*` is any text, `?` one character, `\*` `\?` `\\` are themselves, as is any other
//! backslash.

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Glob {
    Any,
    One,
    Char(char),
}

/// A pattern, ready to be asked often. Asking takes no memory, and time that grows with the product of both lengths
/// at worst.
#[derive(Debug, Clone)]
pub(super) struct GlobPattern {
    globs: Box<[Glob]>,
    ignore_case: bool,
}

impl GlobPattern {
    pub(super) fn new(pattern: &str, ignore_case: bool) -> Self {
        GlobPattern { globs: globs(pattern).into(), ignore_case }
    }

    /// Whether the whole text is like the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut glob = 0;
        // Where to go on when what follows the last `*` did not fit: one character later.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            let Some(char) = rest.next() else { break };
            match self.globs.get(glob) {
                Some(Glob::Any) => {
                    glob += 1;
                    retry = Some((glob, before.clone()));
                    rest = before;
                }
                Some(Glob::One) => glob += 1,
                Some(Glob::Char(wanted)) if self.is_letter(*wanted, char) => glob += 1,
                _ => {
                    let Some((after_star, from)) = &mut retry else { return false };
                    from.next();
                    (glob, rest) = (*after_star, from.clone());
                }
            }
        }
        self.globs[glob..].iter().all(|glob| *glob == Glob::Any)
    }

    /// The texts between its wildcards: what the pattern matches has them in this order, one behind the other.
    pub(super) fn pieces(&self) -> impl Iterator<Item = String> {
        let char = |glob: &Glob| if let Glob::Char(char) = glob { Some(*char) } else { None };
        let pieces = self.globs.split(move |glob| char(glob).is_none());
        pieces.filter(|piece| !piece.is_empty()).map(move |piece| piece.iter().filter_map(char).collect())
    }

    fn is_letter(&self, wanted: char, char: char) -> bool {
        if wanted.is_ascii() && char.is_ascii() {
            return wanted == char || self.ignore_case && wanted.eq_ignore_ascii_case(&char);
        }
        wanted == char || self.ignore_case && wanted.to_lowercase().eq(char.to_lowercase())
    }
}

/// The parts of a pattern, no two `*` side by side.
pub(super) fn globs(pattern: &str) -> Vec<Glob> {
    let mut globs = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        globs.push(match char {
            '*' => Glob::Any,
            '?' => Glob::One,
            '\\' => Glob::Char(chars.next_if(|next| matches!(next, '*' | '?' | '\\')).unwrap_or('\\')),
            char => Glob::Char(char),
        });
    }
    globs.dedup_by(|next, kept| *next == Glob::Any && *kept == Glob::Any);
    globs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        GlobPattern::new(pattern, true).matches(text)
    }

    #[test]
    fn takes_the_whole_value_and_ignores_case() {
        assert!(like(r"C:\Windows\CMD.exe", r"*\cmd.exe"));
        assert!(!like(r"C:\Windows\cmd.exe.txt", r"*\cmd.exe"));
        assert!(like("a*b", r"a\*b") && !like("axb", r"a\*b"));
        assert!(like(r"a\b", r"a\\b") && like(r"a\b", r"a\b"));
        assert!(like("ö", "?") && like("ÄB", "äb") && like("", "*") && like("", "**") && !like("", "?"));
        assert!(like("mississippi", "m*iss*pi") && !like("mississippi", "m*iss*pa"));
    }

    #[test]
    fn keeps_case_where_it_counts() {
        assert!(GlobPattern::new("a*C", false).matches("abC"));
        assert!(!GlobPattern::new("a*C", false).matches("abc"));
    }
}
