//! Reads one partition of the embedded log: a few chunks at a time, each record borrowed from its chunk.

use std::{collections::VecDeque, sync::Arc};

use fjall::UserValue;
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use tokio::sync::watch;

use super::{Shared, chunk::Chunk, store::Found};
use crate::log::{Drained, LogError, Reader, RecordRef, TopicPartition, refuse};

/// Bytes of chunks that a reader takes from the store at once.
const READ_BYTES_MAX: usize = 256 * 1024;

pub(super) struct LocalReader {
    shared: Arc<Shared>,
    at: TopicPartition,
    next: u64,
    /// The end of what is durable.
    ends: watch::Receiver<u64>,
    chunks: VecDeque<Chunk<UserValue>>,
}

impl LocalReader {
    pub(super) fn new(shared: Arc<Shared>, at: TopicPartition, next: u64, ends: watch::Receiver<u64>) -> Self {
        LocalReader { shared, at, next, ends, chunks: VecDeque::new() }
    }

    /// Visits what has been fetched.
    fn visit(&mut self, max: usize, visit: &mut dyn FnMut(RecordRef<'_>)) -> Result<usize, LogError> {
        let mut records = 0;
        while records < max
            && let Some(chunk) = self.chunks.front_mut()
        {
            if chunk.is_read() {
                self.chunks.pop_front();
                continue;
            }
            let record = chunk.read().map_err(|reason| LogError::Corrupt {
                topic: self.at.topic.clone(),
                partition: self.at.partition,
                offset: self.next,
                reason,
            })?;
            // The first chunk after a seek may begin before the position.
            if record.offset >= self.next {
                self.next = record.offset + 1;
                records += 1;
                visit(record);
            }
        }
        Ok(records)
    }

    /// Fetches the next chunks; says how many records before them are gone, and whether there is anything.
    fn fetch(&mut self) -> Result<(u64, bool), LogError> {
        let end = *self.ends.borrow();
        if self.next >= end {
            return Ok((0, false));
        }
        match self.shared.with_store(|store| store.read(&self.at, self.next, end, READ_BYTES_MAX))? {
            Found::Chunks(chunks) => {
                self.chunks = chunks;
                Ok((0, true))
            }
            Found::Gone { earliest } => {
                let gap = earliest - self.next;
                self.next = earliest;
                self.fetch().map(|(_, any)| (gap, any))
            }
        }
    }
}

impl Reader for LocalReader {
    fn ready(&mut self) -> BoxFuture<'_, Result<(), LogError>> {
        async {
            refuse::position(&self.at, self.next, *self.ends.borrow())?;
            self.ends.wait_for(|end| *end > self.next).await.map(drop).map_err(|_| LogError::Closed)
        }
        .boxed()
    }

    fn drain(&mut self, max: usize, visit: &mut dyn FnMut(RecordRef<'_>)) -> Result<Drained, LogError> {
        refuse::position(&self.at, self.next, *self.ends.borrow())?;
        let mut drained = Drained { records: 0, next: self.next, gap: 0 };
        loop {
            drained.records += self.visit(max - drained.records, visit)?;
            if drained.records == max {
                break;
            }
            let (gap, any) = self.fetch()?;
            drained.gap += gap;
            if !any {
                break;
            }
        }
        drained.next = self.next;
        Ok(drained)
    }

    fn seek(&mut self, offset: u64) -> BoxFuture<'_, Result<(), LogError>> {
        self.chunks.clear();
        self.next = offset;
        ready(Ok(())).boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<u64, LogError>> {
        let end = *self.ends.borrow();
        ready(Ok(end)).boxed()
    }
}
