//! Operators between fields, results and literals. Each pair that scripts refuse stays a script, which says so.

use std::ops::{Range, RangeInclusive};

use rhai::{Array, Dynamic, Expr, FnCallExpr, INT, Map, Position, Stmt};

use super::{
    Bound, Frame, Goal, Lowering, Predicate, Result, Why,
    calls::{known_text, text_of},
};
use crate::rule::{
    bound::literal_of,
    compare::Comparison,
    field_test::{Asks, FieldTest, Literal, OneOf, TermTest},
    number::{Arithmetic, Num},
    term::Term,
    text::TextTest,
    token::as_written,
};

impl<'a> Lowering<'a> {
    pub(super) fn operator(
        &mut self,
        frame: &mut Frame<'a>,
        call: &FnCallExpr,
        position: Position,
        goal: Goal,
    ) -> Result<Bound> {
        let name = call.name.as_str();
        if let ("!", [operand]) = (name, &call.args[..]) {
            let part = if goal.test { self.part(frame, operand)? } else { self.pure_test(frame, operand)? };
            return Ok(Bound::Test(part.negated()));
        }
        let operands = call.args.iter().map(|operand| self.value(frame, operand)).collect::<Result<Vec<_>>>()?;
        self.each_choice(operands, position, &|lowering, operands| {
            let result = match (name, &operands[..]) {
                ("-", [Bound::Term(term)]) => calculate(Arithmetic::Subtract, Term::Number(Num::Int(0)), term.clone()),
                ("contains", [list, item]) => contains(list, item),
                (name, [left, right]) => match Comparison::ALL.iter().find(|(known, _)| *known == name) {
                    Some((_, comparison)) => compare(*comparison, left, right),
                    None => arithmetic(name, left, right),
                },
                _ => None,
            };
            let result = result.or_else(|| lowering.calculated(call, &operands, position));
            result.ok_or_else(|| Why::new(position, format!("`{}` of these", as_written(name))))
        })
    }

    /// What Rhai gives for operands that no event changes.
    fn calculated(&self, call: &FnCallExpr, operands: &[Bound], position: Position) -> Option<Bound> {
        let mut call = call.clone();
        for (argument, operand) in call.args.iter_mut().zip(operands) {
            let Bound::Constant(value) = operand else { return None };
            *argument = Expr::DynamicConstant(Box::new(value.clone()), position);
        }
        let statement = Stmt::Expr(Box::new(Expr::FnCall(Box::new(call), position)));
        self.fragment(&[statement], position).run(std::iter::empty()).ok().map(Bound::of)
    }
}

/// A test of a term; of a field where it is one.
pub(super) fn test_of(term: Term, asks: Asks) -> Bound {
    Bound::Test(match (term, asks) {
        (Term::Known(None), _) => Predicate::Constant(false),
        (_, Asks::Cidr(networks)) if networks.is_empty() => Predicate::Constant(false),
        (_, Asks::In(list)) if list.is_empty() => Predicate::Constant(false),
        (Term::Field(path), asks) => Predicate::Field(FieldTest { path, asks }),
        (term, asks) => Predicate::Term(TermTest { term, asks }),
    })
}

fn compare(comparison: Comparison, left: &Bound, right: &Bound) -> Option<Bound> {
    match (left, right) {
        (Bound::Term(left), Bound::Term(right)) => {
            Some(test_of(left.clone(), Asks::CompareWith(comparison, right.clone())))
        }
        (Bound::Term(term), other) => compare_literal(term, comparison, other),
        (other, Bound::Term(term)) => compare_literal(term, comparison.swapped(), other),
        _ => None,
    }
}

fn compare_literal(term: &Term, comparison: Comparison, other: &Bound) -> Option<Bound> {
    let never = Some(Bound::Test(Predicate::Constant(false)));
    match other {
        Bound::List(_) => never,
        Bound::Constant(value) if is_never_equal(value) => never,
        Bound::Constant(value) => Some(test_of(term.clone(), Asks::Compare(comparison, literal_of(value)?))),
        _ => None,
    }
}

fn is_never_equal(value: &Dynamic) -> bool {
    value.is_unit() || value.is::<Array>() || value.is::<Map>()
}

fn arithmetic(name: &str, left: &Bound, right: &Bound) -> Option<Bound> {
    let operator = Arithmetic::NAMED.iter().find(|(known, _)| *known == name)?.1;
    if !matches!(left, Bound::Term(_)) && !matches!(right, Bound::Term(_)) {
        return None;
    }
    calculate(operator, term_of(left)?, term_of(right)?)
}

fn calculate(operator: Arithmetic, left: Term, right: Term) -> Option<Bound> {
    Some(Bound::Term(match (left, right) {
        (Term::Known(None), _) | (_, Term::Known(None)) => Term::Known(None),
        (left, right) => Term::Calculate(operator, Box::new(left), Box::new(right)),
    }))
}

/// An operand of arithmetic.
fn term_of(bound: &Bound) -> Option<Term> {
    let value = match bound {
        Bound::Term(term) => return Some(term.clone()),
        Bound::Constant(value) => value,
        _ => return None,
    };
    match literal_of(value) {
        Some(Literal::Number(number)) => Some(Term::Number(number)),
        Some(Literal::Bool(_)) => Some(Term::Known(None)),
        Some(Literal::Text(_)) if value.is_char() => Some(Term::Known(None)),
        Some(Literal::Text(text)) => Some(Num::parse(&text).map_or(Term::Known(None), Term::Number)),
        None => value.is_unit().then_some(Term::Known(None)),
    }
}

/// `item in list`
pub(super) fn contains(list: &Bound, item: &Bound) -> Option<Bound> {
    match (list, item) {
        (Bound::Term(list), Bound::Term(item)) => {
            Some(test_of(item.clone(), Asks::CompareWith(Comparison::Equal, list.clone())))
        }
        (Bound::Term(list), Bound::Constant(item)) => {
            Some(test_of(list.clone(), Asks::Compare(Comparison::Equal, literal_of(item)?)))
        }
        (Bound::List(items), Bound::Term(item)) => in_list(item, items),
        (Bound::Constant(list), Bound::Term(item)) => in_constant(item, list),
        _ => None,
    }
}

fn in_list(item: &Term, list: &[Bound]) -> Option<Bound> {
    let mut literals = Vec::new();
    let mut tests = Vec::new();
    for element in list {
        match element {
            Bound::Constant(value) => literals.extend(literal_of(value)),
            Bound::List(_) => {}
            Bound::Term(other) => {
                tests.push(test_of(item.clone(), Asks::CompareWith(Comparison::Equal, other.clone())));
            }
            Bound::Event | Bound::Test(_) | Bound::Choice(..) => return None,
        }
    }
    tests.push(test_of(item.clone(), Asks::In(OneOf::new(literals))));
    let tests = tests.iter().map(super::as_test).collect::<Option<Vec<_>>>()?;
    Some(Bound::Test(Predicate::any(tests)))
}

fn in_constant(item: &Term, list: &Dynamic) -> Option<Bound> {
    if let Some(items) = list.read_lock::<Array>() {
        return Some(test_of(item.clone(), Asks::In(OneOf::new(items.iter().filter_map(literal_of)))));
    }
    if let Some(map) = list.read_lock::<Map>() {
        let names = map.keys().map(|name| Literal::Text(name.as_str().into()));
        return Some(test_of(item.clone(), Asks::In(OneOf::new(names))));
    }
    if let Some(text) = text_of(&Bound::Constant(list.clone())) {
        let asks = Asks::TextWith { test: TextTest::Contains, ignore_case: false, other: item.clone() };
        return Some(test_of(known_text(&text), asks));
    }
    let (from, below, to) = if let Some(range) = list.read_lock::<Range<INT>>() {
        (range.start, Comparison::Less, range.end)
    } else {
        let range = list.read_lock::<RangeInclusive<INT>>()?;
        (*range.start(), Comparison::LessOrEqual, *range.end())
    };
    let number = |value: INT| Num::Int(value.into());
    Some(test_of(item.clone(), Asks::Range { from: number(from), below, to: number(to) }))
}
