//! The id that the same log always gives the same alert.

use std::{fmt::Write, sync::Arc};

use sha2::{Digest, Sha256};

use crate::event::{Position, Timestamp};

/// 32 hex digits: the first 16 bytes of the SHA-256 over, version 1: the rule id, the number of elements of the key
/// and each of them, the trigger's event time (nanoseconds), input, partition, offset and element. Texts go in as
/// their length in bytes (u32) and their UTF-8; all integers are big-endian.
pub fn id(rule: &str, key: &[Arc<str>], time: Timestamp, position: &Position, element: u32) -> String {
    let mut hash = Sha256::new();
    let text = |hash: &mut Sha256, text: &str| {
        hash.update((text.len() as u32).to_be_bytes());
        hash.update(text.as_bytes());
    };
    text(&mut hash, rule);
    hash.update((key.len() as u32).to_be_bytes());
    key.iter().for_each(|part| text(&mut hash, part));
    hash.update(time.0.to_be_bytes());
    text(&mut hash, &position.input);
    hash.update(position.partition.to_be_bytes());
    hash.update(position.offset.to_be_bytes());
    hash.update(element.to_be_bytes());
    hash.finalize()[..16].iter().fold(String::with_capacity(32), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}
