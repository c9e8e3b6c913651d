//! What must not change an alert changes no byte of it: the number of signals partitions, the order in which sources
//! are read, batches, commits, restarts. Spread over another number of events partitions, it differs by its positions
//! alone.

use rand::{SeedableRng, rngs::StdRng};
use tripline::alert::Alert;

use super::{
    compare, engine,
    generate::{Case, Kind},
    line, seeds,
};
use crate::oracle::{self, Until};

const CASES: u64 = 250;

fn lines(alerts: &[Alert]) -> Vec<String> {
    let mut lines: Vec<String> = alerts.iter().map(Alert::to_json).collect();
    lines.sort();
    lines
}

/// Cases of every kind, one after the other.
fn cases() -> impl Iterator<Item = (u64, Case)> {
    seeds(CASES).map(|seed| {
        let mut case = Case::of(Kind::of(seed), seed);
        case.log.until = Until::Infinity;
        (seed, case)
    })
}

#[test]
fn partitions_of_signals_interleavings_batches_and_restarts_change_no_byte() {
    for (seed, case) in cases() {
        let rules = engine::rules(&case.rules).expect("the rules load");
        let expected = lines(&engine::replay(&rules, &case.log).expect("the rules run"));
        let mut random = StdRng::seed_from_u64(seed);
        for partitions in [1, 2, 7] {
            let signals = line::signals(&rules, &case.log, partitions, &mut random);
            let alerts: Vec<Alert> =
                signals.iter().flat_map(|records| line::alerts(&rules, records, &mut random)).collect();
            assert_eq!(lines(&alerts), expected, "TRIPLINE_SEED={seed}, {partitions} partitions\n{case}");
        }
    }
}

/// As long as what ties in time shares a partition, and nothing is late.
#[test]
fn the_number_of_events_partitions_changes_positions_alone() {
    for (seed, mut case) in cases() {
        case.log.lateness = 1_000_000;
        let essences = [1, 2, 4].map(|partitions| {
            for event in &mut case.log.events {
                event.partition = u32::try_from(event.time % i64::from(partitions)).expect("a small number");
            }
            essence(&case)
        });
        assert_eq!(essences[0], essences[1], "TRIPLINE_SEED={seed}, 1 and 2 partitions\n{case}");
        assert_eq!(essences[0], essences[2], "TRIPLINE_SEED={seed}, 1 and 4 partitions\n{case}");
    }
}

/// All of the alerts but the positions, and the ids that are made of them.
fn essence(case: &Case) -> Vec<String> {
    let rules = engine::rules(&case.rules).expect("the rules load");
    let alerts = engine::replay(&rules, &case.log).expect("the rules run");
    let without = |alert: oracle::Alert| {
        let oracle::Alert { trigger: (input, _, _, time), .. } = &alert;
        let trigger = (input.clone(), 0, 0, time.clone());
        oracle::Alert { id: String::new(), trigger, ..alert }
    };
    let mut lines: Vec<String> =
        alerts.iter().map(compare::told).map(without).map(|alert| format!("{alert:?}")).collect();
    lines.sort();
    lines
}
