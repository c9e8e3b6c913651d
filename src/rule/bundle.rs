//! Rule files as one piece, under a name that is the hash of their content: what a fleet passes round.
//!
//! The bytes are a framed record (see [`crate::event::frame`]) of everything that [`RuleFiles`] holds but its folder,
//! and of the pipelines of Sigma rules, by the names of their files.

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{RuleFiles, SigmaOptions, source::hash_of};
use crate::event::frame::{self, FrameError};

/// The version of the bytes.
const VERSION: u8 = 1;

/// Which of the rule sets that were ever passed round: markers carry it, so that all switch at one place of a log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BundleMark {
    /// From 1 on; grows with every push. The same content pushed again is another revision.
    pub revision: u64,
    /// Hex SHA-256 of the bundle's bytes.
    pub hash: Arc<str>,
}

/// Rule files, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Hex SHA-256 of `bytes`: the same files have the same name, wherever they lie.
    pub hash: String,
    pub bytes: Vec<u8>,
}

impl Bundle {
    pub fn of(files: &RuleFiles, sigma: &SigmaOptions) -> Self {
        let files = RuleFiles { root: PathBuf::new(), ..files.clone() };
        let name = |path: &PathBuf| path.file_name().map(PathBuf::from).unwrap_or_default();
        let pipelines: Vec<(PathBuf, &str)> =
            sigma.pipelines.iter().map(|(path, text)| (name(path), &**text)).collect();
        let bytes = frame::seal(VERSION, &(files, pipelines));
        Bundle { hash: hash_of(&bytes), bytes }
    }

    /// The files and the pipelines that `bytes` hold.
    ///
    /// # Errors
    /// When they are no bundle, or that of a newer program.
    pub fn open(bytes: &[u8]) -> Result<(RuleFiles, SigmaOptions), FrameError> {
        let (files, pipelines) = frame::open(VERSION, bytes)?;
        Ok((files, SigmaOptions { pipelines }))
    }

    /// Whether the bytes are those that `hash` names.
    pub fn is_named(hash: &str, bytes: &[u8]) -> bool {
        hash_of(bytes) == hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(root: &str, text: &str) -> RuleFiles {
        RuleFiles {
            root: root.into(),
            files: [("a/b.rhai".into(), text.to_owned())].into(),
            lists: [("lists/x.txt".into(), Ok("one\n".to_owned()))].into(),
        }
    }

    fn sigma(folder: &str, text: &str) -> SigmaOptions {
        SigmaOptions { pipelines: vec![(format!("{folder}/linux.yml").into(), text.to_owned())] }
    }

    #[test]
    fn the_name_follows_the_content_and_not_the_folder() {
        let bundle = Bundle::of(&files("rules", "// one"), &sigma("/a", "name: x"));
        let hash = |files: RuleFiles, sigma: SigmaOptions| Bundle::of(&files, &sigma).hash;
        assert_eq!(bundle.hash, hash(files("elsewhere", "// one"), sigma("/b", "name: x")));
        assert_ne!(bundle.hash, hash(files("rules", "// two"), sigma("/a", "name: x")));
        assert_ne!(bundle.hash, hash(files("rules", "// one"), sigma("/a", "name: y")));
        assert!(Bundle::is_named(&bundle.hash, &bundle.bytes));
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let bundle = Bundle::of(&files("rules", "// one"), &sigma("/a", "name: x"));
        let (opened, with) = Bundle::open(&bundle.bytes).expect("it opens");
        assert_eq!((opened, with.pipelines), (files("", "// one"), vec![("linux.yml".into(), "name: x".to_owned())]));
        assert!(matches!(Bundle::open(&bundle.bytes[..20]), Err(FrameError::Checksum)));
    }
}
