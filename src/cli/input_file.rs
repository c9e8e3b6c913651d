//! A file of records as the command line names it: `NAME=FILE` or `FILE`, read as the input of that name.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::records::Records;
use crate::{
    config::Config,
    decode::{DecodeSpec, Decoder, Format, Timing},
    event::InputName,
    rule::LoadOptions,
};

/// The input of a file that names none.
const DEFAULT_INPUT: &str = "default";

/// The file `-`.
const STDIN: &str = "-";

pub struct InputFile {
    pub name: InputName,
    pub path: PathBuf,
    pub records: Records,
}

impl InputFile {
    /// Opens `NAME=FILE` or `FILE`.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn open(written: &str) -> Result<Self> {
        let (name, path) = match written.split_once('=') {
            Some((name, path)) if !name.is_empty() && !name.contains('/') && !Path::new(written).exists() => {
                (name, path)
            }
            _ => (DEFAULT_INPUT, written),
        };
        let records = Records::open(Path::new(path))?;
        Ok(InputFile { name: name.into(), path: path.into(), records })
    }

    pub fn is_stdin(&self) -> bool {
        self.path == Path::new(STDIN)
    }

    /// For the file's records from the first on. `year` is that of the first one, for times without one; else the
    /// year in which the file was written.
    ///
    /// # Errors
    /// When the configuration makes no decoder.
    pub fn decoder(&self, format: Format, year: Option<i16>, config: &Config) -> Result<Decoder> {
        let spec = DecodeSpec { format, ..DecodeSpec::default() };
        let year = year.unwrap_or_else(|| year_of(&self.path));
        Ok(Decoder::new(&spec, config.detect.decode_limits(), Timing::Replay { year })?)
    }
}

/// A file without a name is read by every rule.
pub fn load_options<'a>(files: impl IntoIterator<Item = &'a InputFile>) -> LoadOptions {
    let unnamed = files.into_iter().map(|file| &file.name).find(|name| ***name == *DEFAULT_INPUT);
    LoadOptions { read_by_all: unnamed.cloned(), ..LoadOptions::default() }
}

/// The year in which a file was written last; of standard input, this one.
fn year_of(path: &Path) -> i16 {
    let written = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let time = written.and_then(|time| jiff::Timestamp::try_from(time).ok()).unwrap_or_else(jiff::Timestamp::now);
    time.to_zoned(jiff::tz::TimeZone::UTC).year()
}
