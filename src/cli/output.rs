//! Where commands write: results to stdout, everything else to stderr.
//!
//! A reader that went away (`| head -1`) is no failure: what it no longer wants is dropped, and the command goes on to
//! its files and its exit code.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufWriter, ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result};

/// A stream that takes no more once its reader is gone, without saying so.
struct Lenient<W> {
    inner: W,
    gone: bool,
}

impl<W: Write> Lenient<W> {
    fn unless_gone<T>(&mut self, instead: T, call: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.gone {
            return Ok(instead);
        }
        match call(&mut self.inner) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(instead)
            }
            result => result,
        }
    }
}

impl<W: Write> Write for Lenient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_gone(bytes.len(), |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_gone((), Write::flush)
    }
}

/// Results on their way to standard output or a file; [`Output::finish`] says whether they arrived.
pub struct Output {
    name: String,
    inner: BufWriter<Box<dyn Write>>,
}

impl Output {
    pub fn stdout() -> Self {
        let inner: Box<dyn Write> = Box::new(Lenient { inner: io::stdout(), gone: false });
        Output { name: "standard output".to_owned(), inner: BufWriter::new(inner) }
    }

    /// Creates the file at `path`, or empties it; `-` is standard output.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn create(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Output::stdout());
        }
        let name = path.display().to_string();
        let file = File::create(path).with_context(|| format!("{name}: can't be written"))?;
        Ok(Output { name, inner: BufWriter::new(Box::new(file)) })
    }

    /// # Errors
    /// When it takes no more, as on a full disk.
    pub fn line(&mut self, line: impl Display) -> Result<()> {
        writeln!(self.inner, "{line}").with_context(|| self.name.clone())
    }

    /// Text that ends its own lines.
    ///
    /// # Errors
    /// When it takes no more.
    pub fn text(&mut self, text: impl Display) -> Result<()> {
        write!(self.inner, "{text}").with_context(|| self.name.clone())
    }

    /// What was written so far can be read.
    ///
    /// # Errors
    /// When it takes no more.
    pub fn flush(&mut self) -> Result<()> {
        self.inner.flush().with_context(|| self.name.clone())
    }

    /// # Errors
    /// When not everything could be written.
    pub fn finish(mut self) -> Result<()> {
        self.flush()
    }
}

/// A line for the person at the terminal, on stderr; lost where nobody reads it.
pub fn tell(line: impl Display) {
    // There is no third stream to say it on.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails.
    struct Fails(usize, ErrorKind);

    impl Write for Fails {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(self.1.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.0 == 0 { Err(self.1.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn only_a_reader_that_is_gone_is_forgiven() {
        let mut gone = Lenient { inner: Fails(3, ErrorKind::BrokenPipe), gone: false };
        assert!(gone.write_all(b"12345").is_ok() && gone.flush().is_ok());
        let mut full = Lenient { inner: Fails(3, ErrorKind::StorageFull), gone: false };
        assert_eq!(full.write_all(b"12345").unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
