//! Reads the files that say what Sigma's names mean here: maps of log sources.

use std::{
    fs,
    path::{self, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::rule::SigmaOptions;

/// Files at most, and bytes of one.
const FILES_MAX: usize = 100;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the files in their order.
///
/// # Errors
/// When one can't be read, or is above a bound.
pub fn read(paths: &[PathBuf]) -> Result<SigmaOptions> {
    if paths.len() > FILES_MAX {
        bail!("more than {FILES_MAX} pipelines");
    }
    let pipelines = paths.iter().map(|path| {
        let shown = path.display();
        let size = fs::metadata(path).with_context(|| format!("{shown}"))?.len();
        if size > FILE_BYTES_MAX {
            bail!("{shown}: larger than {FILE_BYTES_MAX} bytes");
        }
        let text = fs::read_to_string(path).with_context(|| format!("{shown}"))?;
        // Findings are shown below the rules' folder unless their path is absolute.
        Ok((path::absolute(path).with_context(|| format!("{shown}"))?, text))
    });
    Ok(SigmaOptions { pipelines: pipelines.collect::<Result<_>>()? })
}
