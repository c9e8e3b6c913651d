//! Which rules run here: from one set to the next, and the end of those that went.

use std::{collections::HashSet, sync::Arc};

use super::{Correlator, group_of};
use crate::{
    correlate::{frontier::Sources, group::Group, plan::Plan, rules::Ending},
    detect::RecordView,
    event::Timestamp,
    rule::{BundleMark, RuleSet},
};

impl Correlator {
    /// The rules that a source announces by this record, where they are newer than those that run here: they have to
    /// be set before the record is taken in, and everything before it has to be walked.
    pub fn asks_for(&self, offset: u64, record: &RecordView<'_>) -> Option<BundleMark> {
        let RecordView::Marker(marker) = record else { return None };
        let announced = marker.rules.as_ref().filter(|rules| rules.revision > self.revision())?;
        (offset >= self.read_through && self.sources.is_current(marker)).then(|| announced.clone())
    }

    /// Which rules run here; `None` where they are nobody's bundle.
    pub fn bundle(&self) -> Option<&BundleMark> {
        self.bundle.as_ref()
    }

    pub(super) fn revision(&self) -> u64 {
        self.bundle.as_ref().map_or(0, |bundle| bundle.revision)
    }

    /// Goes on with another rule set. Rules whose shape stays keep their windows; one that went, or whose shape
    /// changed, still takes the signals that are on their way: where the set is a bundle, until every source has
    /// announced it.
    pub fn set_rules(&mut self, rules: &Arc<RuleSet>) {
        let ending = match &rules.bundle {
            Some(bundle) => Ending::Switched(bundle.revision),
            None => Ending::At(self.sources.first().unwrap_or(Timestamp::MIN)),
        };
        let groups = &mut self.groups;
        let plans = self.rules.replace(rules, ending, &mut |rule| group_of(groups, &rule.sources));
        self.bundle.clone_from(&rules.bundle);
        plans.iter().for_each(|plan| self.keys.set_plan(plan));
        self.chain.set_rules(rules);
        self.reach();
        let versions: HashSet<(&str, &str)> =
            rules.rules.iter().map(|rule| (&**rule.id(), rule.meta.version.as_str())).collect();
        self.failures.retain(|(id, version), _| versions.contains(&(&**id, version.as_str())));
    }

    /// Rules that went end when every source has switched: after the last of their signals that is on its way.
    pub(super) fn end_former(&mut self) {
        let (sources, groups) = (&self.sources, &self.groups);
        let has_switched = |plan: &Plan, revision| sources.have_switched(&plan.rule.sources, revision);
        let end = |plan: &Plan| last_on_its_way(sources, groups, plan);
        self.rules.settle(has_switched, end);
    }

    /// Ends the rules that no signal can be on its way for: of their keys only open alerts stay, until they close.
    pub(super) fn retire(&mut self) {
        let groups = &self.groups;
        let over = self.rules.take_over(|plan, end| groups[plan.group].walked > end);
        for shape in over {
            let Some(plan) = self.rules.get(&shape.0, shape.1) else { continue };
            let keys = self.keys.len();
            let has_open = self.keys.close(plan.number);
            self.counts.retired_keys += (keys - self.keys.len()) as u64;
            match has_open {
                true => self.rules.close(shape),
                false => self.end(&plan),
            }
        }
    }

    /// With its last open alert a rule that went ends.
    pub(super) fn end(&mut self, plan: &Plan) {
        self.keys.remove_plan(plan.number);
        self.rules.remove(&(plan.rule.id().clone(), plan.rule.shape));
    }
}

/// No signal of the plan after this time is on its way, once its sources write no more of them.
fn last_on_its_way(sources: &Sources, groups: &[Group], plan: &Plan) -> Timestamp {
    let waiting = groups[plan.group].last_waiting(plan.number);
    sources.first().max(waiting).unwrap_or(Timestamp::MIN)
}
