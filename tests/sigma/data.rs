//! Public rules and recorded attacks with the matches that several engines agree on, read from where
//! `TRIPLINE_SIGMA_DATA` says: rules in `rules.tar.gz`, one event a line in `regression.ndjson.gz`, (line, rule) pairs
//! in `regression.expected.tsv`, log sources in `logsource-map.json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    io::Read,
    path::PathBuf,
};

use flate2::read::GzDecoder;

/// Where the data lies.
///
/// # Panics
/// When nothing says where.
pub fn folder() -> PathBuf {
    let folder = env::var_os("TRIPLINE_SIGMA_DATA");
    folder.expect("TRIPLINE_SIGMA_DATA has to name the folder of the public Sigma rules and events").into()
}

fn unpacked(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes
}

/// Every rule file by its path in the archive.
pub fn rules() -> BTreeMap<PathBuf, String> {
    const BLOCK: usize = 512;
    let archive = unpacked("rules.tar.gz");
    let (mut rules, mut at, mut long) = (BTreeMap::new(), 0, None);
    while let Some(header) = archive.get(at..at + BLOCK).filter(|header| header[0] != 0) {
        let text = |from: usize, to: usize| {
            let bytes = header[from..to].split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8(bytes.to_vec()).expect("a header of text")
        };
        let size = usize::from_str_radix(text(124, 136).trim(), 8).expect("a size in octal digits");
        let body = &archive[at + BLOCK..at + BLOCK + size];
        let body = || String::from_utf8(body.to_vec()).expect("a file of text");
        if header[156] == b'L' {
            // A name that is too long for its header comes as an entry before.
            long = Some(body().trim_end_matches('\0').to_owned());
        } else {
            let path = PathBuf::from(long.take().unwrap_or_else(|| text(0, 100)));
            if path.extension().is_some_and(|extension| extension == "yml") {
                rules.insert(path, body());
            }
        }
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    rules
}

/// One event a line, as JSON.
pub fn events() -> Vec<String> {
    let text = String::from_utf8(unpacked("regression.ndjson.gz")).expect("events of text");
    text.lines().map(str::to_owned).collect()
}

/// Which rule, by its id, matches which line, counted from 1.
pub fn expected() -> BTreeSet<(usize, String)> {
    let text = fs::read_to_string(folder().join("regression.expected.tsv")).expect("the expected pairs");
    let pair = |line: &str| {
        let (line, rule) = line.split_once('\t').expect("two columns");
        (line.parse().expect("a line's number"), rule.to_owned())
    };
    text.lines().skip(1).map(pair).collect()
}

/// The map from Sigma's log sources to Windows channels and event ids.
pub fn log_sources() -> String {
    fs::read_to_string(folder().join("logsource-map.json")).expect("the map of log sources")
}
