//! What a rule says of itself, in Rhai.

use super::expression::literal;
use crate::rule::{Audience, Meta, Status};

/// What the rule says of itself.
pub fn head(meta: &Meta, audience: Audience) -> String {
    let mut lines = String::new();
    let mut text = |key: &str, text: &str| {
        if !text.is_empty() {
            lines += &format!("    {key}: {},\n", literal(text));
        }
    };
    text("id", &meta.id);
    text("title", &meta.title);
    text("severity", meta.severity.as_str());
    text("status", meta.status.map_or("", Status::as_str));
    text("description", &meta.description);
    text("author", meta.author.as_deref().unwrap_or_default());
    let lists = [
        ("references", &meta.references),
        ("attack", &meta.attack),
        ("tags", &meta.tags),
        ("false_positives", &meta.false_positives),
    ];
    for (key, texts) in lists {
        lines += &list(key, texts);
    }
    if audience == Audience::Rules {
        lines += "    audience: \"rules\",\n";
    }
    lines
}

fn list(key: &str, texts: &[String]) -> String {
    const WIDTH: usize = 110;
    if texts.is_empty() {
        return String::new();
    }
    let literals: Vec<String> = texts.iter().map(|text| literal(text)).collect();
    let line = format!("    {key}: [{}],\n", literals.join(", "));
    if line.chars().count() <= WIDTH {
        return line;
    }
    let lines: String = literals.iter().map(|literal| format!("        {literal},\n")).collect();
    format!("    {key}: [\n{lines}    ],\n")
}
