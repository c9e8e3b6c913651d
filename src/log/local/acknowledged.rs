//! A note beside the store of how far each partition was acknowledged, so that a store that comes back shorter (a
//! damaged journal is cut where it stops making sense) is an error and not an empty tail.
//!
//! The note is written about once a second and is never ahead of the store: what it names was on disk before. A note
//! that can't be read says nothing.
//!
//! Layout: CRC-32 of the rest (4 bytes, big-endian), then a manifest value of topic -> next offsets.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::keys;

pub(super) type Ends = BTreeMap<String, Vec<u64>>;

pub(super) struct Note {
    path: PathBuf,
}

impl Note {
    pub(super) fn new(data: &Path) -> Self {
        Note { path: data.join("acknowledged") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read(&self) -> io::Result<Ends> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ends::new()),
            Err(error) => return Err(error),
        };
        Ok(open(&bytes).unwrap_or_else(|| {
            tracing::warn!(path = %self.path.display(), "the note of what was acknowledged can't be read");
            Ends::new()
        }))
    }

    pub(super) fn write(&self, ends: &Ends) -> io::Result<()> {
        let body = keys::encode(ends);
        let mut bytes = crc32fast::hash(&body).to_be_bytes().to_vec();
        bytes.extend(body);
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, bytes)?;
        fs::rename(&fresh, &self.path)
    }
}

fn open(bytes: &[u8]) -> Option<Ends> {
    let (checksum, body) = bytes.split_first_chunk::<4>()?;
    (crc32fast::hash(body).to_be_bytes() == *checksum).then(|| keys::decode(body).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_note_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let note = Note::new(folder.path());
        assert_eq!(note.read().unwrap(), Ends::new());
        let ends = Ends::from([("a".to_owned(), vec![3, 0])]);
        note.write(&ends).unwrap();
        assert_eq!(note.read().unwrap(), ends);
        let mut bytes = fs::read(note.path()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(note.path(), bytes).unwrap();
        assert_eq!(note.read().unwrap(), Ends::new());
    }
}
