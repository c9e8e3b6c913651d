//! What must not change an alert changes no byte of it: the number of signals partitions, the order in which sources
//! are read, batches, commits, restarts. Spread over another number of events partitions, it differs by its positions
//! alone.

use std::sync::Arc;

use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value as Json;
use tripline::{
    alert::Alert,
    rule::{BundleMark, RuleSet},
};

use super::{
    checked, engine,
    generate::{Case, Kind},
    line, seeds_of_each,
};
use crate::oracle::{self, Until};

/// Of each kind.
const CASES: u64 = 28;

/// Of rules of each kind that change under way: each is gone through several times.
const CHANGING_CASES: u64 = 7;

fn lines(alerts: &[Alert]) -> Vec<String> {
    let mut lines: Vec<String> = alerts.iter().map(Alert::to_json).collect();
    lines.sort();
    lines
}

/// Checks so many cases of each kind, one after the other; the check gives how many alerts it has seen. Where all are
/// checked, every kind raises some: silence proves nothing.
fn holds(cases: u64, kinds: &[Kind], check: impl Fn(u64, &Case) -> Result<u64, String>) {
    let seeds = seeds_of_each(cases, kinds);
    let mut alerts = vec![0; kinds.len()];
    for seed in seeds.clone() {
        let kind = Kind::among(kinds, seed);
        let mut case = Case::of(kind, seed);
        case.log.until = Until::Infinity;
        let of_kind = kinds.iter().position(|of| *of == kind).expect("one of them");
        alerts[of_kind] += checked(seed, case, &|case| check(seed, case));
    }
    let few = kinds.iter().zip(&alerts).filter(|(_, alerts)| **alerts < cases).collect::<Vec<_>>();
    assert!(seeds.end - seeds.start == 1 || few.is_empty(), "{few:?} are few alerts in {cases} cases of each kind");
}

fn same(found: &[String], expected: &[String], what: &str) -> Result<(), String> {
    let only = |a: &[String], b: &[String]| {
        let lines: Vec<&String> = a.iter().filter(|line| !b.contains(line)).collect();
        format!("{lines:#?}")
    };
    let difference = || format!("{what}: surplus {}, missing {}", only(found, expected), only(expected, found));
    if found == expected { Ok(()) } else { Err(difference()) }
}

#[test]
fn partitions_of_signals_interleavings_batches_and_restarts_change_no_byte() {
    holds(CASES, &Kind::ALL, |seed, case| {
        let rules = engine::rules(&case.rules)?;
        let expected = lines(&engine::replay(&rules, &case.log)?);
        let mut random = StdRng::seed_from_u64(seed);
        [1, 2, 7].into_iter().try_for_each(|partitions| {
            let sets = std::slice::from_ref(&rules);
            let signals = line::signals(sets, &case.log, partitions, &mut random);
            let run = line::live(sets, signals, &mut random);
            same(&lines(&run.alerts), &expected, &format!("{partitions} signals partitions"))?;
            is_repeated(sets, &run, &mut random)
        })?;
        Ok(expected.len() as u64)
    });
}

/// The log that a run has left gives the same once more.
fn is_repeated(sets: &[Arc<RuleSet>], run: &line::Run, random: &mut StdRng) -> Result<(), String> {
    let (alerts, chained) = line::again(sets, run, random);
    same(&lines(&alerts), &lines(&run.alerts), "other batches and restarts")?;
    same(&chained, &run.chained, "what alerts are to rules, with other batches and restarts")
}

/// As long as what ties in time shares a partition, and nothing is late. Alerts that tie come in the order of their ids,
/// which are made of positions.
#[test]
fn the_number_of_events_partitions_changes_positions_alone() {
    // What ties among alerts comes in the order of their positions, so rules on alerts are left out.
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Chain).collect();
    holds(CASES, &kinds, |_, case| {
        let mut case = case.clone();
        case.rules.retain(|rule| !rule.reads(oracle::ALERTS));
        case.log.lateness = 1_000_000;
        let mut essence_of = |partitions: i64| {
            for event in &mut case.log.events {
                event.partition = u32::try_from(event.time % partitions).expect("a small number");
            }
            essence(&case)
        };
        let expected = essence_of(1)?;
        [2, 4].into_iter().try_for_each(|partitions| {
            same(&essence_of(partitions)?, &expected, &format!("{partitions} events partitions"))
        })?;
        Ok(expected.len() as u64)
    });
}

/// All of the alerts but the positions, and the ids that are made of them.
fn essence(case: &Case) -> Result<Vec<String>, String> {
    let rules = engine::rules(&case.rules)?;
    let mut lines: Vec<String> = engine::replay(&rules, &case.log)?.iter().map(without_positions).collect();
    lines.sort();
    Ok(lines)
}

fn without_positions(alert: &Alert) -> String {
    let mut json: Json = serde_json::from_str(&alert.to_json()).expect("JSON");
    let remove = |of: &mut Json, name: &str| of.as_object_mut().expect("an object").remove(name).expect(name);
    remove(&mut json, "id");
    let (mut trigger, mut evidence) = (json["trigger"].take(), json["evidence"].take());
    for place in evidence.as_array_mut().expect("evidence").iter_mut().chain([&mut trigger]) {
        remove(place, "partition");
        remove(place, "offset");
    }
    (json["trigger"], json["evidence"]) = (trigger, evidence);
    json.to_string()
}

/// The rules of one revision: of another, the first may be the same still.
fn revision(case: &Case, other: Option<&Case>, revision: u64) -> Result<Arc<RuleSet>, String> {
    let mut rules = other.unwrap_or(case).rules.clone();
    let list_of = |rule: &oracle::Rule| rule.then.as_ref().map(|adding| adding.list.clone());
    // a list that nobody writes can't be asked
    if let (Some(rule), Some(first)) = (rules.first_mut(), case.rules.first())
        && list_of(rule) == list_of(first)
    {
        *rule = first.clone();
    }
    let set = engine::rules(&rules)?;
    let bundle = Some(BundleMark { revision, hash: revision.to_string().into() });
    Ok(Arc::new(RuleSet { bundle, ..(*set).clone() }))
}

/// Each source switches at its own place, so one signals log has signals of two or three sets side by side.
#[test]
fn where_rules_switch_follows_from_the_signals_log_alone() {
    holds(CHANGING_CASES, &Kind::ALL, |seed, case| {
        let other = |more| Case::of(Kind::of(seed), seed + more);
        let sets = [
            revision(case, None, 1)?,
            revision(case, Some(&other(1_000)), 2)?,
            revision(case, Some(&other(2_000)), 3)?,
        ];
        let mut random = StdRng::seed_from_u64(seed);
        let signals = line::signals(&sets, &case.log, 2, &mut random);
        let run = line::live(&sets, signals, &mut random);
        (0..4).try_for_each(|_| is_repeated(&sets, &run, &mut random))?;
        Ok(run.alerts.len() as u64)
    });
}
