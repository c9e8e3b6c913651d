//! Rules that follow others: on their alerts, or on lists that they write.

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{
    Kind,
    rules::{Of, rule},
};
use crate::oracle::{Adding, Ask, Rule, Written};

const LISTS: [&str; 2] = ["l0", "l1"];

/// One or two rules on events, and one or two that follow.
pub fn rules(random: &mut StdRng, kind: Kind) -> Vec<Rule> {
    let mut rules: Vec<Rule> = (0..random.random_range(1..3)).map(|at| first(random, kind, at)).collect();
    let ids: Vec<String> = rules.iter().map(|rule| rule.id.clone()).collect();
    let lists: Vec<String> = rules.iter().filter_map(|rule| Some(rule.then.as_ref()?.list.clone())).collect();
    rules.extend((0..random.random_range(1..3)).map(|at| second(random, kind, &ids, &lists, at)));
    rules
}

fn first(random: &mut StdRng, kind: Kind, at: usize) -> Rule {
    let mut rule = {
        let plain = plain(random);
        rule(random, plain, Of::Events, format!("r{at}"))
    };
    if kind == Kind::Lists || random.random_bool(0.2) {
        let pattern = rule.patterns.choose(random).expect("a pattern");
        let keys = pattern.by.len();
        let text = match keys > 0 && random.random_bool(0.5) {
            true => Written::Key(random.random_range(0..keys)),
            false => Written::Last {
                pattern: pattern.name.clone(),
                field: (*["k", "u"].choose(random).expect("some")).to_owned(),
            },
        };
        let list = (*LISTS.choose(random).expect("some")).to_owned();
        rule.then = Some(Adding { list, text, span: random.random_range(1..60) });
    }
    rule
}

fn second(random: &mut StdRng, kind: Kind, ids: &[String], lists: &[String], at: usize) -> Rule {
    let of = match (kind, random.random_range(0..8)) {
        (Kind::Lists, 2..) => Of::Events,
        (Kind::Chain, 2..) => Of::Alerts(ids),
        _ => Of::Both(ids),
    };
    let plain = plain(random);
    let id = format!("{}{at}", ["a", "s"].choose(random).expect("some"));
    let mut rule = rule(random, plain, of, id);
    if kind == Kind::Lists || !lists.is_empty() && random.random_bool(0.2) {
        let pattern = random.random_range(0..rule.patterns.len());
        let pattern = &mut rule.patterns[pattern];
        let is_on_alerts = !matches!(&pattern.asks[0], Ask::Is { field, .. } if field == "kind");
        let fields = if is_on_alerts { ["entity.k", "key"] } else { ["k", "u"] };
        pattern.asks.push(Ask::Listed {
            field: (*fields.choose(random).expect("some")).to_owned(),
            list: lists.choose(random).expect("a list").clone(),
            is_in: random.random_bool(0.75),
        });
    }
    rule
}

/// A kind whose rules follow nothing, and are done within minutes.
fn plain(random: &mut StdRng) -> Kind {
    *[
        Kind::Alone,
        Kind::Alone,
        Kind::Sliding,
        Kind::Sliding,
        Kind::Sequence,
        Kind::Absence,
        Kind::Tumbling,
        Kind::Session,
        Kind::Silent,
        Kind::FirstSeen,
        Kind::Baseline,
    ]
    .choose(random)
    .expect("some")
}
