//! Steps and their transformations, as a pipeline writes them.

use super::{
    guard::{FieldTest, Guard, GuardKeys, ItemTest, RuleTest},
    keys::{Keys, scalar},
    placeholder::Placeholders,
    rename::Rename,
    rewrite::Rewrite,
};
use crate::rule::{
    diagnostic::did_you_mean,
    sigma::{
        detection::{self, Detection},
        report::Report,
        yaml::{Mark, Node, Scalar},
    },
};

/// Steps inside of each other.
const DEPTH_MAX: usize = 8;

/// A transformation, and what it is for.
#[derive(Debug, Clone)]
pub struct Step {
    pub id: Option<String>,
    pub rule: Guard<RuleTest>,
    pub item: Guard<ItemTest>,
    pub field: Guard<FieldTest>,
    pub transformation: Transformation,
}

#[derive(Debug, Clone)]
pub enum Transformation {
    /// Of fields: where they are tested, referred to and shown.
    Rename(Rename),
    AddCondition(AddCondition),
    ChangeLogSource {
        category: Option<String>,
        product: Option<String>,
        service: Option<String>,
    },
    DropItem,
    Placeholders(Placeholders),
    Rewrite(Rewrite),
    /// What an alert shows: fields that come to it, that leave it, or that are all of it.
    AddFields(Vec<String>),
    RemoveFields(Vec<String>),
    SetFields(Vec<String>),
    SetState {
        key: String,
        value: Scalar,
    },
    RuleFailure(String),
    ItemFailure(String),
    Nest(Vec<Step>),
}

/// A detection that has to hold too, or must not.
#[derive(Debug, Clone)]
pub struct AddCondition {
    pub name: Option<String>,
    pub negated: bool,
    pub is: Added,
}

#[derive(Debug, Clone)]
pub enum Added {
    Known(Detection),
    /// With `$category`, `$product` and `$service` of the rule's log source in its texts.
    Template(Node),
}

/// What other tools know and Tripline has no use for, and why.
const ELSEWHERE: [(&str, &str); 10] = [
    ("query_expression_placeholders", "it writes an expression of another system's query language"),
    ("file_placeholders", "it reads files; write the values in `vars`"),
    ("http_placeholders", "it asks servers; write the values in `vars`"),
    ("command_placeholders", "it runs programs; write the values in `vars`"),
    ("field_name_transform", "it is a function of Python"),
    ("set_custom_attribute", "only other systems' queries have attributes"),
    ("regex", "texts ignore case without it"),
    ("hashes_fields", "map the fields of hashes by name"),
    ("extract_fields", "fields are extracted when events are decoded"),
    ("strict_field_mapping_failure", "a field that nothing maps keeps its name"),
];

const KNOWN: [&str; 21] = [
    "field_name_mapping",
    "field_name_prefix_mapping",
    "field_name_prefix",
    "field_name_suffix",
    "add_condition",
    "change_logsource",
    "drop_detection_item",
    "value_placeholders",
    "wildcard_placeholders",
    "replace_string",
    "map_string",
    "set_value",
    "convert_type",
    "case",
    "add_field",
    "remove_field",
    "set_field",
    "set_state",
    "rule_failure",
    "detection_item_failure",
    "nest",
];

impl Step {
    /// Reads a list of steps. `None` where one is wrong, which is then reported.
    pub fn list(node: &Node, report: &mut Report<'_>) -> Option<Vec<Step>> {
        Step::nested(node, 0, report)
    }

    fn nested(node: &Node, depth: usize, report: &mut Report<'_>) -> Option<Vec<Step>> {
        let Some(items) = node.as_list() else {
            report.error("wrong-type", node.at, format!("the steps are a list, not {}", node.kind()), None);
            return None;
        };
        if depth > DEPTH_MAX {
            report.error("too-large", node.at, format!("more than {DEPTH_MAX} steps inside of each other"), None);
            return None;
        }
        let steps: Vec<Option<Step>> = items.iter().map(|item| Step::read(item, depth, report)).collect();
        steps.into_iter().collect()
    }

    fn read(node: &Node, depth: usize, report: &mut Report<'_>) -> Option<Step> {
        let mut keys = Keys::of(node, "a step", report)?;
        let id = keys.text("id", report);
        let kind = keys.needed_text("type", report)?;
        let guards = |conditions, link, negated, expression| GuardKeys { conditions, link, negated, expression };
        let own = guards("rule_conditions", "rule_cond_op", "rule_cond_not", "rule_cond_expr");
        let rule = Guard::read(&mut keys, &own, RuleTest::read, report);
        let own = guards(
            "detection_item_conditions",
            "detection_item_cond_op",
            "detection_item_cond_not",
            "detection_item_cond_expr",
        );
        let item = Guard::read(&mut keys, &own, ItemTest::read, report);
        let own = guards("field_name_conditions", "field_name_cond_op", "field_name_cond_not", "field_name_cond_expr");
        let field = Guard::read(&mut keys, &own, FieldTest::read, report);
        let transformation = Transformation::read(&kind, &mut keys, depth, report)?;
        keys.finish(report);
        Some(Step { id, rule: rule?, item: item?, field: field?, transformation })
    }
}

impl Transformation {
    fn read(kind: &str, keys: &mut Keys<'_>, depth: usize, report: &mut Report<'_>) -> Option<Self> {
        Some(match kind {
            "field_name_mapping" | "field_name_prefix_mapping" | "field_name_prefix" | "field_name_suffix" => {
                Transformation::Rename(Rename::read(kind, keys, report)?)
            }
            "add_condition" => Transformation::AddCondition(AddCondition::read(keys, report)?),
            "change_logsource" => {
                let mut part = |key| keys.text(key, report).map(|text| text.to_lowercase());
                let (category, product, service) = (part("category"), part("product"), part("service"));
                Transformation::ChangeLogSource { category, product, service }
            }
            "drop_detection_item" => Transformation::DropItem,
            "value_placeholders" | "wildcard_placeholders" => {
                Transformation::Placeholders(Placeholders::read(kind, keys, report)?)
            }
            "replace_string" | "map_string" | "set_value" | "convert_type" | "case" => {
                Transformation::Rewrite(Rewrite::read(kind, keys, report)?)
            }
            "add_field" => Transformation::AddFields(keys.texts("field", report)?),
            "remove_field" => Transformation::RemoveFields(keys.texts("field", report)?),
            "set_field" => Transformation::SetFields(keys.texts("fields", report)?),
            "set_state" => Transformation::SetState {
                key: keys.needed_text("key", report)?,
                value: scalar(keys.needed("val", report)?, "val", report)?,
            },
            "rule_failure" => Transformation::RuleFailure(keys.needed_text("message", report)?),
            "detection_item_failure" => Transformation::ItemFailure(keys.needed_text("message", report)?),
            "nest" => Transformation::Nest(Step::nested(keys.needed("items", report)?, depth + 1, report)?),
            other => return unknown(other, keys, report),
        })
    }
}

fn unknown<T>(kind: &str, keys: &Keys<'_>, report: &mut Report<'_>) -> Option<T> {
    let at = keys.node.get("type").map_or(keys.node.at, |node| node.at);
    match ELSEWHERE.iter().find(|(name, _)| *name == kind) {
        Some((_, why)) => {
            let message = format!("the transformation `{kind}` is not supported: {why}");
            report.error("sigma-unsupported", at, message, None);
        }
        None => {
            let help = did_you_mean(kind, KNOWN).unwrap_or_else(|| format!("one of {}", KNOWN.join(", ")));
            report.error("unknown-value", at, format!("`{kind}` is no transformation"), Some(help));
        }
    }
    None
}

impl AddCondition {
    fn read(keys: &mut Keys<'_>, report: &mut Report<'_>) -> Option<Self> {
        let (name, negated) = (keys.text("name", report), keys.flag("negated", report));
        let is_template = keys.flag("template", report);
        let node = keys.needed("conditions", report)?;
        // Of a template too: what is wrong with it is said where the pipeline is read.
        let detection = detection::detection(node, node.at, report)?;
        let is = if is_template { Added::Template(node.clone()) } else { Added::Known(detection) };
        Some(AddCondition { name, negated, is })
    }
}

/// Puts all of a detection where the rule is that gets it: findings name the rule's file.
pub fn placed(detection: Detection, at: Mark) -> Detection {
    match detection {
        Detection::All(parts) => Detection::All(parts.into_iter().map(|part| placed(part, at)).collect()),
        Detection::Any(parts) => Detection::Any(parts.into_iter().map(|part| placed(part, at)).collect()),
        Detection::Item(mut item) => {
            item.at = at;
            item.values.iter_mut().for_each(|value| value.at = at);
            Detection::Item(item)
        }
    }
}
