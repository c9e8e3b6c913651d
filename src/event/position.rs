//! Where an event stands: input, partition, offset.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of a configured input.
pub type InputName = Arc<str>;

/// The input that alerts are, to rules on other rules' alerts. No configured input may be called so.
pub const ALERTS: &str = "alerts";

/// Under which name an alert has the elements of its key when it is an event: `entity.source.ip`.
pub const ENTITY: &str = "entity";

/// The place of a record in its input. Positions of one partition order as the log does.
///
/// An input that reads several topics numbers the partitions of its k-th topic (in the order written, from 0) from
/// `k * 65536`, so that one number names one partition of the input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    pub input: InputName,
    pub partition: u32,
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.input, self.partition, self.offset)
    }
}
