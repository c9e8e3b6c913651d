//! From a predicate's syntax tree to a tree of tests that runs without Rhai.
//!
//! A closure is followed with what its variables stand for: fields, results, tests, and values that no event changes,
//! which Rhai itself calculates once. What can't be followed is cut out: the smallest expression that answers true or
//! false becomes a script, run with the variables around it, beside the tests that guard it. The answers are those of
//! the closure.

mod block;
mod calls;
mod operators;
mod switch;
mod values;

use std::sync::Arc;

use rhai::{ASTFlags, ASTNode, Expr, ImmutableString, Position, Stmt, StmtBlock};

use super::{
    Predicate, ScriptTest,
    analysis::Beside,
    bound::Bound,
    predicate::Code,
    script::{Fragment, Script},
    source::{Function, Source},
};

/// Functions inside functions; what calls itself is never lowered.
const DEPTH_MAX: usize = 8;

/// Expressions that are followed for one closure, functions once for each call, with what is copied on the way: a
/// closure that is larger stays a script.
const STEPS_MAX: usize = 20_000;

/// A compiled closure.
pub(super) struct Lowered {
    pub(super) predicate: Predicate,
    /// What stayed a script.
    pub(super) scripts: Vec<Why>,
}

/// Where something can't be lowered, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) position: Position,
    pub(super) what: String,
}

impl Why {
    fn new(position: Position, what: impl Into<String>) -> Self {
        Why { position, what: what.into() }
    }
}

type Result<T> = std::result::Result<T, Why>;

/// The same answers as the closure gives.
pub(super) fn lower(source: &Source, beside: &Beside<'_>, script: &Script) -> Lowered {
    let mut lowering = Lowering { beside, root: source, script, steps: 0, scripts: Vec::new() };
    lowering.closure().map_or_else(
        |why| Lowered {
            predicate: Predicate::Script(ScriptTest(Arc::new(Code::Closure(script.clone())))),
            scripts: vec![why],
        },
        |predicate| Lowered { predicate, scripts: std::mem::take(&mut lowering.scripts) },
    )
}

struct Lowering<'a> {
    beside: &'a Beside<'a>,
    /// The file of the closure.
    root: &'a Source,
    script: &'a Script,
    steps: usize,
    scripts: Vec<Why>,
}

/// One call of a function or closure: its variables stand as they do when Rhai runs it, for its syntax tree finds
/// them by their place.
struct Frame<'a> {
    source: &'a Source,
    /// Whether it is of the closure's file: only there a part can be cut out, since it finds the functions and imports
    /// of that file.
    is_own: bool,
    variables: Vec<(ImmutableString, Bound)>,
    depth: usize,
}

/// What an expression is lowered to.
#[derive(Debug, Clone, Copy)]
struct Goal {
    /// A test, of which parts may be scripts; else a value, and tests in it run none.
    test: bool,
    /// Whether it is what the function gives, so that `return` may stand there.
    tail: bool,
}

impl Goal {
    const TEST: Goal = Goal { test: true, tail: false };
    const VALUE: Goal = Goal { test: false, tail: false };

    fn at_tail(self) -> Goal {
        Goal { tail: true, ..self }
    }
}

impl<'a> Lowering<'a> {
    fn closure(&mut self) -> Result<Predicate> {
        let closure = &self.script.closure;
        let captured: Vec<Bound> = closure.iter_curry().map(|value| Bound::of(value.flatten_clone())).collect();
        let missing = || Why::new(self.script.position, "the closure");
        let root = self.root;
        let function = root.function(closure.fn_name(), captured.len() + 1).ok_or_else(missing)?;
        let mut frame = self.frame(root, function, captured.into_iter().chain([Bound::Event]).collect(), 0)?;
        let result = self.block(&mut frame, &function.body, Goal::TEST.at_tail())?;
        truth(&result, function.start)
    }

    fn frame(&self, source: &'a Source, function: &Function, arguments: Vec<Bound>, depth: usize) -> Result<Frame<'a>> {
        if depth > DEPTH_MAX || function.parameters.len() != arguments.len() {
            return Err(Why::new(function.start, format!("`{}` inside so many functions", function.name)));
        }
        let names = function.parameters.iter().map(|name| name.as_str().into());
        let is_own = std::ptr::eq(source, self.root);
        Ok(Frame { source, is_own, variables: names.zip(arguments).collect(), depth })
    }

    fn step(&mut self, position: Position) -> Result<()> {
        self.take(1, position)
    }

    /// Counts what is followed or copied: twice the size of what is used twice, so no doubling goes far.
    fn take(&mut self, steps: usize, position: Position) -> Result<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX {
            return Err(Why::new(position, format!("a closure of more than {STEPS_MAX} expressions")));
        }
        Ok(())
    }

    /// An expression that has to answer true or false.
    fn test(&mut self, frame: &mut Frame<'a>, expression: &Expr) -> Result<Predicate> {
        self.step(expression.start_position())?;
        if let Some(known) = self.constant(frame, expression) {
            return truth(&known, expression.start_position());
        }
        let result = match expression {
            Expr::And(parts, _) => return self.parts(frame, parts).map(Predicate::all),
            Expr::Or(parts, _) => return self.parts(frame, parts).map(Predicate::any),
            Expr::FnCall(call, position) => self.call(frame, call, *position, Goal::TEST)?,
            Expr::Stmt(block) => self.block(frame, block.statements(), Goal::TEST)?,
            expression => self.value(frame, expression)?,
        };
        truth(&result, expression.start_position())
    }

    fn parts(&mut self, frame: &mut Frame<'a>, parts: &[Expr]) -> Result<Vec<Predicate>> {
        parts.iter().map(|part| self.part(frame, part)).collect()
    }

    /// A test, or a script where it can't be lowered.
    fn part(&mut self, frame: &mut Frame<'a>, expression: &Expr) -> Result<Predicate> {
        let scripts = self.scripts.len();
        self.test(frame, expression).or_else(|why| {
            self.scripts.truncate(scripts);
            self.cut(frame, &[Stmt::Expr(Box::new(expression.clone()))], why, false)
        })
    }

    /// A test that runs no script, for it is not asked in the place where it is written.
    fn pure_test(&mut self, frame: &mut Frame<'a>, expression: &Expr) -> Result<Predicate> {
        let scripts = self.scripts.len();
        let test = self.test(frame, expression)?;
        match self.scripts.drain(scripts..).next() {
            Some(why) => Err(why),
            None => Ok(test),
        }
    }

    /// The one or the other, by a test.
    fn choose(&mut self, when: Predicate, then: Bound, otherwise: Bound, position: Position) -> Result<Bound> {
        if let Predicate::Constant(answer) = when {
            return Ok(if answer { then } else { otherwise });
        }
        self.take(when.size(), position)?;
        if let (Some(then), Some(otherwise)) = (as_test(&then), as_test(&otherwise)) {
            return Ok(Bound::Test(when.choose(then, otherwise)));
        }
        let runs_script = |bound: &Bound| matches!(bound, Bound::Test(test) if test.runs_script());
        if when.runs_script() || runs_script(&then) || runs_script(&otherwise) {
            return Err(Why::new(position, "a value that a script chooses"));
        }
        Ok(Bound::Choice(Box::new(when), Box::new(then), Box::new(otherwise)))
    }

    fn outcome(&mut self, frame: &mut Frame<'a>, expression: &Expr, goal: Goal) -> Result<Bound> {
        match (goal.test, expression) {
            (_, Expr::Stmt(block)) => self.block(frame, block.statements(), goal),
            (true, expression) => self.part(frame, expression).map(Bound::Test),
            (false, expression) => self.value(frame, expression),
        }
    }

    /// Makes a script of statements, which `why` says can't be lowered.
    fn cut(&mut self, frame: &Frame<'a>, statements: &[Stmt], why: Why, tail: bool) -> Result<Predicate> {
        if !frame.is_own || !tail && statements.iter().any(returns_somewhere) {
            return Err(why);
        }
        self.take(frame.variables.iter().map(|(_, bound)| bound.size()).sum(), why.position)?;
        let position = statements.first().map_or(Position::NONE, Stmt::position);
        let position = if position.is_none() { why.position } else { position };
        let fragment = self.fragment(statements, position);
        self.scripts.push(why);
        Ok(Predicate::Script(ScriptTest(Arc::new(Code::Fragment(fragment, frame.variables.clone())))))
    }

    fn fragment(&self, statements: &[Stmt], position: Position) -> Fragment {
        let block = StmtBlock::new(statements.iter().cloned(), position, Position::NONE);
        let script = Script { position, ..self.script.clone() };
        Fragment { script, statements: [Stmt::Block(Box::new(block))].into() }
    }
}

/// True or false, as a test.
fn truth(bound: &Bound, position: Position) -> Result<Predicate> {
    as_test(bound).ok_or_else(|| Why::new(position, "what may be neither true nor false"))
}

fn as_test(bound: &Bound) -> Option<Predicate> {
    match bound {
        Bound::Test(test) => Some(test.clone()),
        Bound::Constant(value) => value.as_bool().ok().map(Predicate::Constant),
        Bound::Choice(when, then, otherwise) => Some((**when).clone().choose(as_test(then)?, as_test(otherwise)?)),
        Bound::Event | Bound::Term(_) | Bound::List(_) => None,
    }
}

/// Whether a `return` stands in it.
fn returns_somewhere(statement: &Stmt) -> bool {
    !statement.walk(&mut Vec::new(), &mut |nodes: &[ASTNode]| {
        !matches!(nodes.last(), Some(ASTNode::Stmt(Stmt::Return(_, flags, _))) if !flags.contains(ASTFlags::BREAK))
    })
}
