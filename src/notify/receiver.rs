//! A receiver: one sink, what it wants, and how patiently it is asked.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    error::{Failure, SinkError},
    filter::Filter,
    retry::Backoff,
    sink::{self, OpenLog, Sink},
};
use crate::{alert::Alert, config};

/// How long an attempt under way may still take after a stop: cut off at its last byte, it would be sent twice.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// One configured sink.
pub struct Receiver {
    name: String,
    filter: Filter,
    /// For one attempt.
    timeout: Duration,
    backoff: Backoff,
    sink: Box<dyn Sink>,
    /// The last attempt failed; only the changes are logged.
    failing: bool,
}

/// What became of the alerts of one [`Receiver::deliver`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Alerts, from the first on, whose fate is known: acknowledged, or in `given_up`. Less than all only after a stop.
    pub decided: usize,
    /// In order; for the dead letters.
    pub given_up: Vec<GivenUp>,
    pub failed_attempts: u64,
    /// Why the last failed attempt did.
    pub last_failure: Option<String>,
}

impl Delivered {
    /// How many of the decided ones the other side has acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.decided - self.given_up.len()
    }
}

/// An alert that was refused, or that found nobody until the attempts were spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its place among the alerts that were to be delivered.
    pub index: usize,
    /// How often it was sent by itself.
    pub attempts: u32,
    pub reason: String,
}

impl Receiver {
    /// Checks the configuration; connects to nothing yet. `open_log` is called for a Kafka sink only.
    pub fn new(sink: &config::Sink, open_log: &OpenLog<'_>) -> Result<Self, SinkError> {
        Ok(Receiver {
            name: sink.name.clone(),
            filter: Filter::new(&sink.name, &sink.filter)?,
            timeout: sink.timeout,
            backoff: Backoff::new(sink.retry.clone()),
            sink: sink::open(sink, open_log)?,
            failing: false,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the receiver's filter lets `alert` pass; [`Receiver::deliver`] does not ask again.
    pub fn wants(&self, alert: &Alert) -> bool {
        self.filter.wants(alert)
    }

    /// Sends `alerts` in order, each until it is acknowledged or given up: at once when it is refused for good, else
    /// after the configured attempts.
    ///
    /// A sink that takes batches gets them whole first; after a failure their alerts go one by one, so that an alert
    /// that can't be delivered takes no other with it. With a dead sink this takes all attempts of all alerts: hand
    /// in few at a time, and commit in between. After `stop` no attempt begins, one under way gets
    /// two more seconds, and the rest is undecided.
    pub async fn deliver(&mut self, alerts: &[Alert], stop: &CancellationToken) -> Delivered {
        let mut delivered = Delivered::default();
        let mut alone_below = 0;
        let mut attempts = 0;
        while delivered.decided < alerts.len() {
            let at = delivered.decided;
            let len = if at < alone_below { 1 } else { self.sink.batch_max().max(1).min(alerts.len() - at) };
            let failure = match self.attempt(&alerts[at..at + len], stop).await {
                None => break,
                Some(Ok(())) => {
                    delivered.decided += len;
                    attempts = 0;
                    continue;
                }
                Some(Err(failure)) => failure,
            };
            delivered.failed_attempts += 1;
            delivered.last_failure = Some(failure.to_string());
            if len > 1 {
                alone_below = at + len;
            } else {
                attempts += 1;
                if matches!(failure, Failure::Refused { .. }) || self.backoff.is_spent(attempts) {
                    delivered.given_up.push(GivenUp { index: at, attempts, reason: failure.to_string() });
                    delivered.decided += 1;
                    attempts = 0;
                    continue;
                }
            }
            self.pause(attempts, &failure, stop).await;
        }
        delivered
    }

    /// One attempt within its timeout; `None` when it was not made, or not finished, because of a stop.
    async fn attempt(&mut self, alerts: &[Alert], stop: &CancellationToken) -> Option<Result<(), Failure>> {
        if stop.is_cancelled() {
            return None;
        }
        let result = {
            let send = timeout(self.timeout, self.sink.send(alerts));
            tokio::pin!(send);
            let finished = tokio::select! {
                finished = &mut send => finished,
                () = stop.cancelled() => timeout(STOP_PATIENCE, send).await.ok()?,
            };
            finished.unwrap_or_else(|_| Err(Failure::passing(format!("no answer within {:?}", self.timeout))))
        };
        self.note(&result);
        Some(result)
    }

    /// Waits before the next attempt; a stop ends it.
    async fn pause(&mut self, attempts: u32, failure: &Failure, stop: &CancellationToken) {
        // A refused batch is sent again in parts, which the other side has not seen yet.
        let Failure::Passing { after, .. } = failure else { return };
        let pause = self.backoff.pause(attempts.max(1), *after);
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Logs when the sink begins to fail and when it is back, not each attempt.
    fn note(&mut self, result: &Result<(), Failure>) {
        match result {
            Err(failure) if !self.failing => {
                warn!(sink = %self.name, reason = %failure, "sink fails, its alerts are tried again");
                self.failing = true;
            }
            Ok(()) if self.failing => {
                info!(sink = %self.name, "sink takes alerts again");
                self.failing = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    use futures_util::{FutureExt, future::BoxFuture};
    use tokio::time::Instant;

    use super::*;
    use crate::notify::render::samples;

    /// What a scripted sink does at each attempt; it acknowledges when nothing is left to do.
    enum Step {
        Fail(Failure),
        Hang,
    }

    #[derive(Default)]
    struct Script {
        steps: VecDeque<Step>,
        /// The alerts of each attempt, and when it was made.
        attempts: Vec<(Vec<String>, Instant)>,
        /// Refused whenever it is in a batch.
        poison: Option<String>,
    }

    struct Scripted {
        batch_max: usize,
        script: Arc<Mutex<Script>>,
    }

    impl Sink for Scripted {
        fn batch_max(&self) -> usize {
            self.batch_max
        }

        fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), Failure>> {
            async move {
                let ids: Vec<String> = alerts.iter().map(|alert| alert.id.clone()).collect();
                let step = {
                    let mut script = self.script.lock().unwrap();
                    script.attempts.push((ids.clone(), Instant::now()));
                    if script.poison.as_ref().is_some_and(|poison| ids.contains(poison)) {
                        return Err(Failure::refused("poison"));
                    }
                    script.steps.pop_front()
                };
                match step {
                    None => Ok(()),
                    Some(Step::Fail(failure)) => Err(failure),
                    Some(Step::Hang) => std::future::pending().await,
                }
            }
            .boxed()
        }
    }

    fn retry() -> config::Retry {
        config::Retry { attempts_max: 4, backoff_min: Duration::from_secs(1), backoff_max: Duration::from_secs(60) }
    }

    fn receiver(batch_max: usize, steps: Vec<Step>) -> (Receiver, Arc<Mutex<Script>>) {
        let script = Arc::new(Mutex::new(Script { steps: steps.into(), ..Script::default() }));
        let receiver = Receiver {
            name: "scripted".to_owned(),
            filter: Filter::new("scripted", &config::Filter::default()).unwrap(),
            timeout: Duration::from_secs(10),
            backoff: Backoff::seeded(retry(), 1),
            sink: Box::new(Scripted { batch_max, script: script.clone() }),
            failing: false,
        };
        (receiver, script)
    }

    fn alerts(count: usize) -> Vec<Alert> {
        let numbered = |n: usize| Alert { id: n.to_string(), ..samples::alert() };
        (0..count).map(numbered).collect()
    }

    fn passing() -> Step {
        Step::Fail(Failure::passing("down"))
    }

    /// The ids of each attempt, joined.
    fn attempts(script: &Mutex<Script>) -> Vec<String> {
        script.lock().unwrap().attempts.iter().map(|(ids, _)| ids.join(" ")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn alerts_wait_for_the_sink_and_arrive_in_order() {
        let (mut receiver, script) = receiver(1, vec![passing(), Step::Hang, passing()]);
        let delivered = receiver.deliver(&alerts(3), &CancellationToken::new()).await;
        assert_eq!((delivered.decided, delivered.acknowledged(), delivered.failed_attempts), (3, 3, 3));
        assert_eq!(attempts(&script), ["0", "0", "0", "0", "1", "2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_are_jittered() {
        let (mut receiver, script) = receiver(1, vec![passing(), passing(), passing()]);
        receiver.deliver(&alerts(1), &CancellationToken::new()).await;
        let times: Vec<Instant> = script.lock().unwrap().attempts.iter().map(|(_, at)| *at).collect();
        let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut expected = Backoff::seeded(retry(), 1);
        for (failed, pause) in (1..).zip(pauses) {
            let expected = expected.pause(failed, None);
            assert!(pause.abs_diff(expected) <= Duration::from_millis(1), "{pause:?} after {failed}, not {expected:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_attempt_gives_up_and_the_next_alert_has_its_own() {
        let steps = (0..5).map(|_| passing()).collect();
        let (mut receiver, script) = receiver(1, steps);
        let delivered = receiver.deliver(&alerts(2), &CancellationToken::new()).await;
        let given_up = GivenUp { index: 0, attempts: 4, reason: "down".to_owned() };
        assert_eq!(delivered.given_up, [given_up]);
        assert_eq!((delivered.decided, delivered.acknowledged()), (2, 1));
        assert_eq!(attempts(&script), ["0", "0", "0", "0", "1", "1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_asked_again() {
        let (mut receiver, script) = receiver(1, vec![Step::Fail(Failure::refused("400"))]);
        let started = Instant::now();
        let delivered = receiver.deliver(&alerts(2), &CancellationToken::new()).await;
        assert_eq!(delivered.given_up, [GivenUp { index: 0, attempts: 1, reason: "400".to_owned() }]);
        assert_eq!(attempts(&script), ["0", "1"]);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_named_time_is_waited_for() {
        let after = Some(Duration::from_secs(120));
        let (mut receiver, script) =
            receiver(1, vec![Step::Fail(Failure::Passing { reason: "busy".to_owned(), after })]);
        let started = Instant::now();
        receiver.deliver(&alerts(1), &CancellationToken::new()).await;
        assert_eq!(attempts(&script), ["0", "0"]);
        assert!(started.elapsed() >= Duration::from_secs(120));
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_alert_takes_no_other_of_its_batch_with_it() {
        let (mut receiver, script) = receiver(3, Vec::new());
        script.lock().unwrap().poison = Some("1".to_owned());
        let delivered = receiver.deliver(&alerts(5), &CancellationToken::new()).await;
        assert_eq!(delivered.given_up, [GivenUp { index: 1, attempts: 1, reason: "poison".to_owned() }]);
        assert_eq!(delivered.acknowledged(), 4);
        assert_eq!(attempts(&script), ["0 1 2", "0", "1", "2", "3 4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_pause_and_leaves_the_rest_undecided() {
        let after = Some(Duration::from_secs(3000));
        let (mut receiver, script) =
            receiver(1, vec![Step::Fail(Failure::Passing { reason: "busy".to_owned(), after })]);
        let stop = CancellationToken::new();
        let started = Instant::now();
        let (batch, stopper) = (alerts(2), stop.clone());
        let ((), delivered) = tokio::join!(
            async move {
                sleep(Duration::from_secs(5)).await;
                stopper.cancel();
            },
            receiver.deliver(&batch, &stop),
        );
        assert_eq!(delivered.decided, 0);
        assert!(delivered.given_up.is_empty());
        assert_eq!(attempts(&script), ["0"]);
        assert!(started.elapsed() < Duration::from_secs(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_cuts_a_hanging_attempt_off_after_a_moment() {
        let (mut receiver, _script) = receiver(1, vec![Step::Hang]);
        let stop = CancellationToken::new();
        let started = Instant::now();
        let (batch, stopper) = (alerts(1), stop.clone());
        let ((), delivered) = tokio::join!(
            async move {
                sleep(Duration::from_secs(1)).await;
                stopper.cancel();
            },
            receiver.deliver(&batch, &stop),
        );
        assert_eq!(delivered.decided, 0);
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
}
