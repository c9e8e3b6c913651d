//! What `when` asks of a window, and what `baseline` measures: comparisons of aggregates that run without Rhai, and
//! scripts for the rest.

use std::{sync::Arc, time::Duration};

use super::{Num, SIGNALS_MAX, ScriptError, Statistic, WindowScript, WindowView, aggregate::rate, compare::Comparison};

/// A window as closures ask it.
pub trait WindowFacts {
    fn count(&self, pattern: usize) -> u64;
    /// The aggregate of the column at that place of the pattern's; `None` of nothing.
    fn number(&self, pattern: usize, column: usize, statistic: Statistic) -> Option<Num>;
    /// Of the events of all patterns together ([`super::Together`]): how many there are, or the aggregate. `None` of nothing,
    /// and where nothing is kept of them.
    fn together(&self, _statistic: Option<Statistic>) -> Option<Num> {
        None
    }
    /// From the window's start to its end.
    fn length(&self) -> Duration;
    /// All of it, for scripts.
    fn view(&self) -> Arc<WindowView>;
}

/// A compiled `when`. It gives the same answers as the closure.
#[derive(Debug)]
pub enum WindowTest {
    Constant(bool),
    /// Every one, in order, until one is false.
    All(Vec<WindowTest>),
    /// At least one, in order, until one is true.
    Any(Vec<WindowTest>),
    Not(Box<WindowTest>),
    /// False where one of the two is missing.
    Compare(Amount, Comparison, Amount),
    Exists(Amount),
    /// The closure as Rhai runs it; tests before it in an `All` are parts of it that say no at less cost.
    Script(WindowScript),
}

/// A number that a window has, or that the rule writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Amount {
    Count {
        pattern: usize,
    },
    Rate {
        pattern: usize,
        span: Duration,
    },
    Aggregate {
        pattern: usize,
        column: usize,
        statistic: Statistic,
    },
    /// Those of the first so many patterns that have a signal.
    Occurring {
        patterns: usize,
    },
    /// Events of all patterns together.
    Events,
    /// Over the values of all patterns together.
    Together(Statistic),
    Number(Num),
}

/// What is counted, to hold it against a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Events,
    /// Different values.
    Distinct,
}

impl Counted {
    /// Whether a window can't tell how the comparison with `bound`, which stands on the right, comes out: it knows values up
    /// to [`SIGNALS_MAX`] of them, and so events where they leave one by one (`slides`).
    pub(super) fn is_out_of_reach(self, slides: bool, comparison: Comparison, bound: f64) -> bool {
        let most = SIGNALS_MAX as f64;
        let asks_above = matches!(comparison, Comparison::Greater | Comparison::LessOrEqual);
        (slides || self == Counted::Distinct) && (bound > most || asks_above && bound >= most)
    }
}

/// A compiled `value` of a `baseline`.
#[derive(Debug)]
pub enum WindowValue {
    Amount(Amount),
    Script(WindowScript),
}

impl WindowTest {
    /// Whether the window satisfies it.
    ///
    /// # Errors
    /// When a script fails, is stopped at a limit, or answers something else than true or false.
    pub fn test(&self, window: &dyn WindowFacts) -> Result<bool, ScriptError> {
        match self {
            WindowTest::Constant(answer) => Ok(*answer),
            WindowTest::All(parts) => find(parts, window, false).map(|found| !found),
            WindowTest::Any(parts) => find(parts, window, true),
            WindowTest::Not(part) => part.test(window).map(|answer| !answer),
            WindowTest::Compare(left, comparison, right) => {
                let order = left.of(window).zip(right.of(window)).and_then(|(left, right)| left.compare(right));
                Ok(order.is_some_and(|order| comparison.holds(order)))
            }
            WindowTest::Exists(amount) => Ok(amount.of(window).is_some()),
            WindowTest::Script(script) => script.test(&window.view()),
        }
    }

    /// Whether Rhai has to run for some windows.
    pub fn has_script(&self) -> bool {
        match self {
            WindowTest::Script(_) => true,
            WindowTest::All(parts) | WindowTest::Any(parts) => parts.iter().any(WindowTest::has_script),
            WindowTest::Not(part) => part.has_script(),
            WindowTest::Constant(_) | WindowTest::Compare(..) | WindowTest::Exists(_) => false,
        }
    }
}

/// Whether some part gives this answer.
fn find(parts: &[WindowTest], window: &dyn WindowFacts, wanted: bool) -> Result<bool, ScriptError> {
    for part in parts {
        if part.test(window)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Amount {
    fn of(&self, window: &dyn WindowFacts) -> Option<Num> {
        match self {
            Amount::Count { pattern } => Some(Num::Int(window.count(*pattern).into())),
            Amount::Rate { pattern, span } => rate(window.count(*pattern), window.length(), *span),
            Amount::Aggregate { pattern, column, statistic } => window.number(*pattern, *column, *statistic),
            Amount::Occurring { patterns } => {
                Some(Num::Int((0..*patterns).filter(|pattern| window.count(*pattern) > 0).count() as i128))
            }
            Amount::Events => window.together(None),
            Amount::Together(statistic) => window.together(Some(*statistic)),
            Amount::Number(number) => Some(*number),
        }
    }
}

impl WindowValue {
    /// The number, `None` of nothing.
    ///
    /// # Errors
    /// When a script fails, is stopped at a limit, or gives something else than a number.
    pub fn number(&self, window: &dyn WindowFacts) -> Result<Option<f64>, ScriptError> {
        match self {
            WindowValue::Amount(amount) => Ok(amount.of(window).map(Num::as_f64)),
            WindowValue::Script(script) => script.number(&window.view()),
        }
    }
}
