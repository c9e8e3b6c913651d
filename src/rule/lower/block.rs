//! Statements: variables, conditions, early returns.

use rhai::{ASTFlags, Stmt};

use super::{Bound, Frame, Goal, Lowering, Predicate, Result, Why};

impl<'a> Lowering<'a> {
    /// What a block gives.
    pub(super) fn block(&mut self, frame: &mut Frame<'a>, statements: &[Stmt], goal: Goal) -> Result<Bound> {
        let outer = frame.variables.len();
        let result = self.statements(frame, statements, goal);
        frame.variables.truncate(outer);
        result
    }

    /// From the first statement that can't be lowered on, a test is a script.
    fn statements(&mut self, frame: &mut Frame<'a>, statements: &[Stmt], goal: Goal) -> Result<Bound> {
        let Some((first, rest)) = statements.split_first() else {
            return Ok(Bound::Constant(rhai::Dynamic::UNIT));
        };
        let (scripts, variables) = (self.scripts.len(), frame.variables.len());
        self.lead(frame, first, rest, goal).or_else(|why| {
            self.scripts.truncate(scripts);
            frame.variables.truncate(variables);
            if !goal.test {
                return Err(why);
            }
            self.cut(frame, statements, why, goal.tail).map(Bound::Test)
        })
    }

    fn lead(&mut self, frame: &mut Frame<'a>, first: &Stmt, rest: &[Stmt], goal: Goal) -> Result<Bound> {
        self.step(first.position())?;
        match first {
            Stmt::Noop(_) | Stmt::Share(_) if !rest.is_empty() => self.statements(frame, rest, goal),
            Stmt::Var(variable, _, _) => {
                let value = self.value(frame, &variable.1)?;
                if variable.2.is_some() {
                    return Err(Why::new(first.position(), "a second variable of one name"));
                }
                frame.variables.push((variable.0.name.clone(), value));
                self.statements(frame, rest, goal)
            }
            Stmt::If(flow, position) if goal.tail && !rest.is_empty() && always_returns(flow.body.statements()) => {
                let when = self.condition(frame, &flow.expr, goal)?;
                let then = self.block(frame, flow.body.statements(), goal)?;
                let otherwise = match flow.branch.statements() {
                    [] => self.block(frame, rest, goal)?,
                    branch if always_returns(branch) => self.block(frame, branch, goal)?,
                    branch => return Err(unlowered(branch.first().unwrap_or(first))),
                };
                self.choose(when, then, otherwise, *position)
            }
            last if rest.is_empty() => self.last(frame, last, goal),
            Stmt::Return(..) => self.last(frame, first, goal),
            other => Err(unlowered(other)),
        }
    }

    fn condition(&mut self, frame: &mut Frame<'a>, expression: &rhai::Expr, goal: Goal) -> Result<Predicate> {
        if goal.test { self.part(frame, expression) } else { self.pure_test(frame, expression) }
    }

    /// The statement whose value is that of its block.
    fn last(&mut self, frame: &mut Frame<'a>, statement: &Stmt, goal: Goal) -> Result<Bound> {
        match statement {
            Stmt::Expr(expression) => self.outcome(frame, expression, goal),
            Stmt::FnCall(call, position) => self.call(frame, call, *position, goal),
            Stmt::Block(block) => self.block(frame, block.statements(), goal),
            Stmt::If(flow, position) => {
                let when = self.condition(frame, &flow.expr, goal)?;
                let then = self.block(frame, flow.body.statements(), goal)?;
                let otherwise = self.block(frame, flow.branch.statements(), goal)?;
                self.choose(when, then, otherwise, *position)
            }
            Stmt::Switch(switch, position) => self.switch(frame, &switch.0, &switch.1, *position, goal),
            Stmt::Return(Some(value), flags, _) if goal.tail && !flags.contains(ASTFlags::BREAK) => {
                self.outcome(frame, value, goal)
            }
            other => Err(unlowered(other)),
        }
    }
}

/// Whether the block leaves the function in every case.
fn always_returns(statements: &[Stmt]) -> bool {
    match statements.last() {
        Some(Stmt::Return(_, flags, _)) => !flags.contains(ASTFlags::BREAK),
        Some(Stmt::Block(block)) => always_returns(block.statements()),
        Some(Stmt::If(flow, _)) => always_returns(flow.body.statements()) && always_returns(flow.branch.statements()),
        _ => false,
    }
}

fn unlowered(statement: &Stmt) -> Why {
    let what = match statement {
        Stmt::For(..) => "a `for` loop",
        Stmt::While(..) => "a `while` loop",
        Stmt::Do(..) => "a `do` loop",
        Stmt::Assignment(..) => "an assignment",
        Stmt::TryCatch(..) => "`try`",
        Stmt::Return(_, flags, _) if flags.contains(ASTFlags::BREAK) => "`throw`",
        Stmt::Return(..) => "a `return` out of an expression",
        Stmt::If(..) => "an `if` that gives no value",
        _ => "a statement that gives no value",
    };
    Why::new(statement.position(), what)
}
