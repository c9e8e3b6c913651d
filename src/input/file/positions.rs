//! How far each file was read, kept across restarts.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use super::super::InputError;

/// How much of a file's beginning tells it from another with its inode.
const FINGERPRINT_BYTES_MAX: u64 = 1024;
const VERSION: u32 = 1;

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId {
    pub dev: u64,
    pub ino: u64,
}

/// The beginning of a file: of an append-only one it never changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub bytes: u64,
    /// XXH64 with seed 0 of the first `bytes`.
    pub hash: u64,
}

impl Fingerprint {
    /// Of a file of `size` bytes.
    pub fn of(file: &File, size: u64) -> io::Result<Self> {
        let bytes = size.min(FINGERPRINT_BYTES_MAX);
        let mut start = vec![0; bytes as usize];
        file.read_exact_at(&mut start, 0)?;
        Ok(Fingerprint { bytes, hash: xxh64(&start, 0) })
    }

    pub fn is_full(&self) -> bool {
        self.bytes == FINGERPRINT_BYTES_MAX
    }

    /// Whether a file of `size` bytes still begins so.
    pub fn matches(&self, file: &File, size: u64) -> io::Result<bool> {
        Ok(size >= self.bytes && *self == Fingerprint::of(file, self.bytes)?)
    }
}

/// Where reading goes on in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// The name that it was first seen under.
    pub path: PathBuf,
    #[serde(flatten)]
    pub id: FileId,
    /// After the last line that the log has.
    pub offset: u64,
    pub fingerprint: Fingerprint,
}

#[derive(Serialize, Deserialize)]
struct Saved<F> {
    version: u32,
    files: F,
}

/// The positions in the file at `path`; `None` when there is none yet.
pub fn load(path: &Path) -> Result<Option<Vec<FilePosition>>, InputError> {
    let broken = |error: String| InputError::Positions { path: path.to_owned(), error };
    let json = match fs::read(path) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(broken(error.to_string())),
    };
    let saved: Saved<Vec<FilePosition>> = serde_json::from_slice(&json).map_err(|error| broken(error.to_string()))?;
    if saved.version != VERSION {
        return Err(broken(format!("version {}, this program reads {VERSION}", saved.version)));
    }
    Ok(Some(saved.files))
}

/// Replaces the file at `path` whole: a crash leaves the old positions or the new.
pub fn save(path: &Path, files: &[FilePosition]) -> io::Result<()> {
    let beside = path.with_extension("new");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(&Saved { version: VERSION, files })?)?;
    file.sync_data()?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_and_broken_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below").join("positions.json");
        assert_eq!(load(&path).unwrap(), None);
        let position = FilePosition {
            path: "/var/log/auth.log".into(),
            id: FileId { dev: 1, ino: u64::MAX },
            offset: 7,
            fingerprint: Fingerprint { bytes: 3, hash: u64::MAX },
        };
        save(&path, std::slice::from_ref(&position)).unwrap();
        assert_eq!(load(&path).unwrap().unwrap(), [position]);
        fs::write(&path, "{\"version\": 1, \"files\": [").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("positions.json"));
        fs::write(&path, "{\"version\": 2, \"files\": []}").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("version 2"));
    }
}
