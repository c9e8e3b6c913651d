//! Many short texts in one piece of memory: what is verified together lies together.

use std::sync::Arc;

/// Texts by number, from 0, each with an identity.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Box<[u8]>,
    held: Box<[Held]>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    start: u32,
    end: u32,
    id: u32,
}

impl Texts {
    /// Numbered in the order given.
    pub(super) fn new(texts: &[(Arc<[u8]>, u32)]) -> Self {
        let mut bytes = Vec::with_capacity(texts.iter().map(|(text, _)| text.len()).sum());
        let mut held = Vec::with_capacity(texts.len());
        for (text, id) in texts {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(text);
            held.push(Held { start, end: bytes.len() as u32, id: *id });
        }
        Texts { bytes: bytes.into(), held: held.into() }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// A text.
    #[inline]
    pub(super) fn text(&self, number: u32) -> &[u8] {
        let held = self.held[number as usize];
        &self.bytes[held.start as usize..held.end as usize]
    }

    /// A text's identity.
    #[inline]
    pub(super) fn id(&self, number: u32) -> u32 {
        self.held[number as usize].id
    }
}

/// Up to 8 bytes as a number.
#[inline]
pub(super) fn number(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(bytes) => u64::from_le_bytes(bytes),
        Err(_) => bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_numbers_and_identities() {
        let texts = Texts::new(&[(b"ab"[..].into(), 7), (b""[..].into(), 9), (b"c"[..].into(), 7)]);
        assert_eq!((texts.text(0), texts.text(1), texts.text(2)), (&b"ab"[..], &b""[..], &b"c"[..]));
        assert_eq!([texts.id(0), texts.id(1), texts.id(2)], [7, 9, 7]);
        assert_eq!(texts.len(), 3);
    }

    #[test]
    fn bytes_as_a_number_have_the_first_lowest() {
        assert_eq!(number(&[1, 2, 3]), 0x03_02_01);
        assert_eq!(number(&[1, 2, 3, 4, 5, 6, 7, 8]), 0x0807_0605_0403_0201);
    }
}
