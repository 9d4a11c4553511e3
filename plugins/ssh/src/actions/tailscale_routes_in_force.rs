use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, FailureKind, Preview, Recovery, RequiredPermissions};

use super::prefixes::{check_host_bits, list};
use crate::{Host, operations::tailscale_status, pause::Pause, pool::Pool};

const STALE_HINT: &str =
    "another device may serve the same prefix: a route has one server at a time, and a stale device keeps it";

/// The routes that a host is to serve.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutesInForceInput {
    /// The host.
    pub host: Host,
    /// Prefixes, without host bits.
    #[schemars(with = "Vec<String>")]
    pub routes: Vec<IpNet>,
}

/// The routes that a host serves.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RoutesInForceOutput {
    /// All of them, those not asked for as well.
    pub primary_routes: Vec<String>,
}

/// Waits until the tailnet sends what is for these routes to the host.
pub(crate) struct TailscaleRoutesInForce {
    pool: Arc<Pool>,
}

impl TailscaleRoutesInForce {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for TailscaleRoutesInForce {}

impl Action for TailscaleRoutesInForce {
    type Input = RoutesInForceInput;
    type Output = RoutesInForceOutput;
    const NAME: &'static str = "ssh.tailscale.routes_in_force";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a host serves routes in its tailnet.";

    async fn run(&self, cx: &ActionContext, input: &RoutesInForceInput) -> Result<RoutesInForceOutput, ActionError> {
        check_host_bits(input.routes.iter().copied())?;
        let remote = self.pool.remote(cx, &input.host)?;
        let mut pause = Pause::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            let waited = match tailscale_status::read(&remote).await {
                Ok(status) => match status.not_in_force(&input.routes) {
                    missing if missing.is_empty() => {
                        return Ok(RoutesInForceOutput { primary_routes: status.primary_routes().to_vec() });
                    }
                    missing => {
                        let what = format!("host {}: {} not in force yet", input.host, list(&missing));
                        pause.after_seeing(cx, what).await
                    }
                },
                Err(error) if error.kind == FailureKind::Transient => pause.after_failure(cx, error).await,
                Err(error) => return Err(error),
            };
            waited.map_err(|e| e.with_hint(STALE_HINT))?;
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &RoutesInForceInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}
