//! Conditions: `1 of selection* and not (filter or keywords)`.

/// A condition over the detections of a rule, globs written out.
#[derive(Debug, Clone)]
pub enum Condition {
    Detection(String),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

impl Condition {
    /// # Errors
    /// Where the text is no condition over `names`.
    pub fn read(text: &str, names: &[&str]) -> Result<Self, String> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut reader = Reader { words: &words, at: 0, names };
        let condition = reader.any()?;
        if reader.at == words.len() { Ok(condition) } else { Err(format!("`{text}` goes on after its end")) }
    }

    pub fn holds(&self, detection: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Condition::Detection(name) => detection(name),
            Condition::Not(inner) => !inner.holds(detection),
            Condition::All(inner) => inner.iter().all(|inner| inner.holds(detection)),
            Condition::Any(inner) => inner.iter().any(|inner| inner.holds(detection)),
        }
    }
}

struct Reader<'a> {
    words: &'a [&'a str],
    at: usize,
    names: &'a [&'a str],
}

impl<'a> Reader<'a> {
    fn word(&self) -> &'a str {
        self.words.get(self.at).copied().unwrap_or_default()
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_there = self.word().eq_ignore_ascii_case(word);
        self.at += usize::from(is_there);
        is_there
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.takes("or") {
            parts.push(self.all()?);
        }
        Ok(Condition::Any(parts))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.not()?];
        while self.takes("and") {
            parts.push(self.not()?);
        }
        Ok(Condition::All(parts))
    }

    fn not(&mut self) -> Result<Condition, String> {
        if self.takes("not") {
            return Ok(Condition::Not(Box::new(self.not()?)));
        }
        if self.takes("(") {
            let inner = self.any()?;
            return if self.takes(")") { Ok(inner) } else { Err("a parenthesis is open".to_owned()) };
        }
        let word = self.word();
        let is_of = self.words.get(self.at + 1).is_some_and(|next| next.eq_ignore_ascii_case("of"));
        self.at += 1;
        if is_of && ["1", "any", "all"].contains(&word) {
            self.at += 1;
            let parts = self.of(self.word())?;
            self.at += 1;
            return Ok(if word == "all" { Condition::All(parts) } else { Condition::Any(parts) });
        }
        if self.names.contains(&word) {
            Ok(Condition::Detection(word.to_owned()))
        } else {
            Err(format!("`{word}` is no detection"))
        }
    }

    /// The detections that `them` or a glob stands for.
    fn of(&self, which: &str) -> Result<Vec<Condition>, String> {
        // A name that starts with `_` is meant only by a glob that does.
        let is_open = |name: &str| !name.starts_with('_') || which.starts_with('_');
        let is_meant = |name: &&&str| is_open(name) && (which == "them" || globs(which.as_bytes(), name.as_bytes()));
        let parts: Vec<Condition> =
            self.names.iter().filter(is_meant).map(|name| Condition::Detection((*name).to_owned())).collect();
        if parts.is_empty() { Err(format!("no detection is like `{which}`")) } else { Ok(parts) }
    }
}

fn globs(glob: &[u8], name: &[u8]) -> bool {
    match glob.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skipped| globs(rest, &name[skipped..])),
        Some((letter, rest)) => name.first() == Some(letter) && globs(rest, &name[1..]),
    }
}
