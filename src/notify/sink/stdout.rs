//! Standard output: a readable block for each alert, or one JSON object a line.

use std::io::{self, IsTerminal, Write};

use futures_util::{FutureExt, future::BoxFuture};

use super::{Sink, lane::Lane};
use crate::{
    alert::Alert,
    notify::{error::Failure, render},
};

const BATCH_MAX: usize = 200;

/// Whether readable output is coloured: on a terminal that can, unless `NO_COLOR` is set (no-color.org).
pub fn stdout_is_coloured() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

pub(super) struct Stdout {
    json: bool,
    coloured: bool,
    lane: Lane,
}

impl Stdout {
    pub fn new(json: bool) -> Self {
        Stdout { json, coloured: stdout_is_coloured(), lane: Lane::default() }
    }

    fn page(&self, alerts: &[Alert]) -> String {
        alerts
            .iter()
            .map(|alert| if self.json { render::json(alert) + "\n" } else { render::text(alert, self.coloured) })
            .collect()
    }
}

impl Sink for Stdout {
    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), Failure>> {
        let page = self.page(alerts);
        let write = move || {
            let mut out = io::stdout().lock();
            out.write_all(page.as_bytes())?;
            out.flush()
        };
        async move { self.lane.run(write).await.map_err(|error| Failure::passing(format!("standard output: {error}"))) }
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::render::samples::alert;

    #[test]
    fn json_is_one_line_for_each_alert() {
        let sink = Stdout { json: true, coloured: true, lane: Lane::default() };
        let page = sink.page(&[alert(), alert()]);
        assert_eq!(page.lines().count(), 2);
        for line in page.lines() {
            assert_eq!(serde_json::from_str::<Alert>(line).unwrap(), alert());
        }
    }

    #[test]
    fn text_ends_with_a_line_break() {
        let sink = Stdout { json: false, coloured: false, lane: Lane::default() };
        assert!(sink.page(&[alert()]).ends_with('\n'));
    }
}
