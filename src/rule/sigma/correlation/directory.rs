//! Which rule a reference means: by id, or by name.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::rule::diagnostic::did_you_mean;

/// What a reference can mean; the numbers are places in the lists that correlations are built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    Detected(usize),
    Correlation(usize),
    /// A rule that is not Sigma's.
    Other(usize),
}

impl Target {
    pub fn correlation(&self) -> Option<usize> {
        if let Target::Correlation(at) = self { Some(*at) } else { None }
    }
}

/// All rules by id and by name.
#[derive(Debug, Default)]
pub struct Directory {
    by_id: HashMap<String, Target>,
    by_name: HashMap<String, Vec<(PathBuf, Target)>>,
}

/// Why a reference means nothing.
pub enum Unfound {
    /// With the nearest name as help, if one is near.
    Unknown(Option<String>),
    /// Several rules of other files have the name.
    Several,
}

impl Directory {
    /// Of two rules with one id the first counts, as everywhere.
    pub fn add(&mut self, id: &str, name: Option<&str>, file: &Path, target: Target) {
        self.by_id.entry(id.to_lowercase()).or_insert_with(|| target);
        if let Some(name) = name {
            self.by_name.entry(name.to_owned()).or_default().push((file.to_owned(), target));
        }
    }

    /// Looks in names first, and of several rules by one name takes that of the same file.
    pub fn find(&self, reference: &str, file: &Path) -> Result<Target, Unfound> {
        let named = self.by_name.get(reference).map_or(&[][..], Vec::as_slice);
        let own: Vec<Target> = named.iter().filter(|(of, _)| of == file).map(|(_, target)| *target).collect();
        match (&own[..], named) {
            ([only], _) => Ok(*only),
            (_, [(_, only)]) => Ok(*only),
            (_, [_, _, ..]) => Err(Unfound::Several),
            _ => self.by_id.get(&reference.to_lowercase()).copied().ok_or_else(|| {
                let known = self.by_name.keys().chain(self.by_id.keys());
                Unfound::Unknown(did_you_mean(reference, known.map(String::as_str)))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_same_file_comes_before_those_of_others() {
        let mut directory = Directory::default();
        directory.add("ID-1", Some("login"), Path::new("a.yml"), Target::Detected(0));
        directory.add("id-2", Some("login"), Path::new("b.yml"), Target::Detected(1));
        directory.add("id-3", None, Path::new("c.yml"), Target::Detected(2));
        let find = |name: &str, file: &str| directory.find(name, Path::new(file)).ok();
        assert_eq!(find("login", "b.yml"), Some(Target::Detected(1)));
        assert_eq!(find("id-1", "c.yml"), Some(Target::Detected(0)), "ids are the same in any case");
        assert!(matches!(directory.find("login", Path::new("c.yml")), Err(Unfound::Several)));
        let Err(Unfound::Unknown(help)) = directory.find("logon", Path::new("c.yml")) else { panic!("found") };
        assert_eq!(help.as_deref(), Some("did you mean `login`?"));
    }
}
