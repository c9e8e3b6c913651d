//! The log in memory keeps the contract.

use tripline::log::memory::MemoryLog;

use super::contract;

#[tokio::test]
async fn the_memory_log_keeps_every_promise() {
    contract::every_promise(MemoryLog::new(), "memory").await;
}

#[tokio::test]
async fn a_reader_that_retention_overtook_hears_of_the_gap() {
    contract::a_gap_is_reported(MemoryLog::new(), "memory").await;
}
