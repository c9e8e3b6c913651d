//! A record that could not go on: kept with its reason, its place and its bytes.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::Position;

/// One dead letter; the JSON that the dead-letter log and `replay --dead-letters` write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub input: String,
    pub partition: u32,
    pub offset: u64,
    /// The stage that gave up: `decode`, `detect`, `correlate`, `notify`.
    pub stage: String,
    /// A stable name, then what exactly: `bad_json: byte 12: …`.
    pub reason: String,
    /// The original bytes.
    pub raw_base64: String,
}

impl DeadLetter {
    pub fn new(position: &Position, stage: &str, reason: String, raw: &[u8]) -> Self {
        DeadLetter {
            input: position.input.to_string(),
            partition: position.partition,
            offset: position.offset,
            stage: stage.to_owned(),
            reason,
            raw_base64: STANDARD.encode(raw),
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}
