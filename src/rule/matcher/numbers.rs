//! Which of many bounds a number keeps: sorted, so that those it keeps stand together.

use std::cmp::Ordering;

use super::super::{compare::Comparison, number::Num};

/// Comparisons with literals of one field.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    equal: Vec<(Num, u32)>,
    /// `field > bound` and, where inclusive, `field >= bound`.
    above: Vec<Bound>,
    /// `field < bound` and, where inclusive, `field <= bound`.
    below: Vec<Bound>,
}

#[derive(Debug, Clone, Copy)]
struct Bound {
    at: Num,
    inclusive: bool,
    id: u32,
}

impl Numbers {
    /// Enters `field comparison number`; says whether it belongs here: `!=` does not, nor does what has no order.
    pub(super) fn enter(&mut self, comparison: Comparison, number: Num, id: u32) -> bool {
        if number.compare(number).is_none() {
            return false;
        }
        let bound = |inclusive| Bound { at: number, inclusive, id };
        match comparison {
            Comparison::Equal => self.equal.push((number, id)),
            Comparison::Greater => self.above.push(bound(false)),
            Comparison::GreaterOrEqual => self.above.push(bound(true)),
            Comparison::Less => self.below.push(bound(false)),
            Comparison::LessOrEqual => self.below.push(bound(true)),
            Comparison::NotEqual => return false,
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.above.is_empty() && self.below.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.equal.len() + self.above.len() + self.below.len()
    }

    /// To be called when everything has been entered.
    pub(super) fn sort(&mut self) {
        self.equal.sort_by(|a, b| order(a.0, b.0));
        self.above.sort_by(|a, b| order(a.at, b.at).then(b.inclusive.cmp(&a.inclusive)));
        self.below.sort_by(|a, b| order(a.at, b.at).then(a.inclusive.cmp(&b.inclusive)));
    }

    /// Calls `found` with the identity of each comparison that holds of the number.
    pub(super) fn scan(&self, number: Num, found: &mut impl FnMut(u32)) {
        let from = self.equal.partition_point(|(own, _)| order(*own, number) == Ordering::Less);
        let equal = self.equal[from..].iter().take_while(|(own, _)| order(*own, number) == Ordering::Equal);
        equal.for_each(|(_, id)| found(*id));
        let kept = |bound: &Bound, beyond| match order(bound.at, number) {
            Ordering::Equal => bound.inclusive,
            order => order == beyond,
        };
        let above = self.above.partition_point(|bound| kept(bound, Ordering::Less));
        self.above[..above].iter().for_each(|bound| found(bound.id));
        let below = self.below.partition_point(|bound| !kept(bound, Ordering::Greater));
        self.below[below..].iter().for_each(|bound| found(bound.id));
    }
}

/// Numbers of events and rules are never NaN.
fn order(a: Num, b: Num) -> Ordering {
    a.compare(b).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = Num> {
        prop_oneof![(-3..4i128).prop_map(Num::Int), (-6..7i32).prop_map(|half| Num::Float(f64::from(half) / 2.0))]
    }

    proptest! {
        #[test]
        fn finds_exactly_the_comparisons_that_hold(
            bounds in prop::collection::vec((0..Comparison::ALL.len(), numbers()), 0..30),
            number in numbers(),
        ) {
            let mut entered = Numbers::default();
            let mut really = Vec::new();
            for ((comparison, bound), id) in bounds.into_iter().zip(0..) {
                let (_, comparison) = Comparison::ALL[comparison];
                if entered.enter(comparison, bound, id) && number.compare(bound).is_some_and(|o| comparison.holds(o)) {
                    really.push(id);
                }
            }
            entered.sort();
            let mut found = Vec::new();
            entered.scan(number, &mut |id| found.push(id));
            found.sort_unstable();
            prop_assert_eq!(found, really);
        }
    }
}
