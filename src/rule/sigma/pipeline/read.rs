//! A pipeline's own keys.

use std::collections::BTreeMap;

use super::{Pipeline, keys::Keys, step::Step};
use crate::rule::{
    number::Num,
    sigma::{
        report::Report,
        value::Text,
        yaml::{Node, ScalarKind, Yaml},
    },
};

/// A pipeline; `None` where it is none, or not whole, which is then reported.
pub fn pipeline(root: &Node, report: &mut Report<'_>) -> Option<Pipeline> {
    let mut keys = Keys::of(root, "a pipeline", report)?;
    let priority = keys.get("priority").map_or(Some(0), |node| priority(node, report));
    let vars = keys.get("vars").map_or(Some(BTreeMap::new()), |node| vars(node, report));
    let steps = match keys.get("transformations") {
        Some(node) => Step::list(node, report),
        None => {
            let help = Some("add `transformations:` with a list of steps".to_owned());
            report.error("missing-key", root.at, "the pipeline has no `transformations`", help);
            None
        }
    };
    for key in ["postprocessing", "finalizers"] {
        if let Some(node) = keys.get(key) {
            let message = format!("`{key}` changes the text of a query; here there is none, and it does nothing");
            report.warning("sigma-unsupported", node.at, message, None);
        }
    }
    // For people, and for tools that write queries.
    for key in ["name", "allowed_backends"] {
        keys.get(key);
    }
    keys.finish(report);
    Some(Pipeline { priority: priority?, vars: vars?, steps: steps? })
}

fn priority(node: &Node, report: &mut Report<'_>) -> Option<i64> {
    let number = node.as_scalar().and_then(|scalar| match scalar.kind {
        ScalarKind::Number(Num::Int(number)) => i64::try_from(number).ok(),
        _ => None,
    });
    if number.is_none() {
        report.error("wrong-type", node.at, format!("`priority` is a whole number, not {}", node.kind()), None);
    }
    number
}

/// What placeholders stand for: each a text, or a list of them, wildcards included.
fn vars(node: &Node, report: &mut Report<'_>) -> Option<BTreeMap<String, Vec<Text>>> {
    let Yaml::Map(entries) = &node.yaml else {
        report.error("wrong-type", node.at, format!("`vars` is a map, not {}", node.kind()), None);
        return None;
    };
    let mut vars = BTreeMap::new();
    for entry in entries {
        let items = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
        let texts: Option<Vec<Text>> = items.iter().map(|item| item.as_text().map(Text::parse)).collect();
        match texts {
            Some(texts) => {
                vars.insert(entry.key.clone(), texts);
            }
            None => {
                let message = format!("`{}` is a text, or a list of texts", entry.key);
                report.error("wrong-type", entry.value.at, message, None);
                return None;
            }
        }
    }
    Some(vars)
}
