//! Cases that are folders. `diagnostics/<name>/`: rule files, and `expected.txt` with what loading says of them: the
//! errors, or the warnings where there is none. `BLESS=1` writes what was said. `stories/`: rule files whose inline tests
//! answer what rule authors ask. `correlations/`: rules of Sigma, events, and the alerts that follow.

mod correlations;
mod stories;

use std::{
    fs,
    path::{Path, PathBuf},
};

use tripline::{
    cli::read_rule_files,
    rule::{CODES, LoadOptions, Loaded, load},
};

fn folders(under: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(under);
    let entries = fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn said(loaded: &Loaded) -> String {
    let errors = loaded.has_errors();
    let findings = loaded.diagnostics.iter().filter(|finding| finding.is_error() == errors);
    findings.map(|finding| finding.render(false) + "\n\n").collect()
}

#[test]
fn every_mistake_is_explained_at_its_place() {
    let mut wrong = Vec::new();
    for folder in folders("diagnostics") {
        let files = read_rule_files(&folder).unwrap();
        let options = LoadOptions { inputs: Some(["auth", "web"].map(str::to_owned).into()), ..LoadOptions::default() };
        let said = said(&load(&files, &options, None));
        let expected = folder.join("expected.txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", folder.display()));
        }
        assert!(!said.is_empty(), "{} says nothing", folder.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Those that no folder can show: a rule set before this one, a pipeline, and a file of a megabyte.
const ELSEWHERE: [&str; 3] = ["kept", "sigma-pipeline", "too-large"];

#[test]
fn every_kind_of_finding_has_a_case() {
    let expected: String =
        folders("diagnostics").iter().map(|folder| fs::read_to_string(folder.join("expected.txt")).unwrap()).collect();
    let shown =
        |name: &str| ["error", "warning", "note"].iter().any(|level| expected.contains(&format!("{level}[{name}]")));
    let missing: Vec<&str> =
        CODES.iter().map(|code| code.name).filter(|name| !ELSEWHERE.contains(name) && !shown(name)).collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}
