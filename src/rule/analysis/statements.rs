//! Statements: what variables hold after them, and which of their values go on.

use rhai::{ASTFlags, Expr, Ident, Position, Stmt};

use super::{Analysis, Frame, Known};
use crate::rule::token::as_written;

impl<'a> Analysis<'a> {
    pub(super) fn block(&mut self, frame: &mut Frame<'a>, statements: &[Stmt]) -> Known {
        let outer = frame.variables.len();
        let mut last = Known::Nothing;
        for statement in statements {
            last = self.statement(frame, statement);
        }
        frame.variables.truncate(outer);
        last
    }

    pub(super) fn condition(&mut self, frame: &mut Frame<'a>, expression: &Expr) {
        let known = self.expression(frame, expression);
        self.must_be_test(frame.source, &known, expression.start_position());
    }

    pub(super) fn statement(&mut self, frame: &mut Frame<'a>, statement: &Stmt) -> Known {
        match statement {
            Stmt::Expr(expression) => self.expression(frame, expression),
            nested => self.deeper(frame, nested.position(), |analysis, frame| analysis.inside(frame, nested)),
        }
    }

    fn inside(&mut self, frame: &mut Frame<'a>, statement: &Stmt) -> Known {
        match statement {
            Stmt::Expr(expression) => self.expression(frame, expression),
            Stmt::FnCall(call, position) => self.call(frame, call, *position),
            Stmt::Block(block) => self.block(frame, block.statements()),
            Stmt::Var(variable, _, _) => {
                let known = self.expression(frame, &variable.1);
                frame.variables.push((variable.0.name.to_string(), known));
                Known::Nothing
            }
            Stmt::Assignment(assignment) => self.assignment(frame, &assignment.1.lhs, &assignment.1.rhs),
            Stmt::If(flow, _) => {
                self.condition(frame, &flow.expr);
                let then = self.block(frame, flow.body.statements());
                let otherwise = self.block(frame, flow.branch.statements());
                self.join(frame, vec![then, otherwise], statement.position())
            }
            Stmt::While(flow, _) | Stmt::Do(flow, _, _) => {
                if !matches!(flow.expr, Expr::Unit(_)) {
                    self.condition(frame, &flow.expr);
                }
                self.block(frame, flow.body.statements());
                Known::Unknown
            }
            Stmt::For(loop_, _) => {
                self.for_loop(frame, &loop_.0, loop_.1.as_ref(), &loop_.2.expr, loop_.2.body.statements());
                Known::Unknown
            }
            Stmt::Switch(switch, _) => self.switch(frame, &switch.0, &switch.1),
            Stmt::TryCatch(flow, _) => {
                let caught = match &flow.expr {
                    Expr::Variable(variable, ..) => Some(variable.1.to_string()),
                    _ => None,
                };
                let tried = self.block(frame, flow.body.statements());
                frame.variables.extend(caught.map(|name| (name, Known::Unknown)));
                let other = self.block(frame, flow.branch.statements());
                self.join(frame, vec![tried, other], statement.position())
            }
            Stmt::Return(value, flags, position) => {
                let known = value.as_ref().map_or(Known::Nothing, |value| self.expression(frame, value));
                if !flags.contains(ASTFlags::BREAK) {
                    frame.results.push((known, *position));
                }
                Known::Unknown
            }
            Stmt::BreakLoop(Some(value), ..) => self.used(frame, value),
            Stmt::Import(_, position) => {
                let help = Some("import at the top of the file".to_owned());
                self.problem(frame.source, "import", *position, "an import inside a closure".to_owned(), help);
                Known::Nothing
            }
            _ => Known::Nothing,
        }
    }

    fn for_loop(
        &mut self,
        frame: &mut Frame<'a>,
        variable: &Ident,
        counter: Option<&Ident>,
        over: &Expr,
        body: &[Stmt],
    ) {
        let known = self.used(frame, over);
        if known.is_field() {
            let help = Some("a test asks every element of an array by itself".to_owned());
            let message = "a field can't be looped over".to_owned();
            self.problem(frame.source, "loop", over.start_position(), message, help);
        }
        let outer = frame.variables.len();
        frame.variables.push((variable.name.to_string(), Known::Unknown));
        frame.variables.extend(counter.map(|counter| (counter.name.to_string(), Known::Number(None))));
        self.block(frame, body);
        frame.variables.truncate(outer);
    }

    pub(super) fn switch(&mut self, frame: &mut Frame<'a>, over: &Expr, cases: &rhai::SwitchCasesCollection) -> Known {
        let known = self.used(frame, over);
        if known.is_field() {
            let help = Some("compare with `==` or `in [..]`".to_owned());
            let message = "`switch` can't look at a field".to_owned();
            self.problem(frame.source, "switch", over.start_position(), message, help);
        }
        let mut results = Vec::new();
        for case in &cases.expressions {
            self.condition(frame, &case.lhs);
            results.push(self.expression(frame, &case.rhs));
        }
        self.join(frame, results, over.start_position())
    }

    /// One value of several: known only where all are the same kind of thing.
    fn join(&mut self, frame: &Frame<'a>, mut values: Vec<Known>, position: Position) -> Known {
        let Some(first) = values.pop() else { return Known::Unknown };
        if values.iter().all(|value| value.is_like(&first)) {
            return match first {
                Known::Text(_) => Known::Text(None),
                Known::Number(_) => Known::Number(None),
                first => first,
            };
        }
        values.push(first);
        for value in &values {
            self.uses(frame.source, value, position);
        }
        if values.iter().all(Known::is_field) { Known::Value } else { Known::Unknown }
    }

    fn assignment(&mut self, frame: &mut Frame<'a>, target: &Expr, value: &Expr) -> Known {
        let known = self.used(frame, value);
        let root = match target {
            Expr::Dot(chain, ..) | Expr::Index(chain, ..) => &chain.lhs,
            target => target,
        };
        let position = root.start_position();
        if let Expr::Variable(variable, ..) = root {
            let name = variable.1.as_str();
            if frame.captured.iter().any(|captured| captured == name) {
                let message = format!("`{}` is captured: a closure can't change it", as_written(name));
                let help =
                    Some("closures run at any time and on any machine; keep what they need in fields".to_owned());
                self.problem(frame.source, "captured", position, message, help);
            }
            if let Some(at) = frame.variables.iter().rposition(|(variable, _)| variable == name) {
                let before = std::mem::replace(&mut frame.variables[at].1, Known::Unknown);
                if matches!(before, Known::Event(_) | Known::Kept(..) | Known::Window | Known::Pattern(_))
                    && !std::ptr::eq(root, target)
                {
                    let message = "events can't be changed".to_owned();
                    self.problem(frame.source, "assignment", position, message, None);
                }
                self.uses(frame.source, &before, Position::NONE);
                if !known.is_field() && std::ptr::eq(root, target) {
                    frame.variables[at].1 = Known::Unknown;
                }
            }
        }
        Known::Nothing
    }
}
