//! stub
use crate::alert::Alert;
use tokio_util::sync::CancellationToken;
pub struct Receiver;
pub struct Delivered {
    pub acknowledged: Vec<usize>,
    pub given_up: Vec<(usize, String)>,
}
impl Receiver {
    pub fn name(&self) -> &str {
        ""
    }
    pub fn wants(&self, _: &Alert) -> bool {
        true
    }
    pub async fn deliver(&mut self, _: &[Alert], _: &CancellationToken) -> Delivered {
        Delivered { acknowledged: vec![], given_up: vec![] }
    }
}
