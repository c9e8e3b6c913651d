//! Reads rule files from disk: one file, or a folder with all below it, in byte order of the paths.
//!
//! With them come the lists under `lists/`. One that can't be read is no reason to stop: its rules keep the last one.
//!
//! Nothing outside the rules' root is read: no link that leads out of it is followed, and no file above the bounds.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use walkdir::WalkDir;

use crate::rule::{ListText, RuleFiles};

/// Rule files of one root, and how deep its folders nest.
const FILES_MAX: usize = 20_000;
const DEPTH_MAX: usize = 32;

/// Bytes of one file, and of all together.
const FILE_BYTES_MAX: u64 = 1 << 20;
const ALL_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub enum RuleFilesError {
    #[error("{path}: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{0}: a link that leads out of the rules' folder")]
    Outside(PathBuf),
    #[error("{0}: not UTF-8")]
    NotUtf8(PathBuf),
    #[error("{path}: larger than {FILE_BYTES_MAX} bytes")]
    Large { path: PathBuf },
    #[error("{0}: no rule file: its name ends in none of `.rhai`, `.yml` and `.yaml`")]
    NotARuleFile(PathBuf),
    #[error("{0}: more than {FILES_MAX} rule files, or more than {ALL_BYTES_MAX} bytes of them")]
    Many(PathBuf),
}

/// Bytes of one list.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// What rules are written in: Rhai and Sigma.
const EXTENSIONS: [&str; 3] = ["rhai", "yml", "yaml"];

/// What lists are written in.
const LIST_EXTENSIONS: [&str; 3] = ["txt", "csv", "json"];

/// Reads the rule file at `path` with what it can import (`lib/` beside it), or every rule file below the folder; and
/// the lists of the root.
///
/// # Errors
/// When something there can't be read, leads out of the root, or is above a bound; the error names the path.
pub fn read_rule_files(path: &Path) -> Result<RuleFiles, RuleFilesError> {
    let (mut reading, what) = Reading::of(path)?;
    reading.take(&what)?;
    reading.finish()
}

/// The same of several paths: files of one folder come together, with what lies beside them once.
///
/// # Errors
/// As for one path.
pub fn read_by_root(paths: &[PathBuf]) -> Result<Vec<RuleFiles>, RuleFilesError> {
    let mut readings: Vec<Reading> = Vec::new();
    for path in paths {
        let (mut first, what) = Reading::of(path)?;
        match readings.iter_mut().find(|reading| reading.files.root == first.files.root) {
            Some(reading) => reading.take(&what)?,
            None => {
                first.take(&what)?;
                readings.push(first);
            }
        }
    }
    readings.into_iter().map(Reading::finish).collect()
}

fn is_rule_file(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| EXTENSIONS.contains(&extension))
}

/// YAML in hidden folders and hidden YAML: repositories of Sigma rules keep what other tools read there.
fn is_of_another_tool(relative: &Path) -> bool {
    let is_hidden = |part: Component<'_>| part.as_os_str().to_str().is_some_and(|part| part.starts_with('.'));
    relative.extension().is_some_and(|extension| extension != "rhai") && relative.components().any(is_hidden)
}

struct Reading {
    files: RuleFiles,
    /// The root without links, which every file has to be below.
    canonical: PathBuf,
    bytes: u64,
}

/// What of a root a path means.
enum What {
    All,
    File(PathBuf),
}

impl Reading {
    /// Of the root that a path is in, or is; nothing of it is read yet.
    fn of(path: &Path) -> Result<(Self, What), RuleFilesError> {
        let found = fs::metadata(path);
        let found = found.map_err(|error| RuleFilesError::Unreadable { path: path.to_owned(), error })?;
        if found.is_dir() {
            return Ok((Reading::new(path)?, What::All));
        }
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let name = path.file_name().ok_or_else(|| RuleFilesError::NotARuleFile(path.to_owned()))?;
        if !is_rule_file(path) {
            return Err(RuleFilesError::NotARuleFile(path.to_owned()));
        }
        Ok((Reading::new(folder)?, What::File(name.into())))
    }

    fn take(&mut self, what: &What) -> Result<(), RuleFilesError> {
        match what {
            What::All => self.folder(Path::new("")),
            What::File(name) => self.file(name),
        }
    }

    /// What lies beside the rules comes last.
    fn finish(mut self) -> Result<RuleFiles, RuleFilesError> {
        if self.files.root.join("lib").is_dir() {
            self.folder(Path::new("lib"))?;
        }
        self.lists()?;
        Ok(self.files)
    }

    fn new(root: &Path) -> Result<Self, RuleFilesError> {
        let canonical =
            root.canonicalize().map_err(|error| RuleFilesError::Unreadable { path: root.to_owned(), error })?;
        let files = RuleFiles { root: root.to_owned(), ..RuleFiles::default() };
        Ok(Reading { files, canonical, bytes: 0 })
    }

    /// Every rule file below `folder`, a path relative to the root.
    fn folder(&mut self, folder: &Path) -> Result<(), RuleFilesError> {
        let root = self.files.root.clone();
        for entry in WalkDir::new(root.join(folder)).max_depth(DEPTH_MAX).follow_links(true).sort_by_file_name() {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(&root).to_owned();
                RuleFilesError::Unreadable { path, error: error.into() }
            })?;
            if entry.path_is_symlink() {
                self.check_inside(entry.path())?;
            }
            let relative = entry.path().strip_prefix(&root).unwrap_or(entry.path());
            if entry.file_type().is_file() && is_rule_file(relative) && !is_of_another_tool(relative) {
                self.file(relative)?;
            }
        }
        Ok(())
    }

    /// The file at `relative`, a path below the root; once.
    fn file(&mut self, relative: &Path) -> Result<(), RuleFilesError> {
        if self.files.files.contains_key(relative) {
            return Ok(());
        }
        let path = self.files.root.join(relative);
        let unreadable = |error| RuleFilesError::Unreadable { path: path.clone(), error };
        self.check_inside(&path)?;
        let size = fs::metadata(&path).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            return Err(RuleFilesError::Large { path });
        }
        self.bytes += size;
        if self.bytes > ALL_BYTES_MAX || self.files.files.len() >= FILES_MAX {
            return Err(RuleFilesError::Many(self.files.root.clone()));
        }
        let bytes = fs::read(&path).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| RuleFilesError::NotUtf8(path.clone()))?;
        self.files.files.insert(relative.to_owned(), text);
        Ok(())
    }

    /// Every list below `lists/`. What can't be read says so in its place.
    fn lists(&mut self) -> Result<(), RuleFilesError> {
        let root = self.files.root.clone();
        let folder = root.join("lists");
        if !folder.is_dir() {
            return Ok(());
        }
        for entry in WalkDir::new(folder).max_depth(DEPTH_MAX).follow_links(true).sort_by_file_name() {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(&root).to_owned();
                RuleFilesError::Unreadable { path, error: error.into() }
            })?;
            let extension = entry.path().extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if entry.file_type().is_file() && LIST_EXTENSIONS.contains(&extension) {
                self.check_inside(entry.path())?;
                let text = self.list(entry.path());
                self.bytes += text.as_ref().map_or(0, |text| text.len() as u64);
                if self.bytes > ALL_BYTES_MAX || self.files.lists.len() >= FILES_MAX {
                    return Err(RuleFilesError::Many(root));
                }
                let relative = entry.path().strip_prefix(&root).unwrap_or(entry.path()).to_owned();
                self.files.lists.insert(relative, text);
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> ListText {
        let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
        if size > LIST_BYTES_MAX {
            return Err(format!("larger than {LIST_BYTES_MAX} bytes"));
        }
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
    }

    fn check_inside(&self, path: &Path) -> Result<(), RuleFilesError> {
        let real = path.canonicalize().map_err(|error| RuleFilesError::Unreadable { path: path.to_owned(), error })?;
        if real.starts_with(&self.canonical) { Ok(()) } else { Err(RuleFilesError::Outside(path.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, paths: &[&str]) {
        for path in paths {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "// a rule").unwrap();
        }
    }

    fn names(files: &RuleFiles) -> Vec<String> {
        files.files.keys().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_folder_is_read_with_all_below_it() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["b.rhai", "a/z.rhai", "c.yml", "d.yaml", ".github/ci.yml", "lib/l.rhai", "notes.md"]);
        assert_eq!(
            names(&read_rule_files(root.path()).unwrap()),
            ["a/z.rhai", "b.rhai", "c.yml", "d.yaml", "lib/l.rhai"]
        );
    }

    #[test]
    fn lists_come_with_the_rules_of_their_root() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["b.rhai", "lists/x.txt", "lists/deep/y.csv", "lists/README.md", "other/lists/z.txt"]);
        fs::write(root.path().join("lists/odd.json"), [0xff]).unwrap();
        for path in [root.path().to_owned(), root.path().join("b.rhai")] {
            let lists = read_rule_files(&path).unwrap().lists;
            let names: Vec<String> = lists.keys().map(|path| path.display().to_string()).collect();
            assert_eq!(names, ["lists/deep/y.csv", "lists/odd.json", "lists/x.txt"]);
            assert_eq!(lists[Path::new("lists/odd.json")], Err("not UTF-8".to_owned()));
        }
    }

    #[test]
    fn a_single_file_brings_the_libraries_beside_it() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["b.rhai", "a.rhai", "lib/l.rhai"]);
        let files = read_rule_files(&root.path().join("b.rhai")).unwrap();
        assert_eq!(names(&files), ["b.rhai", "lib/l.rhai"]);
        assert_eq!(files.root, root.path());
    }

    #[test]
    fn files_of_one_folder_bring_what_lies_beside_them_once() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["b.rhai", "a.yml", "c.yml", "deep/d.yml", "lib/l.rhai", "lists/x.txt"]);
        let paths = ["c.yml", "b.rhai", "deep", "a.yml", "c.yml"].map(|path| root.path().join(path));
        let read = read_by_root(&paths).unwrap();
        let found: Vec<_> = read.iter().map(|files| (names(files), files.lists.len())).collect();
        let one = |paths: &[&str], lists| (paths.iter().map(|path| (*path).to_owned()).collect(), lists);
        assert_eq!(found, [one(&["a.yml", "b.rhai", "c.yml", "lib/l.rhai"], 1), one(&["d.yml"], 0)]);
        let read = read_by_root(&[root.path().join("b.rhai"), root.path().to_owned()]).unwrap();
        assert_eq!((read.len(), read[0].files.len()), (1, 5));
    }

    #[test]
    #[cfg(unix)]
    fn no_link_leads_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        write(outside.path(), &["secret.rhai"]);
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret.rhai"), root.path().join("a.rhai")).unwrap();
        assert!(matches!(read_rule_files(root.path()), Err(RuleFilesError::Outside(_))));
        fs::remove_file(root.path().join("a.rhai")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("folder")).unwrap();
        assert!(matches!(read_rule_files(root.path()), Err(RuleFilesError::Outside(_))));
        fs::remove_file(root.path().join("folder")).unwrap();
        write(root.path(), &["real.rhai"]);
        std::os::unix::fs::symlink(root.path().join("real.rhai"), root.path().join("twin.rhai")).unwrap();
        assert_eq!(names(&read_rule_files(root.path()).unwrap()), ["real.rhai", "twin.rhai"]);
    }

    #[test]
    fn errors_name_the_path() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("none.rhai");
        assert!(read_rule_files(&missing).unwrap_err().to_string().contains("none.rhai"));
        fs::write(root.path().join("odd.rhai"), [0xff]).unwrap();
        assert!(read_rule_files(root.path()).unwrap_err().to_string().contains("odd.rhai"));
        fs::write(root.path().join("odd.rhai"), vec![b' '; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(read_rule_files(root.path()).unwrap_err().to_string().contains("odd.rhai"));
    }
}
