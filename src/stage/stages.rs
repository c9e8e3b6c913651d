//! Which stages a process runs: all of them, or some, so that stages scale apart.

use std::{fmt, str::FromStr};

/// A choice of stages; all of them by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stages {
    pub detect: bool,
    pub correlate: bool,
    pub notify: bool,
}

impl Default for Stages {
    fn default() -> Self {
        Stages { detect: true, correlate: true, notify: true }
    }
}

impl Stages {
    pub fn are_all(self) -> bool {
        self == Stages::default()
    }

    /// Whether events or signals meet rules there.
    pub fn run_rules(self) -> bool {
        self.detect || self.correlate
    }
}

impl FromStr for Stages {
    type Err = String;

    /// `detect,notify`
    fn from_str(text: &str) -> Result<Self, String> {
        let mut stages = Stages { detect: false, correlate: false, notify: false };
        for name in text.split(',') {
            match name.trim() {
                "detect" => stages.detect = true,
                "correlate" => stages.correlate = true,
                "notify" => stages.notify = true,
                other => return Err(format!("no stage \"{other}\": write some of detect,correlate,notify")),
            }
        }
        Ok(stages)
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [(self.detect, "detect"), (self.correlate, "correlate"), (self.notify, "notify")];
        let names: Vec<&str> = named.iter().filter(|(runs, _)| *runs).map(|(_, name)| *name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_as_they_are_written() {
        for text in ["detect", "detect,notify", "detect,correlate,notify"] {
            assert_eq!(text.parse::<Stages>().expect("they exist").to_string(), text);
        }
        assert!("detect, correlate,notify".parse::<Stages>().expect("they exist").are_all());
        assert!("detect,tell".parse::<Stages>().expect_err("there is no such stage").contains("\"tell\""));
        assert!("".parse::<Stages>().is_err());
    }
}
