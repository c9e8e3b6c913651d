//! The rule sets of a fleet: a compacted topic that `tripline rules push` writes and every process follows.
//!
//! A push is a bundle in chunks and, after them, a record that names it; who sees the record finds the chunks. Its
//! revision is the offset after its last chunk, so of two pushes at the same time all processes take the same one. Which
//! revision runs where is not decided here: detect announces its switch in the signals log, and correlate follows.

mod records;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tracing::{info, warn};

pub use self::records::Push;
use self::records::{Chunk, Entry};
use super::Topics;
use crate::{
    event::frame::FrameError,
    log::{Log, LogError, Record, TopicPartition},
    rule::{Bundle, BundleMark, LoadOptions, Loaded, RuleSet, load},
};

/// What a bundle takes at most when it is compressed.
pub const BUNDLE_BYTES_MAX: usize = 16 << 20;

/// What it takes at most when it is not: more than the files of one root may.
const UNPACKED_BYTES_MAX: usize = 300 << 20;

/// Of one record: any broker takes as much.
const CHUNK_BYTES: usize = 512 << 10;

/// Pushes that are kept, for lines that come from far behind; and what their bundles take together.
pub const PUSHES_MAX: usize = 32;
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// Rule sets that a process keeps loaded besides those that its lines run.
const LOADED_MAX: usize = 4;

/// How often the topic is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// zstd's own default.
const COMPRESSION_LEVEL: i32 = 3;

/// Why a rule set can't be had or pushed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RulebookError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{topic}, record {key}: {reason}")]
    Unreadable { topic: String, key: String, reason: FrameError },
    #[error("{topic} has no rule set {hash} any more; push the files that it was made of again")]
    Gone { topic: String, hash: Arc<str> },
    #[error("{topic}, rule set {hash}: {reason}")]
    Broken { topic: String, hash: Arc<str>, reason: String },
    #[error("the rules take {bytes} bytes compressed; at most {BUNDLE_BYTES_MAX} can be pushed")]
    Large { bytes: usize },
}

/// A rule set of the topic, as this process has loaded it.
#[derive(Debug, Clone)]
pub struct Ruling {
    pub push: Push,
    pub set: Arc<RuleSet>,
    /// Rules that did not load here.
    pub refused: usize,
    /// Why, a line each.
    pub errors: Vec<String>,
}

/// One fleet's topic of rule sets.
pub struct Rulebook {
    log: Arc<dyn Log>,
    at: TopicPartition,
    options: LoadOptions,
    /// By revision.
    loaded: Mutex<BTreeMap<u64, Ruling>>,
    /// One at a time: the lines that ask for the same set find it loaded.
    loading: tokio::sync::Mutex<()>,
}

impl Rulebook {
    /// `options` say how this process loads what it finds.
    pub fn new(log: Arc<dyn Log>, topics: &Topics, options: LoadOptions) -> Self {
        let at = TopicPartition { topic: topics.rules.clone(), partition: 0 };
        Rulebook { log, at, options, loaded: Mutex::default(), loading: tokio::sync::Mutex::default() }
    }

    /// Writes a bundle, and lets go of old ones and of what pushes that broke off left. What is pushed already and whole
    /// is not written again; `false` says so.
    ///
    /// # Errors
    /// When the bundle is too large, or the log does not take it.
    pub async fn push(&self, bundle: &Bundle, rules: u64, now_ms: i64) -> Result<(Push, bool), RulebookError> {
        let entries = self.entries().await?;
        let is_this = |newest: &&Push| *newest.mark.hash == *bundle.hash && entries.packed(&newest.mark.hash).is_some();
        if let Some(newest) = entries.pushes.last().filter(is_this) {
            return Ok((newest.clone(), false));
        }
        let packed =
            zstd::bulk::compress(&bundle.bytes, COMPRESSION_LEVEL).map_err(|error| self.broken(bundle, &error))?;
        if packed.len() > BUNDLE_BYTES_MAX {
            return Err(RulebookError::Large { bytes: packed.len() });
        }
        let hash: Arc<str> = bundle.hash.as_str().into();
        let chunks: Vec<&[u8]> = packed.chunks(CHUNK_BYTES).collect();
        let of = chunks.len() as u32;
        let chunk = |(index, bytes): (u32, &&[u8])| Chunk { index, of, bytes: bytes.to_vec() }.record(&hash);
        let records = (0..).zip(&chunks).map(chunk).map(|entry| self.record(entry, now_ms)).collect();
        let offsets = self.log.append(records).await?;
        let revision = offsets.last().map_or(1, |last| last + 1);
        let bytes = packed.len() as u64;
        let push = Push { mark: BundleMark { revision, hash }, rules, bytes, pushed_ms: now_ms };
        self.log.append(vec![self.record(push.record(), now_ms)]).await?;
        self.let_go(&entries, &push, now_ms).await?;
        Ok((push, true))
    }

    /// Removes the oldest pushes beyond the bounds, with the chunks that no other names; and chunks that no push named
    /// before this one, nor names now: theirs broke off. A push that takes longer than all of this one did is taken for
    /// one of those. Its processes miss it by name, go on with what they have, and it can be pushed again.
    async fn let_go(&self, before: &Entries, push: &Push, now_ms: i64) -> Result<(), RulebookError> {
        let mut kept_bytes = push.bytes;
        let is_kept = |(at, old): &(usize, &Push)| {
            kept_bytes += old.bytes;
            *at + 1 < PUSHES_MAX && kept_bytes <= KEPT_BYTES_MAX
        };
        let kept: Vec<&Push> = before.pushes.iter().rev().enumerate().take_while(is_kept).map(|(_, old)| old).collect();
        let is_named = |hash: &str| *push.mark.hash == *hash || kept.iter().any(|old| *old.mark.hash == *hash);
        let old: Vec<&Push> = before.pushes.iter().filter(|old| !kept.contains(old)).collect();
        let is_over = |hash: &str| !is_named(hash) && old.iter().any(|old| *old.mark.hash == *hash);
        let strays = self.still_strays(before).await?;
        let goes = |hash: &str| is_over(hash) || strays.contains(hash);
        let chunks = before.chunks.keys().filter(|(hash, _)| goes(hash)).map(|(hash, at)| Chunk::key(hash, *at));
        let pushes = old.iter().map(|old| old.record().0);
        let gone: Vec<Record> = pushes.chain(chunks).map(|key| self.record((key, None), now_ms)).collect();
        if !gone.is_empty() {
            self.log.append(gone).await?;
        }
        Ok(())
    }

    /// The hashes of chunks that no push named before and none names now.
    async fn still_strays(&self, before: &Entries) -> Result<BTreeSet<Arc<str>>, RulebookError> {
        let strays = before.strays();
        if strays.is_empty() {
            return Ok(strays);
        }
        Ok(self.entries().await?.strays().intersection(&strays).cloned().collect())
    }

    fn record(&self, (key, value): Entry, timestamp_ms: i64) -> Record {
        let TopicPartition { topic, partition } = self.at.clone();
        Record { topic, partition, key: Some(key), value, timestamp_ms }
    }

    /// What was pushed last.
    ///
    /// # Errors
    /// When the topic can't be read.
    pub async fn newest(&self) -> Result<Option<Push>, RulebookError> {
        Ok(self.entries().await?.pushes.pop())
    }

    /// The rule set of a mark, loaded.
    ///
    /// # Errors
    /// When the topic can't be read, or has it no more.
    pub async fn ruling(&self, mark: &BundleMark) -> Result<Ruling, RulebookError> {
        let _alone = self.loading.lock().await;
        if let Some(ruling) = self.lock().get(&mark.revision) {
            return Ok(ruling.clone());
        }
        let entries = self.entries().await?;
        let packed = entries.packed(&mark.hash).ok_or_else(|| self.gone(mark))?;
        let named = entries.pushes.into_iter().find(|push| push.mark == *mark);
        let unnamed = || Push { mark: mark.clone(), rules: 0, bytes: packed.len() as u64, pushed_ms: 0 };
        let push = named.unwrap_or_else(unnamed);
        let (options, hash) = (self.options.clone(), mark.hash.clone());
        let loading = tokio::task::spawn_blocking(move || unpack(&hash, &packed, &options));
        let loaded = loading.await.map_err(|_| LogError::Closed)?;
        let loaded = loaded.map_err(|reason| self.unusable(mark, reason))?;
        let errors = loaded.diagnostics.iter().filter(|found| found.is_error());
        let errors = errors.map(|found| format!("{}: {}", found.place.file.display(), found.message)).collect();
        let set = Arc::new(RuleSet { bundle: Some(mark.clone()), ..loaded.set });
        info!(revision = mark.revision, hash = %mark.hash, rules = set.rules.len(), refused = loaded.refused, "rules loaded");
        let ruling = Ruling { push, set, refused: loaded.refused, errors };
        self.keep(&ruling);
        Ok(ruling)
    }

    fn keep(&self, ruling: &Ruling) {
        let mut loaded = self.lock();
        loaded.insert(ruling.push.mark.revision, ruling.clone());
        while loaded.len() > LOADED_MAX {
            loaded.pop_first();
        }
    }

    /// Waits for a push after `revision`, and loads it. A topic that can't be read is asked again.
    pub async fn newer_than(&self, revision: u64) -> Ruling {
        let mut looked_at = None;
        let mut complained = false;
        loop {
            match self.look(revision, &mut looked_at).await {
                Ok(Some(ruling)) => return ruling,
                Ok(None) => complained = false,
                Err(error) if complained => tracing::debug!(%error, "the pushed rules can't be read"),
                Err(error) => {
                    complained = true;
                    warn!(%error, "the pushed rules can't be read: those that run go on");
                }
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Reads the topic only where its end has moved.
    async fn look(&self, revision: u64, looked_at: &mut Option<u64>) -> Result<Option<Ruling>, RulebookError> {
        let (_, end) = self.log.offsets(&self.at).await?;
        if *looked_at == Some(end) {
            return Ok(None);
        }
        let newer = self.newest().await?.filter(|push| push.mark.revision > revision);
        let ruling = match newer {
            Some(push) => Some(self.ruling(&push.mark).await?),
            None => None,
        };
        *looked_at = Some(end);
        Ok(ruling)
    }

    async fn entries(&self) -> Result<Entries, RulebookError> {
        let mut entries = Entries::default();
        for (key, value) in self.log.compacted(&self.at).await? {
            entries.add(&key, &value).map_err(|reason| {
                let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
                RulebookError::Unreadable { topic: self.at.topic.clone(), key, reason }
            })?;
        }
        entries.pushes.sort_by_key(|push| push.mark.revision);
        Ok(entries)
    }

    fn gone(&self, mark: &BundleMark) -> RulebookError {
        RulebookError::Gone { topic: self.at.topic.clone(), hash: mark.hash.clone() }
    }

    fn unusable(&self, mark: &BundleMark, reason: String) -> RulebookError {
        RulebookError::Broken { topic: self.at.topic.clone(), hash: mark.hash.clone(), reason }
    }

    fn broken(&self, bundle: &Bundle, error: &std::io::Error) -> RulebookError {
        let hash = bundle.hash.as_str().into();
        RulebookError::Broken { topic: self.at.topic.clone(), hash, reason: error.to_string() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Ruling>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same bytes give the same rules, whatever ran before: no file keeps an older version here.
fn unpack(hash: &str, packed: &[u8], options: &LoadOptions) -> Result<Loaded, String> {
    let bytes = zstd::bulk::decompress(packed, UNPACKED_BYTES_MAX).map_err(|error| error.to_string())?;
    if !Bundle::is_named(hash, &bytes) {
        return Err("its chunks are not those that the hash names".to_owned());
    }
    let (files, sigma) = Bundle::open(&bytes).map_err(|error| error.to_string())?;
    let loaded = load(&files, &LoadOptions { sigma: Arc::new(sigma), ..options.clone() }, None);
    // Detect lines would do it each for itself, one after the other.
    drop(loaded.set.compiled().clone());
    Ok(loaded)
}

/// What the topic holds.
#[derive(Debug, Default)]
struct Entries {
    /// In the order of their revisions.
    pushes: Vec<Push>,
    /// By hash and place.
    chunks: BTreeMap<(Arc<str>, u32), Chunk>,
}

impl Entries {
    fn add(&mut self, key: &Bytes, value: &Bytes) -> Result<(), FrameError> {
        match Chunk::hash_of(key) {
            Some(hash) => {
                let chunk = Chunk::read(value)?;
                self.chunks.insert((hash.into(), chunk.index), chunk);
            }
            None => self.pushes.push(Push::read(value)?),
        }
        Ok(())
    }

    /// The hashes of chunks that no push names: theirs is under way, or broke off.
    fn strays(&self) -> BTreeSet<Arc<str>> {
        let is_named = |hash: &Arc<str>| self.pushes.iter().any(|push| push.mark.hash == *hash);
        self.chunks.keys().map(|(hash, _)| hash).filter(|hash| !is_named(hash)).cloned().collect()
    }

    /// The compressed bytes of a bundle; `None` when one of its chunks is not there.
    fn packed(&self, hash: &str) -> Option<Vec<u8>> {
        let of = self.chunks.get(&(hash.into(), 0))?.of;
        let chunk = |at| self.chunks.get(&(hash.into(), at)).filter(|chunk| chunk.of == of);
        let chunks = (0..of).map(chunk).collect::<Option<Vec<&Chunk>>>()?;
        Some(chunks.iter().flat_map(|chunk| &chunk.bytes).copied().collect())
    }
}

#[cfg(test)]
mod tests;
