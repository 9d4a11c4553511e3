use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::{Backoff, WaitState, Waiter, check_prefixes};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{SshHost, client::ConnectionPool, operations::tailscale_status};

/// Approved routes are elected within a second.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
const STALE_HINT: &str =
    "another device may serve the same prefix: a route has one server at a time, and a stale device keeps it";

/// Routes that a host must serve.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailscaleRoutesInForceInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Prefixes to wait for, without host bits.
    #[schemars(with = "Vec<String>")]
    pub routes: Vec<IpNet>,
}

/// Routes that a host serves.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TailscaleRoutesInForceOutput {
    /// All routes that the host serves, including those that were not requested.
    pub primary_routes: Vec<String>,
}

/// Action `ssh.tailscale.routes_in_force`: waits until a host serves routes in its tailnet.
///
/// An approved route is served by one device at a time. Until the control server has chosen this
/// one, packets to it take another way or none, so the steps after this one would fail at random.
pub(crate) struct TailscaleRoutesInForce {
    pool: Arc<ConnectionPool>,
}

impl TailscaleRoutesInForce {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for TailscaleRoutesInForce {}

impl Action for TailscaleRoutesInForce {
    type Input = TailscaleRoutesInForceInput;
    type Output = TailscaleRoutesInForceOutput;
    const NAME: &'static str = "ssh.tailscale.routes_in_force";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a host serves routes in its tailnet.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &TailscaleRoutesInForceInput,
    ) -> Result<TailscaleRoutesInForceOutput, ActionError> {
        check_prefixes("route", input.routes.iter().copied())?;
        let remote = self.pool.remote(cx, &input.host)?;
        let read = || async {
            let status = tailscale_status::read(&remote).await?;
            let unserved: Vec<String> = status.unserved_routes(&input.routes).iter().map(IpNet::to_string).collect();
            Ok(if unserved.is_empty() {
                WaitState::Ready(TailscaleRoutesInForceOutput { primary_routes: status.primary_routes().to_vec() })
            } else {
                WaitState::pending(format!("host {}: {} not in force yet", input.host, unserved.join(", ")))
            })
        };
        Waiter::new(cx, BACKOFF).with_hint(STALE_HINT).poll(read).await
    }

    async fn preview(&self, cx: &ActionContext, input: &TailscaleRoutesInForceInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}
