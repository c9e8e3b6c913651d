//! What `when` and `alert` ask of a window.

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::rules::Side;
use crate::oracle::{Aggregate, Pattern, Test, What};

pub fn test(random: &mut StdRng, patterns: &[(Pattern, Side)]) -> Test {
    let aggregate = loop {
        let aggregate = aggregate(random, patterns);
        if !matches!(aggregate.what, What::Values(_) | What::Top(_) | What::First(_) | What::Last(_)) {
            break aggregate;
        }
    };
    let at_least = random.random_bool(0.85);
    Test { aggregate, at_least, than: if at_least { random.random_range(1..5) } else { random.random_range(2..8) } }
}

pub fn aggregate(random: &mut StdRng, patterns: &[(Pattern, Side)]) -> Aggregate {
    let (pattern, side) = patterns.choose(random).expect("a pattern");
    let (u, n) = match side {
        Side::Events => ("u", "n"),
        Side::Alerts => {
            let text = ["key", "rule.id", "entity.k", "state"].choose(random).expect("some");
            (*text, *["risk.score", "suppressed"].choose(random).expect("some"))
        }
    };
    let (u, n) = (u.to_owned(), n.to_owned());
    let what = match random.random_range(0..20) {
        0..6 => What::Count,
        6..9 => What::Distinct(u),
        9 => What::First(if random.random_bool(0.5) { u } else { n }),
        10 => What::Last(if random.random_bool(0.5) { u } else { n }),
        11 => What::Values(u),
        12 => What::Top(u),
        13 => What::Sum(n),
        14 => What::Average(n),
        15 => What::Least(n),
        16 => What::Greatest(n),
        17 => What::Deviation(n),
        18 => What::Percentile(n, *[0, 25, 50, 90, 100].choose(random).expect("some")),
        _ => What::Rate(random.random_range(1..30)),
    };
    Aggregate { pattern: pattern.name.clone(), what }
}
