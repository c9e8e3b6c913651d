//! The log source of a rule: which events it speaks of.

use std::fmt;

use super::{
    report::Report,
    yaml::{Mark, Node},
};

/// What stands under `logsource`; `definition` and other keys are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    pub category: Option<String>,
    pub product: Option<String>,
    pub service: Option<String>,
    pub at: Mark,
}

impl LogSource {
    /// Reads `logsource`. `None` where it is wrong or missing, which is then reported.
    pub fn parse(root: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Some(entry) = root.entry("logsource") else {
            let help = Some("add `logsource:` with `category`, `product` or `service`".to_owned());
            report.error("missing-key", root.at, "the rule has no `logsource`", help);
            return None;
        };
        let node = &entry.value;
        if node.as_map().is_none() {
            report.error("wrong-type", node.at, format!("`logsource` is a map, not {}", node.kind()), None);
            return None;
        }
        let mut wrong = false;
        let mut part = |name: &str| {
            let node = node.get(name).filter(|node| !node.is_null())?;
            if node.as_text().is_none() {
                report.error("wrong-type", node.at, format!("`{name}` is a text, not {}", node.kind()), None);
                wrong = true;
            }
            node.as_text().map(str::to_lowercase)
        };
        let (category, product, service) = (part("category"), part("product"), part("service"));
        if wrong {
            return None;
        }
        if category.is_none() && product.is_none() && service.is_none() {
            let help = Some("add `category`, `product` or `service`".to_owned());
            report.error("missing-key", entry.at, "`logsource` names no log source", help);
            return None;
        }
        Some(LogSource { category, product, service, at: entry.at })
    }

    /// Whether the other one is all that this one says.
    pub fn covers(&self, other: &LogSource) -> bool {
        let parts =
            [(&self.category, &other.category), (&self.product, &other.product), (&self.service, &other.service)];
        parts.into_iter().all(|(own, other)| own.is_none() || own == other)
    }
}

/// `category: process_creation, product: windows`, in backticks.
impl fmt::Display for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("category", &self.category), ("product", &self.product), ("service", &self.service)];
        let written = parts.into_iter().filter_map(|(name, part)| Some(format!("{name}: {}", part.as_deref()?)));
        write!(f, "`{}`", written.collect::<Vec<_>>().join(", "))
    }
}
