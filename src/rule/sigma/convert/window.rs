//! What a correlation asks of its windows, in Rhai.

use std::{sync::Arc, time::Duration};

use super::{
    Refusal,
    detection::number,
    expression::{Expression, literal},
};
use crate::rule::{
    Aggregates, Amount, Comparison, Condition, Num, SIGNALS_MAX, Statistic, Step, Times, Together, Window, WindowTest,
    sigma::yaml::Mark, window_test::Counted,
};

/// A rule's window as it is written: what patterns are called, and where a pattern finds what it calls a path.
pub struct Windows<'a> {
    pub patterns: &'a [String],
    pub paths: &'a dyn Fn(usize, &str) -> Result<String, Refusal>,
    pub aggregates: &'a Aggregates,
    pub together: Option<&'a Together>,
    /// Whether signals leave it one by one.
    pub slides: bool,
    /// Where the correlation stands.
    pub at: Mark,
}

impl Windows<'_> {
    fn refused<T>(&self, message: impl Into<String>) -> Result<T, Refusal> {
        Err(Refusal::new(self.at, message))
    }

    /// The line with the window.
    pub fn window(&self, window: &Window) -> Result<String, Refusal> {
        match window {
            Window::Sliding(span) => Ok(format!("    within: \"{}\",\n", written(*span))),
            Window::FromFirst(span) => Ok(format!("    from_first: \"{}\",\n", written(*span))),
            _ => self.refused("a window that no correlation has"),
        }
    }

    /// The line with the condition; none where every pattern has to occur, and where `when` decides.
    pub fn condition(&self, condition: &Condition, names: &[Arc<str>]) -> Result<String, Refusal> {
        let name = |of: &Arc<str>| {
            let at = names.iter().position(|name| name == of).unwrap_or_default();
            literal(&self.patterns[at])
        };
        let times = |Times { n, pattern }: &Times| match n {
            1 => name(pattern),
            n => format!("times({n}, {})", name(pattern)),
        };
        let (key, steps) = match condition {
            Condition::AllOf(all) if all.is_empty() => return Ok(String::new()),
            Condition::AllOf(all) if all.len() == names.len() && all.iter().all(|times| times.n == 1) => {
                return Ok(String::new());
            }
            Condition::AllOf(all) => ("all_of", all.iter().map(times).collect::<Vec<_>>()),
            Condition::AnyOf(all) => ("any_of", all.iter().map(times).collect()),
            Condition::Sequence(steps) => {
                let step = |step: &Step| match step {
                    Step::None(pattern) => Ok(format!("none({})", name(pattern))),
                    Step::Some { n, patterns } => match &patterns[..] {
                        [pattern] => Ok(times(&Times { n: *n, pattern: pattern.clone() })),
                        patterns if *n == 1 => {
                            Ok(format!("any({})", patterns.iter().map(name).collect::<Vec<_>>().join(", ")))
                        }
                        _ => self.refused("several events of several rules as one step"),
                    },
                };
                ("sequence", steps.iter().map(step).collect::<Result<_, _>>()?)
            }
        };
        Ok(format!("    {key}: [{}],\n", steps.join(", ")))
    }

    /// What `when` answers.
    pub fn when(&self, test: &WindowTest) -> Result<Expression, Refusal> {
        let all = |parts: &[WindowTest]| parts.iter().map(|part| self.when(part)).collect::<Result<Vec<_>, _>>();
        Ok(match test {
            WindowTest::Constant(answer) => Expression::Leaf(answer.to_string()),
            WindowTest::All(parts) => Expression::all(all(parts)?),
            WindowTest::Any(parts) => Expression::any(all(parts)?),
            WindowTest::Not(part) => match &**part {
                WindowTest::Compare(count @ Amount::Count { .. }, Comparison::Greater, Amount::Number(Num::Int(0))) => {
                    Expression::Leaf(format!("{} == 0", self.amount(count)?))
                }
                part => self.when(part)?.negated(),
            },
            WindowTest::Compare(left, comparison, right) => {
                self.check_reach(left, *comparison, right)?;
                let (left, right) = (self.amount(left)?, self.amount(right)?);
                Expression::Leaf(format!("{left} {} {right}", comparison.name()))
            }
            WindowTest::Exists(amount) => Expression::Leaf(format!("exists({})", self.amount(amount)?)),
            WindowTest::Script(_) => return self.refused("a script"),
        })
    }

    /// Rhai rules with a bound that counting never reaches don't load.
    fn check_reach(&self, counted: &Amount, comparison: Comparison, bound: &Amount) -> Result<(), Refusal> {
        let (counted, what) = match counted {
            Amount::Count { .. } | Amount::Events => (Counted::Events, "events"),
            Amount::Together(Statistic::Distinct) | Amount::Aggregate { statistic: Statistic::Distinct, .. } => {
                (Counted::Distinct, "different values")
            }
            _ => return Ok(()),
        };
        match bound {
            Amount::Number(bound) if counted.is_out_of_reach(self.slides, comparison, bound.as_f64()) => {
                self.refused(format!("a bound beyond {SIGNALS_MAX}: a window tells so many {what} of a group apart"))
            }
            _ => Ok(()),
        }
    }

    fn amount(&self, amount: &Amount) -> Result<String, Refusal> {
        Ok(match amount {
            Amount::Number(of) => number(*of, self.at)?,
            Amount::Count { pattern } => format!("w.{}.count", self.patterns[*pattern]),
            Amount::Rate { .. } => return self.refused("a rate"),
            Amount::Aggregate { pattern, column, statistic } => {
                let field = &self.aggregates.0[*pattern].columns[*column].field;
                let path = literal(&(self.paths)(*pattern, field)?);
                format!("w.{}.{}", self.patterns[*pattern], call(*statistic, &path))
            }
            Amount::Occurring { .. } => "w.occurring".to_owned(),
            Amount::Events => "w.all.count".to_owned(),
            Amount::Together(statistic) => format!("w.all.{}", call(*statistic, &self.fields()?)),
        })
    }

    /// The fields whose values are looked at together: the same for all patterns, or those of each.
    fn fields(&self) -> Result<String, Refusal> {
        let mut fields = Vec::new();
        for (pattern, paths) in self.together.iter().flat_map(|together| &together.paths).enumerate() {
            let paths: Vec<String> =
                paths.iter().map(|path| Ok(literal(&(self.paths)(pattern, path)?))).collect::<Result<_, Refusal>>()?;
            fields.push(if paths.len() == 1 { paths.concat() } else { format!("[{}]", paths.join(", ")) });
        }
        Ok(match &fields[..] {
            [first, rest @ ..] if rest.iter().all(|field| field == first) => first.clone(),
            fields => {
                let of = |(name, field): (&String, &String)| format!("{name}: {field}");
                format!("#{{ {} }}", self.patterns.iter().zip(fields).map(of).collect::<Vec<_>>().join(", "))
            }
        })
    }
}

/// A function of a field that is written already.
fn call(statistic: Statistic, field: &str) -> String {
    match statistic {
        Statistic::Percentile(percent) => format!("percentile({field}, {percent})"),
        other => {
            let written = other.written("");
            let name = written.split('(').next().unwrap_or_default();
            format!("{name}({field})")
        }
    }
}

/// A span in the largest unit that it is a whole number of.
fn written(span: Duration) -> String {
    let seconds = span.as_secs();
    let unit = [(86_400, "d"), (3_600, "h"), (60, "m")].into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (length, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / length)
}
