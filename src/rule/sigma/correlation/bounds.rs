//! The bounds of a condition: `gte: 10`, or several at once, all of which have to hold.

use crate::rule::{
    Amount, Comparison, Num, WindowTest,
    sigma::{
        report::Report,
        yaml::{Mark, Node, ScalarKind},
    },
};

const NAMED: [(&str, Comparison); 6] = [
    ("gt", Comparison::Greater),
    ("gte", Comparison::GreaterOrEqual),
    ("lt", Comparison::Less),
    ("lte", Comparison::LessOrEqual),
    ("eq", Comparison::Equal),
    ("neq", Comparison::NotEqual),
];

/// At least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds(Vec<(Comparison, Num)>);

impl Bounds {
    pub const KEYS: [&str; 6] = ["gt", "gte", "lt", "lte", "eq", "neq"];

    /// Reads those of a map; a bound of what `counts` is a whole number.
    pub fn read(node: &Node, counts: bool, report: &mut Report<'_>) -> Option<Self> {
        let mut bounds = Vec::new();
        for entry in node.as_map().unwrap_or_default() {
            let Some((_, comparison)) = NAMED.iter().find(|(name, _)| *name == entry.key) else { continue };
            let number = entry.value.as_scalar().and_then(|scalar| match scalar.kind {
                ScalarKind::Number(number) => Some(number),
                _ => Num::parse(&scalar.text),
            });
            match number {
                Some(number @ Num::Int(_)) => bounds.push((*comparison, number)),
                Some(number) if !counts => bounds.push((*comparison, number)),
                _ => {
                    let wanted = if counts { "a whole number" } else { "a number" };
                    let message = format!("`{}` is {}, not {wanted}", entry.key, entry.value.kind());
                    report.error("wrong-type", entry.value.at, message, None);
                    return None;
                }
            }
        }
        if bounds.is_empty() {
            let help = Some("add `gte: 10`, or another of gt, gte, lt, lte, eq, neq".to_owned());
            report.error("missing-key", node.at, "the condition has no bound", help);
            return None;
        }
        Some(Bounds(bounds))
    }

    /// Whether more can't make it false: there are lower bounds alone.
    pub fn only_rise(&self) -> bool {
        self.0.iter().all(|(comparison, _)| matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual))
    }

    /// The least whole number within the bounds, from `from` to `to`.
    pub fn least_count(&self, from: u64, to: u64) -> Option<u64> {
        // No bound cares for numbers far from all that are written, so few have to be tried.
        let written = self.0.iter().filter_map(|(_, number)| match number {
            Num::Int(number) => u64::try_from(*number).ok(),
            Num::Float(_) => None,
        });
        let near = written.flat_map(|number| [number, number.saturating_add(1)]);
        let tried = near.chain([from, from.saturating_add(1)]).filter(|count| (from..=to).contains(count));
        tried.filter(|count| self.hold(*count)).min()
    }

    fn hold(&self, count: u64) -> bool {
        let holds = |(comparison, number): &(Comparison, Num)| {
            Num::Int(count.into()).compare(*number).is_some_and(|order| comparison.holds(order))
        };
        self.0.iter().all(holds)
    }

    /// What a window has to answer.
    pub fn test(&self, amount: &Amount) -> WindowTest {
        let one = |(comparison, number): &(Comparison, Num)| {
            WindowTest::Compare(amount.clone(), *comparison, Amount::Number(*number))
        };
        match &self.0[..] {
            [bound] => one(bound),
            bounds => WindowTest::All(bounds.iter().map(one).collect()),
        }
    }

    /// Reports bounds that no number of things can be within, from `from` to `to`; says whether there is one.
    pub fn check(&self, from: u64, to: u64, at: Mark, report: &mut Report<'_>) -> bool {
        let can_hold = self.least_count(from, to).is_some();
        if !can_hold && from == 0 {
            report.error("out-of-range", at, "no count is within these bounds", None);
        } else if !can_hold {
            let message = match to {
                u64::MAX => format!("the condition never holds: a window that is looked at counts at least {from}"),
                to => format!("the condition never holds: it counts from {from} to {to}"),
            };
            let help = "that nothing comes any more is told by a Rhai rule with `silent`".to_owned();
            report.error("out-of-range", at, message, (to == u64::MAX).then_some(help));
        }
        can_hold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(bounds: &[(Comparison, i128)]) -> Bounds {
        Bounds(bounds.iter().map(|(comparison, number)| (*comparison, Num::Int(*number))).collect())
    }

    #[test]
    fn the_least_count_within_bounds_is_found() {
        let least = |of: &[(Comparison, i128)]| bounds(of).least_count(1, 100);
        assert_eq!(least(&[(Comparison::Greater, 3), (Comparison::LessOrEqual, 5)]), Some(4));
        assert_eq!(least(&[(Comparison::NotEqual, 1)]), Some(2));
        assert_eq!(least(&[(Comparison::Equal, 0)]), None);
        assert_eq!(least(&[(Comparison::Less, 1)]), None);
        assert_eq!(least(&[(Comparison::Greater, 100)]), None);
        assert_eq!(least(&[(Comparison::GreaterOrEqual, -3)]), Some(1));
        assert_eq!(least(&[(Comparison::NotEqual, 1), (Comparison::NotEqual, 2), (Comparison::Less, 9)]), Some(3));
    }

    #[test]
    fn lower_bounds_only_rise() {
        assert!(bounds(&[(Comparison::Greater, 3), (Comparison::GreaterOrEqual, 5)]).only_rise());
        assert!(!bounds(&[(Comparison::Greater, 3), (Comparison::Less, 5)]).only_rise());
    }
}
