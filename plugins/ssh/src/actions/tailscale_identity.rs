use std::{net::IpAddr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, FailureKind, Preview, Recovery, RequiredPermissions};

use crate::{
    Host,
    operations::tailscale_status::{self, Node, TailscaleStatus},
    outcome::NOT_INSTALLED,
    pause::Pause,
    pool::Pool,
};

/// A machine that was given a key logs in within seconds; one that still waits for a login by then was not.
const LOGIN_PATIENCE: Duration = Duration::from_mins(1);
const LOG_HINT: &str =
    "what `tailscale up` said is in /var/log/cloud-init-output.log on the host; its auth key may be used up or expired";

/// Which host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityInput {
    /// The host.
    pub host: Host,
}

/// Who the host is in its tailnet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct IdentityOutput {
    /// Its stable node id.
    pub node_id: String,
    /// The name it gives itself.
    pub hostname: String,
    /// Its IPv4 address in the tailnet.
    pub ipv4: String,
    /// Its IPv6 address in the tailnet, where it has one.
    pub ipv6: Option<String>,
    /// All its addresses in the tailnet.
    pub addresses: Vec<String>,
    /// Version of tailscaled.
    pub version: String,
    /// State of tailscaled: `Running`.
    pub backend_state: String,
}

/// Waits until a host is in its tailnet.
pub(crate) struct TailscaleIdentity {
    pool: Arc<Pool>,
}

impl TailscaleIdentity {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for TailscaleIdentity {}

impl Action for TailscaleIdentity {
    type Input = IdentityInput;
    type Output = IdentityOutput;
    const NAME: &'static str = "ssh.tailscale.identity";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a host is in its tailnet, and tells who it is there.";

    async fn run(&self, cx: &ActionContext, input: &IdentityInput) -> Result<IdentityOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        let mut pause = Pause::new(Duration::from_millis(500), Duration::from_secs(5));
        loop {
            let waited = match tailscale_status::read(&remote).await {
                Ok(status) => match identity(&status) {
                    Some(identity) => return Ok(identity),
                    None => pause.after_seeing(cx, state(cx, &status).map_err(|e| remote.context(e))?).await,
                },
                Err(error) if error.kind == FailureKind::Transient => pause.after_failure(cx, error).await,
                Err(error) if error.code.as_deref() == Some(NOT_INSTALLED) => return Err(error.with_hint(LOG_HINT)),
                Err(error) => return Err(error),
            };
            waited.map_err(|e| e.with_hint(LOG_HINT))?;
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &IdentityInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

/// What the host waits for, or the failure that waiting cannot mend.
fn state(cx: &ActionContext, status: &TailscaleStatus) -> Result<String, ActionError> {
    let health = status.health.join("; ");
    let said = if health.is_empty() { String::new() } else { format!(": {health}") };
    match status.backend_state.as_str() {
        "NeedsLogin" | "Stopped" if cx.elapsed() > LOGIN_PATIENCE => {
            Err(ActionError::permanent(format!("tailscale is not logged in ({}){said}", status.backend_state))
                .with_hint(LOG_HINT))
        }
        "NeedsMachineAuth" => Ok("tailscale waits until the machine is authorised in the tailnet".into()),
        other => Ok(format!("tailscale is {other}{said}")),
    }
}

fn identity(status: &TailscaleStatus) -> Option<IdentityOutput> {
    let node = status.node.as_ref().filter(|node| status.backend_state == "Running" && !node.id.is_empty())?;
    Some(IdentityOutput {
        node_id: node.id.clone(),
        hostname: node.hostname.clone(),
        ipv4: address(node, IpAddr::is_ipv4)?,
        ipv6: address(node, IpAddr::is_ipv6),
        addresses: node.addresses.clone(),
        version: status.version.clone(),
        backend_state: status.backend_state.clone(),
    })
}

fn address(node: &Node, is_of_family: fn(&IpAddr) -> bool) -> Option<String> {
    node.addresses.iter().find(|text| text.parse().is_ok_and(|address| is_of_family(&address))).cloned()
}
