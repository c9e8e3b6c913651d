//! The envelope of everything that Tripline writes for itself: a version, a checksum, the bytes.
//!
//! Layout: version (1 byte), CRC-32 (IEEE) of the body (4 bytes, big-endian), body (postcard).

use serde::{Deserialize, Serialize};

/// Why a record of ours can't be read. Such a record stops its partition; it is never read as nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the record is {0} bytes, shorter than its envelope")]
    Short(usize),
    #[error("the record has version {found}, this program reads version {known}")]
    Version { found: u8, known: u8 },
    #[error("the record's checksum does not match")]
    Checksum,
    #[error("the record does not decode: {0}")]
    Body(String),
}

/// Wraps `body` for a log. A body of ours always encodes: a failure is a broken invariant.
pub fn seal<T: Serialize>(version: u8, body: &T) -> Vec<u8> {
    let mut bytes = vec![version, 0, 0, 0, 0];
    bytes = postcard::to_extend(body, bytes).expect("records of ours encode");
    let checksum = crc32fast::hash(&bytes[5..]);
    bytes[1..5].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// Unwraps what [`seal`] wrote, of this version.
pub fn open<'a, T: Deserialize<'a>>(known: u8, bytes: &'a [u8]) -> Result<T, FrameError> {
    let Some((envelope, body)) = bytes.split_at_checked(5) else { return Err(FrameError::Short(bytes.len())) };
    if envelope[0] != known {
        return Err(FrameError::Version { found: envelope[0], known });
    }
    if crc32fast::hash(body).to_be_bytes() != envelope[1..5] {
        return Err(FrameError::Checksum);
    }
    postcard::from_bytes(body).map_err(|error| FrameError::Body(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_seen() {
        let mut bytes = seal(1, &("key", 7u64));
        assert_eq!(open::<(String, u64)>(1, &bytes).unwrap(), ("key".to_owned(), 7));
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(open::<(String, u64)>(1, &bytes), Err(FrameError::Checksum));
    }

    #[test]
    fn another_version_is_refused() {
        let bytes = seal(2, &1u8);
        assert_eq!(open::<u8>(1, &bytes), Err(FrameError::Version { found: 2, known: 1 }));
    }
}
