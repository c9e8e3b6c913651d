//! What each process of a fleet says of itself, in a compacted topic: which rules it runs, and how many of its
//! partitions have switched to them. Nobody decides anything by it; `tripline rules status` shows it. Processes that read
//! their rules from files of their own warn of one another, where those are not the same.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Stages, Topics};
use crate::{
    clock::Clock,
    log::{Log, LogError, Record, TopicPartition},
    telemetry::{RuleSetStatus, Status, Telemetry},
};

/// How often a process is heard of.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// How soon a change of its rules is.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A process that was not heard of for so long has ended: whoever starts removes what it said.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A process that was not heard of for so long is taken for silent.
const SILENT_AFTER: Duration = Duration::from_secs(30);

/// How often a process with rules from files looks whether the others have the same.
const COMPARE_INTERVAL: Duration = Duration::from_secs(30);

/// For the last word.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// One process's word on itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Its name: the configured instance, else host and process id with something random.
    pub process: String,
    pub version: String,
    pub stages: String,
    /// Milliseconds since 1970, by its clock.
    pub reported_ms: i64,
    pub rules: RuleSetStatus,
    /// Partitions of events that it detects in.
    pub sources: Progress,
    /// Partitions of signals that it correlates.
    pub signals: Progress,
    /// Why it is not ready.
    pub not_ready: Vec<String>,
}

/// How many partitions run the rules that their process has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub partitions: u64,
    pub switched: u64,
}

impl Progress {
    fn of(revisions: impl Iterator<Item = u64>, newest: Option<u64>) -> Self {
        revisions.fold(Progress::default(), |progress, revision| Progress {
            partitions: progress.partitions + 1,
            switched: progress.switched + u64::from(newest.is_none_or(|newest| revision >= newest)),
        })
    }
}

impl Report {
    /// For how long it was not heard of, if that is too long; by its clock and the asker's.
    pub fn silent_since(&self, now_ms: i64) -> Option<Duration> {
        let silent = Duration::from_millis(u64::try_from(now_ms - self.reported_ms).unwrap_or(0));
        (silent > SILENT_AFTER).then_some(silent)
    }

    fn of(status: Status, process: &str, stages: Stages, now_ms: i64) -> Self {
        let not_ready = status.not_ready();
        let newest = status.rule_set.revision;
        // The alerts of a signals partition are no partition of events.
        let detected = status.sources.iter().filter(|source| status.line_of(source).is_some());
        Report {
            process: process.to_owned(),
            stages: stages.to_string(),
            reported_ms: now_ms,
            sources: Progress::of(detected.map(|source| source.revision), newest),
            signals: Progress::of(status.signals.iter().map(|signals| signals.revision), newest),
            version: status.version,
            rules: status.rule_set,
            not_ready,
        }
    }
}

/// Tells the fleet of this process.
pub struct Herald {
    pub log: Arc<dyn Log>,
    pub topics: Topics,
    pub process: String,
    pub stages: Stages,
    pub telemetry: Telemetry,
    pub clock: Clock,
}

impl Herald {
    /// Reports until `stop`; then nothing is left of the process. A log that takes no reports stops nothing else.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.tell() => {}
        }
        // Brokers that do not answer hold no stop up.
        tokio::time::timeout(FAREWELL_MAX, self.write(&self.process, None)).await.ok();
    }

    async fn tell(&self) {
        self.forget_others().await;
        let (mut told, mut others) = (None, 0);
        let (mut age, mut compared) = (Duration::ZERO, Duration::ZERO);
        loop {
            let report = Report::of(self.telemetry.status(), &self.process, self.stages, self.clock.now_ms());
            let state = Some((report.rules.clone(), report.sources, report.signals));
            if told != state || age >= REPORT_INTERVAL {
                let value = serde_json::to_vec(&report).expect("numbers and texts are JSON");
                self.write(&self.process, Some(value.into())).await;
                (told, age) = (state, Duration::ZERO);
            }
            if compared >= COMPARE_INTERVAL {
                others = self.compare(others).await;
                compared = Duration::ZERO;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
            age += LOOK_INTERVAL;
            compared += LOOK_INTERVAL;
        }
    }

    async fn forget_others(&self) {
        let now_ms = self.clock.now_ms();
        let is_over = |report: &Report| now_ms - report.reported_ms > FORGOTTEN_AFTER.as_millis() as i64;
        match reports(&*self.log, &self.topics).await {
            Ok(reports) => {
                for report in reports.iter().filter(|report| is_over(report)) {
                    self.write(&report.process, None).await;
                }
            }
            Err(error) => warn!(%error, "what other processes said of themselves can't be read"),
        }
    }

    /// Counts the processes that run other rules from files of their own, and says so when there are some and were none
    /// `before`. Those that take what was pushed are on their way to the same, and without detect and correlate no
    /// event meets a rule.
    async fn compare(&self, before: u64) -> u64 {
        let own = self.telemetry.status().rule_set;
        if own.revision.is_some() || !self.stages.run_rules() {
            return 0;
        }
        let now_ms = self.clock.now_ms();
        let differs = |other: &&Report| {
            let runs_rules = other.stages.parse().is_ok_and(Stages::run_rules);
            let is_another = other.process != self.process && other.silent_since(now_ms).is_none();
            is_another && runs_rules && other.rules.hash != own.hash
        };
        // What is not known by then is asked again next time: meanwhile this process has to be heard of.
        let reports = match tokio::time::timeout(REPORT_INTERVAL, reports(&*self.log, &self.topics)).await {
            Ok(Ok(reports)) => reports,
            Ok(Err(error)) => {
                warn!(%error, "what other processes said of themselves can't be read");
                return before;
            }
            Err(_) => {
                warn!("what other processes said of themselves is not read within {REPORT_INTERVAL:?}");
                return before;
            }
        };
        let others: Vec<&Report> = reports.iter().filter(differs).collect();
        if let (Some(other), 0) = (others.first(), before) {
            warn!(
                processes = others.len(),
                process = other.process,
                hash = other.rules.hash,
                ours = own.hash,
                "other processes of this fleet run other rules: which ones an event meets depends on who has it"
            );
        }
        self.telemetry.other_rules(others.len() as u64);
        others.len() as u64
    }

    async fn write(&self, process: &str, value: Option<Bytes>) {
        let key = Some(Bytes::copy_from_slice(process.as_bytes()));
        let topic = self.topics.fleet.clone();
        let record = Record { topic, partition: 0, key, value, timestamp_ms: self.clock.now_ms() };
        if let Err(error) = self.log.append(vec![record]).await {
            warn!(%error, "the fleet is not told of this process");
        }
    }
}

/// What every process said last, by name.
///
/// # Errors
/// When the topic can't be read, or holds what is no report.
pub async fn reports(log: &dyn Log, topics: &Topics) -> Result<Vec<Report>, LogError> {
    let at = TopicPartition { topic: topics.fleet.clone(), partition: 0 };
    let report = |(key, value): (Bytes, Bytes)| {
        serde_json::from_slice(&value).map_err(|error| {
            let process = String::from_utf8_lossy(&key);
            LogError::Refused(format!("{}: what {process} said of itself is no report: {error}", at.topic))
        })
    };
    log.compacted(&at).await?.into_iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::memory::MemoryLog;

    fn herald(log: &Arc<MemoryLog>, process: &str, clock: Clock) -> Herald {
        Herald {
            log: log.clone(),
            topics: Topics::new("t"),
            process: process.to_owned(),
            stages: Stages::default(),
            telemetry: Telemetry::default(),
            clock,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn processes_with_different_files_count_one_another_until_they_are_the_same() {
        let log = MemoryLog::new();
        log.ensure(&[Topics::new("t").fleet_spec()]).await.expect("a topic");
        let stop = CancellationToken::new();
        let start = |process: &str, hash: &str| {
            let herald = herald(&log, process, Clock::manual(0));
            let telemetry = herald.telemetry.clone();
            telemetry.set_rules(RuleSetStatus { hash: hash.to_owned(), ..RuleSetStatus::default() }, []);
            tokio::spawn(herald.run(stop.clone()));
            telemetry
        };
        let processes = [start("one", "a"), start("two", "a"), start("three", "b")];
        let others = || processes.each_ref().map(|process| process.status().rule_set.others);
        tokio::time::sleep(COMPARE_INTERVAL * 2).await;
        assert_eq!(others(), [1, 1, 2]);
        processes[2].set_rules(RuleSetStatus { hash: "a".to_owned(), ..RuleSetStatus::default() }, []);
        tokio::time::sleep(COMPARE_INTERVAL * 2).await;
        assert_eq!(others(), [0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_only_notifies_runs_no_rules_and_a_reload_keeps_the_count() {
        let log = MemoryLog::new();
        log.ensure(&[Topics::new("t").fleet_spec()]).await.expect("a topic");
        let stop = CancellationToken::new();
        let rules = |hash: &str| RuleSetStatus { hash: hash.to_owned(), ..RuleSetStatus::default() };
        let start = |process: &str, stages: &str, hash: &str| {
            let stages = stages.parse().expect("stages");
            let herald = Herald { stages, ..herald(&log, process, Clock::manual(0)) };
            let telemetry = herald.telemetry.clone();
            telemetry.set_rules(rules(hash), []);
            tokio::spawn(herald.run(stop.clone()));
            telemetry
        };
        let processes =
            [start("one", "detect", "a"), start("two", "correlate,notify", "b"), start("three", "notify", "c")];
        let others = || processes.each_ref().map(|process| process.status().rule_set.others);
        tokio::time::sleep(COMPARE_INTERVAL * 2).await;
        assert_eq!(others(), [1, 1, 0]);
        processes[0].set_rules(rules("d"), []);
        assert_eq!(others(), [1, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_does_not_answer_holds_no_stop_up() {
        // There is no such topic, and who waits for one may be stopped.
        let log = MemoryLog::new();
        let stop = CancellationToken::new();
        let running = tokio::spawn(herald(&log, "one", Clock::manual(0)).run(stop.clone()));
        tokio::time::sleep(COMPARE_INTERVAL + LOOK_INTERVAL / 2).await;
        stop.cancel();
        tokio::time::timeout(FAREWELL_MAX * 2, running).await.expect("it ends").expect("it runs");
    }

    async fn names(log: &MemoryLog) -> Vec<String> {
        let reports = reports(log, &Topics::new("t")).await.expect("they can be read");
        reports.into_iter().map(|report| report.process).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_is_heard_of_while_it_runs_and_forgotten_when_it_is_long_gone() {
        let log = MemoryLog::new();
        log.ensure(&[Topics::new("t").fleet_spec()]).await.expect("a topic");
        let clock = Clock::manual(0);
        herald(&log, "killed", clock.clone()).write("killed", Some("{\"process\":\"killed\"}".into())).await;
        let stop = CancellationToken::new();
        let first = tokio::spawn(herald(&log, "first", clock.clone()).run(stop.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(names(&log).await, ["first", "killed"]);
        clock.advance(FORGOTTEN_AFTER + Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let second = tokio::spawn(herald(&log, "second", clock.clone()).run(stop.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(names(&log).await, ["first", "second"]);
        stop.cancel();
        first.await.expect("it ends");
        second.await.expect("it ends");
        assert!(names(&log).await.is_empty());
    }
}
