//! Stories: rule files whose inline tests answer the questions that rule authors ask.

use std::path::Path;

/// Every story is a rule file that `tripline test` passes.
#[test]
fn every_story_holds() {
    let stories = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/stories");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tripline"))
        .args(["test".as_ref(), stories.as_os_str()])
        .output()
        .expect("the program runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.trim_end().ends_with(" 0 failed"), "{told}");
}
