//! Reading a map of a pipeline key by key; a key that nobody asked for is unknown.

use crate::rule::{
    diagnostic::did_you_mean,
    sigma::{
        report::Report,
        yaml::{Mark, Node, Scalar, ScalarKind, Yaml},
    },
};

/// A map, and the keys that were asked for.
pub struct Keys<'n> {
    pub node: &'n Node,
    asked: Vec<&'static str>,
}

impl<'n> Keys<'n> {
    /// `None` where the node is no map, which is then reported; `what` names it.
    pub fn of(node: &'n Node, what: &str, report: &mut Report<'_>) -> Option<Self> {
        if node.as_map().is_none() {
            report.error("wrong-type", node.at, format!("{what} is a map, not {}", node.kind()), None);
            return None;
        }
        Some(Keys { node, asked: Vec::new() })
    }

    /// The value of a key, null as if there were none.
    pub fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        self.node.get(key).filter(|node| !node.is_null())
    }

    /// The value of a key that has to be there, null or not.
    pub fn needed(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<&'n Node> {
        self.asked.push(key);
        let node = self.node.get(key);
        if node.is_none() {
            report.error("missing-key", self.node.at, format!("`{key}` is missing"), None);
        }
        node
    }

    pub fn text(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<String> {
        self.get(key).and_then(|node| text(node, key, report))
    }

    pub fn needed_text(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<String> {
        self.needed(key, report).and_then(|node| text(node, key, report))
    }

    /// A list of texts; one alone is a list of one.
    pub fn texts(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<Vec<String>> {
        let node = self.get(key)?;
        let items = node.as_list().unwrap_or(std::slice::from_ref(node));
        items.iter().map(|item| text(item, key, report)).collect()
    }

    /// `false` where it is left out.
    pub fn flag(&mut self, key: &'static str, report: &mut Report<'_>) -> bool {
        let Some(node) = self.get(key) else { return false };
        match node.as_scalar().map(|scalar| scalar.kind) {
            Some(ScalarKind::Bool(flag)) => flag,
            _ => {
                report.error("wrong-type", node.at, format!("`{key}` is true or false, not {}", node.kind()), None);
                false
            }
        }
    }

    /// One of several words; the first where it is left out.
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)], report: &mut Report<'_>) -> T {
        let first = words[0].1;
        let Some(node) = self.get(key) else { return first };
        let written = node.as_text().unwrap_or_default();
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == written) {
            return *choice;
        }
        let names = || words.iter().map(|(word, _)| *word);
        let listed = || format!("one of {}", names().collect::<Vec<_>>().join(", "));
        let help = did_you_mean(written, names()).unwrap_or_else(listed);
        report.error("unknown-value", node.at, format!("`{written}` is no `{key}`"), Some(help));
        first
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(self, report: &mut Report<'_>) {
        let Yaml::Map(entries) = &self.node.yaml else { return };
        for entry in entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let help = did_you_mean(&entry.key, self.asked.iter().copied());
            report.error("unknown-key", entry.at, format!("unknown key `{}`", entry.key), help);
        }
    }
}

fn text(node: &Node, key: &str, report: &mut Report<'_>) -> Option<String> {
    let text = node.as_text();
    if text.is_none() {
        report.error("wrong-type", node.at, format!("`{key}` is a text, not {}", node.kind()), None);
    }
    text.map(str::to_owned)
}

/// A scalar of a pipeline, reported where it is none.
pub fn scalar(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Scalar> {
    let scalar = node.as_scalar();
    if scalar.is_none() {
        let message = format!("`{key}` is a text, a number or a boolean, not {}", node.kind());
        report.error("wrong-type", node.at, message, None);
    }
    scalar.cloned()
}

/// A list of maps, or a map of them: each with its name, if it has one, and its place.
pub fn named_or_listed<'n>(
    node: &'n Node,
    what: &str,
    report: &mut Report<'_>,
) -> Option<Vec<(Option<&'n str>, &'n Node, Mark)>> {
    match &node.yaml {
        Yaml::List(items) => Some(items.iter().map(|item| (None, item, item.at)).collect()),
        Yaml::Map(entries) => {
            Some(entries.iter().map(|entry| (Some(entry.key.as_str()), &entry.value, entry.at)).collect())
        }
        Yaml::Scalar(_) => {
            report.error("wrong-type", node.at, format!("{what} are a list or a map, not {}", node.kind()), None);
            None
        }
    }
}
