//! Where a server's rules come from: files that it reads by itself, or what was pushed to its fleet.

use std::{future::pending, sync::Arc};

use anyhow::{Context, Result};
use tracing::{error, info, warn};

use super::{databases, rules::Rules};
use crate::{
    config::Config,
    rule::{Enrichment, LoadOptions, RuleSet},
    stage::{Rulebook, Ruling, Surroundings},
};

/// Rules that a server runs.
pub struct Running {
    pub set: Arc<RuleSet>,
    /// Rules that did not load.
    pub refused: usize,
    /// Why, a line each.
    pub errors: Vec<String>,
}

impl From<&Rules> for Running {
    fn from(rules: &Rules) -> Self {
        let errors = rules.diagnostics.iter().filter(|found| found.is_error());
        let errors = errors.map(|found| format!("{}: {}", found.place.file.display(), found.message)).collect();
        Running { set: rules.set.clone(), refused: rules.refused, errors }
    }
}

impl From<Ruling> for Running {
    fn from(ruling: Ruling) -> Self {
        for reason in &ruling.errors {
            error!(reason, "a pushed rule does not load here");
        }
        Running { set: ruling.set, refused: ruling.refused, errors: ruling.errors }
    }
}

/// Where the next rules come from.
pub enum Origin {
    Files(Box<Rules>),
    Pushed(Arc<Rulebook>),
}

impl Origin {
    /// Opens the topic of rules that `around` has, and loads what was pushed last.
    ///
    /// # Errors
    /// When it can't be read, or nothing was pushed yet.
    pub async fn pushed(around: &mut Surroundings) -> Result<(Self, Running)> {
        let topics = around.topics();
        around.log.ensure(&[topics.rules_spec()]).await?;
        let book = Arc::new(Rulebook::new(around.log.clone(), &topics, options(&around.config)));
        let newest = book.newest().await?;
        let newest =
            newest.with_context(|| format!("no rules were pushed to {} yet: `tripline rules push`", topics.rules));
        let running = book.ruling(&newest?.mark).await?.into();
        around.rulebook = Some(book.clone());
        Ok((Origin::Pushed(book), running))
    }

    /// Waits for a push after that of the rules that run; files wait to be told, by [`Origin::reload`].
    pub async fn next(&self, running: &Running) -> Running {
        match self {
            Origin::Files(_) => pending().await,
            Origin::Pushed(book) => {
                let revision = running.set.bundle.as_ref().map_or(0, |bundle| bundle.revision);
                book.newer_than(revision).await.into()
            }
        }
    }

    /// Reads the files again; `None` where nothing changes. A file with errors keeps its last good rules, a folder that
    /// can't be read keeps them all.
    pub fn reload(&mut self, config: &Config) -> Option<Running> {
        let rules = match self {
            Origin::Files(rules) => rules,
            Origin::Pushed(_) => {
                info!("the rules come from what was pushed: `tripline rules push` changes them");
                return None;
            }
        };
        match rules.reload() {
            Ok(()) => {
                rules.show_errors(config.logging.json);
                let (loaded, errors) = (rules.set.rules.len(), rules.errors());
                info!(rules = loaded, errors, hash = rules.set.hash, "rules reloaded");
                Some(Running::from(&**rules))
            }
            Err(error) => {
                warn!(path = %config.rules.path.display(), error = %format!("{error:#}"), "rules not reloaded");
                None
            }
        }
    }
}

/// How rules are loaded for these inputs and databases.
fn options(config: &Config) -> LoadOptions {
    let mut found = Vec::new();
    let enrichment = databases::read(&config.enrichment, &Enrichment::default(), &mut found);
    for finding in found {
        error!(file = %finding.place.file.display(), "{}", finding.message);
    }
    LoadOptions { enrichment, ..LoadOptions::of_inputs(config.inputs.iter().map(|input| input.name.clone())) }
}
