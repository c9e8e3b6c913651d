//! From a predicate's syntax tree to a tree of tests that runs without Rhai.
//!
//! Lowered are tests of fields against literals (written, or captured), `&&`, `||`, `!`, and calls of functions that
//! consist of these. Whatever else is in a closure, it stays a script as a whole.

use std::sync::Arc;

use rhai::{Dynamic, Expr, FnCallExpr, FnPtr, Stmt};

use super::{
    Predicate,
    analysis::Library,
    bound::literal_of,
    compare::Comparison,
    field_test::{Asks, FieldTest, Literal, OneOf, Pattern},
    source::{Function, Source},
    term::Term,
    text::{Network, TextTest},
    token::as_written,
};

/// Functions inside functions; what calls itself is never lowered.
const DEPTH_MAX: usize = 8;

/// The same answers as the closure gives, or `None` where it stays a script.
pub(super) fn lower(source: &Source, library: &Library<'_>, closure: &FnPtr) -> Option<Predicate> {
    let captured: Vec<Bound> = closure.iter_curry().map(Bound::of).collect::<Option<_>>()?;
    let function = source.function(closure.fn_name(), captured.len() + 1)?;
    let arguments = captured.into_iter().chain([Bound::Event(String::new())]);
    Lowering { library, source, variables: bind(function, arguments), depth: 0 }.body(function)
}

/// What a parameter stands for.
#[derive(Debug, Clone)]
enum Bound {
    /// A field of the event; the event itself where the path is empty.
    Event(String),
    Literal(Literal),
    List(Vec<Literal>),
}

impl Bound {
    fn of(value: &Dynamic) -> Option<Self> {
        match value.read_lock::<rhai::Array>() {
            Some(items) => items.iter().map(literal_of).collect::<Option<_>>().map(Bound::List),
            None => literal_of(value).map(Bound::Literal),
        }
    }
}

fn bind(function: &Function, arguments: impl Iterator<Item = Bound>) -> Vec<(&str, Bound)> {
    function.parameters.iter().map(String::as_str).zip(arguments).collect()
}

struct Lowering<'a> {
    library: &'a Library<'a>,
    source: &'a Source,
    variables: Vec<(&'a str, Bound)>,
    depth: usize,
}

impl<'a> Lowering<'a> {
    fn body(&self, function: &Function) -> Option<Predicate> {
        match &function.body[..] {
            [statement] if function.parameters.len() == self.variables.len() => self.statement(statement),
            _ => None,
        }
    }

    fn statement(&self, statement: &Stmt) -> Option<Predicate> {
        match statement {
            Stmt::Expr(expression) => self.test(expression),
            Stmt::FnCall(call, _) => self.call(call),
            Stmt::Block(block) => match block.statements() {
                [statement] => self.statement(statement),
                _ => None,
            },
            _ => None,
        }
    }

    fn test(&self, expression: &Expr) -> Option<Predicate> {
        match expression {
            Expr::BoolConstant(value, _) => Some(Predicate::Constant(*value)),
            Expr::And(parts, _) => parts.iter().map(|part| self.test(part)).collect::<Option<_>>().map(Predicate::All),
            Expr::Or(parts, _) => parts.iter().map(|part| self.test(part)).collect::<Option<_>>().map(Predicate::Any),
            Expr::FnCall(call, _) => self.call(call),
            Expr::Stmt(block) => match block.statements() {
                [statement] => self.statement(statement),
                _ => None,
            },
            Expr::Dot(..) | Expr::Index(..) => self.method(expression),
            _ => None,
        }
    }

    fn call(&self, call: &FnCallExpr) -> Option<Predicate> {
        let name = call.name.as_str();
        if call.is_operator_call() || name == "contains" {
            return self.operator(name, &call.args);
        }
        let source = match call.namespace.is_empty() {
            true => self.source,
            false => {
                let alias = call.namespace.root();
                let import = self.source.imports.iter().find(|import| import.alias == alias)?;
                self.library.get(&import.path)?
            }
        };
        if let Some(function) = source.functions.get(&(name.to_owned(), call.args.len())) {
            let arguments: Vec<Bound> = call.args.iter().map(|argument| self.bound(argument)).collect::<Option<_>>()?;
            let variables = bind(function, arguments.into_iter());
            let inner = Lowering { library: self.library, source, variables, depth: self.depth + 1 };
            return if inner.depth > DEPTH_MAX { None } else { inner.body(function) };
        }
        let (first, rest) = call.args.split_first()?;
        if call.namespace.is_empty() { self.function(name, self.path(first)?, rest) } else { None }
    }

    fn operator(&self, name: &str, operands: &[Expr]) -> Option<Predicate> {
        match (name, operands) {
            ("!", [operand]) => self.test(operand).map(|part| Predicate::Not(Box::new(part))),
            ("contains", [list, item]) => match (self.bound(list)?, self.bound(item)?) {
                (Bound::List(list), Bound::Event(path)) => field(path, Asks::In(OneOf::new(list))),
                (Bound::Event(path), Bound::Literal(item)) => field(path, Asks::Compare(Comparison::Equal, item)),
                _ => None,
            },
            (name, [left, right]) => {
                let (_, comparison) = *Comparison::ALL.iter().find(|(operator, _)| *operator == name)?;
                match (self.bound(left)?, self.bound(right)?) {
                    (Bound::Event(path), Bound::Literal(literal)) => field(path, Asks::Compare(comparison, literal)),
                    (Bound::Literal(literal), Bound::Event(path)) => {
                        field(path, Asks::Compare(comparison.swapped(), literal))
                    }
                    (Bound::Event(left), Bound::Event(right)) if !right.is_empty() => {
                        field(left, Asks::CompareWith(comparison, Term::Field(right.into())))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// `e.a.b.test(…)`
    fn method(&self, chain: &Expr) -> Option<Predicate> {
        let (path, last) = self.walk(chain)?;
        let Some(Expr::MethodCall(call, _)) = last else { return None };
        let name = call.name.as_str();
        let is_own = self.source.functions.keys().any(|(own, _)| own == name);
        if is_own { None } else { self.function(name, path, &call.args) }
    }

    fn function(&self, name: &str, path: String, arguments: &[Expr]) -> Option<Predicate> {
        if let Some((_, test, ignore_case)) = TextTest::NAMED.iter().find(|(known, ..)| *known == name) {
            let [wanted] = arguments else { return None };
            return field(path, Asks::text(*test, *ignore_case, &self.text(wanted)?));
        }
        match (name, arguments) {
            ("exists", []) => field(path, Asks::Exists),
            ("matches", [pattern]) => field(path, Asks::Matches(Pattern::new(&self.text(pattern)?).ok()?)),
            ("cidr", [_, ..]) => {
                let networks = arguments.iter().map(|network| Network::parse(&self.text(network)?));
                field(path, Asks::Cidr(networks.collect::<Option<_>>()?))
            }
            _ => None,
        }
    }

    fn text(&self, expression: &Expr) -> Option<Arc<str>> {
        match self.bound(expression)? {
            Bound::Literal(Literal::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn path(&self, expression: &Expr) -> Option<String> {
        match self.bound(expression)? {
            Bound::Event(path) => Some(path),
            _ => None,
        }
    }

    fn bound(&self, expression: &Expr) -> Option<Bound> {
        match expression {
            Expr::Variable(variable, ..) if variable.2.is_empty() => {
                let name = variable.1.as_str();
                self.variables.iter().find(|(known, _)| *known == name).map(|(_, bound)| bound.clone())
            }
            Expr::Dot(..) | Expr::Index(..) => match self.walk(expression)? {
                (path, None) => Some(Bound::Event(path)),
                _ => None,
            },
            Expr::Array(items, _) => {
                let literals = items.iter().map(|item| match self.bound(item)? {
                    Bound::Literal(literal) => Some(literal),
                    _ => None,
                });
                literals.collect::<Option<_>>().map(Bound::List)
            }
            Expr::IntegerConstant(..) | Expr::FloatConstant(..) | Expr::BoolConstant(..) | Expr::CharConstant(..) => {
                literal_of(&expression.get_literal_value(None)?).map(Bound::Literal)
            }
            Expr::StringConstant(text, _) => Some(Bound::Literal(Literal::Text(text.as_str().into()))),
            _ => None,
        }
    }

    /// Follows a chain of names from a field of the event: its path, and the call that it may end with.
    fn walk<'e>(&self, chain: &'e Expr) -> Option<(String, Option<&'e Expr>)> {
        let (Expr::Dot(first, ..) | Expr::Index(first, ..)) = chain else { return None };
        let mut path = self.path(&first.lhs)?;
        let mut link = chain;
        loop {
            let (is_dot, pair, ends) = match link {
                Expr::Dot(pair, flags, _) => (true, pair, flags.contains(rhai::ASTFlags::BREAK)),
                Expr::Index(pair, flags, _) => (false, pair, flags.contains(rhai::ASTFlags::BREAK)),
                _ => return None,
            };
            let next = match &pair.rhs {
                Expr::Dot(next, ..) | Expr::Index(next, ..) if !ends => Some(&next.lhs),
                _ => None,
            };
            match (is_dot, next.unwrap_or(&pair.rhs)) {
                (true, Expr::Property(name, _)) => extend(&mut path, as_written(&name.2)),
                (true, call @ Expr::MethodCall(..)) if next.is_none() => return Some((path, Some(call))),
                (false, Expr::StringConstant(name, _)) => extend(&mut path, name),
                _ => return None,
            }
            if next.is_none() {
                return Some((path, None));
            }
            link = &pair.rhs;
        }
    }
}

fn extend(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// A test of a field; of the event as a whole there is none.
fn field(path: String, asks: Asks) -> Option<Predicate> {
    (!path.is_empty()).then(|| Predicate::Field(FieldTest { path: path.into(), asks }))
}
