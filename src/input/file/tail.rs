//! One open file: its lines as they are written, through renaming and truncation.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use super::positions::{FileId, FilePosition, Fingerprint};

/// A longer line is passed on up to here; the rest of it is skipped.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Lines that were read together.
#[derive(Debug, Default)]
pub struct Lines {
    pub lines: Vec<Bytes>,
    /// How many of them are longer than [`LINE_BYTES_MAX`].
    pub cut: u64,
    /// The file was emptied: it is read again from its start.
    pub truncated: bool,
    /// Whether anything was read, be it less than a line.
    pub progressed: bool,
}

pub struct Tail {
    /// The name that it was first seen under; the sender of its lines.
    pub path: PathBuf,
    pub id: FileId,
    file: File,
    fingerprint: Fingerprint,
    /// After the last line that the log has.
    acknowledged: u64,
    /// After the last line that was read.
    next: u64,
    /// What follows it: a line that waits for its end.
    partial: Vec<u8>,
    /// The rest of a line that was cut is being passed over.
    skipping: bool,
    /// Size and time of the last look: a file that did not change is left alone.
    looked: Option<(u64, SystemTime)>,
    /// Since when no followed name leads to it.
    pub gone_since: Option<Instant>,
}

impl FileId {
    pub fn of(metadata: &Metadata) -> Self {
        FileId { dev: metadata.dev(), ino: metadata.ino() }
    }
}

impl Tail {
    /// Reads on from `offset`.
    pub fn new(path: PathBuf, file: File, offset: u64) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Tail {
            path,
            id: FileId::of(&metadata),
            fingerprint: Fingerprint::of(&file, metadata.len())?,
            file,
            acknowledged: offset,
            next: offset,
            partial: Vec::new(),
            skipping: false,
            looked: None,
            gone_since: None,
        })
    }

    pub fn position(&self) -> FilePosition {
        FilePosition { path: self.path.clone(), id: self.id, offset: self.acknowledged, fingerprint: self.fingerprint }
    }

    /// The log has every line that was read.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.next;
    }

    /// The next lines that are complete; empty at the end of the file.
    pub fn read(&mut self) -> io::Result<Lines> {
        let metadata = self.file.metadata()?;
        let look = (metadata.len(), metadata.modified()?);
        let mut lines = Lines::default();
        if self.looked != Some(look) {
            if self.was_truncated(look.0)? {
                lines = self.start_again();
            }
            if !self.fingerprint.is_full() {
                self.fingerprint = Fingerprint::of(&self.file, look.0)?;
            }
            self.looked = Some(look);
        }
        if self.read_to() < look.0 {
            let mut chunk = vec![0; CHUNK_BYTES.min((look.0 - self.read_to()) as usize)];
            let count = self.file.read_at(&mut chunk, self.read_to())?;
            chunk.truncate(count);
            lines.progressed |= count > 0;
            self.split(&chunk, &mut lines);
        }
        Ok(lines)
    }

    /// The last line, when the file will not grow any more: its end never came.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.next = self.read_to();
        let line = std::mem::take(&mut self.partial);
        (!line.is_empty() && !std::mem::take(&mut self.skipping)).then(|| Bytes::from(line))
    }

    fn read_to(&self) -> u64 {
        self.next + self.partial.len() as u64
    }

    /// Shorter than what was read, or with another beginning: emptied and written anew (copytruncate).
    fn was_truncated(&self, size: u64) -> io::Result<bool> {
        Ok(size < self.read_to() || !self.fingerprint.matches(&self.file, size)?)
    }

    fn start_again(&mut self) -> Lines {
        let lines = self.finish().into_iter().collect();
        (self.next, self.acknowledged, self.fingerprint) = (0, 0, Fingerprint::default());
        self.skipping = false;
        Lines { lines, cut: 0, truncated: true, progressed: true }
    }

    fn split(&mut self, chunk: &[u8], out: &mut Lines) {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            self.next += (self.partial.len() + end + 1) as u64;
            let mut whole = std::mem::take(&mut self.partial);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            whole.extend_from_slice(line);
            if whole.len() > LINE_BYTES_MAX {
                whole.truncate(LINE_BYTES_MAX);
                out.cut += 1;
            }
            if whole.last() == Some(&b'\r') {
                whole.pop();
            }
            out.lines.push(Bytes::from(whole));
        }
        self.partial.extend_from_slice(rest);
        self.bound_partial(out);
    }

    /// A line without an end must not fill memory.
    fn bound_partial(&mut self, out: &mut Lines) {
        if self.skipping {
            self.next += self.partial.len() as u64;
            self.partial.clear();
        } else if self.partial.len() > LINE_BYTES_MAX {
            self.next += self.partial.len() as u64;
            let mut line = std::mem::take(&mut self.partial);
            line.truncate(LINE_BYTES_MAX);
            out.lines.push(Bytes::from(line));
            out.cut += 1;
            self.skipping = true;
        }
    }
}

/// Where the last line of a file begins that is not complete; its end when all are.
pub fn after_last_line(file: &File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let start = size.saturating_sub(CHUNK_BYTES as u64);
    let mut end = vec![0; (size - start) as usize];
    let count = file.read_at(&mut end, start)?;
    let line_end = end[..count].iter().rposition(|byte| *byte == b'\n');
    Ok(line_end.map_or(start, |at| start + at as u64 + 1))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    fn all(tail: &mut Tail) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let lines = tail.read().unwrap();
            all.extend(lines.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()));
            if !lines.progressed {
                return all;
            }
        }
    }

    #[test]
    fn a_line_waits_for_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::new(file.path().into(), file.reopen().unwrap(), 0).unwrap();
        file.as_file().write_all(b"one\r\n\ntw").unwrap();
        assert_eq!(all(&mut tail), ["one", ""]);
        assert_eq!(tail.position().offset, 0);
        tail.acknowledge();
        assert_eq!(tail.position().offset, 6);
        file.as_file().write_all(b"o\n").unwrap();
        assert_eq!(all(&mut tail), ["two"]);
    }

    #[test]
    fn truncation_starts_again_and_keeps_the_line_in_hand() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::new(file.path().into(), file.reopen().unwrap(), 0).unwrap();
        fs::write(file.path(), "first line\nin hand").unwrap();
        assert_eq!(all(&mut tail), ["first line"]);
        fs::write(file.path(), "new\n").unwrap();
        assert_eq!(all(&mut tail), ["in hand", "new"]);
        fs::write(file.path(), "another beginning, and longer than before\n").unwrap();
        assert_eq!(all(&mut tail), ["another beginning, and longer than before"]);
    }

    #[test]
    fn a_line_too_long_is_cut_once_and_the_next_is_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::new(file.path().into(), file.reopen().unwrap(), 0).unwrap();
        fs::write(file.path(), format!("{}\nnext\n", "x".repeat(3 * LINE_BYTES_MAX + 5))).unwrap();
        let lines = all(&mut tail);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES_MAX, 4]);
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn the_end_is_after_the_last_complete_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(after_last_line(file.as_file()).unwrap(), 0);
        fs::write(file.path(), "one\ntwo\nthr").unwrap();
        assert_eq!(after_last_line(file.as_file()).unwrap(), 8);
    }
}
