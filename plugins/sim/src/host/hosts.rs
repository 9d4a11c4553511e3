use serde::{Deserialize, Serialize};

/// Every simulated machine.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hosts {}
