use serde::{Deserialize, Serialize};

/// Everything that Tailscale's service knows.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tailnet {}
