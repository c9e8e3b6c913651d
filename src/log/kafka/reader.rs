//! Reads one partition in order, from its lane.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{
    client::Client,
    lane::{Lane, Ticket},
};
use crate::log::{Drained, LogError, Reader, RecordRef};

pub(super) struct KafkaReader {
    lane: Arc<Lane>,
    ticket: Ticket,
    ends: Ends,
}

/// What ends with a reader.
enum Ends {
    /// Its group goes on.
    Nothing,
    /// A reader outside any group may have a client to itself,
    Client(Client),
    /// or be one of many that a client fetches for.
    Fetching(Client),
}

impl KafkaReader {
    /// Reads an assigned partition.
    pub fn new(lane: Arc<Lane>, ticket: Ticket) -> KafkaReader {
        lane.enter(ticket);
        KafkaReader { lane, ticket, ends: Ends::Nothing }
    }

    /// Reads a partition with a client of its own, which it closes when dropped.
    pub fn alone(lane: Arc<Lane>, ticket: Ticket, client: Client) -> KafkaReader {
        lane.enter(ticket);
        KafkaReader { lane, ticket, ends: Ends::Client(client) }
    }

    /// Reads a partition that `client` fetches beside others, until this is dropped.
    pub fn following(lane: Arc<Lane>, ticket: Ticket, client: Client) -> KafkaReader {
        lane.enter(ticket);
        KafkaReader { lane, ticket, ends: Ends::Fetching(client) }
    }

    /// Goes on at `offset` and waits until librdkafka does.
    pub async fn go_on_at(&mut self, offset: u64) -> Result<(), LogError> {
        self.lane.want(self.ticket, offset)?;
        self.settle().await
    }

    /// Waits until librdkafka reads where it is to.
    pub async fn settle(&self) -> Result<(), LogError> {
        self.lane.settle(self.ticket).await
    }

    /// Where the records end that are committed or that nothing is to be committed of: the log's last stable offset.
    pub async fn stable_end(&self) -> Result<u64, LogError> {
        self.lane.stable_end().await
    }
}

impl Reader for KafkaReader {
    fn ready(&mut self) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(self.lane.ready(self.ticket))
    }

    fn drain(&mut self, max: usize, visit: &mut dyn FnMut(RecordRef<'_>)) -> Result<Drained, LogError> {
        self.lane.drain(self.ticket, max, visit)
    }

    fn seek(&mut self, offset: u64) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(self.go_on_at(offset))
    }

    fn end(&mut self) -> BoxFuture<'_, Result<u64, LogError>> {
        Box::pin(async {
            let (_, end) = self.lane.probe().offsets(self.lane.at()).await?;
            Ok(end)
        })
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.lane.leave(self.ticket);
        match &self.ends {
            Ends::Nothing => {}
            Ends::Client(client) => {
                self.lane.close();
                client.close_later();
            }
            Ends::Fetching(client) => {
                self.lane.revoke();
                client.unassign(self.lane.at());
            }
        }
    }
}
