//! The buckets of one matcher of events: built when an event of their classes comes, bounded, built again with rarer
//! gates when the events have shown which those are.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasherDefault, Hasher},
};

use super::{
    Matcher,
    atom::Cue,
    bucket::Bucket,
    frequency::Frequencies,
    gate::Known,
    learn::{HOT, Learner, Verdict},
    lookup::spread,
    pin::{Classes, PINS_MAX, UNKNOWN},
    program::Node,
};

/// Buckets that are kept; events of further classes share one in which nothing is known of the classes.
const BUCKETS_MAX: usize = 512;

/// Entries of the tables of all buckets, about 40 bytes each, above which such events share that one, too.
const WEIGHT_MAX: usize = 1 << 21;

/// Events after which full buckets are forgotten, so that those of today take the place of those of yesterday.
const FORGET_AFTER: u64 = 1 << 20;

/// A bucket with what tells whose it is, and what was learnt in it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bucket: Bucket,
    pub(super) learner: Learner,
    input: u32,
    classes: Classes,
}

#[derive(Debug, Default)]
pub(super) struct Buckets {
    list: Vec<Held>,
    numbers: HashMap<u64, usize, BuildHasherDefault<Spread>>,
    /// The inputs that events came from.
    inputs: Vec<Box<str>>,
    weight: usize,
    events: u64,
    pub(super) frequencies: Frequencies,
    /// Buckets built so far.
    pub(super) built: u64,
    /// The number of the last field of a bucket that was built.
    fields: u32,
}

impl Buckets {
    /// The bucket of an event.
    pub(super) fn of(&mut self, matcher: &Matcher, input: &str, classes: Classes) -> usize {
        self.events += 1;
        let input = self.input(input);
        if let Some(number) = self.numbers.get(&key(input, classes)) {
            return *number;
        }
        let full = self.list.len() >= BUCKETS_MAX || self.weight >= WEIGHT_MAX;
        if full && self.events > FORGET_AFTER {
            *self = Buckets {
                inputs: std::mem::take(&mut self.inputs),
                frequencies: std::mem::take(&mut self.frequencies),
                built: self.built,
                fields: self.fields,
                ..Buckets::default()
            };
        } else if full && classes != [UNKNOWN; PINS_MAX] {
            let name = self.inputs[input as usize].clone();
            return self.of(matcher, &name, [UNKNOWN; PINS_MAX]);
        }
        let learner = Learner::default();
        let bucket = self.build(matcher, input, classes, &learner, None);
        self.weight += bucket.weight();
        self.list.push(Held { bucket, learner, input, classes });
        self.numbers.insert(key(input, classes), self.list.len() - 1);
        self.list.len() - 1
    }

    pub(super) fn get(&mut self, number: usize) -> &mut Held {
        &mut self.list[number]
    }

    /// Looks at how a bucket's gates do, and chooses them again where that may help.
    pub(super) fn review(&mut self, matcher: &Matcher, number: usize) {
        let held = &mut self.list[number];
        let seen: Vec<(u32, u32)> = held.bucket.gates.iter().map(|gate| (gate.atom, gate.seen)).collect();
        held.bucket.gates.iter_mut().for_each(|gate| gate.seen = 0);
        if held.learner.review(seen.into_iter()) == Verdict::Calm {
            return;
        }
        let alternatives = alternatives(matcher, held);
        held.learner.probe(alternatives.into_iter());
        let learner = std::mem::take(&mut held.learner);
        let possible = std::mem::take(&mut held.bucket.possible);
        let (input, classes, before) = (held.input, held.classes, held.bucket.weight() + possible.len());
        let bucket = self.build(matcher, input, classes, &learner, Some(&possible));
        self.weight = self.weight + bucket.weight() - before;
        let held = &mut self.list[number];
        (held.bucket, held.learner) = (bucket, learner);
    }

    fn input(&mut self, name: &str) -> u32 {
        let known = self.inputs.iter().position(|known| **known == *name);
        known.unwrap_or_else(|| {
            self.inputs.push(name.into());
            self.inputs.len() - 1
        }) as u32
    }

    /// Of the patterns that read the input; where it is known which of these may be true, of them.
    fn build(
        &mut self,
        matcher: &Matcher,
        input: u32,
        classes: Classes,
        learner: &Learner,
        possible: Option<&[u32]>,
    ) -> Bucket {
        self.built += 1;
        let learnt = |atom| learner.share(atom);
        let known = Known { atoms: &matcher.atoms, answers: answers(matcher, classes), learnt: &learnt };
        let node = |pattern: u32| (pattern, &matcher.nodes[pattern as usize]);
        if let Some(possible) = possible {
            return Bucket::new(
                &mut self.fields,
                possible.iter().map(|pattern| node(*pattern)),
                &known,
                &matcher.hints,
                &self.frequencies,
            );
        }
        let input = &self.inputs[input as usize];
        let reads: Vec<bool> = matcher.rules.iter().map(|rule| rule.inputs.contains(input)).collect();
        let patterns = (0..).zip(&matcher.patterns).filter(|(_, (rule, _))| reads[*rule as usize]);
        Bucket::new(
            &mut self.fields,
            patterns.map(|(pattern, _)| node(pattern)),
            &known,
            &matcher.hints,
            &self.frequencies,
        )
    }
}

/// Input and classes as a number.
fn key(input: u32, classes: Classes) -> u64 {
    classes.iter().fold(input.into(), |key, class| key << 16 | u64::from(*class))
}

/// Hashes the keys of buckets, which come from rules, never from events.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0.rotate_left(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = spread(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = spread(number);
    }
}

/// What the classes say of each atom.
fn answers(matcher: &Matcher, classes: Classes) -> Vec<Option<bool>> {
    let mut answers = vec![None; matcher.atoms.len()];
    for (pin, class) in matcher.pins.iter().zip(classes) {
        pin.decide(class, &matcher.atoms, |atom, answer| answers[atom as usize] = Some(answer));
    }
    answers
}

/// The atoms that could gate the predicates behind hot gates.
fn alternatives(matcher: &Matcher, held: &Held) -> BTreeSet<u32> {
    let answers = answers(matcher, held.classes);
    let mut found = BTreeSet::new();
    for gate in &held.bucket.gates {
        if held.learner.share(gate.atom).is_some_and(|share| share > HOT) {
            for behind in gate.behind(&held.bucket.behind) {
                let pattern = held.bucket.possible[behind.place() as usize];
                signs(matcher, &matcher.nodes[pattern as usize], &answers, &mut found);
            }
        }
    }
    found
}

fn signs(matcher: &Matcher, node: &Node, answers: &[Option<bool>], into: &mut BTreeSet<u32>) {
    match node {
        Node::All(parts) | Node::Any(parts) => parts.iter().for_each(|part| signs(matcher, part, answers, into)),
        Node::Test(test) if answers[*test as usize].is_none() => {
            if matches!(matcher.atoms[*test as usize].cue(), Cue::Signs(_)) {
                into.insert(*test);
            }
        }
        Node::Test(_) | Node::Not(_) | Node::Constant(_) => {}
    }
}
