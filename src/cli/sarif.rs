//! Findings as SARIF 2.1.0 (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/>): what code hosts and editors show beside
//! the line.

use std::path::{Component, Path};

use serde_json::{Value, json};

use crate::rule::{CODES, Diagnostic, Level, Place, code};

/// The whole log, one run.
pub fn report(findings: &[Diagnostic]) -> Value {
    let rules: Vec<Value> =
        CODES.iter().map(|code| json!({"id": code.name, "shortDescription": {"text": code.says}})).collect();
    let driver = json!({
        "name": "tripline",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver},
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Diagnostic) -> Value {
    let text = match &finding.help {
        Some(help) => format!("{} ({help})", finding.message),
        None => finding.message.clone(),
    };
    let level = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    };
    let mut result = json!({
        "ruleId": finding.code,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&finding.place.file)},
            "region": {
                "startLine": finding.place.line,
                "startColumn": finding.place.column,
                "endColumn": finding.place.column + finding.length,
                "snippet": {"text": finding.source},
            },
        }}],
    });
    if !finding.also.is_empty() {
        let place = |place: &Place| {
            json!({"physicalLocation": {
                "artifactLocation": {"uri": uri(&place.file)},
                "region": {"startLine": place.line, "startColumn": place.column},
            }})
        };
        result["relatedLocations"] = finding.also.iter().map(place).collect();
    }
    if let Some(index) = code::index_of(finding.code) {
        result["ruleIndex"] = index.into();
    }
    result
}

/// A path as a URI reference, relative where the path is.
fn uri(path: &Path) -> String {
    let mut uri = String::from(if path.is_absolute() { "file://" } else { "" });
    for (at, part) in path.components().filter(|part| !matches!(part, Component::RootDir)).enumerate() {
        if at > 0 || path.is_absolute() {
            uri.push('/');
        }
        for byte in part.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(*byte)),
                byte => uri += &format!("%{byte:02X}"),
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri(Path::new("rules/a b.rhai")), "rules/a%20b.rhai");
        assert_eq!(uri(Path::new("/r/ü.rhai")), "file:///r/%C3%BC.rhai");
    }
}
