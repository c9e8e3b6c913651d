//! A chunk: consecutive records of one partition, as one value of the store.
//!
//! Layout: version (1 byte), number of records (u32), then for each record: timestamp (i64), length of key and of value
//! (u32 each, [`NONE`] when absent), key, value. Integers are little-endian. The store checks a value's checksum when
//! it reads it, so a chunk has none of its own; what does not parse is still an error.

use crate::log::{Record, RecordRef};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const RECORD_HEADER_BYTES: usize = 16;
const NONE: u32 = u32::MAX;

/// A chunk is closed once it has one of these.
const RECORDS_MAX: u32 = 256;
const BYTES_MAX: usize = 64 * 1024;

/// A chunk while records are added.
pub(super) struct Builder {
    bytes: Vec<u8>,
    records: u32,
}

impl Builder {
    pub(super) fn new() -> Self {
        let mut bytes = Vec::with_capacity(1024);
        bytes.push(VERSION);
        bytes.extend([0; HEADER_BYTES - 1]);
        Builder { bytes, records: 0 }
    }

    pub(super) fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp_ms: i64) {
        let length = |bytes: Option<&[u8]>| bytes.map_or(NONE, |bytes| bytes.len() as u32);
        self.bytes.extend(timestamp_ms.to_le_bytes());
        self.bytes.extend(length(key).to_le_bytes());
        self.bytes.extend(length(value).to_le_bytes());
        for bytes in [key, value].into_iter().flatten() {
            self.bytes.extend_from_slice(bytes);
        }
        self.records += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.records >= RECORDS_MAX || self.bytes.len() >= BYTES_MAX
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes[1..HEADER_BYTES].copy_from_slice(&self.records.to_le_bytes());
        self.bytes
    }
}

/// What a record of a call adds to a chunk.
pub(super) fn stored_bytes(record: &Record) -> usize {
    RECORD_HEADER_BYTES + [&record.key, &record.value].into_iter().flatten().map(|bytes| bytes.len()).sum::<usize>()
}

/// A chunk that is read from its front. `B` owns the bytes.
pub(super) struct Chunk<B> {
    bytes: B,
    /// The offset of the next record.
    next: u64,
    left: u32,
    cursor: usize,
}

impl<B: AsRef<[u8]>> Chunk<B> {
    /// A chunk whose last record has the offset `last`; an error says what is wrong with it.
    pub(super) fn new(bytes: B, last: u64) -> Result<Self, String> {
        let header = bytes.as_ref().first_chunk::<HEADER_BYTES>().ok_or("a chunk is shorter than its header")?;
        if header[0] != VERSION {
            return Err(format!("a chunk has version {}, this program reads {VERSION}", header[0]));
        }
        let records = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
        if records == 0 || u64::from(records) > last + 1 {
            return Err(format!("a chunk that ends at {last} can't have {records} records"));
        }
        Ok(Chunk { bytes, next: last + 1 - u64::from(records), left: records, cursor: HEADER_BYTES })
    }

    /// The offset of the next record; past the last one when the chunk is read.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn is_read(&self) -> bool {
        self.left == 0
    }

    /// The next record, borrowed from the chunk.
    pub(super) fn read(&mut self) -> Result<RecordRef<'_>, String> {
        let bytes = &self.bytes.as_ref()[self.cursor..];
        let (header, body) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>().ok_or("a chunk ends inside a record")?;
        let [stamp @ .., k0, k1, k2, k3, v0, v1, v2, v3] = *header;
        let (key, body) = split(body, u32::from_le_bytes([k0, k1, k2, k3]))?;
        let (value, rest) = split(body, u32::from_le_bytes([v0, v1, v2, v3]))?;
        let offset = self.next;
        self.cursor += bytes.len() - rest.len();
        self.next += 1;
        self.left -= 1;
        Ok(RecordRef { offset, timestamp_ms: i64::from_le_bytes(stamp), stamped_by_log: false, key, value })
    }
}

fn split(bytes: &[u8], length: u32) -> Result<(Option<&[u8]>, &[u8]), String> {
    if length == NONE {
        return Ok((None, bytes));
    }
    let (field, rest) = bytes.split_at_checked(length as usize).ok_or("a chunk ends inside a record")?;
    Ok((Some(field), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Vec<u8> {
        let mut builder = Builder::new();
        builder.push(None, Some(b"one"), -5);
        builder.push(Some(b"key"), None, 0);
        builder.push(Some(b""), Some(b""), 0);
        builder.finish()
    }

    #[test]
    fn records_come_back_with_their_offsets_and_absences() {
        let mut chunk = Chunk::new(chunk(), 12).unwrap();
        assert_eq!(chunk.next(), 10);
        let first = chunk.read().unwrap();
        assert_eq!((first.offset, first.timestamp_ms, first.key, first.value), (10, -5, None, Some(&b"one"[..])));
        let second = chunk.read().unwrap();
        assert_eq!((second.offset, second.key, second.value), (11, Some(&b"key"[..]), None));
        let third = chunk.read().unwrap();
        assert_eq!((third.offset, third.key, third.value), (12, Some(&b""[..]), Some(&b""[..])));
        assert!(chunk.is_read());
    }

    #[test]
    fn a_chunk_cut_anywhere_is_an_error_and_never_a_panic() {
        let whole = chunk();
        for length in 0..whole.len() {
            let read = Chunk::new(&whole[..length], 2).and_then(|mut chunk| {
                while !chunk.is_read() {
                    chunk.read()?;
                }
                Ok(())
            });
            assert!(read.is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn a_chunk_of_another_version_is_refused() {
        let mut bytes = chunk();
        bytes[0] = 2;
        assert!(Chunk::new(bytes, 2).is_err());
    }
}
