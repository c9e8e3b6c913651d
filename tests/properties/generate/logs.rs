//! A log of events.

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value as Json, json};

use super::{INPUTS, KINDS, START};
use crate::oracle::{Event, Log, Until};

const HOUR: i64 = 3600;
const WEEK: i64 = 7 * 24 * HOUR;

/// Some events come later than the lateness allows, most do not.
pub fn dense(random: &mut StdRng) -> Log {
    let lateness = random.random_range(0..12);
    let partitions = random.random_range(1..4);
    let (mut time, mut arrivals) = (START, Vec::new());
    for _ in 0..random.random_range(0..70) {
        time += [0, 0, 1, 1, 2, 3, 6, 15].choose(random).expect("some");
        let disorder = if random.random_bool(0.04) { 40 } else { lateness };
        let event = Event {
            input: INPUTS.choose(random).expect("two inputs"),
            partition: random.random_range(0..partitions),
            time,
            fields: fields(random),
        };
        arrivals.push((time + random.random_range(0..disorder + 1), event));
    }
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    Log { events: in_order(arrivals), lateness, until: until(random, time) }
}

/// Some hours of the week, week after week.
pub fn of_weeks(random: &mut StdRng) -> Log {
    let lateness = random.random_range(0..3 * HOUR);
    let partitions = random.random_range(1..3);
    let hours: Vec<i64> = (0..random.random_range(1..4)).map(|_| random.random_range(0..168)).collect();
    let mut arrivals = Vec::new();
    let mut last = START;
    for week in 0..random.random_range(4..9) {
        for hour in &hours {
            // now and then nothing, in the hour before or after, and a lot
            let hour = hour + [0, 0, 0, 0, 0, 0, 1, -1].choose(random).expect("some");
            for _ in 0..*[0, 1, 1, 2, 2, 3, 9].choose(random).expect("some") {
                let time = START + week * WEEK + hour * HOUR + random.random_range(0..HOUR);
                last = last.max(time);
                let source = (*INPUTS.choose(random).expect("two inputs"), random.random_range(0..partitions));
                let event = Event { input: source.0, partition: source.1, time, fields: fields(random) };
                arrivals.push((time + random.random_range(0..lateness + 1), event));
            }
        }
    }
    Log { events: in_order(arrivals), lateness, until: until(random, last) }
}

/// In the order of their arrival.
fn in_order(mut arrivals: Vec<(i64, Event)>) -> Vec<Event> {
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    arrivals.into_iter().map(|(_, event)| event).collect()
}

fn until(random: &mut StdRng, last: i64) -> Until {
    match random.random_range(0..8) {
        0 => Until::Last,
        1 => Until::Time(START + random.random_range(0..(last - START).max(1) + 20)),
        _ => Until::Infinity,
    }
}

fn fields(random: &mut StdRng) -> Map<String, Json> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Json| drop(fields.insert(name.to_owned(), value));
    put(
        "kind",
        match random.random_range(0..10) {
            0..7 => json!(KINDS[random.random_range(0..KINDS.len())]),
            7..9 => json!([KINDS[random.random_range(0..2)], KINDS[random.random_range(2..4)]]),
            _ => json!(KINDS),
        },
    );
    for name in ["k", "l"] {
        match random.random_range(0..24) {
            0 => {}
            1 => put(name, Json::Null),
            2 => put(name, json!("")),
            3 => put(name, json!([])),
            4 => put(name, json!(["y", "x", "y", ""])),
            5 => put(name, json!(["x", 7])),
            6 => put(name, json!(7)),
            7 => put(name, json!("7")),
            8..20 => put(name, json!("x")),
            _ => put(name, json!("y")),
        }
    }
    match random.random_range(0..12) {
        0 => {}
        1 => put("u", json!(["u1", "u2"])),
        n => put("u", json!(format!("u{}", n % 4))),
    }
    match random.random_range(0..12) {
        0 => {}
        1 => put("n", json!("none")),
        2 => put("n", json!("3")),
        3 => put("n", json!([1, 2])),
        n => put("n", json!(n - 4)),
    }
    fields
}
