//! The records of a file: its lines, plain or compressed.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Of a longer record the beginning is read, which is still far more than an event may have.
const RECORD_BYTES_MAX: u64 = 16 << 20;

/// A file of records, read once from front to back. `-` is standard input. Compression (gzip, zstd) is known by the
/// first bytes, not by the name.
pub struct Records {
    path: PathBuf,
    lines: Box<dyn BufRead>,
    /// Bytes of the file as it lies on disk that were read so far.
    read: Arc<AtomicU64>,
    size: Option<u64>,
    offset: u64,
}

/// A file that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct Unreadable {
    pub path: PathBuf,
    pub error: io::Error,
}

struct Counting<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Records {
    /// # Errors
    /// When the file can't be opened, or is a folder.
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        let unreadable = |error| Unreadable { path: path.to_owned(), error };
        let read = Arc::new(AtomicU64::new(0));
        let (size, inner): (_, Box<dyn Read>) = if path == Path::new("-") {
            (None, Box::new(io::stdin()))
        } else {
            let file = File::open(path).map_err(unreadable)?;
            let metadata = file.metadata().map_err(unreadable)?;
            if metadata.is_dir() {
                return Err(unreadable(io::Error::other("is a folder")));
            }
            (Some(metadata.len()), Box::new(file))
        };
        let counted = BufReader::with_capacity(1 << 16, Counting { inner, read: read.clone() });
        Ok(Records { lines: opened(counted).map_err(unreadable)?, path: path.to_owned(), read, size, offset: 0 })
    }

    /// The next record that is not blank, without its line end, and its 0-based number; `None` at the end. Blank
    /// lines have numbers too, so that a number names a line of the file.
    ///
    /// # Errors
    /// When the file can't be read further, or does not decompress.
    pub fn next(&mut self, into: &mut Vec<u8>) -> Result<Option<u64>, Unreadable> {
        loop {
            into.clear();
            if self.line(into).map_err(|error| Unreadable { path: self.path.clone(), error })? == 0 {
                return Ok(None);
            }
            let offset = self.offset;
            self.offset += 1;
            while into.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                into.pop();
            }
            if !into.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(offset));
            }
        }
    }

    /// Reads a line, or its beginning where it is too long; says how many bytes it kept.
    fn line(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let read = self.lines.by_ref().take(RECORD_BYTES_MAX).read_until(b'\n', into)?;
        if read as u64 == RECORD_BYTES_MAX && into.last() != Some(&b'\n') {
            self.lines.skip_until(b'\n')?;
        }
        Ok(read)
    }

    /// Bytes on disk, where they are known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Bytes of [`Records::size`] that were read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

fn opened(mut raw: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    let start = raw.fill_buf()?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(raw)))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(BufReader::new(zstd::Decoder::with_buffer(raw)?))
    } else {
        Box::new(raw)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<(u64, String)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut records = Records::open(file.path()).unwrap();
        let (mut line, mut found) = (Vec::new(), Vec::new());
        while let Some(offset) = records.next(&mut line).unwrap() {
            found.push((offset, String::from_utf8(line.clone()).unwrap()));
        }
        found
    }

    #[test]
    fn a_number_names_a_line_of_the_file() {
        assert_eq!(all(b"a\n\nb\r\nc"), [(0, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())]);
    }

    #[test]
    fn of_a_record_beyond_the_bound_the_beginning_is_kept_and_the_next_one_is_whole() {
        let max = RECORD_BYTES_MAX as usize;
        let lines = all(format!("{}\n{}\nnext\n", "a".repeat(max + 5), "b".repeat(max - 1)).as_bytes());
        let lengths: Vec<(u64, usize)> = lines.iter().map(|(offset, line)| (*offset, line.len())).collect();
        assert_eq!(lengths, [(0, max), (1, max - 1), (2, 4)]);
    }

    #[test]
    fn compressed_files_read_like_plain_ones() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"a\nb\n").unwrap();
        let plain = all(b"a\nb\n");
        assert_eq!(all(&gzip.finish().unwrap()), plain);
        assert_eq!(all(&zstd::encode_all(&b"a\nb\n"[..], 1).unwrap()), plain);
    }
}
