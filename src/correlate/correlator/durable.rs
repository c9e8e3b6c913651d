//! The state of a partition as commits write it and as the next owner finds it.

use std::sync::Arc;

use super::{Correlator, group_of};
use crate::{
    correlate::{
        group::Group,
        key::{KeyState, Limits},
        packed::pack_key,
        plan::Plan,
        rules::Former,
        snapshot::{Changes, Header, Snapshot},
    },
    rule::RuleSet,
};

impl Correlator {
    /// A partition as a former owner left it, with the rules that it ran, and the sets of
    /// [`Header::former_bundles`]. The caller goes on reading at `snapshot.header.resume_from`.
    pub fn restore(
        rules: &Arc<RuleSet>,
        former_sets: &[Arc<RuleSet>],
        limits: Limits,
        quarantine_after: u32,
        snapshot: Snapshot,
    ) -> Self {
        let mut correlator = Correlator::new(rules, limits, quarantine_after);
        let Header { frontiers, sources, read_through, resume_from, passed_over, evicted, failures, former, .. } =
            snapshot.header;
        correlator.restore_former(&former, former_sets);
        correlator.read_through = read_through;
        correlator.next = resume_from;
        correlator.passed_over = passed_over;
        correlator.sources = sources;
        correlator.failures = failures.into_iter().map(|(id, version, n)| ((id, version), n)).collect();
        for (inputs, frontier) in frontiers {
            let inputs = inputs.into();
            let group = group_of(&mut correlator.groups, &inputs);
            let group = &mut correlator.groups[group];
            group.frontier = frontier;
            group.walked = frontier;
        }
        // Rules that read other inputs than any before.
        correlator.reach();
        for (rule, shape, at) in evicted {
            let plan = correlator.rules.get(&rule, shape);
            if let Some(table) = plan.and_then(|plan| correlator.keys.table(plan.number)) {
                table.evicted_at = Some(at);
            }
        }
        snapshot.lists.into_iter().for_each(|(member, spans)| correlator.lists.restore(member, spans));
        for (key, state) in snapshot.keys {
            // A key whose rule went leaves at the next commit.
            match correlator.rules.get(&key.rule, key.shape) {
                Some(plan) => correlator.put(&plan, &key.key, state),
                None => {
                    correlator.counts.retired_keys += 1;
                    correlator.keys.add_orphan(key);
                }
            }
        }
        correlator
    }

    fn restore_former(&mut self, former: &[Former], sets: &[Arc<RuleSet>]) {
        for former in former {
            let groups = &mut self.groups;
            let set = sets.iter().find(|set| set.bundle.as_ref() == Some(&former.bundle));
            let plan = set.and_then(|set| self.rules.restore(former, set, &mut |rule| group_of(groups, &rule.sources)));
            if let Some(plan) = plan {
                self.keys.set_plan(&plan);
            }
        }
    }

    fn put(&mut self, plan: &Arc<Plan>, key: &[Arc<str>], state: KeyState) {
        self.scratch.clear();
        pack_key(key, &mut self.scratch);
        let Some(place) = self.keys.restore(plan.number, &self.scratch, state) else { return };
        self.schedule(plan, place);
    }

    /// What a commit has to write so that [`Correlator::restore`] gives this state again. To be called after
    /// [`Correlator::advance`]: what has been passed by the frontier is not read again.
    pub fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        self.keys.take_changes(&mut changes);
        let past = self.answered();
        self.lists.take_changes(past).into_iter().for_each(|(member, spans)| changes.set_entry(member, spans));
        let header = self.header();
        self.passed_over.clone_from(&header.passed_over);
        changes.set_header(&header);
        changes
    }

    fn header(&self) -> Header {
        let waiting = self.groups.iter().filter_map(Group::first_offset).min();
        // Before all is read again that waited, the buffer does not know all of it.
        let resume_from = waiting.unwrap_or(self.next).min(self.next);
        Header {
            frontiers: self.groups.iter().map(|group| ((&group.inputs).into(), group.walked)).collect(),
            sources: self.sources.clone(),
            read_through: self.read_through,
            resume_from,
            evicted: self.keys.evicted(),
            passed_over: self.passed_over.range(resume_from..).copied().collect(),
            failures: self.failures.iter().map(|((id, version), n)| (id.clone(), version.clone(), *n)).collect(),
            rules: self.bundle.clone(),
            former: self.rules.former(),
        }
    }
}
