//! `switch` over a value that no event changes, or over a test.

use rhai::{Dynamic, Expr, INT, Position, Stmt, SwitchCasesCollection};

use super::{Bound, Frame, Goal, Lowering, Predicate, Result, Why};

impl<'a> Lowering<'a> {
    pub(super) fn switch(
        &mut self,
        frame: &mut Frame<'a>,
        over: &Expr,
        cases: &SwitchCasesCollection,
        position: Position,
        goal: Goal,
    ) -> Result<Bound> {
        match self.value(frame, over)? {
            Bound::Constant(value) => self.cases(frame, value, cases, position, goal),
            Bound::Test(test) => {
                let then = self.cases(frame, true.into(), cases, position, goal)?;
                let otherwise = self.cases(frame, false.into(), cases, position, goal)?;
                self.choose(test, then, otherwise, position)
            }
            _ => Err(Why::new(over.start_position(), "a `switch` over what an event changes")),
        }
    }

    fn cases(
        &mut self,
        frame: &mut Frame<'a>,
        value: Dynamic,
        cases: &SwitchCasesCollection,
        position: Position,
        goal: Goal,
    ) -> Result<Bound> {
        let (taken, default) = self.taken(value, cases, position)?;
        let mut tests: Vec<(Predicate, Bound)> = Vec::new();
        for at in taken {
            let case = &cases.expressions[at];
            let when = if goal.test { self.part(frame, &case.lhs)? } else { self.pure_test(frame, &case.lhs)? };
            tests.push((when, self.outcome(frame, &case.rhs, goal)?));
        }
        let last = match default {
            Some(at) => self.outcome(frame, &cases.expressions[at].rhs, goal)?,
            None => Bound::Constant(Dynamic::UNIT),
        };
        tests.into_iter().rev().try_fold(last, |otherwise, (when, then)| self.choose(when, then, otherwise, position))
    }

    /// The cases that a value meets, in the order in which their conditions are asked, and the one that is left.
    /// Rhai keeps cases by a hash of its own, so it is asked: each case gives its number, and is closed once found.
    fn taken(
        &mut self,
        value: Dynamic,
        cases: &SwitchCasesCollection,
        position: Position,
    ) -> Result<(Vec<usize>, Option<usize>)> {
        let mut asked = cases.clone();
        for (at, case) in asked.expressions.iter_mut().enumerate() {
            case.lhs = Expr::BoolConstant(true, position);
            case.rhs = Expr::IntegerConstant(at as INT, position);
        }
        let over = Expr::DynamicConstant(Box::new(value), position);
        let mut taken = Vec::new();
        loop {
            self.step(position)?;
            let statement = Stmt::Switch(Box::new((over.clone(), asked.clone())), position);
            let answer = self.fragment(&[statement], position).run(std::iter::empty());
            let answer = answer.map_err(|_| Why::new(position, "a `switch` that fails"))?;
            let at = answer.as_int().ok().and_then(|at| usize::try_from(at).ok());
            match at.filter(|at| Some(*at) != cases.def_case) {
                None => return Ok((taken, at)),
                Some(at) => {
                    taken.push(at);
                    asked.expressions[at].lhs = Expr::BoolConstant(false, position);
                }
            }
        }
    }
}
