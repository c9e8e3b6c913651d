//! The window of a rule, and how long its alerts stay open.

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{Kind, rules::Side};
use crate::oracle::{Aggregate, Baseline, Suppress, What, Window};

const HOUR: i64 = 3600;
const WEEK: i64 = 7 * 24 * HOUR;

/// Alerts come further apart than events.
pub fn window(random: &mut StdRng, kind: Kind, side: Side) -> Window {
    let wider = if side == Side::Alerts { random.random_range(1..6) } else { 1 };
    match kind {
        Kind::Alone => Window::Alone,
        Kind::Sliding | Kind::Sequence | Kind::Absence => Window::Within(random.random_range(1..25) * wider),
        Kind::Tumbling => Window::Every(random.random_range(2..25) * wider),
        Kind::Session => {
            let gap = random.random_range(1..8) * wider;
            Window::Session { gap, max: random.random_bool(0.4).then(|| gap + random.random_range(0..20)) }
        }
        Kind::Silent => Window::Silent(random.random_range(2..25) * wider),
        Kind::FirstSeen => {
            let fields = match side {
                Side::Events => ["u", "n"],
                Side::Alerts => ["key", "rule.id"],
            };
            let fields = fields[..random.random_range(1..3)].iter().map(|field| (*field).to_owned()).collect();
            let learn = random.random_bool(0.4).then(|| random.random_range(1..40));
            Window::FirstSeen { fields, over: random.random_range(1..60), learn }
        }
        Kind::Baseline => Window::Baseline(baseline(random, side)),
        Kind::Season => Window::Baseline(season(random)),
        Kind::Chain | Kind::Lists => unreachable!("the rules of such a case are of other kinds"),
    }
}

/// Nothing is ever exactly so many deviations above, or rounding would decide.
fn baseline(random: &mut StdRng, side: Side) -> Baseline {
    let every = random.random_range(3..12);
    Baseline {
        value: measured(random, side),
        every,
        over: every * random.random_range(2..6) + random.random_range(0..2),
        above: f64::from(random.random_range(1..30)) / 10.0 + 0.0371,
        by_week: false,
    }
}

fn season(random: &mut StdRng) -> Baseline {
    Baseline {
        value: measured(random, Side::Events),
        every: *[HOUR, HOUR / 2, HOUR / 3].choose(random).expect("some"),
        over: random.random_range(1..4) * WEEK + random.random_range(0..3) * HOUR,
        above: f64::from(random.random_range(1..20)) / 10.0 + 0.0371,
        by_week: true,
    }
}

fn measured(random: &mut StdRng, side: Side) -> Aggregate {
    let (text, number) = match side {
        Side::Events => ("u", "n"),
        Side::Alerts => ("key", "risk.score"),
    };
    let what = match random.random_range(0..3) {
        0 => What::Count,
        1 => What::Distinct(text.to_owned()),
        _ => What::Sum(number.to_owned()),
    };
    Aggregate { pattern: "event".to_owned(), what }
}

pub fn suppress(random: &mut StdRng) -> Suppress {
    let span = random.random_range(1..20);
    Suppress { span, max: random.random_bool(0.4).then(|| span + random.random_range(0..15)) }
}
