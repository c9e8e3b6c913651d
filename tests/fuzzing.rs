//! The fuzz target's library on some thousand mutations from a seed; `tests/fuzz` goes on from there.

#[path = "fuzz/src/lib.rs"]
mod both;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

const PIECES: &[&str] = &[
    "{", "}", "[", "]", ":", ",", "\"", "\\", "\\u00e9", "\\ud83d", "null", "true", "0", "-1.5e2", " ", "\n", "\u{1}",
    "\"a\":", "\"a.b\":", "\"b\":", "\"\":", "é", "\u{feff}", "[{\"b\":", "1e999",
];

/// A seed record with up to four changes: a piece put in or in place of others, a stretch doubled, a cut.
fn mutated(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = both::SEEDS.choose(random).expect("there are seeds").as_bytes().to_vec();
    for _ in 0..random.random_range(0..4) {
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len().min(at + 8));
        let piece = PIECES.choose(random).expect("there are pieces").as_bytes();
        match random.random_range(0..5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..end, piece.iter().copied())),
            2 => {
                let stretch = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, stretch));
            }
            3 if at < bytes.len() => bytes[at] = random.random(),
            _ => drop(bytes.splice(at..at, piece.iter().copied())),
        }
    }
    bytes
}

#[test]
fn compiled_and_interpreted_agree_on_mutated_records() {
    let mut both = both::Both::new();
    let taken_whole = both::SEEDS.iter().filter(|seed| both.check(seed.as_bytes())).count();
    assert!(taken_whole >= both::SEEDS.len() - 1, "the seeds are records that both ways can be compared on");
    let mut random = StdRng::seed_from_u64(20_240_501);
    let taken = (0..5_000).filter(|_| both.check(&mutated(&mut random))).count();
    assert!(taken > 1_000, "only {taken} mutations were still records");
}
