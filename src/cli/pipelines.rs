//! Reads what says what Sigma's names mean here: processing pipelines, built in or in files, and maps of log sources.

use std::{
    fs,
    path::{self, Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::rule::{BuiltInPipeline, SigmaOptions};

/// Files at most, and bytes of one.
const FILES_MAX: usize = 100;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the files in their order; where there is no file, the last part of a path may name what is built in.
///
/// # Errors
/// When one can't be read, or is above a bound.
pub fn read(paths: &[PathBuf]) -> Result<SigmaOptions> {
    if paths.len() > FILES_MAX {
        bail!("more than {FILES_MAX} pipelines");
    }
    let pipelines = paths.iter().map(|path| {
        let shown = path.display();
        if let Some(built_in) = built_in(path) {
            return Ok((PathBuf::from(built_in.name), built_in.text.to_owned()));
        }
        let size = fs::metadata(path).with_context(|| unread(path))?.len();
        if size > FILE_BYTES_MAX {
            bail!("{shown}: larger than {FILE_BYTES_MAX} bytes");
        }
        let text = fs::read_to_string(path).with_context(|| format!("{shown}"))?;
        // Findings are shown below the rules' folder unless their path is absolute.
        Ok((path::absolute(path).with_context(|| format!("{shown}"))?, text))
    });
    Ok(SigmaOptions { pipelines: pipelines.collect::<Result<_>>()? })
}

fn built_in(path: &Path) -> Option<&'static BuiltInPipeline> {
    let name = path.file_name()?.to_str()?;
    BuiltInPipeline::named(name).filter(|_| !path.exists())
}

fn unread(path: &Path) -> String {
    let known: Vec<&str> = BuiltInPipeline::all().iter().map(|built_in| built_in.name).collect();
    format!("{}: no file, and none of the pipelines that are built in ({})", path.display(), known.join(", "))
}
