//! stub
use crate::{config, input::Intake, telemetry::Telemetry};
use std::{collections::HashMap, io, net::SocketAddr, sync::Arc};
pub struct Api;
impl Api {
    pub fn start(_: &config::Http, _: HashMap<String, Arc<Intake>>, _: Telemetry) -> io::Result<Api> {
        Ok(Api)
    }
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }
    pub async fn stop(self) {}
}
