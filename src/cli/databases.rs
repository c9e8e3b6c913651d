//! Reads the databases of addresses that the configuration names. One that is wrong is an error beside those of the
//! rules, and its last good version stays.

use std::{fs, path::Path, sync::Arc};

use crate::{
    config,
    rule::{Database, Diagnostic, Enrichment, Level, Place},
};

/// What findings about databases are called.
pub const CODE: &str = "database";

/// The largest database: all of it is held in memory.
const DATABASE_BYTES_MAX: u64 = 1 << 30;

/// Reads what `paths` name; `before` is what was read the last time.
pub fn read(paths: &config::Enrichment, before: &Enrichment, found: &mut Vec<Diagnostic>) -> Enrichment {
    let mut one = |path: &Option<std::path::PathBuf>, before: &Option<Arc<Database>>| {
        let path = path.as_ref()?;
        match open(path) {
            Ok(database) => Some(Arc::new(database)),
            Err(reason) => {
                let kept = if before.is_some() { "; the last good one stays" } else { "" };
                found.push(wrong(path, format!("{reason}{kept}")));
                before.clone()
            }
        }
    };
    Enrichment { geo: one(&paths.geo, &before.geo), asn: one(&paths.asn, &before.asn) }
}

fn open(path: &Path) -> Result<Database, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > DATABASE_BYTES_MAX {
        return Err(format!("larger than {DATABASE_BYTES_MAX} bytes"));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    Database::open(bytes).map_err(|error| error.to_string())
}

fn wrong(path: &Path, message: String) -> Diagnostic {
    Diagnostic {
        level: Level::Error,
        code: CODE,
        message,
        place: Place { file: path.to_owned(), line: 1, column: 1 },
        length: 1,
        help: None,
        also: Vec::new(),
        source: String::new(),
    }
}
