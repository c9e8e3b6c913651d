//! What Rhai's tokenizer is told, so that every word after a dot is a field.
//!
//! Rhai reserves words (`module`, `thread`, `as`) that are names of fields, and writes `x in y` as the call
//! `contains(y, x)`, the name of the text test. So words after a dot and keys of maps become plain identifiers, and a
//! written `contains` gets a name of its own.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use rhai::{Engine, LexError, Position, Token};

/// The name that a written `contains` has in syntax trees.
pub(super) const CONTAINS: &str = "contains$";

/// As the author wrote it.
pub(super) fn written(text: &str) -> Cow<'_, str> {
    if text.contains(CONTAINS) { text.replace(CONTAINS, "contains").into() } else { text.into() }
}

/// The word that was written for a name in a syntax tree.
pub(super) fn as_written(name: &str) -> &str {
    if name == CONTAINS { "contains" } else { name }
}

/// The name that a written word has in syntax trees.
pub(super) fn in_tree(word: &str) -> &str {
    if word == "contains" { CONTAINS } else { word }
}

/// The words that follow a dot in the files read so far: the names of fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    after_dot: bool,
    /// After a word of Rhai's own that is a name here.
    after_name: bool,
    /// Where a map's next key has to stand.
    at_key: bool,
    /// The brackets that are open, innermost last.
    open: Vec<Bracket>,
    names: BTreeSet<String>,
    log: Vec<(Position, String)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bracket {
    is_map: bool,
    /// Links of the chain being read inside of it: `a.b(c)[d]`.
    links: usize,
}

impl Tokens {
    /// Has the engine's tokenizer call this. One text is parsed at a time, each after a [`Tokens::restart`].
    pub(super) fn attach(&self, engine: &mut Engine, chain_max: usize) {
        let state = self.0.clone();
        #[expect(deprecated, reason = "Rhai marks it as volatile, not as going away")]
        engine.on_parse_token(move |token, position, _| {
            state.lock().unwrap_or_else(PoisonError::into_inner).map(token, position, chain_max)
        });
    }

    /// Forgets the text before; field names stay.
    pub(super) fn restart(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { names: std::mem::take(&mut state.names), ..State::default() };
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).names.clone()
    }

    /// The tokens of the text read last, in order.
    pub(super) fn take_log(&self) -> Vec<(Position, String)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).log)
    }
}

impl State {
    fn map(&mut self, token: Token, position: Position, chain_max: usize) -> Token {
        let was = std::mem::discriminant(&token);
        let token = if self.after_dot || self.at_key { as_name(token) } else { token };
        let after_name = std::mem::replace(&mut self.after_name, was != std::mem::discriminant(&token));
        let token = match token {
            // Rhai takes a sign after one of its keywords for that of a number.
            Token::UnaryMinus if after_name => Token::Minus,
            Token::UnaryPlus if after_name => Token::Plus,
            Token::Identifier(name) if *name == "contains" => Token::Identifier(Box::new(CONTAINS.into())),
            Token::Reserved(name) if *name == "eval" => forbidden("eval", "scripts don't make scripts"),
            token => token,
        };
        if self.after_dot
            && let Token::Identifier(name) = &token
        {
            self.names.insert(written(name).into_owned());
        }
        self.after_dot = matches!(token, Token::Period | Token::Elvis);
        let links = self.count_links(&token);
        let in_map = self.open.last().is_some_and(|bracket| bracket.is_map);
        self.at_key = in_map && matches!(token, Token::MapStart | Token::Comma);
        self.log.push((position, token.to_string()));
        if links > chain_max {
            return forbidden(".", &format!("a chain of more than {chain_max} fields"));
        }
        token
    }

    /// Links so far of the chain that the token is part of.
    fn count_links(&mut self, token: &Token) -> usize {
        if self.open.is_empty() {
            self.open.push(Bracket::default());
        }
        let here = self.open.len() - 1;
        match token {
            Token::Period | Token::Elvis => self.open[here].links += 1,
            Token::LeftBracket | Token::QuestionBracket => {
                self.open[here].links += 1;
                self.open.push(Bracket::default());
            }
            Token::MapStart => self.open.push(Bracket { is_map: true, links: 0 }),
            Token::LeftParen | Token::LeftBrace => self.open.push(Bracket::default()),
            Token::RightParen | Token::RightBrace | Token::RightBracket => {
                self.open.pop();
            }
            Token::Identifier(_) | Token::StringConstant(_) | Token::Unit | Token::DoubleColon => {}
            _ => self.open[here].links = 0,
        }
        self.open.last().map_or(0, |bracket| bracket.links)
    }
}

/// A word after a dot, or where a key stands, is a name, whatever Rhai keeps it for.
fn as_name(token: Token) -> Token {
    let name = match &token {
        Token::Reserved(name) => name.to_string(),
        Token::LexError(error) => match &**error {
            LexError::ImproperSymbol(name, _) => name.clone(),
            _ => return token,
        },
        Token::True => "true".to_owned(),
        Token::False => "false".to_owned(),
        token if token.is_standard_keyword() => token.literal_syntax().to_owned(),
        _ => return token,
    };
    if rhai::is_valid_identifier(&name) { Token::Identifier(Box::new(name.as_str().into())) } else { token }
}

fn forbidden(symbol: &str, why: &str) -> Token {
    Token::LexError(Box::new(LexError::ImproperSymbol(symbol.to_owned(), why.to_owned())))
}
