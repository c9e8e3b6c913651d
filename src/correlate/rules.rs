//! The rules that a correlator runs: those of the current set, and those that went while signals or alerts of theirs
//! are on their way.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::{
    event::Timestamp,
    rule::{BundleMark, Rule, RuleSet},
};

/// (id, shape) of a rule.
pub(super) type Shape = (Arc<str>, u64);

/// Until when a rule that went takes signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// While one of the sources that it reads still has rules of an earlier revision.
    Switched(u64),
    /// Until time has passed this.
    At(Timestamp),
}

/// A rule that went and is not over, as a commit remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    pub id: Arc<str>,
    pub shape: u64,
    /// The bundle that has it.
    pub bundle: BundleMark,
    /// `None` where only open alerts are left.
    pub ending: Option<Ending>,
}

/// The rules by shape and id.
#[derive(Debug, Default)]
pub(super) struct Rules {
    by_shape: HashMap<u64, Vec<Arc<Plan>>>,
    by_number: Vec<Option<Arc<Plan>>>,
    /// Rules that went; each takes signals until time has passed the last ones that can be on their way.
    retired: BTreeMap<Shape, Ending>,
    /// Rules of which only open alerts are left.
    closing: BTreeSet<Shape>,
}

impl Rules {
    /// Goes on with another set; what is not in it retires at `ending`. Gives the plans of the set; `group_of` says
    /// where a rule's group is.
    pub fn replace(
        &mut self,
        set: &RuleSet,
        ending: Ending,
        group_of: &mut dyn FnMut(&Rule) -> usize,
    ) -> Vec<Arc<Plan>> {
        let current: HashSet<Shape> = set.rules.iter().map(|rule| (rule.id().clone(), rule.shape)).collect();
        self.retired.retain(|shape, _| !current.contains(shape));
        self.closing.retain(|shape| !current.contains(shape));
        let before = self.by_shape.values().flatten().map(|plan| (plan.rule.id().clone(), plan.rule.shape));
        for shape in before.filter(|shape| !current.contains(shape) && !self.closing.contains(shape)) {
            self.retired.entry(shape).or_insert(ending);
        }
        let mut plans = Vec::new();
        for rule in &set.rules {
            let shapes = self.by_shape.entry(rule.shape).or_default();
            let before = shapes.iter().position(|plan| plan.rule.id() == rule.id()).map(|at| shapes.remove(at));
            let number = before.map_or(self.by_number.len() as u32, |plan| plan.number);
            let plan = Arc::new(Plan::new(rule, set.bundle.as_ref(), number, group_of(rule)));
            self.by_number.resize(self.by_number.len().max(number as usize + 1), None);
            self.by_number[number as usize] = Some(plan.clone());
            shapes.push(plan.clone());
            plans.push(plan);
        }
        plans
    }

    /// Takes a rule in that went before a restart, from the set that it was in. Gives its plan.
    pub fn restore(
        &mut self,
        former: &Former,
        set: &RuleSet,
        group_of: &mut dyn FnMut(&Rule) -> usize,
    ) -> Option<Arc<Plan>> {
        let rule = set.get(&former.id).filter(|rule| rule.shape == former.shape)?;
        if self.get(&former.id, former.shape).is_some() {
            return None;
        }
        let plan = Arc::new(Plan::new(rule, set.bundle.as_ref(), self.by_number.len() as u32, group_of(rule)));
        self.by_number.push(Some(plan.clone()));
        self.by_shape.entry(rule.shape).or_default().push(plan.clone());
        let shape = (former.id.clone(), former.shape);
        match former.ending {
            Some(ending) => drop(self.retired.insert(shape, ending)),
            None => drop(self.closing.insert(shape)),
        }
        Some(plan)
    }

    /// What went and is not over, where it can be found again.
    pub fn former(&self) -> Vec<Former> {
        let retired = self.retired.iter().map(|(shape, ending)| (shape, Some(*ending)));
        let closing = self.closing.iter().map(|shape| (shape, None));
        let former = |((id, shape), ending): (&Shape, Option<Ending>)| {
            let bundle = self.get(id, *shape)?.bundle.clone()?;
            Some(Former { id: id.clone(), shape: *shape, bundle, ending })
        };
        retired.chain(closing).filter_map(former).collect()
    }

    /// Gives the rules whose sources have all switched an end; `has_switched` says so of a plan and a revision, `end`
    /// is the time of the last signal of a plan that is on its way.
    pub fn settle(&mut self, has_switched: impl Fn(&Plan, u64) -> bool, end: impl Fn(&Plan) -> Timestamp) {
        let by_shape = &self.by_shape;
        for ((id, shape), ending) in &mut self.retired {
            let plan = by_shape.get(shape).and_then(|plans| plans.iter().find(|plan| plan.rule.id() == id));
            if let (Ending::Switched(revision), Some(plan)) = (*ending, plan)
                && has_switched(plan, revision)
            {
                *ending = Ending::At(end(plan));
            }
        }
    }

    /// Whether a rule went whose end this time is behind.
    pub fn is_past(&self, rule: &Rule, time: Timestamp) -> bool {
        let ending = || self.retired.get(&(rule.id().clone(), rule.shape));
        !self.retired.is_empty() && ending().is_some_and(|ending| matches!(ending, Ending::At(end) if time > *end))
    }

    pub fn get(&self, id: &str, shape: u64) -> Option<Arc<Plan>> {
        self.by_shape.get(&shape)?.iter().find(|plan| **plan.rule.id() == *id).cloned()
    }

    /// The rule of this shape as it is now.
    pub fn current(&self, plan: &Plan) -> Option<Arc<Plan>> {
        let same = self.by_number.get(plan.number as usize)?.clone();
        // It went, and may have come again.
        same.or_else(|| self.get(plan.rule.id(), plan.rule.shape))
    }

    /// Takes the retired rules whose time has come.
    pub fn take_over(&mut self, is_past: impl Fn(&Plan, Timestamp) -> bool) -> BTreeSet<Shape> {
        let is_over = |(id, shape): &Shape, ending: &Ending| match (self.get(id, *shape), ending) {
            (Some(plan), Ending::At(end)) => is_past(&plan, *end),
            (Some(_), Ending::Switched(_)) => false,
            (None, _) => true,
        };
        let over = self.retired.iter().filter(|(shape, ending)| is_over(shape, ending));
        let over: BTreeSet<Shape> = over.map(|(shape, _)| shape.clone()).collect();
        self.retired.retain(|shape, _| !over.contains(shape));
        over
    }

    /// The rule stays until its last open alert has closed.
    pub fn close(&mut self, shape: Shape) {
        self.closing.insert(shape);
    }

    pub fn is_closing(&self, rule: &Rule) -> bool {
        !self.closing.is_empty() && self.closing.contains(&(rule.id().clone(), rule.shape))
    }

    pub fn remove(&mut self, shape: &Shape) {
        self.closing.remove(shape);
        let (id, shape) = shape;
        if let Some(shapes) = self.by_shape.get_mut(shape) {
            for over in shapes.extract_if(.., |plan| plan.rule.id() == id) {
                self.by_number[over.number as usize] = None;
            }
            if shapes.is_empty() {
                self.by_shape.remove(shape);
            }
        }
    }
}
