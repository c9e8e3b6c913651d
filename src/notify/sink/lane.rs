//! Blocking writes of one sink, one at a time.

use std::io;

use tokio::{sync::oneshot, task::JoinHandle};

/// Runs jobs on the runtime's blocking threads, in order. A job can't be cut off: when its caller loses patience it
/// goes on, and the next one waits for it, so a stuck disk or pipe holds one thread and never two.
#[derive(Debug, Default)]
pub(super) struct Lane {
    running: Option<JoinHandle<()>>,
}

impl Lane {
    pub async fn run(&mut self, job: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        if let Some(earlier) = &mut self.running {
            // Its outcome was lost with its caller; a panic in it was reported by the runtime.
            let _ = earlier.await;
        }
        let (done, result) = oneshot::channel();
        self.running = Some(tokio::task::spawn_blocking(move || {
            let _ = done.send(job());
        }));
        result.await.unwrap_or_else(|_| Err(io::Error::other("the write was cut off")))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex, mpsc},
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn a_job_waits_for_the_one_whose_caller_left() {
        let mut lane = Lane::default();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (release, gate) = mpsc::channel::<()>();
        let first = {
            let written = written.clone();
            move || {
                gate.recv().map_err(io::Error::other)?;
                written.lock().unwrap().push("first");
                Ok(())
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(20), lane.run(first)).await.is_err());
        release.send(()).unwrap();
        let second = {
            let written = written.clone();
            move || {
                written.lock().unwrap().push("second");
                Ok(())
            }
        };
        lane.run(second).await.unwrap();
        assert_eq!(*written.lock().unwrap(), ["first", "second"]);
    }
}
