//! The closure that asks an event for a detection rule: a variable for each detection, and the condition over them.

use super::{
    Refusal, detection,
    expression::Expression,
    names::{free, variables},
};
use crate::rule::sigma::{condition::Condition, rule::DetectionRule};

/// What says that an event is of the rule's log source.
const SOURCE: &str = "source";

/// The closure; `limit` says that an event is of the rule's log source. It starts in column `at`, and its further lines
/// are indented by `indent` and more.
pub fn closure(rule: &DetectionRule, limit: Option<Expression>, at: usize, indent: usize) -> Result<String, Refusal> {
    let named = &rule.detections.named;
    let names: Vec<&str> = named.iter().map(|named| named.name.as_str()).collect();
    let tests: Vec<Option<Expression>> = named.iter().map(detection::named).collect::<Result<_, _>>()?;
    // A condition that is one name needs no variables.
    if let [Condition::Name { name, .. }] = &rule.detections.conditions[..] {
        let test = names.iter().position(|own| own == name).and_then(|at| tests[at].clone());
        let parts = limit.into_iter().chain(test);
        return Ok(format!("|e| {}", Expression::all(parts).laid_out(at + "|e| ".len(), indent)));
    }
    let variables = variables(&names);
    let variable = |name: &str| {
        let at = names.iter().position(|own| *own == name)?;
        tests[at].as_ref().map(|_| Expression::Leaf(variables[at].clone()))
    };
    let conditions = rule.detections.conditions.iter();
    let conditions: Vec<Expression> = conditions
        .filter_map(|condition| detection::condition(condition, named, &variable).transpose())
        .collect::<Result<_, _>>()?;
    let margin = " ".repeat(indent + 4);
    let mut lines = Vec::new();
    let mut parts = Vec::new();
    let mut declare = |name: &str, test: &Expression| {
        let start = format!("{margin}let {name} = ");
        lines.push(format!("{start}{};\n", test.laid_out(start.len(), indent + 4)));
    };
    if let Some(limit) = limit {
        let name = free(SOURCE, &variables);
        declare(&name, &limit);
        parts.push(Expression::Leaf(name));
    }
    for (name, test) in variables.iter().zip(&tests) {
        if let Some(test) = test {
            declare(name, test);
        }
    }
    parts.push(Expression::any(conditions));
    let answer = Expression::all(parts).laid_out(indent + 4, indent + 4);
    Ok(format!("|e| {{\n{}{margin}{answer}\n{}}}", lines.concat(), " ".repeat(indent)))
}
