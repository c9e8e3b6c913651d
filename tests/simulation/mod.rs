//! The three stages on the memory log, with a seed in charge of everything that is not theirs to decide: who has a
//! turn, what lands when, how much a reader gives, when time passes, who crashes where, who owns which partition, and
//! when rules are loaded again. The alerts are the oracle's, each once; every one is delivered at least once.
//!
//! The lines are the server's own. Only actors and supervisors are left out, because threads and clocks of their own
//! can't be repeated. `TRIPLINE_SEED=7` runs that seed alone; `TRIPLINE_CASES=100000` runs so many of
//! each kind.

mod tasks;
mod wire;
mod world;

use std::{any::Any, panic::AssertUnwindSafe};

use crate::properties::{Case, Kind, engine, seeds_of_each};

/// Of each kind.
const CASES: u64 = 334;

/// Seeds that have failed.
const KEPT: [u64; 0] = [];

#[test]
fn whatever_happens_the_alerts_are_the_oracles() {
    let mut total = world::Told::default();
    let seeds = seeds_of_each(CASES, &Kind::ALL);
    for seed in KEPT.into_iter().chain(seeds.clone()) {
        let kind = Kind::of(seed);
        let case = Case::of(kind, seed).with_an_end();
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| world::simulate(seed, &case)));
        match told {
            Ok(told) => total += told,
            Err(panic) => panic!("TRIPLINE_SEED={seed}: {}\n{case}", text(panic.as_ref())),
        }
    }
    if seeds.end - seeds.start > 100 {
        // a quiet simulation proves little
        assert!(total.alerts > seeds.end && total.crashes > seeds.end && total.moves > seeds.end, "{total:?}");
    }
}

/// The same seed is the same run, so that a failure can be looked at.
#[test]
fn a_seed_is_a_run() {
    for seed in [1, 2, 3] {
        let case = Case::of(Kind::of(seed), seed).with_an_end();
        assert_eq!(world::simulate(seed, &case), world::simulate(seed, &case), "seed {seed}");
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
