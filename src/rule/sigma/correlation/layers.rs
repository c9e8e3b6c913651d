//! In which order correlations are built, and which can't be: the engine has two layers of rules, those on events and
//! those on alerts of the first.

use super::{Draft, directory::Target, not_loaded};
use crate::rule::Rule;

/// The places of the correlations that can be built, each after those that it refers to. The others are reported, and
/// lose their correlation.
pub fn order(drafts: &mut [Draft<'_>], others: &[&Rule]) -> Vec<usize> {
    let follows = |at: usize| others[at].follows();
    let is_good = |draft: &Draft<'_>| draft.correlation.is_some();
    let refers = |draft: &Draft<'_>, among: &dyn Fn(usize) -> bool| {
        draft.targets.iter().all(|target| match target {
            Target::Detected(_) => true,
            Target::Correlation(at) => among(*at),
            Target::Other(at) => !follows(*at),
        })
    };
    let on_events = |draft: &Draft<'_>| draft.targets.iter().all(|target| matches!(target, Target::Detected(_)));
    let first: Vec<bool> = drafts.iter().map(|draft| is_good(draft) && on_events(draft)).collect();
    let second: Vec<bool> = drafts
        .iter()
        .zip(&first)
        .map(|(draft, first_layer)| is_good(draft) && !first_layer && refers(draft, &|at| first[at]))
        .collect();
    let in_circle = in_circle(drafts);
    let good: Vec<bool> = drafts.iter().map(is_good).collect();
    for at in (0..drafts.len()).filter(|at| good[*at] && !first[*at] && !second[*at]) {
        refuse(&mut drafts[at], in_circle[at], &good, &first, &follows);
    }
    let places = |layer: &[bool]| (0..layer.len()).filter(|at| layer[*at]).collect::<Vec<_>>();
    places(&first).into_iter().chain(places(&second)).collect()
}

/// Whether each correlation refers, itself or through others, to some that refer to each other in a circle.
fn in_circle(drafts: &[Draft<'_>]) -> Vec<bool> {
    let referred = |draft: &Draft<'_>| draft.targets.iter().filter_map(Target::correlation).collect::<Vec<_>>();
    let mut open: Vec<usize> = drafts.iter().map(|draft| referred(draft).len()).collect();
    let mut referring: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    for (at, draft) in drafts.iter().enumerate() {
        referred(draft).into_iter().for_each(|inner| referring[inner].push(at));
    }
    let mut settled: Vec<usize> = (0..drafts.len()).filter(|at| open[*at] == 0).collect();
    while let Some(inner) = settled.pop() {
        for outer in std::mem::take(&mut referring[inner]) {
            open[outer] -= 1;
            if open[outer] == 0 {
                settled.push(outer);
            }
        }
    }
    open.into_iter().map(|left| left > 0).collect()
}

fn refuse(draft: &mut Draft<'_>, in_circle: bool, good: &[bool], first: &[bool], follows: &dyn Fn(usize) -> bool) {
    let Some(correlation) = draft.correlation.take() else { return };
    let report = &mut draft.report;
    for (reference, target) in correlation.rules.iter().zip(&draft.targets) {
        let message = match target {
            Target::Correlation(_) if in_circle => {
                let message = format!("`{}` leads back to where it came from: a circle", reference.text);
                return report.error("circle", reference.at, message, None);
            }
            Target::Correlation(at) if !good[*at] => return not_loaded(reference, report),
            Target::Correlation(at) if !first[*at] => {
                format!("`{}` is a correlation of correlations: this would be a third layer", reference.text)
            }
            Target::Other(at) if follows(*at) => format!("`{}` is on alerts itself", reference.text),
            _ => continue,
        };
        let help = "a correlation may refer to correlations that refer to rules over events".to_owned();
        return report.error("alerts-of-alerts", reference.at, message, Some(help));
    }
}
