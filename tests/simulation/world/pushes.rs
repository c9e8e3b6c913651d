//! Rules that are pushed: other bundles of the same rules, which each process hears of when it does.

use std::{collections::BTreeMap, sync::Arc};

use rand::seq::IndexedRandom;
use tripline::{
    log::Log,
    rule::{Bundle, LoadOptions, RuleFiles, SigmaOptions},
    stage::{Rulebook, Ruling},
};

use super::{World, setting::topics};
use crate::{
    oracle,
    properties::Case,
    simulation::wire::{ProcessId, Wire},
};

/// Those that a rulebook keeps loaded: nothing is loaded behind the scheduler's back.
const PUSHES_MAX: u32 = 4;

pub struct Pushes {
    book: Arc<Rulebook>,
    text: String,
    pushed: u32,
}

impl Pushes {
    pub async fn new(wire: &Wire, case: &Case) -> Self {
        wire.log.ensure(&[topics().rules_spec()]).await.expect("the memory log takes topics");
        let book = Arc::new(Rulebook::new(wire.log.clone(), &topics(), LoadOptions::default()));
        Pushes { book, text: oracle::file(&case.rules), pushed: 0 }
    }

    pub fn book(&self) -> Arc<Rulebook> {
        self.book.clone()
    }

    /// Another bundle; `None` when there were enough.
    async fn push(&mut self) -> Option<Ruling> {
        if self.pushed >= PUSHES_MAX {
            return None;
        }
        self.pushed += 1;
        let files = [("case.rhai".into(), self.text.clone()), ("none.rhai".into(), format!("// {}", self.pushed))];
        let files = RuleFiles { files: BTreeMap::from(files), ..RuleFiles::default() };
        let bundle = Bundle::of(&files, &SigmaOptions::default());
        let (push, _) = self.book.push(&bundle, 0, 0).await.expect("the memory log takes it");
        Some(self.book.ruling(&push.mark).await.expect("it loads"))
    }
}

impl World {
    /// Pushes another bundle. Nobody has heard of it yet.
    pub(super) async fn push(&mut self) {
        if let Some(pushes) = &mut self.pushes
            && let Some(ruling) = pushes.push().await
        {
            self.rules = ruling.set;
        }
    }

    /// A process hears of what was pushed last.
    pub(super) fn tell_one(&mut self) {
        if self.pushes.is_none() {
            return;
        }
        let processes: Vec<ProcessId> = self.processes.keys().copied().collect();
        if let Some(id) = processes.choose(&mut self.random) {
            self.processes[id].rules.send_replace(self.rules.clone());
        }
    }
}
