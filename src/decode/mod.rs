//! Bytes to events.
use crate::event::{Event, Position};
pub struct Decoder;
#[derive(Debug)]
pub struct Reject {
    pub reason: R,
}
#[derive(Debug)]
pub struct R;
impl R {
    pub fn name(&self) -> &'static str {
        ""
    }
}
impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
impl Decoder {
    pub fn decode(&mut self, _b: &[u8], _t: Option<i64>, _p: Position) -> Result<Event, Reject> {
        Err(Reject { reason: R })
    }
}
impl Decoder {
    pub fn live(_: &crate::config::Input, _: &crate::config::Detect) -> Result<Self, String> {
        Ok(Decoder)
    }
}
