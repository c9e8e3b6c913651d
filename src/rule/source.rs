//! A parsed rule file: its text, its syntax tree, and where things stand in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use rhai::{AST, ASTNode, Expr, FnPtr, Module, Position, ScriptFuncDef, Stmt};
use sha2::{Digest, Sha256};

use super::{
    Place, code,
    diagnostic::{Diagnostic, Level},
};

/// The functions and closures of a file, by name and number of parameters.
pub(super) type Functions = BTreeMap<(String, usize), Arc<Function>>;

/// A function, or a closure under the name that Rhai gave it; what a closure captured comes first in `parameters`.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) parameters: Vec<String>,
    pub(super) body: Vec<Stmt>,
    /// Where the body starts and ends; the end is not known of closures.
    pub(super) start: Position,
    pub(super) end: Position,
}

impl Function {
    fn new(definition: &Arc<ScriptFuncDef>) -> Self {
        let mut module = Module::new();
        module.set_script_fn(definition.clone());
        let mut body = Vec::new();
        // Rhai gives the statements of a function to those who walk over them only.
        AST::new_from_module(module).walk(&mut |nodes: &[ASTNode]| {
            if let [ASTNode::Stmt(statement)] = nodes {
                body.push((*statement).clone());
            }
            true
        });
        Function {
            name: definition.name.to_string(),
            parameters: definition.params.iter().map(|name| name.to_string()).collect(),
            body,
            start: definition.body.start_position(),
            end: definition.body.end_position(),
        }
    }
}

pub(super) struct Source {
    pub(super) path: Arc<Path>,
    lines: Vec<String>,
    /// The first 12 hex digits of the text's SHA-256.
    pub(super) version: String,
    pub(super) tokens: Vec<(Position, String)>,
    pub(super) ast: AST,
    pub(super) functions: Functions,
    /// What the file imports: alias and path as written.
    pub(super) imports: Vec<Import>,
    /// Where each closure is written, by the name that Rhai gave it.
    closures: HashMap<String, Position>,
    /// The map literals of `rule(#{…})` calls, by the place of the call.
    pub(super) literals: HashMap<Position, Expr>,
    /// The lists that calls of `list_add` name.
    pub(super) written_lists: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Import {
    pub(super) alias: String,
    pub(super) path: String,
}

impl Source {
    pub(super) fn new(path: &Path, text: &str, mut ast: AST, tokens: Vec<(Position, String)>) -> Self {
        ast.set_source(path.display().to_string());
        let functions = ast
            .iter_fn_def()
            .map(|function| ((function.name.to_string(), function.params.len()), Arc::new(Function::new(function))))
            .collect();
        let (mut literals, mut closures) = (HashMap::new(), HashMap::new());
        let mut written_lists = BTreeSet::new();
        ast.walk(&mut |nodes: &[ASTNode]| {
            if let Some(ASTNode::Expr(Expr::DynamicConstant(value, position))) = nodes.last()
                && let Some(closure) = value.read_lock::<FnPtr>()
            {
                closures.insert(closure.fn_name().to_owned(), *position);
            }
            let call = match nodes.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, position))) => Some((call, position)),
                Some(ASTNode::Stmt(Stmt::FnCall(call, position))) => Some((call, position)),
                _ => None,
            };
            if let Some((call, position)) = call
                && call.name == "rule"
                && let [literal @ Expr::Map(..)] = &call.args[..]
            {
                literals.insert(*position, literal.clone());
            }
            if let Some((call, _)) = call
                && call.name == "list_add"
                && let Some(Expr::StringConstant(list, _)) = call.args.first()
            {
                written_lists.insert(list.to_string());
            }
            true
        });
        let imports = ast.statements().iter().filter_map(import_of).collect();
        let path = path.into();
        let version = hash_of(text)[..12].to_owned();
        let lines = text.lines().map(str::to_owned).collect();
        Source { path, lines, version, tokens, ast, functions, imports, closures, literals, written_lists }
    }

    /// The function or closure of that name; with those parameters, if there is a choice.
    pub(super) fn function(&self, name: &str, parameters: usize) -> Option<&Function> {
        let exact = self.functions.get(&(name.to_owned(), parameters));
        let any = || self.functions.values().find(|function| function.name == name);
        exact.or_else(any).map(|function| &**function)
    }

    pub(super) fn place(&self, position: Position) -> Place {
        place(&self.path, position)
    }

    pub(super) fn diagnostic(
        &self,
        level: Level,
        code: &'static str,
        position: Position,
        message: String,
    ) -> Diagnostic {
        self.diagnostic_at(level, code, self.place(position), message)
    }

    pub(super) fn diagnostic_at(&self, level: Level, code: &'static str, place: Place, message: String) -> Diagnostic {
        let line = self.lines.get(place.line - 1).map_or("", String::as_str);
        diagnostic(line, level, code, place, message)
    }

    /// The tokens of a closure: up to a comma, semicolon or bracket outside of it.
    pub(super) fn closure_tokens(&self, name: &str) -> impl Iterator<Item = &str> {
        let mut depth = 0usize;
        let start = self.closures.get(name).copied();
        start.into_iter().flat_map(|start| self.tokens_from(start)).map(|(_, token)| token.as_str()).take_while(
            move |token| {
                match *token {
                    "(" | "[" | "{" | "#{" => depth += 1,
                    ")" | "]" | "}" if depth == 0 => return false,
                    ")" | "]" | "}" => depth -= 1,
                    "," | ";" if depth == 0 => return false,
                    _ => {}
                }
                true
            },
        )
    }

    /// The tokens of a function's body.
    pub(super) fn body_tokens(&self, function: &Function) -> impl Iterator<Item = &str> {
        let end = function.end;
        self.tokens_from(function.start).take_while(move |(at, _)| *at <= end).map(|(_, token)| token.as_str())
    }

    fn tokens_from(&self, position: Position) -> impl Iterator<Item = &(Position, String)> {
        self.tokens[self.tokens.partition_point(|(at, _)| *at < position)..].iter()
    }
}

fn import_of(statement: &Stmt) -> Option<Import> {
    let Stmt::Import(import, _) = statement else { return None };
    let (Expr::StringConstant(path, _), alias) = &**import else { return None };
    Some(Import { alias: alias.name.to_string(), path: path.to_string() })
}

/// Whether a file is only imported.
pub(super) fn is_library(path: &Path) -> bool {
    path.components().next().is_some_and(|first| first.as_os_str() == "lib")
}

/// Hex SHA-256.
pub(super) fn hash_of(content: impl AsRef<[u8]>) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn place(path: &Path, position: Position) -> Place {
    Place {
        file: PathBuf::from(path),
        line: position.line().unwrap_or(1),
        column: position.position().unwrap_or(1).max(1),
    }
}

/// A finding at a place of a file, whose line there is given; its length is the word, text or symbol that stands there.
pub(super) fn diagnostic(line: &str, level: Level, code: &'static str, place: Place, message: String) -> Diagnostic {
    debug_assert!(code::index_of(code).is_some(), "`{code}` is missing in CODES");
    let source = line.to_owned();
    let length = length_at(source.chars().skip(place.column - 1));
    Diagnostic { level, code, message, place, length, help: None, also: Vec::new(), source }
}

fn length_at(mut rest: impl Iterator<Item = char>) -> usize {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    match rest.next() {
        Some(quote @ ('"' | '`' | '\'')) => {
            let mut escaped = false;
            let end = rest.try_fold(1, |length, char| {
                if char == quote && !escaped {
                    return ControlFlow::Break(length + 1);
                }
                escaped = char == '\\' && !escaped && quote != '`';
                ControlFlow::Continue(length + 1)
            });
            match end {
                ControlFlow::Break(length) | ControlFlow::Continue(length) => length,
            }
        }
        Some(char) if is_word(char) => 1 + rest.take_while(|char| is_word(*char)).count(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_as_long_as_the_word_or_text_there() {
        let length = |text: &str| length_at(text.chars());
        assert_eq!(length("severity: 1"), 8);
        assert_eq!(length(r#""a\"b", 1"#), 6);
        assert_eq!(length("== 1"), 1);
        assert_eq!(length(""), 1);
    }
}
