//! stub
use crate::alert::Alert;
use tokio_util::sync::CancellationToken;
pub struct Receiver;
pub struct GivenUp {
    pub index: usize,
    pub reason: String,
}
pub struct Delivered {
    pub decided: usize,
    pub given_up: Vec<GivenUp>,
}
impl Receiver {
    pub fn name(&self) -> &str {
        ""
    }
    pub fn wants(&self, _: &Alert) -> bool {
        true
    }
    pub async fn deliver(&mut self, _: &[Alert], _: &CancellationToken) -> Delivered {
        Delivered { decided: 0, given_up: vec![] }
    }
}
