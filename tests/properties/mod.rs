//! Random rules over random logs: the engine says what the oracle says.
//!
//! A case is made from its seed alone. One that fails is made smaller as long as it fails, and printed as a rule file
//! and a log. `TRIPLINE_SEED=7` runs that seed alone; `TRIPLINE_CASES=100000` runs so many of each kind.

pub mod compare;
pub mod engine;
mod generate;
mod invariance;
mod line;
mod shrink;

use std::ops::Range;

pub use generate::{AFTERMATH, Case, INPUTS, Kind};

/// Of each kind, unless the environment says another number.
const CASES: u64 = 800;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// The seeds to run, which take turns with the kinds; or the one that was asked for.
pub fn seeds_of_each(cases: u64, kinds: &[Kind]) -> Range<u64> {
    let Range { start, end } = seeds(cases);
    if number_from("TRIPLINE_SEED").is_some() { start..end } else { start..end * kinds.len() as u64 }
}

/// The seeds to run, or the one that was asked for.
fn seeds(cases: u64) -> Range<u64> {
    match number_from("TRIPLINE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from("TRIPLINE_CASES").unwrap_or(cases),
    }
}

/// Checks a case, and panics with a smaller one where it fails; gives what the check counted.
fn checked(seed: u64, case: Case, check: shrink::Check<'_>) -> u64 {
    check(&case).unwrap_or_else(|why| {
        let (case, why) = shrink::shrink(case, why, check);
        panic!("TRIPLINE_SEED={seed}: {why}\n{case}");
    })
}

/// Runs the cases of a kind. That alerts come at all is part of the promise: silence proves nothing.
fn holds(kind: Kind) {
    let seeds = seeds(CASES);
    let alerts: u64 = seeds.clone().map(|seed| checked(seed, Case::of(kind, seed), &compare::difference)).sum();
    assert!(seeds.end - seeds.start == 1 || alerts > seeds.end - seeds.start, "{alerts} alerts are few");
}

#[test]
fn single_events_say_what_the_oracle_says() {
    holds(Kind::Alone);
}

#[test]
fn sliding_windows_say_what_the_oracle_says() {
    holds(Kind::Sliding);
}

#[test]
fn sequences_say_what_the_oracle_says() {
    holds(Kind::Sequence);
}

#[test]
fn absence_says_what_the_oracle_says() {
    holds(Kind::Absence);
}

#[test]
fn tumbling_windows_say_what_the_oracle_says() {
    holds(Kind::Tumbling);
}

#[test]
fn sessions_say_what_the_oracle_says() {
    holds(Kind::Session);
}

#[test]
fn silence_says_what_the_oracle_says() {
    holds(Kind::Silent);
}

#[test]
fn what_is_new_is_what_the_oracle_says() {
    holds(Kind::FirstSeen);
}

#[test]
fn baselines_say_what_the_oracle_says() {
    holds(Kind::Baseline);
}

#[test]
fn seasons_say_what_the_oracle_says() {
    holds(Kind::Season);
}

#[test]
fn rules_on_alerts_say_what_the_oracle_says() {
    holds(Kind::Chain);
}

#[test]
fn lists_that_rules_write_hold_what_the_oracle_says() {
    holds(Kind::Lists);
}
