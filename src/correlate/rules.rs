//! The rules that a correlator runs: those of the current set, and those that went while signals or alerts of theirs
//! are on their way.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::plan::Plan;
use crate::{
    event::Timestamp,
    rule::{Rule, RuleSet},
};

/// (id, shape) of a rule.
pub(super) type Shape = (Arc<str>, u64);

/// The rules by shape and id.
#[derive(Debug, Default)]
pub(super) struct Rules {
    by_shape: HashMap<u64, Vec<Arc<Plan>>>,
    by_number: Vec<Option<Arc<Plan>>>,
    /// Rules that went; each takes signals until time has passed the last ones that can be on their way.
    retired: BTreeMap<Shape, Timestamp>,
    /// Rules of which only open alerts are left.
    closing: BTreeSet<Shape>,
}

impl Rules {
    /// Goes on with another set; what is not in it retires when time has passed `end`. Gives the plans of the set;
    /// `group_of` says where a rule's group is.
    pub fn replace(
        &mut self,
        set: &RuleSet,
        end: Timestamp,
        group_of: &mut dyn FnMut(&Rule) -> usize,
    ) -> Vec<Arc<Plan>> {
        let current: HashSet<Shape> = set.rules.iter().map(|rule| (rule.id().clone(), rule.shape)).collect();
        self.retired.retain(|shape, _| !current.contains(shape));
        self.closing.retain(|shape| !current.contains(shape));
        let before = self.by_shape.values().flatten().map(|plan| (plan.rule.id().clone(), plan.rule.shape));
        for shape in before.filter(|shape| !current.contains(shape) && !self.closing.contains(shape)) {
            self.retired.entry(shape).or_insert(end);
        }
        let mut plans = Vec::new();
        for rule in &set.rules {
            let shapes = self.by_shape.entry(rule.shape).or_default();
            let before = shapes.iter().position(|plan| plan.rule.id() == rule.id()).map(|at| shapes.remove(at));
            let number = before.map_or(self.by_number.len() as u32, |plan| plan.number);
            let plan = Arc::new(Plan::new(rule, number, group_of(rule)));
            self.by_number.resize(self.by_number.len().max(number as usize + 1), None);
            self.by_number[number as usize] = Some(plan.clone());
            shapes.push(plan.clone());
            plans.push(plan);
        }
        plans
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
        let is_over = |(id, shape): &Shape, end| self.get(id, *shape).is_none_or(|plan| is_past(&plan, end));
        let over: BTreeSet<Shape> =
            self.retired.iter().filter(|(shape, end)| is_over(shape, **end)).map(|(shape, _)| shape.clone()).collect();
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
