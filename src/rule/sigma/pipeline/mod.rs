//! Processing pipelines: YAML files, as pySigma has them, that change rules before they are lowered, so that rules
//! written for one shape of logs run on another.
//!
//! A pipeline is a list of steps; a step has a transformation and says which rules, items and fields it is for. What
//! makes no sense without a query in a text (postprocessing, query expressions) is refused by name. Pipelines change
//! the typed tree and never see an event.

mod builtin;
mod guard;
mod keys;
mod placeholder;
mod read;
mod rename;
mod rewrite;
mod run;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{report::Report, rule::DetectionRule, value::Text, yaml::Node};
pub use builtin::BuiltIn;

/// A pipeline as its file has it.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Those with a lower one come first.
    pub priority: i64,
    /// What placeholders stand for.
    vars: BTreeMap<String, Vec<Text>>,
    steps: Vec<step::Step>,
}

impl Pipeline {
    /// Reads a pipeline. `None` where it is not whole, which is then reported.
    pub fn read(root: &Node, report: &mut Report<'_>) -> Option<Self> {
        read::pipeline(root, report).filter(|_| !report.has_errors())
    }
}

/// The pipelines that rules go through, in the order of their priorities.
#[derive(Debug, Clone, Default)]
pub struct Pipelines {
    in_order: Vec<Pipeline>,
    vars: BTreeMap<String, Vec<Text>>,
}

impl Pipelines {
    /// Of pipelines with one priority, the first stays first; of two values of a variable, the later one counts.
    pub fn new(pipelines: impl IntoIterator<Item = Pipeline>) -> Self {
        let mut in_order: Vec<Pipeline> = pipelines.into_iter().collect();
        in_order.sort_by_key(|pipeline| pipeline.priority);
        let vars = in_order.iter().flat_map(|pipeline| pipeline.vars.clone()).collect();
        Pipelines { in_order, vars }
    }

    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// Changes a rule, and tells what each of the `watched` fields is called in the events of the rule: several names
    /// where a pipeline has several for it. `None` where a pipeline refuses the rule, which is then reported.
    pub fn apply(
        &self,
        rule: &mut DetectionRule,
        watched: &[&str],
        report: &mut Report<'_>,
    ) -> Option<Vec<Vec<String>>> {
        let mut run = run::Run::new(rule, watched, &self.vars);
        let whole = self.in_order.iter().all(|pipeline| run.steps(&pipeline.steps, report));
        let names = run.finish(watched.len());
        whole.then_some(names)
    }
}
