//! From the syntax tree of a window closure to tests of aggregates that run without Rhai.
//!
//! Lowered are comparisons of aggregates with numbers (written, or captured) and with each other, `exists`, `&&`,
//! `||`, `!`, `let`, and calls of functions that consist of these. Of a closure that has more, the tests that lead it
//! go before the script; the script then asks all of it.

use std::sync::Arc;

use rhai::{ASTFlags, Dynamic, Expr, FnCallExpr, FnPtr, ImmutableString, Stmt};

use super::{
    ALL, Aggregates, Amount, Num, Statistic, WindowScript, WindowTest, WindowValue,
    analysis::Beside,
    compare::Comparison,
    duration,
    source::{Function, Source},
    token::as_written,
};

/// Functions and expressions inside each other; what calls itself is never lowered.
const DEPTH_MAX: usize = 40;

/// What a part of a closure stands for.
#[derive(Debug)]
enum Term {
    Window,
    Pattern(usize),
    /// The events of all patterns together.
    All,
    Amount(Amount),
    Text(String),
    Test(WindowTest),
}

/// A closure of a rule with these patterns and aggregates.
pub(super) struct WindowLowering<'a> {
    pub(super) beside: &'a Beside<'a>,
    pub(super) patterns: &'a [Arc<str>],
    pub(super) aggregates: &'a Aggregates,
}

/// One call of a function or closure.
struct Frame<'a> {
    around: &'a WindowLowering<'a>,
    source: &'a Source,
    variables: Vec<(String, Term)>,
    depth: usize,
}

impl WindowLowering<'_> {
    /// A `when`.
    pub(super) fn test(&self, source: &Source, script: WindowScript) -> WindowTest {
        let lowered = self.enter(source, script.closure(), |frame, body| {
            let (last, before) = body.split_last()?;
            before.iter().try_for_each(|statement| frame.bind(statement))?;
            if let Some(Term::Test(test)) = frame.statement(last) {
                return Some((vec![test], true));
            }
            let Stmt::Expr(expression) = last else { return None };
            let Expr::And(parts, _) = &**expression else { return None };
            let leading = parts.iter().map_while(|part| frame.test(part));
            Some((leading.collect(), false))
        });
        match lowered {
            Some((mut tests, true)) if tests.len() == 1 => tests.swap_remove(0),
            Some((mut tests, _)) if !tests.is_empty() => {
                tests.push(WindowTest::Script(script));
                WindowTest::All(tests)
            }
            _ => WindowTest::Script(script),
        }
    }

    /// The `value` of a `baseline`.
    pub(super) fn value(&self, source: &Source, script: WindowScript) -> WindowValue {
        match self.enter(source, script.closure(), |frame, body| frame.body(body)) {
            Some(Term::Amount(amount)) => WindowValue::Amount(amount),
            _ => WindowValue::Script(script),
        }
    }

    fn enter<T>(
        &self,
        source: &Source,
        closure: &FnPtr,
        look: impl FnOnce(&mut Frame<'_>, &[Stmt]) -> Option<T>,
    ) -> Option<T> {
        let captured: Vec<Term> = closure.iter_curry().map(Term::of_captured).collect::<Option<_>>()?;
        let function = source.function(closure.fn_name(), captured.len() + 1)?;
        let arguments = captured.into_iter().chain([Term::Window]);
        look(&mut Frame::new(self, source, function, arguments, 0)?, &function.body)
    }

    fn aggregate(&self, pattern: usize, name: &str, percent: Option<f64>, field: &str) -> Option<Amount> {
        let statistic = Statistic::named(name, percent)?;
        if matches!(statistic, Statistic::Values | Statistic::Top) {
            return None;
        }
        let columns = &self.aggregates.0.get(pattern)?.columns;
        let column = columns.iter().position(|column| *column.field == *field)?;
        Some(Amount::Aggregate { pattern, column, statistic })
    }
}

impl Term {
    fn of_captured(value: &Dynamic) -> Option<Term> {
        if let Ok(value) = value.as_int() {
            return Some(Term::Amount(Amount::Number(Num::Int(value.into()))));
        }
        if let Ok(value) = value.as_float() {
            return Some(Term::Amount(Amount::Number(Num::Float(value))));
        }
        if let Ok(value) = value.as_bool() {
            return Some(Term::Test(WindowTest::Constant(value)));
        }
        value.read_lock::<ImmutableString>().map(|text| Term::Text(text.to_string()))
    }

    /// The same once more, for a variable that is read; tests are not worth it.
    fn again(&self) -> Option<Term> {
        match self {
            Term::Window => Some(Term::Window),
            Term::Pattern(pattern) => Some(Term::Pattern(*pattern)),
            Term::All => Some(Term::All),
            Term::Amount(amount) => Some(Term::Amount(amount.clone())),
            Term::Text(text) => Some(Term::Text(text.clone())),
            Term::Test(WindowTest::Constant(value)) => Some(Term::Test(WindowTest::Constant(*value))),
            Term::Test(_) => None,
        }
    }
}

impl<'a> Frame<'a> {
    fn new(
        around: &'a WindowLowering<'a>,
        source: &'a Source,
        function: &Function,
        arguments: impl Iterator<Item = Term>,
        depth: usize,
    ) -> Option<Self> {
        let variables: Vec<(String, Term)> = function.parameters.iter().cloned().zip(arguments).collect();
        let is_complete = variables.len() == function.parameters.len() && depth <= DEPTH_MAX;
        is_complete.then_some(Frame { around, source, variables, depth })
    }

    fn body(&mut self, statements: &[Stmt]) -> Option<Term> {
        let outer = self.variables.len();
        let (last, before) = statements.split_last()?;
        let term = before.iter().try_for_each(|statement| self.bind(statement)).and_then(|()| self.statement(last));
        self.variables.truncate(outer);
        term
    }

    fn bind(&mut self, statement: &Stmt) -> Option<()> {
        let Stmt::Var(variable, ..) = statement else { return None };
        let term = self.expression(&variable.1)?;
        self.variables.push((variable.0.name.to_string(), term));
        Some(())
    }

    fn statement(&mut self, statement: &Stmt) -> Option<Term> {
        match statement {
            Stmt::Expr(expression) => self.expression(expression),
            Stmt::FnCall(call, _) => self.call(call),
            Stmt::Block(block) => self.body(block.statements()),
            _ => None,
        }
    }

    fn test(&mut self, expression: &Expr) -> Option<WindowTest> {
        match self.expression(expression)? {
            Term::Test(test) => Some(test),
            _ => None,
        }
    }

    fn tests(&mut self, expressions: &[Expr]) -> Option<Vec<WindowTest>> {
        expressions.iter().map(|expression| self.test(expression)).collect()
    }

    fn expression(&mut self, expression: &Expr) -> Option<Term> {
        if self.depth >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let term = self.term(expression);
        self.depth -= 1;
        term
    }

    fn term(&mut self, expression: &Expr) -> Option<Term> {
        match expression {
            Expr::BoolConstant(value, _) => Some(Term::Test(WindowTest::Constant(*value))),
            Expr::IntegerConstant(value, _) => Some(Term::Amount(Amount::Number(Num::Int((*value).into())))),
            Expr::FloatConstant(value, _) => Some(Term::Amount(Amount::Number(Num::Float(**value)))),
            Expr::StringConstant(text, _) => Some(Term::Text(text.to_string())),
            Expr::Variable(variable, ..) if variable.2.is_empty() => {
                let name = variable.1.as_str();
                self.variables.iter().rev().find(|(known, _)| known == name).and_then(|(_, term)| term.again())
            }
            Expr::And(parts, _) => self.tests(parts).map(|parts| Term::Test(WindowTest::All(parts))),
            Expr::Or(parts, _) => self.tests(parts).map(|parts| Term::Test(WindowTest::Any(parts))),
            Expr::Stmt(block) => self.body(block.statements()),
            Expr::FnCall(call, _) => self.call(call),
            Expr::Dot(chain, flags, _) => {
                let base = self.expression(&chain.lhs)?;
                self.chain(base, &chain.rhs, *flags)
            }
            _ => None,
        }
    }

    /// `base.rhs`, whose right side may go on.
    fn chain(&mut self, base: Term, rhs: &Expr, flags: ASTFlags) -> Option<Term> {
        match rhs {
            Expr::Dot(next, then, _) if !flags.contains(ASTFlags::BREAK) => {
                let middle = self.link(base, &next.lhs)?;
                self.chain(middle, &next.rhs, *then)
            }
            last => self.link(base, last),
        }
    }

    fn link(&mut self, base: Term, part: &Expr) -> Option<Term> {
        match (base, part) {
            (Term::Window, Expr::Property(property, _)) => {
                let name = as_written(&property.2);
                match name {
                    ALL => return Some(Term::All),
                    "occurring" => {
                        return Some(Term::Amount(Amount::Occurring { patterns: self.around.patterns.len() }));
                    }
                    _ => {}
                }
                self.around.patterns.iter().position(|pattern| **pattern == *name).map(Term::Pattern)
            }
            (Term::Pattern(pattern), Expr::Property(property, _)) if as_written(&property.2) == "count" => {
                Some(Term::Amount(Amount::Count { pattern }))
            }
            (Term::All, Expr::Property(property, _)) if as_written(&property.2) == "count" => {
                Some(Term::Amount(Amount::Events))
            }
            (Term::All, Expr::MethodCall(call, _)) => self.aggregate_of_all(call).map(Term::Amount),
            (Term::Pattern(pattern), Expr::MethodCall(call, _)) => self.aggregate(pattern, call).map(Term::Amount),
            _ => None,
        }
    }

    fn aggregate(&mut self, pattern: usize, call: &FnCallExpr) -> Option<Amount> {
        let mut arguments = Vec::new();
        for argument in &call.args {
            arguments.push(self.expression(argument)?);
        }
        match (call.name.as_str(), &arguments[..]) {
            ("rate", [Term::Text(span)]) => Some(Amount::Rate { pattern, span: duration::parse(span)? }),
            (name, [Term::Text(field)]) => self.around.aggregate(pattern, name, None, field),
            (name, [Term::Text(field), Term::Amount(Amount::Number(percent))]) => {
                self.around.aggregate(pattern, name, Some(percent.as_f64()), field)
            }
            _ => None,
        }
    }

    /// Of one field for each pattern, which loading knows.
    fn aggregate_of_all(&mut self, call: &FnCallExpr) -> Option<Amount> {
        let percent = match call.args.get(1) {
            Some(percent) => match self.expression(percent)? {
                Term::Amount(Amount::Number(percent)) => Some(percent.as_f64()),
                _ => return None,
            },
            None => None,
        };
        Statistic::named(call.name.as_str(), percent).map(Amount::Together)
    }

    fn call(&mut self, call: &FnCallExpr) -> Option<Term> {
        let name = call.name.as_str();
        if call.is_operator_call() {
            return self.operator(name, &call.args).map(Term::Test);
        }
        let source = match call.namespace.is_empty() {
            true => self.source,
            false => {
                let alias = call.namespace.root();
                let import = self.source.imports.iter().find(|import| import.alias == alias)?;
                self.around.beside.get(&import.path)?
            }
        };
        let mut arguments = Vec::new();
        for argument in &call.args {
            arguments.push(self.expression(argument)?);
        }
        match source.functions.get(&(name.to_owned(), arguments.len())) {
            Some(function) => {
                let depth = self.depth + 1;
                Frame::new(self.around, source, function, arguments.into_iter(), depth)?.body(&function.body)
            }
            None => match (name, arguments.pop()) {
                // Counts are no fields: asking whether they exist is an error, which the script tells.
                (
                    "exists",
                    Some(Term::Amount(amount @ (Amount::Aggregate { statistic, .. } | Amount::Together(statistic)))),
                ) if arguments.is_empty() && statistic != Statistic::Distinct => {
                    Some(Term::Test(WindowTest::Exists(amount)))
                }
                _ => None,
            },
        }
    }

    fn operator(&mut self, name: &str, operands: &[Expr]) -> Option<WindowTest> {
        match operands {
            [operand] if name == "!" => self.test(operand).map(|part| WindowTest::Not(Box::new(part))),
            [left, right] => {
                let (_, comparison) = *Comparison::ALL.iter().find(|(operator, _)| *operator == name)?;
                match (self.expression(left)?, self.expression(right)?) {
                    (Term::Amount(Amount::Number(_)), Term::Amount(Amount::Number(_))) => None,
                    (Term::Amount(left), Term::Amount(right)) => Some(WindowTest::Compare(left, comparison, right)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}
