//! Values: variables, chains of names, and what no event changes.

use rhai::{ASTFlags, ASTNode, BinaryExpr, Dynamic, Expr, FnCallExpr, ImmutableString, Stmt};

use super::{Bound, Frame, Goal, Lowering, Result, Why};
use crate::rule::{enrichment::Thing, term::Term, token::as_written};

impl<'a> Lowering<'a> {
    pub(super) fn value(&mut self, frame: &mut Frame<'a>, expression: &Expr) -> Result<Bound> {
        let position = expression.start_position();
        self.step(position)?;
        if let Some(known) = self.constant(frame, expression) {
            return Ok(known);
        }
        match expression {
            Expr::Variable(variable, ..) => {
                let name = variable.1.as_str();
                let found = frame.variables.iter().rev().find(|(known, _)| known == name);
                let found = found.filter(|_| variable.2.is_empty()).map(|(_, bound)| bound.clone());
                let found = found.ok_or_else(|| Why::new(position, format!("`{name}`")))?;
                self.take(found.size(), position)?;
                Ok(found)
            }
            Expr::Dot(chain, flags, _) => self.chain(frame, chain, *flags, true),
            Expr::Index(chain, flags, _) => self.chain(frame, chain, *flags, false),
            Expr::And(..) | Expr::Or(..) => self.pure_test(frame, expression).map(Bound::Test),
            Expr::FnCall(call, position) => self.call(frame, call, *position, Goal::VALUE),
            Expr::Stmt(block) => self.block(frame, block.statements(), Goal::VALUE),
            Expr::Array(items, _) => {
                items.iter().map(|item| self.value(frame, item)).collect::<Result<_>>().map(Bound::List)
            }
            Expr::InterpolatedString(..) => Err(Why::new(position, "a text with a field in it")),
            Expr::Map(..) => Err(Why::new(position, "a map with a field in it")),
            Expr::Coalesce(..) => Err(Why::new(position, "`??`")),
            _ => Err(Why::new(position, "this expression")),
        }
    }

    /// `base.a["b"].test(…)`
    fn chain(&mut self, frame: &mut Frame<'a>, chain: &BinaryExpr, flags: ASTFlags, dot: bool) -> Result<Bound> {
        let mut current = self.value(frame, &chain.lhs)?;
        let (mut chain, mut flags, mut dot) = (chain, flags, dot);
        loop {
            let next = match &chain.rhs {
                Expr::Dot(next, then, _) if !flags.contains(ASTFlags::BREAK) => Some((&**next, *then, true)),
                Expr::Index(next, then, _) if !flags.contains(ASTFlags::BREAK) => Some((&**next, *then, false)),
                _ => None,
            };
            let link = next.as_ref().map_or(&chain.rhs, |(next, ..)| &next.lhs);
            current = self.link(frame, current, link, dot)?;
            match next {
                Some(next) => (chain, flags, dot) = next,
                None => return Ok(current),
            }
        }
    }

    fn link(&mut self, frame: &mut Frame<'a>, base: Bound, link: &Expr, dot: bool) -> Result<Bound> {
        self.step(link.start_position())?;
        match (link, dot) {
            (Expr::Property(name, position), true) => {
                below(base, as_written(&name.2)).ok_or_else(|| Why::new(*position, format!("`.{}`", name.2)))
            }
            (Expr::MethodCall(call, position), true) => self.method(frame, base, call, *position),
            (index, false) => {
                let position = index.start_position();
                let name = match self.value(frame, index)? {
                    Bound::Constant(name) => name.into_immutable_string().ok(),
                    _ => None,
                };
                name.and_then(|name| below(base, &name)).ok_or_else(|| Why::new(position, "a name that is calculated"))
            }
            (other, true) => Err(Why::new(other.start_position(), "this expression")),
        }
    }

    /// The value of an expression that no event changes: Rhai calculates it.
    pub(super) fn constant(&mut self, frame: &Frame<'a>, expression: &Expr) -> Option<Bound> {
        match expression {
            Expr::Variable(..) | Expr::Map(..) | Expr::Array(..) => {}
            literal => {
                if let Some(value) = literal.get_literal_value(None) {
                    return Some(Bound::of(value));
                }
            }
        }
        if !self.is_constant(frame, expression) {
            return None;
        }
        let variables: Vec<(ImmutableString, Dynamic)> = frame
            .variables
            .iter()
            .map(|(name, bound)| (name.clone(), constant_of(bound).unwrap_or(Dynamic::UNIT)))
            .collect();
        let statement = Stmt::Expr(Box::new(expression.clone()));
        let fragment = self.fragment(&[statement], expression.start_position());
        fragment.run(variables.into_iter()).ok().map(Bound::of)
    }

    /// Whether it reads constant variables only, and calls only functions that mean the same in the closure's file.
    fn is_constant(&self, frame: &Frame<'a>, expression: &Expr) -> bool {
        expression.walk(&mut Vec::new(), &mut |nodes: &[ASTNode]| match nodes.last() {
            Some(ASTNode::Expr(Expr::Variable(variable, ..))) => {
                let mut named = frame.variables.iter().rev().filter(|(name, _)| *name == variable.1);
                named.next().is_none_or(|(_, bound)| constant_of(bound).is_some())
            }
            Some(
                ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)),
            ) => frame.is_own || self.is_everywhere(frame, call),
            Some(ASTNode::Stmt(Stmt::Return(_, flags, _))) => flags.contains(ASTFlags::BREAK),
            Some(ASTNode::Expr(Expr::ThisPtr(_))) => false,
            _ => true,
        })
    }

    /// Whether the name means the same in a library as in the closure's file.
    fn is_everywhere(&self, frame: &Frame<'a>, call: &FnCallExpr) -> bool {
        let has = |source: &super::Source| source.functions.keys().any(|(name, _)| *name == *call.name);
        call.is_operator_call() || call.namespace.is_empty() && !has(frame.source) && !has(self.root)
    }
}

/// The value that is bound, where no event changes it.
fn constant_of(bound: &Bound) -> Option<Dynamic> {
    match bound {
        Bound::Constant(value) => Some(value.clone()),
        Bound::Test(super::Predicate::Constant(answer)) => Some((*answer).into()),
        _ => None,
    }
}

/// The field `name` below a value.
fn below(base: Bound, name: &str) -> Option<Bound> {
    match base {
        Bound::Event if name.is_empty() => Some(Bound::Event),
        Bound::Event => Some(Bound::Term(Term::Field(name.into()))),
        Bound::Term(Term::Field(path)) => Some(Bound::Term(Term::Field(format!("{path}.{name}").into()))),
        Bound::Term(Term::Found(directory, Thing::Itself, of)) => {
            let member = directory.lookup().members().iter().find(|member| **member == name);
            let found = |member: &&'static str| Term::Found(directory, Thing::Member(member), of);
            Some(Bound::Term(member.map_or(Term::Known(None), found)))
        }
        Bound::Term(_) => Some(Bound::Term(Term::Known(None))),
        Bound::Choice(when, then, otherwise) => {
            Some(Bound::Choice(when, Box::new(below(*then, name)?), Box::new(below(*otherwise, name)?)))
        }
        Bound::Constant(_) | Bound::Test(_) | Bound::List(_) => None,
    }
}
