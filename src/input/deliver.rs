//! How a receiver hands lines to the log: again and again, as long as that can help.

use std::{collections::VecDeque, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Intake, Received};
use crate::log::LogError;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The lines, or some of them, are not in the log, and nobody waits for it to take them any longer.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

/// Appends lines, and waits while the log refuses. A line that the log will never take because of its size is counted
/// as rejected. After `stop` each append is tried once more.
pub async fn deliver(intake: &Intake, lines: Vec<Received>, stop: &CancellationToken) -> Result<(), Stopped> {
    let mut waiting = VecDeque::from([lines]);
    let mut backoff = BACKOFF_MIN;
    while let Some(lines) = waiting.pop_front() {
        match intake.append(lines.clone()).await {
            Ok(_) => {
                if backoff > BACKOFF_MIN {
                    tracing::info!("the log takes lines again");
                }
                backoff = BACKOFF_MIN;
            }
            Err(LogError::TooLarge { .. }) if lines.len() > 1 => {
                lines.into_iter().rev().for_each(|line| waiting.push_front(vec![line]));
            }
            Err(error @ LogError::TooLarge { .. }) => {
                tracing::warn!(%error, "a line was rejected");
                intake.counts().rejected.add(lines.len() as u64);
            }
            Err(LogError::Closed) => return Err(Stopped),
            Err(error) => {
                if backoff == BACKOFF_MIN {
                    tracing::warn!(%error, "the log refuses lines; trying again");
                }
                intake.counts().retries.add(1);
                waiting.push_front(lines);
                tokio::select! {
                    () = stop.cancelled() => return Err(Stopped),
                    () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF_MAX),
                }
            }
        }
    }
    Ok(())
}
